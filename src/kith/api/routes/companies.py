"""Companies over HTTP, and the contacts that belong to them."""

from typing import Annotated, Literal

from msgspec import Meta, field

from kith.api import response_schemas as shapes
from kith.api.calls import ReadCall, WriteCall
from kith.api.queries import PageQuery, Searched, SearchQuery
from kith.api.responses import Answer, make_page_answer, make_record_answer, make_write_answer
from kith.api.routes.contacts import From, To
from kith.api.routing import route
from kith.engine.accept import companies
from kith.engine.read import listings
from kith.engine.read.listings import CompanyListing
from kith.engine.read.paging import Listing
from kith.engine.read.records import get_record
from kith.model.companies import CompanyInput, CompanyPatch, CompanyStatus

EXAMPLE = {
    "name": "Acme Corp",
    "domain": "acme.com",
    "industry": "SaaS",
    "size": "50-200",
    "plan": "Enterprise",
    "website": "https://acme.com",
    "phone": "+1234567890",
    "properties": {"annual_revenue": "5000000"},
}


class CompaniesQuery(PageQuery, rename="camel", kw_only=True):
    search: Searched | None = None
    status: Annotated[CompanyStatus, Meta(description="Default: ACTIVE and ARCHIVED.")] | None = None
    size: str | None = None
    industry: str | None = None
    created_from: From | None = field(default=None, name="from")
    created_to: To | None = field(default=None, name="to")
    sort_by: Literal["createdAt", "name", "domain"] = "createdAt"
    sort_order: Literal["asc", "desc"] = "desc"


@route("GET", "/crm/companies", tag="Companies", kind="page", data=shapes.CompanyRow, example={"sortBy": "name"})
async def list_companies(call: ReadCall, query: CompaniesQuery) -> Answer:
    """List companies

    Committed companies only: use X-Read-After to see a write of your own. Missing values sort last, ties by id.
    """
    listing = CompanyListing(**query.to_fields())
    return make_page_answer(await listings.list_companies(call.engine, call.workspace, listing))


@route("GET", "/crm/companies/search", tag="Companies", kind="search", data=shapes.CompanyRow, example={"q": "acme"})
async def search_companies(call: ReadCall, query: SearchQuery) -> Answer:
    """Search companies

    Typeahead over name, domain and phone: every term is the beginning of some word.
    """
    return make_page_answer(await listings.search_companies(call.engine, call.workspace, query.q, query.limit))


@route("GET", "/crm/companies/{company_id}", tag="Companies", kind="record", data=shapes.Company)
async def get_company(call: ReadCall, company_id: str) -> Answer:
    """Get a company

    By number, external id (cmp_…) or domain. Writes that are not applied yet are folded in.
    """
    return make_record_answer(await get_record(call.engine, call.workspace, "company", company_id))


@route(
    "POST",
    "/crm/companies",
    tag="Companies",
    kind="write",
    data=shapes.Company,
    creates=True,
    errors=["COMPANY_DOMAIN_EXISTS"],
    example=EXAMPLE,
)
async def create_company(call: WriteCall, body: CompanyInput) -> Answer:
    """Create a company

    Needs a name or a domain. The domain is a host name: of a URL, what it is cut down to, without www.
    """
    return make_write_answer(await companies.create_company(call.engine, call.request, body), call.request)


@route(
    "PATCH",
    "/crm/companies/{company_id}",
    tag="Companies",
    kind="write",
    data=shapes.Company,
    errors=["COMPANY_DOMAIN_EXISTS"],
    example={"plan": "Enterprise", "properties": {"annual_revenue": "6000000"}},
)
async def update_company(call: WriteCall, company_id: str, body: CompanyPatch) -> Answer:
    """Update a company

    What is left out stays, null clears, properties merge by key.
    """
    written = await companies.update_company(call.engine, call.request, company_id, body)
    return make_write_answer(written, call.request)


@route("DELETE", "/crm/companies/{company_id}", tag="Companies", kind="write", data=shapes.Company)
async def delete_company(call: WriteCall, company_id: str) -> Answer:
    """Delete a company

    Sets its status to DELETED; its contacts show it no more until it is restored.
    """
    return make_write_answer(await companies.delete_company(call.engine, call.request, company_id), call.request)


@route(
    "POST",
    "/crm/companies/{company_id}/restore",
    tag="Companies",
    kind="write",
    data=shapes.Company,
    errors=["COMPANY_DOMAIN_EXISTS"],
)
async def restore_company(call: WriteCall, company_id: str) -> Answer:
    """Restore a deleted company"""
    return make_write_answer(await companies.restore_company(call.engine, call.request, company_id), call.request)


@route("GET", "/crm/companies/{company_id}/contacts", tag="Companies", kind="page", data=shapes.ContactOfCompany)
async def list_company_contacts(call: ReadCall, company_id: str, query: PageQuery) -> Answer:
    """List a company's contacts

    With the role of each and whether the company is its primary one; by id.
    """
    listing = Listing(**query.to_fields(), sort_by="id", sort_order="asc")
    return make_page_answer(await listings.list_contacts_of(call.engine, call.workspace, company_id, listing))
