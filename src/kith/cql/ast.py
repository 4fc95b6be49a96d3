"""The tree of a query. Frozen, hashable and in normal form; every notation is resolved to it, every back end reads it.

Normal form: only positive operators (``!=`` is ``Not`` of ``eq``), no ``Not`` right under a ``Not``, no ``And`` right
under an ``And`` nor ``Or`` under an ``Or``, no group of one term. Who makes conditions of others uses ``negate``,
``conjoin`` and ``disjoin``, which keep it so. The one group without terms is ``And(())`` as the whole filter: always.
"""

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

import msgspec

Operator = Literal[
    "eq", "in", "gt", "gte", "lt", "lte", "between", "contains", "starts_with", "ends_with", "has_any", "has_all",
    "is_null",
]  # fmt: skip
CountOperator = Literal["eq", "gt", "gte", "lt", "lte"]
Anchor = Literal[
    "now", "today", "yesterday", "tomorrow", "startOfWeek", "startOfMonth", "startOfQuarter", "startOfYear"
]
Unit = Literal["m", "h", "d", "w", "mo", "y"]


class Relative(msgspec.Struct, frozen=True, tag=True):
    """A time that depends on when it is asked: ``amount`` units (minutes, hours, days, …) from the anchor.

    Without an offset the amount is 0 and the unit ``d``.
    """

    anchor: Anchor
    amount: int = 0
    unit: Unit = "d"

    @property
    def is_day(self) -> bool:
        """Whether it stands for a whole day, as a date does, and not for an instant."""
        return self.anchor in ("today", "yesterday", "tomorrow") and self.unit not in ("m", "h")


Moment = date | datetime | Relative
# An int stands only in conditions that the program itself makes, on ids.
Scalar = str | Decimal | bool | Moment | int
Value = Scalar | tuple[Scalar, ...] | None


class Comparison(msgspec.Struct, frozen=True, tag=True):
    """A field held against a value. False where the field has no value, but for ``is_null``.

    ``field`` is the canonical name: of the catalogue, ``properties.<key>``, or, within ``Related``, also of the link.
    ``value`` by operator: a tuple for ``in``, ``has_any``, ``has_all`` (one or more, none twice) and ``between`` (from,
    to); None for ``is_null``; else one. By kind of field: TEXT and EMAIL as written, compared lower-cased; ENUM in the
    catalogue's spelling; NUMBER a ``Decimal`` without trailing zeros; BOOLEAN a bool; DATE and DATETIME a ``Moment``,
    where a ``datetime`` is in UTC to the millisecond; members of SETs: tags lower-cased, lists by number or external
    id, both as text, options in the catalogue's spelling.
    """

    field: str
    operator: Operator
    value: Value = None


class Related(msgspec.Struct, frozen=True, tag=True):
    """Some record that the relation leads to, and that is not deleted, fits ``where``.

    ``where`` has fields of that record and of the link (``role``, ``isPrimary``, ``link.<key>``), and no further
    ``Related`` or ``Activities``.
    """

    relation: str
    where: "Condition"


class Activities(msgspec.Struct, frozen=True, tag=True):
    """How many activities a contact has: of the ``types`` (all where empty), of the module, from ``since`` on, before.

    A day as ``since`` or ``before`` means its first moment.
    """

    operator: CountOperator
    count: int
    types: tuple[str, ...] = ()
    module: str | None = None
    since: Moment | None = None
    before: Moment | None = None


class Search(msgspec.Struct, frozen=True, tag=True):
    """Each term of the query begins some word of the searchable fields, or of those that are named.

    It stands beside a filter and not within one: neither notation has it, and no predicate is made of it.
    """

    query: str
    fields: tuple[str, ...] = ()


class Not(msgspec.Struct, frozen=True, tag=True):
    """The complement: the term does not hold, be it that a value is missing."""

    term: "Condition"


class And(msgspec.Struct, frozen=True, tag=True):
    """All of them hold; with no terms, always."""

    terms: tuple["Condition", ...]


class Or(msgspec.Struct, frozen=True, tag=True):
    """Some of them holds."""

    terms: tuple["Condition", ...]


Condition = Comparison | Related | Activities | Search | Not | And | Or
EVERYTHING = And(())


class Sort(msgspec.Struct, frozen=True):
    """Missing values come last either way; ties are broken by id in the same direction."""

    field: str
    descending: bool


class After(msgspec.Struct, frozen=True):
    """The place behind a row: its sort keys as text (None where a value is missing), its id and its entity."""

    keys: tuple[str | None, ...]
    id: int
    entity: str


class Query(msgspec.Struct, frozen=True):
    """A page of one entity or of several. ``after`` and ``offset`` exclude each other; ``select`` None shows all."""

    entities: tuple[str, ...]
    where: Condition
    sort: tuple[Sort, ...]
    limit: int
    offset: int = 0
    after: After | None = None
    select: tuple[str, ...] | None = None


def negate(term: Condition) -> Condition:
    return term.term if isinstance(term, Not) else Not(term)


def conjoin(terms: Iterable[Condition]) -> Condition:
    """All of the terms."""
    flat: list[Condition] = []
    for term in terms:
        flat.extend(term.terms) if isinstance(term, And) else flat.append(term)
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def disjoin(terms: Iterable[Condition]) -> Condition:
    """Some of the terms; at least one is given."""
    flat: list[Condition] = []
    for term in terms:
        flat.extend(term.terms) if isinstance(term, Or) else flat.append(term)
    return flat[0] if len(flat) == 1 else Or(tuple(flat))
