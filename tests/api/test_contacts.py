"""Contacts over HTTP: made, read, changed, deleted and brought back."""

from collections.abc import Awaitable, Callable
from datetime import datetime

import httpx2
import msgspec
import pytest

from kith.engine.accept.contacts import create_contact
from kith.engine.accept.submit import WriteRequest
from kith.errors import Validation
from kith.model.contacts import ContactInput
from kith.model.workspaces import Workspace
from tests.kit import Kit

Drain = Callable[[], Awaitable[None]]

ALICE = {
    "email": "Alice@Example.com ",
    "givenName": "Alice",
    "familyName": "Johnson",
    "phone": "+1 415 555 0123",
    "properties": {"mrr": 4999, "plan": "Enterprise"},
}
FIELDS = {
    "id",
    "externalId",
    "email",
    "name",
    "givenName",
    "familyName",
    "phone",
    "avatar",
    "status",
    "lifecycleStage",
    "isIdentified",
    "modules",
    "properties",
    "activityCount",
    "lastActivityAt",
    "createdAt",
    "updatedAt",
    "version",
    "mergedInto",
}


async def test_a_create_is_accepted_with_a_provisional_record(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/crm/contacts", json=ALICE)
    assert answer.status_code == 202
    data, operation = answer.json()["data"], answer.json()["operation"]
    assert data.keys() == FIELDS | {"companies", "tags", "pending"}
    assert (data["id"], data["pending"], data["version"]) == (None, True, 1)
    assert (data["email"], data["name"]) == ("alice@example.com", "Alice Johnson")
    assert (data["status"], data["lifecycleStage"], data["modules"]) == ("ACTIVE", "LEAD", ["CRM"])
    assert (data["isIdentified"], data["properties"]) == (True, {"mrr": 4999, "plan": "Enterprise"})
    assert data["externalId"].startswith("ctc_")
    assert operation.keys() == {"id", "status", "position"}
    assert operation["status"] == "PENDING"
    assert answer.headers["x-correlation-id"] == operation["id"]
    assert answer.headers["location"] == f"/crm/contacts/{data['externalId']}"
    assert answer.headers["operation-location"] == f"/crm/operations/{operation['id']}"


async def test_times_are_utc_with_milliseconds(client: httpx2.AsyncClient) -> None:
    data = (await client.post("/crm/contacts", json={"name": "Zoë"})).json()["data"]
    assert len(data["createdAt"]) == len("2026-04-10T10:30:00.000Z")
    assert data["createdAt"].endswith("Z")
    assert datetime.fromisoformat(data["createdAt"])
    assert data["updatedAt"] == data["createdAt"]


async def test_a_contact_is_pending_until_the_writer_has_it(client: httpx2.AsyncClient, drain: Drain) -> None:
    created = await client.post("/crm/contacts", json=ALICE)
    location = created.headers["location"]
    pending = await client.get(location)
    assert pending.status_code == 202
    assert pending.json() == {"data": created.json()["data"], "code": "PENDING"}
    by_email = await client.get("/crm/contacts/ALICE@example.com")
    assert (by_email.status_code, by_email.json()["code"]) == (202, "PENDING")
    assert (await client.get("/crm/contacts")).json()["data"] == []

    await drain()
    committed = await client.get(location)
    assert committed.status_code == 200
    assert committed.headers["etag"] == '"1"'
    expected = {**created.json()["data"], "id": 1}
    del expected["pending"]
    assert committed.json() == {"data": expected}


async def test_a_contact_is_found_by_each_form_of_its_id(client: httpx2.AsyncClient, drain: Drain) -> None:
    external_id = (await client.post("/crm/contacts", json=ALICE)).json()["data"]["externalId"]
    await drain()
    answers = [await client.get(f"/crm/contacts/{form}") for form in ("1", external_id, "alice%40EXAMPLE.com")]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert len({answer.text for answer in answers}) == 1
    assert {answer.headers["content-location"] for answer in answers} == {f"/crm/contacts/{external_id}"}


@pytest.mark.parametrize(
    "form",
    ["abc", "0x1", "-1", "1.0", "ctc_", "ctc_123", "cmp_01jrfz3x8mfvv8t3n2m6k0q4sb", "a@", "@b", "%00", "a%00@b.co"],
)
async def test_a_form_that_is_no_id_is_refused(client: httpx2.AsyncClient, form: str) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        body = {"json": {}} if method == "PATCH" else {}
        answer = await client.request(method, f"/crm/contacts/{form}", **body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_ID"), answer.text


@pytest.mark.parametrize("path", ["contacts/a%00@example.com", "companies/a%00@example.com"])
async def test_an_id_with_a_nul_character_is_refused_by_what_an_id_may_be(
    client: httpx2.AsyncClient, path: str
) -> None:
    answer = await client.get(f"/crm/{path}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_ID"), answer.text
    message = answer.json()["error"]["message"]
    assert "'a\\x00" in message and "external id" in message


@pytest.mark.parametrize("form", ["7", "999999999999999999", "nobody@example.com", "ctc_01jrfz3x8mfvv8t3n2m6k0q4sb"])
async def test_an_id_that_nothing_has_is_not_found(client: httpx2.AsyncClient, form: str) -> None:
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/restore")):
        body = {"json": {"name": "x"}} if method == "PATCH" else {}
        answer = await client.request(method, f"/crm/contacts/{form}{path}", **body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND"), answer.text


@pytest.mark.parametrize("body", [{}, {"name": None}, {"email": "", "name": "  "}, {"properties": {"a": 1}}])
async def test_a_contact_needs_something_to_be_known_by(client: httpx2.AsyncClient, body: dict[str, object]) -> None:
    answer = await client.post("/crm/contacts", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "MISSING_FIELD")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "nobody"}, "email"),
        ({"email": "a@b..co"}, "email"),
        ({"email": "x" * 250 + "@example.com"}, "email"),
        ({"name": "x" * 1001}, "name"),
        ({"name": "a", "lifecycleStage": "lead"}, "lifecycleStage"),
        ({"name": "a", "familyname": "b"}, "familyname"),
        ({"name": "a", "id": 5}, "id"),
        ({"name": "a", "status": "ACTIVE"}, "status"),
        ({"name": "a", "properties": []}, "properties"),
        ({"name": 5}, "name"),
    ],
)
async def test_a_wrong_field_is_named(client: httpx2.AsyncClient, body: dict[str, object], field: str) -> None:
    answer = await client.post("/crm/contacts", json=body)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "INVALID_FIELD"
    assert [fault["field"] for fault in error["details"]["fields"]] == [field]


