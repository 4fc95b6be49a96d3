"""What holds for every write: waiting, retrying, versions, operations, reading after it."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx2
import pytest

from kith.engine.context.engine import Engine
from kith.errors import Exposed
from tests.kit import Kit, make_blind

Drain = Callable[[], Awaitable[None]]


@pytest.mark.usefixtures("living_writer")
async def test_waiting_answers_with_the_committed_record(client: httpx2.AsyncClient) -> None:
    created = await client.post("/crm/contacts", json={"name": "Alice"}, headers={"Prefer": "wait=10"})
    assert created.status_code == 201
    assert created.headers["preference-applied"] == "wait=10"
    assert created.json()["data"]["id"] == 1
    assert "pending" not in created.json()["data"]
    assert created.json()["operation"]["status"] == "APPLIED"
    location = created.headers["location"]
    for method, path, body in (
        ("PATCH", location, {"json": {"name": "Bob"}}),
        ("DELETE", location, {}),
        ("POST", f"{location}/restore", {}),
    ):
        answer = await client.request(method, path, headers={"Prefer": "respond-async, wait=10"}, **body)
        assert (answer.status_code, "pending" in answer.json()["data"]) == (200, False)


async def test_past_the_wait_the_answer_is_the_ordinary_one(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/crm/contacts", json={"name": "Alice"}, headers={"Prefer": "wait=1"})
    assert answer.status_code == 202
    assert "preference-applied" not in answer.headers
    assert answer.json()["data"]["pending"] is True


@pytest.mark.usefixtures("living_writer")
@pytest.mark.parametrize("prefer", ["wait=0", "wait=soon", "respond-async", ""])
async def test_a_wish_that_is_none_is_ignored(client: httpx2.AsyncClient, prefer: str) -> None:
    answer = await client.post("/crm/contacts", json={"name": "Alice"}, headers={"Prefer": prefer})
    assert answer.status_code == 202
    assert "preference-applied" not in answer.headers


async def test_a_retry_with_its_key_is_the_same_write(client: httpx2.AsyncClient, drain: Drain) -> None:
    headers = {"Idempotency-Key": "order-7"}
    first = await client.post("/crm/contacts", json={"name": "Alice", "givenName": "A"}, headers=headers)
    again = await client.post("/crm/contacts", content='{"givenName":"A" , "name":"Alice"}', headers=headers)
    await drain()
    later = await client.post("/crm/contacts", json={"name": "Alice", "givenName": "A"}, headers=headers)
    assert [answer.status_code for answer in (first, again, later)] == [202, 202, 202]
    assert first.json() == again.json()
    assert later.json()["data"] == first.json()["data"]
    assert later.json()["operation"] == {**first.json()["operation"], "status": "APPLIED"}
    assert "idempotent-replayed" not in first.headers
    for answer in (again, later):
        assert answer.headers["idempotent-replayed"] == "true"
        assert answer.headers["location"] == first.headers["location"]
        assert answer.headers["x-correlation-id"] == first.headers["x-correlation-id"]
    assert (await client.get("/crm/contacts")).json()["meta"]["total"] == 1


@pytest.mark.usefixtures("living_writer")
async def test_a_replay_honours_a_wait_of_its_own(client: httpx2.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k"}
    assert (await client.post("/crm/contacts", json={"name": "A"}, headers=headers)).status_code == 202
    replayed = await client.post("/crm/contacts", json={"name": "A"}, headers={**headers, "Prefer": "wait=10"})
    assert (replayed.status_code, replayed.headers["idempotent-replayed"]) == (201, "true")
    assert replayed.json()["data"]["id"] == 1


async def test_a_key_with_another_request_is_refused(client: httpx2.AsyncClient, drain: Drain) -> None:
    headers = {"Idempotency-Key": "k"}
    location = (await client.post("/crm/contacts", json={"name": "A"}, headers=headers)).headers["location"]
    for _ in range(2):
        for method, path, body in (("POST", "/crm/contacts", {"name": "B"}), ("PATCH", location, {"name": "A"})):
            answer = await client.request(method, path, json=body, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
        await drain()


async def test_racing_retries_name_one_record(client: httpx2.AsyncClient, drain: Drain) -> None:
    headers = {"Idempotency-Key": "race"}
    answers = await asyncio.gather(
        *(client.post("/crm/contacts", json={"email": "a@b.co"}, headers=headers) for _ in range(20))
    )
    await drain()
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["data"]["externalId"] for answer in answers}) == 1
    assert len({answer.json()["operation"]["id"] for answer in answers}) == 1
    assert (await client.get("/crm/contacts")).json()["meta"]["total"] == 1


@pytest.mark.usefixtures("living_writer")
async def test_clients_that_race_for_emails_make_one_contact_each(client: httpx2.AsyncClient, drain: Drain) -> None:
    emails = [f"person{number % 20}@example.com" for number in range(600)]
    gate = asyncio.Semaphore(64)

    async def create(email: str) -> httpx2.Response:
        async with gate:
            return await client.post("/crm/contacts", json={"email": email})

    answers = await asyncio.gather(*(create(email) for email in emails))
    await drain()
    applied = 0
    for answer in answers:
        if answer.status_code == 202:
            operation = (await client.get(answer.headers["operation-location"])).json()["data"]
            applied += operation["status"] == "APPLIED"
            assert operation["error"] is None or operation["error"]["code"] == "CONTACT_EMAIL_EXISTS"
        else:
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "CONTACT_EMAIL_EXISTS")
    assert applied == 20
    assert (await client.get("/crm/contacts?count=exact")).json()["meta"]["total"] == 20


async def test_a_refusal_is_not_remembered(client: httpx2.AsyncClient, drain: Drain) -> None:
    location = (await client.post("/crm/contacts", json={"email": "a@b.co"})).headers["location"]
    headers = {"Idempotency-Key": "k"}
    assert (await client.post("/crm/contacts", json={"email": "a@b.co"}, headers=headers)).status_code == 409
    await client.delete(location)
    await drain()
    again = await client.post("/crm/contacts", json={"email": "a@b.co"}, headers=headers)
    assert (again.status_code, "idempotent-replayed" in again.headers) == (202, False)


async def test_a_key_is_one_api_keys_own(client: httpx2.AsyncClient, other_client: httpx2.AsyncClient) -> None:
    headers = {"Idempotency-Key": "shared"}
    one = await client.post("/crm/contacts", json={"name": "A"}, headers=headers)
    other = await other_client.post("/crm/contacts", json={"name": "B"}, headers=headers)
    assert (one.status_code, other.status_code) == (202, 202)
    assert one.json()["operation"]["id"] != other.json()["operation"]["id"]


@pytest.mark.parametrize("key", ["", "   ", "x" * 256])
async def test_a_key_that_cannot_be_one_is_an_invalid_request(client: httpx2.AsyncClient, key: str) -> None:
    answer = await client.post("/crm/contacts", json={"name": "A"}, headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")


async def test_a_write_may_insist_on_a_version(client: httpx2.AsyncClient, drain: Drain) -> None:
    location = (await client.post("/crm/contacts", json={"name": "A"})).headers["location"]
    await drain()
    etag = (await client.get(location)).headers["etag"]
    assert (await client.patch(location, json={"name": "B"}, headers={"If-Match": etag})).status_code == 202
    # The write is pending, and its version counts already.
    for _ in range(2):
        for method, body in (("PATCH", {"json": {"name": "C"}}), ("DELETE", {})):
            refused = await client.request(method, location, headers={"If-Match": etag}, **body)
            assert (refused.status_code, refused.json()["error"]["code"]) == (412, "VERSION_MISMATCH")
        await drain()
    for wanted in ("*", 'W/"2"'):
        assert (await client.patch(location, json={"name": "B"}, headers={"If-Match": wanted})).status_code == 202


@pytest.mark.parametrize("wanted", ["x", '"x"', '"1","2"', ""])
async def test_a_version_that_is_none_is_an_invalid_request(client: httpx2.AsyncClient, wanted: str) -> None:
    location = (await client.post("/crm/contacts", json={"name": "A"})).headers["location"]
    answer = await client.patch(location, json={"name": "B"}, headers={"If-Match": wanted})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")


async def test_an_operation_tells_what_became_of_a_write(client: httpx2.AsyncClient, drain: Drain) -> None:
    created = await client.post("/crm/contacts", json={"name": "A"})
    path = created.headers["operation-location"]
    pending = (await client.get(path)).json()["data"]
    await drain()
    applied = (await client.get(path)).json()["data"]
    shown = {"id", "status", "type", "position", "resource", "actor", "error", "result", "progress"}
    shown |= {"createdAt", "appliedAt"}
    assert pending.keys() == shown
    assert pending == {**created.json()["operation"], "type": "CreateContact", "error": None, "result": None} | {
        "progress": None,
        "actor": {"kind": "key", "id": pending["actor"]["id"], "name": None},
        "resource": created.headers["location"],
        "createdAt": created.json()["data"]["createdAt"],
        "appliedAt": None,
    }
    assert applied == {**pending, "status": "APPLIED", "appliedAt": applied["appliedAt"]}
    assert applied["appliedAt"] >= applied["createdAt"]


@pytest.mark.parametrize(
    ("operation_id", "code"),
    [
        ("op_01jrfz3x8mfvv8t3n2m6k0q4sb", "NOT_FOUND"),
        ("op_1", "INVALID_ID"),
        ("7", "INVALID_ID"),
        ("ctc_01jrfz3x8mfvv8t3n2m6k0q4sb", "INVALID_ID"),
        ("%00", "INVALID_ID"),
    ],
)
async def test_an_operation_that_is_not_there_is_said_to_be(
    client: httpx2.AsyncClient, operation_id: str, code: str
) -> None:
    answer = await client.get(f"/crm/operations/{operation_id}")
    assert answer.json()["error"]["code"] == code


@pytest.mark.usefixtures("living_writer")
async def test_a_client_reads_its_own_write_in_a_list(client: httpx2.AsyncClient) -> None:
    for number in range(5):
        created = (await client.post("/crm/contacts", json={"name": f"Person {number}"})).json()["operation"]
        for token in (created["id"], created["position"]):
            answer = await client.get("/crm/contacts?search=person", headers={"X-Read-After": token})
            assert answer.json()["meta"]["total"] == number + 1
            assert "preference-applied" not in answer.headers


async def test_a_read_that_waits_in_vain_says_so(client: httpx2.AsyncClient, drain: Drain) -> None:
    position = (await client.post("/crm/contacts", json={"name": "A"})).json()["operation"]["position"]
    headers = {"X-Read-After": position, "Prefer": "wait=1"}
    paths = ("/crm/contacts", "/crm/contacts/search?q=a", "/crm/contacts/1")
    for answer in await asyncio.gather(*(client.get(path, headers=headers) for path in paths)):
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "READ_AFTER_TIMEOUT")
    await drain()
    answer = await client.get("/crm/contacts", headers=headers)
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=1")


@pytest.mark.parametrize(
    "token", ["x", "", "-", "1-", "1-x", "op_1", "999-1", "9" * 5000 + "-1", "op_01jrfz3x8mfvv8t3n2m6k0q4sb"]
)
async def test_a_token_that_names_no_write_is_refused(client: httpx2.AsyncClient, token: str) -> None:
    answer = await client.get("/crm/contacts", headers={"X-Read-After": token})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST"), answer.text


async def test_a_race_that_only_the_writer_sees_ends_rejected(own_kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    key = await own_kit.make_key(await own_kit.make_workspace())
    async with own_kit.open_client(key) as client:
        make_blind(monkeypatch, own_kit.engine, "find_holder")
        paths = [
            (await client.post("/crm/contacts", json={"email": "a@b.co"})).headers["operation-location"]
            for _ in range(2)
        ]
        await own_kit.drain()
        won, lost = [(await client.get(path)).json()["data"] for path in paths]
    assert (won["status"], lost["status"]) == ("APPLIED", "REJECTED")
    assert lost["error"]["code"] == "CONTACT_EMAIL_EXISTS"
    assert lost["error"]["details"]["existingId"] == 1


async def test_a_rejection_that_was_waited_for_is_the_error_itself(
    own_kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await own_kit.make_key(await own_kit.make_workspace())
    async with own_kit.open_client(key) as client, own_kit.living_writer():
        make_blind(monkeypatch, own_kit.engine, "find_holder")
        monkeypatch.setattr(type(own_kit.engine.loader), "load", answer_nothing)
        answers = [
            await client.post("/crm/contacts", json={"email": "a@b.co"}, headers={"Prefer": "wait=10"})
            for _ in range(2)
        ]
    assert [answer.status_code for answer in answers] == [201, 409]
    assert answers[1].json()["error"]["code"] == "CONTACT_EMAIL_EXISTS"


async def answer_nothing(*_: object) -> list[object]:
    return []


async def test_a_log_that_is_down_is_said_to_be_and_nothing_is_kept(
    client: httpx2.AsyncClient, engine: Engine, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> int:
        raise Exposed("SERVICE_UNAVAILABLE", "The log does not answer.", None, {"Retry-After": "1"})

    with monkeypatch.context() as down:
        down.setattr(type(engine.log), "append", refuse)
        answer = await client.post("/crm/contacts", json={"email": "a@b.co"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    await drain()
    assert (await client.get("/crm/contacts/a@b.co")).status_code == 404
    assert (await client.post("/crm/contacts", json={"email": "a@b.co"})).status_code == 202
