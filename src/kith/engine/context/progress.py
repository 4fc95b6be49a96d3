"""Applied position of each shard, and the requests that wait for it."""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

import asyncpg
import structlog

from kith.store.database import UNANSWERED, Database
from kith.store.listener import Listener
from kith.store.queries import load_queries

_SQL = load_queries("log")
logger = structlog.get_logger(__name__)


class Progress:
    """Hears of every applied batch, and looks for itself now and then in case a notification was lost."""

    def __init__(self, database: Database, url: str, poll_ms: int, on_applied: Callable[[int, int], None]) -> None:
        self._database = database
        self._poll_s = poll_ms / 1000
        self._on_applied = on_applied
        self._applied: dict[int, int] = {}
        self._schemas: dict[int, int] = {}
        self._waiting: dict[int, list[tuple[int, int, asyncio.Future[bool]]]] = {}
        self._order = count()
        self._ended = False
        self._listener = Listener(url, "kith_applied", self._hear)
        self._poll = asyncio.create_task(self._look_again(), name="poll cursors")

    def get_applied(self, shard: int) -> int:
        return self._applied.get(shard, 0)

    def get_schema_position(self, shard: int) -> int:
        """The position of the last applied batch that changed properties of the shard, or filters of lists."""
        return self._schemas.get(shard, 0)

    async def wait(self, shard: int, position: int, timeout_s: float) -> bool:
        """Whether the position was applied within the time, or before ``end_waits``."""
        if self._ended or self.get_applied(shard) >= position:
            return self.get_applied(shard) >= position
        passed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(shard, [])
        entry = (position, next(self._order), passed)
        heapq.heappush(waiting, entry)
        try:
            return await asyncio.wait_for(passed, timeout_s)
        except TimeoutError:
            if entry in waiting:
                waiting.remove(entry)
                heapq.heapify(waiting)
            return False

    def end_waits(self) -> None:
        """The process stops: whoever waits is answered as if its time were over, now and from now on."""
        self._ended = True
        for waiting in self._waiting.values():
            for _, _, passed in waiting:
                if not passed.done():
                    passed.set_result(False)
        self._waiting.clear()

    async def refresh(self) -> None:
        """Read the cursors."""
        for row in await self._database.fetch(_SQL["load_cursors"]):
            self.advance(row["shard"], row["position"], row["schema_position"])

    def advance(self, shard: int, position: int, schema_position: int) -> None:
        if position <= self._applied.get(shard, 0):
            return
        self._applied[shard] = position
        self._schemas[shard] = schema_position
        self._on_applied(shard, position)
        waiting = self._waiting.get(shard)
        while waiting and waiting[0][0] <= position:
            passed = heapq.heappop(waiting)[2]
            if not passed.done():
                passed.set_result(True)

    async def close(self) -> None:
        self._poll.cancel()
        await asyncio.gather(self._poll, return_exceptions=True)
        await self._listener.close()

    def _hear(self, payload: str) -> None:
        if payload:
            shard, position, schema_position = map(int, payload.split())
            self.advance(shard, position, schema_position)

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self.refresh()
            except (*UNANSWERED, asyncpg.PostgresError) as error:
                logger.debug("cursors cannot be read", error=str(error))
