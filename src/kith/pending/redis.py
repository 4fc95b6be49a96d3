"""The pending overlay in Redis, for several API processes: each knows its own writes, and asks about those of others.

A write is a hash with a head, a position once the log has acknowledged it, and what it makes of each record and claim;
each record and claim has the writes on it in a sorted set. All keys of a workspace are in one slot. A write is
predicted from what this process knows, and one script compares that with what all know and takes the claims: one round
trip, or as many more as others have moved something meanwhile. Without Redis this process goes on with its own writes.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from kith.pending.encoding import (
    CLAIM,
    RECORD,
    Key,
    decode_doubt,
    decode_head,
    decode_position,
    encode_doubt,
    encode_head,
    encode_position,
    seal_moves,
    to_suffix,
)
from kith.pending.memory import MemoryPending
from kith.pending.port import PendingWrite, Snapshot
from kith.pending.redis_client import Trips, Unreachable
from kith.pending.seal import Seal
from kith.pending.snapshot import SharedSnapshot
from kith.rare_logs import RareLog

# How long Redis keeps a write of a process that is gone.
LIFE_MS = 3_600_000
# How much longer than a read may take a write that is applied can still be seen by who began to read before.
GRACE_SPARE_MS = 10_000
# How much longer than an append may take its write is kept unacknowledged.
LEASE_SPARE_MS = 2000
REFUSALS_MAX = 50
WAIT_FOR_OTHERS_S = 0.5
WAIT_STEP_S = 0.002
RESTORED_MAX = 2000

_UNANSWERED = RareLog("part_does_not_answer")


class RedisPending:
    """See ``kith.pending.port.Pending``."""

    def __init__(self, trips: Trips, prefix: str, seal: Seal, append_timeout_ms: int, read_timeout_ms: int) -> None:
        self._trips = trips
        self._prefix = prefix
        self._seal = seal
        self._lease_ms = append_timeout_ms + LEASE_SPARE_MS
        self._grace_ms = read_timeout_ms + append_timeout_ms + GRACE_SPARE_MS
        self._own = MemoryPending()
        self._applied: dict[int, int] = {}
        self._acknowledged: dict[int, deque[tuple[int, int, str]]] = defaultdict(deque)
        # The claims that are not answered yet, in the order of their way, with the writes that each was foreseen on.
        self._claiming: dict[str, frozenset[str]] = {}
        trips.on_back = self._restore_own

    def __len__(self) -> int:
        return len(self._own)

    def find_oldest(self) -> datetime | None:
        return self._own.find_oldest()

    async def find_fault(self) -> str | None:
        try:
            await self._trips.call("look", [], self._prefix, 0)
        except Unreachable as error:
            _UNANSWERED.warning(part="redis", reason=str(error))
            return (
                "Redis does not answer: writes are accepted, and checked against what this process has"
                " accepted only; each process counts rate limits by itself."
            )
        return None

    @contextmanager
    def reading(self) -> Iterator[SharedSnapshot]:
        with self._own.reading():
            yield SharedSnapshot(self._own, self._seal, dict(self._applied), self._look)

    def find_operation(self, workspace_id: int, operation_id: str) -> tuple[PendingWrite, int | None] | None:
        """Of this process's own writes."""
        return self._own.find_operation(workspace_id, operation_id)

    async def wait_acknowledged(self, workspace_id: int, operation_id: str) -> tuple[PendingWrite, int] | None:
        prefix = self._name(workspace_id)
        while True:
            if self._own.find_operation(workspace_id, operation_id):
                acknowledged = await self._own.wait_acknowledged(workspace_id, operation_id)
                if acknowledged is not None:
                    return acknowledged
                # It was refused here: because another process has it, or to be claimed again.
                if self._own.find_operation(workspace_id, operation_id):
                    continue
            try:
                _, operations = await self._trips.call("look", [], prefix, 0, operation_id)
                if not operations or not operations[0][2]:
                    return None
                _, position, head, _ = operations[0]
                number = decode_position(self._seal, workspace_id, operation_id, position)
                if number is not None:
                    return decode_head(self._seal, workspace_id, operation_id, head), number
            except (Unreachable, ValueError):
                return None
            # An unacknowledged write that is never settled goes with its lease.
            await asyncio.sleep(WAIT_STEP_S)

    async def claim(self, write: PendingWrite, seen: Snapshot | None) -> bool:
        if seen is None:
            await self._take(write, None)
            return True
        assert isinstance(seen, SharedSnapshot)
        seen.shard = write.shard
        if self._own.find_write(write.operation_id) is not None:
            return False
        if await self._wait_for_others(seen):
            seen.begin_again()
            return False
        moved = await self._take(write, seen if seen.refusals < REFUSALS_MAX else None)
        if not moved:
            if self._own.find_write(write.operation_id) is None:
                # What it was foreseen on is gone, and Redis did not refuse it for that.
                self._own.put(write)
            # Who was refused so often goes on as if nobody could be asked: the writer decides.
            seen.deferred = seen.deferred or seen.refusals >= REFUSALS_MAX
            return True
        seen.refusals += 1
        seen.begin_again()
        self._discard_with_followers(write.operation_id)
        return False

    async def _take(self, write: PendingWrite, compared: SharedSnapshot | None) -> bool:
        """Whether the claim found that something has moved. Of a request that is gone meanwhile nothing stays."""
        # What has to be as it was seen is written down before the write itself is part of it.
        sent = self._send(write, compared)
        self._own.put(write)
        self._claiming[write.operation_id] = compared.list_bases() if compared is not None else frozenset()
        try:
            # It is on its way, whatever becomes of the request.
            return await self._finds_moved(write, compared, asyncio.shield(sent))
        except asyncio.CancelledError:
            self._discard_with_followers(write.operation_id)
            sent.add_done_callback(lambda done: self._let_go(write, done))
            raise
        finally:
            self._claiming.pop(write.operation_id, None)

    def _discard_with_followers(self, operation_id: str) -> None:
        """What was foreseen on a write that is refused will be refused as well: nothing more may be built on it."""
        gone = {operation_id}
        for later, bases in self._claiming.items():
            if not bases.isdisjoint(gone):
                gone.add(later)
        for one in gone:
            self._claiming.pop(one, None)
            self._own.discard(one)

    def _let_go(self, write: PendingWrite, claimed: "asyncio.Future[Any]") -> None:
        """A request that is gone leaves its claim, where it got it: the same write of another process stays."""
        if not claimed.cancelled() and claimed.exception() is None and claimed.result()[0] == b"taken":
            self._trips.send("expire", self._name_write(write.workspace_id, write.operation_id)[:1], 0)

    async def restore(self, write: PendingWrite, position: int) -> None:
        await self._own.restore(write, position)
        self._acknowledged[write.shard].append((position, write.workspace_id, write.operation_id))
        self._send_again(write, position)

    async def acknowledge(self, operation_id: str, position: int) -> None:
        write = self._own.find_write(operation_id)
        self._own.settle(operation_id, position)
        if write is None:
            return
        moved = [(RECORD, one) for one in write.records] + [(CLAIM, one) for one in write.holders]
        keys = [*self._name_write(write.workspace_id, operation_id), *self._name_keys(write.workspace_id, moved)]
        sealed = encode_position(self._seal, write.workspace_id, operation_id, position)
        settled = self._trips.send("acknowledge", keys, operation_id, position, LIFE_MS, sealed)
        self._acknowledged[write.shard].append((position, write.workspace_id, operation_id))
        try:
            if not await settled:
                self._send_again(write, position)
        except Unreachable:
            return
        if position <= self._applied.get(write.shard, 0):
            self._expire_applied(write.shard)

    def discard(self, operation_id: str) -> None:
        write = self._own.find_write(operation_id)
        self._own.discard(operation_id)
        if write is not None:
            self._trips.send("expire", self._name_write(write.workspace_id, operation_id)[:1], 0)

    def doubt(self, operation_id: str, entry: bytes) -> None:
        write = self._own.find_write(operation_id)
        if write is not None:
            self._own.doubt(operation_id, entry)
            keys = self._name_write(write.workspace_id, operation_id)
            self._trips.send("doubt", keys, encode_doubt(self._seal, write, entry), LIFE_MS)

    def find_doubted(self, workspace_id: int, operation_id: str) -> tuple[PendingWrite, bytes] | None:
        return self._own.find_doubted(workspace_id, operation_id)

    def drop_applied(self, shard: int, position: int) -> None:
        self._applied[shard] = max(position, self._applied.get(shard, 0))
        self._own.drop_applied(shard, position)
        self._expire_applied(shard)

    async def _look(self, seen: SharedSnapshot, keys: Sequence[Key] | None = None) -> bool:
        """Ask Redis about keys; about all that was looked for where none are named. Whether that was news."""
        keys = seen.list_untold() if keys is None else keys
        unknown = [operation_id for operation_id, found in seen.operations.items() if found is None]
        if not keys and not unknown:
            return False
        prefix = self._name(seen.workspace_id)
        applied = seen.applied.get(seen.shard, 0)
        try:
            shown, operations = await self._trips.call(
                "look", self._name_keys(seen.workspace_id, keys), prefix, applied, *unknown
            )
        except Unreachable:
            seen.deferred = True
            return seen.has_moved()
        seen.tell(shown)
        # Own writes too may have moved on while Redis was asked.
        news = seen.has_moved()
        for operation_id, position, head, doubt in operations:
            if head:
                news = seen.tell_operation(operation_id.decode(), position, head) or news
            else:
                self._keep_doubted(seen, operation_id.decode(), doubt)
        return news

    async def _wait_for_others(self, seen: SharedSnapshot) -> bool:
        """Where a write of another process is on its way to the log: whether it was waited for.

        What builds on it may not overtake it. The wait is short: after that, the writer decides on what stands first.
        """
        keys = seen.list_unsettled()
        if not keys or seen.deferred or seen.waited_s >= WAIT_FOR_OTHERS_S:
            return False
        await asyncio.sleep(WAIT_STEP_S)
        seen.waited_s += WAIT_STEP_S
        await self._look(seen, keys)
        return True

    async def _finds_moved(self, write: PendingWrite, seen: SharedSnapshot | None, sent: "asyncio.Future[Any]") -> bool:
        """Whether the claim found that something has moved since it was seen; never without ``seen``."""
        try:
            outcome, *shown = await sent
        except Unreachable:
            if seen is not None:
                seen.deferred = True
            return False
        if seen is None or outcome == b"taken":
            return False
        if outcome == b"there":
            seen.operations[write.operation_id] = (write, None)
        else:
            seen.tell(shown[0])
        return True

    def _send(
        self, write: PendingWrite, seen: SharedSnapshot | None, position: int | None = None
    ) -> "asyncio.Future[Any]":
        """Put the claim on its way. A write that has a position already is on the log."""
        moves = seal_moves(self._seal, write)
        keys = [*moves, *(key for key in (seen.asked if seen is not None else ()) if key not in moves)]
        arguments: list[str | bytes | int] = [
            self._name(write.workspace_id),
            seen.applied.get(write.shard, 0) if seen is not None else 0,
            write.operation_id,
            "" if position is None else position,
            encode_head(self._seal, write),
            self._lease_ms if position is None else LIFE_MS,
            LIFE_MS,
            "0" if seen is None else "1",
            b"" if position is None else encode_position(self._seal, write.workspace_id, write.operation_id, position),
        ]
        for key in keys:
            accepted = seen.list_accepted(key) if seen is not None else ("", "")
            arguments += [*accepted, "1" if key in moves else "0", moves.get(key, b"")]
        prefix = self._name(write.workspace_id)
        names = [f"{prefix}o:{write.operation_id}", f"{prefix}n", *self._name_keys(write.workspace_id, keys)]
        return self._trips.send("claim", names, *arguments)

    def _send_again(self, write: PendingWrite, position: int) -> None:
        """Tell Redis of a write on the log that it may have lost, without waiting for it."""
        self._send(write, None, position)

    def _restore_own(self) -> None:
        """Redis is back, and may have lost everything."""
        for write, position in self._own.list_acknowledged(RESTORED_MAX):
            self._send_again(write, position)

    def _expire_applied(self, shard: int) -> None:
        acknowledged = self._acknowledged[shard]
        gone: dict[int, list[str]] = {}
        while acknowledged and acknowledged[0][0] <= self._applied.get(shard, 0):
            _, workspace_id, operation_id = acknowledged.popleft()
            gone.setdefault(workspace_id, []).append(f"{self._name(workspace_id)}o:{operation_id}")
        for keys in gone.values():
            self._trips.send("expire", keys, self._grace_ms)

    def _keep_doubted(self, seen: SharedSnapshot, operation_id: str, doubt: bytes) -> None:
        try:
            kept = decode_doubt(self._seal, seen.workspace_id, seen.shard, operation_id, doubt)
            self._own.keep_doubted(*kept)
        except ValueError:
            return

    def _name(self, workspace_id: int) -> str:
        """What the names of a workspace's keys begin with."""
        return f"{self._prefix}:{{{workspace_id}}}:"

    def _name_write(self, workspace_id: int, operation_id: str) -> list[str]:
        """The keys of a write and of its doubt."""
        prefix = self._name(workspace_id)
        return [f"{prefix}o:{operation_id}", f"{prefix}d:{operation_id}"]

    def _name_keys(self, workspace_id: int, keys: Sequence[Key]) -> list[str]:
        prefix = self._name(workspace_id)
        return [prefix + to_suffix(key) for key in keys]
