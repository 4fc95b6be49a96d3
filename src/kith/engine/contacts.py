"""The verbs on contacts."""

from kith.aside import compute
from kith.cql.ast import And, Comparison, Condition
from kith.cql.catalogue import CONTACT
from kith.engine.context import Engine
from kith.engine.listing import Listing, list_page, make_range, make_search, type_ahead
from kith.engine.properties import settle_properties, to_schema_ref
from kith.engine.query import Page
from kith.engine.records import Found, get_record, name_itself, name_target, parse_body_id, parse_ref, write
from kith.engine.submit import Attempt, WriteRequest, Written
from kith.model.commands import Command, CreateContact, DeleteContact, MergeContacts, RestoreContact, UpdateContact
from kith.model.contacts import ContactInput, ContactPatch, make_contact_changes
from kith.model.records import LIVE
from kith.model.state import Ref, State
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


async def create_contact(engine: Engine, request: WriteRequest, fields: ContactInput) -> Written:
    sent = await compute(len(request.sent), make_contact_changes, fields)
    changes = {field: value for field, value in sent.items() if value is not None}
    email = changes.get("email")

    def make_command(attempt: Attempt, state: State) -> Command:
        settled, timezone = settle_properties(request.workspace, state, "CONTACT", changes)
        return CreateContact(contact_id=attempt.make_id("ctc"), **settled, timezone=timezone)

    refs = [to_schema_ref("CONTACT"), Ref("contact", "email", email)] if email else [to_schema_ref("CONTACT")]
    return await write(engine, request, refs, make_command)


async def update_contact(engine: Engine, request: WriteRequest, ref: str, fields: ContactPatch) -> Written:
    parsed = parse_ref("contact", ref)
    changes = await compute(len(request.sent), make_contact_changes, fields)
    email = changes.get("email")
    refs = [parsed, Ref("contact", "email", email)] if email else [parsed]
    if "properties" in changes:
        refs.append(to_schema_ref("CONTACT"))

    def make_command(_: Attempt, state: State) -> Command:
        settled, timezone = settle_properties(request.workspace, state, "CONTACT", changes)
        contact_id = name_target(state, parsed)
        return UpdateContact(contact_id=contact_id, changes=settled, timezone=timezone, if_version=request.if_version)

    return await write(engine, request, refs, make_command)


async def delete_contact(engine: Engine, request: WriteRequest, ref: str) -> Written:
    parsed = parse_ref("contact", ref)

    def make_command(_: Attempt, state: State) -> Command:
        return DeleteContact(contact_id=name_itself(state, parsed), if_version=request.if_version)

    return await write(engine, request, [parsed], make_command)


async def restore_contact(engine: Engine, request: WriteRequest, ref: str) -> Written:
    parsed = parse_ref("contact", ref)

    def make_command(_: Attempt, state: State) -> Command:
        return RestoreContact(contact_id=name_itself(state, parsed), if_version=request.if_version)

    return await write(engine, request, [parsed], make_command)


async def merge_contacts(engine: Engine, request: WriteRequest, ref: str, loser: int | str) -> Written:
    """The record that ``ref`` names absorbs the other one."""
    winner_ref, loser_ref = parse_ref("contact", ref), parse_body_id("contact", "loserId", loser)

    def make_command(_: Attempt, state: State) -> Command:
        winner, loser = name_itself(state, winner_ref), name_itself(state, loser_ref)
        return MergeContacts(contact_id=winner, loser_id=loser, if_version=request.if_version)

    return await write(engine, request, [winner_ref, loser_ref], make_command)


async def get_contact(engine: Engine, workspace: Workspace, ref: str) -> Found:
    """The record as it is, with the pending writes on it folded in. Raises InvalidId, NotFound."""
    return await get_record(engine, workspace, "contact", ref)


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
