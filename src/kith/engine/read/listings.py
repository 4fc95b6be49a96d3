"""Lists of records of each type, by the parameters that clients filter them by, and typeahead."""

import msgspec

from kith.cql.ast import And, Comparison, Condition
from kith.cql.entity_schema import (
    ACTIVITY,
    COMPANY,
    COMPANY_OF_LIST,
    CONTACT,
    CONTACT_OF_COMPANY,
    CONTACT_OF_LIST,
    LIST,
    PROPERTY,
    TAG,
)
from kith.engine.context.engine import Engine
from kith.engine.read.paging import Listing, list_page, make_range, make_search, type_ahead
from kith.engine.read.query import Page
from kith.engine.read.records import find_committed_number, get_record
from kith.model.lists import EntityType
from kith.model.properties import (
    PropertyEntity,
    PropertyGroup,
)
from kith.model.records import LIVE
from kith.model.workspaces import Workspace


class ContactListing(Listing, frozen=True, kw_only=True):
    """What a list of contacts is asked for. Dates are ISO 8601."""

    search: str | None = None
    status: str | None = None
    lifecycle_stage: str | None = None
    module: str | None = None
    is_identified: bool | None = None
    created_from: str | None = None
    created_to: str | None = None


async def list_contacts(engine: Engine, workspace: Workspace, listing: ContactListing) -> Page:
    return await list_page(engine, workspace, CONTACT, make_condition(listing, workspace), listing)


async def search_contacts(engine: Engine, workspace: Workspace, q: str, limit: int) -> Page:
    """Typeahead: the best live contacts for what was typed so far."""
    return await type_ahead(engine, workspace, CONTACT, q, limit)


def make_condition(listing: ContactListing, workspace: Workspace) -> And:
    """The conditions of a listing, the status first. Raises InvalidRequest naming a parameter that is none."""
    terms: list[Condition] = [make_status(listing.status)]
    if listing.lifecycle_stage:
        terms.append(Comparison("lifecycleStage", "eq", listing.lifecycle_stage))
    if listing.module:
        terms.append(Comparison("modules", "has_any", (listing.module,)))
    if listing.is_identified is not None:
        terms.append(Comparison("isIdentified", "eq", listing.is_identified))
    terms += make_range("createdAt", listing.created_from, listing.created_to, workspace)
    terms += make_search(listing.search)
    return And(tuple(terms))


def make_status(status: str | None) -> Comparison:
    """The status that was asked for; ACTIVE and ARCHIVED where none was."""
    return Comparison("status", "eq", status) if status else Comparison("status", "in", LIVE)


class CompanyListing(Listing, frozen=True, kw_only=True):
    """What a list of companies is asked for. Dates are ISO 8601."""

    search: str | None = None
    status: str | None = None
    size: str | None = None
    industry: str | None = None
    created_from: str | None = None
    created_to: str | None = None


async def list_companies(engine: Engine, workspace: Workspace, listing: CompanyListing) -> Page:
    terms: list[Condition] = [make_status(listing.status)]
    if listing.size is not None:
        terms.append(Comparison("size", "eq", listing.size))
    if listing.industry is not None:
        terms.append(Comparison("industry", "eq", listing.industry))
    terms += make_range("createdAt", listing.created_from, listing.created_to, workspace)
    terms += make_search(listing.search)
    return await list_page(engine, workspace, COMPANY, And(tuple(terms)), listing)


async def search_companies(engine: Engine, workspace: Workspace, q: str, limit: int) -> Page:
    """Typeahead: the best live companies for what was typed so far."""
    return await type_ahead(engine, workspace, COMPANY, q, limit)


async def list_contacts_of(engine: Engine, workspace: Workspace, ref: str, listing: Listing) -> Page:
    """The live contacts that belong to the company, with role and primary flag."""
    number = await find_committed_number(engine, workspace, "company", ref)
    terms = (make_status(None), Comparison("companyId", "eq", number or 0))
    return await list_page(engine, workspace, CONTACT_OF_COMPANY, And(terms), listing)


