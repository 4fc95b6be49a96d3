"""Times without an offset: in the workspace's zone wherever a time is taken; and what clears a value."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, get_args

import httpx2
import msgspec
import pytest

from kith.engine.admin.workspaces import create_workspace
from kith.integrations.hubspot.engagements import make_properties
from kith.model.activities import TIMES
from kith.model.properties import PropertyType
from kith.model.serialization import from_document
from tests.api.definitions import define, find_code, list_fields, read
from tests.api.test_lost_foresight import lose
from tests.kit import Kit

Drain = Callable[[], Awaitable[None]]
# In Berlin the clocks skip 02:00 to 03:00 on 29 March and repeat it on 25 October 2026.
TAKEN = [
    ("2026-07-01T12:00:00", "2026-07-01T10:00:00.000Z"),
    ("2026-01-01 12:00", "2026-01-01T11:00:00.000Z"),
    ("2026-03-29T02:30:00", "2026-03-29T01:30:00.000Z"),
    ("2026-10-25T02:30:00", "2026-10-25T00:30:00.000Z"),
    ("2026-07-01T12:00:00Z", "2026-07-01T12:00:00.000Z"),
    ("2026-07-01T12:00:00+02", "2026-07-01T10:00:00.000Z"),
    ("2026-07-01T12:00:00+0530", "2026-07-01T06:30:00.000Z"),
    ("2026-07-01T12:00:00,5-03:30", "2026-07-01T15:30:00.500Z"),
]


@pytest.fixture
async def berlin(kit: Kit) -> AsyncIterator[httpx2.AsyncClient]:
    async with kit.engine.database.acquire() as connection:
        name = f"berlin {next(kit._numbers)}"
        workspace = await create_workspace(connection, kit.engine.clock, name, "Europe/Berlin")
    async with kit.open_client(await kit.make_key(workspace)) as client:
        yield client


async def test_every_form_of_a_time_means_the_same_wherever_it_is_taken(berlin: httpx2.AsyncClient, kit: Kit) -> None:
    """In a gap of the zone the later moment, in an overlap the earlier one."""
    for entity in ("CONTACT", "COMPANY", "CONTACT_COMPANY"):
        await define(berlin, "seen", "DATETIME", entity=entity)
    await kit.drain()
    company = (await berlin.post("/crm/companies", json={"name": "Acme"})).json()["data"]["externalId"]
    for n, (given, kept) in enumerate(TAKEN, 1):
        body = {"name": f"n{n}", "properties": {"seen": given}}
        made = await berlin.post("/crm/contacts", json=body)
        assert made.status_code == 202, (given, made.text)
        contact = f"/crm/contacts/{made.json()['data']['externalId']}"
        assert made.json()["data"]["properties"]["seen"] == kept, given
        linked = await berlin.post(f"{contact}/companies", json={"companyId": company, "properties": {"seen": given}})
        assert linked.json()["data"]["companies"][0]["properties"]["seen"] == kept, given
        changed = await berlin.patch(f"/crm/companies/{company}", json={"properties": {"seen": given}})
        assert changed.json()["data"]["properties"]["seen"] == kept, given
        times = dict.fromkeys(TIMES, given)
        body = {"type": "TASK", "occurredAt": given, "properties": {**times, "priority": "high"}}
        logged = await berlin.post(f"{contact}/activities", json=body)
        assert logged.status_code == 202, (given, logged.text)
        activity = logged.json()["data"]
        assert {activity["occurredAt"], *(activity["properties"][name] for name in TIMES)} == {kept}, given
        await kit.drain()
        assert (await read(berlin, contact.removeprefix("/crm/")))["properties"]["seen"] == kept
        for where in (f'seen = "{given}"', f'seen >= "{given}" AND seen <= "{given}"'):
            found = await berlin.post("/crm/query", json={"entity": "contact", "where": f"name = n{n} AND {where}"})
            assert [row["name"] for row in found.json()["data"]] == [f"n{n}"], (where, found.text)
        rows = await read(berlin, f"{contact.removeprefix('/crm/')}/activities", **{"from": given, "to": given})
        assert len(rows) == 1, given


async def test_a_day_as_the_time_of_an_activity_is_its_first_moment(berlin: httpx2.AsyncClient, kit: Kit) -> None:
    await berlin.post("/crm/contacts", json={"name": "Ann"})
    await kit.drain()
    body = {"type": "TASK", "properties": {"dueDate": "2026-07-01", "remindAt": ""}}
    activity = (await berlin.post("/crm/contacts/1/activities", json=body)).json()["data"]
    assert activity["properties"] == {"dueDate": "2026-06-30T22:00:00.000Z"}


@pytest.mark.parametrize("name", sorted(TIMES))
@pytest.mark.parametrize("value", [1772272800000, 1772272800, "1772272800000", "soon", "2026-13-01", True, ["x"]])
async def test_a_time_of_an_activity_that_is_none_is_refused(
    client: httpx2.AsyncClient, drain: Drain, name: str, value: Any
) -> None:
    await client.post("/crm/contacts", json={"name": "Ann"})
    refused = await client.post("/crm/contacts/1/activities", json={"type": "MEETING", "properties": {name: value}})
    if refused.status_code == 404:
        await drain()
        refused = await client.post("/crm/contacts/1/activities", json={"type": "MEETING", "properties": {name: value}})
    assert find_code(refused) == (422, "INVALID_FIELD")
    assert list_fields(refused) == [f"properties.{name}"]


async def test_an_engagement_has_the_times_that_were_given(berlin: httpx2.AsyncClient, kit: Kit) -> None:
    await berlin.post("/crm/contacts", json={"name": "Ann"})
    await kit.drain()
    meeting = {"startTime": "2026-07-01T12:00:00", "endTime": "2026-07-01T13:00:00+02"}
    made = []
    for type_, properties in (("TASK", {"dueDate": "2026-07-01T12:00"}), ("MEETING", meeting)):
        body = {"type": type_, "occurredAt": "2026-01-01T00:00:00Z", "properties": properties}
        shown = (await berlin.post("/crm/contacts/1/activities", json=body)).json()["data"]
        fields = {"external_id": shown["externalId"], "number": 1, "contact_id": "ctc_x", "contact_number": 1}
        made.append(make_properties(make_activity(shown, fields)))
    assert made[0]["hs_timestamp"] == "2026-07-01T10:00:00.000Z"
    assert made[1]["hs_meeting_start_time"] == "2026-07-01T10:00:00.000Z"
    assert made[1]["hs_meeting_end_time"] == "2026-07-01T11:00:00.000Z"


def make_activity(shown: dict[str, Any], fields: dict[str, Any]) -> Any:
    """The activity as the worker reads it."""
    names = {"occurred_at": "occurredAt", "created_at": "createdAt"}
    document = fields | {name: shown[name] for name in ("type", "module", "content", "properties")}
    document |= {name: shown[public] for name, public in names.items()}
    return from_document("activity", msgspec.json.encode(document))


@pytest.mark.parametrize("entity", ["CONTACT", "COMPANY", "CONTACT_COMPANY"])
async def test_a_local_time_is_taken_where_its_property_was_not_known_yet(
    berlin: httpx2.AsyncClient, kit: Kit, monkeypatch: pytest.MonkeyPatch, entity: str
) -> None:
    """The process that accepts the value does not know the definition, which comes before it on the log."""
    company = (await berlin.post("/crm/companies", json={"name": "Acme"})).json()["data"]["externalId"]
    contact = (await berlin.post("/crm/contacts", json={"name": "Ann"})).json()["data"]["externalId"]
    await kit.drain()
    await define(berlin, "seen", "DATETIME", entity=entity)
    lose(monkeypatch, {entity})
    local, kept = "2026-07-01T12:00", "2026-07-01T10:00:00.000Z"
    properties = {"properties": {"seen": local, "note": "2026-07-01T12:00"}}
    link = f"/crm/contacts/{contact}/companies"
    requests: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
        "CONTACT": [("POST", "/crm/contacts", {"name": "Bea"}), ("PATCH", f"/crm/contacts/{contact}", {})],
        "COMPANY": [("POST", "/crm/companies", {"name": "Bolt"}), ("PATCH", f"/crm/companies/{company}", {})],
        "CONTACT_COMPANY": [("POST", link, {"companyId": company}), ("PATCH", f"{link}/{company}", {})],
    }
    for method, path, body in requests[entity]:
        sent = await berlin.request(method, path, json=body | properties)
        assert sent.status_code == 202, sent.text
        await kit.drain()
    shown = [
        *(await read(berlin, "contacts")),
        *(await read(berlin, "companies")),
        *(await read(berlin, f"contacts/{contact}"))["companies"],
    ]
    found = [one["properties"] for one in shown if one["properties"]]
    wanted = {"seen": kept, "note": local}
    assert found == [wanted] * (1 if entity == "CONTACT_COMPANY" else 2)


@pytest.mark.parametrize("type_", get_args(PropertyType))
@pytest.mark.parametrize("empty", ["", None])
async def test_an_empty_text_and_null_clear_a_property_of_any_type(
    client: httpx2.AsyncClient, drain: Drain, type_: str, empty: str | None
) -> None:
    values = {"NUMBER": 1, "CURRENCY": 2, "BOOLEAN": False, "DATE": "2026-01-01", "DATETIME": "2026-01-01T00:00:00Z"}
    values |= {"EMAIL": "a@b.example", "PHONE": "+1 650 253 7777", "URL": "https://a.example", "SELECT": "a"}
    more = {"options": ["a", "b"]} if type_ in ("SELECT", "MULTI_SELECT") else {}
    await define(client, "it", type_, **more)
    await drain()
    value = ["a"] if type_ == "MULTI_SELECT" else values.get(type_, "text")
    await client.post("/crm/contacts", json={"name": "Ann", "properties": {"it": value}})
    await drain()
    assert "it" in (await read(client, "contacts/1"))["properties"]
    cleared = await client.patch("/crm/contacts/1", json={"properties": {"it": empty}})
    assert cleared.status_code == 202, cleared.text
    await drain()
    assert (await read(client, "contacts/1"))["properties"] == {}
    made = await client.post("/crm/contacts", json={"name": "Bea", "properties": {"it": empty}})
    assert made.json()["data"]["properties"] == {}


@pytest.mark.parametrize("empty", ["", None])
async def test_an_empty_text_and_null_clear_every_text_that_may_be_empty(
    client: httpx2.AsyncClient, drain: Drain, empty: str | None
) -> None:
    texts: dict[str, dict[str, str]] = {
        "contacts": {
            "email": "a@b.example", "name": "A", "givenName": "A", "familyName": "B", "phone": "1", "avatar": "x",
        },
        "companies": {
            "name": "A", "domain": "a.example", "industry": "x", "size": "x", "plan": "x", "website": "x",
            "phone": "1", "spend": "12.50",
        },
        "tags": {"description": "x", "color": "#fff"},
        "lists": {"description": "x"},
        "properties": {"description": "x"},
    }  # fmt: skip
    needed = {
        "tags": {"key": "vip"},
        "lists": {"name": "L", "entityType": "CONTACT"},
        "properties": {"key": "it", "entity": "CONTACT", "type": "TEXT"},
    }
    for path, fields in texts.items():
        made = await client.post(f"/crm/{path}", json=needed.get(path, {}) | fields)
        assert made.status_code == 202, made.text
        place = f"/crm/{path}/{made.json()['data']['externalId']}"
        await drain()
        for name in fields:
            # One after the other: what says who a record is cannot all be missing.
            cleared = await client.patch(place, json={name: empty})
            assert cleared.status_code == 202, (path, name, cleared.text)
            assert cleared.json()["data"][name] is None, (path, name)
            await client.patch(place, json={name: fields[name]})
