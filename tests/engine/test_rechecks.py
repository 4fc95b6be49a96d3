"""Lists whose filters depend on the time change with it, by commands like any others."""

import json
from datetime import datetime
from typing import Any

import pytest

from kith.clock import FixedClock
from kith.engine.admin.replay import replay_check
from kith.engine.jobs import scheduled_evaluation as rechecks
from kith.engine.jobs.scheduled_evaluation import recheck_lists
from kith.engine.lists.dynamic_lists import DynamicList
from kith.engine.lists.evaluation import differs
from kith.errors import InvalidRequest, Unavailable
from kith.store.database import Connection
from tests.kit import SETTINGS, Kit

DAY_S = 86_400
NEW = {"logic": "AND", "conditions": [{"field": "createdAt", "operator": "gte", "value": "-7d"}]}
NAMED = {"logic": "AND", "conditions": [{"field": "name", "operator": "eq", "value": "ada"}]}


async def test_who_no_longer_fits_leaves_by_the_clock(timed_kit: Kit, clock: FixedClock) -> None:
    database, log, awaited = timed_kit.engine.database, timed_kit.engine.log, dict[int, int]()
    async with timed_kit.open_client(await timed_kit.make_key(await timed_kit.make_workspace())) as client:
        for criteria in (NEW, NAMED):
            body = {"name": "x", "entityType": "CONTACT", "isDynamic": True, "filterCriteria": criteria}
            assert (await client.post("/crm/lists", json=body)).status_code == 202
        await timed_kit.drain()
        await client.post("/crm/contacts", json={"name": "Ada"})
        clock.advance(3 * DAY_S)
        await client.post("/crm/contacts", json={"name": "Bob"})
        await timed_kit.drain()

        async def list_members() -> list[int]:
            return [row["id"] for row in reversed((await client.get("/crm/lists/1/members")).json()["data"])]

        assert await list_members() == [1, 2]
        assert await recheck_lists(database, log, clock, awaited) == 0, "nothing has changed yet"
        clock.advance(5 * DAY_S)
        assert await recheck_lists(database, log, clock, awaited) == 1
        await timed_kit.drain()
        assert await list_members() == [2]
        assert await recheck_lists(database, log, clock, awaited) == 0, "it is as its filter says"
        told = (await client.get("/crm/lists/1")).json()["data"]
        actors = await database.fetch(
            "SELECT DISTINCT actor::text AS actor FROM events WHERE type IN ('list.evaluated', 'list.left')"
        )
        assert [json.loads(row["actor"]) for row in actors] == [{"kind": "system", "id": None, "name": "worker"}]
        assert told["memberCount"] == 1 and told["evaluatedAt"] > told["createdAt"]
    assert (await replay_check(timed_kit.url, SETTINGS)).differences == []