class ActivityListing(Listing, frozen=True, kw_only=True):
    """What a list of a contact's activities is asked for; newest first. Dates are ISO 8601."""

    type: str | None = None
    module: str | None = None
    occurred_from: str | None = None
    occurred_to: str | None = None
    sort_by: str = "occurredAt"


async def list_activities(engine: Engine, workspace: Workspace, ref: str, listing: ActivityListing) -> Page:
    """The activities of a contact; of a merged one, those of the contact that it went into."""
    number = await find_committed_number(engine, workspace, "contact", ref)
    terms: list[Condition] = [Comparison("contactId", "eq", number or 0)]
    if listing.type:
        terms.append(Comparison("type", "eq", listing.type))
    if listing.module:
        terms.append(Comparison("module", "eq", listing.module))
    terms += make_range("occurredAt", listing.occurred_from, listing.occurred_to, workspace)
    return await list_page(engine, workspace, ACTIVITY, And(tuple(terms)), listing)


class _WithCompanies(msgspec.Struct):
    companies: msgspec.Raw


async def list_companies_of(engine: Engine, workspace: Workspace, ref: str) -> Page:
    """The companies that the contact belongs to, the primary one first: all of them, they are a thousand at most."""
    found = await get_record(engine, workspace, "contact", ref)
    companies = msgspec.json.decode(found.data, type=_WithCompanies).companies
    total = len(msgspec.json.decode(companies, type=list[msgspec.Raw]))
    meta = {"page": 1, "limit": max(total, 1), "total": total, "totalPages": min(total, 1), "nextCursor": None}
    return Page(bytes(companies), meta)


async def list_tags(engine: Engine, workspace: Workspace, listing: Listing) -> Page:
    return await list_page(engine, workspace, TAG, And(()), listing)


class ListListing(Listing, frozen=True, kw_only=True):
    """What the list of lists is asked for."""

    entity_type: EntityType | None = None
    is_dynamic: bool | None = None


async def list_lists(engine: Engine, workspace: Workspace, listing: ListListing) -> Page:
    terms: list[Condition] = []
    if listing.entity_type is not None:
        terms.append(Comparison("entityType", "eq", listing.entity_type))
    if listing.is_dynamic is not None:
        terms.append(Comparison("isDynamic", "eq", listing.is_dynamic))
    return await list_page(engine, workspace, LIST, And(tuple(terms)), listing)


async def list_members(engine: Engine, workspace: Workspace, ref: str, listing: Listing) -> Page:
    """The members that are not deleted, as rows of their entity, the newest record first."""
    head = await get_list_head(engine, workspace, ref)
    entity = CONTACT_OF_LIST if head.entity_type == "CONTACT" else COMPANY_OF_LIST
    terms = (make_status(None), Comparison("listId", "eq", head.id or 0))
    return await list_page(engine, workspace, entity, And(terms), listing)


class PropertyListing(Listing, frozen=True, kw_only=True):
    """What the list of properties is asked for."""

    entity: PropertyEntity | None = None
    group: PropertyGroup | None = None
    is_system: bool | None = None
    archived: bool = False


async def list_properties(engine: Engine, workspace: Workspace, listing: PropertyListing) -> Page:
    terms: list[Condition] = [] if listing.archived else [Comparison("status", "eq", "ACTIVE")]
    if listing.entity is not None:
        terms.append(Comparison("entity", "eq", listing.entity))
    if listing.group is not None:
        terms.append(Comparison("group", "eq", listing.group))
    if listing.is_system is not None:
        terms.append(Comparison("isSystem", "eq", listing.is_system))
    return await list_page(engine, workspace, PROPERTY, And(tuple(terms)), listing)


class ListHead(msgspec.Struct, rename="camel"):
    """What has to be known of a list before its members are looked for."""

    id: int | None
    external_id: str
    entity_type: EntityType
    is_dynamic: bool


async def get_list_head(engine: Engine, workspace: Workspace, ref: str) -> ListHead:
    found = await get_record(engine, workspace, "list", ref)
    return msgspec.json.decode(found.data, type=ListHead)
