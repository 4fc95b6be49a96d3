"""Input made to break things: a documented 4xx each, never a 500, and nothing stored."""

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx2
import pytest

Drain = Callable[[], Awaitable[None]]

BODIES: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 400, "INVALID_REQUEST"),
    "half an object": (b'{"name":"a"', 400, "INVALID_REQUEST"),
    "two objects": (b'{"name":"a"}{"name":"b"}', 400, "INVALID_REQUEST"),
    "a form": (b"name=a", 400, "INVALID_REQUEST"),
    "a list": (b'[{"name":"a"}]', 400, "INVALID_REQUEST"),
    "a number": (b"7", 400, "INVALID_REQUEST"),
    "null": (b"null", 400, "INVALID_REQUEST"),
    "a byte order mark": (b'\xef\xbb\xbf{"name":"a"}', 400, "INVALID_REQUEST"),
    "utf-16": ('{"name":"a"}'.encode("utf-16"), 400, "INVALID_REQUEST"),
    "latin-1": (b'{"name":"\xe9"}', 400, "INVALID_REQUEST"),
    "a raw nul byte": (b'{"name":"a\x00"}', 400, "INVALID_REQUEST"),
    "an escaped nul": (b'{"name":"a\\u0000"}', 422, "INVALID_FIELD"),
    "a nul in a property": (b'{"name":"a","properties":{"b":["\\u0000"]}}', 422, "INVALID_FIELD"),
    "a nul in a key": (b'{"name":"a","properties":{"\\u0000":1}}', 422, "INVALID_FIELD"),
    "a lone surrogate": (b'{"name":"\\ud800"}', 400, "INVALID_REQUEST"),
    "a lone surrogate in a property": (b'{"name":"a","properties":{"b":"x\\udfffy"}}', 400, "INVALID_REQUEST"),
    "a lone surrogate in a key": (b'{"name":"a","properties":{"\\udc00":1}}', 400, "INVALID_REQUEST"),
    "surrogates the wrong way round": (b'{"name":"\\udc00\\ud800"}', 400, "INVALID_REQUEST"),
    "two MiB": (b'{"name":"' + b"a" * 2_097_152 + b'"}', 413, "PAYLOAD_TOO_LARGE"),
    "two MiB of nothing": (b" " * 2_097_152, 413, "PAYLOAD_TOO_LARGE"),
    "10,000 lists": (
        b'{"name":"a","properties":{"b":' + b"[" * 10_000 + b"]" * 10_000 + b"}}",
        400,
        "INVALID_REQUEST",
    ),
    "10,000 objects": (b'{"properties":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001, 400, "INVALID_REQUEST"),
    "100,000 open lists": (b"[" * 100_000, 400, "INVALID_REQUEST"),
    "ten lists": (b'{"name":"a","properties":{"b":' + b"[" * 10 + b"]" * 10 + b"}}", 422, "INVALID_FIELD"),
    "1e999": (b'{"name":"a","properties":{"b":1e999}}', 422, "INVALID_FIELD"),
    "-1e999": (b'{"name":"a","properties":{"b":-1e999}}', 422, "INVALID_FIELD"),
    "1e-999": (b'{"name":"a","properties":{"b":[1e-999]}}', 422, "INVALID_FIELD"),
    "an exponent without end": (b'{"name":"a","properties":{"b":1e99999999999999999999}}', 422, "INVALID_FIELD"),
    "5,000 digits": (b'{"name":"a","properties":{"b":' + b"9" * 5000 + b"}}", 422, "INVALID_FIELD"),
    "500 decimals": (b'{"name":"a","properties":{"b":0.' + b"1" * 500 + b"}}", 422, "INVALID_FIELD"),
    "NaN": (b'{"name":"a","properties":{"b":NaN}}', 400, "INVALID_REQUEST"),
    "Infinity": (b'{"name":"a","properties":{"b":-Infinity}}', 400, "INVALID_REQUEST"),
    "a key twice": (b'{"name":"a","name":"b"}', 400, "INVALID_REQUEST"),
    "a property twice": (b'{"name":"a","properties":{"b":1,"b":2}}', 400, "INVALID_REQUEST"),
    "a key twice, spelled differently": (b'{"name":"a","properties":{"b":1,"\\u0062":2}}', 400, "INVALID_REQUEST"),
    "a number for a text": (b'{"name":7}', 422, "INVALID_FIELD"),
    "an object for a text": (b'{"name":{"a":1}}', 422, "INVALID_FIELD"),
    "a list for properties": (b'{"name":"a","properties":[]}', 422, "INVALID_FIELD"),
    "an unknown field": (b'{"name":"a","nmae":"b"}', 422, "INVALID_FIELD"),
    "__proto__": (b'{"name":"a","__proto__":{"b":1}}', 422, "INVALID_FIELD"),
    "a field of the engine's own": (b'{"name":"a","workspace_id":1}', 422, "INVALID_FIELD"),
    "20,000 unknown fields": (
        b"{" + b",".join(b'"f%d":1' % number for number in range(20_000)) + b"}",
        400,
        "INVALID_REQUEST",
    ),
    "4,000 unknown fields": (
        b"{" + b",".join(b'"f%d":1' % number for number in range(4000)) + b"}",
        422,
        "INVALID_FIELD",
    ),
    "340,000 lists": (b'{"name":"a","properties":{"b":[' + b"[]," * 340_000 + b"1]}}", 400, "INVALID_REQUEST"),
    "500,000 escapes": (b'{"name":"' + b"\\n" * 500_000 + b'"}', 400, "INVALID_REQUEST"),
    "501 properties": (
        b'{"name":"a","properties":{' + b",".join(b'"f%d":1' % number for number in range(501)) + b"}}",
        422,
        "INVALID_FIELD",
    ),
    "an empty property key": (b'{"name":"a","properties":{"":1}}', 422, "INVALID_FIELD"),
    "a property key of 1,000 characters": (
        b'{"name":"a","properties":{"' + b"k" * 1000 + b'":1}}',
        422,
        "INVALID_FIELD",
    ),
    "a name of 100,000 characters": (b'{"name":"' + b"a" * 100_000 + b'"}', 422, "INVALID_FIELD"),
}


