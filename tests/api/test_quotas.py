"""Quotas of a workspace: what counts, who is refused, and what makes room again."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx2
import pytest

from kith.engine.admin.workspaces import change_workspace
from kith.engine.context.quota_usage import load_usage
from kith.model.quotas import QUOTAS
from kith.model.workspaces import Workspace
from tests.kit import Kit

Open = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]
NAMED = {"logic": "AND", "conditions": [{"field": "name", "operator": "contains", "value": "a"}]}


def make_filter(count: int, operator: str = "contains") -> dict[str, Any]:
    conditions = [{"field": "name", "operator": operator, "value": f"x{n}"} for n in range(count)]
    return {"logic": "OR", "conditions": conditions}


def make_list(criteria: Mapping[str, Any] | None = None) -> dict[str, Any]:
    more = {"isDynamic": True, "filterCriteria": criteria} if criteria is not None else {}
    return {"name": "x", "entityType": "CONTACT", **more}


# By quota: a path, and the body that makes the nth.
MADE: Mapping[str, tuple[str, Callable[[int], dict[str, Any]]]] = {
    "contacts": ("/crm/contacts", lambda n: {"name": f"{n}"}),
    "companies": ("/crm/companies", lambda n: {"name": f"{n}"}),
    "tags": ("/crm/tags", lambda n: {"key": f"t{n}"}),
    "lists": ("/crm/lists", lambda _: make_list()),
    "dynamicLists": ("/crm/lists", lambda _: make_list(NAMED)),
    "textConditions": ("/crm/lists", lambda _: make_list(NAMED)),
    "contactProperties": ("/crm/properties", lambda n: {"key": f"p{n}", "entity": "CONTACT", "type": "TEXT"}),
    "companyProperties": ("/crm/properties", lambda n: {"key": f"p{n}", "entity": "COMPANY", "type": "TEXT"}),
}


@pytest.fixture
def open_with(kit: Kit, workspace: Workspace) -> Open:
    """Opens a client of the workspace with these quotas: a new key, so that they hold at once."""

    @asynccontextmanager
    async def open_client(**quotas: int | None) -> AsyncIterator[httpx2.AsyncClient]:
        async with kit.engine.database.acquire() as connection:
            await change_workspace(connection, workspace.name, quotas=quotas)
        async with kit.open_client(await kit.make_key(workspace)) as client:
            yield client

    return open_client


def read_excess(answer: httpx2.Response) -> tuple[str, int, int, int]:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, "QUOTA_EXCEEDED"), answer.text
    return tuple(error["details"][name] for name in ("quota", "limit", "used", "value"))


@pytest.mark.parametrize("quota", MADE)
async def test_a_quota_refuses_what_is_beyond_it_and_deleting_makes_room(
    kit: Kit, workspace: Workspace, open_with: Open, quota: str
) -> None:
    path, make = MADE[quota]
    async with open_with(**{quota: 2}) as client:
        made = [await client.post(path, json=make(n)) for n in range(2)]
        assert [answer.status_code for answer in made] == [202, 202]
        for _ in range(2):
            refused = await client.post(path, json=make(3))
            assert read_excess(refused) == (quota, 2, 2, 3)
            assert f"kith workspaces set '{workspace.name}' --quota {quota}=N" in refused.json()["error"]["message"]
            await kit.drain()
        assert (await client.delete(made[0].headers["location"])).status_code == 202
        assert (await client.post(path, json=make(4))).status_code == 202, "the pending delete counts"
        assert read_excess(await client.post(path, json=make(5))) == (quota, 2, 2, 3)
        await kit.drain()
        assert read_excess(await client.post(path, json=make(6))) == (quota, 2, 2, 3)
    async with open_with(**{quota: 3}) as client:
        assert (await client.post(path, json=make(7))).status_code == 202


async def test_creates_at_once_stay_within_a_quota(open_with: Open) -> None:
    async with open_with(contacts=10) as client:
        answers = await asyncio.gather(*(client.post("/crm/contacts", json={"name": f"{n}"}) for n in range(40)))
        assert sorted(answer.status_code for answer in answers) == [202] * 10 + [422] * 30


async def test_a_limit_below_what_is_there_keeps_it_and_takes_no_more(kit: Kit, open_with: Open) -> None:
    async with open_with() as client:
        for n in range(3):
            await client.post("/crm/tags", json={"key": f"t{n}"})
        await kit.drain()
    async with open_with(tags=1) as client:
        assert read_excess(await client.post("/crm/tags", json={"key": "more"})) == ("tags", 1, 3, 4)
        assert (await client.patch("/crm/tags/1", json={"name": "renamed"})).status_code == 202
        assert (await client.get("/crm/tags")).json()["meta"]["total"] == 3


async def test_restoring_counts_as_making_and_merging_makes_room(kit: Kit, open_with: Open) -> None:
    async with open_with(contacts=2) as client:
        for n in range(2):
            await client.post("/crm/contacts", json={"name": f"{n}"})
        await kit.drain()
        await client.delete("/crm/contacts/1")
        await client.post("/crm/contacts", json={"name": "3"})
        await kit.drain()
        assert read_excess(await client.post("/crm/contacts/1/restore")) == ("contacts", 2, 2, 3)
        assert (await client.post("/crm/contacts/2/merge", json={"loserId": 3})).status_code == 202
        assert (await client.post("/crm/contacts/1/restore")).status_code == 202


async def test_conditions_on_parts_of_texts_are_counted_over_all_dynamic_lists(kit: Kit, open_with: Open) -> None:
    related = {"field": "company.name", "operator": "ends_with", "value": "x"}
    free = {"logic": "AND", "conditions": [{"field": "name", "operator": "starts_with", "value": "x"}]}
    async with open_with(textConditions=5, textConditionsPerList=3) as client:
        refused = await client.post("/crm/lists", json=make_list(make_filter(4)))
        assert read_excess(refused) == ("textConditionsPerList", 3, 0, 4)
        assert (await client.post("/crm/lists", json=make_list(make_filter(3)))).status_code == 202
        assert (await client.post("/crm/lists", json=make_list(free))).status_code == 202
        negated = {"logic": "AND", "conditions": [*make_filter(1, "not_contains")["conditions"], related]}
        made = await client.post("/crm/lists", json=make_list(negated))
        assert made.status_code == 202, made.text
        assert read_excess(await client.post("/crm/lists", json=make_list(NAMED))) == ("textConditions", 5, 5, 6)
        await kit.drain()
        refused = await client.patch("/crm/lists/2", json={"filterCriteria": NAMED})
        assert read_excess(refused) == ("textConditions", 5, 5, 6)
        assert (await client.patch("/crm/lists/1", json={"filterCriteria": free})).status_code == 202
        await kit.drain()
        assert (await client.patch("/crm/lists/2", json={"filterCriteria": make_filter(3)})).status_code == 202


async def test_a_workspace_without_bytes_can_only_delete(kit: Kit, workspace: Workspace, open_with: Open) -> None:
    async with open_with(bytes=150_000) as client:
        for n in range(2):
            await client.post("/crm/contacts", json={"name": f"{n}", "properties": {"text": "x" * 50_000}})
        await kit.drain()
        assert (await client.patch("/crm/contacts/1", json={"properties": {"text": "y" * 50_000}})).status_code == 202
        quota, limit, used, value = read_excess(await client.post("/crm/contacts", json={"name": "z"}))
        assert (quota, limit, value) == ("bytes", 150_000, used + 1)
        assert 150_000 <= used < 160_000
        await kit.drain()
        assert read_excess(await client.patch("/crm/contacts/1", json={"name": "z"}))[2] >= 200_000
        assert (await client.delete("/crm/contacts/1")).status_code == 202
        await kit.drain()
    async with kit.engine.database.acquire() as connection:
        used = (await load_usage(connection, workspace))[1]["bytes"]
        kept = await connection.fetchval(
            "SELECT sum(octet_length(data::text)) FROM events WHERE workspace_id = $1", workspace.id
        )
    assert kept < used < kept + 4 * 400, "the bytes of all events, and the frame of each"


async def test_members_of_a_dynamic_list_count_by_their_events(kit: Kit, workspace: Workspace, open_with: Open) -> None:
    """One short command may cause an event for every record."""
    async with open_with() as client:
        for _ in range(20):
            await client.post("/crm/contacts", json={"name": "a"})
        await kit.drain()
        async with kit.engine.database.acquire() as connection:
            before = (await load_usage(connection, workspace))[1]["bytes"]
        await client.post("/crm/lists", json=make_list(NAMED))
        await kit.drain()
        async with kit.engine.database.acquire() as connection:
            after = (await load_usage(connection, workspace))[1]["bytes"]
            kept = await connection.fetchval(
                "SELECT sum(octet_length(data::text)) FROM events WHERE workspace_id = $1 AND type = 'list.entered'",
                workspace.id,
            )
    assert after - before > kept > 0


async def test_a_record_carries_as_many_tags_as_its_workspace_allows(kit: Kit, open_with: Open) -> None:
    async with open_with(tagsPerRecord=2) as client:
        await client.post("/crm/contacts", json={"name": "a"})
        for n in range(3):
            await client.post("/crm/tags", json={"key": f"t{n}"})
        await kit.drain()
        for tag in (1, 2, 2):
            assert (await client.post("/crm/contacts/1/tags", json={"tagId": tag})).status_code == 202
        assert read_excess(await client.post("/crm/contacts/1/tags", json={"tagId": 3})) == ("tagsPerRecord", 2, 2, 3)
        await client.delete("/crm/contacts/1/tags/1")
        assert (await client.post("/crm/contacts/1/tags", json={"tagId": 3})).status_code == 202


async def test_a_quota_can_be_unlimited_and_the_neighbour_has_its_own(
    kit: Kit, open_with: Open, other_client: httpx2.AsyncClient
) -> None:
    async with open_with(tags=0) as client:
        assert read_excess(await client.post("/crm/tags", json={"key": "a"})) == ("tags", 0, 0, 1)
        assert (await other_client.post("/crm/tags", json={"key": "a"})).status_code == 202
    async with open_with(tags=None) as client:
        assert (await client.post("/crm/tags", json={"key": "a"})).status_code == 202


async def test_every_counted_quota_has_a_usage(kit: Kit, workspace: Workspace) -> None:
    async with kit.engine.database.acquire() as connection:
        _, used = await load_usage(connection, workspace)
    assert used == {name: 0 for name, quota in QUOTAS.items() if quota.counted}
