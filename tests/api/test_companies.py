"""Companies over HTTP: one domain, one company; found by all that names them; deleted and restored."""

import random
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

Drain = Callable[[], Awaitable[None]]
Json = dict[str, Any]


async def make(client: httpx2.AsyncClient, **fields: Any) -> Json:
    answer = await client.post("/crm/companies", json={"name": "Acme"} | fields)
    assert answer.status_code == 202, answer.text
    return dict(answer.json()["data"])


async def get(client: httpx2.AsyncClient, ref: Any) -> Json:
    answer = await client.get(f"/crm/companies/{ref}")
    assert answer.status_code in (200, 202), answer.text
    return dict(answer.json()["data"])


def find_code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def list_names(client: httpx2.AsyncClient, path: str = "/crm/companies", **query: Any) -> list[str]:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return [one["name"] for one in answer.json()["data"]]


async def test_a_create_is_accepted_with_a_provisional_record(client: httpx2.AsyncClient, drain: Drain) -> None:
    body = {
        "name": " Acme Corp ",
        "domain": "https://WWW.Acme.com/about",
        "industry": "SaaS",
        "size": "50-200",
        "plan": "Enterprise",
        "spend": 12.50,
        "website": "https://acme.com",
        "phone": "+1234567890",
        "properties": {"annual_revenue": "5000000", "gone": None},
    }
    answer = await client.post("/crm/companies", json=body)
    company, operation = answer.json()["data"], answer.json()["operation"]
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/crm/companies/{company['externalId']}"
    assert answer.headers["operation-location"] == f"/crm/operations/{operation['id']}"
    assert answer.headers["x-correlation-id"] == operation["id"]
    assert (company["id"], company["pending"], company["status"], company["version"]) == (None, True, "ACTIVE", 1)
    assert (company["name"], company["domain"], company["spend"]) == ("Acme Corp", "acme.com", 12.5)
    assert (company["contactCount"], company["tags"]) == (0, [])
    assert company["properties"] == {"annual_revenue": "5000000"}
    pending = await client.get(answer.headers["location"])
    assert (pending.status_code, pending.json()["code"]) == (202, "PENDING")
    await drain()
    applied = await client.get(answer.headers["location"])
    assert applied.headers["etag"] == '"1"'
    assert applied.json()["data"] == {name: value for name, value in company.items() if name != "pending"} | {"id": 1}