async def test_a_list_that_takes_too_long_to_look_at_keeps_no_other_from_it(
    timed_kit: Kit, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def differs_slowly(connection: Connection, shard: int, one: DynamicList, at: datetime) -> bool:
        if one.row.name == "slow":
            await connection.execute("SET statement_timeout = 1")
            try:
                await connection.execute("SELECT pg_sleep(10)")
            finally:
                await connection.execute("SET statement_timeout = 60000")
        return await differs(connection, shard, one, at)

    monkeypatch.setattr(rechecks, "differs", differs_slowly)
    async with timed_kit.open_client(await timed_kit.make_key(await timed_kit.make_workspace())) as client:
        for name in ("slow", "x"):
            body = {"name": name, "entityType": "CONTACT", "isDynamic": True, "filterCriteria": NEW}
            assert (await client.post("/crm/lists", json=body)).status_code == 202
        await client.post("/crm/contacts", json={"name": "Ada"})
        await timed_kit.drain()
        clock.advance(8 * DAY_S)
        assert await rechecks.recheck_lists(timed_kit.engine.database, timed_kit.engine.log, clock, {}) == 1


async def test_a_list_that_cannot_be_read_any_more_becomes_broken_by_the_clock(
    timed_kit: Kit, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise InvalidRequest("The filter cannot be read.")

    async with timed_kit.open_client(await timed_kit.make_key(await timed_kit.make_workspace())) as client:
        body = {"name": "x", "entityType": "CONTACT", "isDynamic": True, "filterCriteria": NEW}
        assert (await client.post("/crm/lists", json=body)).status_code == 202
        await timed_kit.drain()
        monkeypatch.setattr("kith.engine.lists.dynamic_lists.read_json", refuse)
        assert await recheck_lists(timed_kit.engine.database, timed_kit.engine.log, clock, {}) == 1
        await timed_kit.drain()
        told = (await client.get("/crm/lists/1")).json()["data"]
        assert (told["status"], told["reason"]) == ("BROKEN", "The filter cannot be read.")


async def test_no_list_has_two_evaluations_waiting_for_the_writer(timed_kit: Kit, clock: FixedClock) -> None:
    database, log, awaited = timed_kit.engine.database, timed_kit.engine.log, dict[int, int]()
    workspace = await timed_kit.make_workspace()

    async def look(awaited: dict[int, int]) -> tuple[int, int]:
        """(how many evaluations are put on the log, how far that is then)."""
        submitted = await recheck_lists(database, log, clock, awaited)
        return submitted, (await log.load_heads())[workspace.shard]

    async with timed_kit.open_client(await timed_kit.make_key(workspace)) as client:
        body = {"name": "x", "entityType": "CONTACT", "isDynamic": True, "filterCriteria": NEW}
        assert (await client.post("/crm/lists", json=body)).status_code == 202
        await client.post("/crm/contacts", json={"name": "Ada"})
        await timed_kit.drain()
        clock.advance(8 * DAY_S)
        assert await look(awaited) == (1, 3)
        assert await look(awaited) == (0, 3), "the first is not applied yet"
        restarted = dict[int, int]()
        assert await look(restarted) == (0, 3), "nor does a worker that has just begun put one there"
        await timed_kit.drain()
        # The writer is behind again, but has passed what was awaited.
        await client.post("/crm/contacts", json={"name": "Bob"})
        await timed_kit.drain()
        clock.advance(8 * DAY_S)
        await client.post("/crm/contacts", json={"name": "Cleo"})
        assert await look({}) == (0, 5)
        assert await look(awaited) == (1, 6)
        await timed_kit.drain()
        assert await look(restarted) == (0, 6), "it is as its filter says"
        assert (await client.get("/crm/lists/1")).json()["data"]["memberCount"] == 1


async def test_an_evaluation_that_may_be_on_the_log_is_waited_for(
    timed_kit: Kit, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, log, awaited = timed_kit.engine.database, timed_kit.engine.log, dict[int, int]()
    append = log.append

    async def append_unheard(shard: int, workspace_id: int, data: bytes) -> int:
        await append(shard, workspace_id, data)
        raise Unavailable("the log has not answered")

    async with timed_kit.open_client(await timed_kit.make_key(await timed_kit.make_workspace())) as client:
        body = {"name": "x", "entityType": "CONTACT", "isDynamic": True, "filterCriteria": NEW}
        assert (await client.post("/crm/lists", json=body)).status_code == 202
        await client.post("/crm/contacts", json={"name": "Ada"})
        await timed_kit.drain()
        clock.advance(8 * DAY_S)
        with monkeypatch.context() as patched:
            patched.setattr(log, "append", append_unheard)
            with pytest.raises(Unavailable):
                await recheck_lists(database, log, clock, awaited)
        assert await recheck_lists(database, log, clock, awaited) == 0
        await timed_kit.drain()
        assert await recheck_lists(database, log, clock, awaited) == 0
        assert (await client.get("/crm/lists/1")).json()["data"]["memberCount"] == 0
