"""What every overlay promises, in one process and between two: what one has accepted the other foresees."""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from kith.pending.memory import MemoryPending
from kith.pending.port import Pending
from kith.pending.redis import RedisPending
from kith.pending.redis_client import Trips
from kith.pending.seal import Seal
from kith.settings import Settings
from tests.contract.overlays import (
    ADA,
    EMAIL,
    EVE,
    SECRET,
    accept,
    find_holder,
    find_operation,
    find_record,
    make_contact,
    make_write,
)
from tests.redis_server import RedisServer


class Pair(NamedTuple):
    """``writes`` accepts, ``reads`` looks; they may be one."""

    writes: Pending
    reads: Pending

    def drop_applied(self, position: int) -> None:
        """Both hear of it, in whatever order."""
        self.reads.drop_applied(0, position)
        self.writes.drop_applied(0, position)


@pytest.fixture(params=["memory", "redis", "redis between two"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    if request.param == "memory":
        overlay = MemoryPending()
        yield Pair(overlay, overlay)
        return
    server: RedisServer = request.getfixturevalue("redis")
    settings = server.make_settings(Settings())
    trips = [Trips(settings.redis_url, settings.redis_timeout_ms) for _ in range(2)]
    overlays = [RedisPending(one, settings.redis_prefix, Seal(SECRET), 3000, 5000) for one in trips]
    yield Pair(overlays[0], overlays[0] if request.param == "redis" else overlays[1])
    for one in trips:
        assert one.fault is None
        await one.close()


async def test_what_is_accepted_is_foreseen_by_record_claim_and_operation(pair: Pair) -> None:
    write = make_write()
    await accept(pair.writes, write)
    assert await find_record(pair.reads) == (True, write.records[ADA])
    assert await find_holder(pair.reads) == (True, ADA)
    found = await find_operation(pair.reads)
    assert found is not None
    known = ("operation_id", "type", "shard", "workspace_id", "resource", "created_at", "fingerprint", "answer")
    assert [getattr(found[0], name) for name in known] == [getattr(write, name) for name in known]
    assert found[1] is None


async def test_nobody_is_shown_what_is_not_on_the_log(pair: Pair) -> None:
    await accept(pair.writes, make_write())
    assert await find_record(pair.reads, acknowledged=True) == (False, None)
    assert await find_holder(pair.reads, acknowledged=True) == (False, None)
    await pair.writes.acknowledge("op_1", 1)
    assert await find_record(pair.reads, acknowledged=True) == (True, make_contact(ADA))
    assert await find_holder(pair.reads, acknowledged=True) == (True, ADA)
    assert ((await find_operation(pair.reads)) or (0, 0))[1] == 1


async def test_the_last_write_counts_and_the_last_acknowledged_one_is_shown(pair: Pair) -> None:
    for n in (1, 2, 3):
        position = n if n < 3 else None
        await accept(pair.writes, make_write(f"op_{n}", records={ADA: make_contact(ADA, n)}, holders={}), position)
    assert await find_record(pair.reads) == (True, make_contact(ADA, 3))
    assert await find_record(pair.reads, acknowledged=True) == (True, make_contact(ADA, 2))


async def test_a_record_that_goes_and_a_claim_that_is_free_are_known_to_be(pair: Pair) -> None:
    await accept(pair.writes, make_write(records={ADA: None}, holders={EMAIL: None}), 1)
    assert await find_record(pair.reads) == (True, None)
    assert await find_holder(pair.reads) == (True, None)


async def test_what_is_discarded_leaves_nothing_behind(pair: Pair) -> None:
    await accept(pair.writes, make_write("op_1", records={ADA: make_contact(ADA, 1)}), 1)
    await accept(pair.writes, make_write("op_2", records={ADA: make_contact(ADA, 2)}, holders={EMAIL: None}))
    pair.writes.discard("op_2")
    assert await find_record(pair.writes) == (True, make_contact(ADA, 1))
    assert await find_record(pair.reads) == (True, make_contact(ADA, 1))
    assert await find_holder(pair.reads) == (True, ADA)
    assert await find_operation(pair.reads, "op_2") is None
    assert len(pair.writes) == 1


async def test_workspaces_know_nothing_of_each_other(pair: Pair) -> None:
    await accept(pair.writes, make_write(), 1)
    assert await find_record(pair.reads, workspace_id=2) == (False, None)
    assert await find_holder(pair.reads, workspace_id=2) == (False, None)
    assert await find_operation(pair.reads, workspace_id=2) is None
    assert await find_record(pair.reads, EVE) == (False, None)


async def test_what_is_applied_is_foreseen_no_more(pair: Pair) -> None:
    await accept(pair.writes, make_write("op_1"), 1)
    await accept(pair.writes, make_write("op_2", records={EVE: make_contact(EVE)}, holders={}), 2)
    for _ in range(2):
        pair.drop_applied(1)
        assert await find_record(pair.reads) == (False, None)
        assert await find_holder(pair.reads) == (False, None)
        assert await find_operation(pair.reads) is None
        assert await find_record(pair.reads, EVE) == (True, make_contact(EVE))
    assert len(pair.writes) == 1
    pair.drop_applied(2)
    assert await find_record(pair.reads, EVE) == (False, None)
    assert len(pair.writes) == 0


async def test_what_is_applied_while_somebody_reads_is_still_foreseen_there(pair: Pair) -> None:
    """Whoever has read the database before must not miss it."""
    await accept(pair.writes, make_write(), 1)
    with pair.reads.reading() as seen:
        pair.drop_applied(1)
        found = seen.find_record(1, ADA)
        if await seen.refresh(0):
            found = seen.find_record(1, ADA)
        assert found == (True, make_contact(ADA))
    assert await find_record(pair.reads) == (False, None)


async def test_what_was_applied_before_its_acknowledgement_came_goes_with_it(pair: Pair) -> None:
    await accept(pair.writes, make_write())
    pair.drop_applied(5)
    assert await find_record(pair.reads) == (True, make_contact(ADA))
    await pair.writes.acknowledge("op_1", 5)
    assert await find_record(pair.reads) == (False, None)
    assert len(pair.writes) == 0


async def test_who_waits_for_an_acknowledgement_is_told(pair: Pair) -> None:
    await accept(pair.writes, make_write())
    waiting = [asyncio.create_task(pair.reads.wait_acknowledged(1, "op_1")) for _ in range(3)]
    await asyncio.wait(waiting, timeout=0.02)
    assert not any(one.done() for one in waiting)
    await pair.writes.acknowledge("op_1", 7)
    for told in (*await asyncio.gather(*waiting), await pair.reads.wait_acknowledged(1, "op_1")):
        assert told is not None
        assert (told[0].answer, told[1]) == (make_write().answer, 7)


async def test_who_waits_for_a_write_that_is_discarded_is_told_so(pair: Pair) -> None:
    await accept(pair.writes, make_write())
    waiting = asyncio.create_task(pair.reads.wait_acknowledged(1, "op_1"))
    await asyncio.wait({waiting}, timeout=0.02)
    pair.writes.discard("op_1")
    assert await waiting is None
    assert await pair.reads.wait_acknowledged(1, "op_2") is None


async def test_what_is_in_doubt_is_kept_for_a_repetition_and_foreseen_no_more(pair: Pair) -> None:
    write = make_write(fingerprint="1f")
    await accept(pair.writes, write)
    pair.writes.doubt("op_1", b"entry")
    assert await find_record(pair.reads) == (False, None)
    assert await find_operation(pair.reads) is None
    assert pair.reads.find_doubted(1, "op_1") == (write, b"entry")
    assert pair.reads.find_doubted(2, "op_1") is None
    assert await pair.reads.claim(write, None)
    await pair.reads.acknowledge("op_1", 1)
    assert await find_record(pair.writes) == (True, make_contact(ADA))
    assert pair.reads.find_doubted(1, "op_1") is None


async def test_what_was_found_on_the_log_is_foreseen(pair: Pair) -> None:
    await pair.writes.restore(make_write("op_1", records={ADA: make_contact(ADA, 1)}), 1)
    await pair.reads.restore(make_write("op_1", records={ADA: make_contact(ADA, 1)}), 1)
    await pair.writes.restore(make_write("op_2", records={ADA: make_contact(ADA, 2)}), 2)
    # What is restored is told to Redis in the background; what is asked for afterwards comes behind it.
    await find_record(pair.writes)
    assert await find_record(pair.reads, acknowledged=True) == (True, make_contact(ADA, 2))


async def test_to_settle_or_discard_what_is_not_there_is_nothing(pair: Pair) -> None:
    await pair.writes.acknowledge("op_1", 1)
    pair.writes.discard("op_1")
    pair.drop_applied(1)
    assert len(pair.writes) == 0
    assert pair.writes.find_oldest() is None
    assert await pair.writes.find_fault() is None
