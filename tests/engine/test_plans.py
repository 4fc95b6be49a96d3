"""Every read that the API makes is served by an index that begins with the workspace, whichever plan is chosen."""

import asyncio
from itertools import product
from typing import Any

import msgspec
import pytest

from kith.cql.ast import After, Query, Sort
from kith.engine.read.listings import ContactListing, list_contacts, make_condition, search_contacts
from kith.engine.read.query import make_cursor
from kith.engine.read.records import get_record
from kith.model.state import Ref
from kith.store.batch import load_records
from tests.engine.crowd import Crowd
from tests.engine.plans import Sent, check, check_all, explain, list_indexes, sorts_at_most

SORTS = ("createdAt", "lastActivityAt", "email", "name")
ORDERS = list(product(SORTS, ("asc", "desc")))
AFTER = {
    "createdAt": "2026-01-05 12:00:00+00",
    "lastActivityAt": "2026-01-15 12:00:00+00",
    "email": "d.500@example0.com",
    "name": "frances hopper",
}


@pytest.mark.parametrize("by", ["number", "external id", "email"])
async def test_getting_a_contact_looks_it_up(crowd: Crowd, sent: list[Sent], by: str) -> None:
    contact = next(contact for contact in crowd.live if contact.email)
    ref = {"number": str(contact.number), "external id": contact.external_id, "email": contact.email or ""}[by]
    await get_record(crowd.engine, crowd.workspace, "contact", ref)
    for plan in await check_all(crowd, sent):
        assert plan["Node Type"] == "Index Scan"
        assert {"number": "contacts_pkey", "external id": "contacts_external_id", "email": "contacts_live_email"}[
            by
        ] == plan["Index Name"]


@pytest.mark.parametrize(("sort_by", "direction"), ORDERS)
async def test_pages_come_in_the_order_of_an_index(
    crowd: Crowd, sent: list[Sent], sort_by: str, direction: str
) -> None:
    """The first by number, a later one by number, one by cursor, and one by cursor among the missing values."""
    listing = ContactListing(sort_by=sort_by, sort_order=direction, limit=20, count="none")  # type: ignore[arg-type]
    places = [After((AFTER[sort_by],), 25_000, "")] + ([After((None,), 25_000, "")] if sort_by != "createdAt" else [])
    query = Query(("contact",), make_condition(listing, crowd.workspace), (Sort(sort_by, direction == "desc"),), 20)
    cursors = [make_cursor(crowd.engine, crowd.workspace, query, place) for place in places]
    for more in ({}, {"page": 100}, *({"cursor": cursor} for cursor in cursors)):
        page = await list_contacts(crowd.engine, crowd.workspace, msgspec.structs.replace(listing, **more))
        assert page.meta["nextCursor"]
    plans = await check_all(crowd, sent)
    assert len(plans) == 1 + 2 * (1 + len(places)), "a later page by number has no plan that is kept"
    for plan in plans:
        assert sorts_at_most(plan, 0), plan


FILTERS: dict[str, dict[str, Any]] = {
    "archived": {"status": "ARCHIVED"},
    "merged": {"status": "MERGED"},
    "deleted": {"status": "DELETED"},
    "stage": {"lifecycle_stage": "EVANGELIST"},
    "stage that nobody has": {"lifecycle_stage": "SALES_QUALIFIED"},
    "module": {"module": "EMAIL"},
    "module that nobody has": {"module": "SMS"},
    "identified": {"is_identified": True},
    "not identified": {"is_identified": False},
    "from": {"created_from": "2026-01-13"},
    "to": {"created_to": "2026-01-02"},
    "from and to": {"created_from": "2026-01-03", "created_to": "2026-01-03T06:00:00Z"},
    "search for one word": {"search": "grace"},
    "search for two words": {"search": "grace hopper"},
    "search for an email": {"search": "a.77@example27.com"},
    "search for a phone": {"search": "+49 30 000077"},
    "search for nobody": {"search": "zebedee"},
}


@pytest.mark.parametrize("count", ["default", "exact"])
@pytest.mark.parametrize("name", FILTERS)
async def test_filters_and_their_counts_stay_within_the_workspace(
    crowd: Crowd, sent: list[Sent], name: str, count: str
) -> None:
    await list_contacts(crowd.engine, crowd.workspace, ContactListing(count=count, **FILTERS[name]))  # type: ignore[arg-type]
    assert await check_all(crowd, sent)


