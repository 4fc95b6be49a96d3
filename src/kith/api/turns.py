"""Turns of large requests: one workspace's large bodies do not take the event loop from the requests of others."""

import asyncio
from collections import deque
from types import TracebackType

# A body with its query string that is smaller takes the loop for a few hundred microseconds, and needs no turn.
SIZE_MIN = 2048
REST_S_MAX = 0.05


class Turns:
    """One turn at a time for each workspace, in the order of arrival.

    A turn lasts until the loop runs other work. While requests of other workspaces are under way, a workspace then
    rests for as long as its turn lasted, so that its large requests take at most half of the loop's time.
    """

    def __init__(self) -> None:
        self._under_way: dict[int, int] = {}
        # A workspace is here from the begin of its turn to the end of its rest.
        self._waiting: dict[int, deque[asyncio.Future[None]]] = {}

    def count(self, workspace_id: int) -> "UnderWay":
        """Return a context manager that counts a request of the workspace while it is under way."""
        return UnderWay(self._under_way, workspace_id)

    async def take(self, workspace_id: int, size: int) -> None:
        """Return when a request of ``size`` bytes may be processed."""
        if size < SIZE_MIN:
            return
        waiting = self._waiting.get(workspace_id)
        if waiting is None:
            self._waiting[workspace_id] = deque()
        else:
            turn = asyncio.get_running_loop().create_future()
            waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._give(workspace_id)
                raise
        loop = asyncio.get_running_loop()
        loop.call_soon(self._end, loop, workspace_id, loop.time())

    def _end(self, loop: asyncio.AbstractEventLoop, workspace_id: int, began_s: float) -> None:
        if len(self._under_way) - (workspace_id in self._under_way):
            loop.call_later(min(loop.time() - began_s, REST_S_MAX), self._give, workspace_id)
        else:
            self._give(workspace_id)

    def _give(self, workspace_id: int) -> None:
        waiting = self._waiting[workspace_id]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[workspace_id]


class UnderWay:
    """A request of a workspace, counted from its admission to its answer."""

    __slots__ = ("_counts", "_workspace_id")

    def __init__(self, counts: dict[int, int], workspace_id: int) -> None:
        self._counts = counts
        self._workspace_id = workspace_id

    def __enter__(self) -> None:
        self._counts[self._workspace_id] = self._counts.get(self._workspace_id, 0) + 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        left = self._counts[self._workspace_id] - 1
        if left:
            self._counts[self._workspace_id] = left
        else:
            del self._counts[self._workspace_id]
