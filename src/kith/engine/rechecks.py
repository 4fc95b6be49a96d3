"""Lists whose filters depend on the time: looked at by the clock, and evaluated where that changed who is on one."""

from datetime import datetime

import asyncpg
import structlog

from kith.clock import Clock
from kith.engine.dynamic_lists import DynamicList
from kith.engine.evaluation import differs, load_dynamic_lists
from kith.engine.schemas import Schemas
from kith.ids import new_id
from kith.log.port import Log
from kith.model.codec import encode_envelope
from kith.model.commands import Envelope, EvaluateList
from kith.store.database import Connection, Database
from kith.store.queries import load_queries

NOBODY = 0  # the key of commands that no key sent
_LISTS = load_queries("lists")
logger = structlog.get_logger(__name__)


async def recheck_lists(database: Database, log: Log, clock: Clock) -> int:
    """Put an evaluation on the log for each list that is other than its filter says by now; how many."""
    submitted = 0
    now = clock.now()
    schemas = Schemas()
    for row in await database.fetch(_LISTS["list_timed"]):
        shard, workspace_id = row["shard"], row["workspace_id"]
        async with database.acquire() as connection:
            # Nothing is kept from one look to the next, so no stamp is needed.
            loaded = await load_dynamic_lists(connection, shard, [workspace_id], schemas, 0)
            timed = [one for some in loaded[workspace_id].all.values() for one in some if one.relative]
            changed = [one for one in timed if await _has_changed(connection, shard, one, now)]
        for one in changed:
            envelope = Envelope(
                operation_id=new_id("op", now),
                workspace_id=workspace_id,
                at=now,
                key_id=NOBODY,
                command=EvaluateList(list_id=one.row.external_id),
            )
            await log.append(shard, workspace_id, encode_envelope(envelope))
        submitted += len(changed)
    if submitted:
        logger.info("lists are evaluated as time has passed", lists=submitted)
    return submitted


async def _has_changed(connection: Connection, shard: int, one: DynamicList, now: datetime) -> bool:
    """Whether it is other than its filter says. One that takes too long to look at does not keep the rest from it."""
    try:
        return await differs(connection, shard, one, now)
    except asyncpg.QueryCanceledError:
        logger.warning("a list takes too long to look at", workspace=one.row.workspace_id, list=one.row.external_id)
        return False