@pytest.mark.parametrize(("sort_by", "direction"), ORDERS)
async def test_filters_in_every_order_stay_within_the_workspace(
    crowd: Crowd, sent: list[Sent], sort_by: str, direction: str
) -> None:
    for asked in FILTERS.values():
        listing = ContactListing(sort_by=sort_by, sort_order=direction, count="none", **asked)  # type: ignore[arg-type]
        await list_contacts(crowd.engine, crowd.workspace, listing)
    assert len(await check_all(crowd, sent)) >= len(FILTERS)


@pytest.mark.parametrize("asked", [{}, {"status": "ACTIVE"}, {"lifecycle_stage": "LEAD"}])
async def test_totals_that_are_kept_do_not_touch_the_contacts(
    crowd: Crowd, sent: list[Sent], asked: dict[str, Any]
) -> None:
    await list_contacts(crowd.engine, crowd.workspace, ContactListing(**asked))
    page, total = sent
    assert "FROM totals" in total.sql
    assert "FROM contacts" in page.sql


@pytest.mark.parametrize(
    "typed", ["a", "ad", "ada", "ada lov", "ada lovelace", "a.77@", "lovelace ada", "+49 30 0000", "zebedee", "jean-l"]
)
async def test_typeahead_stays_within_the_workspace(crowd: Crowd, sent: list[Sent], typed: str) -> None:
    await search_contacts(crowd.engine, crowd.workspace, typed, 20)
    assert [one.role for one in sent] == ["general"] + ["query"] * (len(sent) - 1)
    _, beginnings, *words = await check_all(crowd, sent)
    indexes = list_indexes(beginnings)
    assert "contacts_name" in indexes
    assert indexes & {"contacts_email", "contacts_live_email"}
    assert sorts_at_most(beginnings, 0), "each tier comes in the order of its index, whatever is typed"
    for plan in words:
        assert "contacts_words" in list_indexes(plan)
        assert sorts_at_most(plan, 1001), "no more are sorted than candidates are taken"


async def test_words_are_looked_up_only_where_beginnings_do_not_fill_the_page(crowd: Crowd, sent: list[Sent]) -> None:
    for typed, statements in (("a", 1), ("lovelace ada", 2), ("zebedee", 2)):
        sent.clear()
        await search_contacts(crowd.engine, crowd.workspace, typed, 20)
        assert len(sent) == statements, typed


@pytest.mark.parametrize("size", [1, 50, 500])
async def test_loading_for_a_batch_or_a_prediction_looks_each_contact_up(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    some = [contact for contact in crowd.live if contact.email][:size]
    refs = [
        (crowd.workspace.id, Ref("contact", by, value))
        for contact in some
        for by, value in (
            ("external_id", contact.external_id),
            ("number", contact.number or 0),
            ("email", contact.email or ""),
        )
    ]
    noted: list[Sent] = []
    async with crowd.engine.database.acquire() as connection:
        with connection.query_logger(lambda query: noted.append(Sent("reader", query.query, tuple(query.args)))):
            found = await load_records(connection, crowd.workspace.shard, refs)
    await asyncio.sleep(0)  # the loop calls the logger
    assert len({contact.number for _, contact in found}) == size
    (statement,) = [one for one in noted if "json_build_object" in one.sql]
    for plan in await explain(crowd, statement):
        check(plan, crowd)
        indexes = list_indexes(plan)
        assert indexes >= {"contacts_external_id", "contacts_pkey", "contacts_live_email"}


async def test_a_scan_over_all_workspaces_would_be_noticed(crowd: Crowd) -> None:
    """The check itself, against statements that have no guard."""
    for sql, values in (
        ("SELECT FROM contacts WHERE properties ->> 'plan' = $1", ("pro",)),
        ("SELECT FROM contacts WHERE email = $1", ("ada@example.com",)),
        ("SELECT FROM contacts WHERE words @@ $1::tsquery", ("ada:*",)),
    ):
        for plan in await explain(crowd, Sent("query", sql, values)):
            with pytest.raises(AssertionError):
                check(plan, crowd)
