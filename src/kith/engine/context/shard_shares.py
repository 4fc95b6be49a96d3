"""Bound how much of a shard's log one workspace may take: what the writer applies for it in about a second.

The commands of a shard are applied in order, so that a workspace with many of them makes the others wait. Counted are
those that this process appended.
"""

from collections import Counter, deque
from collections.abc import Callable
from time import monotonic

WINDOW_S = 1.0


class Shares:
    """Commands that are not applied, by workspace, and how many were applied of late."""

    def __init__(self, least: int, clock_s: Callable[[], float] = monotonic) -> None:
        """``least``: so many any workspace may have that are not applied. 0: any number."""
        self._least = least
        self._clock_s = clock_s
        self._appended: dict[int, deque[tuple[int, int]]] = {}
        self._waiting: dict[int, int] = {}
        self._applied: dict[int, deque[tuple[float, int]]] = {}

    def enter(self, workspace_id: int) -> None:
        """A command is on its way to the log."""
        self._waiting[workspace_id] = self._waiting.get(workspace_id, 0) + 1

    def leave(self, workspace_id: int, count: int = 1) -> None:
        """Commands are on their way no more, or applied."""
        left = self._waiting[workspace_id] - count
        if left > 0:
            self._waiting[workspace_id] = left
        else:
            del self._waiting[workspace_id]

    def note_appended(self, shard: int, workspace_id: int, position: int) -> None:
        self.enter(workspace_id)
        self._appended.setdefault(shard, deque()).append((position, workspace_id))

    def note_applied(self, shard: int, position: int) -> None:
        """The shard is applied up to there."""
        appended = self._appended.get(shard)
        done: Counter[int] = Counter()
        while appended and appended[0][0] <= position:
            done[appended.popleft()[1]] += 1
        for workspace_id, count in done.items():
            self.leave(workspace_id, count)
            self._applied.setdefault(workspace_id, deque()).append((self._clock_s(), count))
            self._cut_window(workspace_id)

    def find_limit(self, workspace_id: int) -> int:
        """How many commands of the workspace may wait: as many as were applied within the last second."""
        self._cut_window(workspace_id)
        return max(self._least, sum(count for _, count in self._applied.get(workspace_id, ())))

    def count(self, workspace_id: int) -> int:
        return self._waiting.get(workspace_id, 0)

    def is_over(self, workspace_id: int) -> bool:
        """Whether the workspace has to wait before it may add a command."""
        waiting = self.count(workspace_id)
        return 0 < self._least <= waiting and waiting >= self.find_limit(workspace_id)

    def _cut_window(self, workspace_id: int) -> None:
        applied = self._applied.get(workspace_id)
        while applied and applied[0][0] <= self._clock_s() - WINDOW_S:
            applied.popleft()
        if applied is not None and not applied:
            del self._applied[workspace_id]
