"""Of many filters, the few that a record may fit: by the value that one of their conditions wants.

Most filters want a field to have one of a few values, or to begin with something. Those that want the same are told
apart by a range of numbers, if they want one.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from kith.cql.ast import And, Comparison, Condition
from kith.cql.conditions import to_many
from kith.cql.entity_schema import Field
from kith.cql.predicate import Row, to_plain
from kith.model.text import fold_case
from kith.model.values import to_phone

T = TypeVar("T")
Number = int | Decimal
Fields = Mapping[str, Field]


class Anchor(NamedTuple):
    """A field that must have one of the values as a row has them, a set that has to hold one, or how a text begins."""

    field: str
    values: tuple[Any, ...]
    how: Literal["has", "begins"] = "has"


class Bound(NamedTuple):
    """A field whose number has to be at least ``low``, and at most ``high`` if that is given."""

    field: str
    low: Number
    high: Number | None


def find_anchor(tree: Condition, fields: Fields) -> Anchor | None:
    """Of the conditions that all have to hold, one on few values; the status is that of nearly every record."""
    anchors = []
    for term in _list_terms(tree):
        kind = fields[term.field].kind
        if term.field == "status" or kind in ("DATE", "DATETIME"):
            continue
        name, values = term.field, to_many(term.value)
        if fields[term.field].form == "phone":
            if term.operator not in ("eq", "in"):
                continue
            name, values = fields[term.field].phone, [to_phone(str(value)) for value in values]
        elif kind in ("TEXT", "EMAIL"):
            values = [fold_case(str(value)) for value in values]
        if term.operator in ("eq", "in", "has_any"):
            anchors.append(Anchor(name, tuple(values)))
        elif term.operator == "has_all":
            anchors.append(Anchor(term.field, tuple(values[:1])))
        elif term.operator == "starts_with":
            anchors.append(Anchor(term.field, tuple(values), "begins"))
    return min(anchors, key=lambda anchor: (len(anchor.values), anchor.how == "begins"), default=None)


def find_bound(tree: Condition, fields: Fields) -> Bound | None:
    """Of the conditions that all have to hold, one on a range of numbers; the narrowest."""
    bounds = []
    for term in _list_terms(tree):
        if fields[term.field].kind != "NUMBER" or term.operator == "is_null":
            continue
        values = [to_plain(value) for value in to_many(term.value)]
        if term.operator in ("gt", "gte"):
            bounds.append(Bound(term.field, values[0], None))
        elif term.operator == "between":
            bounds.append(Bound(term.field, *values))
    closed = [bound for bound in bounds if bound.high is not None]
    return min(closed, key=_measure, default=bounds[0] if bounds else None)


class FilterIndex(Generic[T]):
    """Finds what was added with filters that a row may fit."""

    def __init__(self, filters: Iterable[tuple[Condition, Fields, T]]) -> None:
        loose: list[_Bounded[T]] = []
        values: dict[str, dict[Any, list[_Bounded[T]]]] = {}
        beginnings: dict[str, dict[str, list[_Bounded[T]]]] = {}
        for tree, fields, item in filters:
            anchor, bounded = find_anchor(tree, fields), _Bounded(find_bound(tree, fields), item)
            if anchor is None:
                loose.append(bounded)
                continue
            anchored = values if anchor.how == "has" else beginnings
            for value in anchor.values:
                anchored.setdefault(anchor.field, {}).setdefault(value, []).append(bounded)
        self._loose = _Bucket(loose)
        self._values = {field: _make_buckets(by_value) for field, by_value in values.items()}
        self._beginnings = [
            (field, sorted({len(one) for one in by_text}), _make_buckets(by_text))
            for field, by_text in beginnings.items()
        ]

    def list_candidates(self, row: Row) -> Iterator[T]:
        """All whose filter the row may fit; one may come twice."""
        for bucket in self._list_buckets(row):
            yield from bucket.plain
            for ladder in bucket.ladders:
                value = row[ladder.field]
                if value is not None:
                    yield from ladder.list_around(value)

    def _list_buckets(self, row: Row) -> Iterator["_Bucket[T]"]:
        yield self._loose
        for field, by_value in self._values.items():
            held = row[field]
            for value in held if isinstance(held, frozenset) else (held,):
                if value is not None and (bucket := by_value.get(value)) is not None:
                    yield bucket
        for field, lengths, by_text in self._beginnings:
            text = row[field]
            if text is not None:
                for length in lengths:
                    if (bucket := by_text.get(text[:length])) is not None:
                        yield bucket


class _Bounded(NamedTuple, Generic[T]):
    bound: Bound | None
    item: T


class _Ladder(Generic[T]):
    """Items by the low end of their ranges. ``_width`` is that of the widest, None where one has no end."""

    def __init__(self, field: str, bounded: Iterable[tuple[Bound, T]]) -> None:
        steps = sorted(bounded, key=lambda one: one[0].low)
        self.field = field
        self._lows = [bound.low for bound, _ in steps]
        self._items = [item for _, item in steps]
        widths = [None if bound.high is None else bound.high - bound.low for bound, _ in steps]
        self._width = None if None in widths else max(width for width in widths if width is not None)

    def list_around(self, value: Number) -> list[T]:
        """Those whose range may hold the value."""
        end = bisect_right(self._lows, value)
        # From the lowest on that is as near as the widest range is wide: it may hold the value, and so may all above.
        start = 0 if self._width is None else bisect_right(self._lows, value - self._width - 1)
        return self._items[start:end]


class _Bucket(Generic[T]):
    """Items that have the same anchor, or none: those without a bound, and a ladder for each field with bounds.

    Ranges that have an end and those that have none stand on ladders of their own.
    """

    def __init__(self, items: Iterable[_Bounded[T]]) -> None:
        self.plain: list[T] = []
        by_field: dict[tuple[str, bool], list[tuple[Bound, T]]] = {}
        for bound, item in items:
            if bound is None:
                self.plain.append(item)
            else:
                by_field.setdefault((bound.field, bound.high is None), []).append((bound, item))
        self.ladders = [_Ladder(field, bounded) for (field, _), bounded in by_field.items()]


def _make_buckets(by_value: Mapping[Any, list[_Bounded[T]]]) -> dict[Any, _Bucket[T]]:
    return {value: _Bucket(items) for value, items in by_value.items()}


def _list_terms(tree: Condition) -> list[Comparison]:
    terms = tree.terms if isinstance(tree, And) else (tree,)
    return [term for term in terms if isinstance(term, Comparison)]


def _measure(bound: Bound) -> Number:
    assert bound.high is not None
    return bound.high - bound.low
