"""Activities over HTTP: logged, read, listed, counted for their contact, and by the legacy paths."""

import asyncio
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest

Drain = Callable[[], Awaitable[None]]

FIELDS = {
    "id",
    "externalId",
    "contactId",
    "type",
    "module",
    "content",
    "properties",
    "occurredAt",
    "createdAt",
}
LOGGED = ("NOTE", "CALL", "MEETING", "EMAIL", "TASK")
CALL = {
    "type": "CALL",
    "content": "Discussed pricing and timeline",
    "properties": {"duration": "30m", "outcome": "interested"},
}
NOBODY = "ctc_01jrfz3x8mfvv8t3n2m6k0q4sb"


@pytest.fixture
async def alice(client: httpx2.AsyncClient, drain: Drain) -> str:
    """The path of a committed contact; its number is 1."""
    location: str = (await client.post("/crm/contacts", json={"email": "alice@example.com"})).headers["location"]
    await drain()
    return location


async def log(client: httpx2.AsyncClient, contact: str, occurred_at: str | None = None, **fields: Any) -> str:
    """Log an activity; its path."""
    body = {"type": "NOTE", **fields} | ({"occurredAt": occurred_at} if occurred_at else {})
    answer = await client.post(f"{contact}/activities", json=body)
    assert answer.status_code == 202, answer.text
    location: str = answer.headers["location"]
    return location


async def list_contents(client: httpx2.AsyncClient, contact: str, **params: Any) -> list[str]:
    answer = await client.get(f"{contact}/activities", params=params)
    assert answer.status_code == 200, answer.text
    return [row["content"] for row in answer.json()["data"]]


