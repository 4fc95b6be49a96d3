"""The writer against repetition, rivals and races: applied once, by one, and never silently refused."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest

from kith.clock import SystemClock
from kith.engine.accept.submit import Written
from kith.engine.apply.writer import Writer
from kith.engine.context.engine import open_engine
from kith.errors import ConflictingWriter, Exposed
from kith.log.postgres import PostgresLog
from kith.model.commands import DeleteContact, UpdateContact
from kith.store.database import Database
from tests.engine.acts import Acts, to_id
from tests.kit import SETTINGS, Kit
from tests.postgres import connect

Drain = Callable[[], Awaitable[None]]
OPERATIONS = "SELECT status, error ->> 'code' FROM operations WHERE workspace_id = $1 AND id = $2"
REJECTIONS = "SELECT operation_id, data ->> 'code' FROM events WHERE workspace_id = $1 AND type = 'operation.rejected'"
CURSORS = "SELECT sum(position) FROM cursors"


@asynccontextmanager
async def open_writer(url: str) -> AsyncIterator[Writer]:
    """Another writer, that believes it is the only one."""
    database = await Database.open(url, SETTINGS, "writer", 2)
    log = PostgresLog(database, url, SETTINGS)
    try:
        writer = Writer(database, log, SystemClock(), SETTINGS)
        await writer.load_positions()
        yield writer
    finally:
        await log.close()
        await database.close()


async def test_an_entry_that_comes_twice_in_a_batch_is_applied_once(acts: Acts, drain: Drain) -> None:
    envelope = acts.make_envelope(email="once@example.com")
    await acts.append(envelope, envelope)
    await drain()
    assert await acts.fetch(OPERATIONS, envelope.operation_id) == [("APPLIED", None)]
    assert await acts.fetch("SELECT id, version FROM contacts WHERE workspace_id = $1") == [(1, 1)]
    assert await acts.fetch("SELECT type FROM events WHERE workspace_id = $1") == [("contact.created",)]


async def test_an_entry_that_comes_again_in_a_later_batch_changes_nothing(acts: Acts, drain: Drain) -> None:
    ref = to_id(await acts.create(name="Ada"))
    update = acts.make_envelope(UpdateContact(contact_id=ref, changes={"name": "Eve"}))
    later = acts.make_envelope(UpdateContact(contact_id=ref, changes={"name": "Mia"}))
    for entry in (update, later, update, acts.make_envelope(DeleteContact(contact_id=ref)), update):
        await acts.append(entry)
        await drain()
    contact = await acts.get(ref)
    assert (contact["name"], contact["version"], contact["status"]) == ("Mia", 4, "DELETED")
    assert len(await acts.fetch("SELECT FROM operations WHERE workspace_id = $1")) == 4


async def test_a_rejected_entry_that_comes_again_stays_rejected(acts: Acts, drain: Drain) -> None:
    holder = await acts.create(email="taken@example.com")
    rejected = acts.make_envelope(email="taken@example.com")
    await acts.append(rejected)
    await acts.delete(to_id(holder))
    await acts.append(rejected)
    await drain()
    assert await acts.fetch(OPERATIONS, rejected.operation_id) == [("REJECTED", "CONTACT_EMAIL_EXISTS")]
    assert await acts.fetch(REJECTIONS) == [(rejected.operation_id, "CONTACT_EMAIL_EXISTS")]


async def test_a_writer_whose_cursor_was_moved_stops_and_changes_nothing(own_kit: Kit, own_acts: Acts) -> None:
    async with open_writer(own_kit.url) as late:
        await own_acts.create(name="Ada")
        await own_kit.drain()
        await own_acts.create(name="Eve")
        tables = (
            "SELECT (SELECT count(*) FROM contacts), (SELECT count(*) FROM operations), (SELECT count(*) FROM events)"
        )
        before = await own_acts.fetch(f"{tables} WHERE $1 > 0"), await own_acts.fetch(f"{CURSORS} WHERE $1 > 0")
        with pytest.raises(ConflictingWriter, match="Only one writer"):
            await late.drain()
        assert before == (
            await own_acts.fetch(f"{tables} WHERE $1 > 0"),
            await own_acts.fetch(f"{CURSORS} WHERE $1 > 0"),
        )
    await own_kit.drain()
    assert (await own_acts.get("2"))["name"] == "Eve"


async def test_of_two_writers_at_the_same_batch_one_commits_and_the_other_stops(own_kit: Kit, own_acts: Acts) -> None:
    for _ in range(5):
        async with open_writer(own_kit.url) as one, open_writer(own_kit.url) as other:
            made = [await own_acts.create(email=f"{n}@example.com") for n in range(20)]
            ended = await asyncio.gather(one.drain(), other.drain(), return_exceptions=True)
        assert 20 in ended
        # Who came when the first was done already found nothing to do.
        (loser,) = [end for end in ended if end != 20]
        assert loser == 0 or isinstance(loser, ConflictingWriter)
        for written in made:
            assert (await own_acts.get(to_id(written)))["version"] == 1
            await own_acts.delete(to_id(written))
        await own_kit.writer.load_positions()
        await own_kit.drain()


async def test_a_writer_that_runs_ends_with_the_conflict(own_kit: Kit, own_acts: Acts) -> None:
    async with open_writer(own_kit.url) as late:
        await own_acts.create(name="Ada")
        await own_kit.drain()
        await own_acts.create(name="Eve")
        with pytest.raises(ConflictingWriter):
            await asyncio.wait_for(late.run(asyncio.Event()), 10)


async def test_a_writer_goes_on_where_the_cursor_stands(own_kit: Kit, own_acts: Acts) -> None:
    await own_acts.create(name="Ada")
    await own_kit.drain()
    await own_acts.create(name="Eve")
    async with open_writer(own_kit.url) as successor:
        assert await successor.drain() == 1
        assert await successor.drain() == 0


async def test_a_writer_whose_connections_are_cut_goes_on_by_itself(own_kit: Kit, own_acts: Acts) -> None:
    async with own_kit.living_writer(), connect(own_kit.url) as other:
        for n in range(5):
            await own_acts.create(email=f"{n}@example.com")
            await other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kith writer'"
            )
            await own_kit.drain()
    assert await own_acts.fetch("SELECT count(*), max(version) FROM contacts WHERE workspace_id = $1") == [(5, 1)]


@pytest.fixture
async def rival(own_kit: Kit, own_acts: Acts) -> AsyncIterator[Acts]:
    """Writes in the same workspace through another process's engine, whose overlay knows nothing of the first's."""
    async with open_engine(SETTINGS, own_kit.url) as engine:
        yield Acts(engine, own_acts.workspace, key_id=2)


async def test_a_race_for_an_email_ends_rejected_and_says_who_has_it(own_kit: Kit, own_acts: Acts, rival: Acts) -> None:
    first = await own_acts.create(email="wanted@example.com")
    second = await rival.create(email="wanted@example.com")
    await own_kit.drain()
    operation = await rival.get_operation(second.operation.id)
    assert operation.status == "REJECTED"
    error = operation.to_error()
    assert (error.status, error.code) == (409, "CONTACT_EMAIL_EXISTS")
    assert error.details == {
        "field": "email",
        "value": "wanted@example.com",
        "existingId": 1,
        "existingExternalId": to_id(first),
    }
    assert await own_acts.fetch(REJECTIONS) == [(operation.id, "CONTACT_EMAIL_EXISTS")]
    assert await own_acts.fetch("SELECT id FROM contacts WHERE workspace_id = $1") == [(1,)]


async def test_races_over_a_record_end_with_their_codes(own_kit: Kit, own_acts: Acts, rival: Acts) -> None:
    ref = to_id(await own_acts.create(name="Ada"))
    await own_kit.drain()
    await own_acts.update(ref, name="Eve")
    stale = await rival.update(ref, rival.make_request(if_version=1), name="Mia")
    await own_acts.delete(ref)
    late = await rival.update(ref, family_name="Too late")
    await own_kit.drain()
    for written, code in ((stale, "VERSION_MISMATCH"), (late, "INVALID_REQUEST")):
        assert (await rival.get_operation(written.operation.id)).to_error().code == code
    assert await own_acts.fetch(REJECTIONS) == [
        (stale.operation.id, "VERSION_MISMATCH"),
        (late.operation.id, "INVALID_REQUEST"),
    ]
    once, twice = await own_acts.restore(ref), await rival.restore(ref)
    await own_kit.drain()
    assert (await own_acts.get_operation(once.operation.id)).status == "APPLIED"
    assert (await own_acts.get_operation(twice.operation.id)).to_error().code == "INVALID_REQUEST"
    assert (await own_acts.get(ref))["version"] == 4


async def test_who_waits_gets_the_error_of_the_race_that_was_lost(own_kit: Kit, own_acts: Acts, rival: Acts) -> None:
    async with own_kit.living_writer():
        ended = await asyncio.gather(
            own_acts.create(own_acts.make_request(wait_s=10), email="wanted@example.com"),
            rival.create(rival.make_request(wait_s=10), email="wanted@example.com"),
            return_exceptions=True,
        )
    (error,) = [one for one in ended if isinstance(one, Exposed)]
    assert error.code == "CONTACT_EMAIL_EXISTS"


async def test_retries_that_race_through_two_processes_make_one_record(
    own_kit: Kit, own_acts: Acts, rival: Acts
) -> None:
    request = own_acts.make_request(idempotency_key="once", fingerprint=b"1")
    written = await asyncio.gather(
        *(acts.create(request, email="once@example.com") for acts in (own_acts, rival) for _ in range(5))
    )
    assert len({one.operation.id for one in written}) == 1
    assert len({to_id(one) for one in written}) == 1
    await own_kit.drain()
    assert (await own_acts.get_operation(written[0].operation.id)).status == "APPLIED"
    assert await own_acts.fetch("SELECT id, version FROM contacts WHERE workspace_id = $1") == [(1, 1)]


async def test_events_tell_the_old_and_the_new_value_of_each_change(acts: Acts, drain: Drain) -> None:
    ref = to_id(await acts.create(email="ada@example.com", properties={"mrr": 5}))
    await acts.update(ref, email=None, name="Ada", properties={"mrr": 6, "plan": "pro"})
    await drain()
    ((data,),) = await acts.fetch("SELECT data FROM events WHERE workspace_id = $1 AND type = 'contact.updated'")
    told = msgspec.json.decode(data)
    assert told["version"] == 2
    assert told["changes"] == {
        "email": {"old": "ada@example.com", "new": None},
        "name": {"old": None, "new": "Ada"},
        "properties.mrr": {"old": 5, "new": 6},
        "properties.plan": {"old": None, "new": "pro"},
    }


async def test_two_processes_that_race_for_the_same_emails_make_each_contact_once(
    own_kit: Kit, own_acts: Acts, rival: Acts
) -> None:
    """What one does not foresee of the other, the writer refuses: each create ends as 409, REJECTED or a contact."""
    ended = await asyncio.gather(
        *(acts.create(email=f"{n % 20}@example.com") for n in range(200) for acts in (own_acts, rival)),
        return_exceptions=True,
    )
    accepted = [one for one in ended if isinstance(one, Written)]
    refused = [one for one in ended if isinstance(one, Exposed)]
    assert len(accepted) + len(refused) == 400
    assert {error.code for error in refused} == {"CONTACT_EMAIL_EXISTS"}
    await own_kit.drain()
    operations = [await own_acts.get_operation(one.operation.id) for one in accepted]
    statuses = [operation.status for operation in operations]
    assert (statuses.count("APPLIED"), statuses.count("REJECTED")) == (20, 20)
    assert {one.to_error().code for one in operations if one.status == "REJECTED"} == {"CONTACT_EMAIL_EXISTS"}
    assert await own_acts.fetch("SELECT count(*), max(id) FROM contacts WHERE workspace_id = $1") == [(20, 20)]
