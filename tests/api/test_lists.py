"""Lists and typeahead: every parameter, totals, pages and cursors."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from kith.clock import FixedClock
from tests.kit import open_kit
from tests.postgres import Cluster

PEOPLE: list[dict[str, Any]] = [
    {"email": "alice@example.com", "givenName": "Alice", "familyName": "Johnson", "lifecycleStage": "CUSTOMER"},
    {"email": "bob@example.org", "name": "Bob", "phone": "+14155550123"},
    {"name": "Carol"},
    {"email": "dave@example.com"},
    {"email": "eve@example.com", "name": "Ève Müller", "lifecycleStage": "CUSTOMER"},
]


@pytest.fixture(scope="module")
async def crowd(postgres: Cluster) -> AsyncIterator[httpx2.AsyncClient]:
    """Five contacts, made a day apart from 2026-03-04 on; the fourth is archived, the fifth deleted."""
    clock = FixedClock(datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC))
    async with open_kit(await postgres.make_database(), clock=clock) as kit:
        key = await kit.make_key(await kit.make_workspace())
        async with kit.open_client(key) as client:
            for person in PEOPLE:
                assert (await client.post("/crm/contacts", json=person)).status_code == 202
                clock.advance(24 * 3600)
            await kit.drain()
            await client.patch("/crm/contacts/4", json={"status": "ARCHIVED"})
            await client.delete("/crm/contacts/5")
            await kit.drain()
            yield client


async def list_ids(client: httpx2.AsyncClient, query: str) -> list[int]:
    answer = await client.get(f"/crm/contacts?{query}")
    assert answer.status_code == 200, answer.text
    assert answer.json()["meta"]["total"] == len(answer.json()["data"])
    return [row["id"] for row in answer.json()["data"]]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", [4, 3, 2, 1]),
        ("sortOrder=asc", [1, 2, 3, 4]),
        ("sortBy=createdAt&sortOrder=desc", [4, 3, 2, 1]),
        ("sortBy=email&sortOrder=asc", [1, 2, 4, 3]),
        ("sortBy=email&sortOrder=desc", [4, 2, 1, 3]),
        ("sortBy=name&sortOrder=asc", [1, 2, 3, 4]),
        ("sortBy=name&sortOrder=desc", [3, 2, 1, 4]),
        ("sortBy=lastActivityAt", [4, 3, 2, 1]),
        ("status=ACTIVE", [3, 2, 1]),
        ("status=ARCHIVED", [4]),
        ("status=DELETED", [5]),
        ("status=MERGED", []),
        ("lifecycleStage=CUSTOMER", [1]),
        ("lifecycleStage=CUSTOMER&status=DELETED", [5]),
        ("lifecycleStage=LEAD", [4, 3, 2]),
        ("module=CRM", [4, 3, 2, 1]),
        ("module=SUPPORT", []),
        ("isIdentified=true", [4, 2, 1]),
        ("isIdentified=false", [3]),
        ("from=2026-03-05", [4, 3, 2]),
        ("to=2026-03-05", [2, 1]),
        ("from=2026-03-05&to=2026-03-05", [2]),
        ("from=2026-03-05T05:06:07.890Z", [4, 3, 2]),
        ("from=2026-03-05T05:06:07.891Z", [4, 3]),
        ("to=2026-03-05T05:06:07.889Z", [1]),
        ("from=2026-03-05T06:06:07.890%2B01:00", [4, 3, 2]),
        ("from=2027-01-01", []),
        ("search=alice", [1]),
        ("search=ALI", [1]),
        ("search=john+ali", [1]),
        ("search=ali+bob", []),
        ("search=example", [4, 2, 1]),
        ("search=example.com", [4, 1]),
        ("search=alice@example.com", [1]),
        ("search=4155550123", [2]),
        ("search=%2B1+415+555", [2]),
        ("search=muller&status=DELETED", [5]),
        ("search=nobody", []),
        ("search=", [4, 3, 2, 1]),
        ("count=exact", [4, 3, 2, 1]),
        ("count=default", [4, 3, 2, 1]),
    ],
)
async def test_a_parameter_narrows_or_orders_the_list(crowd: httpx2.AsyncClient, query: str, ids: list[int]) -> None:
    assert await list_ids(crowd, query) == ids


async def test_a_row_is_a_contact_with_its_tags_as_keys(crowd: httpx2.AsyncClient) -> None:
    (row,) = (await crowd.get("/crm/contacts?search=alice")).json()["data"]
    whole = (await crowd.get("/crm/contacts/1")).json()["data"]
    assert row["tags"] == []
    assert row == {name: value for name, value in whole.items() if name != "companies"}


async def test_totals_and_pages_are_told(crowd: httpx2.AsyncClient) -> None:
    first = (await crowd.get("/crm/contacts?limit=3")).json()["meta"]
    assert first == {"page": 1, "limit": 3, "total": 4, "totalPages": 2, "nextCursor": first["nextCursor"]}
    assert isinstance(first["nextCursor"], str)
    second = await crowd.get("/crm/contacts?limit=3&page=2")
    assert [row["id"] for row in second.json()["data"]] == [1]
    assert second.json()["meta"] == {"page": 2, "limit": 3, "total": 4, "totalPages": 2, "nextCursor": None}
    beyond = (await crowd.get("/crm/contacts?limit=3&page=3")).json()
    assert (beyond["data"], beyond["meta"]["total"]) == ([], 4)
    nothing = (await crowd.get("/crm/contacts?search=nobody")).json()["meta"]
    assert (nothing["total"], nothing["totalPages"], nothing["nextCursor"]) == (0, 0, None)
    uncounted = (await crowd.get("/crm/contacts?count=none")).json()["meta"]
    assert uncounted == {"page": 1, "limit": 20, "nextCursor": None}


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("by", ["createdAt", "lastActivityAt", "email", "name"])
async def test_cursors_lead_through_everything_once(crowd: httpx2.AsyncClient, by: str, order: str) -> None:
    query = f"limit=1&sortBy={by}&sortOrder={order}"
    expected = await list_ids(crowd, f"sortBy={by}&sortOrder={order}")
    seen, cursor, pages = [], "", 0
    while True:
        answer = (await crowd.get(f"/crm/contacts?{query}" + (f"&cursor={quote(cursor)}" if cursor else ""))).json()
        seen += [row["id"] for row in answer["data"]]
        pages += 1
        if cursor:
            assert answer["meta"]["page"] is None
        cursor = answer["meta"]["nextCursor"]
        if cursor is None:
            break
    assert (seen, pages) == (expected, 4)


async def test_a_cursor_is_bound_to_its_query(crowd: httpx2.AsyncClient) -> None:
    cursor = (await crowd.get("/crm/contacts?limit=1&sortBy=name")).json()["meta"]["nextCursor"]
    assert (await crowd.get(f"/crm/contacts?limit=1&sortBy=name&cursor={cursor}")).status_code == 200
    mangled = cursor[:-2] + ("AA" if cursor[-2:] != "AA" else "BB")
    for query in (
        f"limit=1&sortBy=email&cursor={cursor}",
        f"limit=1&sortBy=name&sortOrder=asc&cursor={cursor}",
        f"limit=1&sortBy=name&status=ACTIVE&cursor={cursor}",
        f"limit=1&sortBy=name&cursor={mangled}",
        f"limit=1&sortBy=name&cursor={cursor[:10]}",
        "cursor=x",
        "cursor=",
        "cursor=%F0%9F%98%80",
    ):
        answer = await crowd.get(f"/crm/contacts?{query}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_CURSOR"), query


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=x", "page"),
        ("page=1.5", "page"),
        ("page=99999999999999999999999999", "page"),
        ("page=501&limit=20", "page"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("status=GONE", "status"),
        ("status=active", "status"),
        ("status=ACTIVE&status=DELETED", "status"),
        ("lifecycleStage=CHAMPION", "lifecycleStage"),
        ("module=SALES", "module"),
        ("isIdentified=perhaps", "isIdentified"),
        ("from=yesterday", "from"),
        ("from=2026-02-30", "from"),
        ("to=2026-13-01", "to"),
        ("to=0000-00-00", "to"),
        ("sortBy=phone", "sortBy"),
        ("sortOrder=up", "sortOrder"),
        ("count=all", "count"),
        ("search=%00", "search"),
        ("search=" + "x" * 2000, "search"),
        ("page=1&cursor=x", "page"),
        ("pgae=1", "pgae"),
    ],
)
async def test_a_parameter_that_cannot_be_is_named(client: httpx2.AsyncClient, query: str, parameter: str) -> None:
    answer = await client.get(f"/crm/contacts?{query}")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "INVALID_REQUEST"), answer.text
    assert error["details"] == {"parameter": parameter}


@pytest.mark.parametrize("path", ["/crm/contacts/1?expand=all", "/crm/operations/op_1?x=1", "/crm/contacts/search?x=1"])
async def test_an_unknown_parameter_is_refused_everywhere(client: httpx2.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")
    for method in ("PATCH", "DELETE"):
        answer = await client.request(method, "/crm/contacts/1?force=true")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("q", "ids"),
    [("ali", [1]), ("ALICE JO", [1]), ("bob@", [2]), ("+1415", [2]), ("caro", [3]), ("zzz", []), ("&|!():*'\\", [])],
)
async def test_typeahead_finds_by_the_beginnings_of_words(crowd: httpx2.AsyncClient, q: str, ids: list[int]) -> None:
    answer = await crowd.get("/crm/contacts/search", params={"q": q})
    assert answer.status_code == 200
    assert [row["id"] for row in answer.json()["data"]] == ids


async def test_typeahead_shows_live_contacts_up_to_its_limit(crowd: httpx2.AsyncClient) -> None:
    assert (await crowd.get("/crm/contacts/search?q=eve")).json()["data"] == []
    assert len((await crowd.get("/crm/contacts/search?q=example&limit=1")).json()["data"]) == 1
    assert len((await crowd.get("/crm/contacts/search?q=example")).json()["data"]) == 3


@pytest.mark.parametrize(
    "query", ["", "q=", "q=%20%20", "limit=5", "q=a&limit=0", "q=a&limit=101", "q=a&q=b", "q=" + "x" * 2000]
)
async def test_typeahead_refuses_what_it_cannot_look_for(client: httpx2.AsyncClient, query: str) -> None:
    answer = await client.get(f"/crm/contacts/search?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize("query", ["to=9999-12-31", "to=9999-12-31T23:59:59-23:59", "from=0001-01-01T00:00:00%2B14:00"])
async def test_the_ends_of_time_are_times(client: httpx2.AsyncClient, query: str) -> None:
    assert (await client.get(f"/crm/contacts?{query}")).status_code == 200


async def test_a_date_that_is_none_is_refused_also_when_it_is_empty(client: httpx2.AsyncClient) -> None:
    for parameter in ("from", "to"):
        answer = await client.get(f"/crm/contacts?{parameter}=")
        assert (answer.status_code, answer.json()["error"]["details"]) == (400, {"parameter": parameter})
