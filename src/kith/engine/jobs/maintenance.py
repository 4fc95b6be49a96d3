"""Scheduled work of the worker: create partitions, delete old rows, update statistics, evaluate lists."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import asyncpg
import structlog

from kith.clock import Clock
from kith.engine.jobs.scheduled_evaluation import recheck_lists
from kith.errors import Unavailable
from kith.log.port import Log
from kith.settings import Settings
from kith.store.database import UNANSWERED, Database
from kith.store.partitions import drop_operations, make_partitions
from kith.store.queries import load_queries

EVERY_S = 600
ANALYZE_EVERY_S = 1
RETRY_S = 5
TRIM_ENTRIES_MAX = 10_000
DELETED_TOGETHER = 10_000
_INTEGRATIONS = load_queries("integrations")
_LOG = load_queries("log")
_MAINTENANCE = load_queries("maintenance")
_TALLIES = load_queries("tallies")
logger = structlog.get_logger(__name__)


async def maintain(database: Database, clock: Clock, settings: Settings) -> None:
    """One round of everything."""
    now = clock.now()
    async with database.acquire() as connection:
        made = await make_partitions(connection, now)
        dropped = await drop_operations(connection, now - timedelta(days=settings.operation_retention_d))
        await connection.execute(_TALLIES["delete_ended_tallies"])
    trimmed = await trim_log(database, clock, settings)
    await forget_integrations(database)
    logger.info("maintained", partitions_made=len(made), partitions_dropped=len(dropped), entries_trimmed=trimmed)


async def trim_log(database: Database, clock: Clock, settings: Settings) -> int:
    """Delete entries that are applied and older than the retention, some at a time; how many."""
    before = clock.now() - timedelta(hours=settings.log_retention_h)
    trimmed = 0
    for row in await database.fetch(_LOG["load_heads"]):
        while True:
            status = await database.execute(_LOG["trim"], row["shard"], before, TRIM_ENTRIES_MAX)
            count = int(status.split()[-1])
            trimmed += count
            if count < TRIM_ENTRIES_MAX:
                break
    return trimmed


async def forget_integrations(database: Database) -> None:
    """Delete what is known of integrations that are deleted, some at a time: where their records are, what waits."""
    for key in await database.fetch(_INTEGRATIONS["list_deleted"]):
        for name in ("delete_jobs_of_integration", "delete_links_of_integration"):
            while await database.execute(_INTEGRATIONS[name], *key, DELETED_TOGETHER) == f"DELETE {DELETED_TOGETHER}":
                pass


async def analyze_grown(database: Database) -> list[str]:
    """Tell the planner how large young tables have become, sooner than autovacuum does; the tables' names.

    Until it knows, it takes them for tiny, where every index looks as good as the right one.
    """
    grown = [row["name"] for row in await database.fetch(_MAINTENANCE["list_grown"])]
    for table in grown:
        await database.execute(f"ANALYZE {table}")
    return grown


async def run_maintenance(database: Database, log: Log, clock: Clock, settings: Settings, stop: asyncio.Event) -> None:
    """Rounds of everything, and of what is due more often, until told to stop."""
    awaited: dict[int, int] = {}
    await asyncio.gather(
        _repeat(lambda: maintain(database, clock, settings), EVERY_S, stop),
        _repeat(lambda: analyze_grown(database), ANALYZE_EVERY_S, stop),
        _repeat(lambda: recheck_lists(database, log, clock, awaited), settings.list_recheck_s, stop),
    )


async def _repeat(work: Callable[[], Awaitable[object]], every_s: float, stop: asyncio.Event) -> None:
    while not stop.is_set():
        wait_s = every_s
        try:
            await work()
        except (*UNANSWERED, asyncpg.PostgresError, Unavailable) as error:
            logger.warning("maintenance did not finish; trying again", error=str(error))
            wait_s = RETRY_S
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), wait_s)
