"""Bodies of any size and content leave the event loop to others: what takes long is computed beside it."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import httpx2
import pytest

from kith.model.workspaces import Workspace
from tests.kit import Kit

Drain = Callable[[], Awaitable[None]]
# Calls of functions by the thread of the loop, most of them the driver's look at each value that it sends. A body
# takes up to 4,000,000 with those beside the loop.
CALLS_MAX = 130_000


class Work:
    """How many functions were called."""

    calls = 0

    def count(self, _: FrameType, event: str, __: Any) -> None:
        self.calls += event in ("call", "c_call")


@contextmanager
def counting() -> Iterator[Work]:
    """Counts what is done in this thread, in which the loop runs."""
    work = Work()
    before = sys.getprofile()
    sys.setprofile(work.count)
    try:
        yield work
    finally:
        sys.setprofile(before)


def make_filter(field: str, values: list[Any], operator: str = "in", times: int = 5) -> dict[str, Any]:
    conditions = [{"field": field, "operator": operator, "value": values} for _ in range(times)]
    return {"logic": "OR", "conditions": conditions}


FILTERS = {
    "texts": make_filter("name", [f"é {n}" + "é" * 90 for n in range(1000)]),
    "emails": make_filter("email", [f"n{n}@example.com" for n in range(1000)]),
    "emails of other scripts": make_filter("email", [f"n{n}@münchen{n}.example" for n in range(1000)]),
    "phones": make_filter("phone", [f"+1650253{n:04}" for n in range(1000)]),
    "times": make_filter("createdAt", [f"2026-04-01T00:{n // 60:02}:{n % 60:02}Z" for n in range(1000)]),
    "numbers": make_filter("activityCount", list(range(1000))),
    "long texts": make_filter("name", ["é" * 8000 + str(n) for n in range(12)]),
    "lists": make_filter("lists", list(range(1, 1001)), "has_any"),
}
BODIES: dict[str, tuple[str, Any]] = {
    "500 properties": ("/crm/contacts", {"name": "A", "properties": {f"k{n}": [1.5] * 10 for n in range(500)}}),
    "a property of 5,900 numbers": ("/crm/contacts", {"name": "A", "properties": {"k": [1.25] * 5900}}),
    "5,900 properties": ("/crm/contacts", {"name": "A", "properties": {f"k{n}": n for n in range(5900)}}),
    "5,900 unknown fields": ("/crm/contacts", {f"fieldName{n}": n for n in range(5900)}),
    "texts to compose": (
        "/crm/contacts",
        {"name": "A", "properties": {f"k{n}": "e\u0301" * 20_000 for n in range(16)}},
    ),
    "a long id": ("/crm/contacts/1/merge", {"loserId": "9" * 1_048_000}),
    "a long number": ("/crm/contacts/1/merge", {"loserId": 10**1000}),
    "1,000 options": (
        "/crm/properties",
        {"key": "k", "entity": "CONTACT", "type": "SELECT", "options": [f"é{n}" for n in range(1000)]},
    ),
    "1,000 members": ("/crm/lists/1/members", {"entityIds": [f"ctc_{n:026}" for n in range(1000)]}),
    "5,800 settings": (
        "/crm/integrations",
        {
            "provider": "HUBSPOT",
            "name": "A",
            "credentials": {"accessToken": "pat-na1-0123456789"},
            "settings": {f"setting{n}": n for n in range(5800)},
        },
    ),
    "5,900 selected": ("/crm/query", {"entity": "contact", "select": [f"properties.k{n}" for n in range(5900)]}),
    **{f"a filter of {name}": ("/crm/contacts/filter", {"filter": one}) for name, one in FILTERS.items()},
    **{
        f"a list of {name}": (
            "/crm/lists",
            {"name": "A", "entityType": "CONTACT", "isDynamic": True, "filterCriteria": one},
        )
        for name, one in FILTERS.items()
    },
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_large_body_leaves_the_loop_to_others(client: httpx2.AsyncClient, name: str) -> None:
    path, body = BODIES[name]
    raw = json.dumps(body, ensure_ascii=False).encode()
    for headers in ({}, {"Idempotency-Key": f"{len(name)}"}):
        with counting() as work:
            answer = await client.post(path, content=raw, headers=headers)
        assert answer.status_code < 500, answer.text[:500]
        assert work.calls < CALLS_MAX, answer.text[:500]


async def test_what_clients_leave_unread_is_bounded_and_sent_in_pieces(
    kit: Kit, workspace: Workspace, other_workspace: Workspace, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kith.api.app.PIECE_BYTES", 1000)
    monkeypatch.setattr("kith.api.unsent.UNSENT_BYTES_MAX", 1000)
    key = await kit.make_key(workspace)
    pieces, reads = list[bytes](), asyncio.Event()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            pieces.append(message["body"])
            await reads.wait()

    scope = {"type": "http", "method": "GET", "path": "/crm/contacts/1", "query_string": b""}
    headers = [(b"host", b"kith"), (b"authorization", f"Bearer {key}".encode())]
    async with (
        kit.open_client(key, locked=False) as client,
        kit.open_client(await kit.make_key(other_workspace), locked=False) as other,
    ):
        made = await client.post("/crm/contacts", json={"name": "Ada", "properties": {"essay": "x" * 5000}})
        assert made.status_code == 202, made.text
        await drain()
        whole = await client.get("/crm/contacts/1")
        sending = asyncio.create_task(kit.app(scope | {"headers": headers}, receive, send))
        while not pieces:
            await asyncio.sleep(0)
        refused = await client.get("/crm/contacts/1")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "RATE_LIMITED")
        assert (await other.get("/crm/contacts")).status_code == 200
        reads.set()
        await sending
        assert (b"".join(pieces), max(map(len, pieces))) == (whole.content, 1000)
        assert (await client.get("/crm/contacts/1")).status_code == 200