def to_refusal(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_logged_activity_is_accepted_with_a_provisional_record(client: httpx2.AsyncClient, alice: str) -> None:
    answer = await client.post(f"{alice}/activities", json=CALL)
    data, operation = answer.json()["data"], answer.json()["operation"]
    assert answer.status_code == 202
    assert data.keys() == FIELDS | {"pending"}
    assert (data["id"], data["pending"], data["contactId"], data["module"]) == (None, True, 1, "CRM")
    assert {name: data[name] for name in CALL} == CALL
    assert data["externalId"].startswith("act_")
    assert data["occurredAt"] == data["createdAt"]
    assert (operation.keys(), operation["status"]) == ({"id", "status", "position"}, "PENDING")
    assert answer.headers["location"] == f"/crm/activities/{data['externalId']}"
    assert answer.headers["operation-location"] == f"/crm/operations/{operation['id']}"
    assert answer.headers["x-correlation-id"] == operation["id"]


async def test_an_activity_is_pending_until_the_writer_has_it(
    client: httpx2.AsyncClient, alice: str, drain: Drain
) -> None:
    logged = await client.post(f"{alice}/activities", json=CALL)
    location = logged.headers["location"]
    pending = await client.get(location)
    assert (pending.status_code, pending.json()) == (202, {"data": logged.json()["data"], "code": "PENDING"})
    assert (await client.get("/crm/activities/1")).status_code == 404
    assert await list_contents(client, alice) == []
    await drain()
    expected = {**logged.json()["data"], "id": 1}
    del expected["pending"]
    for form in (location, "/crm/activities/1"):
        committed = await client.get(form)
        assert (committed.status_code, committed.json()) == (200, {"data": expected})
        assert committed.headers["content-location"] == location
    assert (await client.get(f"{alice}/activities")).json()["data"] == [expected]
    operation = (await client.get(logged.headers["operation-location"])).json()["data"]
    assert (operation["status"], operation["type"], operation["resource"]) == ("APPLIED", "LogActivity", location)


@pytest.mark.parametrize("kind", LOGGED)
@pytest.mark.parametrize("module", ["CRM", "SUPPORT", "INTEGRATION"])
async def test_every_type_can_be_logged_in_every_module(
    client: httpx2.AsyncClient, alice: str, drain: Drain, kind: str, module: str
) -> None:
    location = await log(client, alice, type=kind, module=module)
    await drain()
    data = (await client.get(location)).json()["data"]
    assert (data["type"], data["module"], data["content"], data["properties"]) == (kind, module, None, {})


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"type": "PAGE_VIEW"}, "INVALID_FIELD", "type"),
        ({"type": "CUSTOM_EVENT"}, "INVALID_FIELD", "type"),
        ({"type": "note"}, "INVALID_FIELD", "type"),
        ({"type": None}, "INVALID_FIELD", "type"),
        ({"content": "no type"}, "MISSING_FIELD", "type"),
        ({}, "MISSING_FIELD", "type"),
        ({"type": "NOTE", "module": "EMAIL"}, "INVALID_FIELD", "module"),
        ({"type": "NOTE", "module": None}, "INVALID_FIELD", "module"),
        ({"type": "NOTE", "content": 7}, "INVALID_FIELD", "content"),
        ({"type": "NOTE", "contentt": "x"}, "INVALID_FIELD", "contentt"),
        ({"type": "NOTE", "contactId": 1}, "INVALID_FIELD", "contactId"),
        ({"type": "NOTE", "content": "x" * 65_537}, "INVALID_FIELD", "content"),
        ({"type": "NOTE", "content": "😀" * 65_537}, "INVALID_FIELD", "content"),
        ({"type": "NOTE", "content": "a\u0000b"}, "INVALID_FIELD", "content"),
        ({"type": "NOTE", "properties": []}, "INVALID_FIELD", "properties"),
        ({"type": "NOTE", "properties": {"": 1}}, "INVALID_FIELD", "properties."),
        ({"type": "NOTE", "properties": {"k" * 65: 1}}, "INVALID_FIELD", "properties." + "k" * 64),
        ({"type": "NOTE", "properties": {f"k{n}": n for n in range(501)}}, "INVALID_FIELD", "properties"),
        ({"type": "NOTE", "properties": {f"k{n}": "x" * 60_000 for n in range(5)}}, "INVALID_FIELD", "properties"),
        ({"type": "NOTE", "occurredAt": 1_700_000_000}, "INVALID_FIELD", "occurredAt"),
    ],
)
async def test_a_body_that_is_no_activity_is_refused_by_the_field(
    client: httpx2.AsyncClient, alice: str, drain: Drain, body: dict[str, Any], code: str, field: str
) -> None:
    answer = await client.post(f"{alice}/activities", json=body)
    assert to_refusal(answer) == (422, code), answer.text[:500]
    assert [fault["field"] for fault in answer.json()["error"]["details"]["fields"]] == [field]
    assert len(answer.content) < 20_000
    await drain()
    assert (await client.get(f"{alice}/activities")).json()["meta"]["total"] == 0


async def test_all_that_is_wrong_is_told_at_once(client: httpx2.AsyncClient, alice: str) -> None:
    body = {"type": "NOTE", "content": "x" * 65_537, "occurredAt": "yesterday", "properties": {"": 1}}
    answer = await client.post(f"{alice}/activities", json=body)
    faults = answer.json()["error"]["details"]["fields"]
    assert {fault["field"] for fault in faults} == {"content", "occurredAt", "properties."}


@pytest.mark.parametrize(
    "text",
    [
        "x" * 65_536,
        "😀" * 65_536,
        "e\u0301 ß İ \u202e עברית 日本語 👩\u200d👩\u200d👧",
        " \n\tspaced\r\n",
        "'; DROP TABLE x;--",
        "\\u0000",
    ],
    ids=["ascii", "emoji", "unicode", "space", "sql", "backslash"],
)
async def test_content_is_kept_to_the_character(
    client: httpx2.AsyncClient, alice: str, drain: Drain, text: str
) -> None:
    logged = await client.post(f"{alice}/activities", json={"type": "NOTE", "content": text})
    text = unicodedata.normalize("NFC", text)
    assert logged.json()["data"]["content"] == text
    await drain()
    assert (await client.get(logged.headers["location"])).json()["data"]["content"] == text
    assert await list_contents(client, alice) == [text]


