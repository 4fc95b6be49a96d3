"""Queries as large as the limits allow are planned and run in no time to speak of."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest

from kith.cql.ast import Comparison
from kith.cql.compile import Statement
from kith.cql.syntax import TOKENS_MAX
from kith.engine.context.engine import Engine
from kith.engine.read import slow_queries as watching
from kith.engine.read.slow_queries import Watched
from kith.errors import InvalidRequest
from kith.model.workspaces import Workspace
from tests.api.definitions import define, find_code
from tests.kit import Kit

Drain = Callable[[], Awaitable[None]]
TAGS = 300


@pytest.fixture
async def tagged(client: httpx2.AsyncClient, drain: Drain, kit: Kit, workspace: Workspace) -> httpx2.AsyncClient:
    """Contact 1 has every tag, contact 2 all but one, contact 3 none; all are of company 1."""
    for n in range(TAGS):
        await client.post("/crm/tags", json={"key": f"t{n}"})
    for name in ("Ada", "Bob", "Eve"):
        await client.post("/crm/contacts", json={"name": name})
    await client.post("/crm/companies", json={"name": "Acme", "plan": "Pro"})
    await drain()
    for n in range(TAGS):
        await client.post("/crm/contacts/1/tags", json={"tagId": n + 1})
        if n:
            await client.post("/crm/contacts/2/tags", json={"tagId": n + 1})
    for number in (1, 2, 3):
        await client.post(f"/crm/contacts/{number}/companies", json={"companyId": 1})
    await drain()
    return client


async def find(client: httpx2.AsyncClient, conditions: list[Any]) -> tuple[list[int], int]:
    """(who fits, how long the database took for it in milliseconds)."""
    body = {"entity": "contact", "sort": "id:asc", "filter": {"logic": "AND", "conditions": conditions}}
    answer = await client.post("/crm/query", json=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    return [row["id"] for row in told["data"]], told["meta"]["queryTimeMs"]


async def test_all_of_many_tags_are_counted_and_not_joined(tagged: httpx2.AsyncClient) -> None:
    keys = [f"t{n}" for n in range(TAGS)]
    everyone, _ = await find(tagged, [{"field": "tags", "operator": "has_all", "value": keys}])
    assert everyone == [1]
    without, took_ms = await find(tagged, [{"field": "tags", "operator": "has_all", "value": keys[1:]}])
    assert without == [1, 2] and took_ms < 1000
    some = {"field": "tags", "operator": "has_all", "value": keys[1:]}
    negated, _ = await find(tagged, [{"type": "group", "logic": "AND", "conditions": [some], "not": True}])
    assert negated == [3]


async def test_many_conditions_on_links_are_planned_in_time(tagged: httpx2.AsyncClient) -> None:
    links = [{"field": "tags", "operator": "has_any", "value": [f"t{n}"]} for n in range(50)]
    companies = [{"field": "company.plan", "operator": "starts_with", "value": "Pro"[: n % 3 + 1]} for n in range(50)]
    found, took_ms = await find(tagged, [*links, *companies])
    assert found == [1] and took_ms < 1000
    assert (await find(tagged, [*links[1:], *companies]))[0] == [1, 2]


async def test_what_is_kept_of_a_query_is_small_however_large_it_is(
    free_client: httpx2.AsyncClient, engine: Engine
) -> None:
    names = [f"{n:0100}" for n in range(1000)]
    condition = {"field": "name", "operator": "in", "value": names}
    for logic in ("AND", "OR"):
        body = {"entity": "contact", "filter": {"logic": logic, "conditions": [condition] * 5}}
        assert (await free_client.post("/crm/query", json=body)).status_code == 200
    assert all(isinstance(key, bytes) and len(key) <= 32 for key in engine.costs._kept)
    outlines = [one for key, (_, found) in engine.costs._outlines.items() for one in (key, found)]
    assert engine.costs._kept and outlines
    assert all(isinstance(one, bytes) and len(one) <= 32 for one in outlines)


async def test_a_cursor_does_not_outlive_the_type_of_what_it_sorts_by(client: httpx2.AsyncClient, drain: Drain) -> None:
    made = await define(client, "level", "TEXT")
    await drain()
    for level in ("abc", "abd"):
        await client.post("/crm/contacts", json={"name": "x", "properties": {"level": level}})
    await drain()
    body = {"entity": "contact", "sort": "level:asc", "limit": 1}
    cursor = (await client.post("/crm/query", json=body)).json()["meta"]["nextCursor"]
    assert (await client.post("/crm/query", json=body | {"cursor": cursor})).status_code == 200
    for number in (1, 2):
        await client.patch(f"/crm/contacts/{number}", json={"properties": {"level": None}})
    await drain()
    await client.patch(made.headers["location"], json={"type": "NUMBER"})
    await drain()
    assert find_code(await client.post("/crm/query", json=body | {"cursor": cursor})) == (400, "INVALID_CURSOR")


def compile_endless(*_: object, **__: object) -> Statement:
    """One that the server ends as it does at the timeout, only sooner."""
    return Statement("SELECT count(pg_cancel_backend(pg_backend_pid())) FROM generate_series(1, 1000000)", ())


@pytest.fixture
async def free_client(kit: Kit, workspace: Workspace) -> AsyncIterator[httpx2.AsyncClient]:
    """One whose statements may end themselves, also where row level security is forced on the others."""
    async with kit.open_client(await kit.make_key(workspace), locked=False) as opened:
        yield opened


async def test_a_page_does_not_fail_for_a_total_that_takes_too_long(
    free_client: httpx2.AsyncClient, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        await free_client.post("/crm/contacts", json={"name": f"n{n}"})
    await drain()
    for module in ("query", "cql"):
        monkeypatch.setattr(f"kith.engine.read.{module}.compile_count", compile_endless)
    body = {"entity": "contact", "where": "name contains n", "sort": "id:asc", "limit": 2, "page": 2}
    for ask in (
        free_client.post("/crm/query", json=body),
        free_client.get(
            "/crm/contacts", params={"search": "n", "sortBy": "name", "sortOrder": "asc", "limit": 2, "page": 2}
        ),
    ):
        answer = await ask
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert [row["id"] for row in told["data"]] == [3, 4]
        assert told["meta"]["totalIsEstimate"] is True and told["meta"]["nextCursor"]
        assert told["meta"]["total"] >= 5, "not less than what is seen: two pages, and more"
        assert told["meta"]["totalPages"] >= 3
    exact = await free_client.post("/crm/query", json=body | {"count": "exact"})
    assert find_code(exact) == (504, "QUERY_TIMEOUT")
    assert exact.json()["error"]["details"] == {"parameter": "count"}
    assert "count=none" in exact.json()["error"]["message"]
    assert (await free_client.post("/crm/query", json=body | {"count": "none"})).status_code == 200


async def test_a_page_that_takes_too_long_is_a_timeout(
    free_client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kith.engine.read.cql.compile_page", compile_endless)
    answer = await free_client.post("/crm/query", json={"entity": "contact", "where": "name contains n"})
    assert find_code(answer) == (504, "QUERY_TIMEOUT")


async def test_a_text_of_too_many_words_is_refused_before_it_is_parsed(free_client: httpx2.AsyncClient) -> None:
    where = "(" * (TOKENS_MAX + 1)
    answer = await free_client.post("/crm/query", json={"entity": "contact", "where": where})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "QUERY_TOO_COMPLEX")
    assert (error["details"]["limit"], error["details"]["given"]) == (TOKENS_MAX, TOKENS_MAX + 2)


@pytest.fixture
async def essays(client: httpx2.AsyncClient, drain: Drain) -> httpx2.AsyncClient:
    """Contacts and companies may have an essay."""
    for entity in ("CONTACT", "COMPANY"):
        made = await client.post("/crm/properties", json={"key": "essay", "entity": entity, "type": "TEXTAREA"})
        assert made.status_code == 202, made.text
    await drain()
    return client


def make_where(comparisons: int, field: str = "properties.essay") -> str:
    return " OR ".join(f"{field} contains 'zq{n}'" for n in range(comparisons))


async def find_cost(client: httpx2.AsyncClient, where: str) -> int:
    answer = await client.post("/crm/query", json={"entity": "contact", "where": where, "explain": True})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["data"]["cost"])


async def test_comparisons_of_text_cost_by_their_number_and_the_length_of_the_texts(
    essays: httpx2.AsyncClient, drain: Drain
) -> None:
    assert await find_cost(essays, make_where(2)) == 1
    for _ in range(3):
        await essays.post("/crm/contacts", json={"name": "Long", "properties": {"essay": "é" * 60_000}})
    await drain()
    assert await find_cost(essays, make_where(99)) > 20 * await find_cost(essays, make_where(3)) > 20


async def test_records_that_fit_a_number_of_activities_are_priced_as_rare(client: httpx2.AsyncClient) -> None:
    counted = "activities(type = note) > 100000"
    assert await find_cost(client, counted) >= 33
    assert await find_cost(client, f"email = 'ada@example.com' AND {counted}") == 1


async def test_texts_have_their_price_when_the_newest_records_are_short(
    essays: httpx2.AsyncClient, drain: Drain
) -> None:
    for n in range(8):
        essay = "é" * 60_000 if n < 4 else "e"
        await essays.post("/crm/contacts", json={"name": "x", "properties": {"essay": essay}})
    await drain()
    # 99 comparisons with four texts of 120 kB take 240 ms, which are 475 units.
    assert 200 < await find_cost(essays, make_where(99)) < 800


async def test_texts_of_related_records_have_their_price(essays: httpx2.AsyncClient, drain: Drain) -> None:
    await essays.post("/crm/companies", json={"name": "Acme", "properties": {"essay": "é" * 60_000}})
    for _ in range(4):
        await essays.post("/crm/contacts", json={"name": "x"})
    await drain()
    where = make_where(99, "company.properties.essay")
    unlinked = await find_cost(essays, where)
    for number in range(1, 5):
        await essays.post(f"/crm/contacts/{number}/companies", json={"companyId": 1})
    await drain()
    # Another text, as an estimate is kept for a minute. Each contact costs the 119 units of its company's text.
    assert await find_cost(essays, make_where(98, "company.properties.essay")) > unlinked + 300


async def test_a_condition_that_an_index_serves_lowers_the_price_only_where_it_narrows(
    essays: httpx2.AsyncClient, drain: Drain
) -> None:
    for n in range(5):
        await essays.post("/crm/contacts", json={"name": f"n{n}", "properties": {"essay": "é" * 60_000}})
    await drain()
    compared = make_where(99)
    assert await find_cost(essays, f"createdAt > 2000-01-01 AND ({compared})") > 400
    assert await find_cost(essays, f"name = 'n1' AND ({compared})") < 200


async def test_a_query_above_the_ceiling_of_the_keys_tier_is_refused(
    essays: httpx2.AsyncClient, drain: Drain, kit: Kit, workspace: Workspace
) -> None:
    for _ in range(12):
        await essays.post("/crm/contacts", json={"name": "Long", "properties": {"essay": "é" * 60_000}})
    await drain()
    body = {"entity": "contact", "where": make_where(99)}
    async with kit.open_client(await kit.make_key(workspace, tier="starter")) as starter:
        answer = await starter.post("/crm/query", json=body)
        assert find_code(answer) == (422, "QUERY_TOO_EXPENSIVE"), answer.text
        details = answer.json()["error"]["details"]
        assert (details["limit"], details["tier"]) == (1000, "starter") and details["estimatedCost"] > 1000
        few = {"entity": "contact", "where": make_where(3)}
        assert (await starter.post("/crm/query", json=few)).status_code == 200
        grouped = body | {"aggregate": [{"fn": "count"}]}
        assert find_code(await starter.post("/crm/query", json=grouped)) == (422, "QUERY_TOO_EXPENSIVE")
    async with kit.open_client(await kit.make_key(workspace, tier="growth")) as growth:
        told = (await growth.post("/crm/query", json=body)).json()
        assert told["meta"]["estimatedCost"] == details["estimatedCost"]


@pytest.mark.parametrize("more", [{}, {"aggregate": [{"fn": "count"}]}])
async def test_a_long_query_waits_for_a_place_and_no_other_does(
    client: httpx2.AsyncClient, engine: Engine, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, more: Any
) -> None:
    ran: list[str] = []
    long, short = ({"entity": "contact", "where": f"name contains {name}", **more} for name in ("long", "short"))

    async def ask(name: str, body: Any) -> None:
        assert (await client.post("/crm/query", json=body)).status_code == 200
        ran.append(name)

    assert (await client.post("/crm/query", json=short)).status_code == 200, "its cost is kept"
    monkeypatch.setattr("kith.engine.context.query_costs.LONG_COST", 1)
    async with AsyncExitStack() as stack:
        for _ in range(engine.long_queries._queue.share):
            await stack.enter_async_context(engine.long_queries.hold(workspace.id))
        waiting = asyncio.create_task(ask("long", long))
        while not engine.long_queries._queue:
            await asyncio.sleep(0)
        monkeypatch.setattr("kith.engine.context.query_costs.LONG_COST", 50)
        await ask("short", short)
    await waiting
    assert ran == ["short", "long"]


async def test_the_estimate_is_part_of_a_slow_querys_time(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise InvalidRequest("not estimated", {})

    seen: list[str] = []
    monkeypatch.setattr(watching.log, "warning", lambda event, **more: seen.append(more["outcome"]))
    monkeypatch.setattr("kith.engine.read.cql.Watched", lambda name, kind, _, tree: Watched(name, kind, 0, tree))
    monkeypatch.setattr("kith.engine.read.cql.check_cost", refuse)
    for more in ({}, {"aggregate": [{"fn": "count"}]}):
        answer = await client.post("/crm/query", json={"entity": "contact", "where": "name = x", **more})
        assert answer.json()["error"]["message"] == "not estimated"
    assert len(seen) == 2


async def test_a_slow_query_is_logged_without_its_values(
    client: httpx2.AsyncClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(watching.log, "warning", lambda event, **more: lines.append({"event": event, **more}))
    where = Comparison("name", "contains", "secret")
    with watching.Watched(workspace, "query", 0, where) as watched:
        watched.cost = 7
    line = lines.pop()
    assert line["event"] == "slow_query" and line["workspace"] == workspace.name and line["cost"] == 7
    assert line["conditions"] == ["name contains"] and "secret" not in str(line)
    assert "kith_slow_queries_total" in (await client.get("/metrics")).text
