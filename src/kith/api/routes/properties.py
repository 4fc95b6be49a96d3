"""Properties over HTTP: the definitions of what records carry beside their own fields."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from kith.api import response_schemas as shapes
from kith.api.calls import AdminCall, ReadCall
from kith.api.queries import Count
from kith.api.responses import Answer, make_page_answer, make_record_answer, make_write_answer
from kith.api.routing import route
from kith.engine.accept import properties
from kith.engine.read import listings
from kith.engine.read.listings import PropertyListing
from kith.engine.read.records import get_record
from kith.model.properties import PropertyEntity, PropertyGroup, PropertyInput, PropertyPatch

EXAMPLE = {
    "key": "mrr",
    "entity": "CONTACT",
    "label": "Monthly Revenue",
    "type": "NUMBER",
    "group": "CUSTOM",
    "description": "Monthly recurring revenue in USD",
    "isRequired": False,
}


class PropertiesQuery(msgspec.Struct, rename="camel", kw_only=True):
    entity: Annotated[PropertyEntity, Meta(description="CONTACT, COMPANY, CONTACT_COMPANY.")] | None = None
    group: PropertyGroup | None = None
    is_system: Annotated[bool, Meta(description="The fields that all records have, or what was defined.")] | None = None
    archived: Annotated[bool, Meta(description="true: the archived ones too.")] = False
    page: Annotated[int, Meta(ge=1, description="Page number; not together with cursor.")] | None = None
    limit: Annotated[int, Meta(ge=1, le=1000, description="Results per page.")] = 1000
    cursor: Annotated[str, Meta(description="meta.nextCursor of the page before.")] | None = None
    count: Annotated[Count, Meta(description="exact: whatever it costs; none: leave the totals out.")] = "default"
    sort_by: Literal["createdAt", "key"] = "createdAt"
    sort_order: Literal["asc", "desc"] = "desc"


@route("GET", "/crm/properties", tag="Properties", kind="page", data=shapes.Property, example={"entity": "CONTACT"})
async def list_properties(call: ReadCall, query: PropertiesQuery) -> Answer:
    """List properties

    The fields that every record has are among them (isSystem).
    """
    listing = PropertyListing(**msgspec.structs.asdict(query))
    return make_page_answer(await listings.list_properties(call.engine, call.workspace, listing))


@route("GET", "/crm/properties/{property_id}", tag="Properties", kind="record", data=shapes.Property)
async def get_property(call: ReadCall, property_id: str) -> Answer:
    """Get a property

    By number or external id (prp_…).
    """
    return make_record_answer(await get_record(call.engine, call.workspace, "property", property_id))


@route(
    "POST",
    "/crm/properties",
    tag="Properties",
    kind="write",
    data=shapes.Property,
    creates=True,
    errors=["PROPERTY_KEY_EXISTS"],
    example=EXAMPLE,
)
async def create_property(call: AdminCall, body: PropertyInput) -> Answer:
    """Create a property

    From then on its values are checked by its type whenever they are written. Values that were there before are brought
    into its form where they fit; how many were, and which do not fit, is in the operation's result.
    """
    return make_write_answer(await properties.create_property(call.engine, call.request, body), call.request)


@route(
    "PATCH",
    "/crm/properties/{property_id}",
    tag="Properties",
    kind="write",
    data=shapes.Property,
    example={"label": "MRR"},
)
async def update_property(call: AdminCall, property_id: str, body: PropertyPatch) -> Answer:
    """Update a property

    Its key and its entity stay. Its type changes only where every value fits the new one; an option that is in use can
    only be archived. `{"status": "ACTIVE"}` brings an archived property back.
    """
    written = await properties.update_property(call.engine, call.request, property_id, body)
    return make_write_answer(written, call.request)


@route("DELETE", "/crm/properties/{property_id}", tag="Properties", kind="write", data=shapes.Property)
async def archive_property(call: AdminCall, property_id: str) -> Answer:
    """Archive a property

    Its values stay, and are taken unchecked from then on. Its key stays taken.
    """
    return make_write_answer(await properties.archive_property(call.engine, call.request, property_id), call.request)