@pytest.mark.parametrize("content", [None, ""])
async def test_no_content_is_null(client: httpx2.AsyncClient, alice: str, drain: Drain, content: str | None) -> None:
    location = await log(client, alice, content=content, properties=None, occurredAt=None)
    await drain()
    data = (await client.get(location)).json()["data"]
    assert (data["content"], data["properties"]) == (None, {})


async def test_properties_are_kept_as_given_but_for_nulls(client: httpx2.AsyncClient, alice: str, drain: Drain) -> None:
    given = '{"a":1.10,"b":[1,{"c":null}],"d":true,"é 😀":"x","big":12345678901234567890.123456789,"gone":null}'
    body = f'{{"type":"TASK","properties":{given}}}'
    logged = await client.post(f"{alice}/activities", content=body)
    assert logged.status_code == 202, logged.text
    await drain()
    committed = await client.get(logged.headers["location"])
    for answer in (logged, committed):
        properties = answer.json()["data"]["properties"]
        assert properties.keys() == {"a", "b", "d", "é 😀", "big"}
        assert (properties["a"], properties["b"], properties["d"]) == (1.1, [1, {"c": None}], True)
        assert "12345678901234567890.123456789" in answer.text


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("2026-04-10T10:30:00Z", "2026-04-10T10:30:00.000Z"),
        ("2026-04-10T10:30:00.123456Z", "2026-04-10T10:30:00.123Z"),
        ("2026-04-10T10:30:00+02:00", "2026-04-10T08:30:00.000Z"),
        ("2026-04-10T00:30:00-11:30", "2026-04-10T12:00:00.000Z"),
        ("2026-01-01T00:00:00+14:00", "2025-12-31T10:00:00.000Z"),
        ("2026-04-10T10:30:00+02", "2026-04-10T08:30:00.000Z"),
        ("2026-04-10T10:30:00+0200", "2026-04-10T08:30:00.000Z"),
        ("2026-04-10T10:30:00", "2026-04-10T10:30:00.000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        ("9999-12-31T23:59:59.9999Z", "9999-12-31T23:59:59.999Z"),
    ],
)
async def test_when_it_occurred_is_taken_with_any_offset(
    client: httpx2.AsyncClient, alice: str, drain: Drain, given: str, shown: str
) -> None:
    location = await log(client, alice, given)
    assert (await client.get(location)).json()["data"]["occurredAt"] == shown
    assert (await client.get(alice)).json()["data"]["lastActivityAt"] == shown
    await drain()
    assert (await client.get(location)).json()["data"]["occurredAt"] == shown
    assert (await client.get(alice)).json()["data"]["lastActivityAt"] == shown
    assert len((await client.get(f"{alice}/activities")).json()["data"]) == 1


@pytest.mark.parametrize(
    "given",
    [
        "2026-04-10",
        "yesterday",
        "1712102030405",
        "",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "10000-01-01T00:00:00Z",
        "-0044-03-15T12:00:00Z",
        "infinity",
        "1700000000",
        "9" * 10_000,
        "2026-04-10T10:30:00Z\u0000",
    ],
)
async def test_an_occurred_at_that_is_no_time_is_refused(client: httpx2.AsyncClient, alice: str, given: str) -> None:
    answer = await client.post(f"{alice}/activities", json={"type": "NOTE", "occurredAt": given})
    assert to_refusal(answer) == (422, "INVALID_FIELD"), answer.text[:500]
    assert [fault["field"] for fault in answer.json()["error"]["details"]["fields"]] == ["occurredAt"]
    assert len(answer.content) < 2000


