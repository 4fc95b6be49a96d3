"""The fake of HubSpot: what it keeps, what it refuses, and how often it may be asked."""

from typing import Any

import httpx2
import pytest

from kith.clock import FixedClock
from tests.integrations.conftest import Ticks
from tools.fake_vendors.app import Fake

V = "2026-09"
CONTACTS, NOTES, COMPANIES = (f"/crm/objects/{V}/{kind}" for kind in ("contacts", "notes", "companies"))
STAMP = "2026-11-22T10:00:00Z"
UNIQUE = {
    "name": "kith_id",
    "label": "Kith",
    "type": "string",
    "fieldType": "text",
    "groupName": "contactinformation",
    "hasUniqueValue": True,
}


async def ask(client: httpx2.AsyncClient, status: int, method: str, path: str, body: Any = None, **params: str) -> Any:
    """The JSON of the answer, which has to have this status."""
    answer = await client.request(method, path, json=body, params=params)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def upsert(*emails: str, **properties: str) -> dict[str, Any]:
    inputs = [
        {
            "id": email,
            "idProperty": "email",
            "objectWriteTraceId": str(number),
            "properties": {"email": email, **properties},
        }
        for number, email in enumerate(emails)
    ]
    return {"inputs": inputs}


def to(identifier: str, number: int) -> dict[str, Any]:
    spec = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": number}
    return {"to": {"id": identifier}, "types": [spec]}


async def make_contact(client: httpx2.AsyncClient, email: str, **properties: str) -> str:
    body = {"properties": {"email": email, **properties}, "associations": []}
    identifier: str = (await ask(client, 201, "POST", CONTACTS, body))["id"]
    return identifier


async def make_note(client: httpx2.AsyncClient, contact: str, **properties: str) -> str:
    body = {"properties": {"hs_timestamp": STAMP, **properties}, "associations": [to(contact, 202)]}
    identifier: str = (await ask(client, 201, "POST", NOTES, body))["id"]
    return identifier


async def test_the_account_is_told_to_whoever_has_a_token(hubspot: httpx2.AsyncClient) -> None:
    told = await ask(hubspot, 200, "GET", f"/account-info/{V}/details")
    assert told["portalId"] == 12345678
    refused = await hubspot.get(f"/account-info/{V}/details", headers={"Authorization": "Bearer other"})
    assert (refused.status_code, refused.json()["category"]) == (401, "INVALID_AUTHENTICATION")
    assert (await ask(hubspot, 404, "GET", "/account-info/v3/details"))["status"] == "error"
    assert await ask(hubspot, 405, "PUT", CONTACTS)


async def test_a_token_is_refreshed_and_expires(
    hubspot: httpx2.AsyncClient, fake: Fake, vendor_clock: FixedClock
) -> None:
    form = {"grant_type": "refresh_token", "client_id": "fake-client", "client_secret": "fake-client-secret"}
    url = f"/oauth/{V}/token"
    given = (await hubspot.post(url, data={**form, "refresh_token": "fake-refresh-token"})).json()
    headers = {"Authorization": f"Bearer {given['access_token']}"}
    assert (await hubspot.get(f"/account-info/{V}/details", headers=headers)).status_code == 200
    vendor_clock.advance(given["expires_in"])
    late = await hubspot.get(f"/account-info/{V}/details", headers=headers)
    assert (late.status_code, late.json()["category"]) == (401, "EXPIRED_AUTHENTICATION")
    assert (await hubspot.post(url, data={**form, "refresh_token": "other"})).status_code == 400
    code = {**form, "grant_type": "authorization_code", "code": "fake-code", "redirect_uri": "http://kith.example/"}
    assert (await hubspot.post(url, data=code)).json()["refresh_token"] in fake.hubspot.refresh_tokens
    assert (await hubspot.post(url, data=code)).status_code == 400


