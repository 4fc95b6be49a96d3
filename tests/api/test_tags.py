"""Tags: a key that stays, on contacts and companies, counted, and gone everywhere when deleted."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

Drain = Callable[[], Awaitable[None]]
Json = dict[str, Any]


@pytest.fixture
async def tagged(client: httpx2.AsyncClient, drain: Drain) -> httpx2.AsyncClient:
    """A client with tags 1 (vip) and 2 (old), and contact 1 and company 1, both with tag 1."""
    await client.post("/crm/tags", json={"key": "vip", "name": "VIP", "color": "#FFD700"})
    await client.post("/crm/tags", json={"key": "old"})
    await client.post("/crm/contacts", json={"email": "ada@example.com"})
    await client.post("/crm/companies", json={"domain": "acme.com"})
    await drain()
    for path in ("contacts/ada@example.com", "companies/acme.com"):
        answer = await client.post(f"/crm/{path}/tags", json={"tagId": 1})
        assert answer.status_code == 202, answer.text
    await drain()
    return client


async def read(client: httpx2.AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(f"/crm/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def find_code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_tag_is_made_read_changed_and_deleted(client: httpx2.AsyncClient, drain: Drain) -> None:
    body = {"key": "vip", "name": "VIP Customer", "description": "High-value customers", "color": "#FFD700"}
    made = await client.post("/crm/tags", json=body)
    tag = made.json()["data"]
    assert (made.status_code, tag["id"], tag["pending"], tag["contactCount"]) == (202, None, True, 0)
    assert tag.items() >= body.items()
    pending = await client.get(made.headers["location"])
    assert (pending.status_code, pending.json()["code"]) == (202, "PENDING")
    await drain()
    assert await read(client, "tags/1") == {name: value for name, value in tag.items() if name != "pending"} | {"id": 1}
    changed = await client.patch("/crm/tags/1", json={"name": "Enterprise VIP", "color": "#F60", "description": None})
    assert changed.json()["data"]["pending"]
    stale = await client.patch("/crm/tags/1", json={"name": "x"}, headers={"If-Match": '"1"'})
    assert find_code(stale) == (412, "VERSION_MISMATCH")
    await drain()
    after = await read(client, "tags/1")
    assert (after["name"], after["color"], after["description"], after["version"]) == (
        "Enterprise VIP",
        "#F60",
        None,
        2,
    )
    assert (await client.delete("/crm/tags/1")).status_code == 202
    assert find_code(await client.get("/crm/tags/1")) == (404, "NOT_FOUND")
    await drain()
    assert find_code(await client.get("/crm/tags/1")) == (404, "NOT_FOUND")
    assert find_code(await client.delete("/crm/tags/1")) == (404, "NOT_FOUND")


async def test_a_name_defaults_to_the_key(client: httpx2.AsyncClient) -> None:
    tag = (await client.post("/crm/tags", json={"key": "a_b-1"})).json()["data"]
    assert (tag["name"], tag["description"], tag["color"]) == ("a_b-1", None, None)


async def test_a_key_is_taken_from_the_moment_it_is_accepted(client: httpx2.AsyncClient, drain: Drain) -> None:
    made = (await client.post("/crm/tags", json={"key": "vip"})).json()["data"]
    for applied in (False, True):
        taken = await client.post("/crm/tags", json={"key": "vip", "name": "Other"})
        assert find_code(taken) == (409, "TAG_KEY_EXISTS")
        details = taken.json()["error"]["details"]
        assert details == {
            "field": "key",
            "value": "vip",
            "existingId": 1 if applied else None,
            "existingExternalId": made["externalId"],
        }
        await drain()
    await client.delete("/crm/tags/1")
    again = (await client.post("/crm/tags", json={"key": "vip"})).json()["data"]
    await drain()
    assert [tag["externalId"] for tag in await read(client, "tags")] == [again["externalId"]]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "MISSING_FIELD", "key"),
        ({"key": "VIP"}, "INVALID_FIELD", "key"),
        ({"key": "a b"}, "INVALID_FIELD", "key"),
        ({"key": ""}, "INVALID_FIELD", "key"),
        ({"key": "x" * 65}, "INVALID_FIELD", "key"),
        ({"key": "é"}, "INVALID_FIELD", "key"),
        ({"key": "a\n"}, "INVALID_FIELD", "key"),
        ({"key": "a", "color": "red"}, "INVALID_FIELD", "color"),
        ({"key": "a", "color": "#FFFF"}, "INVALID_FIELD", "color"),
        ({"key": "a", "name": " "}, "INVALID_FIELD", "name"),
        ({"key": "a", "colour": "#FFF"}, "INVALID_FIELD", "colour"),
    ],
)
async def test_a_tag_that_cannot_be_made_says_why(
    client: httpx2.AsyncClient, body: Json, code: str, field: str
) -> None:
    answer = await client.post("/crm/tags", json=body)
    assert find_code(answer) == (422, code)
    assert [fault["field"] for fault in answer.json()["error"]["details"]["fields"]] == [field]


async def test_a_tag_keeps_its_key(tagged: httpx2.AsyncClient) -> None:
    assert find_code(await tagged.patch("/crm/tags/1", json={"key": "other"})) == (422, "INVALID_FIELD")
    assert find_code(await tagged.patch("/crm/tags/1", json={"name": None})) == (422, "INVALID_FIELD")


async def test_records_show_their_tags(tagged: httpx2.AsyncClient) -> None:
    tag = await read(tagged, "tags/1")
    link = {name: tag[name] for name in ("id", "externalId", "key", "name", "color")}
    contact = await read(tagged, "contacts/1")
    assert (contact["tags"], contact["version"]) == ([link], 1)
    assert (await read(tagged, "companies/1"))["tags"] == [link]
    assert [row["tags"] for row in await read(tagged, "contacts")] == [["vip"]]
    assert [row["tags"] for row in await read(tagged, "companies")] == [["vip"]]
    assert [row["tags"] for row in await read(tagged, "contacts/search", q="ada")] == [["vip"]]
    assert (await read(tagged, "contacts/1/summary"))["tags"] == ["vip"]
    assert tag["contactCount"] == 1, "companies do not count"


async def test_a_tag_that_is_on_already_changes_nothing(tagged: httpx2.AsyncClient, drain: Drain) -> None:
    answer = await tagged.post("/crm/contacts/1/tags", json={"tagId": "1"})
    assert (answer.status_code, len(answer.json()["data"]["tags"])) == (202, 1)
    await drain()
    assert (await read(tagged, "tags/1"))["contactCount"] == 1


async def test_a_tag_is_taken_off_once(tagged: httpx2.AsyncClient, drain: Drain) -> None:
    for path in ("contacts/1", "companies/1"):
        removed = await tagged.delete(f"/crm/{path}/tags/1")
        assert (removed.status_code, removed.json()["data"]["tags"]) == (202, [])
        assert find_code(await tagged.delete(f"/crm/{path}/tags/1")) == (404, "NOT_FOUND")
        assert find_code(await tagged.delete(f"/crm/{path}/tags/2")) == (404, "NOT_FOUND")
    await drain()
    assert (await read(tagged, "tags/1"))["contactCount"] == 0


async def test_a_deleted_tag_is_gone_everywhere(tagged: httpx2.AsyncClient, drain: Drain) -> None:
    await tagged.delete("/crm/tags/1")
    refused = await tagged.post("/crm/contacts/1/tags", json={"tagId": 1})
    assert find_code(refused) == (404, "NOT_FOUND")
    await drain()
    for path in ("contacts/1", "companies/1"):
        assert (await read(tagged, path))["tags"] == []


async def test_deleted_contacts_are_not_counted(tagged: httpx2.AsyncClient, drain: Drain) -> None:
    for act, count in (("DELETE", 0), ("POST", 1)):
        path = "/crm/contacts/1" + ("/restore" if act == "POST" else "")
        await tagged.request(act, path)
        await drain()
        assert (await read(tagged, "tags/1"))["contactCount"] == count
        refused = await tagged.post("/crm/contacts/1/tags", json={"tagId": 2})
        assert refused.status_code == (400 if act == "DELETE" else 202)
    await drain()


@pytest.mark.parametrize(
    ("tag", "status", "code"),
    [
        (77, 404, "NOT_FOUND"),
        ("tag_00000000000000000000000000", 404, "NOT_FOUND"),
        ("vip", 400, "INVALID_ID"),
        ("ctc_01jrfz3x8mfvv8t3n2m6k0q4sb", 400, "INVALID_ID"),
        (-1, 400, "INVALID_ID"),
        (None, 422, "INVALID_FIELD"),
        ([1], 422, "INVALID_FIELD"),
    ],
)
async def test_a_tag_that_cannot_be_is_refused(tagged: httpx2.AsyncClient, tag: Any, status: int, code: str) -> None:
    assert find_code(await tagged.post("/crm/contacts/1/tags", json={"tagId": tag})) == (status, code)


async def test_tags_are_listed_in_order(client: httpx2.AsyncClient, drain: Drain) -> None:
    for key, name in (("b", "x"), ("a", "Z"), ("c", "y")):
        await client.post("/crm/tags", json={"key": key, "name": name})
    await drain()
    assert [tag["key"] for tag in await read(client, "tags")] == ["c", "a", "b"]
    assert [tag["key"] for tag in await read(client, "tags", sortBy="key", sortOrder="asc")] == ["a", "b", "c"]
    assert [tag["name"] for tag in await read(client, "tags", sortBy="name", sortOrder="asc")] == ["x", "y", "Z"]
    page = (await client.get("/crm/tags", params={"limit": 2})).json()
    assert (page["meta"]["total"], page["meta"]["totalPages"]) == (3, 2)
    rest = await read(client, "tags", limit=2, cursor=page["meta"]["nextCursor"])
    assert [tag["key"] for tag in rest] == ["b"]


@pytest.mark.usefixtures("living_writer")
async def test_waiting_for_what_is_deleted_answers_with_it_as_it_was(client: httpx2.AsyncClient) -> None:
    wait = {"Prefer": "wait=10"}
    made = await client.post("/crm/tags", json={"key": "vip"}, headers=wait)
    assert (made.status_code, made.json()["data"]["id"]) == (201, 1)
    gone = await client.delete("/crm/tags/1", headers=wait)
    assert (gone.status_code, gone.json()["data"]) == (200, made.json()["data"])


async def test_another_workspaces_tags_are_not_found(
    tagged: httpx2.AsyncClient, other_client: httpx2.AsyncClient, drain: Drain
) -> None:
    tag = (await read(tagged, "tags/1"))["externalId"]
    mine = (await other_client.post("/crm/contacts", json={"name": "Eve"})).json()["data"]["externalId"]
    for method in ("GET", "PATCH", "DELETE"):
        body = {"json": {"name": "x"}} if method == "PATCH" else {}
        assert find_code(await other_client.request(method, f"/crm/tags/{tag}", **body)) == (404, "NOT_FOUND")
    stolen = await other_client.post(f"/crm/contacts/{mine}/tags", json={"tagId": tag})
    assert find_code(stolen) == (404, "NOT_FOUND")
    assert await read(other_client, "tags") == []
