"""The tree of a query. Frozen; every surface builds it, the compiler reads it."""

from datetime import datetime
from typing import Literal

import msgspec

Operator = Literal["eq", "in", "gte", "lt", "lte", "has_any"]
Scalar = str | int | bool | datetime
Value = Scalar | tuple[Scalar, ...]


class Comparison(msgspec.Struct, frozen=True, tag=True):
    """A field held against a value."""

    field: str
    operator: Operator
    value: Value


class Search(msgspec.Struct, frozen=True, tag=True):
    """Each term of the query begins some searchable word of the record."""

    query: str


class And(msgspec.Struct, frozen=True, tag=True):
    """All of them hold; with no terms, always."""

    terms: tuple["Condition", ...]


Condition = Comparison | Search | And


class Sort(msgspec.Struct, frozen=True):
    """Missing values come last either way; ties are broken by id in the same direction."""

    field: str
    descending: bool


class After(msgspec.Struct, frozen=True):
    """The place behind a row: its sort key (None where the value is missing) and its id."""

    key: str | None
    id: int


class Query(msgspec.Struct, frozen=True):
    """A page of an entity. ``after`` and ``offset`` exclude each other."""

    entity: str
    where: And
    sort: Sort
    limit: int
    offset: int = 0
    after: After | None = None