async def test_contacts_are_upserted_by_email_in_any_case(hubspot: httpx2.AsyncClient, fake: Fake) -> None:
    first = await ask(hubspot, 200, "POST", f"{CONTACTS}/batch/upsert", upsert("A@b.co", "c@d.co", firstname="A"))
    assert [(one["new"], one["objectWriteTraceId"]) for one in first["results"]] == [(True, "0"), (True, "1")]
    second = await ask(hubspot, 200, "POST", f"{CONTACTS}/batch/upsert", upsert("a@B.co", firstname=""))
    assert (second["results"][0]["new"], second["results"][0]["id"]) == (False, first["results"][0]["id"])
    assert len(fake.hubspot.objects["contacts"]) == 2
    found = fake.hubspot.find_contact("a@b.co")
    assert found is not None
    assert "firstname" not in found.properties
    read = await ask(hubspot, 200, "GET", f"{CONTACTS}/c@d.co", idProperty="email", properties="firstname,city")
    assert (read["properties"]["firstname"], read["properties"]["city"]) == ("A", None)


async def test_an_upsert_takes_the_good_and_tells_of_the_bad(hubspot: httpx2.AsyncClient, fake: Fake) -> None:
    body = upsert("a@b.co", "c@d.co")
    body["inputs"][1]["properties"]["lifecyclestage"] = "friend"
    answer = await ask(hubspot, 207, "POST", f"{CONTACTS}/batch/upsert", body)
    assert ([one["properties"]["email"] for one in answer["results"]], answer["numErrors"]) == (["a@b.co"], 1)
    error = answer["errors"][0]
    assert (error["category"], error["context"]) == ("VALIDATION_ERROR", {"objectWriteTraceId": ["1"]})
    assert error["errors"][0]["context"] == {"propertyName": ["lifecyclestage"]}
    fake.hubspot.partial_batches = set()
    body["inputs"][0]["id"] = body["inputs"][0]["properties"]["email"] = "e@f.co"
    await ask(hubspot, 400, "POST", f"{CONTACTS}/batch/upsert", body)
    assert fake.hubspot.find_contact("e@f.co") is None


async def test_one_email_is_one_contact(hubspot: httpx2.AsyncClient) -> None:
    first, second = await make_contact(hubspot, "a@b.co"), await make_contact(hubspot, "c@d.co")
    body = {"properties": {"email": "A@B.co"}, "associations": []}
    taken = f"Contact already exists. Existing ID: {first}"
    assert (await ask(hubspot, 409, "POST", CONTACTS, body))["message"] == taken
    changed = await ask(hubspot, 409, "PATCH", f"{CONTACTS}/{second}", {"properties": {"email": "a@b.co"}})
    assert (changed["category"], changed["message"]) == ("CONFLICT", taken)
    await ask(hubspot, 409, "POST", f"{CONTACTS}/batch/upsert", upsert("x@y.co", "X@y.co"))
    await ask(hubspot, 204, "DELETE", f"{CONTACTS}/{first}")
    await ask(hubspot, 200, "PATCH", f"{CONTACTS}/{second}", {"properties": {"email": "a@b.co"}})


async def test_a_unique_property_is_made_once_and_leads_to_its_object(hubspot: httpx2.AsyncClient) -> None:
    properties = f"/crm/properties/{V}/notes"
    assert (await ask(hubspot, 201, "POST", properties, UNIQUE))["hasUniqueValue"] is True
    assert (await ask(hubspot, 409, "POST", properties, UNIQUE))["category"] == "OBJECT_ALREADY_EXISTS"
    assert (await ask(hubspot, 200, "GET", f"{properties}/kith_id"))["name"] == "kith_id"
    await ask(hubspot, 404, "GET", f"{properties}/other")
    one = {"id": "k1", "idProperty": "kith_id", "properties": {"hs_timestamp": STAMP, "hs_note_body": "a"}}
    first = await ask(hubspot, 200, "POST", f"{NOTES}/batch/upsert", {"inputs": [one]})
    again = await ask(hubspot, 200, "POST", f"{NOTES}/batch/upsert", {"inputs": [one]})
    assert again["results"][0]["id"] == first["results"][0]["id"]
    assert first["results"][0]["properties"]["kith_id"] == "k1"
    body = {"properties": {"hs_timestamp": STAMP, "kith_id": "k1"}, "associations": []}
    refused = await ask(hubspot, 400, "POST", NOTES, body)
    assert refused["errors"][0]["code"] == "CONFLICTING_UNIQUE_VALUE"
    by_domain = {"inputs": [{"id": "b.co", "idProperty": "domain", "properties": {}}]}
    await ask(hubspot, 400, "POST", f"{COMPANIES}/batch/upsert", by_domain)


