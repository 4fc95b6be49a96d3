"""The query language over HTTP: notations, orders, pages, totals, selections, and what is refused."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from kith.cql.compile import Statement
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
    await fill(client, drain)
    return client


async def fill(client: httpx2.AsyncClient, drain: Drain) -> None:
    """Some people, companies, tags, lists and activities."""
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


COMPANY_CASES = [
    ("industry = SAAS", [1]),
    ("domain is not null", [2]),
    ("contactCount = 1", [1, 2]),
    ("spend is null", [1, 2]),
    ("seats >= 5", [1]),
    ("contact.email ends with acme.com", [1, 2]),
    ("contact(name starts with ada AND role = CEO)", [1]),
    ("contact.tags has any (vip)", []),
    ("tags has any (vip)", [2]),
]


@pytest.mark.parametrize(("where", "ids"), COMPANY_CASES)
async def test_a_filter_finds_companies(filled: httpx2.AsyncClient, where: str, ids: list[int]) -> None:
    assert await find(filled, where, "company") == ids


async def test_all_notations_ask_the_same(filled: httpx2.AsyncClient) -> None:
    text = "status = ACTIVE AND mrr > 2"
    conditions = [
        {"type": "field", "field": "status", "operator": "eq", "value": "ACTIVE"},
        {"field": "mrr", "operator": "gt", "value": 2},
    ]
    document = {"logic": "AND", "conditions": conditions}
    answers = [
        await ask(filled, text),
        await ask(filled, filter=text),
        await ask(filled, filter=document),
        await ask(filled, dsl="status:eq:ACTIVE,mrr:gt:2"),
    ]
    assert [[row["id"] for row in answer["data"]] for answer in answers] == [[1, 2]] * 4
    legacy = await filled.post("/crm/query", json={"entity": "contact", "dsl": "status:eq:ACTIVE"})
    assert "deprecation" in legacy.headers
    assert "deprecation" not in (await filled.post("/crm/query", json={"entity": "contact"})).headers
    for body in ({"filter": document}, {"filter": text}, {"where": text}, {"dsl": "status:eq:ACTIVE,mrr:gt:2"}):
        answer = await filled.post("/crm/contacts/filter", json=body | {"sortBy": "id", "sortOrder": "asc"})
        assert [row["id"] for row in answer.json()["data"]] == [1, 2], answer.text
    companies = await filled.post("/crm/companies/filter", json={"filter": "industry = saas"})
    assert [row["name"] for row in companies.json()["data"]] == ["Acme"]


async def test_rows_are_those_of_lists_and_meta_tells_what_it_took(filled: httpx2.AsyncClient) -> None:
    answer = await ask(filled, "id <= 3", limit=2)
    assert answer["data"] == (await filled.get("/crm/contacts?sortBy=createdAt&sortOrder=asc")).json()["data"][:2]
    meta = answer["meta"]
    assert meta.items() >= {"page": 1, "limit": 2, "total": 3, "totalPages": 2}.items()
    assert isinstance(meta["queryTimeMs"], int) and meta["estimatedCost"] >= 1 and meta["nextCursor"]
    none = await ask(filled, "id <= 3", limit=2, count="none")
    assert "total" not in none["meta"]
    assert (await ask(filled, limit=1))["meta"]["total"] == 4


async def test_the_total_of_a_tag_or_of_a_list_is_the_one_that_is_kept(
    filled: httpx2.AsyncClient, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled.post("/crm/lists", json={"name": "Companies", "entityType": "COMPANY"})
    await drain()
    await filled.post("/crm/lists/2/members", json={"entityIds": [1]})
    await drain()
    wheres = [
        ("contact", "tags has any (vip)", 1),
        ("contact", "tags has all (VIP)", 1),
        ("company", "tags has any (vip)", 1),
        (["contact", "company"], "tags has any (vip)", 2),
        ("contact", "lists has any (1)", 2),
        ("contact", "lists has all (1)", 2),
        ("contact", "lists has any (2)", 0),
        ("company", "lists has any (1)", 0),
        ("company", "lists has any (2)", 1),
    ]

    def count_nothing(*_: object, **__: object) -> Statement:
        raise AssertionError("it is counted")

    with monkeypatch.context() as patched:
        patched.setattr("kith.engine.read.query.compile_count", count_nothing)
        for count in ("default", "exact"):
            for entity, where, total in wheres:
                meta = (await ask(filled, where, entity, count=count))["meta"]
                assert (meta["total"], "totalIsEstimate" in meta) == (total, False), where
            for path, total in (("lists/1/members", 2), ("lists/2/members", 1), ("companies/2/contacts", 1)):
                answer = await filled.get(f"/crm/{path}", params={"count": count})
                assert answer.json()["meta"]["total"] == total == len(answer.json()["data"])
    await filled.delete("/crm/contacts/3")
    await filled.delete("/crm/contacts/4")
    await filled.post("/crm/companies/1/tags", json={"tagId": 1})
    await filled.delete("/crm/companies/2")
    await drain()
    for entity, where, total in (
        ("contact", "tags has any (vip)", 0),
        ("contact", "lists has any (1)", 1),
        ("company", "tags has any (vip)", 1),
        (["contact", "company"], "tags has any (vip)", 1),
        # What is kept is of something else than these ask for.
        ("company", "status = DELETED and tags has any (vip)", 1),
        ("contact", "status = DELETED and tags has any (vip)", 1),
        ("contact", "status = DELETED and lists has any (1)", 1),
        ("contact", "lists has any (1, 2)", 1),
        ("contact", "not lists has any (1)", 1),
    ):
        assert (await ask(filled, where, entity))["meta"]["total"] == total, where
    assert (await filled.get("/crm/lists/1/members")).json()["meta"]["total"] == 1


SORTS = [
    ("name:asc", [1, 2, 3, 4]),
    ("name:desc", [4, 3, 2, 1]),
    ("email", [1, 2, 3, 4]),
    ("email:desc", [3, 2, 1, 4]),
    ("mrr:asc", [4, 2, 1, 3]),
    ("mrr:desc", [1, 2, 4, 3]),
    ("since:desc,id:desc", [3, 4, 2, 1]),
    ("lifecycleStage:asc,mrr:desc", [1, 2, 4, 3]),
    ([{"field": "lifecycleStage", "direction": "desc"}, {"field": "name"}, {"field": "id"}], [2, 3, 4, 1]),
    ("tier,vip,name:desc", [2, 4, 3, 1]),
    ("activityCount:desc,email:desc", [4, 3, 2, 1]),
]


@pytest.mark.parametrize(("sort", "ids"), SORTS)
async def test_pages_by_number_and_by_cursor_follow_the_order(
    filled: httpx2.AsyncClient, sort: Any, ids: list[int]
) -> None:
    assert [row["id"] for row in (await ask(filled, sort=sort))["data"]] == ids
    for limit in (1, 3):
        rows, cursor = [], None
        while cursor is not None or not rows:
            place = {"cursor": cursor} if cursor else {}
            page = await ask(filled, sort=sort, limit=limit, **place)
            rows += [row["id"] for row in page["data"]]
            cursor = page["meta"]["nextCursor"]
        assert rows == ids
    second = await ask(filled, sort=sort, pagination={"type": "offset", "page": 2, "limit": 2})
    assert [row["id"] for row in second["data"]] == ids[2:]


async def test_contacts_and_companies_come_in_one_order(filled: httpx2.AsyncClient) -> None:
    both = ["contact", "company"]
    answer = await ask(filled, "name is not null", both, sort="name:asc")
    named = [(row["entity"], row["name"]) for row in answer["data"]]
    assert named == [
        ("company", "Acme"),
        ("contact", "Ada Lovelace"),
        ("contact", "Bob"),
        ("contact", "éve"),
        ("contact", "Zoë 50%_\\"),
    ]
    assert answer["meta"]["total"] == 5
    for sort in ("name:desc", "id:asc", "phone:asc,id:desc"):
        whole = [(row["entity"], row["id"]) for row in (await ask(filled, None, both, sort=sort))["data"]]
        assert len(whole) == 6
        rows: list[tuple[str, int]] = []
        cursor = None
        while cursor is not None or not rows:
            place = {"cursor": cursor} if cursor else {}
            page = await ask(filled, None, both, sort=sort, limit=1, **place)
            rows += [(row["entity"], row["id"]) for row in page["data"]]
            cursor = page["meta"]["nextCursor"]
        assert rows == whole
    refused = await filled.post("/crm/query", json={"entity": both, "where": "domain = 'x.com'"})
    assert find_code(refused) == (400, "UNKNOWN_FIELD")


async def test_only_what_is_selected_is_shown(filled: httpx2.AsyncClient) -> None:
    [row] = (await ask(filled, "id = 1", select=["email", "mrr", "tags"]))["data"]
    external_id = row.pop("externalId")
    assert external_id.startswith("ctc_")
    assert row == {"id": 1, "email": "ada@acme.com", "properties": {"mrr": 100}, "tags": []}
    [row] = (await ask(filled, "id = 2", select=["properties", "lists"]))["data"]
    assert (row["properties"], row["lists"]) == ({"mrr": 2.5, "tier": "gold"}, [1])
    unknown = await filled.post("/crm/query", json={"entity": "contact", "select": ["emial"]})
    assert find_code(unknown) == (400, "UNKNOWN_FIELD")
    assert "email" in unknown.json()["error"]["message"]


async def test_a_search_stands_beside_the_filter(filled: httpx2.AsyncClient) -> None:
    assert [row["id"] for row in (await ask(filled, search="acme"))["data"]] == [1, 2]
    assert [row["id"] for row in (await ask(filled, "mrr > 50", search={"query": "acme"}))["data"]] == [1]
    assert [row["id"] for row in (await ask(filled, search="   "))["data"]] == [1, 2, 3, 4]
    for fields, ids in ((["name"], [1]), (["email"], [1]), (["phone", "familyName"], []), ([], [1])):
        found = await ask(filled, search={"query": "ada", "fields": fields})
        assert [row["id"] for row in found["data"]] == ids, fields
    both = await ask(filled, None, ["contact", "company"], search={"query": "acm", "fields": ["name"]})
    assert [(row["entity"], row["id"]) for row in both["data"]] == [("company", 1)]


async def test_live_records_are_meant_unless_the_status_is_named(filled: httpx2.AsyncClient, drain: Drain) -> None:
    await filled.delete("/crm/contacts/1")
    await filled.patch("/crm/contacts/2", json={"status": "ARCHIVED"})
    await drain()
    assert await find(filled, "email ends with acme.com") == [2]
    assert await find(filled, "status != ACTIVE") == [1, 2]
    assert await find(filled, "status = DELETED OR id = 3") == [1, 3]
    assert await find(filled, "contact.email = 'ada@acme.com'", "company") == []


async def test_explain_says_how_it_is_understood_and_runs_nothing(filled: httpx2.AsyncClient) -> None:
    answer = await ask(filled, "not (mrr <= 5) and name contains 'a' AND tags has any (vip)", explain=True)
    assert answer.keys() == {"data"}
    told = answer["data"]
    assert told["canonical"] == "NOT mrr <= 5 AND name CONTAINS a AND tags HAS ANY (vip)" or told["canonical"]
    assert told["ast"]["logic"] == "AND"
    assert told["cost"] >= 1
    assert "tags HAS ANY (vip)" in told["indexed"]
    assert not any("CONTAINS" in one for one in told["indexed"])


REFUSED: list[tuple[Json, str]] = [
    ({"entity": "contact", "where": "status ="}, "QUERY_SYNTAX"),
    ({"entity": "contact", "where": "emial = 'x'"}, "UNKNOWN_FIELD"),
    ({"entity": "contact", "where": "status > ACTIVE"}, "OPERATOR_NOT_ALLOWED"),
    ({"entity": "contact", "where": "createdAt > soon"}, "INVALID_VALUE"),
    ({"entity": "contact", "where": "x" * 16_385}, "QUERY_TOO_COMPLEX"),
    ({"entity": "contact", "filter": {"logic": "XOR", "conditions": []}}, "QUERY_SYNTAX"),
    ({"entity": "contact", "sort": "name,email,id,phone"}, "QUERY_TOO_COMPLEX"),
    ({"entity": "contact", "sort": "tags"}, "OPERATOR_NOT_ALLOWED"),
    ({"entity": "contact", "cursor": "nonsense"}, "INVALID_CURSOR"),
    ({"entity": "contact", "page": 0}, "INVALID_REQUEST"),
    ({"entity": "contact", "limit": 101}, "INVALID_REQUEST"),
    ({"entity": "contact", "page": 501}, "INVALID_REQUEST"),
    ({"entity": "contact", "page": 1, "cursor": "x"}, "INVALID_REQUEST"),
    ({"entity": "contact", "page": 1, "pagination": {"type": "offset"}}, "INVALID_REQUEST"),
    ({"entity": "contact", "pagination": {"type": "cursor", "page": 1}}, "INVALID_REQUEST"),
    ({"entity": "contact", "where": "id = 1", "filter": "id = 1"}, "INVALID_REQUEST"),
    ({"entity": "tag"}, "INVALID_REQUEST"),
    ({"entity": []}, "INVALID_REQUEST"),
    ({}, "INVALID_REQUEST"),
]


@pytest.mark.parametrize(("body", "code"), REFUSED)
async def test_what_cannot_be_asked_is_refused_with_its_place(
    client: httpx2.AsyncClient, body: Json, code: str
) -> None:
    answer = await client.post("/crm/query", json=body)
    assert find_code(answer) == (400, code), answer.text
    assert answer.json()["error"]["details"], "it says where"


async def test_a_property_can_be_asked_for_from_its_definition_until_it_is_archived(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    await client.post("/crm/contacts", json={"name": "Ada", "properties": {"mrr": "12"}})
    await drain()
    unknown = await client.post("/crm/query", json={"entity": "contact", "where": "mrr = 12"})
    assert find_code(unknown) == (400, "UNKNOWN_FIELD")
    made = await define(client, "mrr", "NUMBER")
    await drain()
    assert await find(client, "mrr = 12") == [1]
    await client.delete(made.headers["location"])
    await drain()
    archived = await client.post("/crm/query", json={"entity": "contact", "where": "mrr = 12"})
    assert find_code(archived) == (400, "UNKNOWN_FIELD")
    assert "archived" in archived.json()["error"]["message"]


async def test_fields_are_listed_with_what_can_be_done_with_them(filled: httpx2.AsyncClient) -> None:
    rows = {row["name"]: row for row in (await filled.get("/crm/fields?entity=contact")).json()["data"]}
    assert rows["email"].items() >= {"type": "EMAIL", "isCustom": False, "searchable": True, "isIndexed": True}.items()
    assert rows["status"]["options"] == ["ACTIVE", "ARCHIVED", "MERGED", "DELETED"]
    mrr = rows["properties.mrr"]
    assert (
        mrr.items() >= {"key": "mrr", "type": "NUMBER", "isCustom": True, "isIndexed": True, "sortable": True}.items()
    )
    assert {"eq", "neq", "between", "not_between", "is_null", "is_not_null"} <= set(mrr["operators"])
    assert mrr["access"] == ["read", "filter", "sort", "write"]
    assert rows["createdAt"]["access"] == ["read", "filter", "sort"]
    assert {"has_any", "has_none", "has_all"} <= set(rows["tags"]["operators"])
    merged = {"type": "TEXT", "operators": [], "sortable": False, "access": ["read"], "isCustom": False}
    assert rows["mergedInto"].items() >= merged.items()
    companies = [row["name"] for row in (await filled.get("/crm/fields?entity=company")).json()["data"]]
    assert "properties.seats" in companies and "domain" in companies and "email" not in companies
    for query in ("", "?entity=tag"):
        assert find_code(await filled.get(f"/crm/fields{query}")) == (400, "INVALID_REQUEST")


async def test_another_workspace_finds_nothing_of_it(filled: httpx2.AsyncClient, kit: Any) -> None:
    async with kit.open_client(await kit.make_key(await kit.make_workspace())) as other:
        for where in ("status = ACTIVE", "name is not null OR name is null", "id = 1"):
            assert await find(other, where) == []
        assert (await ask(other, None, ["contact", "company"]))["data"] == []


async def test_case_means_nothing_at_the_end_of_a_word_either(client: httpx2.AsyncClient, drain: Drain) -> None:
    """A sigma there has a form of its own."""
    await define(client, "tier", "SELECT", options=["ΦΩΣ"])
    await drain()
    person = {"email": "ΝΙΚΟΣ@example.com", "familyName": "ΣΟΦΟΣ", "properties": {"tier": "ΦΩΣ"}}
    assert (await client.post("/crm/contacts", json=person)).status_code == 202
    await drain()
    for email in ("ΝΙΚΟΣ@example.com", "νικοσ@example.com"):
        assert await find(client, f"email = '{email}'") == [1]
    for where in ("email starts with 'ΝΙΚΟΣ'", "familyName = 'σοφοσ'", "familyName starts with 'ΣΟΦΟΣ'", "tier = φωσ"):
        assert await find(client, where) == [1]
    for typed in ("νικοσ", "ΝΙΚΟΣ", "ΣΟΦΟΣ"):
        assert len((await client.get("/crm/contacts/search", params={"q": typed})).json()["data"]) == 1


async def test_a_tag_or_a_list_that_is_not_there_is_refused_with_the_one_that_was_meant(
    filled: httpx2.AsyncClient,
) -> None:
    """In every notation, with its place, within relations and behind negations too."""
    tag = (await filled.get("/crm/tags")).json()["data"][0]
    cases: list[tuple[Json, str, Any]] = [
        ({"where": "tags has none (vips)"}, "vip", {"position": 15, "length": 4}),
        (
            {"where": "name = a OR NOT company(name = a AND tags has any (vip, vi))"},
            "vip",
            {"position": 56, "length": 2},
        ),
        ({"where": "lists has any (99)"}, None, {"position": 15, "length": 2}),
        ({"where": f"tags has any ({tag['externalId']})"}, "vip", {"position": 14, "length": 30}),
        ({"filter": {"field": "tags", "operator": "contains", "value": "Vipp"}}, "vip", {"path": "filter.value"}),
        (
            {"filter": {"logic": "AND", "conditions": [{"type": "list", "operator": "has_any", "value": [1, 2e1]}]}},
            None,
            {"path": "filter.conditions[0].value[1]"},
        ),
        ({"dsl": "tags:has_any:vip|vap"}, "vip", {"position": 17, "length": 3}),
    ]
    for asked, meant, place in cases:
        refused = await filled.post("/crm/query", json={"entity": "contact"} | asked)
        error = refused.json()["error"]
        assert (refused.status_code, error["code"]) == (400, "INVALID_VALUE"), asked
        assert error["details"].items() >= place.items(), (asked, error)
        assert error["details"].get("suggestion") == meant, asked
        assert "is in this workspace." in error["message"]
        assert ("by its key" in error["message"]) == ("tag_" in str(asked))
        if "filter" in asked:
            made = {"name": "x", "entityType": "CONTACT", "isDynamic": True, "filterCriteria": asked["filter"]}
            assert (await filled.post("/crm/lists", json=made)).json()["error"]["code"] == "INVALID_VALUE"


async def test_a_list_is_suggested_by_its_name(filled: httpx2.AsyncClient, drain: Drain) -> None:
    await filled.post("/crm/lists", json={"name": "Large customers", "entityType": "CONTACT"})
    await drain()
    refused = await filled.post("/crm/query", json={"entity": "contact", "where": "lists has any ('large customer')"})
    assert refused.json()["error"]["details"]["suggestion"] == "2"


@pytest.mark.parametrize("path", ["", "related"])
async def test_an_empty_list_of_conditions_is_refused_everywhere(filled: httpx2.AsyncClient, path: str) -> None:
    empty: Json = {"logic": "AND", "conditions": []}
    given = empty if not path else {"type": "related", "relation": "company", "filter": empty}
    nested = {"logic": "OR", "conditions": [{"field": "name", "operator": "is_null"}, given]}
    for criteria in (given, nested):
        for url, body in (
            ("/crm/query", {"entity": "contact", "filter": criteria}),
            ("/crm/contacts/filter", {"filter": criteria}),
            ("/crm/lists", {"name": "x", "entityType": "CONTACT", "isDynamic": True, "filterCriteria": criteria}),
        ):
            refused = await filled.post(url, json=body)
            error = refused.json()["error"]
            assert (refused.status_code, error["code"]) == (400, "INVALID_REQUEST"), (url, body, error)
            assert error["details"]["path"].endswith(".conditions")
