"""How far an operation is that is about all records: seen from outside while its transaction is open."""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import httpx2
import pytest
from structlog.testing import capture_logs

from kith.clock import SystemClock
from kith.engine.apply import bulk_effects as aftermath
from kith.engine.apply import operation_progress as tally
from kith.engine.apply import value_conversion as surveys
from kith.engine.apply.operation_progress import Tally
from kith.engine.jobs.maintenance import maintain
from kith.model.workspaces import Workspace
from tests.api.definitions import define, read
from tests.api.test_dynamic_lists import list_members, make_list, one
from tests.kit import SETTINGS, Kit
from tests.postgres import connect

Drain = Callable[[], Awaitable[None]]
Figures = list[tuple[int, int]]


def work_slowly(writer: Any, monkeypatch: pytest.MonkeyPatch, window: int) -> None:
    """Windows of so few records, and each is told of."""
    monkeypatch.setattr(writer, "_tally_every_s", 0)
    monkeypatch.setattr(tally, "RETRY_S", 0)
    monkeypatch.setattr(surveys, "WINDOW_RECORDS", window)
    monkeypatch.setattr(aftermath, "WINDOW_FIRST", window)
    monkeypatch.setattr(aftermath, "size_window", lambda size, _took_s, _most: size)


@pytest.fixture
def slow(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    work_slowly(kit.writer, monkeypatch, window=2)


async def watch(
    client: httpx2.AsyncClient, written: httpx2.Response, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> Figures:
    """What a client that asks for the operation after each window is told until it has ended; then nothing."""
    path = written.headers["operation-location"].removeprefix("/crm/")
    reach, figures = Tally.reach, []

    async def reach_and_ask(self: Tally, number: int) -> None:
        await reach(self, number)
        told = await read(client, path)
        assert told["status"] == "PENDING"
        figures.append((told["progress"]["done"], told["progress"]["total"]))

    assert (await read(client, path))["progress"] is None, "nothing is known yet"
    with monkeypatch.context() as patch:
        patch.setattr(Tally, "reach", reach_and_ask)
        await drain()
    ended = await read(client, path)
    assert (ended["status"], ended["progress"]) == ("APPLIED", None)
    return figures


async def count_tallies(kit: Kit) -> int:
    async with connect(kit.url) as connection:
        count: int = await connection.fetchval("SELECT count(*) FROM tallies")
    return count


async def make_contacts(client: httpx2.AsyncClient, drain: Drain, count: int) -> None:
    for n in range(1, count + 1):
        await client.post("/crm/contacts", json={"name": "Ada", "properties": {"mrr": str(n)}})
    await drain()


@pytest.mark.usefixtures("slow")
async def test_a_conversion_tells_of_all_that_it_does_in_one_figure(
    kit: Kit, client: httpx2.AsyncClient, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_contacts(client, drain, 5)
    made = await define(client, "mrr", "TEXT")
    await drain()
    path = await make_list(client, one("mrr", "is_not_null"))
    await drain()
    written = await client.patch(made.headers["location"], json={"type": "NUMBER"})
    surveyed = [(2, 10), (4, 10), (5, 10)]
    cleared = [(7, 20), (9, 20), (10, 20)]
    converted = [(12, 20), (14, 20), (15, 20)]
    evaluated = [(17, 20), (19, 20), (20, 20)]
    assert await watch(client, written, drain, monkeypatch) == surveyed + cleared + converted + evaluated
    assert await list_members(client, path) == [1, 2, 3, 4, 5]
    assert await count_tallies(kit) == 0


@pytest.mark.usefixtures("slow")
async def test_values_of_associations_are_counted_by_their_contacts(
    client: httpx2.AsyncClient, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_contacts(client, drain, 3)
    await client.post("/crm/companies", json={"name": "Bell Labs"})
    await drain()
    for n in (1, 2, 3):
        body = {"companyId": 1, "properties": {"seats": str(n)}}
        linked = await client.post(f"/crm/contacts/{n}/companies", json=body)
        assert linked.status_code == 202, linked.text
    await drain()
    made = await define(client, "seats", "TEXT", entity="CONTACT_COMPANY")
    await drain()
    written = await client.patch(made.headers["location"], json={"type": "NUMBER"})
    assert await watch(client, written, drain, monkeypatch) == [(2, 6), (3, 6), (5, 6), (6, 6)]


@pytest.mark.usefixtures("slow")
async def test_an_evaluation_tells_how_far_it_is(
    client: httpx2.AsyncClient, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_contacts(client, drain, 3)
    body = {"name": "Some", "entityType": "CONTACT", "isDynamic": True, "filterCriteria": one("name", "eq", "ada")}
    written = await client.post("/crm/lists", json=body)
    assert await watch(client, written, drain, monkeypatch) == [(2, 3), (3, 3)]
    path = written.headers["location"].removeprefix("/crm/")
    again = await client.patch(f"/crm/{path}", json={"filterCriteria": one("name", "is_null")})
    assert await watch(client, again, drain, monkeypatch) == [(2, 3), (3, 3)]
    assert await list_members(client, path) == []


@pytest.mark.usefixtures("slow")
async def test_a_progress_that_cannot_be_written_does_no_harm(
    kit: Kit, client: httpx2.AsyncClient, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_contacts(client, drain, 3)
    monkeypatch.setattr(tally, "WRITE_TIMEOUT_S", 0.01)
    path = await make_list(client, one("name", "eq", "ada"))
    async with connect(kit.url) as holder:
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("LOCK TABLE tallies IN ACCESS EXCLUSIVE MODE")
        with capture_logs() as lines:
            await drain()
        await transaction.rollback()
    assert [line["event"] for line in lines] == ["progress cannot be told"] * 3, "of two windows, and of the end"
    assert await list_members(client, path) == [1, 2, 3]


async def test_what_ends_soon_writes_nothing(
    kit: Kit, client: httpx2.AsyncClient, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: Tally) -> None:
        raise AssertionError("it was not due")

    monkeypatch.setattr(kit.writer, "_tally_every_s", 3600)
    monkeypatch.setattr(Tally, "_save", refuse)
    await make_contacts(client, drain, 3)
    path = await make_list(client, one("name", "eq", "ada"))
    with capture_logs() as lines:
        await drain()
    assert lines == [] and await list_members(client, path) == [1, 2, 3]


@pytest.fixture
async def own_workspace(own_kit: Kit, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    work_slowly(own_kit.writer, monkeypatch, window=2)
    return await own_kit.make_workspace()


async def test_what_a_killed_writer_left_is_not_shown_and_goes(
    own_kit: Kit, own_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(_: Tally) -> None:
        return

    monkeypatch.setattr(Tally, "end", die)
    async with own_kit.open_client(await own_kit.make_key(own_workspace)) as client:
        await make_contacts(client, own_kit.drain, 3)
        body = {"name": "Some", "entityType": "CONTACT", "isDynamic": True, "filterCriteria": one("name", "eq", "x")}
        path = (await client.post("/crm/lists", json=body)).headers["operation-location"].removeprefix("/crm/")
        await own_kit.drain()
        assert await count_tallies(own_kit) == 1
        ended = await read(client, path)
        assert (ended["status"], ended["progress"]) == ("APPLIED", None)
    async with connect(own_kit.url) as connection:
        await connection.execute(
            "INSERT INTO tallies SELECT shard, workspace_id, 'op_2', position + 1, 0, 9 FROM tallies"
        )
        await maintain(own_kit.engine.database, SystemClock(), SETTINGS)
        left = await connection.fetch("SELECT operation_id FROM tallies")
    assert [row["operation_id"] for row in left] == ["op_2"], "that of an operation which has not ended stays"


async def test_a_command_that_fails_leaves_no_progress(
    own_kit: Kit, own_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate, left = aftermath.evaluate_list, []

    async def fail_at_the_end(connection: Any, shard: int, one: Any, at: Any, which: Any) -> Any:
        left.append(await count_tallies(own_kit))
        if which.until > 3:
            raise asyncpg.DataError("this record cannot be")
        return await evaluate(connection, shard, one, at, which)

    async with own_kit.open_client(await own_kit.make_key(own_workspace)) as client:
        await make_contacts(client, own_kit.drain, 3)
        monkeypatch.setattr(aftermath, "evaluate_list", fail_at_the_end)
        body = {"name": "Some", "entityType": "CONTACT", "isDynamic": True, "filterCriteria": one("name", "eq", "x")}
        path = (await client.post("/crm/lists", json=body)).headers["operation-location"].removeprefix("/crm/")
        await own_kit.drain()
        ended = await read(client, path)
        assert (ended["status"], ended["progress"]) == ("REJECTED", None)
    assert left == [0, 1] * 3, "each try begins without, and tells of its first window"
    assert await count_tallies(own_kit) == 0
