"""The overlay in memory: what is foreseen, for how long, and that nothing is dropped under a reader."""

from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import hypothesis.strategies as st
import msgspec
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kith.model.contacts import Contact
from kith.model.records import Claim, Identity
from kith.pending.memory import MemoryPending
from kith.pending.port import PendingWrite
from kith.pending.seal import Seal
from kith.pending.snapshot import SharedSnapshot

AT = datetime(2026, 1, 1, tzinfo=UTC)
SHARDS = {1: 0, 2: 0, 3: 1}  # of each workspace
IDS = (("contact", "ctc_1"), ("contact", "ctc_2"))
EMAILS = (("email", "ada@example.com"), ("email", "eve@example.com"))


def make_contact(identity: Identity, version: int) -> Contact:
    texts = dict.fromkeys(("email", "name", "given_name", "family_name", "phone", "phone_e164", "avatar"))
    fields: dict[str, Any] = {**texts, "last_activity_at": None, "external_id": identity[1], "number": None}
    return Contact(
        **fields,
        status="ACTIVE",
        lifecycle_stage="LEAD",
        modules=(),
        properties={},
        activity_count=0,
        created_at=AT,
        updated_at=AT,
        version=version,
    )


def make_write(operation_id: str, workspace_id: int = 1, **more: Any) -> PendingWrite:
    write = PendingWrite(
        operation_id=operation_id,
        type="UpdateContact",
        shard=SHARDS[workspace_id],
        workspace_id=workspace_id,
        resource="/crm/contacts/ctc_1",
        created_at=AT,
        fingerprint=None,
        answer=b"{}",
        records={},
        holders={},
    )
    return msgspec.structs.replace(write, **more)


class Foreseen(msgspec.Struct):
    """A write as the reference keeps it: ``waits_for`` are the readers that must end before it goes."""

    write: PendingWrite
    position: int | None = None
    waits_for: set[int] | None = None