async def test_a_company_is_found_by_each_form_of_its_id(client: httpx2.AsyncClient, drain: Drain) -> None:
    made = await make(client, domain="acme.com")
    await drain()
    for ref in (1, made["externalId"], "acme.com", "ACME.com", "www.acme.com"):
        assert (await get(client, ref))["externalId"] == made["externalId"]
    for ref, code in (("x", "INVALID_ID"), ("ctc_01jrfz3x8mfvv8t3n2m6k0q4sb", "INVALID_ID"), ("0x1", "INVALID_ID")):
        assert find_code(await client.get(f"/crm/companies/{ref}")) == (400, code)
    for ref in (2, "nobody.example", "cmp_00000000000000000000000000", "9" * 30):
        assert find_code(await client.get(f"/crm/companies/{ref}")) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("given", "domain"),
    [
        ("acme.com", "acme.com"),
        (" ACME.COM. ", "acme.com"),
        ("http://acme.com:8080/x?y#z", "acme.com"),
        ("https://user@www.acme.co.uk/", "acme.co.uk"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
async def test_a_domain_is_cut_down_to_its_host_name(client: httpx2.AsyncClient, given: str, domain: str) -> None:
    assert (await make(client, domain=given))["domain"] == domain


@pytest.mark.parametrize("given", ["acme", "a b.com", "-a.com", "http://", "a..com", "[::1", "a" * 64 + ".com"])
async def test_what_is_no_domain_is_refused(client: httpx2.AsyncClient, given: str) -> None:
    answer = await client.post("/crm/companies", json={"domain": given})
    assert find_code(answer) == (422, "INVALID_FIELD")
    assert [fault["field"] for fault in answer.json()["error"]["details"]["fields"]] == ["domain"]


async def test_a_domain_is_taken_from_the_moment_it_is_accepted(client: httpx2.AsyncClient, drain: Drain) -> None:
    made = await make(client, domain="acme.com")
    other = await make(client, name="Other")
    for applied in (False, True):
        taken = await client.post("/crm/companies", json={"domain": "www.ACME.com"})
        assert find_code(taken) == (409, "COMPANY_DOMAIN_EXISTS")
        assert taken.json()["error"]["details"] == {
            "field": "domain",
            "value": "acme.com",
            "existingId": 1 if applied else None,
            "existingExternalId": made["externalId"],
        }
        patched = await client.patch(f"/crm/companies/{other['externalId']}", json={"domain": "acme.com"})
        assert find_code(patched) == (409, "COMPANY_DOMAIN_EXISTS")
        await drain()


async def test_a_deleted_company_sets_its_domain_free(client: httpx2.AsyncClient, drain: Drain) -> None:
    made = await make(client, domain="acme.com")
    await client.delete(f"/crm/companies/{made['externalId']}")
    second = await make(client, domain="acme.com")
    restore = await client.post(f"/crm/companies/{made['externalId']}/restore")
    assert find_code(restore) == (409, "COMPANY_DOMAIN_EXISTS")
    await drain()
    assert (await get(client, 1))["status"] == "DELETED"
    assert (await get(client, "acme.com"))["externalId"] == second["externalId"]
    assert find_code(await client.patch("/crm/companies/1", json={"plan": "x"})) == (400, "INVALID_REQUEST")
    await client.patch("/crm/companies/2", json={"domain": "other.com"})
    assert (await client.post("/crm/companies/1/restore")).status_code == 202
    await drain()
    assert (await get(client, "acme.com"))["id"] == 1
    assert find_code(await client.post("/crm/companies/1/restore")) == (400, "INVALID_REQUEST")


async def test_a_patch_merges_and_a_null_clears(client: httpx2.AsyncClient, drain: Drain) -> None:
    made = await make(client, domain="acme.com", plan="Pro", properties={"a": 1, "b": 2})
    path = f"/crm/companies/{made['externalId']}"
    folded = await client.patch(path, json={"plan": None, "properties": {"b": None, "c": 3}, "status": "ARCHIVED"})
    assert (folded.json()["data"]["plan"], folded.json()["data"]["properties"]) == (None, {"a": 1, "c": 3})
    assert (await get(client, made["externalId"]))["pending"]
    await drain()
    company = await get(client, 1)
    assert (company["version"], company["status"], company["name"]) == (2, "ARCHIVED", "Acme")
    stale = await client.patch(path, json={"plan": "x"}, headers={"If-Match": '"1"'})
    assert find_code(stale) == (412, "VERSION_MISMATCH")
    nameless = await client.patch(path, json={"name": None, "domain": None})
    assert find_code(nameless) == (422, "MISSING_FIELD")
    for body in ({"status": "DELETED"}, {"properties": None}, {"nmae": "x"}, {"spend": "much"}):
        assert find_code(await client.patch(path, json=body)) == (422, "INVALID_FIELD")


async def test_a_company_needs_a_name_or_a_domain(client: httpx2.AsyncClient) -> None:
    for body in ({}, {"name": " "}, {"plan": "Pro", "domain": None}):
        assert find_code(await client.post("/crm/companies", json=body)) == (422, "MISSING_FIELD")
    assert (await client.post("/crm/companies", json={"domain": "acme.com"})).status_code == 202


@pytest.mark.usefixtures("living_writer")
async def test_waiting_and_retrying(client: httpx2.AsyncClient) -> None:
    headers = {"Prefer": "wait=10", "Idempotency-Key": "once"}
    first = await client.post("/crm/companies", json={"name": "Acme"}, headers=headers)
    assert (first.status_code, first.json()["data"]["id"]) == (201, 1)
    again = await client.post("/crm/companies", json={"name": "Acme"}, headers=headers)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
    assert again.json()["operation"]["id"] == first.json()["operation"]["id"]
    deleted = await client.delete("/crm/companies/1", headers={"Prefer": "wait=10"})
    assert (deleted.status_code, deleted.json()["data"]["status"]) == (200, "DELETED")


async def test_a_list_is_narrowed_and_ordered(client: httpx2.AsyncClient, drain: Drain) -> None:
    await make(client, name="b", industry="SaaS", size="1-10", domain="x.example")
    await make(client, name="A", industry="Retail", size="1-10")
    await make(client, name="c", industry="SaaS", size="50-200", domain="a.example")
    await make(client, name="gone")
    await drain()
    await client.delete("/crm/companies/4")
    await client.patch("/crm/companies/2", json={"status": "ARCHIVED"})
    await drain()
    up = {"sortBy": "name", "sortOrder": "asc"}
    assert await list_names(client) == ["c", "A", "b"]
    assert await list_names(client, **up) == ["A", "b", "c"]
    assert await list_names(client, sortBy="domain", sortOrder="asc") == ["c", "b", "A"], "no domain comes last"
    assert await list_names(client, industry="SaaS", **up) == ["b", "c"]
    assert await list_names(client, size="1-10", industry="SaaS") == ["b"]
    assert await list_names(client, status="ARCHIVED") == ["A"]
    assert await list_names(client, status="DELETED") == ["gone"]
    assert await list_names(client, search="x.exa") == ["b"]
    assert await list_names(client, to="2000-01-01") == []
    assert len(await list_names(client, **{"from": "2000-01-01"})) == 3
    page = (await client.get("/crm/companies", params={"limit": 2} | up)).json()
    assert (page["meta"]["total"], page["meta"]["totalPages"]) == (3, 2)
    assert await list_names(client, limit=2, cursor=page["meta"]["nextCursor"], **up) == ["c"]
    assert await list_names(client, "/crm/companies/search", q="c") == ["c"]
    for wrong in ({"status": "MERGED"}, {"limit": 101}, {"page": 0}, {"sortBy": "plan"}, {"from": "x"}, {"nmae": "x"}):
        answer = await client.get("/crm/companies", params=wrong)
        assert find_code(answer) == (400, "INVALID_REQUEST"), wrong


@pytest.mark.parametrize(
    "typed",
    [
        "müller.example",
        "müll",
        "muller",
        "xn--mller",
        "www.müller.example",
        "https://www.müller.example/",
        "x12",
        "+1 650 253 7777 ext. 12",
    ],
)
async def test_a_company_is_found_as_its_domain_and_its_phone_are_typed(
    client: httpx2.AsyncClient, drain: Drain, typed: str
) -> None:
    body = {"name": "MuCo", "domain": "müller.example", "phone": "+1 650 253 7777 ext. 12"}
    assert (await client.post("/crm/companies", json=body)).status_code == 202
    await drain()
    assert await list_names(client, search=typed) == ["MuCo"]
    assert await list_names(client, "/crm/companies/search", q=typed) == ["MuCo"]


async def test_another_workspace_has_its_own(
    client: httpx2.AsyncClient, other_client: httpx2.AsyncClient, drain: Drain
) -> None:
    made = await make(client, domain="acme.com")
    await drain()
    for ref in (1, made["externalId"], "acme.com"):
        for method in ("GET", "DELETE"):
            answer = await other_client.request(method, f"/crm/companies/{ref}")
            assert find_code(answer) == (404, "NOT_FOUND")
    assert await list_names(other_client) == []
    assert (await make(other_client, domain="acme.com"))["domain"] == "acme.com"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"name": "\\u0000"}',
        b'{"name": "\\ud800"}',
        b'{"name": 1}',
        b'{"spend": 1e999, "name": "x"}',
        b'{"spend": NaN, "name": "x"}',
        b'{"name": "x", "name": "y"}',
        b'{"domain": ["acme.com"]}',
        b'{"name": "' + b"x" * 1001 + b'"}',
        b'{"name": "x", "properties": ' + b'{"a":' * 100 + b"1" + b"}" * 101,
    ],
)
async def test_a_hostile_body_is_refused_and_leaves_nothing(
    client: httpx2.AsyncClient, drain: Drain, body: bytes
) -> None:
    answer = await client.post("/crm/companies", content=body)
    assert answer.status_code in (400, 422), answer.text
    await drain()
    assert await list_names(client) == []


async def test_texts_may_be_as_long_as_they_are_allowed_to_be(client: httpx2.AsyncClient, drain: Drain) -> None:
    chance = random.Random(1)
    long = "".join(chr(chance.randrange(0x20000, 0x2A000)) for _ in range(1000))
    for name in ("industry", "size", "plan", "website", "phone"):
        await client.post("/crm/companies", json={"name": name, name: long})
        await client.post("/crm/companies", json={"name": f"not {name}", name: long[:999] + "x"})
    await drain()
    for name in ("industry", "size", "plan"):
        body = {"entity": "company", "sort": "id:asc"}
        same = {"filter": {"field": name, "operator": "eq", "value": long}}
        found = (await client.post("/crm/query", json=body | same)).json()["data"]
        assert [row["name"] for row in found] == [name]
        begun = {"filter": {"field": name, "operator": "starts_with", "value": long[:999]}}
        found = (await client.post("/crm/query", json=body | begun)).json()["data"]
        assert [row["name"] for row in found] == [name, f"not {name}"]
    listed = (await client.get("/crm/companies", params={"industry": "SaaS"})).json()["data"]
    assert listed == []
