"""Dynamic lists: whoever fits the filter is on the list, from the change that makes it so."""

import random
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import msgspec
import pytest

from kith.model.workspaces import Workspace
from tests.api.definitions import define, find_code, read

Drain = Callable[[], Awaitable[None]]
Json = dict[str, Any]


def one(field: str, operator: str, value: Any = None) -> Json:
    condition = {"field": field, "operator": operator} | ({} if value is None else {"value": value})
    return {"logic": "AND", "conditions": [condition]}


async def make_list(client: httpx2.AsyncClient, criteria: Json, entity: str = "CONTACT") -> str:
    body = {"name": "Some", "entityType": entity, "isDynamic": True, "filterCriteria": criteria}
    made = await client.post("/crm/lists", json=body)
    assert made.status_code == 202, made.text
    return made.headers["location"].removeprefix("/crm/")


async def list_members(client: httpx2.AsyncClient, path: str) -> list[int]:
    """The oldest record first, the reverse of how they come."""
    answer = await client.get(f"/crm/{path}/members", params={"limit": 1000})
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in reversed(answer.json()["data"])]


async def test_a_list_begins_with_all_who_fit_and_tells_its_filter(client: httpx2.AsyncClient, drain: Drain) -> None:
    for stage in ("LEAD", "CUSTOMER", "CUSTOMER"):
        await client.post("/crm/contacts", json={"name": "x", "lifecycleStage": stage})
    path = await make_list(client, one("lifecycleStage", "eq", "customer"))
    await drain()
    assert await list_members(client, path) == [2, 3]
    told = await read(client, path)
    assert (
        told.items()
        >= {
            "memberCount": 2,
            "filter": "lifecycleStage = CUSTOMER",
            "filterCriteria": one("lifecycleStage", "eq", "customer"),
            "status": "ACTIVE",
            "reason": None,
        }.items()
    )
    assert told["evaluatedAt"]