@pytest.mark.parametrize(
    ("kind", "properties", "code"),
    [
        ("contacts", {"favourite": "x"}, "PROPERTY_DOESNT_EXIST"),
        ("contacts", {"email": "nobody"}, "INVALID_EMAIL"),
        ("contacts", {"createdate": STAMP}, "READ_ONLY_VALUE"),
        ("companies", {"numberofemployees": "many"}, "INVALID_NUMBER"),
        ("companies", {"industry": "Computer software"}, "INVALID_OPTION"),
        ("companies", {"annualrevenue": " 1"}, "LEADING_TRAILING_WHITESPACE"),
        ("notes", {"hs_note_body": "a"}, "REQUIRED_PROPERTY"),
        ("notes", {"hs_timestamp": "yesterday"}, "INVALID_DATE"),
        ("notes", {"hs_timestamp": "2026-11-22T10:00:00"}, "INVALID_DATE"),
        ("notes", {"hs_timestamp": STAMP, "hs_note_body": "a" * 65_537}, "PROPERTY_VALUE_TOO_LONG"),
        ("calls", {"hs_timestamp": STAMP, "hs_call_direction": "IN"}, "INVALID_OPTION"),
        ("emails", {"hs_timestamp": STAMP, "hs_email_direction": "OUTBOUND"}, "INVALID_OPTION"),
        ("tasks", {"hs_timestamp": STAMP, "hs_task_status": "DONE"}, "INVALID_OPTION"),
        ("tasks", {"hs_timestamp": STAMP, "hs_task_priority": "URGENT"}, "INVALID_OPTION"),
    ],
)
async def test_a_value_that_does_not_fit_is_refused(
    hubspot: httpx2.AsyncClient, fake: Fake, kind: str, properties: dict[str, str], code: str
) -> None:
    body = {"properties": properties, "associations": []}
    refused = await ask(hubspot, 400, "POST", f"/crm/objects/{V}/{kind}", body)
    assert (refused["category"], refused["errors"][0]["code"]) == ("VALIDATION_ERROR", code)
    assert refused["correlationId"]
    assert fake.hubspot.objects[kind] == {}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CONTACTS, {"properties": {}}),
        (CONTACTS, {"properties": {}, "associations": [], "trace": "x"}),
        (CONTACTS, {"properties": {"firstname": None}, "associations": []}),
        (CONTACTS, {"properties": {"firstname": 1}, "associations": []}),
        (f"{CONTACTS}/batch/upsert", {"inputs": []}),
        (f"{CONTACTS}/batch/upsert", {"inputs": [{"id": "a@b.co", "idproperty": "email", "properties": {}}]}),
        (f"{CONTACTS}/batch/upsert", {"inputs": [{"idProperty": "email", "properties": {}}]}),
        (f"{CONTACTS}/batch/upsert", upsert(*(f"{n}@b.co" for n in range(101)))),
        (f"{CONTACTS}/batch/read", {"inputs": [{"id": "1"}]}),
        (f"{CONTACTS}/search", {"filterGroups": [], "properties": []}),
        (f"{CONTACTS}/merge", {"primaryObjectId": "1"}),
        (f"/crm/properties/{V}/contacts", {**UNIQUE, "fieldtype": "text"}),
        (f"/crm/properties/{V}/contacts", {**UNIQUE, "fieldType": "number"}),
        (f"/crm/properties/{V}/contacts", {**UNIQUE, "name": "Kith"}),
        (f"/crm/properties/{V}/contacts", {**UNIQUE, "type": "enumeration", "fieldType": "select"}),
    ],
)
async def test_a_body_that_does_not_fit_is_refused(
    hubspot: httpx2.AsyncClient, fake: Fake, path: str, body: Any
) -> None:
    assert (await ask(hubspot, 400, "POST", path, body))["category"] == "VALIDATION_ERROR"
    assert fake.hubspot.objects["contacts"] == {}
    assert (await hubspot.post(path, content=b"{}")).status_code == 400


