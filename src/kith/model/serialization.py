"""Records as others see them: as JSON in answers, and as the feed tells of them; and back from documents."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from kith.model import activities, companies, contacts, lists, properties, tags
from kith.model.events import Event
from kith.model.records import Record

_encode = msgspec.json.Encoder(decimal_format="number").encode
_SHOWN: Mapping[str, tuple[type[Record], type[msgspec.Struct], Callable[..., msgspec.Struct]]] = {
    "contact": (contacts.Contact, contacts.ContactView, contacts.to_view),
    "company": (companies.Company, companies.CompanyView, companies.to_view),
    "tag": (tags.Tag, tags.TagView, tags.to_view),
    "list": (lists.List, lists.ListView, lists.to_view),
    "property": (properties.Property, properties.PropertyView, properties.to_view),
    "activity": (activities.Activity, activities.ActivityView, activities.to_view),
}
# What is counted or linked elsewhere is no part of what a record's own events tell.
_UNTOLD = {"companies", "tags", "contact_count", "member_count"}
_TOLD = {
    kind: {
        name: field
        for field, name in zip(view.__struct_fields__, view.__struct_encode_fields__, strict=True)
        if field in record.__struct_fields__ and field not in _UNTOLD
    }
    for kind, (record, view, _) in _SHOWN.items()
}
_TOLD["activity"]["contactId"] = "contact_number"
_PUBLIC = {kind: {field: name for name, field in told.items()} for kind, told in _TOLD.items()}
_DECODERS = {kind: msgspec.json.Decoder(shown[0], float_hook=Decimal) for kind, shown in _SHOWN.items()}


def to_json(record: Record, *, pending: bool) -> bytes:
    """The public form of a single record, as the database renders it too."""
    return _encode(_SHOWN[record.kind][2](record, pending=pending))


def from_document(kind: str, document: str | bytes) -> Record:
    """A record from the document that the database makes of its row."""
    return _DECODERS[kind].decode(document)


def make_event_data(event: Event) -> dict[str, Any]:
    """What the feed tells: the whole record of a create, the old and new values of a change."""
    record = event.record
    if event.makes_record:
        return {record.kind: to_told(record)}
    told: dict[str, Any] = {"id": record.number, "externalId": record.external_id}
    if event.told is not None:
        told.update(event.told)
        if "changes" in told:
            told["changes"] = to_told_changes(record.kind, told["changes"])
        return told
    return told | {"version": getattr(record, "version", None), "changes": to_told_changes(record.kind, event.changes)}


def to_told(record: Record) -> dict[str, Any]:
    """The record as an event tells of it: its fields that have a value, by their public names."""
    fields = _TOLD[record.kind].items()
    told = {name: value for name, field in fields if (value := getattr(record, field)) is not None}
    return {"id": record.number, **told}


def to_told_changes(kind: str, changes: Mapping[str, tuple[Any, Any]]) -> dict[str, dict[str, Any]]:
    """The old and the new value of each public field."""
    public = _PUBLIC[kind]
    return {
        public.get(field, field): {"old": old, "new": new}
        for field, (old, new) in changes.items()
        if field in public or field.startswith("properties.")
    }
