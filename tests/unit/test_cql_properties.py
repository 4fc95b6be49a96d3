"""What holds for every filter: it is read as it was printed, NOT is the complement, and what is none is refused."""

import os
import sys
from decimal import Decimal
from random import Random
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from kith.cql.ast import EVERYTHING, And, Comparison, Condition, Not, Or, Related, conjoin, disjoin, negate
from kith.cql.json_form import read_json
from kith.cql.legacy_form import parse_legacy
from kith.cql.parser import parse
from kith.cql.predicate import Row, compile_predicate
from kith.cql.printer import to_json, to_text
from kith.cql.resolve import resolve
from kith.cql.vocabulary import CustomField, CustomFields, Vocabulary, make_vocabulary
from kith.errors import Exposed
from tests.unit.cql_fixtures import VOCABULARIES, load_pairs
from tests.unit.cql_trees import COMPANY, CONTACT, NOW, company_trees, contact_rows, contact_trees

CI = os.environ.get("HYPOTHESIS_PROFILE") == "ci"
CODES = {
    "QUERY_SYNTAX",
    "INVALID_REQUEST",
    "UNKNOWN_FIELD",
    "OPERATOR_NOT_ALLOWED",
    "INVALID_VALUE",
    "QUERY_TOO_COMPLEX",
}
often = settings(max_examples=1500 if CI else 150)
fuzzed = settings(max_examples=5000 if CI else 200)
STRINGS = 100_000 if CI else 3000


@pytest.mark.parametrize(("trees", "vocabulary"), [(contact_trees, CONTACT), (company_trees, COMPANY)])
def test_every_tree_is_read_back_as_it_was_printed(trees: st.SearchStrategy[Condition], vocabulary: Vocabulary) -> None:
    @often
    @given(trees)
    def check(tree: Condition) -> None:
        text = to_text(tree)
        read = resolve(parse(text, None), vocabulary)
        assert read == tree
        assert to_text(read) == text
        document = to_json(tree)
        assert resolve(read_json(document), vocabulary) == tree
        assert to_json(resolve(read_json(document), vocabulary)) == document

    check()


keys_of_properties = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)


@often
@given(keys_of_properties | st.text(st.sampled_from("aA.\"'\\ ()=!,\n"), min_size=1, max_size=6))
def test_a_property_may_have_any_key(key: str) -> None:
    custom = CustomFields(contact=(CustomField(key, "NUMBER"),), company=(CustomField(key, "NUMBER"),))
    vocabulary = make_vocabulary(["contact"], custom)
    own = Comparison(f"properties.{key}", "gt", Decimal(1))
    for tree in (own, negate(own), Related("company", own), Related("company", negate(own))):
        assert resolve(parse(to_text(tree)), vocabulary) == tree
        assert resolve(read_json(to_json(tree)), vocabulary) == tree


@often
@given(contact_trees)
def test_a_tree_is_in_normal_form_and_stays_so(tree: Condition) -> None:
    check_normal(tree)
    check_normal(resolve(parse(f"NOT ({to_text(tree)})", None), CONTACT))
    assert resolve(parse(f"NOT (NOT ((({to_text(tree)}))))", None), CONTACT) == tree
    assert conjoin((tree,)) == disjoin((tree,)) == negate(negate(tree)) == tree
    assert hash(tree) == hash(resolve(parse(to_text(tree), None), CONTACT))


def check_normal(tree: Condition) -> None:
    if isinstance(tree, Not):
        assert not isinstance(tree.term, Not)
        check_normal(tree.term)
    elif isinstance(tree, And | Or):
        assert len(tree.terms) >= 2
        for term in tree.terms:
            assert type(term) is not type(tree)
            check_normal(term)


@often
@given(contact_rows, contact_trees, contact_trees)
def test_complement_double_negation_and_de_morgan_hold(row: Row, one: Condition, other: Condition) -> None:
    def fits(tree: Condition) -> bool:
        return compile_predicate(tree, CONTACT, NOW)(row)

    assert fits(negate(one)) is not fits(one)
    assert fits(negate(negate(one))) is fits(one)
    assert fits(negate(conjoin((one, other)))) is fits(disjoin((negate(one), negate(other))))
    assert fits(negate(disjoin((one, other)))) is fits(conjoin((negate(one), negate(other))))
    assert fits(conjoin((one, other))) is (fits(one) and fits(other))
    assert fits(disjoin((one, other))) is (fits(one) or fits(other))


