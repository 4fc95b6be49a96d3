"""The pending overlay in the memory of the one API process."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TypeVar

from kith.model.records import Claim, Identity, Record
from kith.pending.port import PendingWrite, Snapshot

DOUBTED_MAX = 1000
Key = tuple[int, tuple[str, str]]
Value = TypeVar("Value")


class MemoryPending:
    """See ``kith.pending.port.Pending``. Each record and claim has its foreseen values in the order of the writes.

    It is its own snapshot, and nothing that it does is waited for: all writes are this process's.
    """

    deferred = False

    def __init__(self) -> None:
        self._writes: dict[str, PendingWrite] = {}
        self._positions: dict[str, int] = {}
        self._doubted: dict[str, tuple[PendingWrite, bytes]] = {}
        self._waiting: dict[str, list[asyncio.Future[int | None]]] = {}
        self._records: dict[Key, dict[str, Record | None]] = {}
        self._holders: dict[Key, dict[str, Identity | None]] = {}
        self._acknowledged: dict[int, deque[tuple[int, str]]] = defaultdict(deque)
        self._applied: dict[int, int] = {}
        self._readers: dict[int, bool] = {}
        self._next_reader = 0
        self._dropping: deque[tuple[int, str]] = deque()

    def __len__(self) -> int:
        return len(self._writes)

    def find_oldest(self) -> datetime | None:
        return next(iter(self._writes.values())).created_at if self._writes else None

    async def find_fault(self) -> str | None:
        return None

    @contextmanager
    def reading(self) -> Iterator["MemoryPending"]:
        reader = self._next_reader
        self._next_reader += 1
        self._readers[reader] = True
        try:
            yield self
        finally:
            del self._readers[reader]
            if self._dropping:
                self._drop_unread()

    def find_record(
        self, workspace_id: int, identity: Identity, *, acknowledged: bool = False
    ) -> tuple[bool, Record | None]:
        return self._find_last(self._records.get((workspace_id, identity)), acknowledged)

    def find_holder(
        self, workspace_id: int, claim: Claim, *, acknowledged: bool = False
    ) -> tuple[bool, Identity | None]:
        return self._find_last(self._holders.get((workspace_id, claim)), acknowledged)

    def _find_last(self, foreseen: dict[str, Value] | None, acknowledged: bool) -> tuple[bool, Value | None]:
        for operation_id in reversed(foreseen or ()):
            if not acknowledged or operation_id in self._positions:
                assert foreseen is not None
                return True, foreseen[operation_id]
        return False, None

    def find_operation(self, workspace_id: int, operation_id: str) -> tuple[PendingWrite, int | None] | None:
        write = self._writes.get(operation_id)
        if write is None or write.workspace_id != workspace_id:
            return None
        return write, self._positions.get(operation_id)

    def find_write(self, operation_id: str) -> PendingWrite | None:
        """The write, of whichever workspace."""
        return self._writes.get(operation_id)

    def list_records(self, workspace_id: int, identity: Identity) -> dict[str, Record | None]:
        """What each write on the record makes of it, by operation, in the order of the writes."""
        return self._records.get((workspace_id, identity), {})

    def list_holders(self, workspace_id: int, claim: Claim) -> dict[str, Identity | None]:
        """Whom each write on the claim gives it to, by operation, in the order of the writes."""
        return self._holders.get((workspace_id, claim), {})

    def list_acknowledged(self, count: int) -> list[tuple[PendingWrite, int]]:
        """The last so many writes that are on the log, with their positions."""
        last = list(self._positions.items())[-count:]
        return [(self._writes[operation_id], position) for operation_id, position in last]

    async def refresh(self, shard: int) -> bool:
        return False

    async def wait_acknowledged(self, workspace_id: int, operation_id: str) -> tuple[PendingWrite, int] | None:
        found = self.find_operation(workspace_id, operation_id)
        if found is None:
            return None
        write, position = found
        if position is None:
            told: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(operation_id, []).append(told)
            position = await told
        return (write, position) if position is not None else None

    async def claim(self, write: PendingWrite, seen: Snapshot | None) -> bool:
        self.put(write)
        return True

    async def restore(self, write: PendingWrite, position: int) -> None:
        self.put(write)
        self.settle(write.operation_id, position)

    async def acknowledge(self, operation_id: str, position: int) -> None:
        self.settle(operation_id, position)

    def put(self, write: PendingWrite) -> None:
        """Foresee a write."""
        operation_id = write.operation_id
        self._writes[operation_id] = write
        for identity, record in write.records.items():
            self._records.setdefault((write.workspace_id, identity), {})[operation_id] = record
        for claim, holder in write.holders.items():
            self._holders.setdefault((write.workspace_id, claim), {})[operation_id] = holder

    def settle(self, operation_id: str, position: int) -> None:
        """The log has the write at this position."""
        write = self._writes.get(operation_id)
        if write is None:
            return
        self._positions[operation_id] = position
        self._doubted.pop(operation_id, None)
        self._tell(operation_id, position)
        if position <= self._applied.get(write.shard, 0):
            self._drop_later(operation_id)
        else:
            self._acknowledged[write.shard].append((position, operation_id))

    def discard(self, operation_id: str) -> None:
        self._forget(operation_id)
        self._tell(operation_id, None)

    def doubt(self, operation_id: str, entry: bytes) -> None:
        self.keep_doubted(self._writes[operation_id], entry)
        self.discard(operation_id)

    def keep_doubted(self, write: PendingWrite, entry: bytes) -> None:
        """Keep a write that is in doubt."""
        self._doubted[write.operation_id] = (write, entry)
        if len(self._doubted) > DOUBTED_MAX:
            del self._doubted[next(iter(self._doubted))]

    def find_doubted(self, workspace_id: int, operation_id: str) -> tuple[PendingWrite, bytes] | None:
        doubted = self._doubted.get(operation_id)
        return doubted if doubted and doubted[0].workspace_id == workspace_id else None

    def _tell(self, operation_id: str, position: int | None) -> None:
        for told in self._waiting.pop(operation_id, ()):
            if not told.done():
                told.set_result(position)

    def drop_applied(self, shard: int, position: int) -> None:
        self._applied[shard] = max(position, self._applied.get(shard, 0))
        acknowledged = self._acknowledged[shard]
        while acknowledged and acknowledged[0][0] <= position:
            self._drop_later(acknowledged.popleft()[1])

    def _drop_later(self, operation_id: str) -> None:
        """Drop it once every read that began before now has ended: such a read may not see the write applied."""
        if not self._readers:
            self._forget(operation_id)
        else:
            self._dropping.append((self._next_reader, operation_id))

    def _drop_unread(self) -> None:
        oldest = next(iter(self._readers), self._next_reader)
        while self._dropping and self._dropping[0][0] <= oldest:
            self._forget(self._dropping.popleft()[1])

    def _forget(self, operation_id: str) -> None:
        write = self._writes.pop(operation_id, None)
        self._positions.pop(operation_id, None)
        if write is None:
            return
        for identity in write.records:
            _remove(self._records, (write.workspace_id, identity), operation_id)
        for claim in write.holders:
            _remove(self._holders, (write.workspace_id, claim), operation_id)


def _remove(foreseen: dict[Key, dict[str, Value]], key: Key, operation_id: str) -> None:
    values = foreseen.get(key)
    if values is not None:
        values.pop(operation_id, None)
        if not values:
            del foreseen[key]
