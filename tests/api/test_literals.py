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
