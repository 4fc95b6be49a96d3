"""A page in the SQL of its order: what rows are sorted by, and where those behind a place begin."""

from collections.abc import Sequence

import msgspec

from kith.cql.ast import After, Query, Sort
from kith.cql.conditions import Scope, Values, write_plain, write_sort_text
from kith.cql.entity_schema import Field


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """What rows are sorted by: the SQL of it, its type, whether it may be missing and an index has those rows too."""

    sql: str
    type: str
    descending: bool
    nullable: bool
    finds_missing: bool = False
    is_id: bool = False
    # What rows of the same key are sorted by.
    number: str = "c.id"

    @property
    def direction(self) -> str:
        return "DESC" if self.descending else "ASC"


def make_keys(scope: Scope, sorts: Sequence[Sort]) -> list[Key]:
    """What rows are sorted by."""
    return [_make_key(scope, sort) for sort in sorts]


def _make_key(scope: Scope, sort: Sort) -> Key:
    field = scope.find(sort.field)
    assert field is not None, sort.field
    if field.name == "id":
        return Key(sql=field.key or "c.id", type="bigint", descending=sort.descending, nullable=False, is_id=True)
    sql, type_ = _write_key(field)
    number = scope.find("id")
    return Key(
        sql=sql,
        type=type_,
        descending=sort.descending,
        nullable=field.nullable,
        finds_missing=field.finds_missing,
        number=(number.key if number is not None else None) or "c.id",
    )


def _write_key(field: Field) -> tuple[str, str]:
    match "TEXT" if field.kind == "ENUM" and not field.column else field.kind:
        case "TEXT" | "EMAIL":
            return field.key or write_sort_text(field), "text"
        case "NUMBER":
            return field.key or write_plain(field), "numeric"
        case "BOOLEAN":
            return write_plain(field), "boolean"
        case "DATE" | "DATETIME":
            return field.key or f"({write_plain(field)})::timestamptz", "timestamptz"
    return field.key or write_plain(field), "text"


def split_at_missing(rows: str, keys: Sequence[Key], after: After | None, most: str, values: Values) -> list[str]:
    """A nullable key is read in two parts, values and then missing ones: an index holds nulls at one end only.

    PostgreSQL does not begin the second part when the first fills the page.
    """
    [key] = keys
    sign = "<" if key.descending else ">"
    # A sort by the number itself has no ties.
    order = f"{key.sql} {key.direction}" + ("" if key.is_id else f", {key.number} {key.direction}")
    parts: list[str] = []
    if after is None or after.keys[0] is not None:
        there = f" AND {key.sql} IS NOT NULL" if key.nullable else ""
        behind = ""
        if after is not None and key.is_id:
            behind = f" AND {key.sql} {sign} {values.add(after.id)}::bigint"
        elif after is not None:
            place = f"({_add_key(key, after.keys[0], values)}, {values.add(after.id)}::bigint)"
            behind = f" AND ({key.sql}, {key.number}) {sign} {place}"
        parts.append(f"{rows}{there}{behind} ORDER BY {order} LIMIT {most}")
    if key.nullable:
        nulls = f"c.id {key.direction}"
        if key.finds_missing:
            # Within the missing ones this order is that of the index, read from the end where the nulls are.
            nulls = f"{key.sql} {key.direction} NULLS {'FIRST' if key.descending else 'LAST'}, {nulls}"
        behind = ""
        if after is not None and after.keys[0] is None:
            behind = f" AND c.id {sign} {values.add(after.id)}::bigint"
        parts.append(f"{rows} AND {key.sql} IS NULL{behind} ORDER BY {nulls} LIMIT {most}")
    return parts


def split_order(rows: str, keys: Sequence[Key], after: After | None, most: str, values: Values) -> list[str]:
    """As ``split_at_missing``, by the first of several keys: the rest is sorted within its values only."""
    first, rest = keys[0], keys[1:]
    if not first.nullable:
        return [_write_ordered(rows, keys, after, most, values)]
    parts: list[str] = []
    if after is None or after.keys[0] is not None:
        there = [msgspec.structs.replace(first, nullable=False), *rest]
        parts.append(_write_ordered(f"{rows} AND {first.sql} IS NOT NULL", there, after, most, values))
    missing = after is not None and after.keys[0] is None
    behind = After(after.keys[1:], after.id, after.entity) if after is not None and missing else None
    parts.append(_write_ordered(f"{rows} AND {first.sql} IS NULL", rest, behind, most, values))
    return parts


def _write_ordered(rows: str, keys: Sequence[Key], after: After | None, most: str, values: Values) -> str:
    behind = ""
    if after is not None:
        if not keys[0].nullable:
            # What follows says so too, but not so that an index can begin there.
            sign = "<=" if keys[0].descending else ">="
            behind = f" AND {keys[0].sql} {sign} {_add_key(keys[0], after.keys[0], values)}"
        behind += f" AND ({_compile_behind(keys, after, values)})"
    # An index read backwards has the missing ones first.
    order = [f"{key.sql} {key.direction}{' NULLS LAST' if key.nullable else ''}" for key in keys]
    if not keys[-1].is_id:
        order.append(f"c.id {keys[-1].direction}")
    return f"{rows}{behind} ORDER BY {', '.join(order)} LIMIT {most}"


def _compile_behind(keys: Sequence[Key], after: After, values: Values) -> str:
    """Behind the place: behind it in the first key, or level with it there and behind in the next, and so on."""
    alternatives: list[str] = []
    level: list[str] = []
    for key, value in zip(keys, after.keys, strict=True):
        sign = "<" if key.descending else ">"
        if key.is_id:
            alternatives.append(" AND ".join([*level, f"{key.sql} {sign} {values.add(after.id)}::bigint"]))
            return " OR ".join(f"({one})" for one in alternatives)
        if value is None:
            level.append(f"{key.sql} IS NULL")
            continue
        place = _add_key(key, value, values)
        missing = f" OR {key.sql} IS NULL" if key.nullable else ""
        alternatives.append(" AND ".join([*level, f"({key.sql} {sign} {place}{missing})"]))
        level.append(f"{key.sql} = {place}")
    sign = "<" if keys[-1].descending else ">"
    alternatives.append(" AND ".join([*level, f"c.id {sign} {values.add(after.id)}::bigint"]))
    return " OR ".join(f"({one})" for one in alternatives)


def find_after(entity: str, query: Query, *, several: bool) -> After | None:
    """The place behind which this entity's rows follow: rows of the same keys and id stand in the order of entities."""
    after = query.after
    if after is None or not several:
        return after
    descending = query.sort[-1].descending
    follows = entity < after.entity if descending else entity > after.entity
    if not follows:
        return after
    return After(after.keys, after.id + 1 if descending else after.id - 1, after.entity)


def _add_key(key: Key, value: str | None, values: Values) -> str:
    """As text: a number keeps its digits, and the driver takes the first moment of the year 1 for -infinity."""
    return f"{values.add(value)}::text::{key.type}"
