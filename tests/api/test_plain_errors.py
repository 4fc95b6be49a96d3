"""Errors speak of what was sent, in our words: never in a library's, and never with a pattern."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from msgspec import inspect

from kith.api.queries import list_parameters
from kith.api.routes import TABLE
from kith.api.routing import Route

FOREIGN = re.compile(
    r"(?i)regex|[\[(]\?|\[[a-z0-9]-[a-z0-9]\]|\[\^|\^\S*\$|Expected `|Object (?:missing|contains)|validat(?:e|or)\b"
    r"|msgspec|asyncpg|Error\b|Exception|Traceback|<class|object at 0x|NoneType|\bdict\b|`\w+`|@-sign"
    r"|Expecting|delimiter|codec|surrogates not allowed|Invalid (?:isoformat|literal|value)|JSONDecode|fromisoformat"
    r"|\bUNSET\b|\bint\b|\bstr\b|\bbool\b|(?-i:\bNone\b)|violates|invalid input syntax"
)
# A value that a message quotes speaks as its sender does.
QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"[^\"]*\"")
BAD: list[Any] = [
    7,
    -1.5,
    10**30,
    True,
    None,
    "",
    " ",
    "no such",
    "a b@c",
    "a..b@c.example",
    "http://",
    "2026-13-45",
    "2026-01-01T25:00",
    "\x00",
    "\u202e",
    "é" * 70_000,
    [],
    [None],
    [{}],
    ["\x00"],
    {},
    {"nosuch": {"a": []}},
]
RAW = (
    b"",
    b"{",
    b"[]",
    b'"a"',
    b'{"a" 1}',
    b'{"a":1,}',
    b"{'a':1}",
    b'{"a":"\xff"}',
    b'{"a":"\\ud800"}',
    b'{"a":"\\x"}',
    b'{"a":NaN}',
    b'{"a":"\n"}',
    b"\xef\xbb\xbf{}",
    b'{"a":1}{',
    b'{"a":1,"a":2}',
)
TEXTS = ("", "x", "-1", "1.5", "9" * 30, "null", "\x00", "2026-13-45", "é" * 2000, "[a-z]+")
PARTS = ("x", "0", "9" * 40, "ctc_x", "a..b@c.example", "a@b", "é.é", "%00", "int_" + "z" * 26)
HEADERS = (
    ("If-Match", "x"),
    ("If-Match", '"1", "2"'),
    ("Idempotency-Key", ""),
    ("Idempotency-Key", "é" * 300),
    ("X-Read-After", "x"),
    ("X-Read-After", "9" * 60),
    ("Content-Type", "text/plain"),
    ("Content-Type", "application/x-www-form-urlencoded"),
    ("Authorization", "Bearer x"),
    ("Authorization", "Basic eDp5"),
)
VALID: dict[str, dict[str, Any]] = {
    "/crm/integrations": {"provider": "HUBSPOT", "name": "A", "credentials": {"accessToken": "pat-na1-0123456789"}},
    "/crm/lists": {"name": "A", "entityType": "CONTACT", "isDynamic": True},
    "/crm/properties": {"key": "a", "entity": "CONTACT", "type": "SELECT"},
    "/crm/query": {"entity": "contact"},
}
# What stands inside of fields without a shape of their own.
INNER: dict[str, list[Any]] = {
    "settings": [{key: value} for key in ("fields", "ownership", "conflicts", "listId", "x") for value in BAD],
    "credentials": [{key: value} for key in ("accessToken", "apiKey", "x") for value in BAD],
    "segment": [{key: value} for key in ("where", "listId", "x") for value in BAD],
    "sort": [[{"field": value, "direction": value}] for value in BAD],
    "select": [[value] for value in BAD],
    "aggregate": [[{"fn": value, "field": value, "as": value}] for value in BAD],
    "groupBy": [[{"field": value, "by": value}] for value in BAD],
    "search": [{"query": value, "fields": [value]} for value in BAD],
    "options": [[{"value": value, "label": value}] for value in BAD],
    "entityIds": [[value] for value in BAD],
    "properties": [{"email": value, "": value} for value in BAD],
}
CONDITIONS: list[Any] = [
    *({"field": field, "operator": "eq", "value": value} for field in ("email", "id", "createdAt") for value in BAD),
    *({"field": "name", "operator": value, "value": value} for value in BAD),
    *({"logic": value, "conditions": value} for value in BAD),
    *({"type": "activity", "operator": "gt", "value": value, "since": value} for value in BAD),
]


def make_body(path: str, more: dict[str, Any]) -> bytes:
    return json.dumps(VALID.get(path, {}) | more, ensure_ascii=False).encode()


def list_bodies(route: Route) -> Iterator[bytes]:
    yield from RAW
    yield make_body(route.path, {"nosuch": 1})
    if route.body is None:
        return
    info = inspect.type_info(route.body)
    assert isinstance(info, inspect.StructType)
    for field in info.fields:
        name = field.encode_name
        filters = CONDITIONS if name in ("filter", "filterCriteria") else []
        for value in [*BAD, *INNER.get(name, []), *filters]:
            yield make_body(route.path, {name: value})


def list_requests(route: Route) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, what else httpx needs) of many requests to the route, most of them wrong in one place."""
    names = dict.fromkeys(route.parameters, "1")
    path = route.path.format(**names)
    for name in names:
        for part in PARTS:
            yield route.path.format(**names | {name: part}), {}
    for parameter in list_parameters(route.query) if route.query is not None else ():
        for text in TEXTS:
            yield path, {"params": {parameter.name: text}}
    yield f"{path}?nosuch=1", {}
    yield f"{path}?a=%ff", {}
    for header, value in HEADERS:
        yield path, {"headers": {header: value.encode()}, "content": b"{}"}
    if route.method != "GET":
        for body in list_bodies(route):
            yield path, {"content": body}


@pytest.mark.parametrize("route", TABLE, ids=lambda route: f"{route.method} {route.path}")
async def test_an_error_never_speaks_in_the_words_of_a_library(client: httpx2.AsyncClient, route: Route) -> None:
    if route.path == "/metrics":
        return
    foreign = set()
    for path, more in list_requests(route):
        answer = await client.request(route.method, path, **more)
        if answer.status_code < 400 or path.startswith("/readyz"):
            continue
        assert answer.status_code != 500, (path, str(more)[:500], answer.text)
        error = answer.json()["error"]
        told = [error["message"], *(fault["message"] for fault in (error["details"] or {}).get("fields", ()))]
        foreign |= {(text[:300], found[0]) for text in told if (found := FOREIGN.search(QUOTED.sub("", text)))}
    assert not foreign
