"""Every filter that an index can serve is served by it, in the workspace's own part, and reads little else."""

import random
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from kith.cql.compile import compile_count, compile_page
from kith.engine.context.query_costs import outline
from kith.engine.read.cql import QueryRequest, resolve_asked, run_cql
from kith.engine.read.query import place_page
from kith.model.contacts import Contact
from kith.model.properties import PropertyEntity, PropertyType, Schema, make_schema
from kith.model.records import CompanyLink, ListLink, TagLink
from kith.model.tags import to_link
from kith.model.workspaces import Workspace
from kith.store.database import Connection, make_server_settings
from tests.engine.crowd import EPOCH, Crowd, make_contact, open_crowd, save
from tests.engine.plans import Node, Sent, check, explain, walk
from tests.engine.population import make_property
from tests.engine.test_noun_plans import TABLES, make_activity, make_company, make_list, make_tag
from tests.kit import SETTINGS
from tests.postgres import Cluster

CONTACTS, COMPANIES, TAGS, LISTS = 20_000, 2_000, 200, 100
OPTIONS = [f"option {n}" for n in range(200)]
DEFINED: Sequence[tuple[PropertyEntity, str, PropertyType, str | None]] = (
    ("CONTACT", "nickname", "TEXT", "text_1"),
    ("CONTACT", "motto", "TEXT", "text_2"),
    ("CONTACT", "tier", "SELECT", "text_3"),
    ("CONTACT", "mrr", "NUMBER", "number_1"),
    ("CONTACT", "since", "DATE", "time_1"),
    ("CONTACT", "seen", "DATETIME", "time_2"),
    ("CONTACT", "interests", "MULTI_SELECT", None),
    ("CONTACT", "plan", "TEXT", None),
    ("COMPANY", "seats", "NUMBER", "number_1"),
    ("COMPANY", "mrr", "NUMBER", "number_2"),
    ("CONTACT_COMPANY", "level", "TEXT", None),
)


def make_schemas() -> dict[str, Schema]:
    schemas = {entity: make_schema(entity, ()) for entity in ("CONTACT", "COMPANY", "CONTACT_COMPANY")}
    for number, (entity, key, type_, slot) in enumerate(DEFINED):
        one = make_property(entity, number, key, type_, slot, OPTIONS)
        schemas[entity] = schemas[entity].replace(one)
    return schemas


def make_properties(number: int, chance: random.Random) -> dict[str, Any]:
    """Some values are rare, some are nearly everybody's."""
    day = EPOCH + timedelta(days=chance.randrange(3000))
    return {
        "nickname": f"Nick {number % 6_000}",
        "motto": f"{number % 500} {'long ' * 60}",
        "tier": OPTIONS[chance.choices((0, 1, 2, 3), (90, 8, 1, 1))[0]],
        "mrr": number % 1000 + 0.5,
        "since": day.date().isoformat(),
        "seen": f"{day.date()}T12:00:00.000Z",
        "interests": chance.sample(OPTIONS, 2),
        "plan": chance.choice(("pro", "free")),
    }


async def fill(connection: Connection, workspace: Workspace) -> list[Contact]:
    chance = random.Random(11)
    schemas = make_schemas()
    tags = [make_tag(workspace.id, number) for number in range(1, TAGS + 1)]
    lists = [make_list(workspace.id, number) for number in range(1, LISTS + 1)]
    companies = [
        msgspec.structs.replace(
            make_company(workspace.id, number, chance),
            properties={"seats": number, "mrr": number % 50},
            tags=(to_link(tags[number % TAGS]),),
        )
        for number in range(1, COMPANIES + 1)
    ]
    contacts = []
    for number in range(1, CONTACTS + 1):
        links: list[CompanyLink] = []
        carried: list[TagLink] = [to_link(tags[0]), to_link(tags[chance.randrange(1, TAGS)])]
        if number % 2:
            company = chance.choice(companies)
            links.append(
                CompanyLink(
                    external_id=company.external_id,
                    number=company.number,
                    name=company.name,
                    domain=company.domain,
                    live=company.live,
                    role="CTO",
                    is_primary=True,
                    properties={"level": "top"},
                )
            )
        contacts.append(
            msgspec.structs.replace(
                make_contact(workspace.id, number, chance),
                properties=make_properties(number, chance),
                companies=tuple(links),
                tags=tuple(carried),
                lists=(ListLink(external_id="", number=chance.randrange(1, LISTS, 2)),),
            )
        )
    activities = [make_activity(workspace.id, number, one, chance) for number, one in enumerate(contacts[::3], 1)]
    defined = [one for schema in schemas.values() for one in schema.properties.values()]
    records = [*defined, *tags, *lists, *companies, *contacts, *activities]
    await save(connection, workspace, records, lambda _, entity: schemas[entity])
    return contacts


