"""What the worker does by the clock: partitions made ahead, old operations and applied commands let go."""

import asyncio
from datetime import timedelta

import asyncpg
import structlog

from kith.clock import Clock
from kith.settings import Settings
from kith.store.database import DISCONNECTED, Database
from kith.store.partitions import drop_operations, make_partitions
from kith.store.queries import load_queries

EVERY_S = 600
RETRY_S = 5
TRIM_ENTRIES_MAX = 10_000
_LOG = load_queries("log")
logger = structlog.get_logger(__name__)


async def maintain(database: Database, clock: Clock, settings: Settings) -> None:
    """One round of everything."""
    now = clock.now()
    async with database.acquire() as connection:
        made = await make_partitions(connection, now)
        dropped = await drop_operations(connection, now - timedelta(days=settings.operation_retention_d))
    trimmed = await trim_log(database, clock, settings)
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


async def run_maintenance(database: Database, clock: Clock, settings: Settings, stop: asyncio.Event) -> None:
    """A round now and then, until told to stop."""
    while not stop.is_set():
        wait_s = EVERY_S
        try:
            await maintain(database, clock, settings)
        except (*DISCONNECTED, asyncpg.PostgresError, TimeoutError) as error:
            logger.warning("maintenance did not finish; trying again", error=str(error))
            wait_s = RETRY_S
        try:
            await asyncio.wait_for(stop.wait(), wait_s)
        except TimeoutError:
            continue
