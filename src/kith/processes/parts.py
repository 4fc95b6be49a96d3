"""Shared parts of the processes: waiting for dependencies, stopping, and the line that says that one is ready."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TypeVar

import structlog

from kith.engine.context.engine import load_installation
from kith.errors import NotYet
from kith.log.factory import open_log
from kith.log.port import Log
from kith.settings import Settings
from kith.store.database import Database, Role

WAIT_FOR_PARTS_S = 0.5
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
logger = structlog.get_logger(__name__)
Part = TypeVar("Part")


def listen_for_stop() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    return stop


@asynccontextmanager
async def open_database_and_log(
    settings: Settings, url: str, role: Role, connections_max: int = 4
) -> AsyncIterator[tuple[Database, Log]]:
    database = await Database.open(url, settings, role, connections_max)
    try:
        installation = await load_installation(database)
        async with open_log(settings, database, url, installation.partitions) as log:
            yield database, log
    finally:
        await database.close()


@asynccontextmanager
async def open_patiently(open_part: Callable[[], AbstractAsyncContextManager[Part]]) -> AsyncIterator[Part]:
    """Wait, with a clear message, for what is not there yet."""
    told = ""
    async with AsyncExitStack() as stack:
        while True:
            try:
                opened = await stack.enter_async_context(open_part())
                break
            except NotYet as error:
                if str(error) != told:
                    logger.warning("waiting", reason=str(error))
                    told = str(error)
                await asyncio.sleep(WAIT_FOR_PARTS_S)
        yield opened


def tune_memory(objects: int) -> None:
    """Collect garbage seldom: what lives long stays out of it, and requests leave hardly any cycles behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(objects, 20, 20)


def announce(line: str) -> None:
    print(line, flush=True)
