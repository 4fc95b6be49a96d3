"""Contacts over HTTP."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from kith.api import response_schemas as shapes
from kith.api.calls import ReadCall, WriteCall
from kith.api.queries import PageQuery, Searched, SearchQuery, describe_day
from kith.api.responses import Answer, make_page_answer, make_record_answer, make_write_answer
from kith.api.routing import route
from kith.engine.accept import contacts
from kith.engine.read import listings, summary
from kith.engine.read.listings import ContactListing
from kith.engine.read.records import get_record
from kith.integrations import status as sync_status
from kith.model.contacts import ContactInput, ContactPatch, LifecycleStage, Module, Status
from kith.model.forms import ContactId

EXAMPLE = {
    "email": "alice@example.com",
    "name": "Alice Johnson",
    "givenName": "Alice",
    "familyName": "Johnson",
    "phone": "+1234567890",
    "lifecycleStage": "LEAD",
    "properties": {"mrr": 4999, "plan": "Enterprise"},
}


From = Annotated[str, describe_day("Created at or after.")]
To = Annotated[str, describe_day("Created at or before; a bare date includes its day.")]


class ContactsQuery(PageQuery, rename="camel", kw_only=True):
    search: Searched | None = None
    status: Annotated[Status, Meta(description="Default: ACTIVE and ARCHIVED.")] | None = None
    lifecycle_stage: LifecycleStage | None = None
    module: Annotated[Module, Meta(description="Contacts with this active module.")] | None = None
    is_identified: bool | None = None
    created_from: From | None = msgspec.field(default=None, name="from")
    created_to: To | None = msgspec.field(default=None, name="to")
    sort_by: Literal["createdAt", "lastActivityAt", "email", "name"] = "createdAt"
    sort_order: Literal["asc", "desc"] = "desc"


class MergeInput(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The contact that goes into the other, by number or external id."""

    loser_id: ContactId


@route("GET", "/crm/contacts", tag="Contacts", kind="page", data=shapes.ContactRow, example={"sortBy": "email"})
async def list_contacts(call: ReadCall, query: ContactsQuery) -> Answer:
    """List contacts

    Committed contacts only: use X-Read-After to see a write of your own. Missing values sort last, ties by id.
    """
    listing = ContactListing(**query.to_fields())
    return make_page_answer(await listings.list_contacts(call.engine, call.workspace, listing))


@route("GET", "/crm/contacts/search", tag="Contacts", kind="search", data=shapes.ContactRow, example={"q": "alice"})
async def search_contacts(call: ReadCall, query: SearchQuery) -> Answer:
    """Search contacts

    Typeahead over name, email and phone: every term is the beginning of some word.
    """
    return make_page_answer(await listings.search_contacts(call.engine, call.workspace, query.q, query.limit))


@route("GET", "/crm/contacts/{contact_id}", tag="Contacts", kind="record", data=shapes.Contact)
async def get_contact(call: ReadCall, contact_id: str) -> Answer:
    """Get a contact

    By number, external id (ctc_…) or email address. Writes that are not applied yet are folded in.
    """
    return make_record_answer(await get_record(call.engine, call.workspace, "contact", contact_id))


@route(
    "POST",
    "/crm/contacts",
    tag="Contacts",
    kind="write",
    data=shapes.Contact,
    creates=True,
    errors=["CONTACT_EMAIL_EXISTS"],
    example=EXAMPLE,
)
async def create_contact(call: WriteCall, body: ContactInput) -> Answer:
    """Create a contact

    Needs one of email, phone, name, givenName, familyName.
    """
    return make_write_answer(await contacts.create_contact(call.engine, call.request, body), call.request)


@route(
    "PATCH",
    "/crm/contacts/{contact_id}",
    tag="Contacts",
    kind="write",
    data=shapes.Contact,
    errors=["CONTACT_EMAIL_EXISTS"],
    example={"name": "Alice Smith", "lifecycleStage": "CUSTOMER", "properties": {"mrr": 9999}},
)
async def update_contact(call: WriteCall, contact_id: str, body: ContactPatch) -> Answer:
    """Update a contact

    What is left out stays, null clears, properties merge by key.
    """
    written = await contacts.update_contact(call.engine, call.request, contact_id, body)
    return make_write_answer(written, call.request)


@route("DELETE", "/crm/contacts/{contact_id}", tag="Contacts", kind="write", data=shapes.Contact)
async def delete_contact(call: WriteCall, contact_id: str) -> Answer:
    """Delete a contact

    Sets its status to DELETED; restore brings it back.
    """
    return make_write_answer(await contacts.delete_contact(call.engine, call.request, contact_id), call.request)


@route(
    "POST",
    "/crm/contacts/{contact_id}/restore",
    tag="Contacts",
    kind="write",
    data=shapes.Contact,
    errors=["CONTACT_EMAIL_EXISTS"],
)
async def restore_contact(call: WriteCall, contact_id: str) -> Answer:
    """Restore a deleted contact"""
    return make_write_answer(await contacts.restore_contact(call.engine, call.request, contact_id), call.request)


@route(
    "POST",
    "/crm/contacts/{contact_id}/merge",
    tag="Contacts",
    kind="write",
    data=shapes.Contact,
    example={"loserId": 2},
)
async def merge_contacts(call: WriteCall, contact_id: str, body: MergeInput) -> Answer:
    """Merge another contact into this one

    The winner keeps its own values; empty ones are filled from the loser, whose companies, tags and activities move
    over. The loser becomes MERGED: reads and writes of it go to the winner, with its path in Content-Location. To
    delete, restore or merge a MERGED contact is refused with INVALID_REQUEST, which names the winner.
    """
    written = await contacts.merge_contacts(call.engine, call.request, contact_id, body.loser_id)
    return make_write_answer(written, call.request)


@route("GET", "/crm/contacts/{contact_id}/summary", tag="Contacts", kind="record", data=shapes.Summary)
async def get_summary(call: ReadCall, contact_id: str) -> Answer:
    """Get a contact's summary

    One view for agents and quick looks: at most 10 companies, the primary one first, and 50 tags.
    """
    return make_record_answer(await summary.get_summary(call.engine, call.workspace, contact_id))


@route("GET", "/crm/contacts/{contact_id}/sync-status", tag="Contacts", kind="record", data=shapes.SyncStatus)
async def get_sync_status(call: ReadCall, contact_id: str) -> Answer:
    """Get a contact's sync status

    Where integrations have it and since when; whether its last change is there, and if not, why.
    """
    return make_record_answer(await sync_status.get_sync_status(call.engine, call.workspace, contact_id))
