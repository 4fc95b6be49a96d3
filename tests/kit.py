"""The whole of Kith in one process, for tests: an engine, a writer that is told when to work, and clients."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx2
import pytest
import stamina

from kith.api.app import App, Application
from kith.clock import Clock, SystemClock
from kith.engine.admin.keys import SCOPES, create_key
from kith.engine.admin.workspaces import create_workspace
from kith.engine.apply.writer import Writer
from kith.engine.context.engine import Engine, open_engine
from kith.engine.jobs.maintenance import maintain
from kith.errors import ConflictingWriter
from kith.integrations.credential_store import new_key
from kith.log.factory import open_log
from kith.model.workspaces import Workspace
from kith.pending.memory import MemoryPending
from kith.pending.redis import RedisPending
from kith.pending.redis_client import Unreachable
from kith.pending.snapshot import SharedSnapshot
from kith.settings import Settings
from kith.store.database import UNANSWERED, Database
from tests import row_security

# A poll so rare that only notifications can be what wakes a test's writer in time.
SETTINGS = Settings(
    poll_ms=10_000,
    append_timeout_ms=2000,
    # No list of a test takes too long because the machine is busy.
    list_budget_ms=60_000,
    # The writer works when it is told to: until then any number of writes wait.
    lag_workspace=0,
    # A test reads its own effects at once.
    status_cache_ms=0,
    secret_keys=new_key(),
    # Nobody answers there but the fake, where a test puts it.
    hubspot_url="https://fake.test/hubspot",
    mailchimp_url="https://fake.test/mailchimp/3.0",
)


@dataclass
class Kit:
    """What ``open_kit`` opens. ``drain`` is how a test waits for its writes: it applies everything now."""

    url: str
    engine: Engine
    writer: Writer
    app: App
    _live: bool = False
    _numbers: "count[int]" = field(default_factory=lambda: count(1))
    _workspaces: dict[str | None, Workspace] = field(default_factory=dict)

    async def drain(self) -> None:
        """Returns when all that was accepted is applied and can be read."""
        if self._live:
            for shard, position in (await self.engine.log.load_heads()).items():
                assert await self.engine.progress.wait(shard, position, 10), "the writer is stuck"
            return
        passing = (*UNANSWERED, ConflictingWriter) if self.engine.log.is_shared_out else UNANSWERED
        async for attempt in stamina.retry_context(on=passing, wait_initial=0, wait_jitter=0):
            with attempt:  # a test may have cut connections; the writer comes back from that as it does in ``run``
                if attempt.num > 1:
                    await self.writer.load_positions()
                await self.writer.drain()
                await self.engine.progress.refresh()

    @asynccontextmanager
    async def living_writer(self) -> AsyncIterator[None]:
        """The writer at work by itself, as in production; for tests of waiting."""
        stop = asyncio.Event()
        self._live = True
        running = asyncio.create_task(self.writer.run(stop))
        try:
            yield
        finally:
            stop.set()
            self._live = False
            # It looks at ``stop`` when it hears of news or stops waiting for them; a test has no time for that.
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await self.writer.load_positions()

    async def make_workspace(self, name: str | None = None) -> Workspace:
        async with self.engine.database.acquire() as connection:
            return await create_workspace(connection, self.engine.clock, name or f"workspace {next(self._numbers)}")

    async def make_neighbours(self) -> tuple[Workspace, Workspace]:
        """Two workspaces of one shard: what is of one must not be found by the other."""
        made: dict[int, Workspace] = {}
        while True:
            workspace = await self.make_workspace()
            if neighbour := made.get(workspace.shard):
                return neighbour, workspace
            made[workspace.shard] = workspace

    async def make_key(
        self, workspace: Workspace, scopes: Sequence[str] = SCOPES, *, rate_per_s: int | None = 0, **more: Any
    ) -> str:
        """A key's text: a server key with every scope and no limit, unless told otherwise."""
        async with self.engine.database.acquire() as connection:
            text, _ = await create_key(
                connection, self.engine.clock, workspace, scopes=scopes, rate_per_s=rate_per_s, **more
            )
        self._workspaces[text] = workspace
        return text

    @asynccontextmanager
    async def open_client(
        self, key: str | None = None, *, locked: bool = row_security.REQUIRED
    ) -> AsyncIterator[httpx2.AsyncClient]:
        """A client that speaks HTTP to the application, with the key if there is one.

        ``locked``: to one that can read nothing but the key's workspace; the tables have to be locked.
        """
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with AsyncExitStack() as stack:
            app, workspace = self.app, self._workspaces.get(key)
            if locked and workspace is not None:
                own = row_security.lock_engine(self.engine, self.url, workspace)
                app = Application(await stack.enter_async_context(own))
            transport = httpx2.ASGITransport(app=app)
            yield await stack.enter_async_context(
                httpx2.AsyncClient(transport=transport, base_url="http://kith.test", headers=headers)
            )


def make_blind(monkeypatch: pytest.MonkeyPatch, engine: Engine, look_up: str) -> None:
    """As if this process knew of no pending write by ``find_record`` or ``find_holder``, nor could ask others."""

    def refuse(*_: object) -> "asyncio.Future[None]":
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_exception(Unreachable("it is not asked"))
        done.exception()
        return done

    for overlay in (MemoryPending, SharedSnapshot):
        monkeypatch.setattr(overlay, look_up, lambda *_, **__: (False, None))
    if isinstance(engine.pending, RedisPending):
        monkeypatch.setattr(engine.pending._trips, "send", refuse)


@asynccontextmanager
async def open_kit(url: str, settings: Settings = SETTINGS, clock: Clock | None = None) -> AsyncIterator[Kit]:
    """Everything on a database that has the schema."""
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(open_engine(settings, url, clock))
        database = await Database.open(url, settings, "writer")
        stack.push_async_callback(database.close)
        # As in production, the writer has a log of its own.
        log = await stack.enter_async_context(open_log(settings, database, url, engine.installation.partitions))
        if settings.kafka_bootstrap:
            while len(await log.load_owned_heads()) < engine.installation.partitions:
                await log.wait(1)
        writer = Writer(database, log, clock or SystemClock(), settings)
        await maintain(database, clock or SystemClock(), settings)
        yield Kit(url, engine, writer, Application(engine))
