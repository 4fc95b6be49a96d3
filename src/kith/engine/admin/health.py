"""Check that the dependencies of a process are available."""

import asyncpg

from kith.engine.context.engine import Engine
from kith.errors import Unavailable
from kith.rare_logs import RareLog
from kith.store.database import UNANSWERED
from kith.store.queries import load_queries

BEHIND_S = 10
_UNANSWERED = RareLog("part_does_not_answer")
_LOG = load_queries("log")
_MAINTENANCE = load_queries("maintenance")


async def find_missing_parts(engine: Engine) -> list[str]:
    """A sentence for each part that does not answer; empty when requests can be served."""
    try:
        written = await engine.database.fetchval(_MAINTENANCE["has_writer"])
    except (*UNANSWERED, asyncpg.PostgresError) as error:
        _UNANSWERED.warning(part="postgresql", reason=str(error) or type(error).__name__)
        return ["PostgreSQL does not answer. The server's log says why."]
    if engine.queries.is_stuck:
        return ["No connection for queries is free: each has a statement that PostgreSQL has not ended yet."]
    if not written:
        return ["No writer is connected: writes are accepted, and applied once there is one."]
    if engine.settings.kafka_bootstrap:
        try:
            await engine.log.load_heads()
        except Unavailable as error:
            _UNANSWERED.warning(part="kafka", reason=error.message)
            return ["Kafka does not answer. Reads go on; writes are refused."]
    oldest = engine.pending.find_oldest()
    behind_s = (engine.clock.now() - oldest).total_seconds() if oldest else 0
    return (
        [f"The writer is {behind_s:.0f} s behind: writes are accepted, and wait for it."] if behind_s > BEHIND_S else []
    )


async def find_faults(engine: Engine) -> list[str]:
    """A sentence for each thing because of which requests are served all the same, but not as well.

    A partition that is behind is one of them: the reads of all, and the writes of the other partitions, go on.
    """
    fault = await engine.pending.find_fault()
    behind = [
        f"The writer is {lag:,} commands behind on partition {shard}: writes to it are refused until no more than"
        f" {engine.pressure.resumes_at:,} are left. Reads go on."
        for shard, lag in engine.pressure.list_refused().items()
    ]
    return [fault, *behind] if fault is not None else behind


async def load_lag(engine: Engine) -> dict[int, int]:
    """Commands that are accepted and not applied, by shard; empty while PostgreSQL does not answer."""
    try:
        heads = await engine.log.load_heads()
        rows = await engine.database.fetch(_LOG["load_cursors"])
    except (*UNANSWERED, asyncpg.PostgresError, Unavailable):
        return {}
    for shard, head in heads.items():
        engine.pressure.see_head(shard, head)
    cursors = {row["shard"]: row["position"] for row in rows}
    return {shard: max(0, head - cursors.get(shard, 0)) for shard, head in heads.items()}
