"""Behind row level security the query language gives the answers that it gives without: it asks for nothing more."""

from collections.abc import AsyncIterator

import asyncpg
import httpx2
import pytest

from kith.model.workspaces import Workspace
from tests.api.test_queries import CASES, COMPANY_CASES, SORTS, ask, fill, find
from tests.kit import Kit, open_kit
from tests.postgres import Cluster, connect
from tests.row_security import SHARED, lock_tables, lock_url

TABLES = ("contacts", "companies", "associations", "tags", "taggings", "lists", "list_members", "activities", "totals")
BOTH = ["contact", "company"]


@pytest.fixture(scope="module")
async def locked_kit(postgres: Cluster) -> AsyncIterator[Kit]:
    async with open_kit(await postgres.make_database()) as kit:
        await lock_tables(kit.url)
        yield kit


@pytest.fixture(scope="module")
async def neighbours(locked_kit: Kit) -> tuple[Workspace, Workspace]:
    """Two workspaces of one shard that have the same."""
    pair = await locked_kit.make_neighbours()
    for workspace in pair:
        async with locked_kit.open_client(await locked_kit.make_key(workspace)) as client:
            await fill(client, locked_kit.drain)
    return pair


@pytest.fixture(scope="module")
async def locked(locked_kit: Kit, neighbours: tuple[Workspace, Workspace]) -> AsyncIterator[httpx2.AsyncClient]:
    key = await locked_kit.make_key(neighbours[0])
    async with locked_kit.open_client(key, locked=True) as client:
        yield client


@pytest.fixture(scope="module")
async def free(locked_kit: Kit, neighbours: tuple[Workspace, Workspace]) -> AsyncIterator[httpx2.AsyncClient]:
    key = await locked_kit.make_key(neighbours[0])
    async with locked_kit.open_client(key, locked=False) as client:
        yield client


async def test_the_lock_holds_whatever_a_statement_asks_for(
    locked_kit: Kit, neighbours: tuple[Workspace, Workspace]
) -> None:
    own = neighbours[0]
    locked = await asyncpg.connect(lock_url(locked_kit.url, own))
    try:
        async with connect(locked_kit.url) as connection:
            for table in TABLES:
                everything = await connection.fetchval(f"SELECT count(*) FROM {table}")
                assert 0 < await locked.fetchval(f"SELECT count(*) FROM {table}") < everything
                rows = await locked.fetch(f"SELECT DISTINCT shard, workspace_id FROM {table}")
                assert [tuple(row) for row in rows] == [(own.shard, own.id)]
            names = await connection.fetch(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
                " AND NOT (relrowsecurity AND relforcerowsecurity)"
            )
        assert {row["relname"] for row in names} == SHARED
    finally:
        await locked.close()


@pytest.mark.parametrize(("where", "ids"), CASES)
async def test_a_filter_finds_what_fits(locked: httpx2.AsyncClient, where: str, ids: list[int]) -> None:
    assert await find(locked, where) == ids


@pytest.mark.parametrize(("where", "ids"), COMPANY_CASES)
async def test_a_filter_finds_companies(locked: httpx2.AsyncClient, where: str, ids: list[int]) -> None:
    assert await find(locked, where, "company") == ids


async def test_orders_searches_selections_and_totals_are_the_same(
    locked: httpx2.AsyncClient, free: httpx2.AsyncClient
) -> None:
    asked: list[tuple[str | list[str], dict[str, object]]] = [("contact", {"sort": sort}) for sort, _ in SORTS]
    asked += [("contact", {"search": word}) for word in ("acme", "ada lovelace", "+1 555", "nobody")]
    asked += [("contact", {"select": ["email", "mrr", "tags", "lists"]}), ("contact", {"count": "exact"})]
    asked += [(BOTH, {"sort": sort, "limit": limit}) for sort in ("name:desc", "id,name") for limit in (1, 20)]
    for entity, more in asked:
        answers = [await ask(client, None, entity, **more) for client in (locked, free)]
        for answer in answers:
            del answer["meta"]["queryTimeMs"], answer["meta"]["estimatedCost"]
        assert answers[0] == answers[1]
        assert answers[0]["data"] or more == {"search": "nobody"}


async def test_what_is_shown_of_single_records_and_lists_is_the_same(
    locked: httpx2.AsyncClient, free: httpx2.AsyncClient
) -> None:
    for path in (
        *("contacts", "contacts/1", "contacts/4/activities", "contacts/1/companies", "contacts/search?q=ad"),
        *("contacts/4/summary", "companies", "companies/1", "companies/1/contacts", "tags", "tags/1"),
        *("lists", "lists/1/members", "properties", "fields?entity=contact"),
    ):
        answers = [await client.get(f"/crm/{path}") for client in (locked, free)]
        assert answers[0].status_code == answers[1].status_code == 200, path
        assert answers[0].json() == answers[1].json(), path
