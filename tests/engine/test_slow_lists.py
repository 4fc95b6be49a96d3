"""Lists that take too long become BROKEN: their commands are applied, and nobody else waits for them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import httpx2
import msgspec
import pytest

from kith.clock import SystemClock
from kith.engine.admin.replay import replay_check
from kith.engine.apply.writer import Writer
from kith.engine.lists.list_cache import ListCache
from kith.errors import InvalidRequest
from kith.settings import Settings
from kith.store import broken_lists
from tests.api.test_dynamic_lists import make_list
from tests.engine.acts import Acts, fetch_all
from tests.kit import Kit, open_kit
from tests.postgres import connect

Json = dict[str, Any]
# Evaluated in the database, as it counts activities of a type.
COSTLY: Json = {
    "logic": "OR",
    "conditions": [
        *({"field": "name", "operator": "contains", "value": f"zq{n}x"} for n in range(50)),
        {"type": "activity", "activityType": "NOTE", "operator": "gt", "value": 100_000},
    ],
}
FITTING = "zq1x"
# Whoever enters a list takes longer than any statement may.
STALL = (
    "CREATE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(600); RETURN NEW; END$$",
    "CREATE TRIGGER stall BEFORE INSERT ON list_members FOR EACH ROW EXECUTE FUNCTION stall()",
)
RECORDED = "SELECT shard, workspace_id, list_id, reason FROM broken_lists"


class Neighbours(NamedTuple):
    """Clients of a workspace with a costly list, of one on the same shard, and of one on another."""

    kit: Kit
    settings: Settings
    owner: httpx2.AsyncClient
    beside: httpx2.AsyncClient
    elsewhere: httpx2.AsyncClient
    path: str


@pytest.fixture
async def neighbours(database_url: str, make_log_settings: Callable[[], Settings]) -> AsyncIterator[Neighbours]:
    settings = msgspec.structs.replace(make_log_settings(), list_budget_ms=200)
    async with AsyncExitStack() as stack:
        kit = await stack.enter_async_context(open_kit(database_url, settings))
        own, other = await kit.make_neighbours()
        far = await kit.make_workspace()
        while far.shard == own.shard:
            far = await kit.make_workspace()
        keys = [await kit.make_key(one) for one in (own, other, far)]
        owner, beside, elsewhere = [await stack.enter_async_context(kit.open_client(key)) for key in keys]
        # It is made while nothing is slow.
        kit.writer._costs._budget_ms = 60_000
        path = await make_list(owner, COSTLY)
        await kit.drain()
        kit.writer._costs._budget_ms = 200
        kit.writer._costs._accounts.clear()
        yield Neighbours(kit, settings, owner, beside, elsewhere, path)


async def execute(url: str, *statements: str) -> None:
    async with connect(url) as connection:
        for statement in statements:
            await connection.execute(statement)


async def write_all(some: Neighbours) -> None:
    for n in range(20):
        await some.owner.post("/crm/contacts", json={"name": FITTING})
        for client in (some.beside, some.elsewhere):
            if n % 5 == 0:
                await client.post("/crm/contacts", json={"name": "Ada"})


async def count_contacts(client: httpx2.AsyncClient) -> int:
    total: int = (await client.get("/crm/contacts")).json()["meta"]["total"]
    return total


async def check_broken(some: Neighbours) -> None:
    """The writes of all are applied, and the list says why it takes nobody in any more."""
    found = [await count_contacts(client) for client in (some.owner, some.beside, some.elsewhere)]
    assert found == [20, 4, 4]
    told = (await some.owner.get(f"/crm/{some.path}")).json()["data"]
    assert (told["status"], told["memberCount"]) == ("BROKEN", 0)
    assert "takes too long" in told["reason"] and "ms for one change" in told["reason"] and "PATCH" in told["reason"]


async def test_a_list_that_takes_too_long_becomes_broken_and_its_commands_are_applied(neighbours: Neighbours) -> None:
    await execute(neighbours.kit.url, *STALL)
    await write_all(neighbours)
    await neighbours.kit.drain()
    await check_broken(neighbours)
    assert len(await fetch_all(neighbours.kit.url, RECORDED)) == 1


async def test_a_replay_breaks_the_same_list_at_the_same_command(neighbours: Neighbours) -> None:
    await execute(neighbours.kit.url, *STALL)
    await write_all(neighbours)
    await neighbours.kit.drain()
    await check_broken(neighbours)
    report = await replay_check(neighbours.kit.url, neighbours.settings)
    assert report.differences == []


async def test_a_broken_list_is_mended_by_another_filter(neighbours: Neighbours) -> None:
    await execute(neighbours.kit.url, *STALL)
    await write_all(neighbours)
    await neighbours.kit.drain()
    await execute(neighbours.kit.url, "DROP FUNCTION stall CASCADE")
    await neighbours.owner.post("/crm/properties", json={"key": "mrr", "entity": "CONTACT", "type": "NUMBER"})
    await neighbours.kit.drain()
    await check_broken(neighbours)
    simpler = {"logic": "AND", "conditions": [{"field": "name", "operator": "contains", "value": FITTING}]}
    patched = await neighbours.owner.patch(f"/crm/{neighbours.path}", json={"filterCriteria": simpler})
    assert patched.status_code == 202
    await neighbours.kit.drain()
    told = (await neighbours.owner.get(f"/crm/{neighbours.path}")).json()["data"]
    assert (told["status"], told["reason"], told["memberCount"]) == ("ACTIVE", None, 20)
    assert (await replay_check(neighbours.kit.url, neighbours.settings)).differences == []


async def test_a_broken_list_costs_no_statement_and_can_be_deleted(
    neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    await execute(neighbours.kit.url, *STALL)
    await write_all(neighbours)
    await neighbours.kit.drain()

    async def fail(*_: Any) -> None:
        raise AssertionError("an evaluation")

    monkeypatch.setattr("kith.engine.apply.bulk_effects.evaluate_list", fail)
    await neighbours.owner.post("/crm/contacts", json={"name": FITTING})
    await neighbours.kit.drain()
    assert await count_contacts(neighbours.owner) == 21
    assert (await neighbours.owner.delete(f"/crm/{neighbours.path}")).status_code == 202
    await neighbours.kit.drain()
    assert (await neighbours.owner.get(f"/crm/{neighbours.path}")).status_code == 404


async def test_a_writer_that_dies_while_it_breaks_a_list_leaves_that_to_its_successor(
    neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit, break_lists = neighbours.kit, broken_lists.break_lists
    await execute(kit.url, *STALL)
    await write_all(neighbours)

    async def break_and_die(*given: Any) -> None:
        await break_lists(*given)
        raise ConnectionResetError("killed")

    monkeypatch.setattr(broken_lists, "break_lists", break_and_die)
    with pytest.raises(ConnectionResetError):
        await kit.writer.drain()
    assert await fetch_all(kit.url, RECORDED) == []
    monkeypatch.undo()
    successor = Writer(kit.writer._database, kit.writer._log, SystemClock(), neighbours.settings)
    await successor.drain()
    await kit.engine.progress.refresh()
    await check_broken(neighbours)
    assert (await replay_check(kit.url, neighbours.settings)).differences == []


async def test_a_list_that_takes_too_long_when_it_is_made_is_made_broken(neighbours: Neighbours) -> None:
    await write_all(neighbours)
    await neighbours.kit.drain()
    await execute(neighbours.kit.url, *STALL)
    path = await make_list(neighbours.owner, COSTLY)
    await neighbours.kit.drain()
    told = (await neighbours.owner.get(f"/crm/{path}")).json()["data"]
    assert (told["status"], told["memberCount"]) == ("BROKEN", 0)
    assert (await replay_check(neighbours.kit.url, neighbours.settings)).differences == []


async def test_a_list_that_cannot_be_read_any_more_becomes_broken_with_the_next_command(
    own_kit: Kit, make_log_settings: Callable[[], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a change of the program: its members stay, and it says why."""
    key = await own_kit.make_key(await own_kit.make_workspace())
    async with own_kit.open_client(key) as client:
        path = await make_list(client, {"logic": "AND", "conditions": [{"field": "name", "operator": "is_not_null"}]})
        await client.post("/crm/contacts", json={"name": "Ada"})
        await own_kit.drain()

        def refuse(*_: Any, **__: Any) -> Any:
            raise InvalidRequest("The filter cannot be read.")

        monkeypatch.setattr("kith.engine.lists.dynamic_lists.read_json", refuse)
        own_kit.writer._lists = ListCache(own_kit.writer._schemas)
        for name in ("Bob", "Eve"):
            await client.post("/crm/contacts", json={"name": name})
            await own_kit.drain()
        told = (await client.get(f"/crm/{path}")).json()["data"]
        assert (told["status"], told["reason"], told["memberCount"]) == ("BROKEN", "The filter cannot be read.", 1)
        assert len(await fetch_all(own_kit.url, RECORDED)) == 1
        monkeypatch.undo()
        assert (await replay_check(own_kit.url, make_log_settings())).differences == []


