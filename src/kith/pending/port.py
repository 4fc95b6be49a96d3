"""The port of the pending overlay: an aid to foresight, never the truth.

It holds what the accepted, not yet applied writes are foreseen to make of records and claims. Losing it costs
foresight (a refusal comes later, from the writer), never data.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

import msgspec

from kith.model.actors import Actor
from kith.model.records import Claim, Identity, Record


class PendingWrite(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted write: what it makes of records (None: removed), and of claims (None: set free)."""

    operation_id: str
    type: str
    shard: int
    workspace_id: int
    resource: str
    created_at: datetime
    fingerprint: str | None
    answer: bytes
    records: Mapping[Identity, Record | None]
    holders: Mapping[Claim, Identity | None]
    actor: Actor | None = None


class Snapshot(Protocol):
    """What is foreseen in a workspace, by record, by claim and by operation, as one request sees it.

    It answers at once from what this process knows. Where processes share the overlay, ``refresh`` holds that against
    what the others know: whoever shows or refuses something asks it first, and looks again where it says so.
    """

    @property
    def deferred(self) -> bool:
        """Whether the other processes could not be asked: what is foreseen is then this process's own part of it."""
        ...

    def find_record(
        self, workspace_id: int, identity: Identity, *, acknowledged: bool = False
    ) -> tuple[bool, Record | None]:
        """(whether a write on the record is pending, the record as the last one leaves it: None where it removes it).

        ``acknowledged``: as the last write that is surely on the log leaves it. What is shown to anybody is that;
        what is foreseen counts the writes that are still on their way there too.
        """
        ...

    def find_holder(
        self, workspace_id: int, claim: Claim, *, acknowledged: bool = False
    ) -> tuple[bool, Identity | None]:
        """(whether a pending write moves this claim, who holds it then); ``acknowledged`` as above."""
        ...

    def find_operation(self, workspace_id: int, operation_id: str) -> tuple[PendingWrite, int | None] | None:
        """(the write, its position once the log has acknowledged it)."""
        ...

    async def refresh(self, shard: int) -> bool:
        """Ask the other processes about all that was looked for here. Whether an answer is another one now.

        The shard is the workspace's.
        """
        ...


class Pending(Protocol):
    """The writes that are foreseen."""

    def __len__(self) -> int:
        """How many writes are pending that this process has accepted or found on the log."""
        ...

    def find_oldest(self) -> datetime | None:
        """When the write was made that has been pending longest, among those."""
        ...

    async def find_fault(self) -> str | None:
        """A sentence on what the overlay is without, and what that means; None where all is well."""
        ...

    def reading(self) -> AbstractContextManager[Snapshot]:
        """While it is open, nothing is dropped: what the database shows and what is held here leave no gap.

        It has to be opened before the database is read.
        """
        ...

    async def wait_acknowledged(self, workspace_id: int, operation_id: str) -> tuple[PendingWrite, int] | None:
        """The write with its position as soon as it is on the log; None where it did not get there."""
        ...

    async def claim(self, write: PendingWrite, seen: Snapshot | None) -> bool:
        """Foresee a write before it is appended, and take its claims: all at once, or nothing.

        False where another process has moved something that was looked for in ``seen``, or has the same operation:
        then ``seen`` knows of it, and the write has to be predicted again. Without ``seen`` it is foreseen whatever
        others do. Writes of this process come back in the order in which they were taken.
        """
        ...

    async def restore(self, write: PendingWrite, position: int) -> None:
        """Foresee a write that was found on the log."""
        ...

    async def acknowledge(self, operation_id: str, position: int) -> None:
        """The log has acknowledged the write: on return every process shows it."""
        ...

    def discard(self, operation_id: str) -> None:
        """The write did not reach the log: it is foreseen no more."""
        ...

    def doubt(self, operation_id: str, entry: bytes) -> None:
        """The log did not say whether it took the write: it is foreseen no more, but kept, for a repetition to settle.

        ``entry`` is what was to be appended. A bounded number is kept, the oldest go first.
        """
        ...

    def find_doubted(self, workspace_id: int, operation_id: str) -> tuple[PendingWrite, bytes] | None:
        """(the write in doubt, its entry); another process's, where its operation was asked for here just before."""
        ...

    def drop_applied(self, shard: int, position: int) -> None:
        """The writer has passed the position: the database knows better from here on. May be told again."""
        ...
