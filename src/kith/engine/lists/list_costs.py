"""The writer's time that the dynamic lists of each workspace take, and which lists become BROKEN for it.

Each workspace has an account in milliseconds. Evaluating its lists is paid from it; each change and the passing of time
fill it up again, to the budget at most, and the lists owe less. When it is empty, those that owe most become BROKEN.
What a clock decides here does not follow from the log: the writer records each such list (``broken_lists``), which a
replay reads.
"""

from collections.abc import Callable, Mapping
from time import monotonic
from typing import NamedTuple

# What an account gets for each change, as a share of the budget: a list may take so long for every single change.
FOR_A_CHANGE = 0.01
# What it gets for each millisecond that passes.
FOR_A_MS = 0.1
# What it gets for each record that an evaluation of a whole list looks at, in milliseconds.
FOR_A_RECORD_MS = 0.1
# The share of the budget that one statement for several changes may take, and that any statement may take in any case.
BATCH_SHARE, LEAST_SHARE = 0.25, 0.05
# When an account is empty, lists become BROKEN until the others owe no more than this share of the budget.
KEPT_SHARE = 0.25
# Time is measured list by list when an account is down to this share of the budget.
WATCHED_SHARE = 0.5
# A list whose statement was ended becomes BROKEN, unless another owes so many times as much.
FAR_DEARER = 2

Verdicts = Mapping[tuple[int, int], str]
"""Why lists become BROKEN, by (workspace, number)."""


class ListTooSlow(Exception):
    """Evaluating a list took too long. ``surely``: a second try would make no difference."""

    def __init__(self, workspace_id: int, number: int, *, surely: bool) -> None:
        super().__init__(f"list {number} of workspace {workspace_id} takes too long")
        self.workspace_id = workspace_id
        self.number = number
        self.surely = surely


class _Account:
    """``took_ms`` is what all lists took. By number, ``spent_ms`` has what a list took, ``owed_ms`` what of it is not
    made up for yet, of the time that was measured list by list.
    """

    def __init__(self, left_ms: float, at_s: float) -> None:
        self.left_ms = left_ms
        self.at_s = at_s
        self.changes = 0
        self.took_ms = 0.0
        self.spent_ms: dict[int, float] = {}
        self.owed_ms: dict[int, float] = {}


class StatementLimit(NamedTuple):
    """In milliseconds. A lock that somebody else holds ends a statement sooner, with another error."""

    statement_ms: int
    lock_ms: int


