"""The pending overlay: rebuilt from the log's tail after a restart, and never a gap between accepted and applied."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import msgspec
import pytest

from kith.engine.accept import records
from kith.engine.accept.rebuild import rebuild_pending
from kith.engine.accept.submit import Attempt, Written, find_replayed
from kith.engine.context.engine import Engine, open_engine
from kith.errors import Exposed, NotFound
from kith.log.postgres import PostgresLog
from kith.model.commands import UpdateContact
from tests.engine.acts import Acts, to_id
from tests.kit import SETTINGS, Kit


@asynccontextmanager
async def restarted(kit: Kit, acts: Acts) -> AsyncIterator[Acts]:
    """The same key's caller at an API that has just started and has read the log's tail."""
    async with open_engine(SETTINGS, kit.url) as engine:
        await rebuild_pending(engine)
        yield Acts(engine, acts.workspace, acts.key_id)


async def refused(writing: Awaitable[object]) -> str:
    with pytest.raises(Exposed) as error:
        await writing
    return error.value.code


async def test_after_a_restart_an_email_that_is_pending_is_still_taken(own_kit: Kit, own_acts: Acts) -> None:
    first = await own_acts.create(email="taken@example.com")
    async with restarted(own_kit, own_acts) as acts:
        with pytest.raises(Exposed) as error:
            await acts.create(email="taken@example.com")
        assert error.value.code == "CONTACT_EMAIL_EXISTS"
        assert error.value.details is not None
        assert error.value.details["existingExternalId"] == to_id(first)


async def test_after_a_restart_a_pending_record_is_read_by_id_and_email(own_kit: Kit, own_acts: Acts) -> None:
    written = await own_acts.create(email="ada@example.com", name="Ada")
    await own_acts.update(to_id(written), name="Eve")
    before = await own_acts.get(to_id(written))
    async with restarted(own_kit, own_acts) as acts:
        for ref in (to_id(written), "ada@example.com"):
            contact = await acts.get(ref)
            assert contact == before
            assert (contact["id"], contact["pending"], contact["version"]) == (None, True, 2)


async def test_after_a_restart_writes_on_committed_records_are_folded_in(own_kit: Kit, own_acts: Acts) -> None:
    one = to_id(await own_acts.create(email="one@example.com"))
    two = to_id(await own_acts.create(email="two@example.com"))
    await own_kit.drain()
    await own_acts.update(one, email="free@example.com")
    await own_acts.update(two, email="one@example.com")
    await own_acts.delete(one)
    async with restarted(own_kit, own_acts) as acts:
        assert (await acts.get("one@example.com"))["externalId"] == two
        assert (await acts.get(one))["status"] == "DELETED"
        assert await refused(acts.update(one, name="Ada")) == "INVALID_REQUEST"
        assert await refused(acts.get("free@example.com")) == "NOT_FOUND"
        await acts.create(email="two@example.com")
        restored = await acts.restore(one)
        assert msgspec.json.decode(restored.data)["email"] == "free@example.com"
        await own_kit.drain()
        await acts.engine.progress.refresh()
        assert (await acts.get_operation(restored.operation.id)).status == "APPLIED"


async def test_after_a_restart_operations_are_known(own_kit: Kit, own_acts: Acts) -> None:
    written = await own_acts.create(name="Ada")
    async with restarted(own_kit, own_acts) as acts:
        operation = await acts.get_operation(written.operation.id)
        assert (operation.status, operation.position) == ("PENDING", written.operation.position)
        await own_kit.drain()
        await acts.engine.progress.refresh()
        assert (await acts.get_operation(written.operation.id)).status == "APPLIED"


async def test_after_a_restart_a_write_that_will_be_rejected_is_known_too(own_kit: Kit, own_acts: Acts) -> None:
    await own_acts.create(email="taken@example.com")
    loser = own_acts.make_envelope(email="taken@example.com")
    await own_acts.append(loser)
    async with restarted(own_kit, own_acts) as acts:
        assert (await acts.get_operation(loser.operation_id)).status == "PENDING"
        await own_kit.drain()
        await acts.engine.progress.refresh()
        assert (await acts.get_operation(loser.operation_id)).status == "REJECTED"


async def test_after_a_restart_a_retry_gets_its_first_answer(own_kit: Kit, own_acts: Acts) -> None:
    request = own_acts.make_request(idempotency_key="once", fingerprint=b"1")
    first = await own_acts.create(request, email="once@example.com")
    async with restarted(own_kit, own_acts) as acts:
        again = await acts.create(request, email="once@example.com")
        assert again.replayed
        assert (again.data, again.operation.id, again.operation.position) == (
            first.data,
            first.operation.id,
            first.operation.position,
        )
        other = msgspec.structs.replace(request, fingerprint=b"2")
        assert await refused(acts.create(other, email="other@example.com")) == "IDEMPOTENCY_KEY_REUSED"
    await own_kit.drain()
    assert await own_acts.fetch("SELECT id FROM contacts WHERE workspace_id = $1") == [(1,)]


async def test_after_a_restart_an_entry_that_stands_there_twice_is_foreseen_once(own_kit: Kit, own_acts: Acts) -> None:
    ref = to_id(await own_acts.create(email="ada@example.com"))
    create = own_acts.make_envelope(email="eve@example.com")
    update = own_acts.make_envelope(UpdateContact(contact_id=ref, changes={"email": "ada@example.org"}))
    await own_acts.append(create, create, update, update)
    async with restarted(own_kit, own_acts) as acts:
        assert (await acts.get(ref))["version"] == 2
        await own_kit.drain()
        await acts.engine.progress.refresh()
        assert "pending" not in await acts.get("eve@example.com")
        assert acts.engine.pending._records == acts.engine.pending._holders == {}


async def test_a_retry_that_is_overtaken_by_its_first_request_gets_its_answer(
    own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is accepted and applied just after the retry has looked for it."""
    request = own_acts.make_request(idempotency_key="once", fingerprint=b"1")
    first: list[Written] = []

    async def look_too_early(engine: Engine, attempt: Attempt) -> Written | None:
        found = await find_replayed(engine, attempt)
        monkeypatch.setattr(records, "find_replayed", find_replayed)
        first.append(await own_acts.create(request, email="once@example.com"))
        await own_kit.drain()
        return found

    monkeypatch.setattr(records, "find_replayed", look_too_early)
    retry = await own_acts.create(request, email="once@example.com")
    assert retry.replayed
    assert (retry.data, retry.operation.id) == (first[0].data, first[0].operation.id)
    assert await own_acts.fetch("SELECT count(*) FROM command_log WHERE workspace_id = $1") == [(1,)]


