"""From the typed tree to a function that says whether a record in memory fits it, and the order of such records.

It agrees with the SQL of the same tree on every record; lists whose members change with their records rest on that.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, tzinfo
from decimal import Decimal
from operator import eq, ge, gt, le, lt
from typing import Any, TypeVar

from kith.cql.ast import Activities, And, Comparison, Condition, Not, Or, Related, Sort
from kith.cql.conditions import to_many
from kith.cql.datetimes import Range, to_days, to_instants, to_start
from kith.cql.dependencies import ACTIVITIES
from kith.cql.entity_schema import Field, Kind
from kith.cql.vocabulary import Vocabulary
from kith.model.text import fold_case, to_sort_key
from kith.model.typed_values import find_day, find_instant
from kith.model.values import to_e164, to_phone, to_phone_part

T = TypeVar("T", date, datetime)

Row = dict[str, Any]
"""A record as a predicate looks at it, made by ``make_row``."""

Predicate = Callable[[Row], bool]

CountActivities = Callable[[tuple[str, ...], str | None, datetime | None, datetime | None], int]
"""How many there are: (of these types or all, of this module or any, from this instant on, before this one)."""


def make_row(
    vocabulary: Vocabulary,
    values: Mapping[str, Any],
    related: Mapping[str, Iterable[Row]] = {},
    count_activities: CountActivities | None = None,
) -> Row:
    """The row of a record. ``values`` are by canonical name, as the record has them.

    ``related`` are rows by relation, made with ``vocabulary.relations[name]``; their values have those of the link.

    A value that is not of its field's kind is none, as is an empty text or set: a property may have been defined later.
    Numbers may be int, Decimal or float; days and instants as a text only in the form in which properties keep them.
    ``tags`` are keys; ``lists`` are both the number and the external id of each list, as texts. Related records that
    are deleted are left out; where activities are not counted there are none.
    """
    fields = vocabulary.fields
    row: Row = dict.fromkeys(fields)
    for name, value in values.items():
        if value is not None and (field := fields.get(name)) is not None:
            row[name] = _PREPARE[field.kind](value)
    for field in vocabulary.phones:
        e164 = values[field.phone] if field.phone in values else to_e164(str(values.get(field.name) or ""))
        row[field.phone] = e164 or row[field.name]
    for name in vocabulary.relations:
        row[name] = [beyond for beyond in related.get(name, ()) if beyond["status"] != "DELETED"]
    row[ACTIVITIES] = count_activities or _count_none
    return row


def compile_predicate(tree: Condition, vocabulary: Vocabulary, now: datetime) -> Predicate:
    """Whether a row fits the tree, which was resolved with this vocabulary.

    ``now``, with its time zone, is what relative times are counted from; ``reads.has_relative`` says whether there are
    any.
    """
    if isinstance(tree, Comparison):
        return _compare(tree, vocabulary.fields[tree.field], vocabulary.zone, now)
    if isinstance(tree, Not):
        return _negate(tree.term, compile_predicate(tree.term, vocabulary, now))
    if isinstance(tree, And | Or):
        terms = [compile_predicate(term, vocabulary, now) for term in sorted(tree.terms, key=_weigh)]
        return _all(*terms) if isinstance(tree, And) else _any(*terms)
    if isinstance(tree, Related):
        return _relate(tree.relation, compile_predicate(tree.where, vocabulary.relations[tree.relation], now))
    assert isinstance(tree, Activities), f"no part of a filter: {tree}"
    return _count(tree, vocabulary.zone, now)


def make_sort_key(sorts: Sequence[Sort], phones: Iterable[Field] = ()) -> Callable[[Mapping[str, Any]], Any]:
    """The key that records are sorted by, of their values by canonical name, ``id`` among them.

    Texts by their sort key, code point by code point; missing values last in either direction; ties by id, in the
    direction of the last field. ``phones`` are sorted by the form in which they are compared, as rows have it.
    """
    names = {field.name: field.phone for field in phones}
    last = sorts[-1].descending if sorts else False

    def make_key(values: Mapping[str, Any]) -> Any:
        key = [_place(values.get(names.get(sort.field, sort.field)), descending=sort.descending) for sort in sorts]
        return (*key, _place(values["id"], descending=last))

    return make_key


class _Descending:
    """A value that sorts before those that are less."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and bool(self.value == other.value)

    def __lt__(self, other: "_Descending") -> bool:
        return bool(other.value < self.value)

    __hash__ = None  # type: ignore[assignment]


def _place(value: Any, *, descending: bool) -> tuple[Any, ...]:
    if value is None or value == "":
        return (1,)
    if isinstance(value, str):
        value = to_sort_key(value)
    return (0, _Descending(value) if descending else value)


def _weigh(term: Condition) -> int:
    """What is dear, or nearly always so as a status is, is asked last: that is seldom."""
    term = term.term if isinstance(term, Not) else term
    if isinstance(term, Comparison):
        return int(term.field == "status")
    return 2 if isinstance(term, And | Or) else 3


def _negate(term: Condition, positive: Predicate) -> Predicate:
    if isinstance(term, Comparison) and term.operator == "is_null":
        name = term.field
        return lambda row: row[name] is not None
    return lambda row: not positive(row)


# One call for each number of terms, as far as that is common: a loop costs as much as the terms.
def _all(*terms: Predicate) -> Predicate:
    match terms:
        case ():
            return lambda row: True
        case (one, two):
            return lambda row: one(row) and two(row)
        case (one, two, three):
            return lambda row: one(row) and two(row) and three(row)
        case (one, two, three, *rest):
            others = _all(*rest) if len(rest) > 1 else rest[0]
            return lambda row: one(row) and two(row) and three(row) and others(row)
    return terms[0]


