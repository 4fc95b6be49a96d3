"""``kith worker``: settings in, a running worker out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from kith.clock import SystemClock
from kith.engine.context.engine import open_engine
from kith.engine.jobs.maintenance import run_maintenance
from kith.installation.data_folder import get_database_url
from kith.integrations.accounts import Integration
from kith.integrations.factory import Opener
from kith.integrations.http import open_client
from kith.integrations.port import Provider
from kith.integrations.reconcile import reconcile
from kith.integrations.runner import Runner
from kith.log.port import Log
from kith.processes.parts import announce, listen_for_stop, open_database_and_log, open_patiently, tune_memory
from kith.settings import Settings
from kith.store.database import Database

CONNECTIONS_MAX = 10
# How many objects may be new before cycles are looked for.
OBJECTS = 50_000


async def run(settings: Settings) -> None:
    """Do what is due by time until told to stop."""
    url = get_database_url(settings)
    async with open_patiently(lambda: _open_worker(settings, url)) as (database, log, runner):
        stop = listen_for_stop()
        announce("Kith's worker is ready")
        tune_memory(OBJECTS)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_maintenance(database, log, SystemClock(), settings, stop))
            tasks.create_task(runner.run(stop))


@asynccontextmanager
async def _open_worker(settings: Settings, url: str) -> AsyncIterator[tuple[Database, Log, Runner]]:
    async with (
        open_database_and_log(settings, url, "worker", CONNECTIONS_MAX) as (database, log),
        open_client(settings.sync_timeout_ms / 1000) as client,
    ):
        clock = SystemClock()
        opener = Opener(database, client, clock, settings)
        yield database, log, Runner(database, url, clock, opener.open, partial(ask_back, settings, url))


async def ask_back(settings: Settings, url: str, integration: Integration, provider: Provider) -> int:
    """What other services tell goes onto the log like all else. The engine for that is needed once a day only."""
    async with open_engine(settings, url) as engine:
        return await reconcile(engine, integration, provider)