class ListCosts:
    """Of all workspaces of a writer. Without a budget nothing is measured or limited."""

    def __init__(self, budget_ms: int | None, clock_s: Callable[[], float] = monotonic) -> None:
        self._budget_ms = budget_ms
        self._clock_s = clock_s
        # Accounts that are full are not kept.
        self._accounts: dict[int, _Account] = {}
        self._idle_ms = 0.0

    @property
    def is_limited(self) -> bool:
        return self._budget_ms is not None

    def make_limit(self, workspace_id: int, *, alone: bool) -> StatementLimit:
        """How long a statement that evaluates a list may run, for one change or for several."""
        assert self._budget_ms is not None
        account = self._accounts.get(workspace_id)
        left_ms = account.left_ms if account is not None else self._budget_ms
        most_ms = self._budget_ms if alone else self._budget_ms * BATCH_SHARE
        statement_ms = max(1, round(min(most_ms, max(left_ms, self._budget_ms * LEAST_SHARE))))
        return StatementLimit(statement_ms, max(1, statement_ms * 3 // 4))

    def is_long(self, took_s: float) -> bool:
        """Whether statements for more changes than this one should be avoided."""
        return self._budget_ms is not None and took_s * 1000 * 8 > self._budget_ms * BATCH_SHARE

    def note_idle(self, took_s: float) -> None:
        """Take in how long a statement that does nothing takes at present: busy machines are no fault of lists."""
        self._idle_ms += (took_s * 1000 - self._idle_ms) * 0.2

    def charge_statement(self, workspace_id: int, number: int, took_s: float) -> None:
        self.charge(workspace_id, number, max(0.0, took_s * 1000 - 2 * self._idle_ms))

    def charge(self, workspace_id: int, number: int | None, took_ms: float) -> None:
        """Pay for the evaluation of a list; ``number`` is None where it was not measured list by list."""
        if self._budget_ms is None:
            return
        account = self._accounts.get(workspace_id)
        if account is None:
            account = self._accounts[workspace_id] = _Account(self._budget_ms, self._clock_s())
        account.left_ms -= took_ms
        account.took_ms += took_ms
        if number is not None:
            account.spent_ms[number] = account.spent_ms.get(number, 0.0) + took_ms
            account.owed_ms[number] = account.owed_ms.get(number, 0.0) + took_ms

    def credit(self, workspace_id: int, changes: int = 0, records: int = 0) -> None:
        """Fill the account up for what was done, and for the time that has passed."""
        account = self._accounts.get(workspace_id)
        if account is None or self._budget_ms is None:
            return
        now_s = self._clock_s()
        credit_ms = changes * self._budget_ms * FOR_A_CHANGE + records * FOR_A_RECORD_MS
        credit_ms += (now_s - account.at_s) * 1000 * FOR_A_MS
        owed_ms = self._budget_ms - account.left_ms
        account.left_ms += credit_ms
        account.at_s = now_s
        account.changes += changes
        if account.left_ms >= self._budget_ms:
            del self._accounts[workspace_id]
        else:
            kept = 1 - credit_ms / owed_ms
            account.owed_ms = {number: one_ms * kept for number, one_ms in account.owed_ms.items()}

    def is_watched(self, workspace_id: int) -> bool:
        """Whether the time of each list is to be measured."""
        account = self._accounts.get(workspace_id)
        return (
            account is not None and self._budget_ms is not None and (account.left_ms < self._budget_ms * WATCHED_SHARE)
        )

    def is_overdrawn(self, workspace_id: int) -> bool:
        account = self._accounts.get(workspace_id)
        return account is not None and account.left_ms < 0

    def judge(self, workspace_id: int) -> dict[tuple[int, int], str]:
        """The lists that become BROKEN where the account is overdrawn: the dearest first. Then it is full again.

        Where too little was measured to say which those are, it is filled so far that the lists are measured.
        """
        if not self.is_overdrawn(workspace_id):
            return {}
        assert self._budget_ms is not None
        account = self._accounts[workspace_id]
        rest_ms = sum(account.owed_ms.values())
        broken: dict[tuple[int, int], str] = {}
        for number, owed_ms in sorted(account.owed_ms.items(), key=lambda item: (-item[1], item[0])):
            if rest_ms <= self._budget_ms * KEPT_SHARE:
                break
            broken[workspace_id, number] = self._make_reason(account, number, account.changes)
            rest_ms -= owed_ms
        if broken:
            del self._accounts[workspace_id]
        else:
            account.left_ms, account.owed_ms = self._budget_ms * WATCHED_SHARE / 2, {}
        return broken

    def condemn(self, workspace_id: int, number: int) -> dict[tuple[int, int], str]:
        """The one list, for a single command, or one that left it so little time. What that one took does not count
        against the others of the workspace.
        """
        account = self._accounts.get(workspace_id) or _Account(0.0, self._clock_s())
        owed_ms = account.owed_ms.get(number, 0.0)
        dearest = max(account.owed_ms, key=account.owed_ms.__getitem__, default=number)
        if account.owed_ms.get(dearest, 0.0) > FAR_DEARER * owed_ms:
            number = dearest
        broken = {(workspace_id, number): self._make_reason(account, number, account.changes + 1)}
        account.took_ms -= account.spent_ms.pop(number, 0.0)
        account.left_ms = max(account.left_ms + account.owed_ms.pop(number, 0.0), 0.0)
        return broken

    def _make_reason(self, account: _Account, number: int, changes: int) -> str:
        what = "one change" if changes <= 1 else f"{changes:,} changes"
        own_ms, all_ms = round(account.spent_ms.get(number, 0.0)), round(account.took_ms)
        took = f"{all_ms:,} ms for {what} (the limit is {self._budget_ms:,} ms, and {FOR_A_CHANGE:.0%} of it more for"
        took += " each change)"
        if own_ms == all_ms:
            return f"The filter takes too long: {took}. Set a simpler filter with PATCH, or delete the list."
        return (
            f"The filters of the workspace's dynamic lists take too long: {took}. {own_ms:,} ms of it are this list's,"
            " one of those that take longest. Set a simpler filter with PATCH, or delete the list."
        )