async def test_engagements_are_associated_as_they_are_made(hubspot: httpx2.AsyncClient, fake: Fake) -> None:
    contact = await make_contact(hubspot, "a@b.co")
    note = await make_note(hubspot, contact, hs_note_body="Met.")
    assert fake.hubspot.associations[("notes", note)] == {("contacts", contact): {202}}
    assert fake.hubspot.associations[("contacts", contact)] == {("notes", note): {201}}
    told = await ask(hubspot, 200, "GET", f"{NOTES}/{note}/associations/contacts")
    assert told["results"][0]["toObjectId"] == contact
    assert told["results"][0]["associationTypes"][0]["typeId"] == 202
    for number, status in ((999, 400), (190, 404)):
        body = {"properties": {"hs_timestamp": STAMP}, "associations": [to(contact, number)]}
        await ask(hubspot, status, "POST", NOTES, body)
    meeting = {"properties": {"hs_meeting_start_time": STAMP}, "associations": []}
    made = await ask(hubspot, 201, "POST", f"/crm/objects/{V}/meetings", meeting)
    assert made["properties"]["hs_timestamp"] == STAMP


async def test_objects_are_associated_later_and_apart_again(hubspot: httpx2.AsyncClient, fake: Fake) -> None:
    contact = await make_contact(hubspot, "a@b.co")
    body = {"properties": {"name": "B", "domain": "b.co"}, "associations": []}
    first, second = [(await ask(hubspot, 201, "POST", COMPANIES, body))["id"] for _ in range(2)]
    path, many = f"{CONTACTS}/{contact}/associations", f"/crm/associations/{V}/contacts/companies/batch"
    await ask(hubspot, 200, "PUT", f"{path}/default/companies/{first}")
    await ask(hubspot, 201, "PUT", f"{path}/companies/{first}", to("", 1)["types"])
    await ask(hubspot, 400, "PUT", f"{path}/companies/{first}", to("", 280)["types"])
    pair = {"from": {"id": contact}, **to(second, 1)}
    await ask(hubspot, 200, "POST", f"{many}/create", {"inputs": [pair]})
    assert fake.hubspot.associations[("contacts", contact)] == {
        ("companies", first): {279},
        ("companies", second): {1, 279},
    }
    await ask(hubspot, 200, "POST", f"{many}/labels/archive", {"inputs": [pair]})
    assert fake.hubspot.associations[("companies", second)] == {("contacts", contact): {280}}
    await ask(hubspot, 400, "POST", f"{many}/archive", {"inputs": [pair]})
    await ask(hubspot, 200, "POST", f"{many}/archive", {"inputs": [{"from": {"id": contact}, "to": [{"id": second}]}]})
    assert fake.hubspot.find_associated("contacts", contact, "companies") == [first]
    await ask(hubspot, 404, "POST", f"{many}/create", {"inputs": [{**pair, "from": {"id": "7"}}]})
    await ask(hubspot, 204, "DELETE", f"{path}/companies/{first}")
    assert fake.hubspot.associations == {}


async def test_what_is_archived_is_gone_until_it_is_asked_for(hubspot: httpx2.AsyncClient) -> None:
    contact = await make_contact(hubspot, "a@b.co")
    await ask(hubspot, 204, "DELETE", f"{CONTACTS}/{contact}")
    await ask(hubspot, 404, "PATCH", f"{CONTACTS}/{contact}", {"properties": {"firstname": "A"}})
    await ask(hubspot, 404, "GET", f"{CONTACTS}/{contact}")
    assert (await ask(hubspot, 200, "GET", f"{CONTACTS}/{contact}", archived="true"))["archived"] is True
    inputs = {"inputs": [{"id": contact, "properties": {}}]}
    await ask(hubspot, 404, "POST", f"{CONTACTS}/batch/update", inputs)
    await ask(hubspot, 204, "POST", f"{CONTACTS}/batch/archive", {"inputs": [{"id": contact}, {"id": "7"}]})
    read = {"inputs": [{"id": contact}], "properties": [], "propertiesWithHistory": []}
    missing = await ask(hubspot, 207, "POST", f"{CONTACTS}/batch/read", read)
    assert (missing["results"], missing["errors"][0]["context"]) == ([], {"ids": [contact]})


