"""The rules: what becomes of a command in a state. Run twice: the API predicts with it, the writer decides with it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from kith.model.commands import Command, CreateContact, DeleteContact, RestoreContact, UpdateContact
from kith.model.contacts import IDENTIFYING, Contact, make_name
from kith.model.events import ContactCreated, ContactDeleted, ContactRestored, ContactUpdated, Event
from kith.model.state import State
from kith.model.values import find_overflow, same_json


class Accepted(msgspec.Struct, frozen=True):
    """The events in their order; none where the command changes nothing."""

    events: tuple[Event, ...]


class Rejected(msgspec.Struct, frozen=True):
    """Why not: a code of ``errors.CODES``, a sentence, and what a client needs to go on."""

    code: str
    message: str
    details: Mapping[str, Any] | None = None


Decision = Accepted | Rejected


def decide(state: State, command: Command, at: datetime) -> Decision:
    """What becomes of the command at that time. Changes nothing; ``fold`` does."""
    if isinstance(command, CreateContact):
        return _create(state, command, at)
    contact = state.find_contact(command.contact_id)
    if contact is None:
        return Rejected("NOT_FOUND", f"No contact {command.contact_id} is in this workspace.")
    if command.if_version is not None and command.if_version != contact.version:
        return Rejected(
            "VERSION_MISMATCH",
            f"The contact is at version {contact.version}, not {command.if_version}. Read it again, then decide.",
            {"expected": command.if_version, "actual": contact.version},
        )
    if isinstance(command, UpdateContact):
        return _update(state, contact, command, at)
    if isinstance(command, DeleteContact):
        return _delete(contact, at)
    return _restore(state, contact, command, at)


def fold(state: State, event: Event) -> None:
    """Bring the state to what it is after the event."""
    state.put_contact(event.contact)
    if isinstance(event, ContactCreated) and state.next_number is not None:
        state.next_number += 1


def _create(state: State, command: CreateContact, at: datetime) -> Decision:
    if not any(getattr(command, field) for field in IDENTIFYING):
        return Rejected(
            "MISSING_FIELD",
            "A contact needs at least one of email, phone, name, givenName, familyName.",
            {"fields": [{"field": "email", "message": "one of email, phone, name, givenName, familyName is needed."}]},
        )
    if overflow := find_overflow(command.properties):
        return _too_large(overflow)
    if command.email and (holder := state.find_holder(command.email)):
        return _email_exists(command.email, holder)
    contact = Contact(
        external_id=command.contact_id,
        number=state.next_number,
        email=command.email,
        name=command.name or make_name(command.given_name, command.family_name),
        given_name=command.given_name,
        family_name=command.family_name,
        phone=command.phone,
        phone_e164=command.phone_e164,
        avatar=command.avatar,
        status="ACTIVE",
        lifecycle_stage=command.lifecycle_stage,
        modules=("CRM",),
        properties={key: value for key, value in command.properties.items() if value is not None},
        activity_count=0,
        last_activity_at=None,
        created_at=at,
        updated_at=at,
        version=1,
    )
    return Accepted((ContactCreated(contact=contact, changes={}),))


def _update(state: State, contact: Contact, command: UpdateContact, at: datetime) -> Decision:
    if not contact.live:
        return _not_live(contact)
    fields = dict(command.changes)
    properties = fields.pop("properties", None)
    if "name" not in fields and ("given_name" in fields or "family_name" in fields):
        if contact.name == make_name(contact.given_name, contact.family_name):
            fields["name"] = make_name(
                fields.get("given_name", contact.given_name), fields.get("family_name", contact.family_name)
            )
    email = fields.get("email")
    if email and (holder := state.find_holder(email)) and holder.external_id != contact.external_id:
        return _email_exists(email, holder)
    changes = {field: (old, new) for field, new in fields.items() if (old := getattr(contact, field)) != new}
    if properties:
        merged = {**contact.properties, **properties}
        merged = {key: value for key, value in merged.items() if value is not None}
        if overflow := find_overflow(merged):
            return _too_large(overflow)
        for key in properties:
            old, new = contact.properties.get(key), merged.get(key)
            if not same_json(old, new):
                changes[f"properties.{key}"] = (old, new)
        fields["properties"] = merged
    if not changes:
        return Accepted(())
    after = msgspec.structs.replace(contact, **fields, updated_at=at, version=contact.version + 1)
    return Accepted((ContactUpdated(contact=after, changes=changes),))


def _delete(contact: Contact, at: datetime) -> Decision:
    if contact.status == "DELETED":
        return Accepted(())
    after = msgspec.structs.replace(contact, status="DELETED", updated_at=at, version=contact.version + 1)
    return Accepted((ContactDeleted(contact=after, changes={"status": (contact.status, "DELETED")}),))


def _restore(state: State, contact: Contact, command: RestoreContact, at: datetime) -> Decision:
    if contact.status != "DELETED":
        return Rejected(
            "INVALID_REQUEST",
            f"Contact {command.contact_id} is {contact.status}; only a DELETED one can be restored.",
            {"status": contact.status},
        )
    if contact.email and (holder := state.find_holder(contact.email)):
        return _email_exists(contact.email, holder)
    after = msgspec.structs.replace(contact, status="ACTIVE", updated_at=at, version=contact.version + 1)
    return Accepted((ContactRestored(contact=after, changes={"status": ("DELETED", "ACTIVE")}),))


def _email_exists(email: str, holder: Contact) -> Rejected:
    return Rejected(
        "CONTACT_EMAIL_EXISTS",
        f"A contact with the email {email} already exists.",
        {"field": "email", "value": email, "existingId": holder.number, "existingExternalId": holder.external_id},
    )


def _too_large(overflow: str) -> Rejected:
    fault = {"field": "properties", "message": overflow}
    return Rejected("INVALID_FIELD", f"properties: {overflow}", {"fields": [fault]})


def _not_live(contact: Contact) -> Rejected:
    return Rejected(
        "INVALID_REQUEST",
        f"Contact {contact.external_id} is {contact.status}. Restore it first:"
        f" POST /crm/contacts/{contact.external_id}/restore.",
        {"status": contact.status},
    )
