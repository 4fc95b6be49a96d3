"""The log in a PostgreSQL table.

The head row of a shard is locked by an append until it commits, so positions have no gaps and become visible in
their order. Appends that arrive while one commits go together into the next: under load a commit serves many.
"""

import asyncio
from typing import NamedTuple

import asyncpg
import stamina

from kith.errors import Unavailable
from kith.log.port import READ_BYTES_MAX, Entry
from kith.settings import Settings
from kith.store.database import DISCONNECTED, Database
from kith.store.listener import Listener
from kith.store.queries import load_queries

_SQL = load_queries("log")
APPEND_ENTRIES_MAX = 1000
APPEND_BYTES_MAX = 4 * 1024 * 1024


class _Waiting(NamedTuple):
    workspace_id: int
    data: bytes
    done: "asyncio.Future[int]"


class PostgresLog:
    """See ``kith.log.port.Log``."""

    def __init__(self, database: Database, url: str, settings: Settings) -> None:
        self._database = database
        self._timeout_s = settings.append_timeout_ms / 1000
        self._waiting: dict[int, list[_Waiting]] = {}
        self._flushing: dict[int, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        # Where the log was seen to end, and what notifications told since; None where one may have been missed.
        self._heads: dict[int, int] | None = None
        self._listener: Listener | None = None
        self._url = url

    async def append(self, shard: int, workspace_id: int, data: bytes) -> int:
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(shard, []).append(_Waiting(workspace_id, data, done))
        if shard not in self._flushing:
            self._flushing[shard] = asyncio.create_task(self._flush(shard))
        return await done

    async def read(self, shard: int, after: int, limit: int) -> list[Entry]:
        rows = await self._database.fetch(_SQL["read"], shard, after, limit, READ_BYTES_MAX)
        return [Entry(row[0], row[1], row[2]) for row in rows]

    async def load_heads(self) -> dict[int, int]:
        return {row["shard"]: row["position"] for row in await self._database.fetch(_SQL["load_heads"])}

    async def load_owned_heads(self) -> dict[int, int]:
        # What is heard during the round trip may be older than what it answers, or newer.
        heard: dict[int, int] = {}
        self._heads = heard
        for shard, position in (await self.load_heads()).items():
            heard[shard] = max(position, heard.get(shard, 0))
        return dict(heard)

    def _hear(self, told: str) -> None:
        shard, _, position = told.partition(" ")
        if position and self._heads is not None:
            self._heads[int(shard)] = max(int(position), self._heads.get(int(shard), 0))
        else:
            self._heads = None
        self._news.set()

    @property
    def is_shared_out(self) -> bool:
        return False

    async def bury(self, shard: int, entry: Entry, reason: str) -> None:
        """The table of dead letters is all there is."""

    async def wait(self, timeout_s: float) -> dict[int, int] | None:
        if self._listener is None:
            self._listener = Listener(self._url, "kith_log", self._hear)
        try:
            await asyncio.wait_for(self._news.wait(), timeout_s)
        except TimeoutError:
            self._heads = None
            return None
        self._news.clear()
        return dict(self._heads) if self._heads is not None else None

    async def close(self) -> None:
        """Append what still waits, then stop listening."""
        await asyncio.gather(*self._flushing.values(), return_exceptions=True)
        if self._listener:
            await self._listener.close()

    async def _flush(self, shard: int) -> None:
        """Append group after group until nothing waits."""
        waiting = self._waiting[shard]
        try:
            while waiting:
                group = _cut_group(waiting)
                del waiting[: len(group)]
                await self._append_group(shard, group)
        finally:
            del self._flushing[shard]

    async def _append_group(self, shard: int, group: list[_Waiting]) -> None:
        """Append a group and tell each caller."""
        workspace_ids = [one.workspace_id for one in group]
        entries = [one.data for one in group]
        try:
            try:
                last = await self._append_once(shard, workspace_ids, entries)
            except TimeoutError:
                raise
            except DISCONNECTED:
                last = await self._append_again(shard, workspace_ids, entries)
        except Exception as error:  # noqa: BLE001 - whoever waits is told, whatever it is
            failure = error
            if isinstance(error, (*DISCONNECTED, asyncpg.PostgresError)):
                failure = Unavailable(
                    "The log does not take writes right now. Try again; with an Idempotency-Key it is safe.", 2
                )
            for one in group:
                if not one.done.done():
                    one.done.set_exception(failure)
            return
        first = last - len(group) + 1
        for n, one in enumerate(group):
            if not one.done.done():
                one.done.set_result(first + n)

    async def _append_once(self, shard: int, workspace_ids: list[int], entries: list[bytes]) -> int:
        async with asyncio.timeout(self._timeout_s):
            last: int = await self._database.fetchval(_SQL["append"], shard, workspace_ids, entries)
        return last

    async def _append_again(self, shard: int, workspace_ids: list[int], entries: list[bytes]) -> int:
        """A lost connection leaves open whether the group was appended: try until it surely is, or time is over."""
        async for attempt in stamina.retry_context(
            on=DISCONNECTED, attempts=None, timeout=self._timeout_s, wait_initial=0.05, wait_max=0.5
        ):
            with attempt:
                return await self._append_once(shard, workspace_ids, entries)
        raise TimeoutError


def _cut_group(waiting: list[_Waiting]) -> list[_Waiting]:
    """The first of those that wait, as many as one statement should carry."""
    size = 0
    for count, one in enumerate(waiting[:APPEND_ENTRIES_MAX]):
        size += len(one.data)
        if size > APPEND_BYTES_MAX:
            return waiting[: max(count, 1)]
    return waiting[:APPEND_ENTRIES_MAX]
