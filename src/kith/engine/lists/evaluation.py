"""Evaluating dynamic lists in the database: whole ones, window by window, or of some records."""

from datetime import datetime
from typing import NamedTuple

from kith.cql.compile import Candidates, Source, compile_difference, compile_evaluation, make_source
from kith.cql.conditions import Context
from kith.cql.entity_schema import ENTITIES
from kith.engine.lists.dynamic_lists import DynamicList
from kith.engine.read.filter_references import find_named
from kith.store.database import Connection
from kith.store.queries import load_queries

# How many records a statement looks at: few at first, as nobody knows how large they are.
WINDOW_FIRST, WINDOW_MAX = 100, 20_000
# The same where an index finds the few among them that matter.
WINDOW_RELATED = 1_000_000
# Far below what a statement may take: the next window may have four times as many records, and larger ones.
WINDOW_S = 0.1
_LISTS = load_queries("lists")


class Change(NamedTuple):
    """A record that entered a list, or left it. ``live``: whether the list counts it."""

    one: DynamicList
    record: int
    external_id: str
    live: bool
    entered: bool


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


def to_source(one: DynamicList) -> Source:
    return make_source(ENTITIES[one.row.entity], one.vocabularies.pick((one.row.entity,)))
