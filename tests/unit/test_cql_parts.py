"""The parts around a filter: limits, places of errors, orders, selections, searches, reads, vocabularies."""

from typing import Any

import pytest

from kith.cql.ast import EVERYTHING, And, Comparison, Not, Search, Sort
from kith.cql.clauses import resolve_search, resolve_select, resolve_sort
from kith.cql.dependencies import add_default_status, has_relative, list_reads, names_status
from kith.cql.json_form import read_json
from kith.cql.legacy_form import parse_legacy
from kith.cql.parser import parse
from kith.cql.printer import to_json, to_text
from kith.cql.resolve import resolve
from kith.cql.syntax import NAMES_OF_OPERATORS, SPELLINGS
from kith.cql.vocabulary import OPERATORS, make_vocabulary
from kith.errors import Exposed
from tests.unit.cql_fixtures import CUSTOM, VOCABULARIES

CONTACT, COMPANY, BOTH = VOCABULARIES["contact"], VOCABULARIES["company"], VOCABULARIES["both"]


def refusal(call: Any, *arguments: Any) -> Exposed:
    with pytest.raises(Exposed) as refused:
        call(*arguments)
    return refused.value


def nest(levels: int) -> str:
    """Groups as deep as that, none of them idle."""
    text = "name = a"
    for level in range(levels):
        text = f"({text} {'OR' if level % 2 else 'AND'} name = b)"
    return text


def test_limits_are_kept_to_the_last_unit() -> None:
    parse("name = a".ljust(16_384))
    parse(nest(10))
    parse(" AND ".join(["name = a"] * 100))
    parse(f"id IN ({', '.join(['1'] * 1000)})")
    for text, limit, given in (
        ("name = a".ljust(16_385), 16_384, 16_385),
        (nest(11), 10, 11),
        (" AND ".join(["name = a"] * 101), 100, 101),
        (" OR ".join(["ACTIVITIES > 1"] * 101), 100, 101),
        (f"id IN ({', '.join(['1'] * 1001)})", 1000, 1001),
        (f"ACTIVITIES(type IN ({', '.join(['CALL'] * 1001)})) > 1", 1000, 1001),
    ):
        refused = refusal(parse, text)
        assert (refused.code, refused.status) == ("QUERY_TOO_COMPLEX", 400)
        assert refused.details is not None
        assert (refused.details["limit"], refused.details["given"]) == (limit, given)
        assert f"{given:,}" in refused.message and f"{limit:,}" in refused.message


def test_limits_are_those_of_json_and_of_the_legacy_form_too() -> None:
    condition = {"field": "name", "operator": "eq", "value": "a"}
    one = {"logic": "AND", "conditions": [condition] * 100}
    read_json(one)
    read_json({"field": "id", "operator": "in", "value": [1] * 1000})
    nested: Any = condition
    for level in range(10):
        nested = {"logic": "OR" if level % 2 else "AND", "conditions": [nested, condition]}
    read_json(nested)
    deeper = {"logic": "AND", "conditions": [{"logic": "OR", "conditions": [nested, condition]}, condition]}
    for document in (
        {"logic": "AND", "conditions": [condition] * 101},
        {"logic": "OR", "conditions": [one, condition]},
        {"field": "id", "operator": "in", "value": [1] * 1001},
        {"type": "activity", "activityType": ["CALL"] * 1001, "operator": "gt", "value": 1},
        {"field": "name", "operator": "eq", "value": "a" * 16_385},
        {"field": "n" * 16_385, "operator": "eq", "value": "a"},
        deeper,
    ):
        assert refusal(read_json, document).code == "QUERY_TOO_COMPLEX"
    parse_legacy(",".join(["name:eq:a"] * 100))
    for text in (",".join(["name:eq:a"] * 101), "id:in:" + "|".join(["1"] * 1001), "a" * 16_385):
        assert refusal(parse_legacy, text).code == "QUERY_TOO_COMPLEX"