async def test_the_contact_counts_and_remembers_but_is_no_other_version(
    client: httpx2.AsyncClient, alice: str, drain: Drain
) -> None:
    before = (await client.get(alice)).json()["data"]
    for at, last in (
        ("2026-04-10T10:30:00Z", "04-10"),
        ("2026-04-01T00:00:00Z", "04-10"),
        ("2026-04-11T00:00Z", "04-11"),
    ):
        await log(client, alice, at)
        pending = (await client.get(alice)).json()["data"]
        await drain()
        after = (await client.get(alice)).json()["data"]
        assert pending == after | {"pending": True}
        assert after["lastActivityAt"].startswith(f"2026-{last}")
        assert (after["version"], after["updatedAt"]) == (before["version"], before["updatedAt"])
    assert after["activityCount"] == 3
    listed = (await client.get("/crm/contacts?sortBy=lastActivityAt")).json()["data"][0]
    assert (listed["activityCount"], listed["lastActivityAt"]) == (3, after["lastActivityAt"])
    answer = await client.patch(alice, json={"name": "A"}, headers={"If-Match": '"1"'})
    assert answer.status_code == 202, "an activity does not stand in the way of If-Match"
    await drain()
    changed = (await client.get(alice)).json()["data"]
    assert (changed["activityCount"], changed["lastActivityAt"]) == (3, after["lastActivityAt"])


async def test_many_activities_at_once_are_all_counted(client: httpx2.AsyncClient, alice: str, drain: Drain) -> None:
    for _ in range(2):
        await asyncio.gather(*(log(client, alice) for _ in range(40)), client.patch(alice, json={"name": "A"}))
        await drain()
    assert (await client.get(alice)).json()["data"]["activityCount"] == 80
    rows = (await client.get(f"{alice}/activities?limit=100&count=exact")).json()
    assert (rows["meta"]["total"], {row["id"] for row in rows["data"]}) == (80, set(range(1, 81)))


async def test_activities_of_a_contact_that_is_still_pending(client: httpx2.AsyncClient, drain: Drain) -> None:
    contact = (await client.post("/crm/contacts", json={"email": "new@example.com"})).headers["location"]
    logged = await client.post("/crm/contacts/NEW@example.com/activities", json={"type": "NOTE", "content": "soon"})
    assert (logged.status_code, logged.json()["data"]["contactId"]) == (202, None)
    assert (await client.get(f"{contact}/activities")).json()["data"] == []
    pending = await client.get(contact)
    assert (pending.status_code, pending.json()["data"]["activityCount"]) == (202, 1)
    await drain()
    assert (await client.get(logged.headers["location"])).json()["data"]["contactId"] == 1
    for form in ("1", "new@example.com", contact.rpartition("/")[2]):
        assert await list_contents(client, f"/crm/contacts/{form}") == ["soon"]


@pytest.mark.usefixtures("living_writer")
async def test_waiting_answers_with_the_committed_activity(client: httpx2.AsyncClient) -> None:
    await client.post("/crm/contacts", json={"name": "A"}, headers={"Prefer": "wait=10"})
    for path in ("/crm/contacts/1/activities", "/crm/activities/contacts/1"):
        answer = await client.post(path, json=CALL, headers={"Prefer": "wait=10"})
        assert (answer.status_code, answer.headers["preference-applied"]) == (201, "wait=10")
        assert answer.json()["operation"]["status"] == "APPLIED"
        assert answer.json()["data"] == (await client.get(answer.headers["location"])).json()["data"]
    logged = await client.post("/crm/contacts/1/activities", json={"type": "TASK"})
    read_after = {"X-Read-After": logged.json()["operation"]["position"]}
    assert (await client.get("/crm/contacts/1/activities", headers=read_after)).json()["meta"]["total"] == 3


