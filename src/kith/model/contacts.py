"""Contacts: the record, what clients may send of it, and its public form."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from kith.clock import to_iso
from kith.errors import Validation
from kith.model.values import TEXT_CHARACTERS_MAX, check_properties, normalise_email, normalise_phone, normalise_text

Status = Literal["ACTIVE", "ARCHIVED", "MERGED", "DELETED"]
LifecycleStage = Literal[
    "SUBSCRIBER", "LEAD", "MARKETING_QUALIFIED", "SALES_QUALIFIED", "OPPORTUNITY", "CUSTOMER", "EVANGELIST"
]
Module = Literal["AUTH", "SUPPORT", "EMAIL", "SMS", "FORMS", "CALENDAR", "CRM"]
LIVE = ("ACTIVE", "ARCHIVED")
IDENTIFYING = ("email", "phone", "name", "given_name", "family_name")


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """A contact as the engine holds it. ``number`` is the id, given when its create is applied."""

    external_id: str
    number: int | None
    email: str | None
    name: str | None
    given_name: str | None
    family_name: str | None
    phone: str | None
    phone_e164: str | None
    avatar: str | None
    status: Status
    lifecycle_stage: LifecycleStage
    modules: tuple[str, ...]
    properties: dict[str, Any]
    activity_count: int
    last_activity_at: datetime | None
    created_at: datetime
    updated_at: datetime
    version: int

    @property
    def live(self) -> bool:
        return self.status == "ACTIVE" or self.status == "ARCHIVED"

    @property
    def claimed_email(self) -> str | None:
        """The email that no other contact may have while this one is live."""
        return self.email if self.live else None


class ContactInput(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of a create. A null is the same as leaving the field out."""

    email: str | None | UnsetType = UNSET
    name: str | None | UnsetType = UNSET
    given_name: str | None | UnsetType = UNSET
    family_name: str | None | UnsetType = UNSET
    phone: str | None | UnsetType = UNSET
    avatar: str | None | UnsetType = UNSET
    lifecycle_stage: LifecycleStage | None | UnsetType = UNSET
    properties: dict[str, Any] | None | UnsetType = UNSET


class ContactPatch(ContactInput, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of an update: what is left out stays, null clears, properties merge by key."""

    status: Literal["ACTIVE", "ARCHIVED"] | UnsetType = UNSET


TEXTS: Mapping[str, tuple[str, Callable[[str], str | None]]] = {
    "email": ("email", normalise_email),
    "name": ("name", normalise_text),
    "given_name": ("givenName", normalise_text),
    "family_name": ("familyName", normalise_text),
    "avatar": ("avatar", normalise_text),
}


def make_changes(fields: ContactInput) -> dict[str, Any]:
    """The fields that were sent, normalised, by the record's names. Raises Validation with every wrong field."""
    changes: dict[str, Any] = {}
    faults: list[tuple[str, str]] = []
    for field, (public, normalise) in TEXTS.items():
        value = getattr(fields, field)
        if value is not UNSET:
            try:
                changes[field] = normalise(value) if value is not None else None
            except ValueError as error:
                faults.append((public, str(error)))
    if fields.phone is not UNSET:
        try:
            changes["phone"], changes["phone_e164"] = normalise_phone(fields.phone or "")
        except ValueError as error:
            faults.append(("phone", str(error)))
    if fields.lifecycle_stage is not UNSET:
        changes["lifecycle_stage"] = fields.lifecycle_stage
    if fields.properties:
        faults += check_properties(fields.properties)
        changes["properties"] = fields.properties
    if isinstance(fields, ContactPatch):
        if fields.status is not UNSET:
            changes["status"] = fields.status
        faults += _list_uncleared(fields)
    if faults:
        raise Validation(faults)
    return changes


def _list_uncleared(patch: ContactPatch) -> list[tuple[str, str]]:
    """The fields that a null cannot clear."""
    faults = []
    if patch.lifecycle_stage is None:
        faults.append(("lifecycleStage", "cannot be cleared; leave it out or send a stage."))
    if patch.properties is None:
        faults.append(("properties", "cannot be cleared as a whole; send null for each key that shall go."))
    return faults


def make_name(given_name: str | None, family_name: str | None) -> str | None:
    return " ".join(part for part in (given_name, family_name) if part)[:TEXT_CHARACTERS_MAX].rstrip() or None


class ContactView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A contact as clients see it. ``companies`` and ``tags`` are part of single answers."""

    id: int | None
    external_id: str
    email: str | None
    name: str | None
    given_name: str | None
    family_name: str | None
    phone: str | None
    avatar: str | None
    status: Status
    lifecycle_stage: LifecycleStage
    is_identified: bool
    modules: tuple[str, ...]
    properties: dict[str, Any]
    activity_count: int
    last_activity_at: str | None
    created_at: str
    updated_at: str
    version: int
    companies: tuple[dict[str, Any], ...]
    tags: tuple[dict[str, Any], ...]
    pending: bool = False


_encode = msgspec.json.Encoder(decimal_format="number").encode


# The fields of a record that events tell of, by their public names.
_TOLD = {
    name: field
    for field, name in zip(ContactView.__struct_fields__, ContactView.__struct_encode_fields__, strict=True)
    if field in Contact.__struct_fields__
}
_PUBLIC = {field: name for name, field in _TOLD.items()}


def to_told(contact: Contact) -> dict[str, Any]:
    """The record as an event tells of it: its fields that have a value, by their public names."""
    told = {name: value for name, field in _TOLD.items() if (value := getattr(contact, field)) is not None}
    return {"id": contact.number, **told}


def to_told_changes(changes: Mapping[str, tuple[Any, Any]]) -> dict[str, dict[str, Any]]:
    """The old and the new value of each public field."""
    return {
        _PUBLIC.get(field, field): {"old": old, "new": new}
        for field, (old, new) in changes.items()
        if field in _PUBLIC or field.startswith("properties.")
    }


def to_json(contact: Contact, *, pending: bool) -> bytes:
    """The public form of a single contact, as the database renders it too."""
    return _encode(
        ContactView(
            id=contact.number,
            external_id=contact.external_id,
            email=contact.email,
            name=contact.name,
            given_name=contact.given_name,
            family_name=contact.family_name,
            phone=contact.phone,
            avatar=contact.avatar,
            status=contact.status,
            lifecycle_stage=contact.lifecycle_stage,
            is_identified=contact.email is not None or contact.phone is not None,
            modules=contact.modules,
            properties=contact.properties,
            activity_count=contact.activity_count,
            last_activity_at=to_iso(contact.last_activity_at) if contact.last_activity_at else None,
            created_at=to_iso(contact.created_at),
            updated_at=to_iso(contact.updated_at),
            version=contact.version,
            companies=(),
            tags=(),
            pending=pending,
        )
    )


_decoder = msgspec.json.Decoder(Contact, float_hook=Decimal)


def from_document(document: str | bytes) -> Contact:
    """A contact from the document that the database makes of its row."""
    return _decoder.decode(document)