def test_what_contains_looks_for_is_bounded_over_the_whole_filter() -> None:
    most = " OR ".join(f"{field} contains {'a' * 500}" for field in ("name", "company.name", "phone", "avatar"))
    assert resolve(parse(most), VOCABULARIES["contact"])
    for more in (f"{most} OR email contains a", f"name contains {'a' * 2001}"):
        refused = refusal(lambda text: resolve(parse(text), VOCABULARIES["contact"]), more)
        assert (refused.code, refused.details["limit"], refused.details["given"]) == ("QUERY_TOO_COMPLEX", 2000, 2001)


def test_groups_of_the_same_logic_and_relations_count_as_they_nest() -> None:
    parse("(" * 15 + nest(10) + ")" * 15)
    parse(f"NOT ({nest(10)})")
    parse(f"company({nest(10)})")
    parse(f"name = x AND company({nest(9)})")
    assert refusal(parse, f"name = x AND company({nest(10)})").code == "QUERY_TOO_COMPLEX"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("(" * 16_384, "QUERY_TOO_COMPLEX"),
        ("(" * 4999, "QUERY_SYNTAX"),
        (")" * 16_384, "QUERY_TOO_COMPLEX"),
        ("NOT " * 4096, "QUERY_SYNTAX"),
        ("NOT(" * 4096, "QUERY_TOO_COMPLEX"),
        ("company(" * 2048, "UNKNOWN_FIELD"),
        ("name = a AND NOT (" * 900, "QUERY_TOO_COMPLEX"),
        ('"' * 16_383, "QUERY_SYNTAX"),
        ("'" + "''" * 8000, "QUERY_SYNTAX"),
        ('name = "' + '\\"' * 8000, "QUERY_SYNTAX"),
        ('name = "' + "\\" * 16_000, "QUERY_SYNTAX"),
        ("a" * 16_384, "QUERY_SYNTAX"),
        ("!" * 16_384, "QUERY_SYNTAX"),
        ("=" * 16_384, "QUERY_TOO_COMPLEX"),
        (" " * 16_383 + "=", "QUERY_SYNTAX"),
    ],
    ids=lambda text: text[:8],
)
def test_bombs_are_refused_in_linear_time(text: str, code: str) -> None:
    assert refusal(parse, text[:16_384]).code == code


def test_parentheses_that_change_nothing_are_no_groups() -> None:
    text = "(" * 2400 + "name = a" + ")" * 2400
    assert to_text(resolve(parse(text), CONTACT)) == "name = a"
    text = "NOT (" * 1600 + "name = a" + ")" * 1600
    assert to_text(resolve(parse(text), CONTACT)) == "name = a"


def test_an_error_says_where_and_what_and_the_way_out() -> None:
    text = "status = ACTIVE\nAND (name = Ánna\n  OR emial = 'x@example.com' AND status = ACTIVE)"
    refused = refusal(resolve, parse(text), CONTACT)
    assert refused.code == "UNKNOWN_FIELD"
    assert refused.message == "No field 'emial' on contacts. Did you mean 'email'?"
    assert refused.details == {
        "position": text.index("emial"),
        "line": 3,
        "column": 6,
        "length": 5,
        "excerpt": "  OR emial = 'x@example.com' AND status = ACTIVE)",
        "suggestion": "email",
    }
    refused = refusal(parse, "😀 = 1 AND name STARTS WIHT é")
    assert refused.details is not None
    assert (refused.details["position"], refused.details["length"]) == (22, 4)
    assert (refused.details["expected"], refused.details["suggestion"]) == (["WITH"], "WITH")
    filtering = {"logic": "AND", "conditions": [{"field": "status", "operator": "in", "value": ["ACTIVE", "ARCHVED"]}]}
    refused = refusal(resolve, read_json(filtering), CONTACT)
    assert refused.details == {"path": "filter.conditions[0].value[1]", "suggestion": "ARCHIVED"}


def test_the_place_of_an_operator_is_all_its_words() -> None:
    for text, length in (("mrr NOT  STARTS\nWITH x", 16), ("mrr HAS ANY (x)", 7), ("name > 5", 1)):
        details = refusal(resolve, parse(text), CONTACT).details
        assert details is not None and details["length"] == length


