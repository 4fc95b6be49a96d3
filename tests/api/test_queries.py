"""The query language over HTTP: notations, orders, pages, totals, selections, and what is refused."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from tests.api.definitions import define, find_code

Drain = Callable[[], Awaitable[None]]
Json = dict[str, Any]
PEOPLE: list[Json] = [
    {"email": "ada@acme.com", "name": "Ada Lovelace", "lifecycleStage": "CUSTOMER", "properties": {"mrr": 100}},
    {"email": "bob@acme.com", "name": "Bob", "phone": "+1 555 0100", "properties": {"mrr": 2.5, "tier": "gold"}},
    {"email": "eve@umbrella.com", "name": "éve", "properties": {"since": "2026-02-01", "colors": ["red", "blue"]}},
    {"name": "Zoë 50%_\\", "properties": {"mrr": -1, "vip": True}},
]


@pytest.fixture
async def filled(client: httpx2.AsyncClient, drain: Drain) -> httpx2.AsyncClient:
    """A client of a workspace with some people, companies, tags, lists and activities."""
    await define(client, "mrr", "NUMBER")
    await define(client, "tier", "SELECT", options=["gold", "tin"])
    await define(client, "since", "DATE")
    await define(client, "vip", "BOOLEAN")
    await define(client, "colors", "MULTI_SELECT", options=["red", "blue"])
    await define(client, "seats", "NUMBER", entity="COMPANY")
    await define(client, "level", "TEXT", entity="CONTACT_COMPANY")
    await drain()
    for person in PEOPLE:
        assert (await client.post("/crm/contacts", json=person)).status_code == 202
    for company in ({"name": "Acme", "industry": "SaaS", "properties": {"seats": 5}}, {"domain": "umbrella.com"}):
        assert (await client.post("/crm/companies", json=company)).status_code == 202
    await client.post("/crm/tags", json={"key": "vip"})
    await client.post("/crm/lists", json={"name": "Some", "entityType": "CONTACT"})
    await drain()
    link = {"companyId": 1, "role": "CEO", "isPrimary": True, "properties": {"level": "Top"}}
    await client.post("/crm/contacts/1/companies", json=link)
    await client.post("/crm/contacts/2/companies", json={"companyId": 2})
    await client.post("/crm/contacts/3/tags", json={"tagId": 1})
    await client.post("/crm/companies/2/tags", json={"tagId": 1})
    await client.post("/crm/lists/1/members", json={"entityIds": [2, 4]})
    for type_ in ("CALL", "CALL", "NOTE"):
        await client.post("/crm/contacts/4/activities", json={"type": type_, "occurredAt": "2026-03-01T10:00:00Z"})
    await drain()
    return client


async def ask(client: httpx2.AsyncClient, where: str | None = None, entity: Any = "contact", **more: Any) -> Json:
    body = {"entity": entity, "sort": "id:asc"} | ({"where": where} if where is not None else {}) | more
    answer = await client.post("/crm/query", json=body)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def find(client: httpx2.AsyncClient, where: str, entity: str = "contact") -> list[int]:
    return [row["id"] for row in (await ask(client, where, entity))["data"]]


CASES = [
    ("status = ACTIVE", [1, 2, 3, 4]),
    ("lifecycleStage in (lead, CUSTOMER)", [1, 2, 3, 4]),
    ("lifecycleStage = customer", [1]),
    ("email contains '@ACME.com'", [1, 2]),
    ("email STARTS WITH ev", [3]),
    ("email ends with umbrella.com", [3]),
    ("email is null", [4]),
    ("email != 'ada@acme.com'", [2, 3, 4]),
    ("name = 'ADA lovelace'", [1]),
    ("name = 'ÉVE'", [3]),
    ("name contains '50%_\\\\'", [4]),
    ("name starts with a OR name starts with b", [1, 2]),
    ("NOT (name starts with a OR name starts with b)", [3, 4]),
    ("isIdentified = false", [4]),
    ("modules has any (CRM)", [1, 2, 3, 4]),
    ("activityCount >= 3", [4]),
    ("id between 2 and 3", [2, 3]),
    ("id in (1, 4)", [1, 4]),
    ("id = 1.5", []),
    ("id > 99999999999999999999999", []),
    ("createdAt > 2020-01-01 AND createdAt <= tomorrow", [1, 2, 3, 4]),
    ("lastActivityAt = 2026-03-01", [4]),
    ("mrr > 2", [1, 2]),
    ("mrr = 2.50", [2]),
    ("properties.mrr is not null", [1, 2, 4]),
    ("mrr < 0 OR mrr is null", [3, 4]),
    ("tier = GOLD", [2]),
    ("tier not in (gold)", [1, 3, 4]),
    ("since >= 2026-02-01", [3]),
    ("since < startOfYear", []),
    ("vip = true", [4]),
    ("vip != true", [1, 2, 3]),
    ("colors has all (red, blue)", [3]),
    ("colors has any (red)", [3]),
    ("colors is null", [1, 2, 4]),
    ("tags has any (VIP)", [3]),
    ("tags has none (vip)", [1, 2, 4]),
    ("tags has any (nobody)", []),
    ("tags is null", [1, 2, 4]),
    ("lists has any (1)", [2, 4]),
    ("lists has none (1)", [1, 3]),
    ("company.industry = saas", [1]),
    ("company.industry != saas", [2, 3, 4]),
    ("company.role = ceo", [1]),
    ("company.isPrimary = true", [1]),
    ("company.properties.seats = 5", [1]),
    ("company(industry = SaaS AND role = CEO)", [1]),
    ("company.domain is null", [1, 3, 4]),
    ("company.tags has any (vip)", [2]),
    ("company.link.level = top", [1]),
    ("ACTIVITIES(type = CALL) >= 2", [4]),
    ("ACTIVITIES(type = CALL, since 2026-03-02) = 0", [1, 2, 3, 4]),
    ("ACTIVITIES > 0 AND ACTIVITIES(module = CRM, before 2026-03-02) = 3", [4]),
    ("", [1, 2, 3, 4]),
]


@pytest.mark.parametrize(("where", "ids"), CASES)
async def test_a_filter_finds_what_fits(filled: httpx2.AsyncClient, where: str, ids: list[int]) -> None:
    assert await find(filled, where) == ids
