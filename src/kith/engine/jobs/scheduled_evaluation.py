"""Lists whose filters depend on the time: looked at by the clock, and evaluated where that changed who is on one."""

from datetime import datetime

import asyncpg
import structlog

from kith.clock import Clock
from kith.engine.context.property_schemas import Schemas
from kith.engine.lists.dynamic_lists import DynamicList
from kith.engine.lists.evaluation import differs
from kith.engine.lists.list_cache import load_dynamic_lists
from kith.ids import new_id
from kith.log.port import Log
from kith.model.actors import Actor
from kith.model.codec import encode_envelope
from kith.model.commands import Envelope, EvaluateList
from kith.store.database import Connection, Database
from kith.store.queries import load_queries

NOBODY = 0  # the key of commands that no key sent
WORKER = Actor("system", name="worker")
_LISTS, _LOG = load_queries("lists"), load_queries("log")
logger = structlog.get_logger(__name__)


async def recheck_lists(database: Database, log: Log, clock: Clock, awaited: dict[int, int]) -> int:
    """Put an evaluation on the log for each list that is other than its filter says by now; how many.

    ``awaited`` is kept from one look to the next, empty at the first. It has the position of each shard's log that must
    be applied before the shard's lists are looked at again, so that no list has two evaluations waiting there.
    """
    submitted = 0
    now = clock.now()
    schemas = Schemas()
    rows = await database.fetch(_LISTS["list_timed"])
    settled = await _list_settled(database, log, {row["shard"] for row in rows}, awaited)
    for row in rows:
        shard, workspace_id = row["shard"], row["workspace_id"]
        if shard not in settled:
            continue
        async with database.acquire() as connection:
            # Nothing is kept from one look to the next, so no stamp is needed.
            loaded = await load_dynamic_lists(connection, shard, [workspace_id], schemas, 0)
            lists = loaded[workspace_id].lists
            timed = [one for some in lists.all.values() for one in some if one.relative]
            changed = [one.row for one in timed if await _has_changed(connection, shard, one, now)]
        # The writer breaks one whose filter cannot be understood.
        changed += [row for row in lists.rows if row.number in lists.unread]
        for one in changed:
            envelope = Envelope(
                operation_id=new_id("op", now),
                workspace_id=workspace_id,
                at=now,
                key_id=NOBODY,
                actor=WORKER,
                command=EvaluateList(list_id=one.external_id),
            )
            # Of an append that fails nobody knows whether it is on the log: then the head is awaited, as at the start.
            awaited.pop(shard, None)
            awaited[shard] = await log.append(shard, workspace_id, encode_envelope(envelope))
        submitted += len(changed)
    if submitted:
        logger.info("lists are evaluated as time has passed", lists=submitted)
    return submitted


async def _list_settled(database: Database, log: Log, shards: set[int], awaited: dict[int, int]) -> set[int]:
    """The shards whose log is applied as far as is awaited.

    Where nothing is known that is its head as it is now, which may have evaluations of a worker that was here before.
    It stays the one that is awaited: a writer that always has something to do passes it all the same.
    """
    heads = await log.load_heads() if shards - awaited.keys() else {}
    for shard in shards - awaited.keys():
        awaited[shard] = heads[shard]
    cursors = {row["shard"]: row["position"] for row in await database.fetch(_LOG["load_cursors"])}
    return {shard for shard in shards if cursors[shard] >= awaited[shard]}


async def _has_changed(connection: Connection, shard: int, one: DynamicList, now: datetime) -> bool:
    """Whether it is other than its filter says. One that takes too long to look at does not keep the rest from it."""
    try:
        return await differs(connection, shard, one, now)
    except asyncpg.QueryCanceledError:
        logger.warning("a list takes too long to look at", workspace=one.row.workspace_id, list=one.row.external_id)
        return False
