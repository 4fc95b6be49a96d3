"""The queue for connections: fair between workspaces, bounded for each of them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, NamedTuple, TypeVar

from kith.errors import Exposed, Unavailable

T = TypeVar("T")
# Takers of one workspace that may wait at once. The next one gets 429.
WAITING_MAX = 64
# The workspace of work that belongs to none, or that needs no bound. It may hold everything.
NOBODY = 0
# How often it is looked whether somebody has waited for too long.
WATCH_S = 0.5


class Waiter(NamedTuple, Generic[T]):
    """``until`` is the loop's time when the wait ends."""

    until: float
    handed: "asyncio.Future[T]"


class FairQueue(Generic[T]):
    """Who waits, by workspace. The next is the workspace that holds fewest, and of equals the one that waits longest.

    ``share`` is how many one workspace may hold at once, ``wait_s`` how long it waits before it is refused.
    """

    def __init__(self, share: int, wait_s: float) -> None:
        self.share = share
        self._wait_s = wait_s
        self._timer: asyncio.TimerHandle | None = None
        self._held: dict[int, int] = {}
        self._waiting: dict[int, deque[Waiter[T]]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def may_hold(self, workspace_id: int) -> bool:
        """Whether the workspace holds less than its share."""
        return workspace_id == NOBODY or self._held.get(workspace_id, 0) < self.share

    def add(self, workspace_id: int) -> None:
        """The workspace holds one more."""
        if workspace_id != NOBODY:
            self._held[workspace_id] = self._held.get(workspace_id, 0) + 1

    def remove(self, workspace_id: int) -> None:
        """The workspace holds one less."""
        if workspace_id != NOBODY:
            left = self._held[workspace_id] - 1
            if left:
                self._held[workspace_id] = left
            else:
                del self._held[workspace_id]

    def check_room(self, workspace_id: int) -> None:
        """Raise RATE_LIMITED where as many takers of the workspace wait as may."""
        waiting = self._waiting.get(workspace_id)
        if waiting is not None and workspace_id != NOBODY and len(waiting) >= WAITING_MAX:
            raise make_busy(f"{WAITING_MAX} queries of this workspace wait already")

    async def wait(self, workspace_id: int, give_back: Callable[[T], None]) -> T:
        """What is handed over. Raises RATE_LIMITED, and what the wait ends with where it takes too long.

        ``give_back`` gets what was handed over in the moment in which its taker was cancelled.
        """
        self.check_room(workspace_id)
        loop = asyncio.get_running_loop()
        waiter = Waiter[T](loop.time() + self._wait_s, loop.create_future())
        self._waiting.setdefault(workspace_id, deque()).append(waiter)
        self._watch()
        handed = waiter.handed
        try:
            return await handed
        except asyncio.CancelledError:
            if handed.done() and not handed.cancelled() and handed.exception() is None:
                give_back(handed.result())
            raise

    def hand(self, one: T) -> bool:
        """Hand it to the next. Answers whether somebody took it."""
        while self._waiting:
            best, fewest, longest = None, 0, 0.0
            for workspace_id, waiting in self._waiting.items():
                if self.may_hold(workspace_id):
                    held = self._held.get(workspace_id, 0)
                    if best is None or (held, waiting[0].until) < (fewest, longest):
                        best, fewest, longest = workspace_id, held, waiting[0].until
            if best is None:
                return False
            handed = self._pop(best)
            if not handed.done():
                self.add(best)
                handed.set_result(one)
                return True
        return False

    def _watch(self) -> None:
        """One timer for all who wait: one for each costs a tenth of what a request does."""
        if self and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(min(WATCH_S, self._wait_s), self._end_waits)

    def _end_waits(self) -> None:
        """End the waits that are over with an error."""
        now = asyncio.get_running_loop().time()
        for workspace_id in list(self._waiting):
            while (waiting := self._waiting.get(workspace_id)) and (
                waiting[0].until <= now or waiting[0].handed.done()
            ):
                handed = self._pop(workspace_id)
                if not handed.done():
                    handed.set_exception(self._make_error(workspace_id))
        self._timer = None
        self._watch()

    def _make_error(self, workspace_id: int) -> Exception:
        if workspace_id == NOBODY:
            return TimeoutError("no connection to PostgreSQL is free")
        if not self.may_hold(workspace_id):
            return make_busy(f"{self.share} queries of this workspace run, as many as may")
        return Unavailable("All connections for queries are busy.", retry_after_s=2)

    def _pop(self, workspace_id: int) -> "asyncio.Future[Any]":
        waiting = self._waiting[workspace_id]
        handed = waiting.popleft().handed
        if not waiting:
            del self._waiting[workspace_id]
        return handed


class Places:
    """Places for work that keeps a processor of PostgreSQL busy: so many at once, of one workspace at most half."""

    def __init__(self, count: int, wait_s: float) -> None:
        """``wait_s``: how long a workspace waits for a place before it is refused."""
        self._free = count
        self._queue = FairQueue[None](max(1, count // 2), wait_s)

    @asynccontextmanager
    async def hold(self, workspace_id: int) -> AsyncIterator[None]:
        """Hold one while the block runs. Raises RATE_LIMITED, or Unavailable where others have them all."""
        if self._free and self._queue.may_hold(workspace_id):
            self._free -= 1
            self._queue.add(workspace_id)
        else:
            await self._queue.wait(workspace_id, lambda _: self._give_back(workspace_id))
        try:
            yield
        finally:
            self._give_back(workspace_id)

    def _give_back(self, workspace_id: int) -> None:
        self._queue.remove(workspace_id)
        if not self._queue.hand(None):
            self._free += 1


def make_busy(reason: str) -> Exposed:
    """The refusal of a query of a workspace that asks for more than its share."""
    return Exposed(
        "RATE_LIMITED",
        f"{reason}. Try again in a second, send fewer queries at once, or make them cheaper.",
        {"retryAfter": 1},
        {"Retry-After": "1"},
    )
