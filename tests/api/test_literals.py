"""Values in filters have the normal form of their field: what a GET finds, a query finds too, and so does a list."""

from collections.abc import Awaitable, Callable

import httpx2
import pytest

Drain = Callable[[], Awaitable[None]]
CONTACTS = [
    {"name": "Max", "email": "max@müller.example", "phone": "+1 650 253 7777"},
    {"name": "Jose\u0301", "email": "jose\u0301@acme.example", "phone": "+44 (0)20 7946 0958 ext. 5"},
    {"name": "Bea", "email": "bea@xn--mller-kva.example", "phone": "call me"},
]
COMPANIES = [
    {"name": "Acme", "domain": "https://www.acme.example/a"},
    {"name": "Müller", "domain": "müller.example"},
]
CASES = [
    ("contact", 'email = "max@xn--mller-kva.example"', ["Max"]),
    ("contact", 'email = " MAX@MÜLLER.example "', ["Max"]),
    ("contact", 'email IN ("max@mu\u0308ller.example", x)', ["Max"]),
    ("contact", 'email ends with "@xn--mller-kva.example"', ["Max", "Bea"]),
    ("contact", 'email contains "@XN--MLLER-KVA"', ["Max", "Bea"]),
    ("contact", 'email = "jos\u00e9@acme.example"', ["Jos\u00e9"]),
    ("contact", 'name = " jos\u00e9 "', ["Jos\u00e9"]),
    ("contact", 'phone = "+16502537777"', ["Max"]),
    ("contact", 'phone = "0016502537777"', ["Max"]),
    ("contact", 'phone = "+1 (650) 253-7777"', ["Max"]),
    ("contact", 'phone IN ("+16502537777", "call me")', ["Max", "Bea"]),
    ("contact", 'phone != "+16502537777"', ["Jos\u00e9", "Bea"]),
    ("contact", 'phone starts with "+1650"', ["Max"]),
    ("contact", 'phone starts with "+1 (650)"', ["Max"]),
    ("contact", 'phone contains "253-77"', ["Max"]),
    ("contact", 'phone ends with "2537777"', ["Max"]),
    ("contact", 'phone = "+442079460958"', ["Jos\u00e9"]),
    ("contact", 'phone = "+44 (0)20 7946 0958 ext. 5"', ["Jos\u00e9"]),
    ("contact", 'phone contains "ext. 5"', ["Jos\u00e9"]),
    ("contact", 'phone = "CALL ME"', ["Bea"]),
    ("company", 'domain = "www.acme.example"', ["Acme"]),
    ("company", 'domain = "https://acme.example"', ["Acme"]),
    ("company", 'domain = "http://WWW.ACME.example/x?y"', ["Acme"]),
    ("company", 'domain starts with "https://www.ac"', ["Acme"]),
    ("company", 'domain = "MÜLLER.example"', ["Müller"]),
    ("company", 'domain IN ("mu\u0308ller.example")', ["Müller"]),
    ("company", 'domain ends with "müller.example"', ["Müller"]),
    ("company", 'domain = "no domain"', []),
]


async def test_a_literal_is_compared_in_the_form_of_its_field(client: httpx2.AsyncClient, drain: Drain) -> None:
    """By a query, whose canonical text means the same, by a list that was there before, and by one made after."""
    paths = {}
    for when in ("before", "after"):
        for entity, where, _ in CASES:
            asked = {"entity": entity, "where": where, "explain": True}
            explained = (await client.post("/crm/query", json=asked)).json()["data"]
            again = (await client.post("/crm/query", json=asked | {"where": explained["canonical"]})).json()["data"]
            assert again["canonical"] == explained["canonical"]
            body = {"name": where, "entityType": entity.upper(), "isDynamic": True, "filterCriteria": explained["ast"]}
            made = await client.post("/crm/lists", json=body)
            assert made.status_code == 202, made.text
            paths[when, where] = f"/crm/lists/{made.json()['data']['externalId']}/members"
        if when == "before":
            for kind, records in (("contacts", CONTACTS), ("companies", COMPANIES)):
                for record in records:
                    assert (await client.post(f"/crm/{kind}", json=record)).status_code == 202
                    await drain()
    await drain()
    for entity, where, names in CASES:
        body = {"entity": entity, "where": where, "sort": "id"}
        found = await client.post("/crm/query", json=body)
        assert [row["name"] for row in found.json()["data"]] == names, where
        for when in ("before", "after"):
            members = (await client.get(paths[when, where])).json()["data"]
            assert [row["name"] for row in reversed(members)] == names, (when, where)


@pytest.mark.parametrize("where", ['company(domain = "https://acme.example")', 'company.domain = "www.acme.example"'])
async def test_literals_behind_a_relation_have_their_form_too(
    client: httpx2.AsyncClient, drain: Drain, where: str
) -> None:
    await client.post("/crm/contacts", json={"name": "Ann"})
    await client.post("/crm/companies", json={"domain": "acme.example"})
    await drain()
    await client.post("/crm/contacts/1/companies", json={"companyId": 1})
    await drain()
    found = await client.post("/crm/query", json={"entity": "contact", "where": where})
    assert [row["name"] for row in found.json()["data"]] == ["Ann"]