@pytest.fixture(scope="module")
async def crowd(postgres: Cluster) -> AsyncIterator[Crowd]:
    """Two workspaces of one shard that have the same; tests only read them."""
    async with open_crowd(await postgres.make_database(), fill, TABLES) as opened:
        yield opened


def list_reads(plan: Node) -> Iterator[tuple[str, int]]:
    """(index, how many entries or rows were looked at) of each scan that ran."""
    for node in walk(plan):
        if index := node.get("Index Name"):
            dropped = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
            if node["Actual Loops"]:
                yield index, round((node["Actual Rows"] + dropped) * node["Actual Loops"])


class Reader:
    """A connection of the role that runs queries; it tells of each how it went."""

    def __init__(self, crowd: Crowd, connection: asyncpg.Connection) -> None:
        self.crowd = crowd
        self.connection = connection

    async def analyze(self, asked: QueryRequest) -> list[Node]:
        """The plans of the page and of its count, as they ran, both checked."""
        engine, workspace = self.crowd.engine, self.crowd.workspace
        resolved = await resolve_asked(engine, workspace, asked)
        query = place_page(engine, workspace, resolved.query, asked.page, asked.cursor, resolved.sorted_by)
        where, context, shard = query.where, resolved.context, workspace.shard
        statements = [compile_page(resolved.sources, query, shard, workspace.id, context)]
        statements += [
            compile_count(source, where, shard, workspace.id, context, exact=False) for source in resolved.sources
        ]
        plans = []
        for statement in statements:
            sql = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.sql}"
            plan = msgspec.json.decode(await self.connection.fetchval(sql, *statement.values))[0]["Plan"]
            check(plan, self.crowd)
            plans.append(plan)
        return plans


@pytest.fixture
async def reader(crowd: Crowd) -> AsyncIterator[Reader]:
    connection = await asyncpg.connect(crowd.kit.url, server_settings=make_server_settings("query", SETTINGS))
    yield Reader(crowd, connection)
    await connection.close()


# A filter, the index that serves it, and how many of its entries are read at most: of 20,000 contacts.
SERVED: list[tuple[str, str, int]] = [
    ("nickname = 'NICK 77'", "contacts_text_1", 10),
    ("nickname starts with 'nick 77'", "contacts_text_1", 100),
    ("nickname in ('nick 1', 'nick 2')", "contacts_text_1", 20),
    (f"motto = '7 {'long ' * 60}'", "contacts_text_2", 100),
    (f"motto starts with '7 {'LONG ' * 55}'", "contacts_text_2", 100),
    ("tier = 'option 2'", "contacts_text_3", 600),
    ("tier in ('option 2', 'option 3')", "contacts_text_3", 1200),
    ("mrr = 5.5", "contacts_number_1", 50),
    ("mrr in (5.5, 6.5)", "contacts_number_1", 100),
    ("mrr > 997", "contacts_number_1", 150),
    ("mrr between 5 and 7", "contacts_number_1", 100),
    ("since = 2026-05-05", "contacts_time_1", 50),
    ("since >= 2034-03-10", "contacts_time_1", 250),
    ("seen > 2034-03-09", "contacts_time_2", 250),
    ("tags has any (key-7)", "taggings_created", 400),
    ("tags has any (key-7, key-8)", "taggings_created", 800),
    ("tags has all (key-7, key-8)", "taggings_created", 800),
    ("interests has any ('option 7')", "contacts_options", 600),
    ("interests has all ('option 7', 'option 9')", "contacts_options", 50),
    ("email = 'a.77@example27.com'", "contacts_email", 1),
    ("email starts with 'a.77'", "contacts_email", 100),
    ("name = 'ADA lovelace'", "contacts_name", 500),
    ("id = 77", "contacts_pkey", 1),
    ("id in (1, 2)", "contacts_pkey", 2),
    ("externalId = 'ctc_77'", "contacts_external_id", 1),
    ("lastActivityAt >= 2026-02-03", "contacts_activity", 200),
    ("status = ARCHIVED", "contacts_unusual", 1500),
    ("company.domain = 'company7.example'", "companies_domain", 1),
    ("company.seats = 7", "companies_number_1", 1),
    ("company.id = 7", "associations_company", 50),
    ("company(mrr = 7 AND role = CTO)", "companies_number_2", 100),
    ("company.tags has any (key-7)", "taggings_created", 200),
    ("status = ACTIVE AND mrr > 10 AND nickname = 'nick 77'", "contacts_text_1", 10),
    ("plan = pro AND tier = 'option 0' AND tags has any (key-7)", "taggings_created", 400),
    ("plan = pro AND mrr > 10 AND interests has any ('option 7')", "contacts_options", 600),
    ("nickname = 'nick 77' AND NOT tier = 'option 0'", "contacts_text_1", 10),
    ("mrr = 5.5 AND ACTIVITIES(type = CALL) >= 1", "contacts_number_1", 50),
    ("nickname = 'nick 1' OR mrr = 5.5", "contacts_number_1", 50),
    ("nickname = 'nick 1' OR interests has any ('option 7')", "contacts_options", 600),
    ("nickname = 'nick 1' OR tags has any (key-7)", "contacts_text_1", 10),
    ("tags has any (key-7) OR tags has any (key-8) OR lists has any (7)", "taggings_created", 800),
]


