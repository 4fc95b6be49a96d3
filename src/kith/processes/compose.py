"""The composition root of the parts: settings in, a running API, writer or worker out."""

import asyncio
import gc
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TypeVar

import structlog
import uvicorn

from kith.api.app import build_app
from kith.api.protocol import GuardedProtocol
from kith.clock import SystemClock
from kith.engine.apply import Writer
from kith.engine.context import load_installation, open_engine
from kith.engine.foresight import rebuild_pending
from kith.engine.maintenance import run_maintenance
from kith.errors import NotYet
from kith.integrations.http import open_client
from kith.integrations.opening import Opener
from kith.integrations.reconcile import reconcile
from kith.integrations.runner import Runner
from kith.log.opening import open_log
from kith.log.port import Log
from kith.settings import Settings
from kith.store.database import Database, Role
from kith.store.embedded import get_database_url

WAIT_FOR_PARTS_S = 0.5
WORKER_CONNECTIONS_MAX = 10
# How many objects may be new before cycles are looked for. The writer's live as long as a batch and make none.
OBJECTS = 50_000
WRITER_OBJECTS = 1_000_000
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
logger = structlog.get_logger(__name__)
Part = TypeVar("Part")


class AnnouncedServer(uvicorn.Server):
    """Prints a line once it listens, and tells before it waits for the requests that are under way."""

    def __init__(self, config: uvicorn.Config, line: str, on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._line = line
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            _announce(self._line)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        await super().shutdown(sockets)


async def run_api(settings: Settings) -> None:
    """Serve HTTP until told to stop."""
    url = get_database_url(settings)
    async with _open_patiently(lambda: open_engine(settings, url)) as engine:
        foreseen = await rebuild_pending(engine)
        config = uvicorn.Config(
            build_app(engine),
            host=settings.host,
            port=settings.port,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=True,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=settings.shutdown_grace_s,
            http=GuardedProtocol,
            loop="none",
            proxy_headers=False,
        )
        line = f"Kith's API listens on http://{settings.host}:{settings.port} ({foreseen} writes pending)"
        tune_memory(OBJECTS)
        await AnnouncedServer(config, line, engine.progress.end_waits).serve()


async def run_writer(settings: Settings) -> None:
    """Apply the log until told to stop. Raises ConflictingWriter where another writer owns the partitions."""
    url = get_database_url(settings)
    async with _open_patiently(lambda: _open_writer(settings, url)) as writer:
        stop = listen_for_stop()
        _announce("Kith's writer applies the log")
        tune_memory(WRITER_OBJECTS)
        await writer.run(stop)


async def run_worker(settings: Settings) -> None:
    """Do what is due by time until told to stop."""
    url = get_database_url(settings)
    async with _open_patiently(lambda: _open_worker(settings, url)) as (database, log, runner):
        stop = listen_for_stop()
        _announce("Kith's worker is ready")
        tune_memory(OBJECTS)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_maintenance(database, log, SystemClock(), settings, stop))
            tasks.create_task(runner.run(stop))


def listen_for_stop() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    return stop


@asynccontextmanager
async def _open_writer(settings: Settings, url: str) -> AsyncIterator[Writer]:
    async with _open_database_and_log(settings, url, "writer") as (database, log):
        writer = Writer(database, log, SystemClock(), settings)
        await writer.warm_up()
        yield writer


@asynccontextmanager
async def _open_worker(settings: Settings, url: str) -> AsyncIterator[tuple[Database, Log, Runner]]:
    """The engine is for what other services tell: that goes onto the log like all else."""
    async with (
        _open_database_and_log(settings, url, "worker", WORKER_CONNECTIONS_MAX) as (database, log),
        open_engine(settings, url) as engine,
        open_client(settings.sync_timeout_ms / 1000) as client,
    ):
        clock = SystemClock()
        opener = Opener(database, client, clock, settings)
        yield database, log, Runner(database, url, clock, opener.open, partial(reconcile, engine))


@asynccontextmanager
async def _open_database_and_log(
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
async def _open_patiently(open_part: Callable[[], AbstractAsyncContextManager[Part]]) -> AsyncIterator[Part]:
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


def _announce(line: str) -> None:
    print(line, flush=True)
