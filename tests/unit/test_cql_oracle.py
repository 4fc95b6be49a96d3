"""The predicate against the rules written down plainly: slow, on raw values, one rule after the other."""

import operator
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, cast

import hypothesis.strategies as st
from hypothesis import given, settings

from kith.cql.ast import Activities, And, Comparison, Condition, Not, Or, Related, Relative
from kith.cql.datetimes import to_instants
from kith.cql.entity_schema import Field
from kith.cql.predicate import compile_predicate, make_row
from kith.cql.vocabulary import Vocabulary
from tests.unit.cql_trees import CONTACT, NOW, contact_trees, make_comparisons, make_record_values, make_records
from tests.unit.test_cql_properties import CI

BEYOND = CONTACT.relations["company"]
Record = Mapping[str, Any]
ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def holds(
    tree: Condition, record: Record, companies: Sequence[Record], activities: int, vocabulary: Vocabulary
) -> bool:
    if isinstance(tree, Not):
        return not holds(tree.term, record, companies, activities, vocabulary)
    if isinstance(tree, And | Or):
        terms = [holds(term, record, companies, activities, vocabulary) for term in tree.terms]
        return all(terms) if isinstance(tree, And) else any(terms)
    if isinstance(tree, Related):
        found = [company for company in companies if company.get("status") != "DELETED"]
        return any(holds(tree.where, company, (), 0, BEYOND) for company in found)
    if isinstance(tree, Activities):
        return ORDERS[tree.operator](activities, tree.count)
    assert isinstance(tree, Comparison)
    field, value = vocabulary.fields[tree.field], record.get(tree.field)
    if value in (None, "", []):
        return tree.operator == "is_null"
    return tree.operator != "is_null" and compare(tree, field, value)


def fold(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def compare(comparison: Comparison, field: Field, value: Any) -> bool:
    wanted = comparison.value
    many = list(wanted) if isinstance(wanted, tuple) else [wanted]
    if field.kind == "SET":
        return any(one in value for one in many) if comparison.operator == "has_any" else set(many) <= set(value)
    if field.kind in ("DATE", "DATETIME"):
        return compare_times(comparison.operator, field.kind, value, many)
    if field.kind in ("TEXT", "EMAIL"):
        value, many = fold(value), [fold(str(one)) for one in many]
    match comparison.operator:
        case "in":
            return any(value == one for one in many)
        case "between":
            return bool(many[0] <= value <= many[1])
        case "contains":
            return str(many[0]) in value
        case "starts_with":
            return value[: len(many[0])] == many[0]
        case "ends_with":
            return value[len(value) - len(many[0]) :] == many[0] if len(many[0]) <= len(value) else False
    return ORDERS[comparison.operator](value, many[0])


def compare_times(name: str, kind: str, value: Any, many: list[Any]) -> bool:
    if name == "between":
        return compare_times("gte", kind, value, many[:1]) and compare_times("lte", kind, value, many[1:])
    wanted = many[0]
    if isinstance(wanted, Relative):
        # What a relative time comes to has its examples; here it is as good as the day or the instant.
        start = to_instants("gte", wanted, NOW, CONTACT.zone).start
        wanted = to_local(start) if wanted.is_day else start
    if kind == "DATE" or not isinstance(wanted, datetime):
        value = to_local(value) if isinstance(value, datetime) else value
        wanted = to_local(wanted) if isinstance(wanted, datetime) else wanted
    return ORDERS[name](value, wanted)


def to_local(at: datetime) -> date:
    try:
        return at.astimezone(CONTACT.zone).date()
    except OverflowError:
        return at.date()


def is_within_the_calendar(record: Record) -> bool:
    """Whether all times of the record have a day in the time zone: those of the first and the last day may not."""
    times = [value for value in record.values() if isinstance(value, datetime)]
    return all(datetime(1, 1, 3, tzinfo=UTC) < at < datetime(9999, 12, 30, tzinfo=UTC) for at in times)


records = make_records(CONTACT).filter(is_within_the_calendar)
companies_of = st.lists(make_records(BEYOND).filter(is_within_the_calendar), max_size=3)


COMPARISONS = {name: make_comparisons(field, CONTACT) for name, field in CONTACT.fields.items()}


def is_there(value: Any) -> bool:
    return value not in (None, "", []) and is_within_the_calendar({"": value})


@st.composite
def meetings(draw: st.DrawFn) -> tuple[Comparison, Record]:
    """A record, and a comparison of a value that it has with that value or one next to it."""
    field = draw(st.sampled_from(list(CONTACT.fields.values())))
    record = {field.name: draw(make_record_values(field).filter(is_there))}
    comparison = cast(Comparison, draw(COMPARISONS[field.name]))
    value = record[field.name]
    if comparison.operator == "is_null" or draw(st.booleans()):
        return comparison, record
    if field.kind == "SET":
        own = draw(st.lists(st.sampled_from(value), min_size=1, unique=True))
        wanted = dict.fromkeys((*own, *cast(tuple[str, ...], comparison.value)[: draw(st.integers(0, 1))]))
        return Comparison(field.name, comparison.operator, tuple(wanted)), record
    if isinstance(value, str) and not field.options:
        value = value.swapcase()[draw(st.integers(0, 1)) : draw(st.integers(1, 9))]
    if not isinstance(comparison.value, tuple):
        return Comparison(field.name, comparison.operator, value), record
    values = list(comparison.value)
    values[draw(st.integers(0, len(values) - 1))] = value
    return Comparison(field.name, comparison.operator, tuple(values)), record


@settings(max_examples=3000 if CI else 500)
@given(meetings())
def test_a_comparison_with_what_is_there_does_what_the_rules_say(meeting: tuple[Comparison, Record]) -> None:
    comparison, record = meeting
    row = make_row(CONTACT, record)
    assert compile_predicate(comparison, CONTACT, NOW)(row) is holds(comparison, record, (), 0, CONTACT)


@settings(max_examples=1500 if CI else 200)
@given(contact_trees, records, companies_of, st.integers(0, 5))
def test_the_predicate_does_what_the_rules_say(
    tree: Condition, record: Record, companies: list[Record], activities: int
) -> None:
    related = {"company": [make_row(BEYOND, company) for company in companies]}
    row = make_row(CONTACT, record, related, lambda *_: activities)
    expected = holds(tree, record, companies, activities, CONTACT)
    assert compile_predicate(tree, CONTACT, NOW)(row) is expected
