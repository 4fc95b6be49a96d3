"""Back pressure: how far the writer is behind, and what that does to new writes. First they are slowed, then refused.

The lag of a shard is the difference of two numbers that are kept: where this process's appends end, and what it hears
of as applied. Neither costs a round trip.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from math import ceil

import structlog

from kith.clock import Clock
from kith.engine.context.shard_shares import Shares
from kith.errors import LogBehind
from kith.settings import Settings

# A write is held back by no more than this, just before writes are refused.
SLOWED_S_MAX = 0.1
# Once refused, writes are taken again when the lag is down to this share of what they are refused at.
RESUME = 0.75
# How long a write waits until enough of its workspace's writes are applied. Then it is refused, if any were.
HOLD_S = 1.0
# How far back the writer's rate is looked at.
WINDOW = timedelta(seconds=10)
STEP = timedelta(milliseconds=100)
RETRY_AFTER_S_MAX = 60
logger = structlog.get_logger(__name__)


class Pressure:
    """What the writes of a process meet. All that it is asked for in between two appends is in memory."""

    def __init__(
        self, settings: Settings, clock: Clock, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._slow = settings.lag_slow
        self._max = settings.lag_max
        self._appends_max = settings.appends_max
        self._clock = clock
        self._sleep = sleep
        self._heads: dict[int, int] = {}
        self._applied: dict[int, int] = {}
        # When how much was applied: the first from when there began to be a lag, or from the beginning of the window.
        self._drained: dict[int, deque[tuple[datetime, int]]] = {}
        self._refused: set[int] = set()
        self._appends = 0
        self._shares = Shares(settings.lag_workspace)
        # Who waits for the next batch of a shard; and shards of which none was applied while somebody waited.
        self._held: dict[int, asyncio.Future[None]] = {}
        self._stalled: set[int] = set()

    def see_head(self, shard: int, position: int) -> None:
        """The log of the shard was seen to end there, or behind it."""
        if position <= self._heads.get(shard, 0):
            return
        applied = self._applied.get(shard)
        if applied is not None and self._heads.get(shard, 0) <= applied:
            self._drained[shard] = deque(((self._clock.now(), applied),))
        self._heads[shard] = position
        self._judge(shard)

    def see_appended(self, shard: int, workspace_id: int, position: int) -> None:
        """A command of the workspace is on the log."""
        self._shares.note_appended(shard, workspace_id, position)
        self.see_head(shard, position)

    def see_applied(self, shard: int, position: int) -> None:
        """The shard was heard to be applied up to there."""
        if position > self._applied.get(shard, 0):
            self._stalled.discard(shard)
            self._shares.note_applied(shard, position)
            if (held := self._held.pop(shard, None)) is not None and not held.done():
                held.set_result(None)
        self._applied[shard] = max(position, self._applied.get(shard, 0))
        now = self._clock.now()
        drained = self._drained.setdefault(shard, deque())
        if len(drained) > 1 and now - drained[-2][0] < STEP:
            drained.pop()
        drained.append((now, position))
        _cut_window(drained, now)
        self._judge(shard)

    def get_lag(self, shard: int) -> int:
        """Commands of the shard that are on the log and not applied, as far as this process has heard."""
        applied = self._applied.get(shard)
        return max(0, self._heads.get(shard, 0) - applied) if applied is not None else 0

    def list_refused(self) -> Mapping[int, int]:
        """The lag of each shard whose writes are refused."""
        return {shard: self.get_lag(shard) for shard in sorted(self._refused)}

    @property
    def resumes_at(self) -> int:
        return int(self._max * RESUME)

    async def enter(self, shard: int, workspace_id: int) -> None:
        """Let a write in, sooner or later; ``leave`` follows when it is on the log or not. Raises LogBehind."""
        if self._shares.is_over(workspace_id):
            await self._wait_for_share(shard, workspace_id)
        if shard in self._refused:
            lag, retry_after_s = self.get_lag(shard), self.find_retry_after_s(shard)
            raise LogBehind(
                f"The writer is {lag:,} commands behind on this workspace's partition, so that new writes are refused"
                f" for a while. Reads go on. Try again in {retry_after_s} s.",
                retry_after_s,
                {"lag": lag},
            )
        if self._appends_max and self._appends >= self._appends_max:
            raise LogBehind(f"{self._appends:,} writes are on their way to the log already. Try again in 1 s.", 1)
        self._appends += 1
        self._shares.enter(workspace_id)
        if delay_s := self.find_delay_s(shard):
            try:
                await self._sleep(delay_s)
            except BaseException:
                self.leave(workspace_id)
                raise

    def leave(self, workspace_id: int) -> None:
        self._appends -= 1
        self._shares.leave(workspace_id)

    async def _wait_for_share(self, shard: int, workspace_id: int) -> None:
        """Hold a write of a workspace that has too many on the log. Raises LogBehind.

        Where nothing at all is applied meanwhile the writer is away, and not slowed down by this workspace: then the
        lag of the shard is the only limit, until something is applied again.
        """
        loop = asyncio.get_running_loop()
        until, applied = loop.time() + HOLD_S, self._applied.get(shard)
        while shard not in self._stalled and self._shares.is_over(workspace_id):
            held = self._held.get(shard)
            if held is None:
                held = self._held[shard] = loop.create_future()
            if (left_s := until - loop.time()) > 0:
                await asyncio.wait([held], timeout=left_s)
                continue
            if self._applied.get(shard) == applied:
                self._stalled.add(shard)
                return
            waiting, limit = self._shares.count(workspace_id), self._shares.find_limit(workspace_id)
            retry_after_s = max(1, min(RETRY_AFTER_S_MAX, ceil((waiting - limit + 1) / limit)))
            raise LogBehind(
                f"{waiting:,} writes of this workspace wait for the writer, and {limit:,} may: what it applies in a"
                f" second. Reads go on. Try again in {retry_after_s} s.",
                retry_after_s,
                {"lag": waiting},
            )

    def find_delay_s(self, shard: int) -> float:
        """How long a write is held back: the more, the nearer the lag is to where writes are refused."""
        if not self._slow or (over := self.get_lag(shard) - self._slow) <= 0:
            return 0
        room = self._max - self._slow if self._max > self._slow else self._slow
        return min(1, over / room) * SLOWED_S_MAX

    def find_retry_after_s(self, shard: int) -> int:
        """How long the writer takes for its lag at the rate at which it was seen to work of late; 1 to 60."""
        now, drained = self._clock.now(), self._drained.get(shard)
        if not drained:
            return RETRY_AFTER_S_MAX
        _cut_window(drained, now)
        if (done := drained[-1][1] - drained[0][1]) <= 0:
            return RETRY_AFTER_S_MAX
        took_s = (now - drained[0][0]).total_seconds()
        return max(1, min(RETRY_AFTER_S_MAX, ceil(self.get_lag(shard) * took_s / done)))

    def _judge(self, shard: int) -> None:
        """Begin to refuse writes, or end it."""
        lag = self.get_lag(shard)
        if shard in self._refused:
            if lag <= self.resumes_at:
                self._refused.discard(shard)
                logger.info("writes are taken again", shard=shard, lag=lag)
        elif self._max and lag >= self._max:
            self._refused.add(shard)
            logger.warning("writes are refused: the writer is behind", shard=shard, lag=lag)


def _cut_window(drained: deque[tuple[datetime, int]], now: datetime) -> None:
    """Let go of what is older than the window, but for what it begins with."""
    while len(drained) > 1 and drained[1][0] <= now - WINDOW:
        drained.popleft()
