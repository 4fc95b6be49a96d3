"""What every request meets before its endpoint: headers, paths, other origins, and what needs no key."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest
from structlog.testing import capture_logs

from kith.api.app import Application
from kith.api.cors import read_origins
from kith.api.kept import KeptAnswer
from kith.api.responses import Answer
from kith.errors import StartError
from kith.model.workspaces import Workspace
from tests.kit import Kit, open_kit

ORIGIN = "https://app.example.com"
PREFLIGHT = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}


@pytest.fixture
async def stranger(kit: Kit) -> AsyncIterator[httpx2.AsyncClient]:
    async with kit.open_client() as opened:
        yield opened


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/crm/contact", "/crm/contacts"),
        ("/contacts", "/crm/contacts"),
        ("/contact", "/crm/contacts"),
        ("/crm/contacts/", "/crm/contacts"),
        ("/crm/contacts/1/", "/crm/contacts/1"),
        ("/crm/contact/1", "/crm/contacts/1"),
        ("/contacts/a@b.example", "/crm/contacts/a@b.example"),
        ("/crm/Contacts/1/activity", "/crm/contacts/1/activities"),
        ("/crm/contacts//search", "/crm/contacts/search"),
        ("/crm/queries", "/crm/query"),
        ("/companies/1/tag", "/crm/companies/1/tags"),
        ("/doc", "/docs"),
        ("/api/contacts", "/crm/contacts"),
        ("/api/v1/contact/1", "/crm/contacts/1"),
        ("/crm/v3/contacts", "/crm/contacts"),
        ("/healthz/", "/healthz"),
    ],
)
async def test_a_path_that_is_nearly_right_is_404_with_the_right_one(
    client: httpx2.AsyncClient, path: str, meant: str
) -> None:
    answer = await client.post(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["details"] == {"suggestion": meant}
    assert meant in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "path",
    ["/nothing/of/the/kind", "/swagger", "/crm/", "/v1", "/crm/xyz", "/crm", "/crm/contacts/1/2/3", "/" + "a" * 500],
)
async def test_a_path_that_is_like_no_other_gets_no_suggestion(client: httpx2.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["error"]["details"]) == (404, None)
    assert "GET /docs" in answer.json()["error"]["message"]


@pytest.mark.parametrize("noun", ["contacts", "companies", "tags", "lists", "properties", "activities"])
@pytest.mark.parametrize("verb", ["batch", "bulk", "upsert", "import", "export"])
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
async def test_the_verb_of_another_api_is_no_id(client: httpx2.AsyncClient, noun: str, verb: str, method: str) -> None:
    answer = await client.request(method, f"/crm/{noun}/{verb}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("kith_srv_abcdefgh", "'Bearer ' is missing"),
        ("Bearer", "no key after 'Bearer'"),
        ("Basic a2l0aA==", "is not Bearer"),
        ("", "No API key was sent"),
    ],
)
async def test_a_key_without_its_scheme_is_told_so(stranger: httpx2.AsyncClient, header: str, told: str) -> None:
    answer = await stranger.get("/crm/contacts", headers={"Authorization": header})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHORIZED")
    message = answer.json()["error"]["message"]
    assert told in message
    assert "abcdefgh" not in message


async def send(kit: Kit, *headers: tuple[bytes, bytes], path: str = "/healthz", version: str = "1.1") -> Any:
    """(status, error) of a request with exactly these headers."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def take(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": list(headers)}
    await kit.app({**scope, "http_version": version}, receive, take)
    return sent[0]["status"], json.loads(sent[1]["body"]).get("error")


HOST = (b"host", b"kith.test")