@pytest.fixture
async def location(client: httpx2.AsyncClient, drain: Drain) -> AsyncIterator[str]:
    """A contact that must be as it was, and alone, after the test."""
    created = await client.post("/crm/contacts", json={"name": "Alice"})
    await drain()
    before = (await client.get(created.headers["location"])).text
    yield created.headers["location"]
    await drain()
    assert (await client.get(created.headers["location"])).text == before
    assert (await client.get("/crm/contacts?count=exact")).json()["meta"]["total"] == 1


@pytest.mark.parametrize("name", BODIES)
async def test_a_hostile_body_is_refused_and_leaves_nothing(
    client: httpx2.AsyncClient, location: str, name: str
) -> None:
    body, status, code = BODIES[name]
    for method, path in (("POST", "/crm/contacts"), ("PATCH", location)):
        for headers in ({}, {"Idempotency-Key": "k"}):
            answer = await client.request(method, path, content=body, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text[:500]
            assert answer.json()["success"] is False
            assert len(answer.content) < 20_000
            assert "Traceback" not in answer.text


@pytest.mark.parametrize("name", [name for name, (body, *_) in BODIES.items() if body.strip()])
async def test_a_body_where_none_belongs_is_not_ignored(client: httpx2.AsyncClient, location: str, name: str) -> None:
    for method, path in (("DELETE", location), ("POST", f"{location}/restore")):
        answer = await client.request(method, path, content=BODIES[name][0])
        assert answer.status_code in (400, 413, 422), answer.text[:500]


async def test_a_body_without_a_length_is_cut_off_too(client: httpx2.AsyncClient, location: str) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b'{"name":"'
        for _ in range(40):
            yield b"a" * 65_536

    answer = await client.patch(location, content=parts())
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json", "é"]
)
async def test_a_body_that_says_that_it_is_no_json_is_refused(
    client: httpx2.AsyncClient, location: str, content_type: str
) -> None:
    headers = {"Content-Type": content_type.encode()}
    answer = await client.patch(location, content=b'{"name":"b"}', headers=headers)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/ld+json", ""],
)
async def test_a_body_is_taken_under_every_name_of_json(client: httpx2.AsyncClient, content_type: str) -> None:
    answer = await client.post("/crm/contacts", content=b'{"name":"b"}', headers={"Content-Type": content_type})
    assert answer.status_code == 202


@pytest.mark.parametrize(
    "path",
    [
        "/crm/contacts/%00",
        "/crm/contacts/%ff",
        "/crm/contacts/%ed%a0%80",
        "/crm/contacts/" + "9" * 5000,
        "/crm/contacts/" + "a" * 5000 + "@example.com",
        "/crm/contacts/ctc_" + "z" * 26,
        "/crm/contacts/%2e%2e",
        "/crm/contacts/'%20OR%201=1--",
        "/crm/contacts/1%2frestore",
        "/crm/operations/op_" + "z" * 26,
        "/crm/contacts?search=%ff",
        "/crm/contacts?search=%ed%a0%80",
        "/crm/contacts?cursor=" + "A" * 5000,
        "/crm/contacts?" + "&".join(f"p{number}=1" for number in range(1000)),
        "/crm/contacts?from=" + "9" * 1000,
        "/crm/contacts?page=" + "9" * 5000,
        "/crm/contacts/search?q=%00",
    ],
)
async def test_a_hostile_path_is_refused(client: httpx2.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code in (400, 404), answer.text[:500]
    assert answer.json()["error"]["code"] in ("INVALID_REQUEST", "INVALID_ID", "INVALID_CURSOR", "NOT_FOUND")


@pytest.mark.parametrize(
    "search", ["%", "_", "'", '"', "\\", "a' OR '1'='1", ":*", "&|!()", "<->", "😀", "\u202e", "a" * 500, "İ", "ß"]
)
async def test_a_search_is_only_ever_text(client: httpx2.AsyncClient, drain: Drain, search: str) -> None:
    await client.post("/crm/contacts", json={"name": "Alice"})
    await drain()
    listed = await client.get("/crm/contacts", params={"search": search})
    assert listed.status_code == 200, listed.text
    assert len(listed.json()["data"]) == 0 or search in ("%", "_", "'", '"', "\\")
    typed = await client.get("/crm/contacts/search", params={"q": search})
    assert typed.status_code == 200, typed.text
