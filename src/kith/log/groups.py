"""Appends in groups: those that arrive while one is under way go together into the next, in the order of the calls."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from kith.errors import Unavailable

GROUP_ENTRIES_MAX = 1000


class Waiting(NamedTuple):
    """An entry that is to be appended by ``deadline``, a time of the loop; ``done`` gets its position."""

    workspace_id: int
    data: bytes
    deadline: float
    done: "asyncio.Future[int]"


class Groups:
    """The entries of each shard that wait, and who appends them.

    ``append_group(shard, group)`` answers the position of its first entry; ``is_passing(error)`` tells whether what it
    raised means that the log does not take writes right now. A group has at most ``bytes_max`` bytes, with
    ``entry_bytes`` more for each entry.
    """

    def __init__(
        self,
        append_group: Callable[[int, Sequence[Waiting]], Awaitable[int]],
        is_passing: Callable[[Exception], bool],
        timeout_s: float,
        bytes_max: int,
        entry_bytes: int = 0,
    ) -> None:
        self._append_group = append_group
        self._is_passing = is_passing
        self._timeout_s = timeout_s
        self._bytes_max = bytes_max
        self._entry_bytes = entry_bytes
        self._waiting: dict[int, list[Waiting]] = {}
        self._flushing: dict[int, asyncio.Task[None]] = {}
        self._watches: dict[int, asyncio.TimerHandle] = {}

    async def append(self, shard: int, workspace_id: int, data: bytes) -> int:
        """The position, once the entry's group is appended. Raises Unavailable where the log does not take it in time.

        That counts the time in which it waits for groups in front of it, of which each may take as long.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()
        one = Waiting(workspace_id, data, loop.time() + self._timeout_s, done)
        self._waiting.setdefault(shard, []).append(one)
        if shard not in self._flushing:
            self._flushing[shard] = asyncio.create_task(self._flush(shard))
        return await done

    async def close(self) -> None:
        """Returns when nothing waits."""
        await asyncio.gather(*self._flushing.values(), return_exceptions=True)

    async def _flush(self, shard: int) -> None:
        """Append group after group until nothing waits."""
        waiting = self._waiting[shard]
        try:
            while waiting:
                group = self._cut(waiting)
                del waiting[: len(group)]
                self._watch(shard, group)
                await self._append(shard, group)
        finally:
            if shard in self._watches:
                self._watches.pop(shard).cancel()
            del self._flushing[shard]

    def _watch(self, shard: int, group: Sequence[Waiting]) -> None:
        """Tell whoever has waited too long, in the group under way or behind it; what is behind it is not sent then."""
        loop = asyncio.get_running_loop()
        waiting = self._waiting[shard]
        left: list[float] = []
        for one in (*group, *waiting):
            if one.deadline > loop.time():
                left.append(one.deadline)
            elif not one.done.done():
                one.done.set_exception(_make_unavailable())
        waiting[:] = [one for one in waiting if not one.done.done()]
        if shard in self._watches:
            self._watches.pop(shard).cancel()
        if left:
            self._watches[shard] = loop.call_at(left[0], self._watch, shard, group)

    async def _append(self, shard: int, group: Sequence[Waiting]) -> None:
        """Append a group and tell each caller, whatever comes: nobody waits for ever."""
        try:
            first = await self._append_group(shard, group)
        except BaseException as error:
            failure: BaseException = error
            if not isinstance(error, Exception) or self._is_passing(error):
                failure = _make_unavailable()
            for one in group:
                if not one.done.done():
                    one.done.set_exception(failure)
            if not isinstance(error, Exception):
                raise
            return
        for position, one in enumerate(group, first):
            if not one.done.done():
                one.done.set_result(position)

    def _cut(self, waiting: list[Waiting]) -> list[Waiting]:
        """The first of those that wait, as many as go together."""
        size = 0
        for count, one in enumerate(waiting[:GROUP_ENTRIES_MAX]):
            size += len(one.data) + self._entry_bytes
            if size > self._bytes_max:
                return waiting[: max(count, 1)]
        return waiting[:GROUP_ENTRIES_MAX]


def _make_unavailable() -> Unavailable:
    return Unavailable("The log does not take writes right now. Try again; with an Idempotency-Key it is safe.", 2)
