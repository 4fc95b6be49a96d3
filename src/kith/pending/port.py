"""The port of the pending overlay: an aid to foresight, never the truth.

It holds what the accepted, not yet applied writes are foreseen to make of records and claims. Losing it costs
foresight (a refusal comes later, from the writer), never data.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

import msgspec

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


class Pending(Protocol):
    """What is foreseen, by record, by claim and by operation."""

    def __len__(self) -> int:
        """How many writes are pending."""
        ...

    def find_oldest(self) -> datetime | None:
        """When the write was made that has been pending longest."""
        ...

    def reading(self) -> AbstractContextManager[None]:
        """While it is open, nothing is dropped: what the database shows and what is held here leave no gap."""
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

    async def wait_acknowledged(self, operation_id: str) -> int | None:
        """The write's position as soon as it is on the log; None where it did not get there."""
        ...

    def put(self, write: PendingWrite) -> None:
        """Foresee a write, before it is appended: claims are taken now."""
        ...

    def settle(self, operation_id: str, position: int) -> None:
        """The log has acknowledged the write."""
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
        """(the write in doubt, its entry)."""
        ...

    def drop_applied(self, shard: int, position: int) -> None:
        """The writer has passed the position: the database knows better from here on."""
        ...
