"""Handle lists that take too long, or cannot be read: smaller batches, and lists that become BROKEN."""

from collections.abc import Mapping

import structlog

from kith.engine.lists.dynamic_lists import DynamicLists
from kith.engine.lists.list_costs import ListCosts, ListTooSlow, Verdicts

# After a list took too long in a batch, the next batch has so many times fewer commands; later ones grow again.
SHRINK, GROW = 8, 4
logger = structlog.get_logger(__name__)


class SlowBatch(Exception):
    """A list took too long in a batch of so many commands."""

    def __init__(self, cause: ListTooSlow, commands: int) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.commands = commands


class SlowLists:
    """Of a writer, by shard: which lists the next batch breaks, and how many commands it may have."""

    def __init__(self, costs: ListCosts, batch_max: int, recorded: Mapping[tuple[int, int], Verdicts]) -> None:
        """``recorded``, for a replay, are lists to break by (shard, position)."""
        self._costs = costs
        self._batch_max = batch_max
        self._recorded = recorded
        self._broken: dict[int, Verdicts] = {}
        self._sizes: dict[int, int] = {}

    def find_size(self, shard: int) -> int:
        """How many commands the next batch may have."""
        return self._sizes.get(shard, self._batch_max)

    def breaks_at(self, place: tuple[int, int]) -> bool:
        """Whether a replay has to begin a batch at this (shard, position)."""
        return place in self._recorded

    def find_broken(self, shard: int, first: int) -> Verdicts:
        """The lists that a batch breaks which begins at this position."""
        return self._recorded.get((shard, first)) or self._broken.get(shard, {})

    def drop_broken(self, shard: int, first: int, lists: Mapping[int, DynamicLists]) -> dict[int, DynamicLists]:
        """The lists by workspace, with those BROKEN that a batch breaks which begins at the position."""
        left = dict(lists)
        for workspace_id, number in self.find_broken(shard, first):
            if workspace_id in left:
                left[workspace_id] = left[workspace_id].without([number])
        return left

    def note_unread(self, shard: int, lists: Mapping[int, DynamicLists]) -> None:
        """Break, with the next batch, the lists whose filters this program cannot understand: none may stand still."""
        for workspace_id, some in lists.items():
            self._break(shard, {(workspace_id, number): reason for number, reason in some.unread.items()})

    def note_failed(self, shard: int, error: SlowBatch, tried: set[int]) -> None:
        """Decide what to try next. ``tried`` are lists that took too long for this one command before."""
        one = error.cause
        if not self._costs.is_limited:
            raise error
        logger.warning(
            "list_too_slow", shard=shard, workspace=one.workspace_id, list=one.number, commands=error.commands
        )
        if error.commands > 1 and not one.surely:
            # Where a statement could not even be ended in time, there is no time for many attempts.
            overdrawn = self._costs.is_overdrawn(one.workspace_id)
            self._sizes[shard] = 1 if overdrawn else max(1, error.commands // SHRINK)
            if overdrawn:
                tried.add(one.number)
        elif one.surely or one.number in tried:
            self._break(shard, self._costs.condemn(one.workspace_id, one.number))
        else:
            # Once may be a machine that stood still for a moment.
            tried.add(one.number)

    def note_stored(self, shard: int, done: Mapping[int, int], slowest_s: float) -> bool:
        """Take in a batch that was stored: how many commands of each workspace with lists. Whether it breaks lists."""
        self._broken.pop(shard, None)
        if (size := self._sizes.get(shard)) is not None and not self._costs.is_long(slowest_s):
            if (size := size * GROW) < self._batch_max:
                self._sizes[shard] = size
            else:
                del self._sizes[shard]
        for workspace_id, changes in done.items():
            self._costs.credit(workspace_id, changes=changes)
            self._break(shard, self._costs.judge(workspace_id))
        return shard in self._broken

    def _break(self, shard: int, broken: Verdicts) -> None:
        if broken:
            self._broken[shard] = {**self._broken.get(shard, {}), **broken}
