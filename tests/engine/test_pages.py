"""Pages and totals of a large workspace: every row once, in order, whatever the sort; every count the true one."""

from collections.abc import Callable
from itertools import product
from typing import Any

import msgspec
import pytest

from kith.engine.read.listings import ContactListing, list_contacts, search_contacts
from kith.engine.read.query import Page
from kith.model.contacts import Contact
from kith.model.search import weigh_words
from kith.model.text import to_name_key
from tests.engine.crowd import EPOCH, Crowd

SORTS: dict[str, Callable[[Contact], Any]] = {
    "createdAt": lambda contact: contact.created_at,
    "lastActivityAt": lambda contact: contact.last_activity_at,
    "email": lambda contact: to_name_key(contact.email),
    "name": lambda contact: to_name_key(contact.name),
}
ORDERS = list(product(SORTS, ("asc", "desc")))


def list_ids(page: Page) -> list[int]:
    return [row["id"] for row in msgspec.json.decode(page.data)]


def order(contacts: list[Contact], sort_by: str, direction: str) -> list[int]:
    """The numbers in the order that is promised: missing values last either way, ties by number."""
    key = SORTS[sort_by]
    there = [contact for contact in contacts if key(contact) is not None]
    missing = [contact for contact in contacts if key(contact) is None]
    down = direction == "desc"
    there.sort(key=lambda contact: (key(contact), contact.number), reverse=down)
    missing.sort(key=lambda contact: contact.number or 0, reverse=down)
    return [contact.number or 0 for contact in there + missing]


async def walk(crowd: Crowd, **asked: Any) -> list[int]:
    """The ids of all pages, by cursor from the first to the last."""
    listing = ContactListing(count="none", **asked)
    ids: list[int] = []
    while True:
        page = await list_contacts(crowd.engine, crowd.workspace, listing)
        ids += list_ids(page)
        cursor = page.meta["nextCursor"]
        if cursor is None:
            return ids
        assert len(list_ids(page)) == listing.limit
        listing = msgspec.structs.replace(listing, cursor=cursor)


@pytest.mark.parametrize(("sort_by", "direction"), ORDERS)
async def test_pages_by_cursor_hold_every_row_once_and_in_order(crowd: Crowd, sort_by: str, direction: str) -> None:
    ids = await walk(crowd, sort_by=sort_by, sort_order=direction, limit=4999)
    assert ids == order(crowd.live, sort_by, direction)


@pytest.mark.parametrize(("sort_by", "direction"), ORDERS)
async def test_small_pages_of_a_filter_hold_every_row_once_and_in_order(
    crowd: Crowd, sort_by: str, direction: str
) -> None:
    """The last ones lie among those without a value, if there are such."""
    ids = await walk(crowd, sort_by=sort_by, sort_order=direction, status="MERGED", limit=97)
    merged = [contact for contact in crowd.contacts if contact.status == "MERGED"]
    assert ids == order(merged, sort_by, direction)


@pytest.mark.parametrize(("sort_by", "direction"), ORDERS)
async def test_pages_by_number_are_those_by_cursor(crowd: Crowd, sort_by: str, direction: str) -> None:
    promised = order(crowd.live, sort_by, direction)
    for page in (1, 2, 50, 100):
        listing = ContactListing(sort_by=sort_by, sort_order=direction, page=page, limit=100, count="none")  # type: ignore[arg-type]
        found = await list_contacts(crowd.engine, crowd.workspace, listing)
        assert list_ids(found) == promised[(page - 1) * 100 : page * 100]


