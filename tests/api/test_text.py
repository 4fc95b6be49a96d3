"""Text over HTTP: stored in NFC, compared without regard to case, sorted and searched by its letters."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from tests.api.definitions import define

Drain = Callable[[], Awaitable[None]]
NFD, NFC = "Jose\u0301", "José"
NAMES = ["Straße", "ΣΊΣΥΦΟΣ", NFD, "王小明", "王明小", "Łukasz Ødegård", "Zoë", "Zoe", "Ålesund", "김민수", "Đào İlker"]


@pytest.fixture
async def named(client: httpx2.AsyncClient, drain: Drain) -> httpx2.AsyncClient:
    await define(client, "motto", "TEXT")
    await define(client, "essay", "TEXTAREA")
    await define(client, "cafe", "SELECT", options=["Cafe\u0301", "Straße"])
    await drain()
    for name in NAMES:
        properties = {"motto": name, "essay": name, "cafe": "Cafe\u0301", f"{NFD} 1": [NFD]}
        sent = {"name": name, "givenName": name, "properties": properties}
        answer = await client.post("/crm/contacts", json=sent)
        assert answer.status_code == 202, answer.text
    await drain()
    return client


async def find(client: httpx2.AsyncClient, where: str, **more: Any) -> list[str]:
    answer = await client.post("/crm/query", json={"entity": "contact", "where": where, "sort": "id:asc"} | more)
    assert answer.status_code == 200, answer.text
    return [row["name"] for row in answer.json()["data"]]


@pytest.mark.parametrize("field", ["name", "givenName", "motto", "essay"])
@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("= STRASSE", ["Straße"]),
        ("= σίσυφος", ["ΣΊΣΥΦΟΣ"]),
        (f"= '{NFD}'", [NFC]),
        (f"= '{NFC.upper()}'", [NFC]),
        ("= Jose", []),
        ("in (STRASSE, zoE, 'ZOË')", ["Straße", "Zoë", "Zoe"]),
        ("contains ASSE", ["Straße"]),
        ("contains σφ", []),
        ("contains φοσ", ["ΣΊΣΥΦΟΣ"]),
        ("starts with STRAS", ["Straße"]),
        ("starts with zo", ["Zoë", "Zoe"]),
        ("starts with zoe", ["Zoe"]),
        ("ends with 'ZOË'", ["Zoë"]),
        ("starts with łUKASZ", ["Łukasz Ødegård"]),
    ],
)
async def test_text_is_compared_by_full_case_folding(
    named: httpx2.AsyncClient, field: str, condition: str, found: list[str]
) -> None:
    assert await find(named, f"{field} {condition}") == found


@pytest.mark.parametrize("field", ["name", "givenName", "motto", "essay"])
async def test_text_is_sorted_by_its_letters_and_the_unaccented_first(named: httpx2.AsyncClient, field: str) -> None:
    expected = [
        "Ålesund",
        "Đào İlker",
        NFC,
        "Łukasz Ødegård",
        "Straße",
        "Zoe",
        "Zoë",
        "ΣΊΣΥΦΟΣ",
        "김민수",
        "王小明",
        "王明小",
    ]
    assert await find(named, "", sort=f"{field}:asc") == expected
    assert await find(named, "", sort=f"{field}:desc") == expected[::-1]
    pages: list[str] = []
    cursor: str | None = None
    while len(pages) < len(expected):
        paging = {"limit": 4} if cursor is None else {"limit": 4, "cursor": cursor}
        body = {"entity": "contact", "sort": f"{field}:asc", "pagination": {"type": "cursor"} | paging}
        answer = (await named.post("/crm/query", json=body)).json()
        pages += [row["name"] for row in answer["data"]]
        cursor = answer["meta"]["nextCursor"]
    assert pages == expected


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("小明", ["王小明"]),
        ("明", ["王小明", "王明小"]),
        ("민수", ["김민수"]),
        ("lukasz odeg", ["Łukasz Ødegård"]),
        ("dao", ["Đào İlker"]),
        ("ilker", ["Đào İlker"]),
        ("zoe", ["Zoe", "Zoë"]),
        ("alesund", ["Ålesund"]),
        ("strasse", ["Straße"]),
        ("jose", [NFC]),
    ],
)
async def test_search_finds_letters_without_their_diacritics_and_cjk_by_characters(
    named: httpx2.AsyncClient, typed: str, found: list[str]
) -> None:
    typeahead = (await named.get("/crm/contacts/search", params={"q": typed})).json()["data"]
    assert sorted(row["name"] for row in typeahead) == sorted(found)
    listed = (await named.get("/crm/contacts", params={"search": typed})).json()["data"]
    assert sorted(row["name"] for row in listed) == sorted(found)


async def test_text_keys_and_options_are_stored_in_nfc(named: httpx2.AsyncClient) -> None:
    [shown] = [one for one in (await named.get("/crm/contacts")).json()["data"] if one["name"] == NFC]
    assert shown["properties"] == {"motto": NFC, "essay": NFC, "cafe": "Café", f"{NFC} 1": [NFC]}
    assert await find(named, "cafe = 'CAFE\u0301' and name starts with straSS") == ["Straße"]
    twice = await named.post("/crm/contacts", json={"name": "x", "properties": {NFC: 1, NFD: 2}})
    assert twice.status_code == 422
    assert "twice" in twice.text


async def test_a_property_that_is_defined_later_finds_values_of_before(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    await client.post("/crm/contacts", json={"name": "A", "properties": {"town": "  ΣΊΣΥΦΟΣ", "code": "Straße"}})
    await drain()
    await define(client, "town", "URL")
    await define(client, "code", "TEXTAREA")
    await drain()
    assert await find(client, "town ends with ίσυφος") == ["A"]
    assert await find(client, "code = STRASSE") == ["A"]


async def test_roles_and_properties_of_links_fold_too(client: httpx2.AsyncClient, drain: Drain) -> None:
    await define(client, "level", "TEXT", entity="CONTACT_COMPANY")
    await drain()
    await client.post("/crm/companies", json={"name": "Łódź", "industry": "Öl", "size": "Groß"})
    await client.post("/crm/contacts", json={"name": "A"})
    await drain()
    link = {"companyId": 1, "role": "Größte", "properties": {"level": "ΣΊΣΥΦΟΣ"}}
    await client.post("/crm/contacts/1/companies", json=link)
    await drain()
    for where in (
        "company.role = GRÖSSTE",
        "company.link.level = σίσυφος",
        "company.name = ŁÓDŹ",
        "company.industry starts with ö and company.size = GROSS",
    ):
        assert await find(client, where) == ["A"]


async def test_a_pile_of_marks_is_refused_wherever_text_is_taken(client: httpx2.AsyncClient, drain: Drain) -> None:
    await define(client, "size", "SELECT", options=["S"])
    await drain()
    pile = "a" + "\u0301\u0323" * 5000
    for path, body in (
        ("/crm/contacts", {"name": pile[:900]}),
        ("/crm/contacts", {"properties": {"motto": pile}, "name": "A"}),
        ("/crm/contacts", {"email": f"{pile[:90]}@example.com"}),
        ("/crm/tags", {"key": "a", "description": pile[:900]}),
        ("/crm/query", {"entity": "contact", "where": f"name = '{pile}'"}),
        ("/crm/query", {"entity": "contact", "where": f"properties.size = '{pile}'"}),
        ("/crm/contacts/filter", {"filter": {"field": "name", "operator": "contains", "value": pile}}),
    ):
        answer = await client.post(path, json=body)
        assert answer.status_code in (400, 422), (path, answer.text)
    assert "30 combining marks" in (await client.post("/crm/contacts", json={"name": pile[:900]})).text
