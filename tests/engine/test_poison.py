"""Entries that cannot be applied are set aside with the reason, and the partition goes on."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any

import msgspec
import pytest

from kith.engine.admin.replay import replay_check
from kith.engine.apply import writer as apply
from kith.engine.apply.decisions import Decided, LoggedCommand
from kith.engine.apply.writer import TRIES_ALONE_MAX
from kith.errors import Exposed, NewerLog, NotFound
from kith.model.codec import VERSION
from kith.model.commands import Idempotency, UpdateContact
from tests.engine.acts import Acts, to_id
from tests.kit import SETTINGS, Kit, open_kit
from tests.postgres import connect

DEAD = "SELECT position, operation_id, reason FROM dead_letters WHERE workspace_id = $1 ORDER BY position"
REJECTED = "SELECT sequence, operation_id, data FROM events WHERE workspace_id = $1 AND type = 'operation.rejected'"


UNKNOWN_COMMAND = (
    b'\x01{"operation_id":"op_1","workspace_id":1,"at":"2026-01-01T00:00:00Z","key_id":1,'
    b'"command":{"type":"A \\u0000 that never was","contact_id":"ctc_1"}}'
)


def break_for(monkeypatch: pytest.MonkeyPatch, operation_id: str) -> list[int]:
    """From now on deciding fails wherever the operation is in the batch; the sizes of the batches that were tried."""
    decide_batch, sizes = apply.decide_batch, []

    def decide_or_break(batch: Iterable[LoggedCommand], *more: Any) -> Awaitable[Decided]:
        placed = list(batch)
        sizes.append(len(placed))
        if any(one.envelope.operation_id == operation_id for one in placed):
            raise ZeroDivisionError("a bug that only this command meets")
        return decide_batch(placed, *more)

    monkeypatch.setattr(apply, "decide_batch", decide_or_break)
    return sizes


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"\x01",
        b"\x01{",
        b"\xff{}",
        b'\x01{"operation_id": 5}',
        b"\x01" + b"[" * 5000,
        b"\x01\x80",
        b'\x01{"operation_id": "1", "at": "\\u0000"}',
        UNKNOWN_COMMAND,
    ],
)
async def test_an_entry_that_cannot_be_decoded_is_set_aside(own_kit: Kit, own_acts: Acts, entry: bytes) -> None:
    before = await own_acts.create(name="Before")
    (position,) = await own_acts.append(entry)
    after = await own_acts.create(name="After")
    await own_kit.drain()
    ((dead, operation_id, reason),) = await own_acts.fetch(DEAD)
    assert (dead, operation_id) == (position, None)
    assert reason
    assert await own_acts.fetch("SELECT entry FROM dead_letters WHERE workspace_id = $1") == [(entry,)]
    assert [(await own_acts.get(to_id(one)))["id"] for one in (before, after)] == [1, 2]


async def test_an_entry_of_a_newer_version_stops_the_writer_and_stays_for_a_newer_one(
    own_kit: Kit, own_acts: Acts
) -> None:
    before = await own_acts.create(name="Before")
    await own_kit.drain()
    await own_acts.append(bytes((VERSION + 1,)) + b"{}")
    for _ in range(2):
        with pytest.raises(NewerLog, match=f"version {VERSION + 1}.*reads up to {VERSION}.*newer version"):
            await own_kit.drain()
    assert await own_acts.fetch(DEAD) == []
    assert (await own_acts.get(to_id(before)))["id"] == 1
    assert await own_acts.fetch("SELECT max(position) FROM cursors WHERE $1 > 0") == [(1,)]


async def test_a_command_that_fails_three_times_alone_is_set_aside(
    own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [await own_acts.create(email=f"{n}@example.com") for n in range(9)]
    broken = made[3].operation.id
    sizes = break_for(monkeypatch, broken)
    await own_kit.drain()
    assert sizes.count(1) >= 3
    ((_, operation_id, reason),) = await own_acts.fetch(DEAD)
    assert operation_id == broken
    assert "a bug that only this command meets" in reason
    operation = await own_acts.get_operation(broken)
    assert (operation.status, operation.error and operation.error["code"]) == ("REJECTED", "INTERNAL")
    assert operation.to_error().status == 500
    assert "a bug" not in str(operation.error), "what went wrong inside is for operators only"
    ((_, rejected, data),) = await own_acts.fetch(REJECTED)
    assert rejected == broken
    assert msgspec.json.decode(data)["code"] == "INTERNAL"
    with pytest.raises(NotFound):
        await own_acts.get(to_id(made[3]))


async def test_the_others_of_its_batch_are_applied_in_their_order(
    own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [await own_acts.create(email=f"{n}@example.com") for n in range(9)]
    break_for(monkeypatch, made[3].operation.id)
    await own_kit.drain()
    others = [to_id(one) for n, one in enumerate(made) if n != 3]
    assert [(await own_acts.get(ref))["id"] for ref in others] == list(range(1, 9))
    sequences = await own_acts.fetch("SELECT sequence FROM events WHERE workspace_id = $1 ORDER BY 1")
    assert sequences == [(n,) for n in range(1, 10)]
    late = await own_acts.create(email="3@example.com")
    await own_kit.drain()
    assert (await own_acts.get(to_id(late)))["id"] == 9


async def test_a_write_on_a_contact_whose_create_was_set_aside_ends_not_found(
    own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = await own_acts.create(name="Ada")
    updated = await own_acts.update(to_id(created), name="Eve")
    break_for(monkeypatch, created.operation.id)
    await own_kit.drain()
    operation = await own_acts.get_operation(updated.operation.id)
    assert operation.error and operation.error["code"] == "NOT_FOUND"


LONG_EMAIL = "".join(f"{n * n:x}" for n in range(2000)) + "@example.com"


@pytest.mark.parametrize(
    "fields", [{"name": "a NUL: \x00"}, {"email": LONG_EMAIL}, {"name": "Ada", "properties": {"a": ["\x00"]}}]
)
async def test_a_command_that_the_database_refuses_is_set_aside(
    own_kit: Kit, own_acts: Acts, fields: dict[str, Any]
) -> None:
    """The edge lets none of these through; should it ever, the partition must not stop."""
    refused, kept = own_acts.make_envelope(**fields), own_acts.make_envelope(name="Ada")
    await own_acts.append(refused, kept)
    await own_kit.drain()
    assert [row[1] for row in await own_acts.fetch(DEAD)] == [refused.operation_id]
    assert (await own_acts.get_operation(refused.operation_id)).to_error().code == "INTERNAL"
    assert (await own_acts.get_operation(kept.operation_id)).status == "APPLIED"
    await own_acts.append(b"\xff")
    await own_kit.drain()
    report = await replay_check(own_kit.url, SETTINGS)
    assert (report.entries, report.differences) == (3, []), "applied again, they are set aside again"


async def test_an_update_that_the_database_refuses_leaves_the_record_as_it_was(own_kit: Kit, own_acts: Acts) -> None:
    ref = to_id(await own_acts.create(name="Ada"))
    await own_acts.append(own_acts.make_envelope(UpdateContact(contact_id=ref, changes={"name": "\x00"})))
    await own_acts.append(own_acts.make_envelope(UpdateContact(contact_id=ref, changes={"given_name": "Eve"})))
    await own_kit.drain()
    contact = await own_acts.get(ref)
    assert (contact["name"], contact["givenName"], contact["version"]) == ("Ada", "Eve", 2)


async def test_an_entry_whose_operation_cannot_be_kept_either_does_not_stop_the_partition(
    own_kit: Kit, own_acts: Acts
) -> None:
    keyed = Idempotency(fingerprint="00", answer=msgspec.Raw(b'"\\u0000"'))
    envelopes = [
        msgspec.structs.replace(own_acts.make_envelope(name="\x00"), idempotency=keyed),
        msgspec.structs.replace(own_acts.make_envelope(name="Ada"), workspace_id=2**40),
    ]
    await own_acts.append(*envelopes)
    kept = await own_acts.create(name="Kept")
    await own_kit.drain()
    assert [row[1] for row in await own_acts.fetch(DEAD)] == [envelopes[0].operation_id, None]
    assert (await own_acts.get(to_id(kept)))["id"] == 1


async def test_a_retry_of_a_request_that_was_set_aside_hears_of_its_end(
    own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = own_acts.make_request(idempotency_key="once", fingerprint=b"1")
    written = await own_acts.create(request, name="Ada")
    break_for(monkeypatch, written.operation.id)
    await own_kit.drain()
    with pytest.raises(Exposed) as refused:
        await own_acts.create(request, name="Ada")
    assert refused.value.code == "INTERNAL"


async def test_a_database_that_does_not_serve_for_a_while_is_no_fault_of_the_commands(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that outlasts the statement timeout many times over: who waited is applied in the end."""
    failures: asyncio.Queue[str] = asyncio.Queue()
    settings = msgspec.structs.replace(SETTINGS, write_timeout_ms=50)
    async with open_kit(database_url, settings) as kit, connect(database_url) as other:
        acts = Acts(kit.engine, await kit.make_workspace())
        written = await acts.create(name="Ada")
        transaction = other.transaction()
        await transaction.start()
        await other.execute("LOCK TABLE contacts IN ACCESS EXCLUSIVE MODE")
        monkeypatch.setattr(apply, "RECONNECT_S", 0)
        monkeypatch.setattr(apply.logger, "warning", lambda said, **_: failures.put_nowait(said), raising=False)
        async with kit.living_writer():
            for _ in range(2 * TRIES_ALONE_MAX):
                assert "trying again" in await failures.get()
            await transaction.rollback()
            await kit.drain()
        assert (await acts.get_operation(written.operation.id)).status == "APPLIED"
        assert await acts.fetch(DEAD) == []
