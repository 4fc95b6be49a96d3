"""Random typed trees and random records, for the properties of the language."""
# ruff: noqa: RUF001 - letters that look like others are what this is about

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import hypothesis.strategies as st

from kith.cql.ast import Activities, Comparison, Condition, Related, conjoin, disjoin, negate
from kith.cql.datetimes import make_relative
from kith.cql.entity_schema import Field
from kith.cql.literals import is_trimmed, read_value, to_form
from kith.cql.predicate import Row, make_row
from kith.cql.vocabulary import OPERATORS, Vocabulary
from kith.model.text import compose
from tests.unit.cql_fixtures import VOCABULARIES

NOW = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)
CONTACT, COMPANY = VOCABULARIES["contact"], VOCABULARIES["company"]
TYPES = ("NOTE", "CALL", "MEETING", "EMAIL", "TASK", "PAGE_VIEW", "CUSTOM_EVENT")

FindValues = Callable[[Field, Vocabulary], st.SearchStrategy[Any]]

storable = st.characters(codec="utf-8", exclude_characters="\x00")
# Few and short, so that records and conditions meet; and all that a notation might trip over.
texts = st.one_of(
    st.sampled_from(
        [
            "Anna",
            "anna",
            "ANNA",
            "ann",
            "a%",
            "a_",
            "\\",
            '"',
            "'",
            "",
            " ",
            "ß",
            "SS",
            "Łódź",
            "İ",
            "ı",
            "σς",
            "ΣΣ",
            "and",
        ]
    ),
    st.text(st.sampled_from("aA%_\\\"' ,()=!ıİßÉé|:\n"), max_size=4),
    st.text(storable, max_size=8),
).map(compose)
numbers = st.one_of(
    st.integers(-3, 3).map(Decimal),
    st.sampled_from(["0.1", "0.2", "0.3", "1E+99", "-1E-99", "12345678901234567890.5", "1E+21", "1E-7"]).map(Decimal),
    st.decimals(-(10**30), 10**30, allow_nan=False, allow_infinity=False, places=5),
)
days = st.one_of(
    st.dates(date(2026, 3, 26), date(2026, 4, 2)),
    st.sampled_from([date(1, 1, 1), date(9999, 12, 31), date(2024, 2, 29), date(2026, 10, 25)]),
)
instants = st.one_of(
    st.integers(-400_000, 400_000).map(lambda seconds: NOW + timedelta(seconds=seconds)),
    st.sampled_from(
        [
            datetime(2026, 3, 28, 23, tzinfo=UTC),
            datetime(2026, 3, 29, 21, 59, 59, 999_000, tzinfo=UTC),
            datetime(2026, 3, 29, 22, tzinfo=UTC),
            datetime(1, 1, 1, tzinfo=UTC),
            datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
        ]
    ),
)
relatives = st.builds(
    make_relative,
    st.sampled_from(
        ["now", "today", "yesterday", "tomorrow", "startOfWeek", "startOfMonth", "startOfQuarter", "startOfYear"]
    ),
    st.one_of(st.integers(-3, 3), st.integers(-999_999, 999_999)),
    st.sampled_from(["m", "h", "d", "w", "mo", "y"]),
)
moments = st.one_of(days, instants, relatives)
members = st.sampled_from(["vip", "partner", "a-b", "1", "22", "lst_1"])


def make_values(field: Field, vocabulary: Vocabulary) -> st.SearchStrategy[Any]:
    """Values as the typed tree has them, in their one form."""
    if field.options:
        return st.sampled_from(field.options)
    said = texts.filter(str.strip if is_trimmed(field) else bool)
    raw = {"TEXT": said, "EMAIL": said, "NUMBER": numbers, "BOOLEAN": st.booleans(), "SET": members}
    return raw.get(field.kind, moments).map(lambda value: _in_one_form(field, value, vocabulary))


def _in_one_form(field: Field, value: Any, vocabulary: Vocabulary) -> Any:
    return read_value(field, value, vocabulary.zone) if isinstance(value, Decimal) else value