async def test_a_merge_gives_a_new_id_to_which_the_old_ones_lead(hubspot: httpx2.AsyncClient, fake: Fake) -> None:
    winner, loser = await make_contact(hubspot, "a@b.co"), await make_contact(hubspot, "c@d.co", city="Ulm")
    note = await make_note(hubspot, loser)
    body = {"primaryObjectId": winner, "objectIdToMerge": loser}
    merged = await ask(hubspot, 200, "POST", f"{CONTACTS}/merge", body)
    assert merged["id"] not in (winner, loser)
    assert (merged["properties"]["email"], merged["properties"]["city"]) == ("a@b.co", "Ulm")
    assert fake.hubspot.find_associated("notes", note, "contacts") == [merged["id"]]
    for path in (winner, loser):
        assert (await ask(hubspot, 200, "GET", f"{CONTACTS}/{path}"))["id"] == merged["id"]
    assert (await ask(hubspot, 200, "GET", f"{CONTACTS}/c@d.co", idProperty="email"))["id"] == merged["id"]
    await ask(hubspot, 400, "POST", f"{CONTACTS}/merge", body)


async def test_an_address_that_was_deleted_unseen_is_blocked_for_good(hubspot: httpx2.AsyncClient, fake: Fake) -> None:
    contact = await make_contact(hubspot, "a@b.co")
    erase = f"{CONTACTS}/gdpr-delete"
    await ask(hubspot, 204, "POST", erase, {"objectId": contact})
    await ask(hubspot, 404, "POST", erase, {"objectId": contact})
    assert fake.hubspot.objects["contacts"] == {}
    archived = await make_contact(hubspot, "a@b.co")
    await ask(hubspot, 204, "DELETE", f"{CONTACTS}/{archived}")
    again = await make_contact(hubspot, "a@b.co")
    await ask(hubspot, 204, "POST", erase, {"objectId": archived})
    assert (await ask(hubspot, 200, "GET", f"{CONTACTS}/a@b.co", idProperty="email"))["id"] == again
    await ask(hubspot, 204, "POST", erase, {"objectId": "X@y.co", "idProperty": "email"})
    await ask(hubspot, 400, "POST", CONTACTS, {"properties": {"email": "x@y.co"}, "associations": []})


async def test_a_search_finds_by_filters_in_pages(hubspot: httpx2.AsyncClient) -> None:
    inputs = [{"properties": {"email": f"{n}@b.co", "city": "Ulm"}, "associations": []} for n in range(3)]
    made = await ask(hubspot, 201, "POST", f"{CONTACTS}/batch/create", {"inputs": inputs})
    filters = [{"propertyName": "city", "operator": "EQ", "value": "ulm"}]
    body = {
        "filterGroups": [{"filters": filters}],
        "properties": ["email"],
        "limit": 2,
        "after": "0",
        "sorts": ["-email"],
    }
    page = await ask(hubspot, 200, "POST", f"{CONTACTS}/search", body)
    assert (page["total"], page["results"][0]["id"]) == (3, made["results"][2]["id"])
    rest = await ask(hubspot, 200, "POST", f"{CONTACTS}/search", {**body, "after": page["paging"]["next"]["after"]})
    assert ([one["properties"]["email"] for one in rest["results"]], "paging" in rest) == (["0@b.co"], False)


async def test_more_than_its_limit_in_ten_seconds_is_refused(
    hubspot: httpx2.AsyncClient, fake: Fake, ticks: Ticks
) -> None:
    fake.hubspot.requests_per_10_s = 3
    path = f"/account-info/{V}/details"
    for n in range(3):
        ticks.now = n
        answer = await hubspot.get(path)
        assert (answer.status_code, answer.headers["x-hubspot-ratelimit-remaining"]) == (200, str(2 - n))
    limited = await hubspot.get(path)
    assert (limited.status_code, limited.json()["policyName"]) == (429, "TEN_SECONDLY_ROLLING")
    assert "retry-after" not in limited.headers
    ticks.now = 10
    assert (await hubspot.get(path)).status_code == 200
    assert fake.most_within(10, "hubspot") == 4
    fake.hubspot.searches_per_s = 0
    search = {"filterGroups": [], "properties": [], "limit": 1, "after": "0", "sorts": []}
    assert (await ask(hubspot, 429, "POST", f"{CONTACTS}/search", search))["policyName"] == "SECONDLY"