def test_an_order_is_resolved_from_either_form() -> None:
    created = Sort("createdAt", True)
    assert resolve_sort("createdAt:desc", CONTACT) == (created,)
    assert resolve_sort(" createdAt : DESC , name", CONTACT) == (created, Sort("name", False))
    assert resolve_sort([{"field": "createdAt", "direction": "desc"}], CONTACT) == (created,)
    assert resolve_sort([{"field": "mrr"}], CONTACT) == (Sort("properties.mrr", False),)
    assert resolve_sort("", CONTACT) == resolve_sort([], CONTACT) == ()
    assert resolve_sort("createdAt", BOTH) == (Sort("createdAt", False),)


@pytest.mark.parametrize(
    ("sort", "code", "place"),
    [
        ("name, emial:desc", "UNKNOWN_FIELD", 6),
        ("name:descending", "QUERY_SYNTAX", 5),
        ("name:", "QUERY_SYNTAX", 5),
        ("name,", "UNKNOWN_FIELD", 5),
        ("name,name:desc", "QUERY_SYNTAX", 5),
        ("tags", "OPERATOR_NOT_ALLOWED", 0),
        ("company.name", "UNKNOWN_FIELD", 0),
        ("id,name,email,phone", "QUERY_TOO_COMPLEX", 0),
        ([{"field": "name"}] * 4, "QUERY_TOO_COMPLEX", "sort"),
        ([{"field": "emial"}], "UNKNOWN_FIELD", "sort[0].field"),
        ([{"field": "name", "direction": "up"}], "QUERY_SYNTAX", "sort[0].direction"),
        ([{"field": "name", "direction": 1}], "QUERY_SYNTAX", "sort[0].direction"),
        ([{"field": "name", "order": "asc"}], "QUERY_SYNTAX", "sort[0]"),
        (["name"], "QUERY_SYNTAX", "sort[0]"),
        ({"field": "name"}, "QUERY_SYNTAX", "sort"),
        (None, "QUERY_SYNTAX", "sort"),
    ],
)
def test_an_order_that_is_none_is_refused(sort: Any, code: str, place: int | str) -> None:
    refused = refusal(resolve_sort, sort, CONTACT)
    assert refused.details is not None
    assert (refused.code, refused.details.get("path", refused.details.get("position"))) == (code, place)


def test_a_selection_always_has_the_ids() -> None:
    assert resolve_select([], CONTACT) == ("id", "externalId")
    assert resolve_select(["name", "mrr", "properties", "id"], CONTACT) == (
        "id",
        "externalId",
        "name",
        "properties.mrr",
        "properties",
    )
    refused = refusal(resolve_select, ["name", "emial"], CONTACT)
    assert refused.code == "UNKNOWN_FIELD" and refused.details == {"path": "select[1]", "suggestion": "email"}
    assert refusal(resolve_select, "name", CONTACT).code == "QUERY_SYNTAX"
    assert refusal(resolve_select, [5], CONTACT).code == "QUERY_SYNTAX"
    assert refusal(resolve_select, ["email"], BOTH).code == "UNKNOWN_FIELD"


def test_a_search_looks_in_searchable_fields() -> None:
    assert resolve_search("anna", CONTACT) == Search("anna")
    assert resolve_search({"query": "anna", "fields": ["name", "email"]}, CONTACT) == Search("anna", ("name", "email"))
    assert resolve_search({"query": "acme", "fields": ["domain"]}, COMPANY) == Search("acme", ("domain",))
    for search, code in (
        ({"query": "a", "fields": ["status"]}, "OPERATOR_NOT_ALLOWED"),
        ({"query": "a", "fields": ["emial"]}, "UNKNOWN_FIELD"),
        ({"query": "a", "fields": [5]}, "QUERY_SYNTAX"),
        ({"query": "a", "fields": "name"}, "QUERY_SYNTAX"),
        ({"query": 5}, "QUERY_SYNTAX"),
        ({"query": "a", "in": "name"}, "QUERY_SYNTAX"),
        (5, "QUERY_SYNTAX"),
        ("a" * 501, "QUERY_TOO_COMPLEX"),
        ("a\x00b", "INVALID_VALUE"),
        ({"query": "\ud800"}, "INVALID_VALUE"),
    ):
        assert refusal(resolve_search, search, CONTACT).code == code


