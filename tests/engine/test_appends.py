"""Appends whose connection is cut: whether the entry was written or not, it is applied once."""

import asyncio
from contextlib import suppress

import asyncpg
import pytest

from kith.errors import Unavailable
from kith.store.database import UNANSWERED
from tests.engine.acts import Acts, to_id
from tests.kit import Kit
from tests.postgres import connect

OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'kith%'"
WAITING = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
LOGGED = "SELECT count(*) FROM command_log WHERE workspace_id = $1"


async def cut_while_it_waits(connection: asyncpg.Connection) -> None:
    """Cut every connection of Kith's once one of them waits for the log's head row, which this one has locked."""
    while not await connection.fetchval(WAITING):
        await asyncio.sleep(0)
    await connection.execute(OTHERS)


async def test_an_append_that_is_cut_before_its_commit_is_made_again(own_kit: Kit, own_acts: Acts) -> None:
    async with connect(own_kit.url) as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("SELECT FROM log_head FOR UPDATE")
        writing = asyncio.gather(*(own_acts.create(email=f"{n}@example.com") for n in range(20)))
        await cut_while_it_waits(other)
        await transaction.rollback()
        written = await writing
    assert sorted(one.operation.number or 0 for one in written) == list(range(1, 21))
    await own_kit.drain()
    assert await own_acts.fetch(LOGGED) == [(20,)]
    assert await own_acts.fetch("SELECT count(*), max(id) FROM contacts WHERE workspace_id = $1") == [(20, 20)]


async def test_an_append_whose_acknowledgement_is_lost_is_applied_once(
    own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has committed, and the connection goes before the answer is there."""
    database = own_acts.engine.database
    fetchval, lost = type(database).fetchval, []

    async def lose_first_answer(self: object, sql: str, *values: object) -> object:
        answer = await fetchval(database, sql, *values)
        if not lost:
            lost.append(answer)
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        return answer

    monkeypatch.setattr(type(database), "fetchval", lose_first_answer)
    first = await own_acts.create(email="ada@example.com")
    renamed = await own_acts.update(to_id(first), name="Ada")
    monkeypatch.undo()
    assert lost == [1]
    assert await own_acts.fetch(LOGGED) == [(3,)]
    await own_kit.drain()
    for written in (first, renamed):
        assert (await own_acts.get_operation(written.operation.id)).status == "APPLIED"
    contact = await own_acts.get(to_id(first))
    assert (contact["id"], contact["name"], contact["version"]) == (1, "Ada", 2)
    assert len(own_acts.engine.pending) == 0


async def test_writes_under_cut_after_cut_are_each_applied_once(own_kit: Kit, own_acts: Acts) -> None:
    acknowledged: set[str] = set()
    made: list[str] = []

    async def write(n: int) -> None:
        for turn in range(10):
            email = f"{n}-{turn}@example.com"
            request = own_acts.make_request(idempotency_key=email, fingerprint=email.encode())
            while email not in acknowledged:
                # What was cut while it read, or longer than it can wait, is answered 503; then a client tries again.
                with suppress(Unavailable, *UNANSWERED):
                    made.append(to_id(await own_acts.create(request, email=email)))
                    acknowledged.add(email)

    async def cut() -> None:
        async with connect(own_kit.url) as other:
            for count in range(10, 80, 10):
                while len(acknowledged) < count:
                    await asyncio.sleep(0)
                await other.execute(OTHERS)

    await asyncio.gather(cut(), *(write(n) for n in range(8)))
    assert len(acknowledged) == 80
    await own_kit.drain()
    rows = await own_acts.fetch("SELECT external_id, version FROM contacts WHERE workspace_id = $1")
    assert sorted(ref for ref, _ in rows) == sorted(made)
    assert {version for _, version in rows} == {1}
    operations = await own_acts.fetch("SELECT status, count(*) FROM operations WHERE workspace_id = $1 GROUP BY 1")
    assert operations == [("APPLIED", 80)]