async def test_a_record_enters_and_leaves_with_the_change_that_makes_it_so(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    await define(client, "mrr", "NUMBER")
    await client.post("/crm/tags", json={"key": "vip"})
    await drain()
    rich = await make_list(client, one("mrr", "gte", 100))
    vips = await make_list(client, one("tags", "has_any", ["vip"]))
    busy = await make_list(client, one("activityCount", "gte", 1))
    nameless = await make_list(client, one("name", "is_null"))
    await drain()
    await client.post("/crm/contacts", json={"email": "ada@example.com", "properties": {"mrr": "150"}})
    await drain()
    assert [await list_members(client, path) for path in (rich, vips, busy, nameless)] == [[1], [], [], [1]]
    await client.patch("/crm/contacts/1", json={"name": "Ada", "properties": {"mrr": 5}})
    await client.post("/crm/contacts/1/tags", json={"tagId": 1})
    await client.post("/crm/contacts/1/activities", json={"type": "NOTE"})
    await drain()
    assert [await list_members(client, path) for path in (rich, vips, busy, nameless)] == [[], [1], [1], []]
    await client.delete("/crm/contacts/1")
    await drain()
    assert [(await read(client, path))["memberCount"] for path in (rich, vips, busy)] == [0, 0, 0]
    await client.post("/crm/contacts/1/restore")
    await drain()
    assert [(await read(client, path))["memberCount"] for path in (rich, vips, busy)] == [0, 1, 1]
    await client.delete("/crm/tags/1")
    await drain()
    assert ((await read(client, vips))["status"], await list_members(client, vips)) == ("BROKEN", [1])


async def test_a_filter_may_look_at_companies_contacts_and_activities(client: httpx2.AsyncClient, drain: Drain) -> None:
    saas = await make_list(client, one("company.industry", "eq", "SaaS"))
    not_saas = await make_list(client, one("company.industry", "neq", "SaaS"))
    calls = {
        "logic": "AND",
        "conditions": [{"type": "activity", "activityType": "CALL", "operator": "gte", "value": 1}],
    }
    called = await make_list(client, calls)
    with_ada = await make_list(client, one("contact.name", "starts_with", "ada"), "COMPANY")
    await client.post("/crm/contacts", json={"name": "Ada"})
    await client.post("/crm/contacts", json={"name": "Bob"})
    await client.post("/crm/companies", json={"name": "Acme"})
    await client.post("/crm/companies", json={"name": "Umbrella", "industry": "saas"})
    await drain()
    await client.post("/crm/contacts/1/companies", json={"companyId": 1})
    await client.post("/crm/contacts/2/companies", json={"companyId": 2})
    await drain()
    paths = (saas, not_saas, called, with_ada)
    assert [await list_members(client, path) for path in paths] == [[2], [1], [], [1]]
    await client.patch("/crm/companies/1", json={"industry": "SAAS"})
    await client.delete("/crm/companies/2")
    await client.post("/crm/contacts/2/activities", json={"type": "CALL"})
    await client.patch("/crm/contacts/1", json={"name": "Eve"})
    await drain()
    assert [await list_members(client, path) for path in paths] == [[1], [2], [2], []]


@pytest.mark.parametrize("written", ["1e100", "1" + "0" * 100, f"{10**99 - 1}e2"])
async def test_a_number_of_a_hundred_zeros_is_one_everywhere(
    client: httpx2.AsyncClient, drain: Drain, written: str
) -> None:
    await define(client, "n", "NUMBER")
    await drain()
    headers = {"Content-Type": "application/json"}
    made = await client.post(
        "/crm/contacts", content=f'{{"name": "x", "properties": {{"n": {written}}}}}', headers=headers
    )
    assert made.status_code == 202, made.text
    criteria = f'{{"logic": "AND", "conditions": [{{"field": "n", "operator": "lte", "value": {written}}}]}}'
    body = f'{{"name": "Some", "entityType": "CONTACT", "isDynamic": true, "filterCriteria": {criteria}}}'
    path = (await client.post("/crm/lists", content=body, headers=headers)).headers["location"].removeprefix("/crm/")
    await drain()
    await client.post("/crm/contacts", json={"name": "y", "properties": {"n": 1}})
    await drain()
    assert await list_members(client, path) == [1, 2]
    for filter_ in (f"n = {written}", f"n >= {10**99}", f"n = '{written}'"):
        found = (await client.post("/crm/query", json={"entity": "contact", "where": filter_})).json()
        assert [row["id"] for row in found["data"]] == [1], found
    # What is shown is accepted again, digit by digit.
    for shown, key in ((path, "filterCriteria"), ("contacts/1", "properties")):
        document = (await client.get(f"/crm/{shown}")).json()["data"][key]
        again = await client.patch(f"/crm/{shown}", json={key: document})
        assert again.status_code in (200, 202), again.text


async def test_evaluate_answers_what_it_changed(client: httpx2.AsyncClient, kit: Any) -> None:
    async with kit.living_writer():
        await client.post("/crm/contacts", json={"name": "Ada"}, headers={"Prefer": "wait=5"})
        body = {"name": "All", "entityType": "CONTACT", "isDynamic": True, "filterCriteria": one("name", "eq", "ada")}
        made = await client.post("/crm/lists", json=body, headers={"Prefer": "wait=5"})
        assert made.json()["data"]["memberCount"] == 1, made.text
        answer = await client.post(f"{made.headers['location']}/evaluate")
        assert answer.status_code == 200, answer.text
        told = answer.json()["data"]
        assert told.items() >= {"memberCount": 1, "added": 0, "removed": 0}.items() and told["evaluatedAt"]
        static = await client.post("/crm/lists", json={"name": "x", "entityType": "CONTACT"})
        refused = await client.post(f"{static.headers['location']}/evaluate")
        assert find_code(refused) == (400, "INVALID_REQUEST")


async def test_another_filter_makes_other_members(client: httpx2.AsyncClient, drain: Drain) -> None:
    for name in ("Ada", "Bob"):
        await client.post("/crm/contacts", json={"name": name})
    path = await make_list(client, one("name", "eq", "ada"))
    await drain()
    changed = await client.patch(f"/crm/{path}", json={"filterCriteria": one("name", "eq", "bob")})
    assert changed.json()["data"]["filter"] == "name = bob"
    await drain()
    assert await list_members(client, path) == [2]
    operation = await read(client, changed.headers["operation-location"].removeprefix("/crm/"))
    assert operation["result"].items() >= {"memberCount": 1, "added": 1, "removed": 1}.items()


@pytest.mark.parametrize(
    ("criteria", "code"),
    [
        (one("emial", "eq", "x"), "UNKNOWN_FIELD"),
        (one("name", "gt", "x"), "OPERATOR_NOT_ALLOWED"),
        ({"logic": "AND", "conditions": [{"field": "name"}]}, "QUERY_SYNTAX"),
    ],
)
async def test_a_filter_that_cannot_be_understood_is_refused(
    client: httpx2.AsyncClient, criteria: Json, code: str
) -> None:
    body = {"name": "x", "entityType": "CONTACT", "isDynamic": True, "filterCriteria": criteria}
    answer = await client.post("/crm/lists", json=body)
    assert find_code(answer) == (400, code)
    assert answer.json()["error"]["details"]["path"].startswith("filterCriteria")


async def test_a_dynamic_list_does_not_depend_on_another(client: httpx2.AsyncClient, drain: Drain) -> None:
    first = await make_list(client, one("name", "is_not_null"))
    await client.post("/crm/lists", json={"name": "static", "entityType": "CONTACT"})
    await client.post("/crm/contacts", json={"name": "Ada"})
    await drain()
    body = {"name": "x", "entityType": "CONTACT", "isDynamic": True}
    number = (await read(client, first))["id"]
    refused = await client.post("/crm/lists", json=body | {"filterCriteria": one("lists", "has_any", [number])})
    assert find_code(refused) == (400, "INVALID_REQUEST")
    second = await make_list(client, one("lists", "has_any", [number + 1]))
    await drain()
    await client.post(f"/crm/lists/{number + 1}/members", json={"entityIds": [1]})
    await drain()
    assert await list_members(client, second) == [1]
    await client.delete(f"/crm/lists/{number + 1}")
    await drain()
    assert ((await read(client, second))["status"], await list_members(client, second)) == ("BROKEN", [1])


async def test_a_property_that_is_archived_or_retyped_breaks_a_list_which_keeps_its_members(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    made = await define(client, "score", "NUMBER")
    await client.post("/crm/contacts", json={"name": "Ada", "properties": {"score": 5}})
    await drain()
    path = await make_list(client, one("score", "gt", 1))
    await drain()
    await client.delete(made.headers["location"])
    await drain()
    told = await read(client, path)
    assert (told["status"], told["memberCount"]) == ("BROKEN", 1)
    assert "archived" in told["reason"]
    assert find_code(await client.post(f"/crm/{path}/evaluate")) == (400, "INVALID_REQUEST")
    await client.patch("/crm/contacts/1", json={"properties": {"score": 0}})
    await drain()
    assert await list_members(client, path) == [1]
    await client.patch(made.headers["location"], json={"status": "ACTIVE"})
    await drain()
    told = await read(client, path)
    assert (told["status"], told["reason"], told["memberCount"]) == ("ACTIVE", None, 0)


async def test_who_enters_and_leaves_is_told(
    client: httpx2.AsyncClient, drain: Drain, kit: Any, workspace: Workspace
) -> None:
    """With the change that it follows from, in one event for all the lists that are entered, and one for those left."""
    paths = [await make_list(client, one("status", "eq", status)) for status in ("ARCHIVED", "ACTIVE", "ACTIVE")]
    await client.post("/crm/contacts", json={"name": "Ada"})
    await drain()
    await client.patch("/crm/contacts/1", json={"status": "ARCHIVED"})
    await client.patch("/crm/contacts/1", json={"name": "Ada Lovelace"})
    await client.patch("/crm/contacts/1", json={"status": "ACTIVE"})
    await drain()
    rows = await kit.engine.database.fetch(
        "SELECT type, data FROM events WHERE workspace_id = $1 AND type NOT LIKE 'list.created' ORDER BY sequence",
        workspace.id,
    )
    told = [(row["type"], msgspec.json.decode(row["data"])) for row in rows]
    numbers = [(type_, [held["id"] for held in data.get("lists", ())]) for type_, data in told]
    assert numbers == [
        *(("contact.created", []), ("list.entered", [2, 3])),
        *(("contact.updated", []), ("list.left", [2, 3]), ("list.entered", [1])),
        ("contact.updated", []),
        *(("contact.updated", []), ("list.left", [1]), ("list.entered", [2, 3])),
    ]
    _, entered = told[1]
    assert (entered["id"], entered["externalId"][:4]) == (1, "ctc_")
    assert entered["lists"][0].keys() == {"id", "externalId", "name"}
    assert [f"lists/{held['externalId']}" for held in entered["lists"]] == paths[1:]


CRITERIA: list[tuple[str, str]] = [
    ("CONTACT", "mrr >= 5"),
    ("CONTACT", "tags has any (a) AND NOT name starts with x"),
    ("CONTACT", "email is null OR mrr is null"),
    ("CONTACT", "company.industry = saas"),
    ("CONTACT", "company(role = CEO AND tags has any (b))"),
    ("CONTACT", "ACTIVITIES(type = CALL) >= 2 OR activityCount = 0"),
    ("CONTACT", "status != ACTIVE"),
    ("COMPANY", "contact.mrr > 3"),
    ("COMPANY", "industry is null AND tags has none (a)"),
    ("COMPANY", "contactCount >= 1"),
]


@pytest.mark.parametrize("seed", range(4))
async def test_membership_is_that_of_a_query_after_whatever_happened(
    client: httpx2.AsyncClient, drain: Drain, seed: int
) -> None:
    chance = random.Random(seed)
    await define(client, "mrr", "NUMBER")
    await drain()
    for key in ("a", "b"):
        await client.post("/crm/tags", json={"key": key})
    await drain()
    paths = []
    for entity, where in CRITERIA:
        explained = await client.post("/crm/query", json={"entity": entity.lower(), "where": where, "explain": True})
        paths.append(await make_list(client, explained.json()["data"]["ast"], entity))
    for n in range(4):
        await client.post("/crm/contacts", json={"name": f"n{n}", "properties": {"mrr": n * 2}})
        await client.post("/crm/companies", json={"name": f"c{n}", "industry": chance.choice(("SaaS", "Toys"))})
    await drain()
    for _ in range(12):
        for _ in range(chance.randrange(1, 6)):
            await act(client, chance)
        await drain()
        for (entity, where), path in zip(CRITERIA, paths, strict=True):
            body = {"entity": entity.lower(), "where": where, "sort": "createdAt:desc", "limit": 100}
            fitting = [row["id"] for row in (await client.post("/crm/query", json=body)).json()["data"]]
            live = [row["id"] for row in await read(client, f"{path}/members")]
            told = await read(client, path)
            if "status" not in where:
                assert (live, told["memberCount"]) == (fitting, len(fitting)), where


async def act(client: httpx2.AsyncClient, chance: random.Random) -> None:
    """Something that may change who is on which list."""
    contact, company, tag = chance.randrange(1, 5), chance.randrange(1, 5), chance.randrange(1, 3)
    person, firm = f"/crm/contacts/{contact}", f"/crm/companies/{company}"
    acts: list[tuple[str, str, Json | None]] = [
        ("PATCH", person, {"properties": {"mrr": chance.choice((None, 1, 4, 9))}}),
        ("PATCH", person, {"name": chance.choice(("xavier", "ada", None)), "email": f"{chance.random()}@example.com"}),
        ("PATCH", person, {"status": chance.choice(("ACTIVE", "ARCHIVED"))}),
        ("PATCH", firm, {"industry": chance.choice(("SaaS", None, "Toys"))}),
        ("POST", f"{person}/tags", {"tagId": tag}),
        ("DELETE", f"{person}/tags/{tag}", None),
        ("POST", f"{firm}/tags", {"tagId": tag}),
        ("DELETE", f"{firm}/tags/{tag}", None),
        ("POST", f"{person}/companies", {"companyId": company, "role": chance.choice(("CEO", "CTO"))}),
        ("PATCH", f"{person}/companies/{company}", {"role": chance.choice(("CEO", None))}),
        ("DELETE", f"{person}/companies/{company}", None),
        ("POST", f"{person}/activities", {"type": chance.choice(("CALL", "NOTE"))}),
        ("DELETE", person, None),
        ("POST", f"{person}/restore", None),
        ("DELETE", firm, None),
        ("POST", f"{firm}/restore", None),
        ("POST", f"{person}/merge", {"loserId": chance.randrange(1, 5)}),
    ]
    weights = [3, 2, 2, 3, 2, 2, 2, 2, 3, 2, 2, 3, 1, 3, 1, 3, 0.2]
    method, path, body = chance.choices(acts, weights)[0]
    answer = await client.request(method, path, **({"json": body} if body is not None else {}))
    assert answer.status_code < 500, answer.text