@pytest.mark.parametrize(
    ("query", "reads", "status", "relative"),
    [
        ("", set(), False, False),
        ("name = a OR NOT (mrr > 1 AND name = b)", {"name", "properties.mrr"}, False, False),
        ("NOT status = ACTIVE", {"status"}, True, False),
        ("company.status = ACTIVE", {"company", "company.status"}, False, False),
        ("company(role = a AND link.since > today)", {"company", "company.role", "company.link.since"}, False, True),
        ("createdAt BETWEEN 2024-01-01 AND now", {"createdAt"}, False, True),
        ("createdAt > 2024-01-01", {"createdAt"}, False, False),
        ("ACTIVITIES > 3", {"activities"}, False, False),
        ("NOT ACTIVITIES(before -1d) > 3", {"activities"}, False, True),
    ],
)
def test_what_a_filter_reads_is_known(query: str, reads: set[str], status: bool, relative: bool) -> None:
    tree = resolve(parse(query), CONTACT)
    assert list_reads(tree) == reads
    assert names_status(tree) is status
    assert has_relative(tree) is relative


def test_a_filter_without_a_status_is_of_live_records() -> None:
    live = Comparison("status", "in", ("ACTIVE", "ARCHIVED"))
    assert add_default_status(EVERYTHING) == live
    name = resolve(parse("name = a"), CONTACT)
    assert add_default_status(name) == And((live, name))
    named = resolve(parse("name = a OR status = DELETED"), CONTACT)
    assert add_default_status(named) is named


def test_the_empty_filter_asks_for_everything_in_every_notation() -> None:
    assert resolve(parse(" \n"), CONTACT) == resolve(parse_legacy(" "), CONTACT) == EVERYTHING
    assert to_text(EVERYTHING) == ""
    assert resolve(read_json(to_json(EVERYTHING), is_stored=True), CONTACT) == EVERYTHING


def test_a_stored_filter_means_what_it_meant_when_it_was_accepted() -> None:
    """A list whose filter is refused today is not broken by an upgrade; an empty OR was never accepted."""
    document = {"field": "name", "operator": "contains", "value": ""}
    assert refusal(resolve, read_json(document), CONTACT).code == "INVALID_VALUE"
    assert resolve(read_json(document, is_stored=True), CONTACT) == Comparison("name", "contains", "")
    for logic, negated in (("OR", False), ("AND", True)):
        group = {"logic": logic, "conditions": [], "not": negated}
        assert refusal(lambda group=group: read_json(group, is_stored=True)).code == "INVALID_REQUEST"


def test_the_notations_agree_with_each_other() -> None:
    text = 'status IN (ACTIVE, ARCHIVED) AND email CONTAINS "@example.com" AND mrr >= 12.5 AND tags HAS NONE (vip)'
    legacy = "status:in:active|archived,email:contains:@example.com,mrr:gte:12.50,tags:has_none:VIP"
    document = {
        "logic": "AND",
        "conditions": [
            {"field": "status", "operator": "in", "value": ["ACTIVE", "archived"]},
            {"field": "email", "operator": "contains", "value": "@example.com"},
            {"field": "properties.mrr", "operator": "gte", "value": 12.5},
            {"type": "tag", "operator": "has_none", "value": ["vip"]},
        ],
    }
    trees = {resolve(syntax, CONTACT) for syntax in (parse(text), parse_legacy(legacy), read_json(document))}
    assert len(trees) == 1


def test_system_fields_go_before_properties_of_the_same_name() -> None:
    assert CONTACT.names["name"].name == "name"
    assert CONTACT.names["properties.name"].kind == "TEXT"
    assert CONTACT.names["mrr"] is CONTACT.fields["properties.mrr"]
    assert "company.name" not in CONTACT.names


