"""What was set aside can be retried: applied once, in its order, in place of the end that it had before."""

import asyncio
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from typing import Any

import asyncpg
import msgspec
import pytest

from kith.engine.admin.dead_letters import check_open, get_dead_letters, retry_dead_letters
from kith.engine.admin.replay import replay_check
from kith.engine.apply import writer as apply
from kith.engine.apply.dead_letters import POISON_IN_A_ROW_MAX
from kith.engine.apply.decisions import Decided, LoggedCommand
from kith.errors import Exposed, InvalidRequest, NotFound
from kith.model.commands import CreateList, CreateTag, DeleteTag, LogActivity
from kith.store.dead_letters import DeadLetter, list_dead_letters
from kith.store.status import load_shards
from tests.engine.acts import Acts, to_id
from tests.kit import Kit

ADAS = {"logic": "AND", "conditions": [{"field": "name", "operator": "eq", "value": "Ada"}]}
EVENTS = "SELECT type, operation_id FROM events WHERE workspace_id = $1 ORDER BY sequence"


class Patient:
    """A Kith whose writer fails on the operations in ``broken``, by a bug that is mended when they leave it."""

    def __init__(self, kit: Kit, acts: Acts, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kit = kit
        self.acts = acts
        self.broken: set[str] = set()
        self._decide_batch = apply.decide_batch
        monkeypatch.setattr(apply, "decide_batch", self._decide_or_break)

    def _decide_or_break(self, batch: Iterable[LoggedCommand], *more: Any) -> Awaitable[Decided]:
        placed = list(batch)
        if any(one.envelope.operation_id in self.broken for one in placed):
            raise ZeroDivisionError("a bug that only this command meets")
        return self._decide_batch(placed, *more)

    async def break_on(self, operation_id: str) -> DeadLetter:
        self.broken.add(operation_id)
        await self.kit.drain()
        self.broken.clear()
        return await self.find_newest()

    async def load(self, **filters: Any) -> list[DeadLetter]:
        async with self.kit.engine.database.acquire() as connection:
            return await list_dead_letters(connection, 1000, **filters)

    async def find_newest(self) -> DeadLetter:
        return max(await self.load(), key=lambda letter: letter.position)

    async def find(self, *letters: DeadLetter) -> list[DeadLetter]:
        async with self.kit.engine.database.acquire() as connection:
            return await get_dead_letters(connection, [(letter.shard, letter.position) for letter in letters])

    async def append(self, *letters: DeadLetter) -> list[int]:
        engine = self.kit.engine
        retries = retry_dead_letters(engine.log, await self.find(*letters), engine.clock.now())
        return [position async for _, position in retries]

    async def retry(self, *letters: DeadLetter) -> list[DeadLetter]:
        """Retried, and what became of them."""
        await self.append(*letters)
        await self.kit.drain()
        return await self.find(*letters)

    async def check_replay(self) -> None:
        """With what ails the writer mended: that must make no difference."""
        self.broken.clear()
        report = await replay_check(self.kit.url, self.kit.engine.settings)
        assert report.differences == []


@pytest.fixture
def patient(own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch) -> Patient:
    return Patient(own_kit, own_acts, monkeypatch)


async def test_a_retry_is_applied_in_place_of_the_end_that_the_operation_had(patient: Patient) -> None:
    acts = patient.acts
    request = acts.make_request(idempotency_key="once", fingerprint=b"1")
    broken = await acts.create(request, name="Ada", email="ada@example.com")
    letter = await patient.break_on(broken.operation.id)
    other = await acts.create(name="Between")
    await patient.kit.drain()
    (settled,) = await patient.retry(letter)
    operation = await acts.get_operation(broken.operation.id)
    assert (operation.status, operation.error, operation.number) == ("APPLIED", None, settled.retry_position)
    assert operation.created_at == broken.operation.created_at
    assert (settled.outcome, settled.retried_at is not None) == ("APPLIED", True)
    assert (await acts.get(to_id(broken)))["id"] == 2
    assert await acts.fetch(EVENTS) == [
        ("operation.rejected", broken.operation.id),
        ("contact.created", other.operation.id),
        ("contact.created", broken.operation.id),
    ]
    again = await acts.create(request, name="Ada", email="ada@example.com")
    assert (again.replayed, again.operation.status) == (True, "APPLIED"), "its Idempotency-Key finds its answer"
    await patient.check_replay()


async def test_what_happens_by_a_retry_happens_when_that_was_asked_for(
    timed_kit: Kit, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts = Acts(timed_kit.engine, await timed_kit.make_workspace())
    patient = Patient(timed_kit, acts, monkeypatch)
    ref = to_id(await acts.create(name="Ada"))
    noted = acts.make_envelope(LogActivity(contact_id=ref, activity_id="act_1", activity_type="NOTE"))
    await acts.append(noted)
    letters = [await patient.break_on(noted.operation_id)]
    updated = await acts.update(ref, name="Eve")
    letters.append(await patient.break_on(updated.operation.id))
    clock.advance(60)
    await acts.update(ref, phone="1")
    await timed_kit.drain()
    clock.advance(60)
    await patient.retry(*letters)
    contact = await acts.get(ref)
    assert (contact["name"], contact["version"]) == ("Eve", 3)
    assert contact["updatedAt"] == "2026-03-04T05:08:07.890Z"
    times = [at for (at,) in await acts.fetch("SELECT at FROM events WHERE workspace_id = $1 ORDER BY sequence")]
    assert times == sorted(times)
    assert await acts.fetch("SELECT occurred_at FROM activities WHERE workspace_id = $1") == [(noted.at,)]
    await patient.check_replay()


async def test_a_retry_that_fails_again_is_a_dead_letter_of_its_own(patient: Patient) -> None:
    broken = (await patient.acts.create(name="Ada")).operation.id
    first = await patient.break_on(broken)
    patient.broken.add(broken)
    (first,) = await patient.retry(first)
    second = await patient.find_newest()
    assert (first.outcome, first.retry_position, second.retry_of) == ("SET_ASIDE", second.position, first.position)
    assert (await patient.acts.get_operation(broken)).to_error().code == "INTERNAL"
    with pytest.raises(InvalidRequest, match=f"SET_ASIDE. Retry {second.id} instead"):
        check_open(first)
    patient.broken.clear()
    (second,) = await patient.retry(second)
    assert (second.outcome, (await patient.acts.get_operation(broken)).status) == ("APPLIED", "APPLIED")
    with pytest.raises(InvalidRequest, match=r"ended APPLIED\.$"):
        check_open(second)
    events = await patient.acts.fetch(EVENTS)
    assert [kind for kind, _ in events] == ["operation.rejected", "operation.rejected", "contact.created"]
    await patient.check_replay()


async def test_two_retries_at_once_are_applied_once(patient: Patient) -> None:
    broken = await patient.acts.create(name="Ada", email="ada@example.com")
    letter = await patient.break_on(broken.operation.id)
    both = await asyncio.gather(patient.append(letter), patient.append(letter))
    await patient.kit.drain()
    (settled,) = await patient.find(letter)
    assert (settled.outcome, settled.retry_position) == ("APPLIED", min(both)[0])
    assert [kind for kind, _ in await patient.acts.fetch(EVENTS)] == ["operation.rejected", "contact.created"]
    await patient.retry(letter)
    assert (await patient.acts.get(to_id(broken)))["version"] == 1
    await patient.check_replay()


async def test_of_two_retries_that_both_fail_the_second_does_nothing(patient: Patient) -> None:
    broken = (await patient.acts.create(name="Ada")).operation.id
    letter = await patient.break_on(broken)
    patient.broken.add(broken)
    await patient.append(letter, letter)
    await patient.append(letter)
    await patient.kit.drain()
    assert len(await patient.load()) == 2
    assert len(await patient.acts.fetch(EVENTS)) == 2
    await patient.check_replay()


async def test_a_writer_that_is_killed_between_a_retry_and_its_end_does_both_or_neither(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = await patient.acts.create(name="Ada")
    letter = await patient.break_on(broken.operation.id)
    await patient.append(letter)

    async def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying, suppress(KeyboardInterrupt):
        dying.setattr(apply.dead_letters, "settle_by_operation", die)
        await patient.kit.writer.drain()
    assert (await patient.find(letter))[0].retry_position is None
    assert (await patient.acts.get_operation(broken.operation.id)).status == "REJECTED"
    await patient.kit.writer.load_positions()
    await patient.kit.drain()
    assert (await patient.find(letter))[0].outcome == "APPLIED"
    await patient.check_replay()


async def test_an_entry_that_cannot_be_decoded_is_retried_as_its_bytes(patient: Patient) -> None:
    acts = patient.acts
    await acts.append(b"\x01{")
    await patient.kit.drain()
    first = await patient.find_newest()
    await patient.append(first, first)
    await patient.kit.drain()
    second = await patient.find_newest()
    ((first,), (found,)) = await patient.find(first), await patient.find(second)
    assert (first.outcome, found.retry_of, found.entry) == ("SET_ASIDE", first.position, b"\x01{")
    assert len(await patient.load()) == 2
    await patient.check_replay()


async def test_an_entry_that_a_new_decoder_reads_is_applied_by_its_retry(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    envelope = patient.acts.make_envelope(name="Ada")

    def read_nothing(_: bytes) -> str:
        return "no decoder reads it yet"

    with monkeypatch.context() as older:
        older.setattr(apply, "decode_entry", read_nothing)
        await patient.acts.append(envelope)
        await patient.kit.drain()
    letter = await patient.find_newest()
    assert letter.operation_id is None
    (letter,) = await patient.retry(letter)
    assert letter.outcome == "APPLIED"
    assert (await patient.acts.get_operation(envelope.operation_id)).number == letter.retry_position
    await patient.check_replay()


async def test_a_retry_that_the_rules_refuse_by_now_ends_rejected(patient: Patient) -> None:
    broken = await patient.acts.create(email="ada@example.com")
    letter = await patient.break_on(broken.operation.id)
    await patient.acts.create(email="ada@example.com")
    (letter,) = await patient.retry(letter)
    assert letter.outcome == "REJECTED"
    with pytest.raises(Exposed, match="already") as refused:
        raise (await patient.acts.get_operation(broken.operation.id)).to_error()
    assert refused.value.code == "CONTACT_EMAIL_EXISTS"
    await patient.check_replay()


async def test_what_is_about_all_records_is_retried_as_anything_else(patient: Patient) -> None:
    acts = patient.acts
    await acts.create(name="Ada", properties={"mrr": "12.50"})
    defined = await acts.define("mrr", "NUMBER")
    letters = [await patient.break_on(defined.operation.id)]
    tagged = acts.make_envelope(CreateTag(tag_id="tag_1", key="vip"))
    dynamic = acts.make_envelope(
        CreateList(list_id="lst_1", name="Adas", entity_type="CONTACT", is_dynamic=True, filter_criteria=ADAS)
    )
    for envelope in (tagged, dynamic):
        await acts.append(envelope)
        letters.append(await patient.break_on(envelope.operation_id))
    await acts.append(acts.make_envelope(DeleteTag(tag_id="tag_1")))
    settled = await patient.retry(*letters)
    assert [letter.outcome for letter in settled] == ["APPLIED"] * 3
    assert await acts.fetch("SELECT count(*) FROM list_members WHERE workspace_id = $1") == [(1,)]
    assert (await acts.get("1"))["properties"] == {"mrr": 12.5}
    await patient.check_replay()


async def test_the_status_counts_what_is_still_to_be_retried(patient: Patient) -> None:
    letter = await patient.break_on((await patient.acts.create(name="Ada")).operation.id)
    async with patient.kit.engine.database.acquire() as connection:
        assert [shard.dead for shard in await load_shards(connection) if shard.dead] == [1]
        await patient.retry(letter)
        assert sum(shard.dead for shard in await load_shards(connection)) == 0


async def test_retries_that_fail_do_not_stop_the_writer_however_many(patient: Patient) -> None:
    """Nor are they counted against what fails for the first time behind them."""
    acts = patient.acts
    await acts.append(*(acts.make_envelope(name="\x00") for _ in range(POISON_IN_A_ROW_MAX)))
    await patient.kit.drain()
    await patient.retry(*(await patient.load()))
    await acts.append(acts.make_envelope(name="\x00"))
    kept = await acts.create(name="Kept")
    await patient.kit.drain()
    assert (await acts.get(to_id(kept)))["id"] == 1
    assert len(await patient.load(only_open=True)) == POISON_IN_A_ROW_MAX + 1
    await patient.check_replay()


async def test_a_retry_of_what_is_no_dead_letter_changes_nothing(patient: Patient) -> None:
    written = await patient.acts.create(name="Ada")
    letter = await patient.break_on(written.operation.id)
    with pytest.raises(NotFound, match="no dead letter"):
        await patient.find(msgspec.structs.replace(letter, position=99))
    (found,) = await patient.find(letter)
    engine = patient.kit.engine
    elsewhere = msgspec.structs.replace(found, position=99)
    assert [one async for one in retry_dead_letters(engine.log, [elsewhere], engine.clock.now())]
    await patient.kit.drain()
    assert (await patient.acts.get_operation(written.operation.id)).status == "REJECTED"
    await patient.check_replay()


async def test_a_retry_goes_over_a_database_that_does_not_serve(patient: Patient, monkeypatch: Any) -> None:
    broken = await patient.acts.create(name="Ada")
    letter = await patient.break_on(broken.operation.id)
    settle, failures = apply.dead_letters.settle_by_operation, [asyncpg.DeadlockDetectedError("locked")]

    async def settle_later(*given: Any) -> None:
        if failures:
            raise failures.pop()
        await settle(*given)

    monkeypatch.setattr(apply.dead_letters, "settle_by_operation", settle_later)
    await patient.append(letter)
    with pytest.raises(asyncpg.DeadlockDetectedError):
        await patient.kit.drain()
    await patient.kit.drain()
    assert (await patient.find(letter))[0].outcome == "APPLIED"
