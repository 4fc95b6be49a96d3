"""The one shape of errors, what a failure tells, and what every answer carries."""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import httpx2
import pytest
from structlog.testing import capture_logs

from kith.errors import CODES
from kith.model.workspaces import Workspace
from tests.kit import Kit


async def test_an_unknown_path_is_not_found(client: httpx2.AsyncClient, kit: Kit) -> None:
    async with kit.open_client() as stranger:
        answers = [await stranger.get(path) for path in ("/crmx", "/nothing", "/docs/nothing", "/healthz/")]
    answers += [await client.get(path) for path in ("/crm", "/crm/", "/crm/contacts/", "/crm/contacts/1/nothing")]
    for answer in answers:
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")
        assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/crm/contacts", "GET, HEAD, POST"),
        ("POST", "/crm/contacts/1", "DELETE, GET, HEAD, PATCH"),
        ("GET", "/crm/contacts/1/restore", "POST"),
        ("PUT", "/crm/contacts/search", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
        ("BREW", "/crm/contacts", "GET, HEAD, POST"),
    ],
)
async def test_an_unknown_method_is_told_the_ones_there_are(
    client: httpx2.AsyncClient, method: str, path: str, allowed: str
) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == allowed


async def test_head_answers_like_get_without_the_body(client: httpx2.AsyncClient) -> None:
    got, head = await client.get("/crm/contacts"), await client.head("/crm/contacts")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(got.content))
    assert (await client.head("/crm/contacts/1")).status_code == 404


async def test_every_error_has_the_one_shape(client: httpx2.AsyncClient) -> None:
    for answer in (
        await client.get("/crm/contacts/x"),
        await client.get("/crm/nothing"),
        await client.post("/crm/contacts", json={"nmae": "A"}),
        await client.get("/crm/contacts?page=0"),
    ):
        body = answer.json()
        assert body.keys() == {"success", "error"}
        assert body["success"] is False
        assert body["error"].keys() == {"code", "message", "details"}
        assert CODES[body["error"]["code"]][0] == answer.status_code


async def test_every_answer_has_a_correlation_id(client: httpx2.AsyncClient, kit: Kit) -> None:
    async with kit.open_client() as stranger:
        answers = [await stranger.get("/healthz"), await stranger.get("/crm"), await stranger.get("/nothing")]
    answers += [await client.get("/crm/contacts"), await client.get("/crm/contacts/x")]
    ids = {answer.headers["x-correlation-id"] for answer in answers}
    assert len(ids) == len(answers)
    own = await client.get("/crm/contacts", headers={"X-Correlation-Id": "order-7"})
    assert own.headers["x-correlation-id"] == "order-7"
    odd = await client.get("/crm/contacts", headers={"X-Correlation-Id": 'a "b" c'})
    assert odd.headers["x-correlation-id"] != 'a "b" c'


async def test_answers_are_neither_sniffed_nor_kept(client: httpx2.AsyncClient) -> None:
    for path in ("/crm/contacts", "/crm/contacts/x"):
        answer = await client.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


async def test_a_failure_says_only_where_to_look_it_up(own_kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> Any:
        raise ZeroDivisionError("a secret of the house")

    monkeypatch.setattr(type(own_kit.engine.database), "fetchrow", fail)
    monkeypatch.setattr(type(own_kit.engine.keys), "look_up", fail)
    async with own_kit.open_client("kith_srv_" + "a" * 43) as client:
        with capture_logs() as logs:
            answer = await client.get("/crm/contacts/1", headers={"X-Correlation-Id": "order-7"})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "INTERNAL"
    assert answer.json()["error"]["details"] == {"correlationId": "order-7"}
    assert answer.headers["x-correlation-id"] == "order-7"
    assert "order-7" in answer.json()["error"]["message"]
    assert "secret" not in answer.text
    assert "ZeroDivision" not in answer.text
    (line,) = [line for line in logs if line["log_level"] == "error"]
    assert line["correlation_id"] == "order-7"
    assert line["error"] == "ZeroDivisionError"
    assert "test_errors.py" in line["trace"][-1]
    assert "secret" not in str(line)  # the message may hold what a record holds; KITH_LOG_LEVEL=debug shows it


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (asyncpg.QueryCanceledError("canceling statement due to statement timeout"), 504, "QUERY_TIMEOUT"),
        (ConnectionRefusedError(), 503, "SERVICE_UNAVAILABLE"),
        (asyncpg.CannotConnectNowError("the database system is starting up"), 503, "SERVICE_UNAVAILABLE"),
    ],
)
async def test_a_database_that_fails_has_codes_of_its_own(
    own_kit: Kit, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str
) -> None:
    async def fail(*_: object) -> Any:
        raise error

    key = await own_kit.make_key(await own_kit.make_workspace())
    async with own_kit.open_client(key) as client:
        assert (await client.get("/crm/contacts/1")).status_code == 404
        monkeypatch.setattr(type(own_kit.engine.database), "fetchrow", fail)
        answer = await client.get("/crm/contacts/1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert ("retry-after" in answer.headers) == (status == 503)
    assert str(error) not in answer.text or not str(error)


async def test_a_server_that_misses_a_part_is_not_ready(own_kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    async with own_kit.open_client() as stranger:
        ready = await stranger.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"status": "ready", "missing": [], "degraded": []})

        async def fail(*_: object) -> Any:
            raise ConnectionRefusedError("nobody listens")

        for verb in ("fetch", "fetchrow", "fetchval"):
            monkeypatch.setattr(type(own_kit.engine.database), verb, fail)
        answer = await stranger.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
        assert "PostgreSQL" in answer.json()["missing"][0]
        assert (await stranger.get("/healthz")).status_code == 200