def test_a_vocabulary_of_both_has_what_both_have_of_one_kind() -> None:
    assert {
        "name",
        "phone",
        "status",
        "createdAt",
        "tags",
        "lists",
        "properties.mrr",
        "properties.tier",
    } <= BOTH.fields.keys()
    assert not {"email", "domain", "properties.score"} & BOTH.fields.keys()
    assert BOTH.fields["properties.tier"].options == ("Free", "Pro", "Größe L", "top-tier", "Gold", "Silver")
    assert not BOTH.relations and not BOTH.counts_activities
    assert make_vocabulary(["contact", "contact"], CUSTOM).entities == ("contact",)


def test_a_vocabulary_is_equal_to_itself_only() -> None:
    assert make_vocabulary(["contact"]) != make_vocabulary(["contact"])
    assert hash(CONTACT) == hash(CONTACT)


VALUES = {"NUMBER": "1", "BOOLEAN": "true", "DATE": "today", "DATETIME": "now"}
SAMPLES = ("name", "email", "status", "mrr", "isIdentified", "birthday", "createdAt", "tags")


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize(("operator", "negated"), SPELLINGS)
def test_each_kind_takes_its_operators_and_no_other(name: str, operator: str, negated: bool) -> None:
    """In all three notations alike, which come to the same tree or to the same refusal."""
    field = CONTACT.names[name]
    value = field.options[0] if field.options else VALUES.get(field.kind, "a")
    values = {"is_null": 0, "between": 2, "in": 1, "has_any": 1, "has_all": 1}.get(operator, 1)
    spelled = SPELLINGS[operator, negated]
    text = f"{name} {spelled}" + {0: "", 1: f" {value}", 2: f" {value} AND {value}"}[values]
    many = operator in ("in", "has_any", "has_all")
    text = f"{name} {spelled} ({value})" if many else text
    document: dict[str, Any] = {"field": name, "operator": NAMES_OF_OPERATORS.get((operator, negated))}
    if values:
        document["value"] = [value] * values if many or values == 2 else value
    legacy = ":".join([name, str(document["operator"]), *(["|".join([value] * values)] if values else [])])
    if operator not in OPERATORS[field.kind]:
        for syntax in (parse(text), read_json(document), parse_legacy(legacy)):
            refused = refusal(resolve, syntax, CONTACT)
            assert refused.code == "OPERATOR_NOT_ALLOWED"
            assert refused.details is not None and refused.details["expected"]
        return
    trees = {resolve(syntax, CONTACT) for syntax in (parse(text), read_json(document), parse_legacy(legacy))}
    (tree,) = trees
    assert isinstance(tree, Not) is negated
    positive = tree.term if isinstance(tree, Not) else tree
    assert isinstance(positive, Comparison)
    assert positive.operator == ("has_any" if name == "tags" and operator == "contains" else operator)


def test_what_json_should_not_hold_is_refused_and_named_briefly() -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    hostile = [deep, {"a": deep}, 10**5000, -(10**5000), float("nan"), float("inf"), "x" * 10_000, "\ud800", "\x00"]
    for value in hostile:
        for document in (
            {"field": "mrr", "operator": "eq", "value": value},
            {"field": "status", "operator": "eq", "value": value},
            {"field": "createdAt", "operator": "in", "value": [value]},
            {"field": value, "operator": "eq", "value": 1},
            {"field": "name", "operator": value, "value": 1},
            {"logic": value, "conditions": []},
            {"logic": "AND", "conditions": value},
            {"type": value},
            {"type": "related", "relation": value, "filter": {"field": "name", "operator": "is_null"}},
            {"type": "activity", "activityType": value, "operator": "gt", "value": value},
            value,
        ):
            refused = refusal(lambda document=document: resolve(read_json(document), CONTACT))
            assert len(refused.message.encode()) < 500
        for resolving in (resolve_sort, resolve_select, resolve_search):
            for clause in (value, [value], [{"field": value}], {"query": value}, {"query": "a", "fields": [value]}):
                if resolving is resolve_search and isinstance(clause, str | dict):
                    continue
                refused = refusal(resolving, clause, CONTACT)
                assert len(refused.message.encode()) < 500


def test_every_field_has_a_label() -> None:
    for vocabulary in (CONTACT, COMPANY, CONTACT.relations["company"]):
        assert all(field.label for field in vocabulary.fields.values())
