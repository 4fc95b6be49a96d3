"""The verbs on contacts."""

from kith.aside import compute
from kith.engine.accept.properties import settle_properties, to_schema_ref
from kith.engine.accept.records import name_itself, name_target, write
from kith.engine.accept.submit import Attempt, WriteRequest, Written
from kith.engine.context.engine import Engine
from kith.engine.read.records import parse_body_id, parse_ref
from kith.model.commands import Command, CreateContact, DeleteContact, MergeContacts, RestoreContact, UpdateContact
from kith.model.contacts import ContactInput, ContactPatch, make_contact_changes
from kith.model.state import Ref, State


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