class PendingMachine(RuleBasedStateMachine):
    """Held against a plain list of writes in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.pending = MemoryPending()
        self.foreseen: list[Foreseen] = []
        self.heads = dict.fromkeys(SHARDS.values(), 0)
        self.applied = dict.fromkeys(SHARDS.values(), 0)
        self.readers: dict[int, ExitStack] = {}
        self.count = 0

    @rule(
        workspace_id=st.sampled_from(list(SHARDS)),
        ids=st.lists(st.sampled_from(IDS), max_size=1),
        holders=st.dictionaries(st.sampled_from(EMAILS), st.none() | st.sampled_from(IDS), max_size=2),
    )
    def put(self, workspace_id: int, ids: list[Identity], holders: dict[Claim, Identity | None]) -> None:
        self.count += 1
        # Every third write removes its record.
        records = {one: make_contact(one, self.count) if self.count % 3 else None for one in ids}
        write = make_write(f"op_{self.count}", workspace_id, records=records, holders=holders)
        self.pending.put(write)
        self.foreseen.append(Foreseen(write))

    @precondition(lambda self: any(one.position is None for one in self.foreseen))
    @rule()
    def settle_the_next(self) -> None:
        one = next(one for one in self.foreseen if one.position is None)
        shard = one.write.shard
        self.heads[shard] += 1
        one.position = self.heads[shard]
        self.pending.settle(one.write.operation_id, one.position)
        self.let_go()

    @precondition(lambda self: any(one.position is None for one in self.foreseen))
    @rule(data=st.data())
    def discard_one(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from([one for one in self.foreseen if one.position is None]))
        self.pending.discard(one.write.operation_id)
        self.foreseen.remove(one)

    @rule(shard=st.sampled_from(sorted(set(SHARDS.values()))), ahead=st.integers(0, 3))
    def apply(self, shard: int, ahead: int) -> None:
        """The writer may be heard of before the acknowledgement is; and a notification may come late, or twice."""
        position = max(0, self.heads[shard] - 1 + ahead)
        self.applied[shard] = max(self.applied[shard], position)
        self.pending.drop_applied(shard, position)
        self.let_go()

    @rule()
    def begin_to_read(self) -> None:
        self.count += 1
        stack = ExitStack()
        stack.enter_context(self.pending.reading())
        self.readers[self.count] = stack

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def end_a_read(self, data: st.DataObject) -> None:
        reader = data.draw(st.sampled_from(list(self.readers)))
        self.readers.pop(reader).close()
        for one in self.foreseen:
            if one.waits_for is not None:
                one.waits_for.discard(reader)
        self.let_go()

    def let_go(self) -> None:
        """What is applied goes as soon as everybody who read at that moment has ended."""
        for one in self.foreseen:
            if one.waits_for is None and one.position and one.position <= self.applied[one.write.shard]:
                one.waits_for = set(self.readers)
        self.foreseen = [one for one in self.foreseen if one.waits_for is None or one.waits_for]

    @invariant()
    def records_and_emails_are_as_the_last_write_leaves_them(self) -> None:
        for workspace_id in SHARDS:
            writes = [one.write for one in self.foreseen if one.write.workspace_id == workspace_id]
            for one in IDS:
                versions = [write.records[one] for write in writes if one in write.records]
                expected = (True, versions[-1]) if versions else (False, None)
                assert self.pending.find_record(workspace_id, one) == expected
            for email in EMAILS:
                moves = [write.holders[email] for write in writes if email in write.holders]
                held = (True, moves[-1]) if moves else (False, None)
                assert self.pending.find_holder(workspace_id, email) == held

    @invariant()
    def operations_are_known_with_their_positions(self) -> None:
        assert len(self.pending) == len(self.foreseen)
        for one in self.foreseen:
            write = one.write
            assert self.pending.find_operation(write.workspace_id, write.operation_id) == (write, one.position)
            assert self.pending.find_operation(write.workspace_id + 1, write.operation_id) is None

    def teardown(self) -> None:
        for reader in self.readers.values():
            reader.close()
        for one in list(self.foreseen):
            if one.position is None:
                self.pending.discard(one.write.operation_id)
        for shard in self.heads:
            self.pending.drop_applied(shard, self.heads[shard])
        assert len(self.pending) == 0
        left = (self.pending._records, self.pending._holders, self.pending._positions, self.pending._dropping)
        assert not any(left), "something is held for ever"


TestPending = PendingMachine.TestCase
TestPending.settings = settings(stateful_step_count=40)


def test_a_write_goes_only_when_who_read_before_has_ended() -> None:
    pending = MemoryPending()
    pending.put(make_write("op_1", records={IDS[0]: make_contact(IDS[0], 2)}))
    pending.settle("op_1", 1)
    with pending.reading():
        pending.drop_applied(0, 1)
        with pending.reading():
            pass
        assert pending.find_record(1, IDS[0])[0]
    assert not pending.find_record(1, IDS[0])[0]


def test_a_later_reader_holds_nothing_back() -> None:
    pending = MemoryPending()
    pending.put(make_write("op_1"))
    pending.settle("op_1", 1)
    with ExitStack() as later:
        with pending.reading():
            pending.drop_applied(0, 1)
            later.enter_context(pending.reading())
        assert len(pending) == 0


def test_what_was_applied_before_its_acknowledgement_came_goes_with_it() -> None:
    pending = MemoryPending()
    pending.put(make_write("op_1"))
    pending.drop_applied(0, 5)
    assert len(pending) == 1
    pending.settle("op_1", 5)
    assert len(pending) == 0


def test_to_settle_or_discard_what_is_not_there_is_nothing() -> None:
    pending = MemoryPending()
    pending.settle("op_1", 1)
    pending.discard("op_1")
    pending.drop_applied(0, 1)
    assert len(pending) == 0


async def test_what_an_earlier_look_asked_is_no_news_for_a_later_one() -> None:
    """Where Redis does not answer, looking again for ever would keep the whole process."""
    own = MemoryPending()

    async def look(seen: SharedSnapshot) -> bool:
        return seen.has_moved()

    seen = SharedSnapshot(own, Seal(b"secret" * 8), {}, look)
    identity, email = IDS[0], EMAILS[0]
    own.put(make_write("op_1", records={identity: make_contact(identity, 1)}, holders={email: identity}))
    assert seen.find_holder(1, email) == (True, identity)
    assert seen.find_record(1, identity)[0]
    own.discard("op_1")
    assert await seen.refresh(0), "both have moved"
    assert seen.find_holder(1, email) == (False, None)
    assert not await seen.refresh(0), "the record was not looked for again"