@pytest.mark.parametrize(
    ("headers", "header"),
    [
        ((), "Host"),
        ((HOST, HOST), "Host"),
        *((((b"host", host),), "Host") for host in (b"", b"a, b", b"a@b/../", b"a:b", b"a b", b"[::1", b"\xff")),
        ((HOST, (b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")), "Authorization"),
        ((HOST, (b"x-api-key", b"a"), (b"x-api-key", b"a")), "X-API-Key"),
        ((HOST, (b"idempotency-key", b"a"), (b"idempotency-key", b"b")), "Idempotency-Key"),
        ((HOST, (b"if-match", b"1"), (b"if-match", b"2")), "If-Match"),
        ((HOST, (b"content-type", b"a/b"), (b"content-type", b"application/json")), "Content-Type"),
    ],
)
@pytest.mark.parametrize("path", ["/healthz", "/crm/contacts"])
async def test_a_header_that_may_come_once_is_not_chosen_from_two(
    kit: Kit, headers: tuple[tuple[bytes, bytes], ...], header: str, path: str
) -> None:
    status, error = await send(kit, *headers, path=path)
    assert (status, error["code"], error["details"]) == (400, "INVALID_REQUEST", {"header": header})


async def test_other_headers_may_come_twice_and_http_1_0_needs_no_host(kit: Kit) -> None:
    assert (await send(kit, HOST, (b"accept", b"a"), (b"accept", b"b"), (b"prefer", b"a"), (b"prefer", b"b")))[0] == 200
    assert (await send(kit, version="1.0"))[0] == 200


@pytest.mark.parametrize("host", [b"a.example.com:80", b"my_service:8000", b"127.0.0.1", b"[2001:db8::1]:8000"])
async def test_a_host_is_a_name_or_an_address_and_a_port(kit: Kit, host: bytes) -> None:
    assert (await send(kit, (b"host", host)))[0] == 200


async def test_the_first_page_leads_on_and_is_json_where_json_is_asked_for(stranger: httpx2.AsyncClient) -> None:
    page = await stranger.get("/", headers={"Accept": "text/html,*/*"})
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert 'href="/docs"' in page.text
    assert 'href="/readyz"' in page.text
    told = await stranger.get("/", headers={"Accept": "application/json"})
    for path in told.json().values():
        assert path == "Kith" or (await stranger.get(path)).status_code == 200


async def test_the_documentation_keeps_no_key_and_is_framed_by_nobody(stranger: httpx2.AsyncClient) -> None:
    page = await stranger.get("/docs")
    policy = page.headers["content-security-policy"]
    for directive in ("frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", "default-src 'none'"):
        assert directive in policy
    assert "persistAuthorization" not in (await stranger.get("/docs/start.js")).text


async def test_an_origin_that_nobody_named_is_not_let_in(stranger: httpx2.AsyncClient) -> None:
    answer = await stranger.options("/crm/contacts", headers={"Origin": ORIGIN, **PREFLIGHT})
    assert answer.status_code == 204
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert (await stranger.options("/crm/nothing")).status_code == 404


async def test_pages_of_an_origin_that_is_named_may_call(kit: Kit, workspace: Workspace) -> None:
    settings = msgspec.structs.replace(kit.engine.settings, cors_origins=f"{ORIGIN}, http://localhost:3000")
    engine = msgspec.structs.replace(kit.engine, settings=settings)
    key = await kit.make_key(workspace)
    transport = httpx2.ASGITransport(app=Application(engine))
    async with httpx2.AsyncClient(transport=transport, base_url="http://kith.test") as browser:
        asked = await browser.options("/crm/contacts/1", headers={"Origin": ORIGIN, **PREFLIGHT})
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (204, ORIGIN)
        assert asked.headers["access-control-allow-methods"] == "DELETE, GET, HEAD, OPTIONS, PATCH"
        assert {"authorization", "x-correlation-id"} <= set(asked.headers["access-control-allow-headers"].split(", "))
        assert asked.headers["vary"] == "Origin"
        for authorization, status in ((f"Bearer {key}", 200), ("Bearer nobody", 401)):
            got = await browser.get("/crm/contacts", headers={"Origin": ORIGIN, "Authorization": authorization})
            assert (got.status_code, got.headers["access-control-allow-origin"]) == (status, ORIGIN)
            exposed = set(got.headers["access-control-expose-headers"].split(", "))
            told = {name for name in got.headers if name.startswith(("x-", "ratelimit"))} - {"x-content-type-options"}
            assert exposed >= told | {"preference-applied", "idempotent-replayed", "location"}
        other = await browser.options("/crm/contacts", headers={"Origin": "https://evil.example", **PREFLIGHT})
        assert "access-control-allow-origin" not in other.headers
        assert "access-control-allow-methods" not in other.headers


@pytest.mark.parametrize("setting", ["*", "app.example.com", "https://a.example/path", "https://*.example.com"])
def test_what_is_no_origin_is_refused_at_the_start(setting: str) -> None:
    with pytest.raises(StartError, match="KITH_CORS_ORIGINS"):
        read_origins(setting)


async def test_many_who_ask_at_once_share_one_answer() -> None:
    made = 0
    go = asyncio.Event()

    async def make() -> Answer:
        nonlocal made
        made += 1
        await go.wait()
        return Answer(200, b"%d" % made, [])

    kept = KeptAnswer(3_600_000)
    asking = [asyncio.create_task(kept.get(make)) for _ in range(32)]
    await asyncio.sleep(0)
    asking[0].cancel()  # whoever leaves does not take the answer of the others along
    go.set()
    answers = await asyncio.gather(*asking[1:])
    answers[0].headers.append((b"a", b"b"))
    again = await kept.get(make)
    assert {answer.body for answer in answers} == {b"1"}
    assert (made, again.body, again.headers) == (1, b"1", [])


async def test_an_answer_that_failed_is_not_kept() -> None:
    async def fail() -> Answer:
        raise ValueError

    async def make() -> Answer:
        return Answer(200, b"", [])

    kept = KeptAnswer(3_600_000)
    with pytest.raises(ValueError):  # noqa: PT011 - the one above
        await kept.get(fail)
    assert (await kept.get(make)).status == 200


async def test_metrics_and_readiness_are_made_once_for_all_who_ask(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    settings = msgspec.structs.replace(kit.engine.settings, status_cache_ms=3_600_000)
    engine = msgspec.structs.replace(kit.engine, settings=settings)
    fetch = type(kit.engine.database).fetch
    fetchval = type(kit.engine.database).fetchval

    async def count_fetch(self: Any, sql: str, *values: Any) -> Any:
        asked.append(sql)
        return await fetch(self, sql, *values)

    async def count_fetchval(self: Any, sql: str, *values: Any) -> Any:
        asked.append(sql)
        return await fetchval(self, sql, *values)

    monkeypatch.setattr(type(kit.engine.database), "fetch", count_fetch)
    monkeypatch.setattr(type(kit.engine.database), "fetchval", count_fetchval)
    transport = httpx2.ASGITransport(app=Application(engine))
    async with httpx2.AsyncClient(transport=transport, base_url="http://kith.test") as many:
        for path in ("/metrics", "/readyz"):
            await many.get(path)
            once = len(asked)
            await asyncio.gather(*(many.get(path) for _ in range(32)))
            assert len(asked) == once


async def test_readiness_names_the_part_and_leaves_the_reason_to_the_log(database_url: str) -> None:
    async with open_kit(database_url) as kit, kit.open_client() as stranger:
        await kit.engine.database.close()
        with capture_logs() as lines:
            answer = await stranger.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["missing"] == ["PostgreSQL does not answer. The server's log says why."]
    (line,) = [line for line in lines if line["event"] == "part_does_not_answer"]
    assert (line["part"], bool(line["reason"])) == ("postgresql", True)