def check_refused(read: Any) -> None:
    """Only the documented errors come out, and they can be sent."""
    tree: Condition | None = None
    refused: Exposed | None = None
    try:
        tree = read()
    except Exposed as error:
        refused = error
    if tree is not None:
        assert resolve(parse(to_text(tree), None), CONTACT) == tree
        assert resolve(read_json(to_json(tree), is_stored=tree == EVERYTHING), CONTACT) == tree
    else:
        assert refused is not None and refused.details is not None
        assert refused.status == 400 and refused.code in CODES
        assert "path" in refused.details or refused.details["line"] >= 1 <= refused.details["column"]
        assert len(refused.message) < 2000
        for text in (refused.message, *refused.details.values()):
            assert not isinstance(text, str) or len(text.encode()) >= len(text)


VALID = [pair.query for pair in load_pairs() if pair.notation == "text" and pair.vocabulary is VOCABULARIES["contact"]]
TOKENS = sorted({token for query in VALID for token in query.replace("(", " ( ").replace(")", " ) ").split()})
LETTERS = "aZ09 _%\\\"'(),=<>!.:|+-\n\té😀\x00\u2028\ud800İ\u017f\ufeff"


def make_soup(random: Random) -> str:
    """Tokens, letters, or valid queries with something cut out and something put in."""
    if random.random() < 0.3:
        return " ".join(random.choices(TOKENS, k=random.randint(1, 15)))
    if random.random() < 0.3:
        return "".join(random.choices(LETTERS, k=random.randint(1, 30)))
    joint = random.choice((" AND ", " OR ", " NOT ", " ", ",", "("))
    text = joint.join(random.choices(VALID, k=random.randint(1, 4)))
    for _ in range(random.randint(1, 3)):
        start = random.randint(0, len(text))
        put_in = random.choice(("", random.choice(LETTERS), f" {random.choice(TOKENS)} "))
        text = text[:start] + put_in + text[start + random.randint(0, 4) :]
    return text


@pytest.mark.timeout(600)
def test_no_soup_of_tokens_is_anything_but_refused() -> None:
    random = Random(5)
    for _ in range(STRINGS):
        text = make_soup(random)
        check_refused(lambda text=text: resolve(parse(text), CONTACT))


@pytest.mark.timeout(600)
@fuzzed
@given(st.text(st.characters(), max_size=60))
def test_no_text_is_anything_but_refused(text: str) -> None:
    check_refused(lambda: resolve(parse(text), CONTACT))
    check_refused(lambda: resolve(parse_legacy(text), CONTACT))
    check_refused(lambda: resolve(parse_legacy(text.replace(" ", ":")), CONTACT))


LEGACY = [pair.query for pair in load_pairs() if pair.notation == "legacy"]


@fuzzed
@given(
    st.lists(st.sampled_from(LEGACY) | st.text(st.sampled_from("a1:,|\\ "), max_size=5), max_size=4), st.integers(0, 60)
)
def test_no_legacy_text_is_anything_but_refused(parts: list[str], cut: int) -> None:
    text = ",".join(parts)
    check_refused(lambda: resolve(parse_legacy(text), CONTACT))
    check_refused(lambda: resolve(parse_legacy(text[:cut] + text[cut + 1 :]), CONTACT))


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=6)
known = st.sampled_from(
    ["AND", "OR", "name", "mrr", "tags", "status", "eq", "in", "has_any", "is_null", "field", "group"]
)
keys = st.sampled_from(
    ["type", "logic", "conditions", "not", "field", "operator", "value", "activityType", "module", "since", "relation"]
)
documents = st.recursive(
    leaves | known,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys | st.text(max_size=4), inner, max_size=5),
    max_leaves=12,
)
likely = st.recursive(
    st.fixed_dictionaries({"field": known, "operator": known, "value": leaves | st.lists(leaves | known, max_size=3)}),
    lambda inner: st.fixed_dictionaries({"logic": known, "conditions": st.lists(inner, max_size=3)}),
    max_leaves=6,
)


@pytest.mark.timeout(600)
@fuzzed
@given(documents | likely)
def test_no_json_is_anything_but_refused(document: Any) -> None:
    check_refused(lambda: resolve(read_json(document), CONTACT))


def test_the_stack_is_never_used_up() -> None:
    """Deep inputs are read, or refused, within a shallow stack."""
    limit = sys.getrecursionlimit()
    nested: Any = {"field": "name", "operator": "is_null"}
    for _ in range(20_000):
        nested = {"logic": "AND", "conditions": [nested]}
    deep: Any = {"field": "name", "operator": "is_null"}
    for _ in range(20_000):
        deep = {"logic": "AND", "conditions": [deep, {"field": "name", "operator": "is_null"}]}
    sys.setrecursionlimit(600)
    try:
        assert resolve(read_json(nested), CONTACT) == resolve(parse("name IS NULL"), CONTACT)
        with pytest.raises(Exposed) as refused:
            read_json(deep)
        assert refused.value.code == "QUERY_TOO_COMPLEX"
    finally:
        sys.setrecursionlimit(limit)
