"""Shared parts of the rules of all record types: decisions, rejections, and changes of a record."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from kith.model.commands import PATHS
from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.events import Event, EventType
from kith.model.records import Claim, Identity, Record
from kith.model.state import State
from kith.model.values import find_overflow, same_json

R = TypeVar("R", bound=Record)
V = TypeVar("V")


class Accepted(msgspec.Struct, frozen=True):
    """The events in their order; none where the command changes nothing."""

    events: tuple[Event, ...]


class Rejected(msgspec.Struct, frozen=True):
    """Why not: a code of ``errors.CODES``, a sentence, and what a client needs to go on."""

    code: str
    message: str
    details: Mapping[str, Any] | None = None


Decision = Accepted | Rejected
Changes = dict[str, tuple[Any, Any]]
# What a claim that is held refuses with: (code, field).
TAKEN: Mapping[str, tuple[str, str]] = {
    "email": ("CONTACT_EMAIL_EXISTS", "email"),
    "domain": ("COMPANY_DOMAIN_EXISTS", "domain"),
    "tag_key": ("TAG_KEY_EXISTS", "key"),
}


def not_found(kind: str, external_id: str) -> Rejected:
    return Rejected("NOT_FOUND", f"No {kind} {external_id} is in this workspace.")


def not_live(record: Record) -> Rejected:
    """For records that are there, but DELETED."""
    return Rejected(
        "INVALID_REQUEST",
        f"{record.kind.capitalize()} {record.external_id} is DELETED. Restore it first:"
        f" POST {PATHS[record.kind]}{record.external_id}/restore.",
        {"status": "DELETED"},
    )


def refuse_merged(state: State, contact: Contact) -> Rejected | None:
    """The refusal of what cannot be done to a MERGED contact. It names the last of the chain."""
    if contact.merged_into is None:
        return None
    last = state.find_last(contact)
    into = last.successor or last.external_id
    return Rejected(
        "INVALID_REQUEST",
        f"Contact {contact.external_id} is MERGED into {into}. Name that contact instead.",
        {"status": "MERGED", "mergedInto": into},
    )


def too_large(overflow: str) -> Rejected:
    fault = {"field": "properties", "message": overflow}
    return Rejected("INVALID_FIELD", f"properties: {overflow}", {"fields": [fault]})


def find_taken(state: State, claim: Claim, by: Identity | None = None) -> Rejected | None:
    """The refusal of a value that another live record holds. ``by`` is who may hold it."""
    holder = state.find_holder(claim)
    if holder is None or holder.identity == by:
        return None
    code, field = TAKEN[claim[0]]
    return Rejected(
        code,
        f"A {holder.kind} with the {field} {claim[1]} already exists.",
        {"field": field, "value": claim[1], "existingId": holder.number, "existingExternalId": holder.external_id},
    )


def find_taken_id(state: State, identity: Identity) -> Rejected | None:
    """The refusal of an external id that another record of its kind has."""
    held = state.peek(identity)
    if held is None:
        return None
    return Rejected(
        "EXTERNAL_ID_EXISTS",
        f"The external id {held.external_id} belongs to another {held.kind}. Send the command with an id of its own.",
        {"field": "externalId", "value": held.external_id, "existingId": held.number},
    )


def find_mismatch(record: Record, if_version: int | None) -> Rejected | None:
    """The refusal of a write that wants the record at another version."""
    version = getattr(record, "version", None)
    if if_version is None or if_version == version:
        return None
    return Rejected(
        "VERSION_MISMATCH",
        f"The {record.kind} is at version {version}, not {if_version}. Read it again, then decide.",
        {"expected": if_version, "actual": version},
    )


def next_number(state: State, kind: str) -> int | None:
    return state.numbers[kind] if state.numbers is not None else None


def change_record(record: R, fields: Mapping[str, Any], at: datetime) -> tuple[R, Changes] | Rejected:
    """(the record with the fields, {field: (old, new)}); the record itself where nothing changes.

    ``properties`` merge by key, null removes; what changes of them is told by ``properties.<key>``.
    """
    fields = dict(fields)
    properties = fields.pop("properties", None)
    changes = {field: (old, new) for field, new in fields.items() if (old := getattr(record, field)) != new}
    if properties:
        held: Mapping[str, Any] = getattr(record, "properties")  # noqa: B009 - only some records have them
        merged = merge_properties(held, properties)
        if overflow := find_overflow(merged):
            return too_large(overflow)
        for key in properties:
            old, new = held.get(key), merged.get(key)
            if not same_json(old, new):
                changes[f"properties.{key}"] = (old, new)
        fields["properties"] = merged
    if not changes:
        return record, changes
    version = getattr(record, "version")  # noqa: B009
    return msgspec.structs.replace(record, **fields, updated_at=at, version=version + 1), changes


def merge_properties(held: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """By key; null removes."""
    return {key: value for key, value in {**held, **given}.items() if value is not None}


def get_live_contact(state: State, contact_id: str) -> Contact | Rejected:
    """The contact that a write on this id lands on, or its refusal."""
    contact = state.find_contact(contact_id)
    if contact is None:
        return not_found("contact", contact_id)
    return contact if contact.live else not_live(contact)


def delete_record(record: Contact | Company, if_version: int | None, at: datetime) -> Decision:
    """Softly: it becomes DELETED, and gives free what it claims."""
    if mismatch := find_mismatch(record, if_version):
        return mismatch
    if record.status == "DELETED":
        return Accepted(())
    after = msgspec.structs.replace(record, status="DELETED", updated_at=at, version=record.version + 1)
    changes = {"status": (record.status, "DELETED")}
    return Accepted((Event(type=_TYPES[record.kind, "deleted"], record=after, changes=changes),))


def restore_record(state: State, record: Contact | Company, if_version: int | None, at: datetime) -> Decision:
    """ACTIVE again, unless somebody has taken what it claims."""
    if mismatch := find_mismatch(record, if_version):
        return mismatch
    if record.status != "DELETED":
        return Rejected(
            "INVALID_REQUEST",
            f"{record.kind.capitalize()} {record.external_id} is {record.status}; only a DELETED one can be restored.",
            {"status": record.status},
        )
    for claim in record.values:
        if refusal := find_taken(state, claim, by=record.identity):
            return refusal
    after = msgspec.structs.replace(record, status="ACTIVE", updated_at=at, version=record.version + 1)
    changes = {"status": ("DELETED", "ACTIVE")}
    return Accepted((Event(type=_TYPES[record.kind, "restored"], record=after, changes=changes),))


_TYPES: Mapping[tuple[str, str], EventType] = {
    ("contact", "deleted"): "contact.deleted",
    ("contact", "restored"): "contact.restored",
    ("company", "deleted"): "company.deleted",
    ("company", "restored"): "company.restored",
}


def replace_link(links: tuple[V, ...], fits: Callable[[V], bool], link: V | None) -> tuple[V, ...]:
    """The links with the one that fits replaced, or left out."""
    return tuple(new for old in links if (new := link if fits(old) else old) is not None)
