"""What an account at HubSpot holds: objects, properties and associations, and how they change."""

from collections.abc import Iterator, Mapping
from datetime import datetime

import msgspec

from kith.clock import Clock, to_iso
from tools.fake_vendors.hubspot_rules import (
    ENGAGEMENTS,
    KNOWN,
    Property,
    Wrong,
    check_values,
    refuse,
    refuse_missing,
    refuse_values,
)
from tools.fake_vendors.schemas import AssociationSpec

# From a type of objects to another, the id of the association that has no label.
_TO_CONTACT = {"notes": 202, "calls": 194, "meetings": 200, "emails": 198, "tasks": 204}
_TO_COMPANY = {"notes": 190, "calls": 182, "meetings": 188, "emails": 186, "tasks": 192}
DEFAULT_TYPES: Mapping[tuple[str, str], int] = {
    **{(kind, "contacts"): number for kind, number in _TO_CONTACT.items()},
    **{("contacts", kind): number - 1 for kind, number in _TO_CONTACT.items()},
    **{(kind, "companies"): number for kind, number in _TO_COMPANY.items()},
    **{("companies", kind): number - 1 for kind, number in _TO_COMPANY.items()},
    ("contacts", "companies"): 279,
    ("companies", "contacts"): 280,
}
PRIMARY_TYPES: Mapping[tuple[str, str], int] = {("contacts", "companies"): 1, ("companies", "contacts"): 2}
Key = tuple[str, str]  # type of objects, id


class Record(msgspec.Struct, kw_only=True):
    """An object. ``other_emails`` are those of contacts that were merged into it."""

    id: str
    properties: dict[str, str]
    created_at: datetime
    updated_at: datetime
    archived: bool = False
    archived_at: datetime | None = None
    other_emails: set[str] = msgspec.field(default_factory=set)


