"""Lists whose filters depend on the time change with it, by commands like any others."""

from datetime import datetime

import pytest

from kith.clock import FixedClock
from kith.engine import rechecks
from kith.engine.dynamic_lists import DynamicList
from kith.engine.evaluation import differs
from kith.engine.rechecks import recheck_lists
from kith.engine.replay import replay_check
from kith.store.database import Connection
from tests.kit import SETTINGS, Kit

DAY_S = 86_400
NEW = {"logic": "AND", "conditions": [{"field": "createdAt", "operator": "gte", "value": "-7d"}]}
NAMED = {"logic": "AND", "conditions": [{"field": "name", "operator": "eq", "value": "ada"}]}


async def test_who_no_longer_fits_leaves_by_the_clock(timed_kit: Kit, clock: FixedClock) -> None:
    database, log = timed_kit.engine.database, timed_kit.engine.log
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
            return [row["id"] for row in (await client.get("/crm/lists/1/members")).json()["data"]]

        assert await list_members() == [1, 2]
        assert await recheck_lists(database, log, clock) == 0, "nothing has changed yet"
        clock.advance(5 * DAY_S)
        assert await recheck_lists(database, log, clock) == 1
        await timed_kit.drain()
        assert await list_members() == [2]
        assert await recheck_lists(database, log, clock) == 0, "it is as its filter says"
        told = (await client.get("/crm/lists/1")).json()["data"]
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
        assert await rechecks.recheck_lists(timed_kit.engine.database, timed_kit.engine.log, clock) == 1
