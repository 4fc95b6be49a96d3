"""Snapshot of the shared overlay for one request: the writes of its process, and those that Redis has of others."""

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

from kith.model.records import Claim, Identity, Record
from kith.pending.encoding import (
    CLAIM,
    RECORD,
    Key,
    decode_head,
    decode_holder,
    decode_position,
    decode_record,
    from_suffix,
    to_suffix,
)
from kith.pending.memory import MemoryPending
from kith.pending.port import PendingWrite
from kith.pending.seal import Seal


class Seen(NamedTuple):
    """A write on a record or a claim: its operation, its position once it has one, what Redis has of its value."""

    operation_id: str
    position: int | None
    value: bytes | None = None

    @property
    def order(self) -> float:
        return math.inf if self.position is None else self.position


class KeyWrites(NamedTuple):
    """What Redis said of a key: the last write on it, and the last one that is acknowledged.

    ``last_name`` is the last write in Redis, also where its value was not written by this installation.
    """

    last: Seen | None = None
    acknowledged: Seen | None = None
    last_name: bytes = b""


class SharedSnapshot:
    """See ``kith.pending.port.Snapshot``. It is of one workspace.

    ``applied`` are the positions that were known to be applied before it was taken: whatever is read from the database
    since has those writes in it. ``look`` asks Redis about what ``list_untold`` names, and tells it.
    """

    def __init__(
        self,
        own: MemoryPending,
        seal: Seal,
        applied: Mapping[int, int],
        look: Callable[["SharedSnapshot"], Awaitable[bool]],
    ) -> None:
        self.own = own
        self.applied = applied
        self.deferred = False
        self.workspace_id = 0
        self.shard = 0
        # How often a claim was refused, and how long it has waited for other processes' appends.
        self.refusals = 0
        self.waited_s = 0.0
        self._seal = seal
        self._look = look
        # What was looked for, with the writes that it was answered by.
        self.asked: dict[Key, tuple[str | None, str | None]] = {}
        self.operations: dict[str, tuple[PendingWrite, int | None] | None] = {}
        self._told: dict[Key, KeyWrites] = {}

    def find_record(
        self, workspace_id: int, identity: Identity, *, acknowledged: bool = False
    ) -> tuple[bool, Record | None]:
        key = self._ask(workspace_id, (RECORD, identity))
        found = self.find_write(key, acknowledged=acknowledged)
        if found is None:
            return False, None
        if found.value is None:
            return True, self.own.list_records(workspace_id, identity)[found.operation_id]
        try:
            return True, decode_record(identity, found.value)
        except ValueError:
            return False, None

    def find_holder(
        self, workspace_id: int, claim: Claim, *, acknowledged: bool = False
    ) -> tuple[bool, Identity | None]:
        key = self._ask(workspace_id, (CLAIM, claim))
        found = self.find_write(key, acknowledged=acknowledged)
        if found is None:
            return False, None
        if found.value is None:
            return True, self.own.list_holders(workspace_id, claim)[found.operation_id]
        return True, decode_holder(found.value)

    def find_operation(self, workspace_id: int, operation_id: str) -> tuple[PendingWrite, int | None] | None:
        self.workspace_id = workspace_id
        found = self.own.find_operation(workspace_id, operation_id)
        return found or self.operations.setdefault(operation_id, None)

    async def refresh(self, shard: int) -> bool:
        self.shard = shard
        if not await self._look(self):
            return False
        self.begin_again()
        return True

    def begin_again(self) -> None:
        """What was looked for is forgotten: who looks again may look for something else. What was told is kept."""
        self.asked.clear()

    def _ask(self, workspace_id: int, key: Key) -> Key:
        self.workspace_id = workspace_id
        self.asked[key] = self._name_writes(key)
        return key

    def find_write(self, key: Key, *, acknowledged: bool = False) -> Seen | None:
        """The last write that is known on a record or a claim, of whichever process."""
        told = self._told.get(key, KeyWrites())
        other = told.acknowledged if acknowledged else told.last
        own = self._find_own(key, acknowledged)
        if own is None or other is None or own.operation_id == other.operation_id:
            return own or other
        return own if own.order >= other.order else other

    def list_untold(self) -> list[Key]:
        """What was looked for, and Redis was not asked about."""
        return [key for key in self.asked if key not in self._told]

    def list_unsettled(self) -> list[Key]:
        """What was looked for and was moved last by a write of another process that is not acknowledged yet."""
        lasts = ((key, self.find_write(key)) for key in self.asked)
        return [key for key, last in lasts if last and last.position is None and not self._is_own(last.operation_id)]

    def list_bases(self) -> frozenset[str]:
        """The writes that answered what was looked for."""
        return frozenset(name for answered in self.asked.values() for name in answered if name is not None)

    def list_accepted(self, key: Key) -> tuple[str, str | bytes]:
        """The writes of which one has to be the last on the key in Redis, or what was foreseen is not so; '' for none.

        A write that is on the log stays foreseen where Redis has lost it.
        """
        last, told = self.find_write(key), self._told.get(key)
        accepted = _name(last) or ""
        if told is not None and told.last is None and told.last_name:
            return accepted, told.last_name
        if told is None or last is None or last.position is None:
            return accepted, accepted
        return accepted, _name(told.last) or ""

    def _is_own(self, operation_id: str) -> bool:
        return self.own.find_operation(self.workspace_id, operation_id) is not None

    def tell(self, shown: Iterable[list[bytes]]) -> None:
        """Take in what Redis shows of keys."""
        for suffix, *writes in shown:
            key = from_suffix(suffix.decode())
            parts = [writes[at : at + 3] for at in range(0, len(writes), 3)]
            found = [one for one in (self._open_seen(key, *three) for three in parts) if one is not None]
            acknowledged = next((one for one in found if one.position is not None), None)
            last_name = parts[0][0] if parts else b""
            self._told[key] = KeyWrites(found[0] if found else None, acknowledged, last_name)

    def _open_seen(self, key: Key, name: bytes, position: bytes, value: bytes) -> Seen | None:
        """None where this installation did not write it, or it is applied."""
        try:
            operation_id = name.decode()
            number = decode_position(self._seal, self.workspace_id, operation_id, position)
            opened = self._seal.open(self.workspace_id, operation_id, to_suffix(key), value)
        except ValueError:
            return None
        if number is not None and number <= self.applied.get(self.shard, 0):
            return None
        return Seen(operation_id, number, opened)

    def has_moved(self) -> bool:
        """Whether something that was looked for would be answered by another write now, of whichever process."""
        return any(self._name_writes(key) != answered for key, answered in self.asked.items())

    def _name_writes(self, key: Key) -> tuple[str | None, str | None]:
        """The last write on the key, and the last one that is acknowledged."""
        return _name(self.find_write(key)), _name(self.find_write(key, acknowledged=True))

    def tell_operation(self, operation_id: str, position: bytes, head: bytes) -> bool:
        """Take in an operation that Redis has. Whether it can be read, and the database has it not."""
        try:
            write = decode_head(self._seal, self.workspace_id, operation_id, head)
            number = decode_position(self._seal, self.workspace_id, operation_id, position)
        except ValueError:
            return False
        if write.shard != self.shard:
            return False
        if number is not None and number <= self.applied.get(write.shard, 0):
            return False
        self.operations[operation_id] = (write, number)
        return True

    def _find_own(self, key: Key, acknowledged: bool) -> Seen | None:
        group, name = key
        foreseen: dict[str, Any]
        if group == RECORD:
            foreseen = self.own.list_records(self.workspace_id, name)
        else:
            foreseen = self.own.list_holders(self.workspace_id, name)
        for operation_id in reversed(foreseen):
            found = self.own.find_operation(self.workspace_id, operation_id)
            if found is None or (acknowledged and found[1] is None):
                continue
            if found[1] is not None and found[1] <= self.applied.get(found[0].shard, 0):
                return None
            return Seen(operation_id, found[1])
        return None


def _name(seen: Seen | None) -> str | None:
    return seen.operation_id if seen is not None else None
