"""The worker's part in integrations: takes over those that nobody sends for, and sends until told to stop."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime

import asyncpg
import msgspec
import structlog
import uuid_utils

from kith.clock import Clock, to_iso
from kith.errors import Exposed
from kith.integrations.accounts import Integration, from_row
from kith.integrations.failures import Failure, Limited, Permanent, Unauthorized
from kith.integrations.outbox import Lost, Outbox
from kith.integrations.port import Provider
from kith.integrations.reconcile import ASK_AGAIN, EVERY
from kith.integrations.results import make_backoff
from kith.integrations.sync_cycle import Session, Standing
from kith.store.database import UNANSWERED, Connection, Database
from kith.store.listener import Listener
from kith.store.queries import load_queries

# How long an integration stays a worker's that says no more and yet has a connection, as when it hangs or its host is
# gone; and how often it says that it is there. Of one that was killed PostgreSQL knows at once.
OWNED_S = 30
RENEW_S = 8
LOOK_S = 2.0
# How long is waited for news that may have been missed.
IDLE_S = 10.0
PATIENCE_S = 5.0
_SQL = load_queries("integrations")
logger = structlog.get_logger(__name__)

# Asks a provider what changed there; raises Failure.
Reconcile = Callable[[Integration, Provider], Awaitable[int]]
# Opens the provider of an integration; raises Failure, Exposed.
OpenProvider = Callable[[Integration], AbstractAsyncContextManager[Provider]]


class Runner:
    """Owns integrations, one task for each."""

    def __init__(
        self,
        database: Database,
        url: str,
        clock: Clock,
        open_provider: OpenProvider,
        reconcile: Reconcile | None = None,
    ) -> None:
        self._reconcile = reconcile
        self._database = database
        self._url = url
        self._clock = clock
        self._open_provider = open_provider
        self._name = f"{socket.gethostname()}-{uuid_utils.uuid7()}"
        self._tasks: dict[tuple[int, int, int], asyncio.Task[None]] = {}
        self._news: dict[int, asyncio.Event] = {}
        self._applied: Listener | None = None
        self._looks = asyncio.Event()
        self._is_shown = False

    async def run(self, stop: asyncio.Event) -> None:
        changes = Listener(self._url, "kith_sync", lambda _: self._look(), self._show_life)
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                self._looks.clear()
                if self._is_shown:
                    with suppress(*UNANSWERED, asyncpg.PostgresError):
                        await self._take_over()
                await self._listen()
                looking = asyncio.create_task(self._looks.wait())
                await asyncio.wait([stopping, looking], timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                looking.cancel()
        finally:
            stopping.cancel()
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            await self._listen()
            await changes.close()

    async def _listen(self) -> None:
        """For what is applied, while there is somebody to hear it: each batch of the writer wakes whoever listens."""
        working = any(not task.done() for task in self._tasks.values())
        if working and self._applied is None:
            self._applied = Listener(self._url, "kith_applied", self._hear)
        elif not working and self._applied is not None:
            listener, self._applied = self._applied, None
            await listener.close()

    async def _show_life(self, connection: Connection) -> None:
        """What it owns is its own as long as it lives: its death ends the connection, and others take over at once."""
        await connection.execute(_SQL["show_life"], self._name)
        self._is_shown = True

    def _look(self) -> None:
        """Somebody changed an integration."""
        self._looks.set()
        self._hear("")

    def _hear(self, payload: str) -> None:
        """News of a shard, or of nobody knows which: who waits for them looks, and waits for later ones next."""
        shard, _, _ = payload.partition(" ")
        for one in [int(shard)] if shard else list(self._news):
            if one in self._news:
                self._news.pop(one).set()

    async def _take_over(self) -> None:
        self._tasks = {key: task for key, task in self._tasks.items() if not task.done()}
        for row in await self._database.fetch(_SQL["list_active"], self._name):
            key = (row["shard"], row["workspace_id"], row["id"])
            if key not in self._tasks and (owned := await self._own(key)) is not None:
                task = asyncio.create_task(self._serve(key, owned), name=f"integration {key}")
                task.add_done_callback(lambda _: self._looks.set())
                self._tasks[key] = task

    async def _own(self, key: tuple[int, int, int]) -> "asyncpg.Record | None":
        """None where another owns it, or it is paused."""
        return await self._database.fetchrow(_SQL["own_integration"], *key, self._name, float(OWNED_S))

    async def _serve(self, key: tuple[int, int, int], row: "asyncpg.Record") -> None:
        """Until it is lost. What fails here is about this integration, and no other shall stop for it."""
        renewing = asyncio.create_task(self._renew(key))
        try:
            await self._send(key, row, renewing)
        except Lost:
            logger.info("an integration is another's by now, or paused", integration=key)
        except (*UNANSWERED, asyncpg.PostgresError) as error:
            logger.warning("an integration is left for a moment", integration=key, error=str(error) or repr(error))
            await asyncio.sleep(LOOK_S)
        except Exception:
            logger.exception("an integration failed", integration=key)
            await asyncio.sleep(PATIENCE_S)
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            with suppress(*UNANSWERED, asyncpg.PostgresError):
                await self._database.execute(_SQL["release_integration"], *key, self._name)

    async def _renew(self, key: tuple[int, int, int]) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            with suppress(*UNANSWERED, asyncpg.PostgresError):
                if await self._own(key) is None:
                    return

    async def _send(self, key: tuple[int, int, int], row: "asyncpg.Record", renewing: asyncio.Task[None]) -> None:
        integration = from_row(row)
        try:
            async with self._open_provider(integration) as provider:
                session = await self._open_session(key, integration, provider)
                ask_at = integration.reconciled_at + EVERY
                while not renewing.done():
                    news = self._news.setdefault(integration.shard, asyncio.Event())
                    if not await session.step():
                        ask_at = await self._ask_back(integration, provider, session, ask_at)
                        await self._wait(session, news)
                    if session.is_resting:
                        await self._database.execute(
                            _SQL["rest_integration"], *key, session.rests_until, integration.epoch
                        )
        except (Unauthorized, Permanent, Exposed) as error:
            await self._pause(key, integration, error)

    async def _ask_back(self, integration: Integration, provider: Provider, session: Session, at: datetime) -> datetime:
        """When nothing is to be sent, and it is time; when it is time again. Raises Lost once it is done."""
        now = self._clock.now()
        if self._reconcile is None or session.is_resting or now < at:
            return at
        try:
            taken = await self._reconcile(integration, provider)
        except Unauthorized:
            raise
        except (Failure, Exposed) as failure:
            logger.warning("what changed there could not be asked for", reason=failure.message)
            return now + ASK_AGAIN
        logger.info("asked what changed there", integration=integration.external_id, taken=taken)
        raise Lost  # it is opened again, with the time of this

    async def _open_session(self, key: tuple[int, int, int], integration: Integration, provider: Provider) -> Session:
        """Once whose account it is is known, and what has to be there is there. Raises Unauthorized, Permanent."""
        outbox = Outbox(self._database, key, self._name, integration.epoch)
        standing = Standing(integration.feed_sequence, integration.sync, integration.rests_until)
        failures = 0
        while True:
            try:
                account = await provider.connect()
                if integration.account != account:
                    document = msgspec.json.encode(account).decode()
                    await self._database.execute(_SQL["save_account"], *key, document)
                    raise Lost  # it is opened again, with the limits of this account
                await provider.prepare()
                if integration.segment is not None:
                    await outbox.find_segment(integration.segment)
                break
            except (Unauthorized, Permanent):
                raise
            except Failure as failure:
                failures += 1
                until = failure.until if isinstance(failure, Limited) else self._clock.now() + make_backoff(failures)
                logger.info("a provider does not serve", integration=key, reason=failure.message)
                await self._rest(outbox, integration.feed_sequence, until)
        await outbox.keep_only(provider.entities)
        return Session(
            outbox,
            provider,
            self._clock,
            standing,
            maps_company=integration.maps_company,
            segment=integration.segment,
            archives=integration.when_leaving == "archive",
        )

    async def _rest(self, outbox: Outbox, feed_sequence: int, until: datetime) -> None:
        """Raises Lost as soon as somebody has changed the integration: that may be what was wrong."""
        while (left_s := (until - self._clock.now()).total_seconds()) > 0:
            await asyncio.sleep(min(left_s, LOOK_S))
            await outbox.look(feed_sequence)

    async def _wait(self, session: Session, news: asyncio.Event) -> None:
        """For news of the feed, or for what is due by time."""
        now = self._clock.now()
        due = await session.find_next_due()
        wait_s = IDLE_S if due is None else min(IDLE_S, max(0.0, (due - now).total_seconds()))
        with suppress(TimeoutError):
            await asyncio.wait_for(news.wait(), max(wait_s, 0.01))

    async def _pause(self, key: tuple[int, int, int], integration: Integration, error: Failure | Exposed) -> None:
        """Until a person has seen to it."""
        code = "UNAUTHORIZED" if isinstance(error, Unauthorized) else getattr(error, "code", "REFUSED")
        logger.warning("an integration is paused", integration=integration.external_id, reason=error.message)
        problem = {"code": code, "message": error.message, "at": to_iso(self._clock.now())}
        await self._database.execute(
            _SQL["pause_integration"], *key, msgspec.json.encode(problem).decode(), self._clock.now(), integration.epoch
        )