async def test_an_email_is_taken_from_the_moment_it_is_accepted(client: httpx2.AsyncClient, drain: Drain) -> None:
    first = (await client.post("/crm/contacts", json=ALICE)).json()["data"]
    pending = await client.post("/crm/contacts", json={"email": "ALICE@example.com"})
    await drain()
    committed = await client.post("/crm/contacts", json={"email": "alice@example.com"})
    for answer, number in ((pending, None), (committed, 1)):
        assert answer.status_code == 409
        error = answer.json()["error"]
        assert error["code"] == "CONTACT_EMAIL_EXISTS"
        assert error["details"] == {
            "field": "email",
            "value": "alice@example.com",
            "existingId": number,
            "existingExternalId": first["externalId"],
        }


async def test_a_patch_merges_and_a_null_clears(client: httpx2.AsyncClient, drain: Drain) -> None:
    location = (await client.post("/crm/contacts", json=ALICE)).headers["location"]
    await drain()
    changes = {"phone": None, "lifecycleStage": "CUSTOMER", "properties": {"mrr": None, "seats": 3}}
    answer = await client.patch(location, json=changes)
    assert answer.status_code == 202
    await drain()
    data = (await client.get(location)).json()["data"]
    assert (data["phone"], data["lifecycleStage"], data["email"]) == (None, "CUSTOMER", "alice@example.com")
    assert data["properties"] == {"plan": "Enterprise", "seats": 3}
    assert data["version"] == 2


async def test_a_read_folds_in_the_writes_that_are_pending(client: httpx2.AsyncClient, drain: Drain) -> None:
    location = (await client.post("/crm/contacts", json=ALICE)).headers["location"]
    await drain()
    await client.patch(location, json={"givenName": "Alicia"})
    answer = await client.get(location)
    data = answer.json()["data"]
    assert answer.status_code == 200
    assert "code" not in answer.json()
    assert (data["pending"], data["id"], data["givenName"], data["name"]) == (True, 1, "Alicia", "Alicia Johnson")
    assert data["version"] == 2
    assert answer.headers["etag"] == '"2"'
    await drain()
    assert "pending" not in (await client.get(location)).json()["data"]


