"""The batch is the unit: one transaction, as many statements for 300 commands as for one."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from asyncpg.connection import LoggedQuery

from kith.clock import SystemClock
from kith.engine.apply.writer import Writer
from kith.store.database import Database, make_server_settings
from tests.engine.acts import Acts, to_id
from tests.kit import SETTINGS, Kit

Drain = Callable[[], Awaitable[None]]


class OneConnection(Database):
    """A database whose one connection tells what it was asked."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self.statements: list[str] = []

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        with self._connection.query_logger(self._note):
            yield self._connection

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        return await self._connection.fetch(sql, *values)

    def _note(self, query: LoggedQuery) -> None:
        # What the driver asks about types, once for each connection, is not the batch's.
        if "typeinfo" not in query.query and "current_setting('jit')" not in query.query:
            self.statements.append(query.query)


async def apply_counting(kit: Kit) -> list[str]:
    """Apply what is on the log in one batch for each shard; the statements that were sent."""
    connection = await asyncpg.connect(kit.url, server_settings=make_server_settings("writer", SETTINGS))
    try:
        database = OneConnection(connection)
        writer = Writer(database, kit.engine.log, SystemClock(), SETTINGS)
        await writer.drain()
    finally:
        await connection.close()
    await kit.writer.load_positions()
    await kit.engine.progress.refresh()
    return database.statements


async def write_mixture(acts: Acts, name: str, rounds: int) -> int:
    """Creates, updates, deletes and restores, and a few that will be rejected; the number of commands."""
    count = 0
    for n in range(rounds):
        kept = to_id(await acts.create(email=f"{name}-{n}@example.com", name="Ada"))
        gone = to_id(await acts.create(email=f"{name}-{n}-gone@example.com"))
        await acts.update(kept, given_name=f"Ada {n}", properties={"n": n})
        await acts.delete(gone)
        await acts.restore(gone)
        await acts.append(acts.make_envelope(email=f"{name}-{n}@example.com"))
        count += 6
    return count


async def test_a_batch_of_any_size_costs_the_same_statements(own_kit: Kit, own_acts: Acts) -> None:
    await write_mixture(own_acts, "first", 1)
    few = await apply_counting(own_kit)
    assert await write_mixture(own_acts, "second", 10) == 60
    more = await apply_counting(own_kit)
    assert await write_mixture(own_acts, "third", 50) == 300
    many = await apply_counting(own_kit)
    assert few == more == many
    assert len(many) <= 13


async def test_a_batch_over_records_that_are_there_costs_the_same_statements(own_kit: Kit, own_acts: Acts) -> None:
    ids = [to_id(await own_acts.create(email=f"{n}@example.com")) for n in range(120)]
    await own_kit.drain()
    counted = []
    for first, last in ((0, 2), (2, 20), (20, 120)):
        for n in range(first, last):
            await (own_acts.delete(ids[n]) if n % 2 else own_acts.update(ids[n], name="Eve"))
        counted.append(await apply_counting(own_kit))
        for n in range(first, last):
            await (own_acts.restore(ids[n]) if n % 2 else own_acts.update(ids[n], email=f"new-{n}@example.com"))
        counted.append(await apply_counting(own_kit))
    assert counted[0] == counted[2] == counted[4]
    assert counted[1] == counted[3] == counted[5]
    assert max(len(statements) for statements in counted) <= 13


async def test_one_command_costs_no_more_than_its_kinds(own_kit: Kit, own_acts: Acts) -> None:
    await own_acts.create(name="Ada")
    statements = await apply_counting(own_kit)
    assert not any("UPDATE contacts" in statement for statement in statements)
    assert len(statements) <= 12


async def test_two_contacts_swap_their_emails_in_one_batch(acts: Acts, drain: Drain) -> None:
    one = to_id(await acts.create(email="one@example.com"))
    two = to_id(await acts.create(email="two@example.com"))
    await drain()
    await acts.update(one, email="meanwhile@example.com")
    await acts.update(two, email="one@example.com")
    await acts.update(one, email="two@example.com")
    await drain()
    assert [(await acts.get(ref))["email"] for ref in (one, two)] == ["two@example.com", "one@example.com"]
    assert [(await acts.get(ref))["version"] for ref in (one, two)] == [3, 2]
    assert (await acts.get("two@example.com"))["externalId"] == one