async def test_a_retry_with_its_key_logs_once(client: httpx2.AsyncClient, alice: str, drain: Drain) -> None:
    headers = {"Idempotency-Key": "call-7"}
    path = f"{alice}/activities"
    answers = await asyncio.gather(*(client.post(path, json=CALL, headers=headers) for _ in range(10)))
    await drain()
    answers.append(await client.post(path, json=dict(reversed(CALL.items())), headers=headers))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert [answer.headers.get("idempotent-replayed") for answer in answers].count("true") == 10
    other = await client.post(path, json={"type": "NOTE"}, headers=headers)
    assert to_refusal(other) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert (await client.get(alice)).json()["data"]["activityCount"] == 1


async def test_a_deleted_contact_takes_no_activity_but_shows_those_it_has(
    client: httpx2.AsyncClient, alice: str, drain: Drain
) -> None:
    location = await log(client, alice, content="before")
    await client.delete(alice)
    for _ in range(2):
        for path in (f"{alice}/activities", alice.replace("/crm/contacts", "/crm/activities/contacts")):
            answer = await client.post(path, json=CALL)
            assert to_refusal(answer) == (400, "INVALID_REQUEST")
            assert "restore" in answer.json()["error"]["message"]
        await drain()
    assert await list_contents(client, alice) == ["before"]
    assert (await client.get(location)).status_code == 200
    await client.post(f"{alice}/restore")
    await log(client, alice)
    await drain()
    assert (await client.get(alice)).json()["data"]["activityCount"] == 2


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ("7", 404, "NOT_FOUND"),
        ("9" * 30, 404, "NOT_FOUND"),
        (NOBODY, 404, "NOT_FOUND"),
        ("nobody@example.com", 404, "NOT_FOUND"),
        ("abc", 400, "INVALID_ID"),
        ("ctc_1", 400, "INVALID_ID"),
        ("act_01jrfz3x8mfvv8t3n2m6k0q4sb", 400, "INVALID_ID"),
        ("%00", 400, "INVALID_ID"),
        ("'%20OR%201=1--", 400, "INVALID_ID"),
    ],
)
async def test_a_contact_that_is_not_there_has_no_activities(
    client: httpx2.AsyncClient, form: str, status: int, code: str
) -> None:
    for path in (f"/crm/contacts/{form}/activities", f"/crm/activities/contacts/{form}"):
        for answer in (await client.get(path), await client.post(path, json=CALL)):
            assert to_refusal(answer) == (status, code), answer.text


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ("7", 404, "NOT_FOUND"),
        ("9" * 5000, 404, "NOT_FOUND"),
        ("act_01jrfz3x8mfvv8t3n2m6k0q4sb", 404, "NOT_FOUND"),
        (NOBODY, 400, "INVALID_ID"),
        ("a@b.co", 400, "INVALID_ID"),
        ("act_", 400, "INVALID_ID"),
        ("%00", 400, "INVALID_ID"),
        ("contacts", 404, "NOT_FOUND"),
    ],
)
async def test_an_activity_that_is_not_there_is_said_to_be(
    client: httpx2.AsyncClient, form: str, status: int, code: str
) -> None:
    assert to_refusal(await client.get(f"/crm/activities/{form}")) == (status, code)
    for method in ("PATCH", "DELETE", "POST"):
        assert (await client.request(method, f"/crm/activities/{form}")).status_code in (404, 405)


async def test_the_legacy_paths_answer_alike_and_name_the_better_ones(
    client: httpx2.AsyncClient, alice: str, drain: Drain
) -> None:
    legacy = alice.replace("/crm/contacts", "/crm/activities/contacts")
    logged = await client.post(legacy, json=CALL)
    assert logged.status_code == 202
    assert logged.headers["location"] == f"/crm/activities/{logged.json()['data']['externalId']}"
    assert logged.json()["data"].keys() == FIELDS | {"pending"}
    await log(client, alice)
    await drain()
    old, new = [await client.get(f"{path}?limit=1") for path in (legacy, f"{alice}/activities")]
    assert (old.status_code, old.json()) == (200, new.json())
    assert (old.json()["meta"]["total"], bool(old.json()["meta"]["nextCursor"])) == (2, True)
    for answer in (old, logged):
        assert answer.headers["deprecation"].startswith("@")
        assert answer.headers["link"] == f'<{alice}/activities>; rel="successor-version"'
    assert not {"deprecation", "link"} & new.headers.keys()


