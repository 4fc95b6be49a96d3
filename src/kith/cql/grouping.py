"""Aggregation: what is counted and summed, by which groups, from the client's JSON to SQL."""

from collections.abc import Mapping
from typing import Any, Literal, cast, get_args

import msgspec

from kith.cql.ast import Condition
from kith.cql.compile import Source, Statement, write_from
from kith.cql.conditions import Context, Values, write_plain
from kith.cql.entity_schema import Field
from kith.cql.errors import list_names, refuse, refuse_size, show
from kith.cql.resolve import refuse_field
from kith.cql.vocabulary import Vocabulary
from kith.model.derived import PROPERTIES

Function = Literal["count", "sum", "avg", "min", "max"]
Period = Literal["day", "week", "month"]
AGGREGATES_MAX = 10
GROUP_FIELDS_MAX = 3
GROUPS_MAX = 10_000
NAME_CHARACTERS_MAX = 64
_KINDS: Mapping[Function, tuple[str, ...]] = {
    "count": ("TEXT", "EMAIL", "ENUM", "NUMBER", "BOOLEAN", "DATE", "DATETIME"),
    "sum": ("NUMBER",),
    "avg": ("NUMBER",),
    "min": ("NUMBER", "DATE", "DATETIME"),
    "max": ("NUMBER", "DATE", "DATETIME"),
}
_INSTANT = """'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'"""


class Aggregate(msgspec.Struct, frozen=True):
    """A figure of each group, called ``name``; of a field, or without one of the records."""

    function: Function
    field: str | None
    name: str


class Group(msgspec.Struct, frozen=True):
    """Records with the same value of the field; of a time, with the ``period`` in which it lies in the zone."""

    field: str
    period: Period | None


class Grouping(msgspec.Struct, frozen=True):
    """Without groups, all records are one."""

    aggregates: tuple[Aggregate, ...]
    groups: tuple[Group, ...]


def resolve_grouping(aggregates: Any, groups: Any, vocabulary: Vocabulary) -> Grouping:
    """Of ``[{"fn", "field"?, "as"?}]`` and ``[field | {"field", "by"}]``.

    Raises QUERY_SYNTAX, UNKNOWN_FIELD, OPERATOR_NOT_ALLOWED, QUERY_TOO_COMPLEX, each with its path.
    """
    if not isinstance(aggregates, list) or not aggregates:
        raise refuse("QUERY_SYNTAX", 'aggregate is a list such as [{"fn": "count"}].', "aggregate")
    if len(aggregates) > AGGREGATES_MAX:
        raise refuse_size("aggregates", AGGREGATES_MAX, len(aggregates), "aggregate")
    groups = groups if groups is not None else []
    if not isinstance(groups, list):
        raise refuse("QUERY_SYNTAX", 'groupBy is a list such as ["status"].', "groupBy")
    if len(groups) > GROUP_FIELDS_MAX:
        raise refuse_size("fields to group by", GROUP_FIELDS_MAX, len(groups), "groupBy")
    made = Grouping(
        tuple(_read_aggregate(one, f"aggregate[{n}]", vocabulary) for n, one in enumerate(aggregates)),
        tuple(_read_group(one, f"groupBy[{n}]", vocabulary) for n, one in enumerate(groups)),
    )
    names = [*(group.field for group in made.groups), *(aggregate.name for aggregate in made.aggregates)]
    if twice := next((name for n, name in enumerate(names) if name in names[:n]), None):
        raise refuse("QUERY_SYNTAX", f"{show(twice)} would be there twice; name one with as.", "aggregate")
    return made


def compile_groups(
    source: Source, where: Condition, grouping: Grouping, shard: int, workspace_id: int, context: Context
) -> Statement:
    """One row: ``rows`` (a JSON array, by the groups' values, missing ones last) and ``count``, how many."""
    values = Values(shard, workspace_id)
    columns = []
    for n, group in enumerate(grouping.groups):
        field = source.scope.find(group.field)
        assert field is not None
        columns.append(f"{_write_group(field, group, values, context)} AS g{n}")
    for n, aggregate in enumerate(grouping.aggregates):
        field = source.scope.find(aggregate.field) if aggregate.field is not None else None
        columns.append(f"{_write_aggregate(aggregate, field)} AS a{n}")
    numbers = ", ".join(str(n) for n in range(1, len(grouping.groups) + 1))
    by = f" GROUP BY {numbers} ORDER BY {numbers}" if grouping.groups else ""
    rows = f"SELECT {', '.join(columns)} {write_from(source, where, values, context)}{by} LIMIT {GROUPS_MAX + 1}"
    names = [group.field for group in grouping.groups] + [aggregate.name for aggregate in grouping.aggregates]
    keys = [f"g{n}" for n in range(len(grouping.groups))] + [f"a{n}" for n in range(len(grouping.aggregates))]
    pairs = ", ".join(f"{values.add(name)}::text, {key}" for name, key in zip(names, keys, strict=True))
    return Statement(
        f"SELECT coalesce(json_agg(json_build_object({pairs})), '[]')::text AS rows, count(*) AS count"
        f" FROM ({rows}) grouped",
        tuple(values.values),
    )


