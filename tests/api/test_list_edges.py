"""Dynamic lists where it is easy to be nearly right: digits, kinds of values, names, lists that are not there."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import msgspec
import pytest

from kith.engine.apply import bulk_effects as aftermath
from kith.engine.lists import evaluation
from kith.model.workspaces import Workspace
from tests.api.definitions import define, find_code
from tests.api.test_dynamic_lists import list_members, make_list, one
from tests.kit import Kit

Drain = Callable[[], Awaitable[None]]


async def load_events(kit: Kit, workspace: Workspace, type_: str) -> list[Any]:
    rows = await kit.engine.database.fetch(
        "SELECT data FROM events WHERE workspace_id = $1 AND type = $2 ORDER BY sequence", workspace.id, type_
    )
    return [msgspec.json.decode(row["data"]) for row in rows]


async def test_a_filter_keeps_every_digit_of_its_numbers(client: httpx2.AsyncClient, drain: Drain) -> None:
    await define(client, "mrr", "NUMBER")
    await drain()
    body = (
        b'{"name": "x", "entityType": "CONTACT", "isDynamic": true, "filterCriteria": {"logic": "AND", "conditions":'
        b' [{"field": "mrr", "operator": "gt", "value": 1.00000000000000000000000002}]}}'
    )
    made = await client.post("/crm/lists", content=body, headers={"content-type": "application/json"})
    assert made.status_code == 202, made.text
    await drain()
    for last in (1, 2, 3):
        raw = b'{"name": "x", "properties": {"mrr": 1.0000000000000000000000000%d}}' % last
        await client.post("/crm/contacts", content=raw, headers={"content-type": "application/json"})
    await drain()
    assert await list_members(client, "lists/1") == [3]


async def test_a_value_of_another_kind_is_another_value_though_python_takes_them_for_equal(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    await client.post("/crm/contacts", json={"name": "Ada", "properties": {"vip": 1}})
    await define(client, "vip", "BOOLEAN")
    await drain()
    path = await make_list(client, one("vip", "eq", True))
    await drain()
    assert await list_members(client, path) == []
    await client.patch("/crm/contacts/1", json={"properties": {"vip": True}})
    await drain()
    assert await list_members(client, path) == [1]


async def test_a_list_tells_its_new_name_from_the_next_command_on(
    client: httpx2.AsyncClient, drain: Drain, kit: Kit, workspace: Workspace
) -> None:
    path = await make_list(client, one("name", "eq", "ada"))
    await drain()
    await client.patch(f"/crm/{path}", json={"name": "Renamed"})
    await client.post("/crm/contacts", json={"name": "Ada"})
    await drain()
    (told,) = await load_events(kit, workspace, "list.entered")
    assert told["lists"][0]["name"] == "Renamed"


async def test_nobody_enters_a_list_that_was_deleted_before(
    client: httpx2.AsyncClient, drain: Drain, kit: Kit, workspace: Workspace
) -> None:
    path = await make_list(client, one("name", "eq", "ada"))
    await drain()
    await client.delete(f"/crm/{path}")
    await client.post("/crm/contacts", json={"name": "Ada"})
    await drain()
    assert await load_events(kit, workspace, "list.entered") == []


async def test_a_filter_cannot_name_a_list_that_may_turn_out_to_be_dynamic(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    for name in (1, "1", "lst_01h2xcejqtf2nbrexx3vqjhp41"):
        criteria = {"logic": "AND", "conditions": [{"field": "lists", "operator": "has_none", "value": [name]}]}
        body = {"name": "x", "entityType": "CONTACT", "isDynamic": True, "filterCriteria": criteria}
        refused = await client.post("/crm/lists", json=body)
        assert refused.status_code == 400, refused.text
        error = refused.json()["error"]
        assert (error["code"], error["details"]["path"]) == ("INVALID_VALUE", "filterCriteria.conditions[0].value[0]")


@pytest.mark.parametrize(
    "condition",
    [
        {"field": "lists", "operator": "is_null"},
        {"field": "lists", "operator": "is_not_null"},
        {"field": "company.lists", "operator": "is_null"},
        {"type": "related", "relation": "company", "filter": {"field": "lists", "operator": "is_not_null"}},
    ],
)
async def test_a_filter_cannot_ask_for_any_list_as_that_would_be_itself_too(
    client: httpx2.AsyncClient, condition: Any
) -> None:
    criteria = {"logic": "AND", "conditions": [{"field": "name", "operator": "eq", "value": "x"}, condition]}
    body = {"name": "x", "entityType": "CONTACT", "isDynamic": True, "filterCriteria": criteria}
    assert find_code(await client.post("/crm/lists", json=body)) == (400, "INVALID_REQUEST")
    made = await client.post("/crm/lists", json=body | {"filterCriteria": one("name", "eq", "x")})
    changed = await client.patch(made.headers["location"], json={"filterCriteria": criteria})
    assert find_code(changed) == (400, "INVALID_REQUEST")


async def test_a_name_that_comes_to_mean_another_property_means_it_for_all_at_once(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    await define(client, "level", "TEXT", entity="CONTACT_COMPANY")
    for level in ("of the company", "of the link"):
        await client.post("/crm/companies", json={"name": "Acme", "properties": {"level": level}})
        await client.post("/crm/contacts", json={"name": "Ada"})
    await drain()
    for number in (1, 2):
        link = {"companyId": number, "properties": {"level": "of the link" if number == 1 else "x"}}
        await client.post(f"/crm/contacts/{number}/companies", json=link)
    path = await make_list(client, one("company.level", "eq", "of the link"))
    await drain()
    assert await list_members(client, path) == [1]
    await define(client, "level", "TEXT", entity="COMPANY")
    await drain()
    assert await list_members(client, path) == [2]


@pytest.mark.parametrize("size", [1, 3])
async def test_an_evaluation_in_windows_of_any_size_is_the_same(
    client: httpx2.AsyncClient, drain: Drain, kit: Kit, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    for n in range(7):
        await client.post("/crm/contacts", json={"name": "Ada" if n % 2 else "Bob"})
    path = await make_list(client, one("name", "eq", "ada"))
    await drain()
    monkeypatch.setattr(aftermath, "WINDOW_FIRST", size)
    monkeypatch.setattr(evaluation, "WINDOW_MAX", size)
    await client.patch(f"/crm/{path}", json={"filterCriteria": one("name", "eq", "bob")})
    await drain()
    assert await list_members(client, path) == [1, 3, 5, 7]
    rows = await kit.engine.database.fetch(
        "SELECT type, data ->> 'id' AS id FROM events WHERE workspace_id = $1 AND type IN ('list.entered', 'list.left')"
        " ORDER BY sequence",
        workspace.id,
    )
    told = [(row["type"], int(row["id"])) for row in rows]
    assert told[:3] == [("list.entered", 2), ("list.entered", 4), ("list.entered", 6)]
    assert told[3:] == [("list.left" if n % 2 == 0 else "list.entered", n) for n in range(1, 8)]


async def test_a_window_that_takes_too_long_is_made_smaller(
    client: httpx2.AsyncClient, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate, windows = aftermath.evaluate_list, []

    async def evaluate_slowly(connection: Any, shard: int, one: Any, at: Any, which: Any) -> Any:
        windows.append(size := which.until - which.after)
        if size > 1:
            await connection.execute("SET LOCAL statement_timeout = 1")
            await connection.execute("SELECT pg_sleep(10)")
        return await evaluate(connection, shard, one, at, which)

    for _ in range(3):
        await client.post("/crm/contacts", json={"name": "Ada"})
    await drain()
    monkeypatch.setattr(aftermath, "evaluate_list", evaluate_slowly)
    monkeypatch.setattr(aftermath, "WINDOW_FIRST", 3)
    monkeypatch.setattr(aftermath, "size_window", lambda _size, _took_s, _most: 1)
    path = await make_list(client, one("name", "eq", "ada"))
    await drain()
    assert await list_members(client, path) == [1, 2, 3]
    assert windows == [3, 1, 1, 1, 1]


def test_windows_grow_while_they_are_quick_and_shrink_when_they_are_not() -> None:
    assert [evaluation.size_window(size, 0.01) for size in (1, 100, 19_000, 20_000)] == [4, 400, 20_000, 20_000]
    assert [evaluation.size_window(size, 9.0) for size in (1, 100, 20_000)] == [1, 25, 5000]


async def test_a_number_is_never_taken_for_one_like_it(client: httpx2.AsyncClient, drain: Drain) -> None:
    for n in range(12):
        assert (await client.post("/crm/lists", json={"name": f"l{n}", "entityType": "CONTACT"})).status_code == 202
    await client.post("/crm/lists", json={"name": "110", "entityType": "CONTACT"})
    await drain()
    for number, meant in (("112", None), ("0", None), ("110", "13")):
        refused = await client.post("/crm/query", json={"entity": "contact", "where": f"lists has any ({number})"})
        assert refused.json()["error"]["details"].get("suggestion") == meant, number


async def test_zeros_in_front_of_a_number_mean_nothing(client: httpx2.AsyncClient, drain: Drain) -> None:
    await client.post("/crm/contacts", json={"name": "Ada"})
    await client.post("/crm/lists", json={"name": "x", "entityType": "CONTACT"})
    await drain()
    added = await client.post("/crm/lists/01/members", json={"entityIds": ["001"]})
    assert added.status_code == 202, added.text
    await drain()
    assert (await client.get("/crm/contacts/01")).json()["data"]["id"] == 1
    for where in ("lists has any (01)", "lists has any ('001')", "id = 01"):
        found = (await client.post("/crm/query", json={"entity": "contact", "where": where})).json()["data"]
        assert [row["id"] for row in found] == [1], where


async def test_an_entity_that_is_none_is_refused_with_the_one_that_was_meant(client: httpx2.AsyncClient) -> None:
    for asked in ("contacts", ["company", "contacts"]):
        refused = await client.post("/crm/query", json={"entity": asked})
        assert refused.status_code == 400 and "Did you mean 'contact'?" in refused.json()["error"]["message"]