@pytest.mark.parametrize(
    ("form", "linked"),
    [
        ("1", "1"),
        ("Alice%40example.com", "Alice@example.com"),
        ("%0d%0aalice@example.com%0d%0a", "%0D%0Aalice@example.com%0D%0A"),
        ("%C2%A0alice@example.com", "%C2%A0alice@example.com"),
    ],
)
async def test_the_better_path_is_a_header_whatever_the_id_looks_like(
    client: httpx2.AsyncClient, alice: str, form: str, linked: str
) -> None:
    answer = await client.get(f"/crm/activities/contacts/{form}")
    assert answer.status_code == 200
    assert answer.headers["link"] == f'</crm/contacts/{linked}/activities>; rel="successor-version"'
    assert (await client.get(f"/crm/contacts/{linked}/activities")).json() == answer.json()


async def test_the_others_activities_are_not_found(
    client: httpx2.AsyncClient, other_client: httpx2.AsyncClient, alice: str, drain: Drain
) -> None:
    location = await log(client, alice, content="secret")
    for _ in range(2):
        for form in (location, "/crm/activities/1"):
            assert to_refusal(await other_client.get(form)) == (404, "NOT_FOUND")
        for form in ("1", alice.rpartition("/")[2], "alice@example.com"):
            for path in (f"/crm/contacts/{form}/activities", f"/crm/activities/contacts/{form}"):
                for answer in (await other_client.get(path), await other_client.post(path, json=CALL)):
                    assert to_refusal(answer) == (404, "NOT_FOUND")
        await drain()
    await other_client.post("/crm/contacts", json={"email": "alice@example.com"})
    await drain()
    assert await list_contents(other_client, "/crm/contacts/1") == []
    assert await list_contents(client, alice) == ["secret"]


async def parts() -> AsyncIterator[bytes]:
    yield b'{"type":"NOTE","content":"'
    for _ in range(40):
        yield b"a" * 65_536


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "INVALID_REQUEST"),
        (b"[]", 400, "INVALID_REQUEST"),
        (b'{"type":"NOTE"', 400, "INVALID_REQUEST"),
        (b'{"type":"NOTE","type":"CALL"}', 400, "INVALID_REQUEST"),
        (b'{"type":"NOTE","content":"\\ud800"}', 400, "INVALID_REQUEST"),
        (b'{"type":"NOTE","content":"\xe9"}', 400, "INVALID_REQUEST"),
        (b'{"type":"NOTE","properties":{"a":NaN}}', 400, "INVALID_REQUEST"),
        (b'{"type":"NOTE","properties":{"a":1e999}}', 422, "INVALID_FIELD"),
        (b'{"type":"NOTE","properties":{"a":"\\u0000"}}', 422, "INVALID_FIELD"),
        (b'{"type":"NOTE","properties":{"a":' + b"[" * 10 + b"]" * 10 + b"}}", 422, "INVALID_FIELD"),
        (b'{"type":"NOTE","properties":{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}}", 400, "INVALID_REQUEST"),
        (b'{"type":"NOTE","content":"' + b"a" * 1_100_000 + b'"}', 413, "PAYLOAD_TOO_LARGE"),
        (None, 413, "PAYLOAD_TOO_LARGE"),
    ],
)
async def test_a_hostile_body_is_refused_and_logs_nothing(
    client: httpx2.AsyncClient, alice: str, drain: Drain, body: bytes | None, status: int, code: str
) -> None:
    for path in (f"{alice}/activities", alice.replace("/crm/contacts", "/crm/activities/contacts")):
        answer = await client.post(path, content=parts() if body is None else body)
        assert to_refusal(answer) == (status, code), answer.text[:500]
    await drain()
    assert (await client.get(alice)).json()["data"]["activityCount"] == 0
