"""The tags and lists that a filter names, as they are in the database."""

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from kith.cql.ast import Condition
from kith.cql.conditions import list_named
from kith.cql.errors import suggest
from kith.ids import is_number
from kith.store.database import Connection
from kith.store.queries import load_queries

# A tag or a list that so few have is looked up whole where it is one of several alternatives.
RARE_MAX = 1000
# Of so many tags or lists the one that was probably meant is looked for.
SUGGESTED_FROM_MAX = 1000
_LISTS, _TAGS = load_queries("lists"), load_queries("tags")


class Named(NamedTuple):
    """The ids of the tags by key, and of the lists by number and external id, that a filter names.

    ``rare`` are those that at most ``RARE_MAX`` records have.
    """

    tags: dict[str, int]
    lists: dict[str, int]
    rare: frozenset[tuple[str, int]]


async def find_named(connection: Connection, shard: int, workspace_id: int, where: Condition) -> Named:
    """Those that there are."""
    keys = list(dict.fromkeys(list_named(where, "tags")))
    names = list(dict.fromkeys(list_named(where, "lists")))
    tags: dict[str, int] = {}
    lists: dict[str, int] = {}
    rare: set[tuple[str, int]] = set()
    if keys:
        rows = await connection.fetch(_TAGS["find_tag_ids"], shard, workspace_id, keys)
        tags = {row["key"]: row["id"] for row in rows}
        rare |= {("tags", row["id"]) for row in rows if row["member_count"] <= RARE_MAX}
    if names:
        rows = await find_lists(connection, shard, workspace_id, names)
        lists = {name: row["id"] for row in rows for name in (str(row["id"]), row["external_id"])}
        rare |= {("lists", row["id"]) for row in rows if row["member_count"] <= RARE_MAX}
    return Named(tags, lists, frozenset(rare))


class Unknown(NamedTuple):
    """A tag or a list that a filter names and nothing has. ``meant`` is the one that was probably meant."""

    field: str
    member: str
    meant: str | None


async def find_unknown(
    connection: Connection, shard: int, workspace_id: int, where: Condition, named: Named
) -> Unknown | None:
    """The first that is not among those that there are."""
    for key in list_named(where, "tags"):
        if key not in named.tags:
            rows = await connection.fetch(_TAGS["list_tag_keys"], shard, workspace_id, SUGGESTED_FROM_MAX)
            keys = {row["external_id"]: row["key"] for row in rows}
            return Unknown("tags", key, keys.get(key) or suggest(key, keys.values()))
    for name in list_named(where, "lists"):
        if name not in named.lists:
            rows = await connection.fetch(_LISTS["list_list_names"], shard, workspace_id, SUGGESTED_FROM_MAX)
            numbers = {row["name"]: str(row["id"]) for row in rows}
            meant = suggest(name, numbers)
            return Unknown("lists", name, numbers[meant] if meant is not None else None)
    return None


async def find_lists(
    connection: Connection, shard: int, workspace_id: int, names: Sequence[str]
) -> list[asyncpg.Record]:
    """Those that there are, by number or external id: ``id``, ``external_id``, ``is_dynamic``, ``member_count``."""
    numbers = [int(name) for name in names if is_number(name)]
    found: list[asyncpg.Record] = await connection.fetch(_LISTS["find_lists"], shard, workspace_id, numbers, names)
    return found
