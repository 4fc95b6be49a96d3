"""A batch is decided while the one in front of it is stored: it sees what that will have changed, and falls with it."""

import asyncio
from typing import Any

import asyncpg
import pytest

from kith.engine.admin.replay import replay_check
from kith.store import batch as store
from tests.engine.acts import Acts, to_id
from tests.kit import SETTINGS, Kit


async def test_each_command_sees_the_one_in_front_although_that_is_not_stored_yet(own_kit: Kit, own_acts: Acts) -> None:
    own_kit.writer._batch_max = 1
    first = own_acts.make_envelope(email="ada@example.com")
    taken = own_acts.make_envelope(email="ada@example.com")
    contact_id = first.command.contact_id
    await own_acts.append(first, taken)
    await own_acts.append(*[own_acts.make_envelope(name=f"Eve {n}") for n in range(3)])
    await own_kit.drain()
    codes = dict(await own_acts.fetch("SELECT id, error ->> 'code' FROM operations WHERE workspace_id = $1"))
    assert (codes[first.operation_id], codes[taken.operation_id]) == (None, "CONTACT_EMAIL_EXISTS")
    numbers = await own_acts.fetch("SELECT id FROM contacts WHERE workspace_id = $1 ORDER BY id")
    sequences = await own_acts.fetch("SELECT sequence FROM events WHERE workspace_id = $1 ORDER BY sequence")
    assert [number for (number,) in numbers] == [1, 2, 3, 4]
    assert [sequence for (sequence,) in sequences] == [1, 2, 3, 4, 5]
    await own_acts.delete(contact_id)
    await own_acts.create(email="ada@example.com")
    await own_acts.update(to_id(await own_acts.create(name="Mia")), given_name="Mia")
    await own_kit.drain()
    assert (await replay_check(own_kit.url, SETTINGS)).differences == []


async def test_what_stands_on_a_batch_that_failed_is_decided_again(
    own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first batch fails when it is stored, as often as it takes until its poison is found."""
    own_kit.writer._batch_max = 4
    save, failed = store.save, []

    async def save_or_fail(connection: Any, shard: int, rows: dict[str, str]) -> None:
        created = rows.get("insert_contacts", "")
        if "poison@example.com" in created:
            failed.append(created.count("external_id"))
            raise asyncpg.DataError("this cannot be stored")
        await save(connection, shard, rows)

    monkeypatch.setattr(store, "save", save_or_fail)
    poison = own_acts.make_envelope(email="poison@example.com")
    good = [own_acts.make_envelope(email=f"{n}@example.com") for n in range(3)]
    behind = own_acts.make_envelope(email="poison@example.com", name="Behind")
    await own_acts.append(*good, poison, own_acts.make_envelope(email="0@example.com"), *good[:1])
    await own_kit.drain()
    assert failed[0] == 4, "the whole batch failed first"
    codes = dict(await own_acts.fetch("SELECT id, error ->> 'code' FROM operations WHERE workspace_id = $1"))
    assert codes[poison.operation_id] == "INTERNAL"
    assert sorted(code or "" for code in codes.values()) == ["", "", "", "CONTACT_EMAIL_EXISTS", "INTERNAL"]
    monkeypatch.undo()
    await own_acts.append(behind)
    await own_kit.drain()
    emails = await own_acts.fetch("SELECT email FROM contacts WHERE workspace_id = $1 ORDER BY id")
    assert [email for (email,) in emails] == ["0@example.com", "1@example.com", "2@example.com", "poison@example.com"]


async def test_a_writer_that_is_stopped_leaves_nothing_at_work(
    own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_kit.writer._batch_max = 1
    await own_acts.append(*[own_acts.make_envelope(name=f"Eve {n}") for n in range(3)])
    save, stop = store.save, asyncio.Event()

    async def stop_and_save(connection: Any, shard: int, rows: dict[str, str]) -> None:
        stop.set()
        await save(connection, shard, rows)

    monkeypatch.setattr(store, "save", stop_and_save)
    before = asyncio.all_tasks()
    await own_kit.writer.drain(stop)
    await asyncio.gather(*own_kit.writer._database._dropping)  # connections whose statement was cut off
    assert asyncio.all_tasks() == before
    monkeypatch.undo()
    await own_kit.drain()
    assert await own_acts.fetch("SELECT count(*) FROM contacts WHERE workspace_id = $1") == [(3,)]
