"""Contacts: the record, what clients may send of it, and its public form."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from kith.clock import to_iso
from kith.model.companies import to_tag_view
from kith.model.forms import Email, Properties, Text
from kith.model.patches import list_uncleared, make_changes
from kith.model.records import Claim, CompanyLink, ListLink, Record, TagLink
from kith.model.values import TEXT_CHARACTERS_MAX, normalise_email, normalise_text

Status = Literal["ACTIVE", "ARCHIVED", "MERGED", "DELETED"]
LifecycleStage = Literal[
    "SUBSCRIBER", "LEAD", "MARKETING_QUALIFIED", "SALES_QUALIFIED", "OPPORTUNITY", "CUSTOMER", "EVANGELIST"
]
Module = Literal["AUTH", "SUPPORT", "EMAIL", "SMS", "FORMS", "CALENDAR", "CRM"]
IDENTIFYING = ("email", "phone", "name", "given_name", "family_name")


class Contact(Record, frozen=True, kw_only=True):
    """A contact as the engine holds it, with what it is linked to. ``merged_into`` is an external id."""

    kind = "contact"

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
    merged_into: str | None = None
    companies: tuple[CompanyLink, ...] = ()
    tags: tuple[TagLink, ...] = ()
    lists: tuple[ListLink, ...] = ()

    @property
    def live(self) -> bool:
        return self.status == "ACTIVE" or self.status == "ARCHIVED"

    @property
    def values(self) -> tuple[Claim, ...]:
        return (("email", self.email),) if self.email else ()

    @property
    def successor(self) -> str | None:
        return self.merged_into


class ContactInput(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of a create. A null is the same as leaving the field out."""

    email: Email | None | UnsetType = UNSET
    name: Text | None | UnsetType = UNSET
    given_name: Text | None | UnsetType = UNSET
    family_name: Text | None | UnsetType = UNSET
    phone: Text | None | UnsetType = UNSET
    avatar: Text | None | UnsetType = UNSET
    lifecycle_stage: LifecycleStage | None | UnsetType = UNSET
    properties: Properties | None | UnsetType = UNSET


class ContactPatch(ContactInput, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of an update: what is left out stays, null clears, properties merge by key."""

    status: Literal["ACTIVE", "ARCHIVED"] | UnsetType = UNSET


TEXTS: Mapping[str, Callable[[str], str | None]] = {
    "email": normalise_email,
    "name": normalise_text,
    "given_name": normalise_text,
    "family_name": normalise_text,
    "avatar": normalise_text,
}


def make_contact_changes(fields: ContactInput) -> dict[str, Any]:
    """The fields that were sent, normalised, by the record's names. Raises Validation with every wrong field."""
    faults = list_uncleared(fields, ("lifecycle_stage", "properties")) if isinstance(fields, ContactPatch) else []
    return make_changes(fields, TEXTS, plain=("lifecycle_stage", "status"), faults=faults)


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
    merged_into: str | None
    companies: tuple[dict[str, Any], ...]
    tags: tuple[dict[str, Any], ...]
    pending: bool = False


def to_view(contact: Contact, *, pending: bool) -> ContactView:
    """The public form of a single contact, as the database renders it too."""
    return ContactView(
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
        merged_into=contact.merged_into,
        companies=tuple(to_company_view(link) for link in sort_companies(contact)) if contact.companies else (),
        tags=tuple(to_tag_view(tag) for tag in contact.tags) if contact.tags else (),
        pending=pending,
    )


def sort_companies(contact: Contact) -> list[CompanyLink]:
    """The companies that the contact shows: the primary one first, then by number, those without one last."""
    shown = [link for link in contact.companies if link.live]
    return sorted(shown, key=lambda link: (not link.is_primary, link.number is None, link.number, link.external_id))


def to_company_view(link: CompanyLink) -> dict[str, Any]:
    """A company as its contact shows it."""
    return {
        "id": link.number,
        "externalId": link.external_id,
        "name": link.name,
        "domain": link.domain,
        "role": link.role,
        "isPrimary": link.is_primary,
        "properties": link.properties,
    }
