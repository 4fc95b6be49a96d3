"""Companies: the record, what clients may send of it, and its public form."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, UnsetType

from kith.clock import to_iso
from kith.model.forms import Domain, Properties, Text
from kith.model.patches import list_uncleared, make_changes
from kith.model.records import Claim, ListLink, Record, TagLink
from kith.model.values import check_number, normalise_text

CompanyStatus = Literal["ACTIVE", "ARCHIVED", "DELETED"]
DOMAIN_CHARACTERS_MAX = 253
# Of a URL that a domain is cut out of.
ADDRESS_CHARACTERS_MAX = 2048
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")


class Company(Record, frozen=True, kw_only=True):
    """A company as the engine holds it. ``contact_count`` counts the live contacts that belong to it."""

    kind = "company"

    name: str | None
    domain: str | None
    industry: str | None
    size: str | None
    plan: str | None
    spend: Decimal | int | None
    website: str | None
    phone: str | None
    phone_e164: str | None
    status: CompanyStatus
    properties: dict[str, Any]
    contact_count: int
    created_at: datetime
    updated_at: datetime
    version: int
    tags: tuple[TagLink, ...] = ()
    lists: tuple[ListLink, ...] = ()

    @property
    def live(self) -> bool:
        return self.status != "DELETED"

    @property
    def values(self) -> tuple[Claim, ...]:
        return (("domain", self.domain),) if self.domain else ()


class CompanyInput(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of a create. A null is the same as leaving the field out."""

    name: Text | None | UnsetType = UNSET
    domain: Domain | None | UnsetType = UNSET
    industry: Text | None | UnsetType = UNSET
    size: Text | None | UnsetType = UNSET
    plan: Text | None | UnsetType = UNSET
    spend: Decimal | None | UnsetType = UNSET
    website: Text | None | UnsetType = UNSET
    phone: Text | None | UnsetType = UNSET
    properties: Properties | None | UnsetType = UNSET


class CompanyPatch(CompanyInput, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of an update: what is left out stays, null clears, properties merge by key."""

    status: Literal["ACTIVE", "ARCHIVED"] | UnsetType = UNSET


def normalise_domain(text: str) -> str | None:
    """The lower-case host name: a URL is cut down to it, ``www.`` goes, letters of other scripts become IDNA."""
    trimmed = text.strip()
    if not trimmed:
        return None
    if len(trimmed) > ADDRESS_CHARACTERS_MAX:
        raise ValueError(f"holds {len(trimmed)} characters; at most {ADDRESS_CHARACTERS_MAX} are allowed.")
    try:
        host = urlsplit(trimmed if "//" in trimmed else f"//{trimmed}").hostname or ""
        host = host.rstrip(".") if len(host) <= DOMAIN_CHARACTERS_MAX else ""
        ascii_host = host.encode("idna").decode() if host else ""
    except (UnicodeError, ValueError):
        ascii_host = ""
    domain = ascii_host.lower()
    while domain.startswith("www.") and domain.count(".") > 1:
        domain = domain.removeprefix("www.")
    labels = domain.split(".")
    if len(domain) > DOMAIN_CHARACTERS_MAX or len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"{trimmed[:80]!r} is not a domain such as acme.com.")
    return domain


TEXTS: Mapping[str, Callable[[str], str | None]] = {
    "name": normalise_text,
    "domain": normalise_domain,
    "industry": normalise_text,
    "size": normalise_text,
    "plan": normalise_text,
    "website": normalise_text,
}


def make_company_changes(fields: CompanyInput) -> dict[str, Any]:
    """The fields that were sent, normalised, by the record's names. Raises Validation with every wrong field."""
    faults = list_uncleared(fields, ("properties",)) if isinstance(fields, CompanyPatch) else []
    if isinstance(fields.spend, Decimal):
        try:
            check_number(fields.spend)
        except ValueError as error:
            faults.append(("spend", str(error)))
    return make_changes(fields, TEXTS, plain=("spend", "status"), faults=faults)


class CompanyView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A company as clients see it."""

    id: int | None
    external_id: str
    name: str | None
    domain: str | None
    industry: str | None
    size: str | None
    plan: str | None
    spend: Decimal | int | None
    website: str | None
    phone: str | None
    status: CompanyStatus
    contact_count: int
    properties: dict[str, Any]
    created_at: str
    updated_at: str
    version: int
    tags: tuple[dict[str, Any], ...]
    pending: bool = False


def to_view(company: Company, *, pending: bool) -> CompanyView:
    return CompanyView(
        id=company.number,
        external_id=company.external_id,
        name=company.name,
        domain=company.domain,
        industry=company.industry,
        size=company.size,
        plan=company.plan,
        spend=company.spend,
        website=company.website,
        phone=company.phone,
        status=company.status,
        contact_count=company.contact_count,
        properties=company.properties,
        created_at=to_iso(company.created_at),
        updated_at=to_iso(company.updated_at),
        version=company.version,
        tags=tuple(to_tag_view(tag) for tag in company.tags),
        pending=pending,
    )


def to_tag_view(tag: TagLink) -> dict[str, Any]:
    """A tag as its record shows it."""
    return {"id": tag.number, "externalId": tag.external_id, "key": tag.key, "name": tag.name, "color": tag.color}
