"""Every read of companies, tags, activities, lists and what links them is served by an index of the workspace's own."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from itertools import product
from typing import Any

import msgspec
import pytest

from kith.cql.ast import After, And, Comparison, Query, Sort
from kith.engine.read.listings import (
    ActivityListing,
    CompanyListing,
    ListListing,
    list_activities,
    list_companies,
    list_contacts_of,
    list_lists,
    list_members,
    list_tags,
    make_status,
    search_companies,
)
from kith.engine.read.paging import Listing
from kith.engine.read.query import make_cursor
from kith.engine.read.records import get_record
from kith.engine.read.summary import get_summary
from kith.ids import derive_id
from kith.model.activities import Activity
from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.lists import List
from kith.model.records import CompanyLink, ListLink, Record, TagLink
from kith.model.state import Ref
from kith.model.tags import Tag, to_link
from kith.model.workspaces import Workspace
from kith.store import batch as store
from kith.store.database import Connection
from tests.engine.crowd import EPOCH, FAMILY, Crowd, make_contact, open_crowd, save
from tests.engine.plans import Sent, check, check_all, explain, list_indexes, sorts_at_most, walk
from tests.postgres import Cluster

CONTACTS = 20_000
COMPANIES = 4_000
TAGS = 1_000
LISTS = 300
BUSY = 5_000  # activities of the busiest contact
TABLES = ("contacts", "companies", "associations", "tags", "taggings", "activities", "lists", "list_members")
SIZES = ("1-10", "11-50", "51-200")
INDUSTRIES = ("Banking", "Farming", "Shipping", None)
TYPES = ("NOTE", "CALL", "EMAIL", "MEETING")
Make = Callable[[int], Record]


def make_company(workspace_id: int, number: int, chance: random.Random) -> Company:
    created_at = EPOCH + timedelta(minutes=chance.randrange(20_000))
    return Company(
        external_id=derive_id("cmp", str(workspace_id), str(number)),
        number=number,
        name=f"{chance.choice(FAMILY)} & Sons" if chance.random() < 0.9 else None,
        domain=f"company{number}.example",
        industry=chance.choice(INDUSTRIES),
        size=chance.choice((*SIZES, None)),
        plan="pro",
        spend=number,
        website=None,
        phone=None,
        phone_e164=None,
        status=chance.choices(("ACTIVE", "ARCHIVED", "DELETED"), (90, 5, 5))[0],
        properties={},
        contact_count=0,
        created_at=created_at,
        updated_at=created_at,
        version=1,
    )


def make_tag(workspace_id: int, number: int) -> Tag:
    return Tag(
        external_id=derive_id("tag", str(workspace_id), str(number)),
        number=number,
        key=f"key-{number}",
        name=f"Tag {number % 100}",
        description=None,
        color=None,
        contact_count=0,
        created_at=EPOCH,
        updated_at=EPOCH,
        version=1,
    )


def make_list(workspace_id: int, number: int) -> List:
    return List(
        external_id=derive_id("lst", str(workspace_id), str(number)),
        number=number,
        name=f"List {number}",
        description=None,
        entity_type="CONTACT" if number % 2 else "COMPANY",
        is_dynamic=False,
        filter_criteria=None,
        member_count=0,
        evaluated_at=None,
        created_at=EPOCH,
        updated_at=EPOCH,
        version=1,
    )


def make_activity(workspace_id: int, number: int, contact: Contact, chance: random.Random) -> Activity:
    occurred_at = EPOCH + timedelta(minutes=chance.randrange(20_000))
    return Activity(
        external_id=derive_id("act", str(workspace_id), str(number)),
        number=number,
        contact_id=contact.external_id,
        contact_number=contact.number,
        type=chance.choice(TYPES),  # type: ignore[arg-type]
        module=chance.choice(("CRM", "CRM", "SUPPORT")),
        content="Called.",
        properties={},
        occurred_at=occurred_at,
        created_at=occurred_at,
    )


def link(contact: Contact, companies: list[Company], tags: list[TagLink], chance: random.Random) -> Contact:
    """Company 1 has a third of the contacts, so have tag 1 and list 1; some have several."""
    chosen = ([companies[0]] if chance.random() < 0.3 else []) + chance.sample(companies[1:], chance.randrange(3))
    carried = ([tags[0]] if chance.random() < 0.3 else []) + chance.sample(tags[1:], chance.randrange(4))
    links = [
        CompanyLink(
            external_id=company.external_id,
            number=company.number,
            name=company.name,
            domain=company.domain,
            live=company.live,
            role=None,
            is_primary=n == 0,
            properties={},
        )
        for n, company in enumerate(chosen)
    ]
    numbers = ([1] if chance.random() < 0.3 else []) + chance.sample(range(3, LISTS, 2), chance.randrange(3))
    lists = tuple(ListLink(external_id="", number=number) for number in numbers)
    return msgspec.structs.replace(contact, companies=tuple(links), tags=tuple(carried), lists=lists)


async def fill(connection: Connection, workspace: Workspace) -> list[Contact]:
    chance = random.Random(7)
    tags = [make_tag(workspace.id, number) for number in range(1, TAGS + 1)]
    carried = [to_link(tag) for tag in tags]
    lists = [make_list(workspace.id, number) for number in range(1, LISTS + 1)]
    some = [make_company(workspace.id, number, chance) for number in range(1, COMPANIES + 1)]
    some[0] = msgspec.structs.replace(some[0], status="ACTIVE")
    companies = [
        msgspec.structs.replace(
            company, tags=tuple(chance.sample(carried, 2)), lists=(ListLink(external_id="", number=2),)
        )
        for company in some
    ]
    made = [make_contact(workspace.id, number, chance) for number in range(1, CONTACTS + 1)]
    contacts = [link(contact, companies, carried, chance) if contact.live else contact for contact in made]
    busy = next(contact for contact in contacts if contact.live)
    owners = [busy] * BUSY + contacts
    activities = [make_activity(workspace.id, number, owner, chance) for number, owner in enumerate(owners, 1)]
    await save(connection, workspace, [*tags, *lists, *companies, *contacts, *activities])
    return contacts


@pytest.fixture(scope="module")
async def crowd(postgres: Cluster) -> AsyncIterator[Crowd]:
    """Two workspaces with all nouns, in one shard; tests only read them."""
    async with open_crowd(await postgres.make_database(), fill, TABLES) as opened:
        yield opened


def get_busy(crowd: Crowd) -> Contact:
    """The contact with the most activities."""
    return crowd.live[0]


async def read_places(
    crowd: Crowd, sent: list[Sent], query: Query, places: list[After], read: Callable[..., Any], listing: Any
) -> None:
    """The first page, a later one by number, and those behind the places: none of them sorts the table."""
    cursors = [make_cursor(crowd.engine, crowd.workspace, query, place) for place in places]
    for more in ({}, {"page": 3}, *({"cursor": cursor} for cursor in cursors)):
        page = await read(msgspec.structs.replace(listing, **more))
        assert msgspec.json.decode(page.data), more
    for plan in await check_all(crowd, sent):
        # A tag's key is unique: what orders by key and then by id sorts no two rows.
        assert sorts_at_most(plan, 100) or "tags_key" in list_indexes(plan), plan


@pytest.mark.parametrize(
    ("kind", "by", "index"),
    [
        ("contact", "number", "contacts_pkey"),
        ("company", "number", "companies_pkey"),
        ("company", "external id", "companies_external_id"),
        ("company", "domain", "companies_live_domain"),
        ("tag", "number", "tags_pkey"),
        ("tag", "external id", "tags_external_id"),
        ("list", "number", "lists_pkey"),
        ("list", "external id", "lists_external_id"),
        ("activity", "number", "activities_pkey"),
        ("activity", "external id", "activities_external_id"),
    ],
)
async def test_getting_a_record_looks_it_up(crowd: Crowd, sent: list[Sent], kind: str, by: str, index: str) -> None:
    prefix = {"contact": "ctc", "company": "cmp", "tag": "tag", "list": "lst", "activity": "act"}[kind]
    refs = {
        "number": str(get_busy(crowd).number) if kind == "contact" else "1",
        "external id": derive_id(prefix, str(crowd.workspace.id), "1"),  # type: ignore[arg-type]
        "domain": "company1.example",
    }
    await get_record(crowd.engine, crowd.workspace, kind, refs[by])
    for plan in await check_all(crowd, sent):
        assert plan["Index Name"] == index


async def test_a_summary_looks_up_what_the_contact_is_linked_to(crowd: Crowd, sent: list[Sent]) -> None:
    await get_summary(crowd.engine, crowd.workspace, get_busy(crowd).external_id)
    for plan in await check_all(crowd, sent):
        assert list_indexes(plan) >= {"associations_pkey", "companies_pkey", "taggings_pkey", "tags_pkey"}


COMPANY_AFTER = {
    "createdAt": "2026-01-05 12:00:00+00",
    "name": "lovelace & sons",
    "domain": "company2500.example",
}


@pytest.mark.parametrize(("sort_by", "direction"), list(product(COMPANY_AFTER, ("asc", "desc"))))
async def test_pages_of_companies_come_in_the_order_of_an_index(
    crowd: Crowd, sent: list[Sent], sort_by: str, direction: str
) -> None:
    listing = CompanyListing(sort_by=sort_by, sort_order=direction, count="none")  # type: ignore[arg-type]
    query = Query(("company",), And((make_status(None),)), (Sort(sort_by, direction == "desc"),), 20)
    places = [After((COMPANY_AFTER[sort_by],), 2000, "")] + ([After((None,), 2000, "")] if sort_by == "name" else [])
    await read_places(
        crowd, sent, query, places, lambda one: list_companies(crowd.engine, crowd.workspace, one), listing
    )


COMPANY_FILTERS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "active": {"status": "ACTIVE"},
    "archived": {"status": "ARCHIVED"},
    "deleted": {"status": "DELETED"},
    "size": {"size": SIZES[0]},
    "size that none has": {"size": "10000+"},
    "industry": {"industry": "Farming"},
    "industry that none has": {"industry": "Mining"},
    "both": {"size": SIZES[1], "industry": "Shipping"},
    "from": {"created_from": "2026-01-13"},
    "to": {"created_to": "2026-01-02"},
    "from and to": {"created_from": "2026-01-03", "created_to": "2026-01-03T06:00:00Z"},
    "search": {"search": "hopper sons"},
    "search for a domain": {"search": "company77.example"},
    "search for none": {"search": "zebedee"},
}


@pytest.mark.parametrize("count", ["none", "default", "exact"])
@pytest.mark.parametrize("name", COMPANY_FILTERS)
async def test_filters_of_companies_stay_within_the_workspace_in_every_order(
    crowd: Crowd, sent: list[Sent], name: str, count: Any
) -> None:
    for sort_by, direction in product(COMPANY_AFTER, ("asc", "desc")):
        listing = CompanyListing(sort_by=sort_by, sort_order=direction, count=count, **COMPANY_FILTERS[name])  # type: ignore[arg-type]
        await list_companies(crowd.engine, crowd.workspace, listing)
    await check_all(crowd, sent)


@pytest.mark.parametrize("typed", ["c", "company7", "company77.example", "hop", "hopper sons", "zebedee"])
async def test_typeahead_of_companies_stays_within_the_workspace(crowd: Crowd, sent: list[Sent], typed: str) -> None:
    await search_companies(crowd.engine, crowd.workspace, typed, 20)
    _, beginnings, *words = await check_all(crowd, sent)
    assert "companies_name" in list_indexes(beginnings)
    assert list_indexes(beginnings) & {"companies_domain", "companies_live_domain"}
    assert sorts_at_most(beginnings, 0), "each tier comes in the order of its index, whatever is typed"
    assert all(sorts_at_most(plan, 1001) for plan in words), "no more are sorted than candidates are taken"


@pytest.mark.parametrize("direction", ["asc", "desc"])
async def test_the_contacts_of_a_company_come_in_the_order_of_an_index(
    crowd: Crowd, sent: list[Sent], direction: Any
) -> None:
    listing = Listing(sort_by="id", sort_order=direction, count="none")
    where = And((make_status(None), Comparison("companyId", "eq", 1)))
    query = Query(("contact_of_company",), where, (Sort("id", direction == "desc"),), 20)
    read = lambda one: list_contacts_of(crowd.engine, crowd.workspace, "1", one)  # noqa: E731
    await read_places(crowd, sent, query, [After(("10000",), 10_000, "")], read, listing)
    for count in ("default", "exact"):
        await read(Listing(sort_by="id", sort_order=direction, count=count))  # type: ignore[arg-type]
    plans = [plan for plan in await check_all(crowd, sent) if "a" in {node.get("Alias") for node in walk(plan)}]
    assert plans
    assert all("associations_company" in list_indexes(plan) for plan in plans)


@pytest.mark.parametrize("ref", ["1", "2"])
@pytest.mark.parametrize("count", ["none", "default", "exact"])
async def test_the_members_of_a_list_come_in_the_order_of_an_index(
    crowd: Crowd, sent: list[Sent], ref: str, count: Any
) -> None:
    """List 1 is of contacts, list 2 of companies."""
    entity = "contact_of_list" if ref == "1" else "company_of_list"
    where = And((make_status(None), Comparison("listId", "eq", int(ref))))
    listing = Listing(sort_by="id", sort_order="asc", count=count)
    read = lambda one: list_members(crowd.engine, crowd.workspace, ref, one)  # noqa: E731
    await read_places(
        crowd, sent, Query((entity,), where, (Sort("id", False),), 20), [After(("2000",), 2000, "")], read, listing
    )


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize(("sort_by", "key"), [("key", "key-500"), ("name", "tag 50"), ("createdAt", str(EPOCH))])
async def test_pages_of_tags_come_in_the_order_of_an_index(
    crowd: Crowd, sent: list[Sent], sort_by: str, key: str, direction: Any
) -> None:
    listing = Listing(sort_by=sort_by, sort_order=direction)
    query = Query(("tag",), And(()), (Sort(sort_by, direction == "desc"),), 20)
    read = lambda one: list_tags(crowd.engine, crowd.workspace, one)  # noqa: E731
    await read_places(crowd, sent, query, [After((key,), 500, "")], read, listing)


@pytest.mark.parametrize("asked", [{}, {"entity_type": "CONTACT"}, {"is_dynamic": False}])
async def test_lists_stay_within_the_workspace(crowd: Crowd, sent: list[Sent], asked: dict[str, Any]) -> None:
    for sort_by, direction in product(("createdAt", "name"), ("asc", "desc")):
        listing = ListListing(sort_by=sort_by, sort_order=direction, **asked)  # type: ignore[arg-type]
        await list_lists(crowd.engine, crowd.workspace, listing)
    await check_all(crowd, sent)


ACTIVITY_FILTERS: dict[str, dict[str, Any]] = {
    "all": {},
    "type": {"type": "CALL"},
    "type that was never": {"type": "PAGE_VIEW"},
    "module": {"module": "SUPPORT"},
    "type and module": {"type": "NOTE", "module": "CRM"},
    "from": {"occurred_from": "2026-01-13"},
    "to": {"occurred_to": "2026-01-02"},
    "type from and to": {"type": "EMAIL", "occurred_from": "2026-01-03", "occurred_to": "2026-01-03T06:00:00Z"},
}


@pytest.mark.parametrize("count", ["none", "default", "exact"])
@pytest.mark.parametrize("name", ACTIVITY_FILTERS)
async def test_activities_are_those_of_the_contact_in_the_order_of_an_index(
    crowd: Crowd, sent: list[Sent], name: str, count: Any
) -> None:
    for contact, direction in product((get_busy(crowd), crowd.live[9]), ("asc", "desc")):
        listing = ActivityListing(sort_order=direction, count=count, **ACTIVITY_FILTERS[name])  # type: ignore[arg-type]
        await list_activities(crowd.engine, crowd.workspace, contact.external_id, listing)
        for plan in await check_all(crowd, sent):
            used = {node["Index Cond"] for node in walk(plan) if node.get("Index Name", "").startswith("activities")}
            assert all("contact_id = " in condition for condition in used), used


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("kind", [None, "CALL"])
async def test_activities_behind_a_deep_cursor_come_in_the_order_of_an_index(
    crowd: Crowd, sent: list[Sent], kind: str | None, direction: Any
) -> None:
    busy = get_busy(crowd)
    assert busy.number is not None
    listing = ActivityListing(type=kind, sort_order=direction, count="none")
    terms = [Comparison("contactId", "eq", busy.number)] + ([Comparison("type", "eq", kind)] if kind else [])
    query = Query(("activity",), And(tuple(terms)), (Sort("occurredAt", direction == "desc"),), 20)
    read = lambda one: list_activities(crowd.engine, crowd.workspace, busy.external_id, one)  # noqa: E731
    await read_places(crowd, sent, query, [After(("2026-01-08 12:00:00+00",), 2500, "")], read, listing)


@pytest.mark.parametrize("size", [1, 50, 500])
@pytest.mark.parametrize("kind", ["contact", "company", "tag", "list"])
async def test_loading_for_a_batch_looks_each_record_up(crowd: Crowd, kind: str, size: int) -> None:
    prefix = {"contact": "ctc", "company": "cmp", "tag": "tag", "list": "lst"}[kind]
    claims: dict[str, tuple[str, Callable[[int], str]]] = {
        "contact": ("email", lambda n: crowd.contacts[n].email or ""),
        "company": ("domain", lambda n: f"company{n}.example"),
        "tag": ("tag_key", lambda n: f"key-{n}"),
    }
    refs = []
    for n in range(1, size + 1):
        external_id = derive_id(prefix, str(crowd.workspace.id), str(n))  # type: ignore[arg-type]
        refs += [Ref(kind, "external_id", external_id), Ref(kind, "number", n)]
        if kind in claims:
            name, make = claims[kind]
            refs.append(Ref(kind, name, make(n)))
    noted: list[Sent] = []
    async with crowd.engine.database.acquire() as connection:
        with connection.query_logger(lambda query: noted.append(Sent("reader", query.query, tuple(query.args)))):
            found = await store.load_records(
                connection, crowd.workspace.shard, [(crowd.workspace.id, ref) for ref in refs]
            )
    await asyncio.sleep(0)  # the loop calls the logger
    assert {record.number for _, record in found} >= set(range(1, min(size, LISTS) + 1))
    (statement,) = [one for one in noted if "json_build_object" in one.sql]
    for plan in await explain(crowd, statement):
        check(plan, crowd)


async def test_a_scan_over_all_workspaces_would_be_noticed(crowd: Crowd) -> None:
    """The check itself, against statements that have no guard."""
    for sql, values in (
        ("SELECT FROM companies WHERE industry = $1", ("Farming",)),
        ("SELECT FROM activities WHERE contact_id = $1", (1,)),
        ("SELECT FROM associations WHERE shard = $1 AND company_id = $2", (crowd.workspace.shard, 1)),
    ):
        for plan in await explain(crowd, Sent("query", sql, values)):
            with pytest.raises(AssertionError):
                check(plan, crowd)
