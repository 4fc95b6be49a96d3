"""Map the fields of a record to a provider's fields, and hash the result."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from kith.clock import to_iso
from kith.model.companies import Company
from kith.model.contacts import Contact, LifecycleStage
from kith.model.properties import Property, PropertyType, Schema
from kith.model.values import has_extension

Fields = Mapping[str, str]  # our field -> theirs
Owner = Literal["OURS", "THEIRS", "LATEST"]
PROPERTY_PREFIX = "properties."
_CONTACT_FIELDS: Mapping[str, Callable[[Contact], Any]] = {
    "externalId": lambda contact: contact.external_id,
    "email": lambda contact: contact.email,
    "name": lambda contact: contact.name,
    "givenName": lambda contact: contact.given_name,
    "familyName": lambda contact: contact.family_name,
    "phone": lambda contact: get_phone(contact),  # noqa: PLW0108 - defined below
    "avatar": lambda contact: contact.avatar,
    "status": lambda contact: contact.status,
    "lifecycleStage": lambda contact: contact.lifecycle_stage,
    "activityCount": lambda contact: contact.activity_count,
    "lastActivityAt": lambda contact: contact.last_activity_at,
    "createdAt": lambda contact: contact.created_at,
    "company.name": lambda contact: _get_primary(contact, "name"),
    "company.domain": lambda contact: _get_primary(contact, "domain"),
}
_COMPANY_FIELDS: Mapping[str, Callable[[Company], Any]] = {
    "externalId": lambda company: company.external_id,
    "name": lambda company: company.name,
    "domain": lambda company: company.domain,
    "industry": lambda company: company.industry,
    "size": lambda company: company.size,
    "plan": lambda company: company.plan,
    "spend": lambda company: company.spend,
    "website": lambda company: company.website,
    "phone": lambda company: company.phone,
    "status": lambda company: company.status,
    "createdAt": lambda company: company.created_at,
}
# What of a contact may be taken from there, beside its properties.
WRITABLE = ("email", "name", "givenName", "familyName", "phone", "lifecycleStage")
# Records of each kind, by the names of what can be mapped beside their properties.
MAPPABLE: Mapping[str, Sequence[str]] = {"contact": tuple(_CONTACT_FIELDS), "company": tuple(_COMPANY_FIELDS)}


def get_phone(contact: Contact) -> str | None:
    """In E.164 where that says all of it; as given where it does not parse, or has an extension."""
    return contact.phone if contact.phone and has_extension(contact.phone) else contact.phone_e164 or contact.phone


class Kind(NamedTuple):
    """The type of a field, and the texts that it can have; none where it can have any."""

    type: PropertyType
    values: tuple[str, ...] = ()


# What a provider is told of our fields: entity -> our field -> kind; fields that are left out are text.
Kinds = Mapping[str, Mapping[str, Kind]]
BUILT_IN_KINDS: Mapping[str, Kind] = {
    "activityCount": Kind("NUMBER"),
    "lastActivityAt": Kind("DATETIME"),
    "createdAt": Kind("DATETIME"),
    "spend": Kind("NUMBER"),
    "lifecycleStage": Kind("SELECT", get_args(LifecycleStage)),
    "status": Kind("SELECT", ("ACTIVE", "ARCHIVED")),
}


def find_kind(kinds: Kinds, entity: str, ours: str) -> Kind:
    return BUILT_IN_KINDS.get(ours) or kinds.get(entity, {}).get(ours) or Kind("TEXT")


def to_kinds(schemas: Iterable[Schema]) -> Kinds:
    """The kinds of the properties that are defined, by the names under which they are mapped."""
    return {
        one.external_id.lower(): {
            PROPERTY_PREFIX + key: Kind(held.type, list_values(held))
            for key, held in one.properties.items()
            if held.active
        }
        for one in schemas
    }


def list_values(held: Property) -> tuple[str, ...]:
    """The texts in which values of the property are sent; none where there is no end to them."""
    if held.type == "BOOLEAN":
        return "true", "false"
    return tuple(option.value for option in held.options if not option.archived)


def merge_fields(defaults: Fields, chosen: Mapping[str, str | None]) -> dict[str, str]:
    """The defaults with what was chosen over them; null takes a default away."""
    merged = {**defaults, **chosen}
    return {ours: theirs for ours, theirs in merged.items() if theirs is not None}


def find_collisions(place: str, defaults: Fields, chosen: Mapping[str, str | None]) -> Iterator[tuple[str, str]]:
    """(path, message) of every chosen field that is sent to where another one is sent already."""
    senders: dict[str, str] = {}
    for ours, theirs in sorted(merge_fields(defaults, chosen).items(), key=lambda field: field[0] in chosen):
        if (other := senders.setdefault(theirs, ours)) != ours and theirs.strip():
            default = " by default" if other not in chosen else ""
            message = f"is sent to {theirs[:100]!r}, and so is {other}{default}. Map one of them elsewhere, or to null."
            yield f"{place}.{ours}", message


def map_record(record: Contact | Company, fields: Fields) -> dict[str, Any]:
    """Their field -> our value, None where there is none. Times are ISO 8601; what else it is, the provider says."""
    return dict(_map(record, fields))


def _map(record: Contact | Company, fields: Fields) -> Iterator[tuple[str, Any]]:
    for ours, theirs in fields.items():
        value = _read(record, ours)
        yield theirs, to_iso(value) if isinstance(value, datetime) else value


def _read(record: Contact | Company, name: str) -> Any:
    if name.startswith(PROPERTY_PREFIX):
        return record.properties.get(name.removeprefix(PROPERTY_PREFIX))
    if isinstance(record, Contact):
        return _CONTACT_FIELDS[name](record)
    return _COMPANY_FIELDS[name](record)


def _get_primary(contact: Contact, field: str) -> Any:
    """Of the contact's primary company; of its first, where none is."""
    links = sorted(
        (link for link in contact.companies if link.live), key=lambda link: (not link.is_primary, link.number)
    )
    return getattr(links[0], field) if links else None


def to_text(value: Any, between: str = ";") -> str:
    """The text of a value: "" for none, numbers without exponents, items of a list with ``between`` them."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f").removesuffix(".0")
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return to_iso(value.astimezone(UTC))
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return between.join(to_text(item, between) for item in value)
    return _encode(value).decode() if isinstance(value, Mapping) else str(value)


def read_text(kind: PropertyType, text: str, between: str) -> Any:
    """A provider's text as a value of a property of this type. Text that says nothing to the type is left as it is.

    Days and times also come as milliseconds since 1970; a day is that of UTC. Items of a set have ``between`` them.
    """
    if kind == "BOOLEAN":
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    if kind == "MULTI_SELECT":
        return [item for part in text.split(between.strip()) if (item := part.strip())]
    if kind in ("DATE", "DATETIME") and (at := _read_time(text.strip())) is not None:
        return to_iso(at)[:10] if kind == "DATE" else to_iso(at)
    return text


def _read_time(text: str) -> datetime | None:
    """None for what is no time; a day is its midnight in UTC."""
    try:
        if text.lstrip("-").isdecimal():
            return datetime.fromtimestamp(int(text) / 1000, UTC)
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def make_hash(payload: Mapping[str, Any]) -> str:
    """SHA-256 of the payload as canonical JSON: whatever the order of its keys, the same content gives the same."""
    return hashlib.sha256(_encode(payload)).hexdigest()


_encode = msgspec.json.Encoder(order="deterministic", decimal_format="number").encode