def _read_aggregate(given: Any, path: str, vocabulary: Vocabulary) -> Aggregate:
    if not isinstance(given, Mapping) or given.keys() - {"fn", "field", "as"} or "fn" not in given:
        raise refuse("QUERY_SYNTAX", f'{path} is {show(given)}; it is {{"fn", "field"?, "as"?}}.', path)
    function = given["fn"]
    if function not in get_args(Function):
        functions = list(get_args(Function))
        raise refuse(
            "QUERY_SYNTAX", f"{show(function)} is none of {list_names(functions)}.", f"{path}.fn", expected=functions
        )
    name, field = given.get("as"), None
    if given.get("field") is not None:
        field = _find_field(given["field"], f"{path}.field", vocabulary)
        if field.kind not in _KINDS[function]:
            kinds = list(_KINDS[function])
            message = f"{function} is of {list_names(kinds)}; {field.name} is {field.kind}."
            raise refuse("OPERATOR_NOT_ALLOWED", message, f"{path}.field", expected=kinds)
    elif function != "count":
        raise refuse("QUERY_SYNTAX", f"{path}: {function} needs a field.", path)
    if name is None:
        name = function if field is None else f"{function}_{field.name.removeprefix(PROPERTIES)}"
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARACTERS_MAX or "\x00" in name:
        message = f"as is a name of 1 to {NAME_CHARACTERS_MAX} characters."
        raise refuse("QUERY_SYNTAX", message, f"{path}.as")
    return Aggregate(function, field.name if field is not None else None, name)


def _read_group(given: Any, path: str, vocabulary: Vocabulary) -> Group:
    document = {"field": given} if isinstance(given, str) else given
    if not isinstance(document, Mapping) or document.keys() - {"field", "by"} or "field" not in document:
        raise refuse("QUERY_SYNTAX", f'{path} is {show(given)}; it is a field or {{"field", "by"}}.', path)
    field = _find_field(document["field"], path, vocabulary)
    period = document.get("by")
    if field.kind == "SET":
        raise refuse("OPERATOR_NOT_ALLOWED", f"{field.name} is a SET; records have no one value of it.", path)
    if period is not None and (field.kind not in ("DATE", "DATETIME") or period not in get_args(Period)):
        periods = list(get_args(Period))
        message = f"by is one of {list_names(periods)}, for dates and times; {field.name} is {field.kind}."
        raise refuse("OPERATOR_NOT_ALLOWED", message, f"{path}.by", expected=periods)
    return Group(field.name, cast(Period | None, period))


def _find_field(name: Any, path: str, vocabulary: Vocabulary) -> Field:
    if not isinstance(name, str) or name not in vocabulary.names:
        raise refuse_field(str(name), path, "", vocabulary)
    return vocabulary.names[name]


def _write_group(field: Field, group: Group, values: Values, context: Context) -> str:
    if group.period is not None:
        zone = values.add(str(context.zone)) if field.kind == "DATETIME" else values.add("UTC")
        moment = f"({write_plain(field)})::timestamptz AT TIME ZONE {zone}::text"
        return f"to_char(date_trunc({values.add(group.period)}::text, {moment}), 'YYYY-MM-DD')"
    match field.kind:
        case "DATE":
            return f"to_char(({write_plain(field)})::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
        case "DATETIME":
            return f"to_char({write_plain(field)}, {_INSTANT})"
    return write_plain(field)


def _write_aggregate(aggregate: Aggregate, field: Field | None) -> str:
    if field is None:
        return "count(*)"
    figure = f"{aggregate.function}({write_plain(field)})"
    if field.kind == "DATE" and aggregate.function != "count":
        return f"to_char(({figure})::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
    if field.kind == "DATETIME" and aggregate.function != "count":
        return f"to_char({figure}, {_INSTANT})"
    return figure