@pytest.mark.parametrize(("text", "index", "entries_max"), SERVED)
async def test_a_filter_is_served_by_its_index(reader: Reader, text: str, index: str, entries_max: int) -> None:
    for plan in await reader.analyze(QueryRequest(entities=("contact",), filter=text)):
        reads = list(list_reads(plan))
        assert index in dict(reads), reads
        assert sum(entries for name, entries in reads if name == index) <= entries_max, reads
        assert sum(entries for _, entries in reads) < CONTACTS / 5, reads


COMPANIES_SERVED = [
    ("contact.email = 'a.77@example27.com'", "contacts_email", 1),
    ("contact.nickname = 'nick 77'", "contacts_text_1", 10),
    ("contact.tags has any (key-7)", "taggings_created", 400),
    ("seats = 7", "companies_number_1", 1),
    ("seats > 1990", "companies_number_1", 20),
    ("domain starts with 'company77'", "companies_live_domain", 30),
]


@pytest.mark.parametrize(("text", "index", "entries_max"), COMPANIES_SERVED)
async def test_a_filter_of_companies_is_served_by_its_index(
    reader: Reader, text: str, index: str, entries_max: int
) -> None:
    for plan in await reader.analyze(QueryRequest(entities=("company",), filter=text)):
        reads = list(list_reads(plan))
        assert index in dict(reads), reads
        assert sum(entries for name, entries in reads if name == index) <= entries_max, reads


ORDERS = [
    *("nickname", "nickname:desc", "mrr", "mrr:desc", "since", "since:desc", "seen:desc", "tier", "tier:desc"),
    *("createdAt:desc", "name", "name:desc", "email", "lastActivityAt:desc", "lastActivityAt", "id", "id:desc"),
]


def count_rows_read(plan: Node, table: str) -> int:
    reads = [node for node in walk(plan) if node.get("Relation Name") == table]
    return sum(
        round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]) for node in reads
    )


@pytest.mark.parametrize("sort", ORDERS)
async def test_pages_in_the_order_of_an_index_read_little_more_than_themselves(
    crowd: Crowd, reader: Reader, sort: str
) -> None:
    asked = QueryRequest(entities=("contact",), sort=sort, count="none")
    page = await run_cql(crowd.engine, crowd.workspace, asked)
    assert page.meta["estimatedCost"] <= 3, "what the page does not begin is not counted"
    behind = msgspec.structs.replace(asked, cursor=page.meta["nextCursor"])
    for one in (asked, behind, msgspec.structs.replace(asked, page=3)):
        plan = (await reader.analyze(one))[0]
        assert count_rows_read(plan, "contacts") <= 120, plan
    for filtered in ("nickname is not null", "status = ACTIVE", "mrr < 900"):
        plan = (await reader.analyze(msgspec.structs.replace(asked, filter=filtered)))[0]
        assert count_rows_read(plan, "contacts") <= 400, filtered


