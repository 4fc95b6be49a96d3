"""A contact at a glance, and its sync status, over HTTP."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

Drain = Callable[[], Awaitable[None]]

FIELDS = {
    "id",
    "name",
    "email",
    "status",
    "lifecycleStage",
    "companies",
    "tags",
    "activityCount",
    "lastActivityAt",
}
SHOWN = ("summary", "sync-status")


async def make(client: httpx2.AsyncClient, path: str = "/crm/contacts", **fields: Any) -> str:
    """Create a record; its external id."""
    answer = await client.post(path, json=fields)
    assert answer.status_code == 202, answer.text
    external_id: str = answer.json()["data"]["externalId"]
    return external_id


def to_refusal(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_summary_shows_what_matters(client: httpx2.AsyncClient, drain: Drain) -> None:
    contact = await make(client, name="Alice Johnson", email="alice@example.com", lifecycleStage="CUSTOMER")
    acme = await make(client, "/crm/companies", name="Acme Corp", domain="acme.com")
    other = await make(client, "/crm/companies", domain="other.com")
    for key in ("vip", "enterprise"):
        tag = await make(client, "/crm/tags", key=key, name=key.upper())
        await client.post(f"/crm/contacts/{contact}/tags", json={"tagId": tag})
    await client.post(f"/crm/contacts/{contact}/companies", json={"companyId": other})
    body = {"companyId": acme, "role": "CTO", "isPrimary": True}
    await client.post(f"/crm/contacts/{contact}/companies", json=body)
    activity = {"type": "CALL", "occurredAt": "2026-04-10T10:30:00Z"}
    await client.post(f"/crm/contacts/{contact}/activities", json=activity)
    await drain()
    answers = [await client.get(f"/crm/contacts/{form}/summary") for form in ("1", contact, "ALICE@example.com")]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].json() == {
        "data": {
            "id": 1,
            "name": "Alice Johnson",
            "email": "alice@example.com",
            "status": "ACTIVE",
            "lifecycleStage": "CUSTOMER",
            "companies": [
                {"name": "Acme Corp", "domain": "acme.com", "role": "CTO"},
                {"name": None, "domain": "other.com", "role": None},
            ],
            "tags": ["vip", "enterprise"],
            "activityCount": 1,
            "lastActivityAt": "2026-04-10T10:30:00.000Z",
        }
    }


async def test_a_summary_of_little_is_whole_too(client: httpx2.AsyncClient, drain: Drain) -> None:
    contact = await make(client, phone="7")
    await drain()
    data = (await client.get(f"/crm/contacts/{contact}/summary")).json()["data"]
    assert data.keys() == FIELDS
    assert (data["name"], data["email"], data["companies"], data["tags"]) == (None, None, [], [])
    assert (data["activityCount"], data["lastActivityAt"]) == (0, None)


async def test_a_summary_of_much_is_cut_with_the_primary_company_first(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    contact = await make(client, name="Busy")
    companies = [await make(client, "/crm/companies", name=f"company {number:02}") for number in range(12)]
    tags = await asyncio.gather(*(make(client, "/crm/tags", key=f"tag-{number:02}") for number in range(55)))
    for company in companies:
        body = {"companyId": company, "isPrimary": company == companies[11]}
        await client.post(f"/crm/contacts/{contact}/companies", json=body)
    for tag in tags:
        await client.post(f"/crm/contacts/{contact}/tags", json={"tagId": tag})
    for _ in range(2):
        answer = await client.get(f"/crm/contacts/{contact}/summary")
        data = answer.json()["data"]
        names = [company["name"] for company in data["companies"]]
        assert len(names) == 10
        assert names[0] == "company 11"
        assert len(data["tags"]) == 50
        await drain()
    assert names == ["company 11", *(f"company {number:02}" for number in range(9))]
    whole = (await client.get(f"/crm/contacts/{contact}")).json()["data"]
    assert (len(whole["companies"]), len(whole["tags"])) == (12, 55)
    assert data["tags"] == [tag["key"] for tag in whole["tags"]][:50]


async def test_a_pending_contact_has_a_pending_summary(client: httpx2.AsyncClient, drain: Drain) -> None:
    contact = await make(client, name="New", email="new@example.com")
    for form in (contact, "new@example.com"):
        answer = await client.get(f"/crm/contacts/{form}/summary")
        assert (answer.status_code, answer.json()["code"]) == (202, "PENDING")
        assert answer.json()["data"].keys() == FIELDS | {"pending"}
        assert (answer.json()["data"]["id"], answer.json()["data"]["pending"]) == (None, True)
        synced = await client.get(f"/crm/contacts/{form}/sync-status")
        expected: dict[str, Any] = {"contactId": None, "externalId": contact, "integrations": []}
        assert (synced.status_code, synced.json()) == (202, {"data": expected, "code": "PENDING"})
    await drain()
    await client.patch(f"/crm/contacts/{contact}", json={"name": "Renamed"})
    await client.post(f"/crm/contacts/{contact}/activities", json={"type": "NOTE"})
    folded = await client.get(f"/crm/contacts/{contact}/summary")
    assert (folded.status_code, "code" in folded.json()) == (200, False)
    data = folded.json()["data"]
    assert (data["id"], data["name"], data["activityCount"], data["pending"]) == (1, "Renamed", 1, True)
    await drain()
    committed = (await client.get(f"/crm/contacts/{contact}/summary")).json()["data"]
    assert committed == {name: value for name, value in data.items() if name != "pending"}


async def test_a_deleted_company_or_tag_is_in_no_summary(client: httpx2.AsyncClient, drain: Drain) -> None:
    contact = await make(client, name="Alice")
    company, tag = await make(client, "/crm/companies", name="Acme"), await make(client, "/crm/tags", key="vip")
    await client.post(f"/crm/contacts/{contact}/companies", json={"companyId": company})
    await client.post(f"/crm/contacts/{contact}/tags", json={"tagId": tag})
    await drain()
    await client.delete(f"/crm/companies/{company}")
    await client.delete(f"/crm/tags/{tag}")
    await drain()
    data = (await client.get(f"/crm/contacts/{contact}/summary")).json()["data"]
    assert (data["companies"], data["tags"]) == ([], [])
    await client.post(f"/crm/companies/{company}/restore")
    await drain()
    data = (await client.get(f"/crm/contacts/{contact}/summary")).json()["data"]
    assert [shown["name"] for shown in data["companies"]] == ["Acme"]


async def test_a_deleted_contact_has_a_summary_by_number_only(client: httpx2.AsyncClient, drain: Drain) -> None:
    contact = await make(client, name="Alice", email="alice@example.com")
    await drain()
    await client.delete(f"/crm/contacts/{contact}")
    for _ in range(2):
        for form in ("1", contact):
            assert (await client.get(f"/crm/contacts/{form}/summary")).json()["data"]["status"] == "DELETED"
            assert (await client.get(f"/crm/contacts/{form}/sync-status")).status_code == 200
        for path in SHOWN:
            assert to_refusal(await client.get(f"/crm/contacts/alice@example.com/{path}")) == (404, "NOT_FOUND")
        await drain()


async def test_a_merged_contact_answers_as_its_winner(client: httpx2.AsyncClient, drain: Drain) -> None:
    winner, loser = await make(client, name="Ann"), await make(client, email="ann@example.com")
    await drain()
    await client.post(f"/crm/contacts/{winner}/merge", json={"loserId": loser})
    for _ in range(2):
        for form in ("2", loser, "ann@example.com"):
            data = (await client.get(f"/crm/contacts/{form}/summary")).json()["data"]
            assert (data["id"], data["name"], data["email"]) == (1, "Ann", "ann@example.com")
            synced = (await client.get(f"/crm/contacts/{form}/sync-status")).json()["data"]
            assert synced == {"contactId": 1, "externalId": winner, "integrations": []}
        await drain()


async def test_without_integrations_nothing_is_synced(client: httpx2.AsyncClient, drain: Drain) -> None:
    contact = await make(client, name="Alice", email="alice@example.com")
    await drain()
    for form in ("1", contact, "alice@example.com"):
        answer = await client.get(f"/crm/contacts/{form}/sync-status")
        assert answer.status_code == 200
        assert answer.json() == {"data": {"contactId": 1, "externalId": contact, "integrations": []}}


@pytest.mark.usefixtures("living_writer")
async def test_a_summary_may_wait_for_a_write(client: httpx2.AsyncClient) -> None:
    contact = await make(client, name="Alice")
    logged = await client.post(f"/crm/contacts/{contact}/activities", json={"type": "NOTE"})
    after = {"X-Read-After": logged.json()["operation"]["position"]}
    answer = await client.get(f"/crm/contacts/{contact}/summary", headers=after)
    data = answer.json()["data"]
    assert (answer.status_code, data["activityCount"], "pending" in data) == (200, 1, False)


@pytest.mark.parametrize("path", SHOWN)
@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ("7", 404, "NOT_FOUND"),
        ("9" * 5000, 404, "NOT_FOUND"),
        ("ctc_01jrfz3x8mfvv8t3n2m6k0q4sb", 404, "NOT_FOUND"),
        ("nobody@example.com", 404, "NOT_FOUND"),
        ("abc", 400, "INVALID_ID"),
        ("ctc_1", 400, "INVALID_ID"),
        ("cmp_01jrfz3x8mfvv8t3n2m6k0q4sb", 400, "INVALID_ID"),
        ("-1", 400, "INVALID_ID"),
        ("%00", 400, "INVALID_ID"),
        ("1%2f2", 400, "INVALID_ID"),
        ("'%20OR%201=1--", 400, "INVALID_ID"),
        ("%ff", 400, "INVALID_REQUEST"),
    ],
)
async def test_a_contact_that_is_not_there_has_none(
    client: httpx2.AsyncClient, path: str, form: str, status: int, code: str
) -> None:
    assert to_refusal(await client.get(f"/crm/contacts/{form}/{path}")) == (status, code)


@pytest.mark.parametrize("path", SHOWN)
async def test_only_a_get_without_parameters_is_taken(client: httpx2.AsyncClient, drain: Drain, path: str) -> None:
    await make(client, name="Alice")
    await drain()
    answer = await client.get(f"/crm/contacts/1/{path}?limit=1")
    assert to_refusal(answer) == (400, "INVALID_REQUEST")
    for method in ("POST", "PATCH", "DELETE", "PUT"):
        refused = await client.request(method, f"/crm/contacts/1/{path}", json={})
        assert to_refusal(refused) == (405, "METHOD_NOT_ALLOWED")
        assert refused.headers["allow"] == "GET, HEAD"


async def test_what_a_contact_holds_cannot_break_its_summary(client: httpx2.AsyncClient, drain: Drain) -> None:
    name = '"}],"data":null,"x":"\\ \u202e 😀 \u2028 </script>'
    contact = await make(client, name=name, properties={"pending": True, "n": 12345678901234567890.5})
    company = await make(client, "/crm/companies", name=name)
    await client.post(f"/crm/contacts/{contact}/companies", json={"companyId": company, "role": name})
    for _ in range(2):
        data = (await client.get(f"/crm/contacts/{contact}/summary")).json()["data"]
        assert (data["name"], data["companies"]) == (name, [{"name": name, "domain": None, "role": name}])
        await drain()
    committed = (await client.get(f"/crm/contacts/{contact}/summary")).json()["data"]
    assert committed.keys() == FIELDS


async def test_the_others_contacts_have_none(
    client: httpx2.AsyncClient, other_client: httpx2.AsyncClient, drain: Drain
) -> None:
    contact = await make(client, name="Alice", email="alice@example.com")
    for _ in range(2):
        for form in ("1", contact, "alice@example.com"):
            for path in SHOWN:
                assert to_refusal(await other_client.get(f"/crm/contacts/{form}/{path}")) == (404, "NOT_FOUND")
        await drain()
    await make(other_client, name="Mallory", email="alice@example.com")
    await drain()
    data = (await other_client.get("/crm/contacts/alice@example.com/summary")).json()["data"]
    assert (data["id"], data["name"]) == (1, "Mallory")