async def test_what_cannot_be_decoded_is_no_hindrance_at_the_start(own_kit: Kit, own_acts: Acts) -> None:
    await own_acts.append(b"\xff")
    await own_acts.create(email="taken@example.com")
    async with restarted(own_kit, own_acts) as acts:
        assert await refused(acts.create(email="taken@example.com")) == "CONTACT_EMAIL_EXISTS"


async def test_once_applied_nothing_is_foreseen_any_more(own_kit: Kit, own_acts: Acts) -> None:
    for n in range(20):
        await own_acts.delete(to_id(await own_acts.create(email=f"{n}@example.com")))
    assert len(own_acts.engine.pending) == 40
    async with restarted(own_kit, own_acts) as acts:
        assert len(acts.engine.pending) == 40
        await own_kit.drain()
        await acts.engine.progress.refresh()
        assert len(acts.engine.pending) == len(own_acts.engine.pending) == 0
        assert acts.engine.pending._records == acts.engine.pending._holders == {}


async def test_a_long_tail_is_read_in_pages(own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kith.engine.accept.rebuild.TAIL_PAGE", 7)
    for n in range(30):
        await own_acts.create(email=f"{n}@example.com")
    async with restarted(own_kit, own_acts) as acts:
        assert len(acts.engine.pending) == 30


async def test_an_append_that_fails_leaves_nothing_behind(
    own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> int:
        raise ConnectionError("the log is gone")

    with monkeypatch.context() as broken:
        broken.setattr(PostgresLog, "append", fail)
        with pytest.raises(ConnectionError):
            await own_acts.create(email="ada@example.com")
    with pytest.raises(NotFound):
        await own_acts.get("ada@example.com")
    assert len(own_acts.engine.pending) == 0
    await own_acts.create(email="ada@example.com")


async def change_and_note(acts: Acts, ref: str, versions: dict[str, int], rounds: int) -> None:
    """Update one contact again and again, noting the version that each answer promised."""
    for n in range(rounds):
        written = await acts.update(ref, name=f"Ada {n}")
        versions[ref] = msgspec.json.decode(written.data)["version"]


async def read_until(acts: Acts, versions: dict[str, int], done: asyncio.Event, chance: random.Random) -> int:
    """Read records that were acknowledged; none may be missing or older than its last acknowledged version."""
    reads = 0
    while not done.is_set():
        ref = chance.choice(list(versions))
        acknowledged = versions[ref]
        by = ref if chance.random() < 0.7 else f"{ref}@example.com"
        contact = await acts.get(by)
        assert contact["version"] >= acknowledged, f"{by} was read as it had been before"
        reads += 1
    return reads


@pytest.mark.usefixtures("living_writer")
async def test_what_was_acknowledged_is_never_read_as_missing_or_older(acts: Acts) -> None:
    """Readers beside writers and the applying writer: no moment between the overlay and the database is a gap."""
    versions: dict[str, int] = {}
    done = asyncio.Event()
    chance = random.Random(7)

    async def create_and_change(n: int) -> None:
        for turn in range(12):
            ref = to_id(await acts.create(email=f"{n}-{turn}@example.com"))
            await acts.update(ref, email=f"{ref}@example.com")
            versions[ref] = 2
            await change_and_note(acts, ref, versions, 6)

    ref = to_id(await acts.create(name="first"))
    await acts.update(ref, email=f"{ref}@example.com")
    versions[ref] = 2
    reading = [asyncio.create_task(read_until(acts, versions, done, chance)) for _ in range(6)]
    await asyncio.gather(*(create_and_change(n) for n in range(6)))
    done.set()
    assert sum(await asyncio.gather(*reading)) > 100
    assert len(versions) == 73


@pytest.mark.usefixtures("living_writer")
async def test_an_operation_that_was_acknowledged_is_never_unknown(acts: Acts) -> None:
    async def write_and_ask(n: int) -> None:
        for turn in range(20):
            written = await acts.create(email=f"{n}-{turn}@example.com")
            while (await acts.get_operation(written.operation.id)).status == "PENDING":
                await asyncio.sleep(0)

    await asyncio.gather(*(write_and_ask(n) for n in range(8)))


@pytest.mark.usefixtures("living_writer")
async def test_one_process_foresees_every_conflict_of_its_own_writes(acts: Acts) -> None:
    """Nothing that this process accepts is refused by the writer when no other process writes."""
    accepted, refusals = [], 0
    chance = random.Random(11)

    async def write(n: int) -> None:
        nonlocal refusals
        for _ in range(25):
            email = f"{chance.randrange(8)}@example.com"
            try:
                if chance.random() < 0.5:
                    accepted.append((await acts.create(email=email)).operation.id)
                else:
                    accepted.append((await acts.delete(email)).operation.id)
            except Exposed:
                refusals += 1

    await asyncio.gather(*(write(n) for n in range(8)))
    shard = acts.workspace.shard
    head = (await acts.engine.log.load_heads())[shard]
    assert await acts.engine.progress.wait(shard, head, 10)
    statuses = await acts.fetch("SELECT status, count(*) FROM operations WHERE workspace_id = $1 GROUP BY 1")
    assert statuses == [("APPLIED", len(accepted))]
    assert refusals > 0
