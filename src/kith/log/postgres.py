"""The log in a PostgreSQL table.

The head row of a shard is locked by an append until it commits, so positions have no gaps and become visible in
their order. Appends that arrive while one commits go together into the next: under load a commit serves many.
"""

import asyncio
from collections.abc import Sequence

import asyncpg
import stamina

from kith.log.groups import Groups, Waiting
from kith.log.port import READ_BYTES_MAX, Entry
from kith.settings import Settings
from kith.store.database import UNANSWERED, Database
from kith.store.listener import Listener
from kith.store.queries import load_queries

_SQL = load_queries("log")
APPEND_BYTES_MAX = 4 * 1024 * 1024


class PostgresLog:
    """See ``kith.log.port.Log``."""

    def __init__(self, database: Database, url: str, settings: Settings) -> None:
        self._database = database
        self._timeout_s = settings.append_timeout_ms / 1000
        self._groups = Groups(self._append_group, is_passing, self._timeout_s, APPEND_BYTES_MAX)
        self._news = asyncio.Event()
        # Where the log was seen to end, and what notifications told since; None where one may have been missed.
        self._heads: dict[int, int] | None = None
        self._listener: Listener | None = None
        self._url = url

    async def append(self, shard: int, workspace_id: int, data: bytes) -> int:
        return await self._groups.append(shard, workspace_id, data)

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

    @property
    def needs_database(self) -> bool:
        return True

    async def copy_dead_letter(self, shard: int, entry: Entry, reason: str) -> None:
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
        await self._groups.close()
        if self._listener:
            await self._listener.close()

    async def _append_group(self, shard: int, group: Sequence[Waiting]) -> int:
        workspace_ids = [one.workspace_id for one in group]
        entries = [one.data for one in group]
        # Given up when nobody waits for it any more: what was refused shall not be there later, if it can be helped.
        async with asyncio.timeout_at(group[-1].deadline):
            try:
                last = await self._append_once(shard, workspace_ids, entries)
            except UNANSWERED:
                last = await self._append_again(shard, workspace_ids, entries)
        return last - len(group) + 1

    async def _append_once(self, shard: int, workspace_ids: list[int], entries: list[bytes]) -> int:
        last: int = await self._database.fetchval(_SQL["append"], shard, workspace_ids, entries)
        return last

    async def _append_again(self, shard: int, workspace_ids: list[int], entries: list[bytes]) -> int:
        """A lost connection leaves open whether the group was appended: try until it surely is, or time is over."""
        async for attempt in stamina.retry_context(
            on=UNANSWERED, attempts=None, timeout=self._timeout_s, wait_initial=0.05, wait_max=0.5
        ):
            with attempt:
                return await self._append_once(shard, workspace_ids, entries)
        raise TimeoutError


def is_passing(error: Exception) -> bool:
    """Whether it is PostgreSQL that fails, or the way there."""
    return isinstance(error, (*UNANSWERED, asyncpg.PostgresError))
