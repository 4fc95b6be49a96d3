"""The verbs on companies."""

from kith.aside import compute
from kith.cql.ast import And, Comparison, Condition
from kith.cql.catalogue import COMPANY, CONTACT_OF_COMPANY
from kith.engine.contacts import make_status
from kith.engine.context import Engine
from kith.engine.listing import Listing, list_page, make_range, make_search, type_ahead
from kith.engine.properties import settle_properties, to_schema_ref
from kith.engine.query import Page
from kith.engine.records import Found, find_committed_number, get_record, name_target, parse_ref, write
from kith.engine.submit import Attempt, WriteRequest, Written
from kith.model.commands import Command, CreateCompany, DeleteCompany, RestoreCompany, UpdateCompany
from kith.model.companies import CompanyInput, CompanyPatch, make_company_changes
from kith.model.state import Ref, State
from kith.model.workspaces import Workspace


class CompanyListing(Listing, frozen=True, kw_only=True):
    """What a list of companies is asked for. Dates are ISO 8601."""

    search: str | None = None
    status: str | None = None
    size: str | None = None
    industry: str | None = None
    created_from: str | None = None
    created_to: str | None = None


async def create_company(engine: Engine, request: WriteRequest, fields: CompanyInput) -> Written:
    sent = await compute(len(request.sent), make_company_changes, fields)
    changes = {field: value for field, value in sent.items() if value is not None}
    domain = changes.get("domain")

    def make_command(attempt: Attempt, state: State) -> Command:
        settled, timezone = settle_properties(request.workspace, state, "COMPANY", changes)
        return CreateCompany(company_id=attempt.make_id("cmp"), **settled, timezone=timezone)

    refs = [to_schema_ref("COMPANY"), Ref("company", "domain", domain)] if domain else [to_schema_ref("COMPANY")]
    return await write(engine, request, refs, make_command)


async def update_company(engine: Engine, request: WriteRequest, ref: str, fields: CompanyPatch) -> Written:
    parsed = parse_ref("company", ref)
    changes = await compute(len(request.sent), make_company_changes, fields)
    domain = changes.get("domain")
    refs = [parsed, Ref("company", "domain", domain)] if domain else [parsed]
    if "properties" in changes:
        refs.append(to_schema_ref("COMPANY"))

    def make_command(_: Attempt, state: State) -> Command:
        settled, timezone = settle_properties(request.workspace, state, "COMPANY", changes)
        company_id = name_target(state, parsed)
        return UpdateCompany(company_id=company_id, changes=settled, timezone=timezone, if_version=request.if_version)

    return await write(engine, request, refs, make_command)


async def delete_company(engine: Engine, request: WriteRequest, ref: str) -> Written:
    parsed = parse_ref("company", ref)

    def make_command(_: Attempt, state: State) -> Command:
        return DeleteCompany(company_id=name_target(state, parsed), if_version=request.if_version)

    return await write(engine, request, [parsed], make_command)


async def restore_company(engine: Engine, request: WriteRequest, ref: str) -> Written:
    parsed = parse_ref("company", ref)

    def make_command(_: Attempt, state: State) -> Command:
        return RestoreCompany(company_id=name_target(state, parsed), if_version=request.if_version)

    return await write(engine, request, [parsed], make_command)


async def get_company(engine: Engine, workspace: Workspace, ref: str) -> Found:
    return await get_record(engine, workspace, "company", ref)


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
