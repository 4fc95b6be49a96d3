"""Every read of properties, and of the values that they are about, is served by an index of the workspace's own."""

import asyncio
import random
from collections.abc import AsyncIterator
from itertools import product
from typing import Any

import msgspec
import pytest

from kith.engine.apply.value_conversion import convert_values, survey_values
from kith.engine.context.property_schemas import Schemas
from kith.engine.read.listings import PropertyListing, list_properties
from kith.engine.read.records import get_record
from kith.ids import derive_id
from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.properties import Property, PropertyEntity
from kith.model.records import CompanyLink, Record
from kith.model.rules.properties import Surveyed
from kith.model.state import Ref
from kith.store import batch as store
from kith.store.database import Connection
from tests.conftest import PARTITIONS
from tests.engine.crowd import EPOCH, Crowd, make_contact, save
from tests.engine.plans import Node, Sent, explain, sorts_at_most, walk
from tests.engine.test_noun_plans import make_company
from tests.kit import open_kit
from tests.postgres import Cluster, connect

CONTACTS = 6_000
COMPANIES = 3_000
PROPERTIES = 400  # of each entity
WINDOW = 500
NEIGHBOURS = 40  # workspaces of the shard that have properties, and nothing else
ENTITIES: tuple[PropertyEntity, ...] = ("CONTACT", "COMPANY", "CONTACT_COMPANY")
TABLES = ("contacts", "companies", "associations", "properties")


def make_property(workspace_id: int, number: int, entity: PropertyEntity) -> Property:
    return Property(
        external_id=derive_id("prp", str(workspace_id), str(number)),
        number=number,
        entity=entity,
        key="mrr" if number % PROPERTIES == 0 else f"key_{number}",
        label=f"Key {number}",
        type="NUMBER",
        group="CUSTOM",
        description=None,
        is_required=False,
        options=(),
        status="ARCHIVED" if number % 7 == 3 else "ACTIVE",
        created_at=EPOCH,
        updated_at=EPOCH,
        version=1,
    )


def make_properties(workspace_id: int) -> list[Record]:
    numbers = range(1000, 1000 + PROPERTIES)
    return [
        make_property(workspace_id, number + n * PROPERTIES, entity)
        for n, entity in enumerate(ENTITIES)
        for number in numbers
    ]


def make_link(company: Company, n: int) -> CompanyLink:
    return CompanyLink(
        external_id=company.external_id,
        number=company.number,
        name=company.name,
        domain=company.domain,
        live=company.live,
        role=None,
        is_primary=n == 0,
        properties={"mrr": f" {n} "},
    )


def make_records(workspace_id: int) -> list[Record]:
    chance = random.Random(11)
    companies = [make_company(workspace_id, number, chance) for number in range(1, COMPANIES + 1)]
    contacts: list[Record] = []
    for number in range(1, CONTACTS + 1):
        links = tuple(make_link(company, n) for n, company in enumerate(chance.sample(companies, 2)))
        contact: Contact = make_contact(workspace_id, number, chance)
        held = {"mrr": f" {number} "}
        contacts.append(
            msgspec.structs.replace(contact, properties=held, companies=links if contact.status != "MERGED" else ())
        )
    return [*(msgspec.structs.replace(one, properties={"mrr": " 5 "}) for one in companies), *contacts]


@pytest.fixture(scope="module")
async def crowd(postgres: Cluster) -> AsyncIterator[Crowd]:
    """Two workspaces with values and properties in one shard, and others with properties; tests only read them."""
    url = await postgres.make_database()
    async with open_kit(url) as kit:
        made = [await kit.make_workspace() for _ in range(PARTITIONS * NEIGHBOURS)]
        one, other, *neighbours = [workspace for workspace in made if workspace.shard == made[0].shard]
        async with connect(url) as connection:
            for workspace in (one, other):
                await save(connection, workspace, make_records(workspace.id))
            for workspace in (one, other, *neighbours):
                await save(connection, workspace, make_properties(workspace.id))
            await connection.execute(f"VACUUM ANALYZE {', '.join(TABLES)}, workspaces, system_properties")
        yield Crowd(kit, one, other, [], TABLES)


def check(plan: Node) -> None:
    """Every table of records is reached by an index only, and only the workspace's part of it."""
    for node in walk(plan):
        relation = node.get("Relation Name")
        if node["Node Type"] == "ModifyTable":
            continue
        if relation in TABLES:
            assert node["Node Type"] in ("Index Scan", "Index Only Scan", "Bitmap Heap Scan"), node
        if relation == "workspaces":
            assert "id = " in node.get("Index Cond", "") + node.get("Filter", ""), node
        if any(node.get("Index Name", "").startswith(table) for table in TABLES):
            condition = node.get("Index Cond", "")
            assert "shard = " in condition and "workspace_id = " in condition, node


async def check_all(crowd: Crowd, sent: list[Sent]) -> list[Node]:
    """The plans of what was sent, each of which is checked."""
    statements = [one for one in sent if "properties" in one.sql]
    sent.clear()
    assert statements
    plans = [plan for statement in statements for plan in await explain(crowd, statement)]
    for plan in plans:
        check(plan)
    return plans


def list_conditions(plan: Node) -> dict[str, str]:
    """The condition of each index that is used."""
    return {node["Index Name"]: node.get("Index Cond", "") for node in walk(plan) if "Index Name" in node}


@pytest.mark.parametrize(("by", "index"), [("number", "properties_pkey"), ("external id", "properties_external_id")])
async def test_getting_a_property_looks_it_up(crowd: Crowd, sent: list[Sent], by: str, index: str) -> None:
    ref = "1005" if by == "number" else derive_id("prp", str(crowd.workspace.id), "1005")
    await get_record(crowd.engine, crowd.workspace, "property", ref)
    for plan in await check_all(crowd, sent):
        assert index in list_conditions(plan)


