"""Lists over HTTP, and their members."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from kith.api import response_schemas as shapes
from kith.api.calls import ReadCall, WriteCall
from kith.api.queries import Count, PageQuery
from kith.api.responses import Answer, make_data_answer, make_page_answer, make_record_answer, make_write_answer
from kith.api.routing import route
from kith.engine.accept import lists
from kith.engine.read import listings
from kith.engine.read.listings import ListListing
from kith.engine.read.paging import Listing
from kith.engine.read.records import get_record
from kith.model.lists import EntityType, ListInput, ListPatch, MembersInput

EVALUATION_WAIT_S = 30.0
EXAMPLE = {"name": "Friends of the house", "entityType": "CONTACT"}
MEMBERS = {"entityIds": [1, 2]}


class ListsQuery(PageQuery, rename="camel", kw_only=True):
    entity_type: EntityType | None = None
    is_dynamic: bool | None = None
    sort_by: Literal["createdAt", "name"] = "createdAt"
    sort_order: Literal["asc", "desc"] = "desc"


class MembersQuery(msgspec.Struct, rename="camel", kw_only=True):
    page: Annotated[int, Meta(ge=1, description="Page number; not together with cursor.")] | None = None
    limit: Annotated[int, Meta(ge=1, le=1000, description="Results per page.")] = 50
    cursor: Annotated[str, Meta(description="meta.nextCursor of the page before.")] | None = None
    count: Annotated[Count, Meta(description="exact: whatever it costs; none: leave the totals out.")] = "default"


@route("GET", "/crm/lists", tag="Lists", kind="page", data=shapes.List, example={"entityType": "CONTACT"})
async def list_lists(call: ReadCall, query: ListsQuery) -> Answer:
    """List lists

    A list's memberCount counts its members that are not deleted.
    """
    return make_page_answer(await listings.list_lists(call.engine, call.workspace, ListListing(**query.to_fields())))


@route("GET", "/crm/lists/{list_id}", tag="Lists", kind="record", data=shapes.List)
async def get_list(call: ReadCall, list_id: str) -> Answer:
    """Get a list

    By number or external id (lst_…).
    """
    return make_record_answer(await get_record(call.engine, call.workspace, "list", list_id))


@route("POST", "/crm/lists", tag="Lists", kind="write", data=shapes.List, creates=True, example=EXAMPLE)
async def create_list(call: WriteCall, body: ListInput) -> Answer:
    """Create a list

    A static list has members that are added by hand. A dynamic one has those that fit its filter, exactly: a record
    enters or leaves it with the very change that makes it so.
    """
    return make_write_answer(await lists.create_list(call.engine, call.request, body), call.request)


@route(
    "PATCH",
    "/crm/lists/{list_id}",
    tag="Lists",
    kind="write",
    data=shapes.List,
    example={"description": "Whoever comes to dinner"},
)
async def update_list(call: WriteCall, list_id: str, body: ListPatch) -> Answer:
    """Update a list

    A list stays static or dynamic, and of contacts or of companies.
    """
    return make_write_answer(await lists.update_list(call.engine, call.request, list_id, body), call.request)


@route("DELETE", "/crm/lists/{list_id}", tag="Lists", kind="write", data=shapes.List)
async def delete_list(call: WriteCall, list_id: str) -> Answer:
    """Delete a list

    It goes for good; its members stay where they are.
    """
    return make_write_answer(await lists.delete_list(call.engine, call.request, list_id), call.request)


@route(
    "POST",
    "/crm/lists/{list_id}/evaluate",
    tag="Lists",
    kind="evaluation",
    data=shapes.Evaluation,
)
async def evaluate_list(call: WriteCall, list_id: str) -> Answer:
    """Evaluate a dynamic list

    Its members are kept by themselves; this looks at all records again, and waits for that up to 30 seconds. What takes
    longer answers 202, and its operation tells the result.
    """
    request = msgspec.structs.replace(call.request, wait_s=call.request.wait_s or EVALUATION_WAIT_S)
    written = await lists.evaluate_list(call.engine, request, list_id)
    if written.waited and written.operation.result is not None:
        return make_data_answer(written.operation.result)
    return make_write_answer(written, request)


@route("GET", "/crm/lists/{list_id}/members", tag="Lists", kind="page")
async def list_members(call: ReadCall, list_id: str, query: MembersQuery) -> Answer:
    """List a list's members

    As rows of contacts or of companies, the newest record first; deleted ones are not shown.
    """
    listing = Listing(**msgspec.structs.asdict(query), sort_by="createdAt", sort_order="desc")
    return make_page_answer(await listings.list_members(call.engine, call.workspace, list_id, listing))


@route(
    "POST",
    "/crm/lists/{list_id}/members",
    tag="Lists",
    kind="write",
    data=shapes.List,
    batch=True,
    example=MEMBERS,
)
async def add_members(call: WriteCall, list_id: str, body: MembersInput) -> Answer:
    """Add members to a static list

    At most 1,000, by number or external id; all or none. One who is on it already changes nothing.
    """
    written = await lists.add_members(call.engine, call.request, list_id, body.entity_ids)
    return make_write_answer(written, call.request)


@route(
    "DELETE",
    "/crm/lists/{list_id}/members",
    tag="Lists",
    kind="write",
    data=shapes.List,
    batch=True,
    example=MEMBERS,
)
async def remove_members(call: WriteCall, list_id: str, body: MembersInput) -> Answer:
    """Remove members from a static list

    At most 1,000; all or none. One who is not on it changes nothing.
    """
    written = await lists.remove_members(call.engine, call.request, list_id, body.entity_ids)
    return make_write_answer(written, call.request)


@route(
    "POST",
    "/crm/lists/{list_id}/members/remove",
    tag="Lists",
    kind="write",
    data=shapes.List,
    batch=True,
    example=MEMBERS,
)
async def remove_members_by_post(call: WriteCall, list_id: str, body: MembersInput) -> Answer:
    """Remove members from a static list, by POST

    The same as DELETE, for clients that cannot send it with a body.
    """
    return await remove_members(call, list_id, body)
