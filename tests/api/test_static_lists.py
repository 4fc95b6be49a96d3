"""Lists that are kept by hand: who is on them, how many, and what nobody can put on them."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

Drain = Callable[[], Awaitable[None]]
Json = dict[str, Any]


async def make_list(client: httpx2.AsyncClient, **more: Any) -> str:
    answer = await client.post("/crm/lists", json={"name": "Some", "entityType": "CONTACT"} | more)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["data"]["externalId"])


async def make_contacts(client: httpx2.AsyncClient, count: int) -> list[str]:
    answers = [await client.post("/crm/contacts", json={"name": f"Person {n}"}) for n in range(count)]
    return [answer.json()["data"]["externalId"] for answer in answers]


async def read_members(client: httpx2.AsyncClient, list_id: str, **query: Any) -> Json:
    answer = await client.get(f"/crm/lists/{list_id}/members", params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def count_members(client: httpx2.AsyncClient, list_id: str) -> int:
    return int((await client.get(f"/crm/lists/{list_id}")).json()["data"]["memberCount"])


async def test_a_list_is_made_read_changed_and_deleted(client: httpx2.AsyncClient, drain: Drain) -> None:
    made = await client.post("/crm/lists", json={"name": " Friends ", "entityType": "CONTACT", "description": "All"})
    provisional = made.json()["data"]
    assert made.headers["location"] == f"/crm/lists/{provisional['externalId']}"
    assert (provisional["id"], provisional["name"], provisional["pending"]) == (None, "Friends", True)
    assert (await client.get(made.headers["location"])).status_code == 202
    await drain()
    shown = (await client.get("/crm/lists/1")).json()["data"]
    assert shown == {name: value for name, value in provisional.items() if name != "pending"} | {"id": 1}
    assert (shown["entityType"], shown["isDynamic"], shown["filterCriteria"], shown["memberCount"]) == (
        ("CONTACT", False, None, 0)
    )
    await client.patch("/crm/lists/1", json={"name": "Foes", "description": None}, headers={"If-Match": '"1"'})
    stale = await client.patch("/crm/lists/1", json={"name": "Others"}, headers={"If-Match": '"1"'})
    assert stale.json()["error"]["code"] == "VERSION_MISMATCH"
    await drain()
    changed = (await client.get("/crm/lists/1")).json()["data"]
    assert (changed["name"], changed["description"], changed["version"]) == ("Foes", None, 2)
    assert (await client.delete("/crm/lists/1")).status_code == 202
    await drain()
    assert (await client.get("/crm/lists/1")).status_code == 404
    assert (await client.get("/crm/lists")).json()["data"] == []


async def test_lists_are_listed_by_entity_and_kind(client: httpx2.AsyncClient, drain: Drain) -> None:
    criteria = {
        "logic": "AND",
        "conditions": [{"type": "field", "field": "status", "operator": "eq", "value": "ACTIVE"}],
    }
    await make_list(client, name="b")
    await make_list(client, name="a", entityType="COMPANY")
    await make_list(client, name="c", isDynamic=True, filterCriteria=criteria)
    await drain()

    async def names(**query: Any) -> list[str]:
        answer = await client.get("/crm/lists", params={"sortBy": "name", "sortOrder": "asc"} | query)
        return [one["name"] for one in answer.json()["data"]]

    assert await names() == ["a", "b", "c"]
    assert await names(entityType="CONTACT") == ["b", "c"]
    assert await names(isDynamic="true") == ["c"]
    assert (await client.get("/crm/lists/3")).json()["data"]["filterCriteria"] == criteria


async def test_members_are_added_once_and_taken_off(client: httpx2.AsyncClient, drain: Drain) -> None:
    list_id, people = await make_list(client), await make_contacts(client, 3)
    added = await client.post(f"/crm/lists/{list_id}/members", json={"entityIds": [*people, people[0]]})
    assert (added.status_code, added.json()["data"]["memberCount"]) == (202, 3)
    again = await client.post(f"/crm/lists/{list_id}/members", json={"entityIds": people[:1]})
    assert again.json()["data"]["memberCount"] == 3
    await drain()
    members = await read_members(client, list_id)
    assert [one["id"] for one in members["data"]] == [3, 2, 1], "the newest record comes first"
    assert members["meta"]["total"] == 3
    assert members["data"][0].keys() >= {"email", "status", "tags", "lifecycleStage"}
    taken = await client.request("DELETE", f"/crm/lists/{list_id}/members", json={"entityIds": [2]})
    assert (taken.status_code, taken.json()["data"]["memberCount"]) == (202, 2)
    await client.post(f"/crm/lists/{list_id}/members/remove", json={"entityIds": [3, "2"]})
    await drain()
    assert [one["id"] for one in (await read_members(client, list_id))["data"]] == [1]
    assert await count_members(client, list_id) == 1
    assert (await client.get("/crm/lists/1")).json()["data"]["version"] == 1, "members are no change of the list itself"


async def test_companies_have_lists_too(client: httpx2.AsyncClient, drain: Drain) -> None:
    list_id = await make_list(client, entityType="COMPANY")
    company = (await client.post("/crm/companies", json={"name": "Acme"})).json()["data"]["externalId"]
    await client.post(f"/crm/lists/{list_id}/members", json={"entityIds": [company]})
    await drain()
    (member,) = (await read_members(client, list_id))["data"]
    assert (member["externalId"], member["contactCount"]) == (company, 0)


async def test_a_deleted_member_counts_no_more_until_it_is_restored(client: httpx2.AsyncClient, drain: Drain) -> None:
    list_id, people = await make_list(client), await make_contacts(client, 2)
    await client.post(f"/crm/lists/{list_id}/members", json={"entityIds": people})
    await client.delete(f"/crm/contacts/{people[0]}")
    await drain()
    assert await count_members(client, list_id) == len((await read_members(client, list_id))["data"]) == 1
    await client.post(f"/crm/contacts/{people[0]}/restore")
    await drain()
    assert await count_members(client, list_id) == len((await read_members(client, list_id))["data"]) == 2


async def test_a_merge_carries_memberships_over(client: httpx2.AsyncClient, drain: Drain) -> None:
    one, both = await make_list(client), await make_list(client)
    winner, loser = await make_contacts(client, 2)
    await client.post(f"/crm/lists/{one}/members", json={"entityIds": [loser]})
    await client.post(f"/crm/lists/{both}/members", json={"entityIds": [winner, loser]})
    await client.post(f"/crm/contacts/{winner}/merge", json={"loserId": loser})
    await drain()
    for list_id in (one, both):
        assert [member["externalId"] for member in (await read_members(client, list_id))["data"]] == [winner]
        assert await count_members(client, list_id) == 1
    await client.post(f"/crm/lists/{one}/members/remove", json={"entityIds": [loser]})
    await drain()
    assert await count_members(client, one) == 0, "the loser's id names the winner"


async def test_who_cannot_be_a_member_is_named_and_nobody_is_added(client: httpx2.AsyncClient, drain: Drain) -> None:
    list_id, people = await make_list(client), await make_contacts(client, 2)
    company = (await client.post("/crm/companies", json={"name": "Acme"})).json()["data"]["externalId"]
    await client.delete(f"/crm/contacts/{people[1]}")
    await drain()
    for wrong in (company, 77, people[1], "nobody", -1, 10**30):
        for method in ("POST", "DELETE"):
            answer = await client.request(
                method, f"/crm/lists/{list_id}/members", json={"entityIds": [people[0], wrong]}
            )
            assert answer.status_code == 400, answer.text
            error = answer.json()["error"]
            assert error["code"] == "INVALID_REQUEST"
            assert str(wrong)[:40] in error["message"]
    await drain()
    assert await count_members(client, list_id) == 0


async def test_a_thousand_members_are_taken_and_one_more_is_not(client: httpx2.AsyncClient, drain: Drain) -> None:
    list_id, people = await make_list(client), await make_contacts(client, 20)
    many = (people * 50)[:1000]
    assert (await client.post(f"/crm/lists/{list_id}/members", json={"entityIds": many})).status_code == 202
    refused = await client.post(f"/crm/lists/{list_id}/members", json={"entityIds": [*many, people[0]]})
    assert (refused.status_code, refused.json()["error"]["details"]) == (400, {"limit": 1000, "given": 1001})
    await drain()
    assert await count_members(client, list_id) == 20


async def test_members_are_paged_by_cursor(client: httpx2.AsyncClient, drain: Drain) -> None:
    list_id, people = await make_list(client), await make_contacts(client, 7)
    await client.post(f"/crm/lists/{list_id}/members", json={"entityIds": people})
    await drain()
    seen, cursor = [], None
    while True:
        page = await read_members(client, list_id, limit=3, **({"cursor": cursor} if cursor else {}))
        seen += [one["id"] for one in page["data"]]
        cursor = page["meta"]["nextCursor"]
        if cursor is None:
            break
    assert seen == [7, 6, 5, 4, 3, 2, 1]
    assert (await client.get(f"/crm/lists/{list_id}/members", params={"limit": 1000})).status_code == 200
    assert (await client.get(f"/crm/lists/{list_id}/members", params={"limit": 1001})).status_code == 400


async def test_a_dynamic_list_takes_no_members_by_hand(client: httpx2.AsyncClient, drain: Drain) -> None:
    list_id = await make_list(
        client, isDynamic=True, filterCriteria={"field": "status", "operator": "eq", "value": "ACTIVE"}
    )
    (person,) = await make_contacts(client, 1)
    await drain()
    answer = await client.post(f"/crm/lists/{list_id}/members", json={"entityIds": [person]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"entityType": "CONTACT"}, "MISSING_FIELD", "name"),
        ({"name": "x"}, "MISSING_FIELD", "entityType"),
        ({"name": " ", "entityType": "CONTACT"}, "INVALID_FIELD", "name"),
        ({"name": "x", "entityType": "PERSON"}, "INVALID_FIELD", "entityType"),
        ({"name": "x", "entityType": "CONTACT", "isDynamic": True}, "MISSING_FIELD", "filterCriteria"),
        ({"name": "x", "entityType": "CONTACT", "filterCriteria": {}}, "INVALID_FIELD", "filterCriteria"),
        ({"name": "x", "entityType": "CONTACT", "isDynamic": 1}, "INVALID_FIELD", "isDynamic"),
        ({"name": "x", "entityType": "CONTACT", "nmae": 1}, "INVALID_FIELD", "nmae"),
    ],
)
async def test_a_list_that_cannot_be_made_says_why(
    client: httpx2.AsyncClient, body: Json, code: str, field: str
) -> None:
    answer = await client.post("/crm/lists", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)
    assert [fault["field"] for fault in answer.json()["error"]["details"]["fields"]] == [field]


async def test_the_filter_of_a_static_list_cannot_be_set(client: httpx2.AsyncClient, drain: Drain) -> None:
    list_id = await make_list(client)
    await drain()
    answer = await client.patch(f"/crm/lists/{list_id}", json={"filterCriteria": {"logic": "AND"}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")


async def test_another_workspace_has_neither_the_list_nor_its_members(
    client: httpx2.AsyncClient, other_client: httpx2.AsyncClient, drain: Drain
) -> None:
    list_id, (person,) = await make_list(client), await make_contacts(client, 1)
    theirs = await make_list(other_client)
    await drain()
    assert (await other_client.get(f"/crm/lists/{list_id}")).status_code == 404
    assert (await other_client.get(f"/crm/lists/{list_id}/members")).status_code == 404
    assert (await other_client.patch(f"/crm/lists/{list_id}", json={"name": "x"})).status_code == 404
    assert (await other_client.delete(f"/crm/lists/{list_id}")).status_code == 404
    stolen = await other_client.post(f"/crm/lists/{theirs}/members", json={"entityIds": [person]})
    assert stolen.status_code == 400
