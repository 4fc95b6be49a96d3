"""Evaluating dynamic lists in the database: whole ones, or of some records, in the writer's transaction."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import asyncpg
import msgspec

from kith.cql.ast import Condition
from kith.cql.catalogue import ENTITIES
from kith.cql.compile import Candidates, Source, compile_difference, compile_evaluation, make_source
from kith.cql.conditions import Context, list_named
from kith.engine.dynamic_lists import DynamicList, DynamicLists, ListRow
from kith.engine.schemas import SCHEMAS, Schemas
from kith.ids import NUMBER_DIGITS_MAX
from kith.model.properties import Schema
from kith.model.state import Ref
from kith.store.database import Connection
from kith.store.queries import load_queries

# How many records a statement looks at: few at first, as nobody knows how large they are.
WINDOW_FIRST, WINDOW_MAX = 100, 20_000
# The same where an index finds the few among them that matter.
WINDOW_RELATED = 1_000_000
WINDOW_S = 1.0
# A tag or a list that so few have is looked up whole where it is one of several alternatives.
RARE_MAX = 1000
KEPT_MAX = 5000
_LISTS, _TAGS = load_queries("lists"), load_queries("tags")
# The numbers of a filter keep their digits.
_decode = msgspec.json.Decoder(ListRow, float_hook=Decimal).decode


class Change(NamedTuple):
    """A record that entered a list, or left it. ``live``: whether the list counts it."""

    one: DynamicList
    record: int
    external_id: str
    live: bool
    entered: bool


class _Kept(NamedTuple):
    lists: DynamicLists
    stamp: int


class ListCatalogue:
    """The dynamic lists of workspaces, kept as ``Schemas`` keeps theirs: their definitions move the same stamp."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._kept: dict[int, _Kept] = {}

    def get(self, workspace_id: int) -> DynamicLists:
        """What was loaded."""
        return self._kept[workspace_id].lists

    def list_missing(self, workspace_ids: Iterable[int], stamp: int) -> list[int]:
        """Those that have to be loaded first."""
        return [one for one in sorted(workspace_ids) if one not in self._kept or self._kept[one].stamp != stamp]

    async def load(self, connection: Connection, shard: int, workspace_ids: Iterable[int], stamp: int) -> None:
        """Make sure of these workspaces' lists."""
        wanted = set(workspace_ids)
        missing = self.list_missing(wanted, stamp)
        # Those that are asked for most recently are at the end, and stay.
        self._kept.update((one, self._kept.pop(one)) for one in wanted if one in self._kept)
        while len(self._kept) > KEPT_MAX:
            del self._kept[next(one for one in self._kept if one not in wanted)]
        loaded = await load_dynamic_lists(connection, shard, missing, self._schemas, stamp)
        self._kept.update((workspace_id, _Kept(lists, stamp)) for workspace_id, lists in loaded.items())


async def load_dynamic_lists(
    connection: Connection, shard: int, workspace_ids: Sequence[int], schemas: Schemas, stamp: int
) -> dict[int, DynamicLists]:
    """By workspace; most have none."""
    rows: dict[int, list[ListRow]] = {}
    for row in await connection.fetch(_LISTS["load_dynamic_lists"], shard, workspace_ids):
        one = _decode(row["document"])
        rows.setdefault(one.workspace_id, []).append(one)
    refs = [(workspace, Ref("schema", "external_id", entity)) for workspace in rows for entity in SCHEMAS]
    defined = {
        (workspace, schema.external_id): schema
        for workspace, schema in (await schemas.load_records(connection, shard, refs, stamp) if refs else [])
        if isinstance(schema, Schema)
    }
    return {
        workspace: DynamicLists([defined[workspace, entity] for entity in SCHEMAS], rows[workspace])
        if workspace in rows
        else DynamicLists((), ())
        for workspace in workspace_ids
    }


async def evaluate_list(
    connection: Connection, shard: int, one: DynamicList, at: datetime, which: Candidates
) -> list[Change]:
    """Who of the candidates enters and leaves, as of that time; by number."""
    workspace_id = one.row.workspace_id
    context = await make_context(connection, shard, workspace_id, one, at)
    statement = compile_evaluation(to_source(one), one.tree, one.row.number, shard, workspace_id, context, which)
    rows = await connection.fetch(statement.sql, *statement.values)
    return [Change(one, row["id"], row["external_id"], row["live"], row["entered"]) for row in rows]


async def differs(connection: Connection, shard: int, one: DynamicList, at: datetime) -> bool:
    """Whether an evaluation at that time would change who is on the list."""
    workspace_id = one.row.workspace_id
    context = await make_context(connection, shard, workspace_id, one, at)
    statement = compile_difference(to_source(one), one.tree, one.row.number, shard, workspace_id, context)
    return bool(await connection.fetchval(statement.sql, *statement.values))


async def load_last_id(connection: Connection, shard: int, one: DynamicList) -> int:
    """How far an evaluation of all records of the list's entity has to go."""
    row = await connection.fetchrow(_LISTS["load_last_ids"], shard, one.row.workspace_id)
    assert row is not None
    last: int = row[one.row.entity]
    return last


def size_window(size: int, took_s: float, most: int = WINDOW_MAX) -> int:
    """That of the next window: what comes of an evaluation is the same in windows of any size."""
    return min(size * 4, most) if took_s < WINDOW_S else max(size // 4, 1)


async def make_context(
    connection: Connection, shard: int, workspace_id: int, one: DynamicList, at: datetime
) -> Context:
    """What the list's filter means at that time."""
    vocabulary = one.vocabularies.pick((one.row.entity,))
    ids = await find_named(connection, shard, workspace_id, one.tree)
    return Context(now=at, zone=vocabulary.zone, tags=ids.tags, lists=ids.lists, rare=ids.rare)


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


async def find_lists(
    connection: Connection, shard: int, workspace_id: int, names: Sequence[str]
) -> list[asyncpg.Record]:
    """Those that there are, by number or external id: ``id``, ``external_id``, ``is_dynamic``, ``member_count``."""
    numbers = [int(name) for name in names if name.isascii() and name.isdecimal() and len(name) <= NUMBER_DIGITS_MAX]
    found: list[asyncpg.Record] = await connection.fetch(_LISTS["find_lists"], shard, workspace_id, numbers, names)
    return found


def to_source(one: DynamicList) -> Source:
    return make_source(ENTITIES[one.row.entity], one.vocabularies.pick((one.row.entity,)))
