"""Contacts: create, update, delete, restore."""

from datetime import datetime

from kith.model.commands import CreateContact, DeleteContact, RestoreContact, UpdateContact
from kith.model.contacts import IDENTIFYING, Contact, make_name
from kith.model.events import Event
from kith.model.rules.decisions import (
    Accepted,
    Decision,
    Rejected,
    change_record,
    delete_record,
    find_mismatch,
    find_taken,
    next_number,
    not_found,
    not_live,
    refuse_merged,
    restore_record,
    too_large,
)
from kith.model.rules.properties import check_properties
from kith.model.state import State
from kith.model.values import find_overflow


def create_contact(state: State, command: CreateContact, at: datetime) -> Decision:
    if not any(getattr(command, field) for field in IDENTIFYING):
        return Rejected(
            "MISSING_FIELD",
            "A contact needs at least one of email, phone, name, givenName, familyName.",
            {"fields": [{"field": "email", "message": "one of email, phone, name, givenName, familyName is needed."}]},
        )
    properties = check_properties(state, "CONTACT", command.properties, timezone=command.timezone)
    if isinstance(properties, Rejected):
        return properties
    if overflow := find_overflow(properties):
        return too_large(overflow)
    if command.email and (refusal := find_taken(state, ("email", command.email))):
        return refusal
    contact = Contact(
        external_id=command.contact_id,
        number=next_number(state, "contact"),
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
        properties={key: value for key, value in properties.items() if value is not None},
        activity_count=0,
        last_activity_at=None,
        created_at=at,
        updated_at=at,
        version=1,
    )
    return Accepted((Event(type="contact.created", record=contact),))


def update_contact(state: State, command: UpdateContact, at: datetime) -> Decision:
    contact = state.find_contact(command.contact_id)
    if contact is None:
        return not_found("contact", command.contact_id)
    if mismatch := find_mismatch(contact, command.if_version):
        return mismatch
    if not contact.live:
        return not_live(contact)
    fields = dict(command.changes)
    if "name" not in fields and ("given_name" in fields or "family_name" in fields):
        if contact.name == make_name(contact.given_name, contact.family_name):
            fields["name"] = make_name(
                fields.get("given_name", contact.given_name), fields.get("family_name", contact.family_name)
            )
    email = fields.get("email")
    if email and (refusal := find_taken(state, ("email", email), by=contact.identity)):
        return refusal
    if "properties" in fields:
        properties = check_properties(state, "CONTACT", fields["properties"], contact.properties, command.timezone)
        if isinstance(properties, Rejected):
            return properties
        fields["properties"] = properties
    changed = change_record(contact, fields, at)
    if isinstance(changed, Rejected):
        return changed
    after, changes = changed
    return Accepted((Event(type="contact.updated", record=after, changes=changes),) if changes else ())


def delete_contact(state: State, command: DeleteContact, at: datetime) -> Decision:
    contact = state.find(Contact, command.contact_id)
    if contact is None:
        return not_found("contact", command.contact_id)
    if refusal := refuse_merged(state, contact):
        return refusal
    return delete_record(contact, command.if_version, at)


def restore_contact(state: State, command: RestoreContact, at: datetime) -> Decision:
    contact = state.find(Contact, command.contact_id)
    if contact is None:
        return not_found("contact", command.contact_id)
    if refusal := refuse_merged(state, contact):
        return refusal
    return restore_record(state, contact, command.if_version, at)