class Portal:
    """``associations`` go from a key to keys, each with the ids of its types; both directions are there."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_id = 100
        self.objects: dict[str, dict[str, Record]] = {kind: {} for kind in KNOWN}
        self.merged: dict[str, dict[str, str]] = {kind: {} for kind in KNOWN}
        self.properties: dict[str, dict[str, Property]] = {
            kind: {one.name: one for one in known} for kind, known in KNOWN.items()
        }
        self.associations: dict[Key, dict[Key, set[int]]] = {}
        self.blocked_emails: set[str] = set()
        # Values of unique properties, and whose they are.
        self._unique: dict[tuple[str, str, str], str] = {}

    def find(self, kind: str, identifier: str, id_property: str | None = None) -> Record | None:
        """The object that is not archived, by its id, that of one merged into it, or a unique property."""
        if id_property in (None, "hs_object_id"):
            found = self.objects[kind].get(self.resolve(kind, identifier))
            return found if found is not None and not found.archived else None
        assert id_property is not None
        self.check_id_property(kind, id_property)
        owner = self._unique.get(_to_unique(kind, id_property, identifier))
        return self.objects[kind][owner] if owner is not None else None

    def get(self, kind: str, identifier: str, id_property: str | None = None) -> Record:
        found = self.find(kind, identifier, id_property)
        if found is None:
            refuse_missing(kind, identifier)
        return found

    def find_archived(self, kind: str, identifier: str) -> Record | None:
        found = self.objects[kind].get(identifier)
        return found if found is not None and found.archived else None

    def resolve(self, kind: str, identifier: str) -> str:
        """The id of what it was merged into, if it was."""
        while identifier in self.merged[kind]:
            identifier = self.merged[kind][identifier]
        return identifier

    def check_id_property(self, kind: str, name: str | None) -> None:
        definition = self.properties[kind].get(name or "")
        if name == "hs_object_id" or (kind == "contacts" and name == "email"):
            return
        if definition is None or not definition.has_unique_value:
            refuse(400, "VALIDATION_ERROR", f"The property {name!r} of {kind} is not unique, so that it is no id.")

    def check(self, kind: str, values: Mapping[str, str], record: Record | None) -> dict[str, str]:
        """The values as they are kept. Refuses what cannot be written to the record, None for a new one."""
        check_values(self.properties[kind], values)
        kept = {name: value.lower() if name == "email" else value for name, value in values.items()}
        if kind in ENGAGEMENTS:
            _check_timestamp(kind, kept, record)
        if kept.get("email") in self.blocked_emails:
            refuse(400, "VALIDATION_ERROR", f"The address {kept['email']!r} was deleted for good.")
        for name, value in kept.items():
            owner = self._unique.get((kind, name, value)) if value else None
            if owner is not None and (record is None or owner != record.id):
                if name == "email":
                    refuse(409, "CONFLICT", f"Contact already exists. Existing ID: {owner}")
                refuse_values(
                    [Wrong(name=name, code="CONFLICTING_UNIQUE_VALUE", message=f"{value!r} is used by {owner}")]
                )
        return kept

    def create(self, kind: str, values: Mapping[str, str]) -> Record:
        """Of values that were checked."""
        now = self._clock.now()
        self._next_id += 1
        record = Record(id=str(self._next_id), properties={}, created_at=now, updated_at=now)
        self.objects[kind][record.id] = record
        self.write(kind, record, values)
        created = "createdate" if kind not in ENGAGEMENTS else "hs_createdate"
        record.properties |= {"hs_object_id": record.id, created: to_iso(now)}
        return record

    def write(self, kind: str, record: Record, values: Mapping[str, str]) -> None:
        """Values that were checked."""
        self._forget(kind, record)
        for name, value in values.items():
            if value:
                record.properties[name] = value
            else:
                record.properties.pop(name, None)
        start = record.properties.get("hs_meeting_start_time")
        if start and "hs_timestamp" not in record.properties:
            record.properties["hs_timestamp"] = start
        record.updated_at = self._clock.now()
        modified = "lastmodifieddate" if kind == "contacts" else "hs_lastmodifieddate"
        record.properties[modified] = to_iso(record.updated_at)
        self._remember(kind, record)

    def archive(self, kind: str, record: Record) -> None:
        self._forget(kind, record)
        record.archived, record.archived_at = True, self._clock.now()
        self.unlink_all((kind, record.id))

    def erase(self, kind: str, record: Record) -> None:
        self._forget(kind, record)
        self.unlink_all((kind, record.id))
        del self.objects[kind][record.id]

    def merge(self, kind: str, primary: Record, other: Record) -> Record:
        """A new object with the values of both, the primary's first; the ids of both lead to it from now on."""
        emails = {one.properties["email"] for one in (primary, other) if "email" in one.properties}
        read_only = {one.name for one in self.properties[kind].values() if one.read_only}
        values = {
            name: value for name, value in {**other.properties, **primary.properties}.items() if name not in read_only
        }
        for one in (primary, other):
            self._forget(kind, one)
            del self.objects[kind][one.id]
        record = self.create(kind, values)
        record.other_emails = (emails | primary.other_emails | other.other_emails) - {values.get("email", "")}
        self._remember(kind, record)
        for one in (primary, other):
            self.merged[kind][one.id] = record.id
            for target, types in list(self.associations.get((kind, one.id), {}).items()):
                for number in types:
                    self.link((kind, record.id), target, number)
            self.unlink_all((kind, one.id))
        return record

    def _list_unique(self, kind: str, record: Record) -> Iterator[tuple[str, str, str]]:
        for name, value in record.properties.items():
            definition = self.properties[kind].get(name)
            if definition is not None and (definition.has_unique_value or (kind, name) == ("contacts", "email")):
                yield _to_unique(kind, name, value)
        for email in record.other_emails:
            yield kind, "email", email

    def _remember(self, kind: str, record: Record) -> None:
        self._unique |= dict.fromkeys(self._list_unique(kind, record), record.id)

    def _forget(self, kind: str, record: Record) -> None:
        for key in self._list_unique(kind, record):
            if self._unique.get(key) == record.id:
                del self._unique[key]

    def is_association(self, kind: str, to: str, spec: AssociationSpec) -> bool:
        known = {DEFAULT_TYPES.get((kind, to)), PRIMARY_TYPES.get((kind, to))} - {None}
        return spec.association_category == "HUBSPOT_DEFINED" and spec.association_type_id in known

    def check_association(self, kind: str, to: str, spec: AssociationSpec) -> None:
        if not self.is_association(kind, to, spec):
            refuse(
                400,
                "VALIDATION_ERROR",
                f"The association {describe(spec)} does not lead from {kind} to {to}.",
                context={"type": [str(spec.association_type_id)]},
            )

    def link(self, source: Key, target: Key, number: int) -> None:
        """In both directions. The primary one takes the place of another, and stands beside the one without label."""
        pair, back = (source[0], target[0]), (target[0], source[0])
        if number == PRIMARY_TYPES.get(pair):
            contact = source if source[0] == "contacts" else target
            for other, types in self.associations.get(contact, {}).items():
                types.discard(1)
                self.associations[other].get(contact, set()).discard(2)
            self._link_one(source, target, PRIMARY_TYPES[pair])
            self._link_one(target, source, PRIMARY_TYPES[back])
        self._link_one(source, target, DEFAULT_TYPES[pair])
        self._link_one(target, source, DEFAULT_TYPES[back])

    def _link_one(self, source: Key, target: Key, number: int) -> None:
        self.associations.setdefault(source, {}).setdefault(target, set()).add(number)

    def unlink(self, source: Key, target: Key, numbers: set[int] | None = None) -> None:
        """All types, or only those with a label where only these are given."""
        pair = (source[0], target[0])
        if numbers is not None and DEFAULT_TYPES.get(pair) not in numbers:
            self.associations.get(source, {}).get(target, set()).difference_update(numbers)
            back = {PRIMARY_TYPES[target[0], source[0]]} if pair in PRIMARY_TYPES else set()
            self.associations.get(target, {}).get(source, set()).difference_update(back)
            return
        for one, other in ((source, target), (target, source)):
            links = self.associations.get(one, {})
            links.pop(other, None)
            if not links:
                self.associations.pop(one, None)

    def unlink_all(self, key: Key) -> None:
        for target in list(self.associations.get(key, {})):
            self.unlink(key, target)


def describe(spec: AssociationSpec) -> str:
    return f"{spec.association_category} {spec.association_type_id}"


def _to_unique(kind: str, name: str, value: str) -> tuple[str, str, str]:
    return kind, name, value.lower() if name == "email" else value


def _check_timestamp(kind: str, values: Mapping[str, str], record: Record | None) -> None:
    merged = {**(record.properties if record else {}), **values}
    if not merged.get("hs_timestamp") and not (kind == "meetings" and merged.get("hs_meeting_start_time")):
        refuse_values([Wrong(name="hs_timestamp", code="REQUIRED_PROPERTY", message="is needed")])
