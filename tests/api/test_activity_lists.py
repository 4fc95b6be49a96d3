"""A contact's activities as a list over HTTP: their order, what narrows it, pages and cursors."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

Drain = Callable[[], Awaitable[None]]


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


async def test_the_newest_comes_first_by_when_it_occurred(client: httpx2.AsyncClient, alice: str, drain: Drain) -> None:
    for day, content in ((2, "second"), (1, "first"), (3, "third"), (3, "third again")):
        await log(client, alice, f"2026-04-0{day}T12:00:00Z", content=content)
    await drain()
    assert await list_contents(client, alice) == ["third again", "third", "second", "first"]


async def test_a_list_is_narrowed_by_type_module_and_time(client: httpx2.AsyncClient, alice: str, drain: Drain) -> None:
    for day, kind, module in ((1, "NOTE", "CRM"), (2, "CALL", "SUPPORT"), (3, "CALL", "CRM"), (4, "TASK", "CRM")):
        await log(client, alice, f"2026-04-0{day}T12:00:00Z", type=kind, module=module, content=str(day))
    await drain()
    for params, expected in (
        ({"type": "CALL"}, "32"),
        ({"type": "PAGE_VIEW"}, ""),
        ({"module": "SUPPORT"}, "2"),
        ({"type": "CALL", "module": "CRM"}, "3"),
        ({"from": "2026-04-02"}, "432"),
        ({"to": "2026-04-02"}, "21"),
        ({"from": "2026-04-02T12:00:00Z", "to": "2026-04-03T12:00:00Z"}, "32"),
        ({"from": "2026-04-02T12:00:00.001Z", "to": "2026-04-03T11:59:59.999Z"}, ""),
        ({"from": "2026-04-02T14:00:00+02:00", "to": "2026-04-02"}, "2"),
        ({"from": "2026-04-04", "to": "2026-04-01"}, ""),
        ({"from": "2026-04-02", "type": "CALL", "module": "CRM"}, "3"),
    ):
        answer = await client.get(f"{alice}/activities", params=params)
        assert "".join(row["content"] for row in answer.json()["data"]) == expected, params
        assert answer.json()["meta"]["total"] == len(expected)


@pytest.mark.parametrize(
    "query",
    [
        "type=note",
        "type=",
        "module=EMAIL",
        "from=yesterday",
        "to=2026-13-01",
        "page=0",
        "page=1&cursor=x",
        "page=501",
        "limit=0",
        "limit=101",
        "limit=x",
        "count=some",
        "sortBy=occurredAt",
        "type=NOTE&type=CALL",
        "search=x",
        "from=%00",
    ],
)
async def test_a_parameter_that_is_none_is_an_invalid_request(
    client: httpx2.AsyncClient, alice: str, query: str
) -> None:
    query = query.replace("page=501", "page=501&limit=20")
    for path in (f"{alice}/activities", alice.replace("/crm/contacts", "/crm/activities/contacts")):
        answer = await client.get(f"{path}?{query}")
        assert to_refusal(answer) == (400, "INVALID_REQUEST"), answer.text
        assert answer.json()["error"]["details"]["parameter"] in query


async def test_pages_by_number_and_their_totals(client: httpx2.AsyncClient, alice: str, drain: Drain) -> None:
    for number in range(5):
        await log(client, alice, f"2026-04-10T12:00:0{number}Z", content=str(number))
    await drain()
    pages = [(await client.get(f"{alice}/activities?limit=2&page={page}")).json() for page in (1, 2, 3, 4)]
    assert ["".join(row["content"] for row in page["data"]) for page in pages] == ["43", "21", "0", ""]
    assert [bool(page["meta"]["nextCursor"]) for page in pages] == [True, True, False, False]
    assert {(page["meta"]["total"], page["meta"]["totalPages"]) for page in pages} == {(5, 3)}
    exact = (await client.get(f"{alice}/activities?count=exact&type=NOTE")).json()["meta"]
    assert (exact["page"], exact["limit"], exact["total"], exact["totalPages"]) == (1, 20, 5, 1)
    assert not {"total", "totalPages"} & (await client.get(f"{alice}/activities?count=none")).json()["meta"].keys()


async def test_a_cursor_goes_through_all_pages_without_overlap(
    client: httpx2.AsyncClient, alice: str, drain: Drain
) -> None:
    moments = ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", *(f"2026-04-10T12:00:00.{n}Z" for n in range(4))]
    logged = await asyncio.gather(*(log(client, alice, moments[n % 6], content=str(n)) for n in range(62)))
    await drain()
    seen: list[dict[str, Any]] = []
    cursor: str | None = ""
    pages = 0
    while cursor is not None:
        path = f"{alice}/activities?limit=7" + (f"&cursor={cursor}" if cursor else "")
        answer = (await client.get(path)).json()
        assert (answer["meta"]["page"], answer["meta"]["total"]) == (None if cursor else 1, 62)
        seen += answer["data"]
        cursor, pages = answer["meta"]["nextCursor"], pages + 1
    assert (pages, len({row["externalId"] for row in seen})) == (9, len(logged))
    order = [(row["occurredAt"], row["id"]) for row in seen]
    assert order == sorted(order, reverse=True)


async def test_a_cursor_is_bound_to_its_contact_and_filter(
    client: httpx2.AsyncClient, other_client: httpx2.AsyncClient, alice: str, drain: Drain
) -> None:
    bob = (await client.post("/crm/contacts", json={"name": "Bob"})).headers["location"]
    mallory = (await other_client.post("/crm/contacts", json={"name": "Mallory"})).headers["location"]
    await drain()
    for contact, speaker in ((alice, client), (bob, client), (mallory, other_client)):
        for _ in range(3):
            await log(speaker, contact)
    await drain()
    cursor = (await client.get(f"{alice}/activities?limit=1")).json()["meta"]["nextCursor"]
    assert (await client.get(f"{alice}/activities?limit=2&cursor={cursor}")).status_code == 200
    for speaker, path in (
        (client, f"{bob}/activities?cursor={cursor}"),
        (client, f"{alice}/activities?type=NOTE&cursor={cursor}"),
        (client, f"{alice}/activities?cursor={cursor[:-1]}"),
        (client, f"/crm/contacts?cursor={cursor}"),
        (other_client, f"{mallory}/activities?cursor={cursor}"),
    ):
        assert to_refusal(await speaker.get(path)) == (400, "INVALID_CURSOR"), path