async def test_metrics_count_requests_by_route_and_not_by_path(client: httpx2.AsyncClient, kit: Kit) -> None:
    await client.get("/crm/contacts/424242")
    await client.get("/crm/nothing/434343")
    async with kit.open_client() as stranger:
        text = (await stranger.get("/metrics")).text
    assert 'kith_http_requests_total{method="GET",route="/crm/contacts/{contact_id}",status="404"}' in text
    assert 'kith_http_request_seconds_bucket{le="0.005",method="GET",route="/crm/contacts/{contact_id}"}' in text
    assert 'route="none",status="404"' in text
    assert "424242" not in text
    assert "434343" not in text


async def test_a_client_that_leaves_in_mid_body_is_not_answered(kit: Kit, client: httpx2.AsyncClient) -> None:
    sent = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    key = client.headers["authorization"].encode()
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/crm/contacts",
        "raw_path": b"/crm/contacts",
        "query_string": b"",
        "headers": [(b"host", b"kith.test"), (b"authorization", key)],
    }
    await kit.app(scope, receive, send)
    assert sent == []


async def test_metrics_tell_how_far_the_writer_is_behind(
    client: httpx2.AsyncClient, kit: Kit, drain: Callable[[], Awaitable[None]], workspace: Workspace
) -> None:
    await drain()
    await client.post("/crm/contacts", json={"name": "Ada"})
    async with kit.open_client() as stranger:
        waiting = (await stranger.get("/metrics")).text
        await drain()
        applied = (await stranger.get("/metrics")).text
    assert f'kith_log_lag_commands{{shard="{workspace.shard}"}} 1.0' in waiting
    assert f'kith_log_lag_commands{{shard="{workspace.shard}"}} 0.0' in applied
    assert "kith_pending_writes 1.0" in waiting


async def test_common_names_of_fields_are_suggested_wherever_a_field_is_named(client: httpx2.AsyncClient) -> None:
    body = {"email": "a@example.com", "firstName": "A", "last_name": "B", "mobile": "1"}
    message = str((await client.post("/crm/contacts", json=body)).json()["error"])
    assert all(f"Did you mean '{meant}'?" in message for meant in ("givenName", "familyName", "phone"))
    body = {"company": "Acme", "tags": ["vip"], "owner": "o", "middleName": "M"}
    fields = (await client.post("/crm/contacts", json=body)).json()["error"]["details"]["fields"]
    assert {fault["field"]: fault["message"] for fault in fields} == {
        "company": "is not a field here. Link a company with POST /crm/contacts/{id}/companies.",
        "tags": "is not a field here. Tag it with POST /crm/contacts/{id}/tags.",
        "owner": 'is not a field here. One of your own goes into properties: {"properties": {…}}.',
        "middleName": 'is not a field here. One of your own goes into properties: {"properties": {…}}.',
    }
    for more in ({"where": "surname = x"}, {"sort": "surname:asc"}, {"select": ["surname"]}):
        error = (await client.post("/crm/query", json={"entity": "contact"} | more)).json()["error"]
        assert (error["code"], error["details"]["suggestion"]) == ("UNKNOWN_FIELD", "familyName"), more
    for query, way_out in (
        ("email=a@example.com", "GET /crm/contacts/{email}"),
        ("zzz=1", "POST /crm/query filters by any field"),
    ):
        error = (await client.get(f"/crm/contacts?{query}")).json()["error"]
        assert way_out in error["message"], error
    for sort, meant in (("name desc", "name:desc"), ("email:asc, name  DESC", "name:desc")):
        error = (await client.post("/crm/query", json={"entity": "contact", "sort": sort})).json()["error"]
        assert (error["code"], error["details"]["suggestion"]) == ("QUERY_SYNTAX", meant), sort
    made = {"name": "x", "entityType": "CONTACT", "isDynamic": True, "filterCriteria": {"where": "name = x"}}
    error = (await client.post("/crm/lists", json=made)).json()["error"]
    assert '"explain": true' in error["message"], error
    for query, meant in (("pageSize=5", "limit"), ("sortBy=created_at", "createdAt"), ("order=asc", "sortOrder")):
        error = (await client.get(f"/crm/contacts?{query}")).json()["error"]
        assert f"Did you mean '{meant}'?" in error["message"], error
    error = (await client.get("/crm/contacts?sortBy=lastName")).json()["error"]
    assert error["message"] == "sortBy: 'lastName' is not one of createdAt, email, lastActivityAt, name."