async def test_emails_go_round_a_circle_in_one_batch(acts: Acts, drain: Drain) -> None:
    ids = [to_id(await acts.create(email=f"{n}@example.com")) for n in range(5)]
    await drain()
    await acts.update(ids[0], email=None)
    for n in range(1, 5):
        await acts.update(ids[n], email=f"{n - 1}@example.com")
    await acts.update(ids[0], email="4@example.com")
    await drain()
    emails = [(await acts.get(ref))["email"] for ref in ids]
    assert emails == [f"{n}@example.com" for n in (4, 0, 1, 2, 3)]


async def test_a_delete_and_a_restore_exchange_an_email_in_one_batch(acts: Acts, drain: Drain) -> None:
    one = to_id(await acts.create(email="shared@example.com"))
    await acts.delete(one)
    two = to_id(await acts.create(email="shared@example.com"))
    await drain()
    for leaving, coming in ((two, one), (one, two)):
        await acts.delete(leaving)
        await acts.restore(coming)
        await drain()
        assert (await acts.get(leaving))["status"] == "DELETED"
        assert (await acts.get(leaving))["email"] == "shared@example.com"
        assert (await acts.get(coming))["status"] == "ACTIVE"
        assert (await acts.get("shared@example.com"))["externalId"] == coming


async def test_an_email_that_is_set_free_goes_to_a_new_contact_in_one_batch(acts: Acts, drain: Drain) -> None:
    old = to_id(await acts.create(email="wanted@example.com"))
    await drain()
    await acts.update(old, email="other@example.com")
    new = to_id(await acts.create(email="wanted@example.com"))
    await drain()
    assert (await acts.get("wanted@example.com"))["externalId"] == new
    assert (await acts.get("other@example.com"))["externalId"] == old


async def test_a_contact_is_made_changed_and_deleted_in_one_batch(acts: Acts, drain: Drain) -> None:
    ref = to_id(await acts.create(email="brief@example.com"))
    await acts.update(ref, lifecycle_stage="CUSTOMER")
    await acts.delete(ref)
    await drain()
    contact = await acts.get(ref)
    assert (contact["status"], contact["lifecycleStage"], contact["version"]) == ("DELETED", "CUSTOMER", 3)
    events = await acts.fetch("SELECT sequence, type FROM events WHERE workspace_id = $1 ORDER BY sequence")
    assert events == [(1, "contact.created"), (2, "contact.updated"), (3, "contact.deleted")]


async def test_workspaces_of_one_shard_share_a_batch_and_nothing_else(own_kit: Kit) -> None:
    together = [Acts(own_kit.engine, workspace) for workspace in await own_kit.make_neighbours()]
    for acts in together:
        await acts.create(email="same@example.com")
        await acts.create(email="same-too@example.com")
    await own_kit.drain()
    for acts in together:
        assert [(await acts.get(email))["id"] for email in ("same@example.com", "same-too@example.com")] == [1, 2]
        assert await acts.fetch("SELECT sequence FROM events WHERE workspace_id = $1 ORDER BY 1") == [(1,), (2,)]


@pytest.mark.parametrize("size", [1, 7, 500])
async def test_the_size_of_batches_makes_no_difference(own_kit: Kit, own_acts: Acts, size: int) -> None:
    await write_mixture(own_acts, "any", 5)
    own_kit.writer._batch_max = size
    await own_kit.drain()
    statuses = await own_acts.fetch("SELECT status, count(*) FROM operations WHERE workspace_id = $1 GROUP BY 1")
    assert dict(statuses) == {"APPLIED": 25, "REJECTED": 5}
    contacts = await own_acts.fetch("SELECT version, count(*) FROM contacts WHERE workspace_id = $1 GROUP BY 1")
    assert dict(contacts) == {2: 5, 3: 5}