async def test_a_name_that_was_given_is_not_remade(client: httpx2.AsyncClient, drain: Drain) -> None:
    created = await client.post("/crm/contacts", json={"name": "The Boss", "givenName": "Alice"})
    await client.patch(created.headers["location"], json={"givenName": "Alicia"})
    await drain()
    assert (await client.get(created.headers["location"])).json()["data"]["name"] == "The Boss"


async def test_a_contact_is_archived_and_unarchived_by_its_status(client: httpx2.AsyncClient, drain: Drain) -> None:
    location = (await client.post("/crm/contacts", json=ALICE)).headers["location"]
    for status in ("ARCHIVED", "ACTIVE"):
        assert (await client.patch(location, json={"status": status})).json()["data"]["status"] == status
    await drain()
    assert (await client.get(location)).json()["data"]["status"] == "ACTIVE"
    for status in ("DELETED", "MERGED", "active"):
        refused = await client.patch(location, json={"status": status})
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "INVALID_FIELD")


async def test_a_deleted_contact_is_kept_but_sets_its_email_free(client: httpx2.AsyncClient, drain: Drain) -> None:
    location = (await client.post("/crm/contacts", json=ALICE)).headers["location"]
    await drain()
    deleted = await client.delete(location)
    assert (deleted.status_code, deleted.json()["data"]["status"]) == (202, "DELETED")
    assert (await client.get("/crm/contacts/alice@example.com")).status_code == 404
    await drain()
    assert (await client.get("/crm/contacts/1")).json()["data"]["status"] == "DELETED"
    assert (await client.get(location)).json()["data"]["status"] == "DELETED"
    assert (await client.get("/crm/contacts/alice@example.com")).status_code == 404
    assert (await client.post("/crm/contacts", json=ALICE)).status_code == 202


async def test_what_is_deleted_takes_no_write_but_a_restore(client: httpx2.AsyncClient, drain: Drain) -> None:
    location = (await client.post("/crm/contacts", json=ALICE)).headers["location"]
    await client.delete(location)
    await drain()
    refused = await client.patch(location, json={"name": "x"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "INVALID_REQUEST")
    version = (await client.get(location)).json()["data"]["version"]
    assert (await client.delete(location)).status_code == 202
    await drain()
    assert (await client.get(location)).json()["data"]["version"] == version
    restored = await client.post(f"{location}/restore")
    assert (restored.status_code, restored.json()["data"]["status"]) == (202, "ACTIVE")
    await drain()
    assert (await client.get("/crm/contacts/alice@example.com")).json()["data"]["status"] == "ACTIVE"


async def test_a_live_contact_cannot_be_restored(client: httpx2.AsyncClient) -> None:
    location = (await client.post("/crm/contacts", json=ALICE)).headers["location"]
    refused = await client.post(f"{location}/restore")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "INVALID_REQUEST")


async def test_a_restore_is_refused_when_its_email_was_taken(client: httpx2.AsyncClient, drain: Drain) -> None:
    location = (await client.post("/crm/contacts", json=ALICE)).headers["location"]
    await client.delete(location)
    await client.post("/crm/contacts", json=ALICE)
    await drain()
    refused = await client.post(f"{location}/restore")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "CONTACT_EMAIL_EXISTS")


async def test_numbers_in_properties_keep_their_digits(client: httpx2.AsyncClient, drain: Drain) -> None:
    text = '{"name":"a","properties":{"a":0.1000000000000000000000000000001,"b":12345678901234567890123,"c":1.50}}'
    created = await client.post("/crm/contacts", content=text)
    await drain()
    read = await client.get(created.headers["location"])
    for answer in (created, read):
        compact = answer.text.replace(" ", "")
        assert '"a":0.1000000000000000000000000000001' in compact
        assert '"b":12345678901234567890123' in compact


async def test_a_workspace_may_take_only_properties_that_are_defined(kit: Kit, workspace: Workspace) -> None:
    strict = msgspec.structs.replace(workspace, strict_properties=True)
    request = WriteRequest(workspace=strict, key_id=1)
    with pytest.raises(Validation) as refused:
        await create_contact(kit.engine, request, ContactInput(name="Ada", properties={"plan": "Pro", "gone": None}))
    assert [fault["field"] for fault in (refused.value.details or {})["fields"]] == ["properties.plan"]
    assert (await create_contact(kit.engine, request, ContactInput(name="Ada"))).created
