"""A contact's companies: in a role, one of them primary at most, quiet while a side is deleted."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

Drain = Callable[[], Awaitable[None]]
Json = dict[str, Any]


@pytest.fixture
async def linked(client: httpx2.AsyncClient, drain: Drain) -> httpx2.AsyncClient:
    """A client whose contact 1 belongs to company 1; there are contact 2 and company 2."""
    for n in (1, 2):
        await client.post("/crm/contacts", json={"email": f"{n}@example.com"})
        await client.post("/crm/companies", json={"name": f"Company {n}", "domain": f"company-{n}.example"})
    await drain()
    answer = await client.post("/crm/contacts/1/companies", json={"companyId": 1, "role": "CTO", "isPrimary": True})
    assert answer.status_code == 202, answer.text
    await drain()
    return client


async def read(client: httpx2.AsyncClient, path: str) -> Any:
    answer = await client.get(f"/crm/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def find_code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_an_association_is_accepted_and_shown_on_both_sides(client: httpx2.AsyncClient, drain: Drain) -> None:
    contact = (await client.post("/crm/contacts", json={"name": "Ada"})).json()["data"]["externalId"]
    company = (await client.post("/crm/companies", json={"name": "Acme"})).json()["data"]["externalId"]
    body = {
        "companyId": company,
        "role": " Decision Maker ",
        "isPrimary": True,
        "properties": {"since": 2020, "x": None},
    }
    answer = await client.post(f"/crm/contacts/{contact}/companies", json=body)
    assert (answer.status_code, answer.headers["location"]) == (202, f"/crm/contacts/{contact}")
    (link,) = answer.json()["data"]["companies"]
    shown = {"id": None, "externalId": company, "name": "Acme", "domain": None, "role": "Decision Maker"}
    assert link == shown | {"isPrimary": True, "properties": {"since": 2020}}
    await drain()
    contact_after = await read(client, f"contacts/{contact}")
    assert contact_after["companies"] == [link | {"id": 1}]
    assert contact_after["version"] == 1, "links leave the contact's version alone"
    assert contact_after["updatedAt"] == contact_after["createdAt"]
    listed = (await client.get(f"/crm/contacts/{contact}/companies")).json()
    assert listed["data"] == [link | {"id": 1}]
    assert (listed["meta"]["total"], listed["meta"]["nextCursor"]) == (1, None)
    (member,) = await read(client, "companies/1/contacts")
    assert (member["externalId"], member["role"], member["isPrimary"]) == (contact, "Decision Maker", True)
    assert (await read(client, "companies/1"))["contactCount"] == 1


async def test_a_pair_is_associated_once(linked: httpx2.AsyncClient, drain: Drain) -> None:
    again = await linked.post("/crm/contacts/1/companies", json={"companyId": 1})
    assert find_code(again) == (409, "ALREADY_ASSOCIATED")
    await linked.post("/crm/contacts/1/companies", json={"companyId": "2"})
    pending = await linked.post("/crm/contacts/1@example.com/companies", json={"companyId": 2})
    assert find_code(pending) == (409, "ALREADY_ASSOCIATED")
    await drain()
    assert [link["id"] for link in await read(linked, "contacts/1/companies")] == [1, 2]


async def test_a_new_primary_company_takes_it_over(linked: httpx2.AsyncClient, drain: Drain) -> None:
    await linked.post("/crm/contacts/1/companies", json={"companyId": 2, "isPrimary": True})
    assert [(one["id"], one["isPrimary"]) for one in (await read(linked, "contacts/1"))["companies"]] == [
        ((2, True)),
        ((1, False)),
    ]
    await drain()
    await linked.patch("/crm/contacts/1/companies/1", json={"isPrimary": True})
    await drain()
    assert [(one["id"], one["isPrimary"]) for one in await read(linked, "contacts/1/companies")] == [
        ((1, True)),
        ((2, False)),
    ]


async def test_an_association_is_changed(linked: httpx2.AsyncClient, drain: Drain) -> None:
    path = "/crm/contacts/1/companies/company-1.example"
    await linked.patch(path, json={"role": None, "properties": {"a": 1, "b": 2}})
    await linked.patch(path, json={"properties": {"b": None, "c": 3}})
    await drain()
    (link,) = await read(linked, "contacts/1/companies")
    assert (link["role"], link["isPrimary"], link["properties"]) == (None, True, {"a": 1, "c": 3})
    assert find_code(await linked.patch("/crm/contacts/2/companies/1", json={"role": "x"})) == (404, "NOT_FOUND")
    for body in ({"role": 1}, {"isPrimary": "yes"}, {"isPrimary": None}, {"properties": None}, {"rloe": "x"}):
        assert find_code(await linked.patch(path, json=body)) == (422, "INVALID_FIELD"), body


async def test_an_association_is_removed_once(linked: httpx2.AsyncClient, drain: Drain) -> None:
    removed = await linked.delete("/crm/contacts/1/companies/1")
    assert (removed.status_code, removed.json()["data"]["companies"]) == (202, [])
    assert find_code(await linked.delete("/crm/contacts/1/companies/1")) == (404, "NOT_FOUND")
    await drain()
    assert await read(linked, "companies/1/contacts") == []
    assert (await read(linked, "companies/1"))["contactCount"] == 0


async def test_an_association_is_quiet_while_a_side_is_deleted(linked: httpx2.AsyncClient, drain: Drain) -> None:
    for side, other in (("companies/1", "contacts/1"), ("contacts/1", "companies/1")):
        await linked.delete(f"/crm/{side}")
        await drain()
        if side == "companies/1":
            assert (await read(linked, other))["companies"] == []
            answer = await linked.patch("/crm/contacts/1/companies/1", json={"role": "x"})
            assert find_code(answer) == (400, "INVALID_REQUEST")
        else:
            assert await read(linked, "companies/1/contacts") == []
            assert (await read(linked, other))["contactCount"] == 0
        await linked.post(f"/crm/{side}/restore")
        await drain()
        assert [one["role"] for one in await read(linked, "contacts/1/companies")] == ["CTO"]
        assert [one["id"] for one in await read(linked, "companies/1/contacts")] == [1]
        assert (await read(linked, "companies/1"))["contactCount"] == 1


@pytest.mark.parametrize(
    ("company", "status", "code"),
    [
        (77, 404, "NOT_FOUND"),
        ("cmp_00000000000000000000000000", 404, "NOT_FOUND"),
        ("ctc_01jrfz3x8mfvv8t3n2m6k0q4sb", 400, "INVALID_ID"),
        ("company-2.example", 400, "INVALID_ID"),
        (-1, 400, "INVALID_ID"),
        (0, 400, "INVALID_ID"),
        (None, 422, "INVALID_FIELD"),
        (1.5, 422, "INVALID_FIELD"),
        (True, 422, "INVALID_FIELD"),
    ],
)
async def test_a_company_that_cannot_be_is_refused(
    linked: httpx2.AsyncClient, company: Any, status: int, code: str
) -> None:
    answer = await linked.post("/crm/contacts/1/companies", json={"companyId": company})
    assert find_code(answer) == (status, code)


async def test_deleted_sides_take_no_association(linked: httpx2.AsyncClient, drain: Drain) -> None:
    await linked.delete("/crm/companies/2")
    await linked.delete("/crm/contacts/2")
    for path, company in (("1", 2), ("2", 1)):
        answer = await linked.post(f"/crm/contacts/{path}/companies", json={"companyId": company})
        assert find_code(answer) == (400, "INVALID_REQUEST")
    missing = await linked.post("/crm/contacts/1/companies", json={})
    assert find_code(missing) == (422, "MISSING_FIELD")


async def test_a_companys_contacts_are_paged(client: httpx2.AsyncClient, drain: Drain) -> None:
    await client.post("/crm/companies", json={"name": "Acme"})
    for n in range(7):
        await client.post("/crm/contacts", json={"name": f"Person {n}"})
    await drain()
    for n in range(7, 0, -1):
        await client.post(f"/crm/contacts/{n}/companies", json={"companyId": 1, "role": f"role {n}"})
    await drain()
    seen, cursor = [], None
    while True:
        query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/crm/companies/1/contacts", params=query)).json()
        seen += [(one["id"], one["role"]) for one in page["data"]]
        cursor = page["meta"]["nextCursor"]
        if cursor is None:
            break
    assert seen == [(n, f"role {n}") for n in range(1, 8)]


@pytest.mark.usefixtures("living_writer")
async def test_waiting_and_retrying(client: httpx2.AsyncClient) -> None:
    wait = {"Prefer": "wait=10"}
    await client.post("/crm/contacts", json={"name": "Ada"}, headers=wait)
    await client.post("/crm/companies", json={"name": "Acme"}, headers=wait)
    for n in range(2):
        headers = wait | {"Idempotency-Key": "once"}
        answer = await client.post("/crm/contacts/1/companies", json={"companyId": 1}, headers=headers)
        assert (answer.status_code, [one["id"] for one in answer.json()["data"]["companies"]]) == (201, [1])
        assert ("idempotent-replayed" in answer.headers) == bool(n)
    removed = await client.delete("/crm/contacts/1/companies/1", headers=wait)
    assert (removed.status_code, removed.json()["data"]["companies"]) == (200, [])
    assert "pending" not in removed.json()["data"]


async def test_another_workspaces_sides_are_not_found(
    linked: httpx2.AsyncClient, other_client: httpx2.AsyncClient, drain: Drain
) -> None:
    company = (await read(linked, "companies/1"))["externalId"]
    mine = (await other_client.post("/crm/contacts", json={"name": "Eve"})).json()["data"]["externalId"]
    stolen = await other_client.post(f"/crm/contacts/{mine}/companies", json={"companyId": company})
    assert find_code(stolen) == (404, "NOT_FOUND")
    assert find_code(await other_client.get(f"/crm/companies/{company}/contacts")) == (404, "NOT_FOUND")
    assert find_code(await other_client.get("/crm/contacts/1@example.com/companies")) == (404, "NOT_FOUND")
