"""Open the log: the one place that chooses an implementation by the settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kith.log.kafka import KafkaLog
from kith.log.port import Log
from kith.log.postgres import PostgresLog
from kith.settings import Settings
from kith.store.database import Database
from kith.store.log_place import settle_place


@asynccontextmanager
async def open_log(settings: Settings, database: Database, url: str, partitions: int) -> AsyncIterator[Log]:
    """The log of the installation, closed at the end.

    Raises NotYet while what it needs is not there, StartError where the settings name another log than it has.
    """
    async with database.acquire() as connection:
        bases = await settle_place(connection, settings)
    log: Log
    if settings.kafka_bootstrap:
        log = await KafkaLog.open(settings, partitions, bases)
    else:
        log = PostgresLog(database, url, settings)
    try:
        yield log
    finally:
        await log.close()
