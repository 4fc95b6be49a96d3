"""``kith writer``: settings in, a running writer out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from kith.clock import SystemClock
from kith.engine.apply.dead_letters import is_passing
from kith.engine.apply.writer import RECONNECT_S, Writer
from kith.errors import ConflictingWriter
from kith.installation.data_folder import get_database_url
from kith.processes.parts import announce, listen_for_stop, open_database_and_log, open_patiently, tune_memory
from kith.settings import Settings
from kith.store.writer_lock import WriterLock, is_set, open_writer_lock

# How many objects may be new before cycles are looked for: these live as long as a batch, and make none.
OBJECTS = 1_000_000
APPLIES = "Kith's writer applies the log"
STANDS_BY = "Kith's writer stands by: another one applies the log. This one takes over when that one ends."
# The lock of a writer that was just killed is free a moment later: nobody has to hear of that.
TRIES_UNTOLD = 3
logger = structlog.get_logger(__name__)


async def run(settings: Settings) -> None:
    """Apply the log until told to stop, or stand by while another writer does."""
    url = get_database_url(settings)
    async with open_patiently(lambda: _open_writer(settings, url)) as (writer, is_shared_out):
        stop = listen_for_stop()
        tune_memory(OBJECTS)
        if is_shared_out:
            announce(APPLIES)
            await writer.run(stop)
        else:
            await _run_locked(writer, url, stop)


@asynccontextmanager
async def _open_writer(settings: Settings, url: str) -> AsyncIterator[tuple[Writer, bool]]:
    async with open_database_and_log(settings, url, "writer") as (database, log):
        writer = Writer(database, log, SystemClock(), settings)
        await writer.warm_up()
        yield writer, log.is_shared_out


async def _run_locked(writer: Writer, url: str, stop: asyncio.Event) -> None:
    """Apply the log whenever this process has the writers' lock; one that loses it stands by again."""
    told = ""
    while not stop.is_set():
        try:
            async with open_writer_lock(url) as lock:
                tries = 0
                while not await lock.take():
                    tries += 1
                    if tries > TRIES_UNTOLD and told != STANDS_BY:
                        announce(told := STANDS_BY)
                    if await is_set(stop):
                        return
                if told != APPLIES:
                    announce(told := APPLIES)
                await _apply(writer, lock, stop)
        except Exception as error:
            # Beside a writer that has lost its lock and is about to notice, either may find the cursor moved.
            if not (isinstance(error, ConflictingWriter) or is_passing(error)):
                raise
            logger.warning("the writer starts over", error=str(error) or repr(error))
            await asyncio.sleep(RECONNECT_S)


async def _apply(writer: Writer, lock: WriterLock, stop: asyncio.Event) -> None:
    """Apply the log from where the cursors stand, until told to stop or the lock is lost."""
    ended = asyncio.Event()
    watching = asyncio.create_task(lock.watch(stop, ended))
    try:
        await writer.load_positions()
        await writer.run(ended)
    finally:
        watching.cancel()