def make_comparisons(
    field: Field, vocabulary: Vocabulary, find_values: FindValues = make_values
) -> st.SearchStrategy[Condition]:
    values = find_values(field, vocabulary)
    many = st.lists(values, min_size=1, max_size=4, unique=True).map(tuple)
    operands = {
        "is_null": st.none(),
        "between": st.tuples(values, values),
        "in": many,
        "has_any": many,
        "has_all": many,
    }
    # On a SET, contains is has_any of one: no typed tree has it.
    operators = [one for one in OPERATORS[field.kind] if (field.kind, one) != ("SET", "contains")]
    return st.sampled_from(operators).flatmap(
        lambda operator: st.builds(
            Comparison, st.just(field.name), st.just(operator), operands.get(operator, values)
        ).map(partial(_in_normal_form, field))
    )


def _in_normal_form(field: Field, comparison: Comparison) -> Comparison:
    """Texts as the resolver leaves them, in lists no two the same."""
    whole, value = comparison.operator in ("eq", "in"), comparison.value
    if isinstance(value, str):
        return Comparison(comparison.field, comparison.operator, to_form(field, value, whole=whole))
    if isinstance(value, tuple) and field.kind in ("TEXT", "EMAIL"):
        texts = dict.fromkeys(to_form(field, str(one), whole=whole) for one in value)
        return Comparison(comparison.field, comparison.operator, tuple(texts))
    return comparison


def make_trees(vocabulary: Vocabulary, find_values: FindValues = make_values) -> st.SearchStrategy[Condition]:
    """Filters in normal form, within the limits of the language; ``find_values`` says with which values."""
    comparisons = {name: make_comparisons(field, vocabulary, find_values) for name, field in vocabulary.fields.items()}
    leaves = st.sampled_from(list(comparisons)).flatmap(comparisons.__getitem__)
    for name, beyond in vocabulary.relations.items():
        leaves |= make_trees(beyond, find_values).map(partial(Related, name))
    if vocabulary.counts_activities:
        leaves |= st.builds(
            Activities,
            st.sampled_from(["eq", "gt", "gte", "lt", "lte"]),
            st.integers(0, 4),
            st.lists(st.sampled_from(TYPES), max_size=3, unique=True).map(tuple),
            st.none() | st.sampled_from(["CRM", "SUPPORT", "INTEGRATION"]),
            st.none() | moments,
            st.none() | moments,
        )

    def join(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
        terms = st.lists(inner, min_size=2, max_size=3)
        return st.one_of(inner.map(negate), terms.map(conjoin), terms.map(disjoin))

    return st.recursive(leaves, join, max_leaves=8)


def make_record_values(field: Field) -> st.SearchStrategy[Any]:
    """What a record may have in the field."""
    options = st.sampled_from(field.options) if field.options else members
    by_kind: dict[str, st.SearchStrategy[Any]] = {
        "DATE": days,
        "DATETIME": instants,
        "NUMBER": numbers,
        "BOOLEAN": st.booleans(),
        "ENUM": options,
        "SET": st.lists(options, max_size=3),
    }
    return by_kind.get(field.kind, texts)


def make_records(vocabulary: Vocabulary) -> st.SearchStrategy[dict[str, Any]]:
    """Values of records by canonical name, many of them missing."""
    optional = {field.name: st.none() | make_record_values(field) for field in vocabulary.fields.values()}
    return st.fixed_dictionaries({}, optional=optional)


def make_rows() -> st.SearchStrategy[Row]:
    """Contacts with up to three companies and a few activities."""
    beyond = CONTACT.relations["company"]
    companies = st.lists(make_records(beyond).map(lambda values: make_row(beyond, values)), max_size=3)

    def build(values: dict[str, Any], related: list[Row], activities: int) -> Row:
        return make_row(CONTACT, values, {"company": related}, lambda *_: activities)

    return st.builds(build, make_records(CONTACT), companies, st.integers(0, 5))


contact_trees = make_trees(CONTACT)
company_trees = make_trees(COMPANY)
contact_rows = make_rows()