NOON = EPOCH.replace(day=5, hour=12)
FILTERS: dict[str, tuple[dict[str, Any], Callable[[Contact], bool]]] = {
    "nothing": ({}, lambda c: c.live),
    "active": ({"status": "ACTIVE"}, lambda c: c.status == "ACTIVE"),
    "archived": ({"status": "ARCHIVED"}, lambda c: c.status == "ARCHIVED"),
    "deleted": ({"status": "DELETED"}, lambda c: c.status == "DELETED"),
    "stage": ({"lifecycle_stage": "EVANGELIST"}, lambda c: c.live and c.lifecycle_stage == "EVANGELIST"),
    "no stage": ({"lifecycle_stage": "SALES_QUALIFIED"}, lambda c: c.lifecycle_stage == "SALES_QUALIFIED"),
    "status and stage": (
        {"status": "DELETED", "lifecycle_stage": "LEAD"},
        lambda c: c.status == "DELETED" and c.lifecycle_stage == "LEAD",
    ),
    "module": ({"module": "EMAIL"}, lambda c: c.live and "EMAIL" in c.modules),
    "not identified": ({"is_identified": False}, lambda c: c.live and not (c.email or c.phone)),
    "from": ({"created_from": "2026-01-13"}, lambda c: c.live and c.created_at >= EPOCH.replace(day=13)),
    "to a day": ({"created_to": "2026-01-02"}, lambda c: c.live and c.created_at < EPOCH.replace(day=3)),
    "to a time": ({"created_to": "2026-01-05T12:00:00Z"}, lambda c: c.live and c.created_at <= NOON),
    "search": ({"search": "grace hop"}, lambda c: c.live and has_words(c, "grace", "hop")),
    "all at once": (
        {
            "search": "ada",
            "status": "ACTIVE",
            "lifecycle_stage": "LEAD",
            "module": "EMAIL",
            "is_identified": True,
            "created_from": "2026-01-02",
            "created_to": "2026-01-12",
        },
        lambda c: (
            c.status == "ACTIVE"
            and c.lifecycle_stage == "LEAD"
            and "EMAIL" in c.modules
            and bool(c.email or c.phone)
            and EPOCH.replace(day=2) <= c.created_at < EPOCH.replace(day=13)
            and has_words(c, "ada")
        ),
    ),
}


def has_words(contact: Contact, *beginnings: str) -> bool:
    words = weigh_words(contact)
    return all(any(word.startswith(beginning) for word in words) for beginning in beginnings)


@pytest.mark.parametrize("name", FILTERS)
async def test_a_filter_finds_what_fits_it_and_counts_it(crowd: Crowd, name: str) -> None:
    asked, fits = FILTERS[name]
    fitting = [contact for contact in crowd.contacts if fits(contact)]
    exact = await list_contacts(crowd.engine, crowd.workspace, ContactListing(count="exact", **asked))
    assert exact.meta["total"] == len(fitting)
    assert list_ids(exact) == order(fitting, "createdAt", "desc")[:20]
    usual = await list_contacts(crowd.engine, crowd.workspace, ContactListing(**asked))
    if usual.meta.get("totalIsEstimate"):
        assert len(fitting) > 10_000
        assert usual.meta["total"] > 10_000
    else:
        assert usual.meta["total"] == len(fitting)
    if len(fitting) <= 10_000:
        assert await walk(crowd, limit=999, **asked) == order(fitting, "createdAt", "desc")


async def test_totals_that_are_kept_are_what_there_is_to_count(crowd: Crowd) -> None:
    """Without a filter, by status and by stage they are exact at any size."""
    for asked in (
        {},
        {"status": "ACTIVE"},
        {"lifecycle_stage": "LEAD"},
        {"status": "ACTIVE", "lifecycle_stage": "LEAD"},
    ):
        usual = await list_contacts(crowd.engine, crowd.workspace, ContactListing(limit=1, **asked))
        assert "totalIsEstimate" not in usual.meta
        assert usual.meta["total"] > 10_000
        exact = await list_contacts(crowd.engine, crowd.workspace, ContactListing(limit=1, count="exact", **asked))
        assert exact.meta["total"] == usual.meta["total"]


async def test_the_other_workspace_has_none_of_these(crowd: Crowd) -> None:
    """Both hold the same names; each answer is of its own."""
    for workspace in (crowd.workspace, crowd.other):
        page = await list_contacts(crowd.engine, workspace, ContactListing(search="ada lovelace", limit=5000))
        found = {row["externalId"] for row in msgspec.json.decode(page.data)}
        assert len(found) == page.meta["total"] > 100
        typed = await search_contacts(crowd.engine, workspace, "ada lovelace", 100)
        assert {row["externalId"] for row in msgspec.json.decode(typed.data)} <= found


async def test_what_is_typed_finds_emails_and_names_that_begin_with_it_first(crowd: Crowd) -> None:
    page = await search_contacts(crowd.engine, crowd.workspace, "g.4", 10)
    emails = [row["email"] for row in msgspec.json.decode(page.data)]
    assert emails == sorted(contact.email for contact in crowd.live if (contact.email or "").startswith("g.4"))[:10]
    page = await search_contacts(crowd.engine, crowd.workspace, "Óscar W", 10)
    assert {row["name"] for row in msgspec.json.decode(page.data)} == {"Óscar Wirth"}
    page = await search_contacts(crowd.engine, crowd.workspace, "wirth oscar", 10)
    assert {row["name"] for row in msgspec.json.decode(page.data)} == {"Óscar Wirth"}
