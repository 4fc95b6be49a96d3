"""Two workspaces on one server: what is one's is nothing to the other."""

from collections.abc import Awaitable, Callable

import httpx2

Drain = Callable[[], Awaitable[None]]


async def test_the_others_contacts_are_not_found(
    client: httpx2.AsyncClient, other_client: httpx2.AsyncClient, drain: Drain
) -> None:
    created = await client.post("/crm/contacts", json={"email": "alice@example.com", "name": "Alice"})
    external_id = created.json()["data"]["externalId"]
    for _ in range(2):
        for form in ("1", external_id, "alice@example.com"):
            for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/restore")):
                body = {"json": {"name": "Mallory"}} if method == "PATCH" else {}
                answer = await other_client.request(method, f"/crm/contacts/{form}{path}", **body)
                assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND"), answer.text
        await drain()
    assert (await client.get("/crm/contacts/1")).json()["data"]["name"] == "Alice"


async def test_the_others_contacts_are_in_no_list(
    client: httpx2.AsyncClient, other_client: httpx2.AsyncClient, drain: Drain
) -> None:
    await client.post("/crm/contacts", json={"email": "alice@example.com", "name": "Alice"})
    await drain()
    for path in ("/crm/contacts?search=alice&count=exact", "/crm/contacts?count=exact", "/crm/contacts"):
        answer = (await other_client.get(path)).json()
        assert (answer["data"], answer["meta"]["total"]) == ([], 0)
    assert (await other_client.get("/crm/contacts/search?q=alice")).json()["data"] == []


async def test_one_email_may_be_in_both(
    client: httpx2.AsyncClient, other_client: httpx2.AsyncClient, drain: Drain
) -> None:
    for each in (client, other_client):
        assert (await each.post("/crm/contacts", json={"email": "alice@example.com"})).status_code == 202
    await drain()
    one, other = [(await each.get("/crm/contacts/alice@example.com")).json()["data"] for each in (client, other_client)]
    assert (one["id"], other["id"]) == (1, 1)
    assert one["externalId"] != other["externalId"]


async def test_the_others_operations_are_not_found(
    client: httpx2.AsyncClient, other_client: httpx2.AsyncClient, drain: Drain
) -> None:
    operation = (await client.post("/crm/contacts", json={"name": "A"})).json()["operation"]
    for _ in range(2):
        assert (await other_client.get(f"/crm/operations/{operation['id']}")).status_code == 404
        waiting = await other_client.get("/crm/contacts", headers={"X-Read-After": operation["id"]})
        assert (waiting.status_code, waiting.json()["error"]["code"]) == (400, "INVALID_REQUEST")
        await drain()


async def test_the_others_cursor_is_none(
    client: httpx2.AsyncClient, other_client: httpx2.AsyncClient, drain: Drain
) -> None:
    for each in (client, other_client):
        for number in range(3):
            await each.post("/crm/contacts", json={"name": f"Person {number}"})
    await drain()
    cursor = (await client.get("/crm/contacts?limit=1")).json()["meta"]["nextCursor"]
    assert (await client.get(f"/crm/contacts?limit=1&cursor={cursor}")).status_code == 200
    foreign = await other_client.get(f"/crm/contacts?limit=1&cursor={cursor}")
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (400, "INVALID_CURSOR")


async def test_the_others_idempotency_keys_are_free(
    client: httpx2.AsyncClient, other_client: httpx2.AsyncClient, drain: Drain
) -> None:
    for _ in range(2):
        made = [
            (await each.post("/crm/contacts", json={"name": name}, headers={"Idempotency-Key": "same"})).json()["data"]
            for each, name in ((client, "Alice"), (other_client, "Bob"))
        ]
        assert [one["name"] for one in made] == ["Alice", "Bob"]
        assert made[0]["externalId"] != made[1]["externalId"]
        await drain()


async def test_the_others_positions_say_nothing_of_it(
    client: httpx2.AsyncClient, other_client: httpx2.AsyncClient, drain: Drain
) -> None:
    written = (await client.post("/crm/contacts", json={"name": "Alice"})).json()["operation"]
    await drain()
    answer = await other_client.get("/crm/contacts", headers={"X-Read-After": written["position"]})
    assert "Alice" not in answer.text