async def test_a_slow_shard_holds_up_no_other(own_kit: Kit) -> None:
    """Somebody holds the cursor of one shard, so that its transaction waits."""
    slow, other = await own_kit.make_workspace(), await own_kit.make_workspace()
    while other.shard == slow.shard:
        other = await own_kit.make_workspace()
    acts, others = Acts(own_kit.engine, slow), Acts(own_kit.engine, other)
    async with connect(own_kit.url) as holder, holder.transaction():
        await holder.execute("SELECT FROM cursors WHERE shard = $1 FOR UPDATE", slow.shard)
        waiting = await acts.create(name="Ada")
        async with own_kit.living_writer():
            for _ in range(3):
                written = await others.create(name="Ada")
                assert await own_kit.engine.progress.wait(other.shard, written.operation.number, 30)
            assert own_kit.engine.progress.get_applied(slow.shard) < waiting.operation.number
    await own_kit.drain()
    assert (await acts.get_operation(waiting.operation.id)).status == "APPLIED"


async def test_a_command_whose_statement_is_ended_as_too_long_is_set_aside(own_kit: Kit, own_acts: Acts) -> None:
    body = (
        "BEGIN IF NEW.name = 'Slow' THEN RAISE EXCEPTION 'canceling statement due to statement timeout'"
        " USING ERRCODE = '57014'; END IF; RETURN NEW; END"
    )
    await execute(
        own_kit.url,
        f"CREATE FUNCTION end_it() RETURNS trigger LANGUAGE plpgsql AS $${body}$$",
        "CREATE TRIGGER end_it BEFORE INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION end_it()",
    )
    written = [await own_acts.create(name=name) for name in ("Ada", "Slow", "Eve")]
    await own_kit.drain()
    ended = [(await own_acts.get_operation(one.operation.id)).status for one in written]
    assert ended == ["APPLIED", "REJECTED", "APPLIED"]
    assert len(await own_acts.fetch("SELECT FROM dead_letters WHERE workspace_id = $1")) == 1
