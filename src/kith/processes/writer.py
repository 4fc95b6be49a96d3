"""``kith writer``: settings in, a running writer out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kith.clock import SystemClock
from kith.engine.apply import Writer
from kith.processes.parts import announce, listen_for_stop, open_database_and_log, open_patiently, tune_memory
from kith.settings import Settings
from kith.store.data_folder import get_database_url

# How many objects may be new before cycles are looked for: these live as long as a batch, and make none.
OBJECTS = 1_000_000


async def run(settings: Settings) -> None:
    """Apply the log until told to stop. Raises ConflictingWriter where another writer owns the partitions."""
    url = get_database_url(settings)
    async with open_patiently(lambda: _open_writer(settings, url)) as writer:
        stop = listen_for_stop()
        announce("Kith's writer applies the log")
        tune_memory(OBJECTS)
        await writer.run(stop)


@asynccontextmanager
async def _open_writer(settings: Settings, url: str) -> AsyncIterator[Writer]:
    async with open_database_and_log(settings, url, "writer") as (database, log):
        writer = Writer(database, log, SystemClock(), settings)
        await writer.warm_up()
        yield writer
