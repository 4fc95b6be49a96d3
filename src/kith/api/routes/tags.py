"""Tags over HTTP, and the contacts and companies that carry them."""

from typing import Literal

import msgspec

from kith.api import response_schemas as shapes
from kith.api.calls import ReadCall, WriteCall
from kith.api.queries import PageQuery
from kith.api.responses import Answer, make_page_answer, make_record_answer, make_write_answer
from kith.api.routing import route
from kith.engine.accept import tags
from kith.engine.read import listings
from kith.engine.read.paging import Listing
from kith.engine.read.records import get_record
from kith.model.forms import TagId
from kith.model.tags import TagInput, TagPatch

EXAMPLE = {"key": "vip", "name": "VIP Customer", "description": "High-value customers", "color": "#FFD700"}
ASSIGN = {"tagId": 5}


class TagsQuery(PageQuery, rename="camel", kw_only=True):
    sort_by: Literal["createdAt", "name", "key"] = "createdAt"
    sort_order: Literal["asc", "desc"] = "desc"


class AssignInput(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The tag, by number or external id."""

    tag_id: TagId


@route("GET", "/crm/tags", tag="Tags", kind="page", data=shapes.Tag, example={"sortBy": "key"})
async def list_tags(call: ReadCall, query: TagsQuery) -> Answer:
    """List tags

    A tag's contactCount counts the contacts that carry it and are not deleted.
    """
    return make_page_answer(await listings.list_tags(call.engine, call.workspace, Listing(**query.to_fields())))


@route("GET", "/crm/tags/{tag_id}", tag="Tags", kind="record", data=shapes.Tag)
async def get_tag(call: ReadCall, tag_id: str) -> Answer:
    """Get a tag

    By number or external id (tag_…).
    """
    return make_record_answer(await get_record(call.engine, call.workspace, "tag", tag_id))


@route(
    "POST",
    "/crm/tags",
    tag="Tags",
    kind="write",
    data=shapes.Tag,
    creates=True,
    errors=["TAG_KEY_EXISTS"],
    example=EXAMPLE,
)
async def create_tag(call: WriteCall, body: TagInput) -> Answer:
    """Create a tag

    The key is lower-case letters, digits, hyphens and underscores; it stays. The name defaults to it.
    """
    return make_write_answer(await tags.create_tag(call.engine, call.request, body), call.request)


@route(
    "PATCH",
    "/crm/tags/{tag_id}",
    tag="Tags",
    kind="write",
    data=shapes.Tag,
    example={"name": "Enterprise VIP", "color": "#FF6600"},
)
async def update_tag(call: WriteCall, tag_id: str, body: TagPatch) -> Answer:
    """Update a tag"""
    return make_write_answer(await tags.update_tag(call.engine, call.request, tag_id, body), call.request)


@route("DELETE", "/crm/tags/{tag_id}", tag="Tags", kind="write", data=shapes.Tag)
async def delete_tag(call: WriteCall, tag_id: str) -> Answer:
    """Delete a tag

    It goes for good, and from whatever carries it.
    """
    return make_write_answer(await tags.delete_tag(call.engine, call.request, tag_id), call.request)


@route("POST", "/crm/contacts/{contact_id}/tags", tag="Contacts", kind="write", data=shapes.Contact, example=ASSIGN)
async def assign_contact_tag(call: WriteCall, contact_id: str, body: AssignInput) -> Answer:
    """Assign a tag to a contact

    One that it has already changes nothing.
    """
    written = await tags.assign_tag(call.engine, call.request, "contact", contact_id, body.tag_id)
    return make_write_answer(written, call.request)


@route("DELETE", "/crm/contacts/{contact_id}/tags/{tag_id}", tag="Contacts", kind="write", data=shapes.Contact)
async def remove_contact_tag(call: WriteCall, contact_id: str, tag_id: str) -> Answer:
    """Remove a tag from a contact"""
    written = await tags.remove_tag(call.engine, call.request, "contact", contact_id, tag_id)
    return make_write_answer(written, call.request)


@route("POST", "/crm/companies/{company_id}/tags", tag="Companies", kind="write", data=shapes.Company, example=ASSIGN)
async def assign_company_tag(call: WriteCall, company_id: str, body: AssignInput) -> Answer:
    """Assign a tag to a company

    One that it has already changes nothing.
    """
    written = await tags.assign_tag(call.engine, call.request, "company", company_id, body.tag_id)
    return make_write_answer(written, call.request)


@route("DELETE", "/crm/companies/{company_id}/tags/{tag_id}", tag="Companies", kind="write", data=shapes.Company)
async def remove_company_tag(call: WriteCall, company_id: str, tag_id: str) -> Answer:
    """Remove a tag from a company"""
    written = await tags.remove_tag(call.engine, call.request, "company", company_id, tag_id)
    return make_write_answer(written, call.request)