FILTERS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "entity": {"entity": "CONTACT"},
    "group": {"group": "CUSTOM"},
    "group that none has": {"group": "SOCIAL", "entity": "CONTACT_COMPANY"},
    "system": {"is_system": True},
    "defined": {"is_system": False},
    "archived too": {"archived": True},
}


@pytest.mark.parametrize("count", ["none", "default", "exact"])
@pytest.mark.parametrize("name", FILTERS)
async def test_properties_stay_within_the_workspace_in_every_order(
    crowd: Crowd, sent: list[Sent], name: str, count: Any
) -> None:
    for sort_by, direction in product(("createdAt", "key"), ("asc", "desc")):
        listing = PropertyListing(sort_by=sort_by, sort_order=direction, count=count, **FILTERS[name])  # type: ignore[arg-type]
        first = await list_properties(crowd.engine, crowd.workspace, listing)
        if cursor := first.meta["nextCursor"]:
            await list_properties(crowd.engine, crowd.workspace, msgspec.structs.replace(listing, cursor=cursor))
    for plan in await check_all(crowd, sent):
        assert sorts_at_most(plan, 3 * PROPERTIES + 100), "no more than a workspace has"


async def note_statements(crowd: Crowd, doing: Any) -> list[Sent]:
    """What is sent by ``doing`` with a connection, which is rolled back."""
    noted: list[Sent] = []
    async with connect(crowd.kit.url) as connection:
        transaction = connection.transaction()
        await transaction.start()
        with connection.query_logger(lambda query: noted.append(Sent("reader", query.query, tuple(query.args)))):
            await doing(connection)
        await transaction.rollback()
    await asyncio.sleep(0)  # the loop calls the logger
    return [one for one in noted if "properties" in one.sql]


@pytest.mark.parametrize("size", [1, 50, 300])
async def test_loading_properties_for_a_batch_looks_each_up(crowd: Crowd, size: int) -> None:
    workspace = crowd.workspace
    numbers = range(1000, 1000 + size)
    refs = [(workspace.id, Ref("property", "number", number)) for number in numbers]
    refs += [
        (workspace.id, Ref("property", "external_id", derive_id("prp", str(workspace.id), str(number))))
        for number in numbers
    ]
    [statement] = await note_statements(crowd, lambda connection: store.load_records(connection, workspace.shard, refs))
    for plan in await explain(crowd, statement):
        check(plan)
        assert list_conditions(plan).keys() == {"properties_pkey", "properties_external_id"}


@pytest.mark.parametrize("entities", [ENTITIES[:1], ENTITIES])
async def test_schemas_are_read_by_their_keys(crowd: Crowd, entities: tuple[PropertyEntity, ...]) -> None:
    workspace, schemas = crowd.workspace, Schemas()
    refs = [(workspace.id, Ref("schema", "external_id", entity)) for entity in entities]
    refs.append((crowd.other.id, Ref("schema", "external_id", "CONTACT")))
    found: list[tuple[int, Record]] = []

    async def load(connection: Connection) -> None:
        found.extend(await schemas.load_records(connection, workspace.shard, refs, 7))

    [statement] = await note_statements(crowd, load)
    for plan in await explain(crowd, statement):
        check(plan)
        assert "entity = " in list_conditions(plan)["properties_key"]
    assert len(found) == len(refs)
    for entity in entities:
        kept = schemas.find(workspace.id, entity, 7)
        assert kept is not None
        assert len(kept.properties) == PROPERTIES
    assert await note_statements(crowd, load) == [], "they are kept"


@pytest.mark.parametrize(
    ("entity", "pages", "index", "behind"),
    [
        ("CONTACT", CONTACTS // WINDOW + 1, "contacts_pkey", "(id > "),
        ("COMPANY", COMPANIES // WINDOW + 1, "companies_pkey", "(id > "),
        ("CONTACT_COMPANY", 2 * CONTACTS // WINDOW, "associations_pkey", "ROW(contact_id, company_id) > ROW("),
    ],
)
async def test_values_are_walked_in_the_order_of_an_index_and_saved_one_by_one(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch, entity: PropertyEntity, pages: int, index: str, behind: str
) -> None:
    monkeypatch.setattr("kith.engine.apply.value_conversion.WINDOW_RECORDS", WINDOW)
    workspace = crowd.workspace
    one = msgspec.structs.replace(make_property(workspace.id, 1, entity), key="mrr")
    names = ("contact_id", "company_id") if entity == "CONTACT_COMPANY" else ("id",)
    surveyed = await note_statements(
        crowd, lambda connection: survey_values(connection, workspace.shard, workspace.id, Surveyed(one, None))
    )
    converted = await note_statements(
        crowd, lambda connection: convert_values(connection, workspace.shard, workspace.id, None, one)
    )
    loads = [statement for statement in converted if "UPDATE" not in statement.sql]
    saves = [statement for statement in converted if "UPDATE" in statement.sql]
    assert surveyed == loads
    assert len(loads) == len(saves) + 1, "a window that holds none ends it"
    assert pages - 2 <= len(loads) <= pages + 1
    for statement in (loads[0], loads[len(loads) // 2], loads[-1]):
        for plan in await explain(crowd, statement):
            check(plan)
            assert behind in list_conditions(plan)[index]
            assert sorts_at_most(plan, WINDOW)
    for statement in (saves[0], saves[-1]):
        for plan in await explain(crowd, statement):
            check(plan)
            [condition] = list_conditions(plan).values()
            assert all(f"({name} = " in condition for name in names), condition