def _any(*terms: Predicate) -> Predicate:
    match terms:
        case (one, two):
            return lambda row: one(row) or two(row)
        case (one, two, three):
            return lambda row: one(row) or two(row) or three(row)
        case (one, two, three, *rest):
            others = _any(*rest) if len(rest) > 1 else rest[0]
            return lambda row: one(row) or two(row) or three(row) or others(row)
    return terms[0]


def _relate(relation: str, where: Predicate) -> Predicate:
    def fits(row: Row) -> bool:
        for beyond in row[relation]:  # noqa: SIM110 - a generator costs as much as the terms
            if where(beyond):
                return True
        return False

    return fits


def _count(activities: Activities, zone: tzinfo, now: datetime) -> Predicate:
    types, module, count = activities.types, activities.module, activities.count
    since = to_start(activities.since, now, zone) if activities.since is not None else None
    before = to_start(activities.before, now, zone) if activities.before is not None else None
    fits = _ORDERS[activities.operator]
    return lambda row: fits(row[ACTIVITIES](types, module, since, before), count)


def _count_none(*_: Any) -> int:
    return 0


def _compare(comparison: Comparison, field: Field, zone: tzinfo, now: datetime) -> Predicate:
    name, operator, value = comparison.field, comparison.operator, comparison.value
    if operator == "is_null":
        return lambda row: row[name] is None
    if field.kind == "DATETIME":
        return _lie_within(name, to_instants(operator, value, now, zone))
    if field.kind == "DATE":
        return _lie_within(name, to_days(operator, value, now, zone))
    if field.form == "phone":
        if operator in ("eq", "in"):
            return _hold_many(field.phone, "in", tuple(to_phone(str(one)) for one in to_many(value)))
        given = _hold(name, operator, fold_case(str(value)))
        part = to_phone_part(str(value))
        return given if part is None else _any(given, _hold(field.phone, operator, part))
    if field.kind == "TEXT" or field.kind == "EMAIL":
        value = tuple(fold_case(str(text)) for text in value) if isinstance(value, tuple) else fold_case(str(value))
    if field.kind == "NUMBER":
        value = tuple(map(to_plain, value)) if isinstance(value, tuple) else to_plain(value)
    if isinstance(value, tuple):
        return _hold_many(name, operator, value)
    if operator == "eq":
        return lambda row: row[name] == value
    return _hold(name, operator, value)


def to_plain(number: Any) -> Any:
    """An int where it is one: most records have ints, and ints are compared with ints at once."""
    return int(number) if number == number.to_integral_value() else number


def _hold(name: str, operator: str, wanted: Any) -> Predicate:
    """What needs a value that is there."""
    match operator:
        case "contains":
            return lambda row: (value := row[name]) is not None and wanted in value
        case "starts_with":
            return lambda row: (value := row[name]) is not None and value.startswith(wanted)
        case "ends_with":
            return lambda row: (value := row[name]) is not None and value.endswith(wanted)
        case "gt":
            return lambda row: (value := row[name]) is not None and value > wanted
        case "gte":
            return lambda row: (value := row[name]) is not None and value >= wanted
        case "lt":
            return lambda row: (value := row[name]) is not None and value < wanted
        case "lte":
            return lambda row: (value := row[name]) is not None and value <= wanted
    raise AssertionError(operator)


def _hold_many(name: str, operator: str, values: tuple[Any, ...]) -> Predicate:
    if operator == "between":
        low, high = values
        return lambda row: (value := row[name]) is not None and low <= value <= high
    wanted = frozenset(values)
    if operator == "in":
        return lambda row: row[name] in wanted
    if operator == "has_all":
        return lambda row: (value := row[name]) is not None and wanted <= value
    return lambda row: (value := row[name]) is not None and not wanted.isdisjoint(value)


def _lie_within(name: str, stretch: Range[T]) -> Predicate:
    start, end = stretch.start, stretch.end
    if start is None and end is None:
        return lambda row: row[name] is not None
    if start is None:
        return lambda row: (value := row[name]) is not None and value < end
    if end is None:
        return lambda row: (value := row[name]) is not None and value >= start
    return lambda row: (value := row[name]) is not None and start <= value < end


_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {"eq": eq, "gt": gt, "gte": ge, "lt": lt, "lte": le}


def _prepare_text(value: Any) -> str | None:
    return fold_case(value) or None if isinstance(value, str) else None


def _prepare_option(value: Any) -> str | None:
    return value or None if isinstance(value, str) else None


def _prepare_number(value: Any) -> int | Decimal | None:
    if isinstance(value, float):
        return Decimal(repr(value))
    return value if isinstance(value, int | Decimal) and not isinstance(value, bool) else None


def _prepare_boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _prepare_day(value: Any) -> date | None:
    if isinstance(value, date):
        return None if isinstance(value, datetime) else value
    return find_day(value)


def _prepare_instant(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else find_instant(value)


def _prepare_members(value: Any) -> frozenset[str] | None:
    if not isinstance(value, list | tuple | set | frozenset):
        return None
    return frozenset(member for member in value if isinstance(member, str)) or None


_PREPARE: Mapping[Kind, Callable[[Any], Any]] = {
    "TEXT": _prepare_text,
    "EMAIL": _prepare_text,
    "ENUM": _prepare_option,
    "NUMBER": _prepare_number,
    "BOOLEAN": _prepare_boolean,
    "DATE": _prepare_day,
    "DATETIME": _prepare_instant,
    "SET": _prepare_members,
}