# One in no country, and one in no international form.
PHONES = ["+1 650 253 7777", "0044 20 7946 0958 ext. 5", "+999 12 34", "650 253 0000"]
OF_PROPERTIES = [
    ('tel = "+16502537777"', [1]),
    ('tel = "001 (650) 253-7777"', [1]),
    ('tel IN ("+1-650-253-7777", "+999 12 34")', [1, 3]),
    ('tel != "+16502537777"', [2, 3, 4]),
    ('tel = "+44 20 7946 0958"', [2]),
    ('tel = " 0044 20 7946 0958 EXT. 5 "', [2]),
    ('tel starts with "+1 (650) 25"', [1]),
    ('tel starts with "+44"', [2]),
    ('tel = "+9991234"', []),
    ('tel starts with "650 2"', [4]),
    ('tel contains "253-77"', [1]),
    ('tel contains "253 "', [1, 4]),
    ('tel ends with "2537777"', [1]),
    ('tel ends with "ext. 5"', [2]),
    ('mail = " MAX@xn--mller-kva.example "', [1]),
    ('mail IN ("max@mu\u0308ller.example", x)', [1]),
    ('mail ends with "@xn--mller-kva.example"', [1]),
    ('site = " HTTPS://acme.example/A "', [1]),
    ('site IN ("https://acme.example/a ")', [1]),
]


async def _define(client: httpx2.AsyncClient, drain: Drain, entity: str, **types: str) -> None:
    for key, kind in types.items():
        made = await client.post("/crm/properties", json={"key": key, "entity": entity, "type": kind})
        assert made.status_code == 202, made.text
    await drain()


async def _find(client: httpx2.AsyncClient, where: str, **asked: object) -> list[int]:
    found = await client.post("/crm/query", json={"entity": "contact", "where": where, "sort": "id", **asked})
    return [row["id"] for row in found.json()["data"]]


async def _make_list(client: httpx2.AsyncClient, name: str, where: str) -> None:
    explained = await client.post("/crm/query", json={"entity": "contact", "where": where, "explain": True})
    body = {"name": name, "entityType": "CONTACT", "isDynamic": True}
    made = await client.post("/crm/lists", json=body | {"filterCriteria": explained.json()["data"]["ast"]})
    assert made.status_code == 202, made.text


async def _list_members(client: httpx2.AsyncClient, name: str) -> list[int]:
    found = (await client.get("/crm/lists", params={"limit": 100})).json()["data"]
    [one] = [one for one in found if one["name"] == name]
    return sorted(row["id"] for row in (await client.get(f"/crm/lists/{one['id']}/members")).json()["data"])


@pytest.mark.parametrize("defined", ["before", "after"])
async def test_a_literal_is_compared_in_the_form_of_its_property(
    client: httpx2.AsyncClient, drain: Drain, defined: str
) -> None:
    """By a query and by a list, whether the property is defined before its values are stored or after."""
    types = {"tel": "PHONE", "mail": "EMAIL", "site": "URL"}
    if defined == "before":
        await _define(client, drain, "CONTACT", **types)
    for number, tel in enumerate(PHONES):
        more = {"mail": "Max@Müller.example", "site": "https://acme.example/a"} if number == 0 else {}
        made = await client.post("/crm/contacts", json={"name": str(number), "properties": {"tel": tel, **more}})
        assert made.status_code == 202
    await drain()
    if defined == "after":
        await _define(client, drain, "CONTACT", **types)
    for n, (where, _) in enumerate(OF_PROPERTIES):
        await _make_list(client, f"list {n}", where)
    await drain()
    for n, (where, numbers) in enumerate(OF_PROPERTIES):
        assert await _find(client, where) == numbers, where
        assert await _list_members(client, f"list {n}") == numbers, where
    # The lists follow what changes.
    await client.patch("/crm/contacts/3", json={"properties": {"tel": "+1 (650) 253 7777"}})
    await drain()
    for n, (where, numbers) in enumerate(OF_PROPERTIES):
        if where in ('tel = "+16502537777"', 'tel contains "253-77"'):
            assert await _list_members(client, f"list {n}") == [*numbers, 3], where
    assert await _find(client, "tel is not null", sort="tel") == [1, 3, 2, 4]
    explained = await client.post(
        "/crm/query", json={"entity": "contact", "where": 'tel = "+16502537777"', "explain": True}
    )
    assert explained.json()["data"]["indexed"] == ['properties.tel = "+16502537777"']


async def test_phones_of_companies_and_of_links_are_compared_by_e164(client: httpx2.AsyncClient, drain: Drain) -> None:
    await _define(client, drain, "COMPANY", tel="PHONE")
    await _define(client, drain, "CONTACT_COMPANY", line="PHONE")
    await client.post("/crm/contacts", json={"name": "Ann"})
    await client.post("/crm/companies", json={"name": "Acme", "properties": {"tel": "+1 650 253 7777"}})
    await drain()
    await client.post("/crm/contacts/1/companies", json={"companyId": 1, "properties": {"line": "+44 20 7946 0958"}})
    await drain()
    for where in ('company.tel = "+16502537777"', 'company(line = "+442079460958")', 'company(line contains "207946")'):
        assert await _find(client, where) == [1], where
        await _make_list(client, where, where)
        await drain()
        assert await _list_members(client, where) == [1], where