@pytest.mark.parametrize("sort", ["createdAt", "createdAt:desc"])
@pytest.mark.parametrize(
    "text", ["tags has any (key-7)", "tags has all (key-7) AND mrr > 0", "NOT plan = x AND (lists has any (7))"]
)
async def test_a_page_of_a_tag_or_a_list_is_read_in_the_order_of_its_rows(
    crowd: Crowd, reader: Reader, text: str, sort: str
) -> None:
    asked = QueryRequest(entities=("contact",), filter=text, sort=sort, count="none")
    page = await run_cql(crowd.engine, crowd.workspace, asked)
    for one in (asked, msgspec.structs.replace(asked, cursor=page.meta["nextCursor"])):
        plan = (await reader.analyze(one))[0]
        assert not [node for node in walk(plan) if node["Node Type"] == "Sort"], plan
        assert count_rows_read(plan, "contacts") <= 60, plan


@pytest.mark.parametrize(
    "sort", ["createdAt:desc,name", "mrr:desc,name", "nickname,createdAt:desc", "name,mrr,id:desc"]
)
async def test_the_first_of_several_keys_is_read_from_its_index(crowd: Crowd, reader: Reader, sort: str) -> None:
    """The rest is sorted within its values, up to 250 of which are the same."""
    asked = QueryRequest(entities=("contact",), sort=sort, count="none")
    page = await run_cql(crowd.engine, crowd.workspace, asked)
    for one in (asked, msgspec.structs.replace(asked, cursor=page.meta["nextCursor"])):
        plan = (await reader.analyze(one))[0]
        assert count_rows_read(plan, "contacts") <= 500, plan


@pytest.mark.parametrize("sort", ["mrr", "mrr:desc", "nickname", "since:desc", "email", "lastActivityAt:desc", "name"])
async def test_those_without_a_value_come_last_and_are_not_sorted(crowd: Crowd, reader: Reader, sort: str) -> None:
    """Of contacts nearly none of which has one."""
    field = sort.partition(":")[0]
    asked = QueryRequest(entities=("contact",), sort=sort, filter=f"NOT {field} IS NOT NULL")
    plan = (await reader.analyze(asked))[0]
    for node in walk(plan):
        if node["Node Type"] in ("Sort", "Incremental Sort"):
            assert node["Actual Rows"] * node["Actual Loops"] == 0, node


@pytest.mark.parametrize("sort", ["name", "createdAt:desc", "mrr"])
async def test_pages_of_both_entities_read_little_more_than_themselves(crowd: Crowd, reader: Reader, sort: str) -> None:
    asked = QueryRequest(entities=("contact", "company"), sort=sort, count="none")
    page = await run_cql(crowd.engine, crowd.workspace, asked)
    for one in (asked, msgspec.structs.replace(asked, cursor=page.meta["nextCursor"])):
        plan = (await reader.analyze(one))[0]
        assert count_rows_read(plan, "contacts") + count_rows_read(plan, "companies") <= 150


@pytest.mark.parametrize("words", ["zebedee", "a.77@example27.com", "ada lovelace"])
@pytest.mark.parametrize("text", [None, "mrr = 5.5", "nickname = 'nick 77'", "plan = pro"])
async def test_a_search_beside_a_filter_stays_within_the_workspace(
    reader: Reader, words: str, text: str | None
) -> None:
    for plan in await reader.analyze(QueryRequest(entities=("contact",), filter=text, search=words)):
        indexes = {index for index, _ in list_reads(plan)}
        assert indexes & {"contacts_words", "contacts_number_1", "contacts_text_1", "contacts_created"}


GENERAL = {
    "": True,
    "mrr between 4 and 6": True,
    "nickname = 'Nick 7'": True,
    # Nine in ten have the first, one in a hundred the second.
    "tier = 'option 0'": True,
    "tier = 'option 2'": False,
    "tier = 'option 2' AND nickname = 'Nick 7'": True,
}


@pytest.mark.parametrize("where", GENERAL)
async def test_a_page_is_planned_anew_only_where_its_values_make_another_plan(
    crowd: Crowd, sent: list[Sent], where: str
) -> None:
    for _ in range(2):
        sent.clear()
        await run_cql(crowd.engine, crowd.workspace, QueryRequest(entities=("contact",), filter=where, count="none"))
        (page,) = [one for one in sent if " AS page" in one.sql and not one.sql.startswith("EXPLAIN")]
        (for_these,) = await explain(crowd, page._replace(role="query"))
        _, for_any = await explain(crowd, page._replace(role="general"))
        assert (page.role == "general") == (outline(for_these) == outline(for_any)) == GENERAL[where]
