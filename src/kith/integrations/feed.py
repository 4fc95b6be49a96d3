"""Find the records that have to be sent again because of an event of the feed."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from kith.integrations.port import Entity

_CONTACTS = "/crm/contacts/"
# What the records must be that hang on one that changed.
_NEEDS: Mapping[str, Entity] = {
    "company's associations": "association",
    "contact's companies": "company",
    "contact's activities": "activity",
}


class Change(NamedTuple):
    """A record that is to be looked at again, by the sequence number of the event that says so."""

    entity: Entity
    number: int
    sequence: int


class Wider(NamedTuple):
    """Records that hang on one that changed: ``of`` says which, and ``number`` of whom."""

    # "company's contacts", "company's associations", "contact's companies", "contact's activities", "tag's contacts",
    # "tagged contacts"
    of: str
    number: int
    sequence: int


class Changes(NamedTuple):
    """What a stretch of the feed asks for, each record once, at its first event."""

    records: list[Change]
    wider: list[Wider]
    last: int


class FeedEvent(msgspec.Struct, frozen=True):
    sequence: int
    type: str
    resource: str
    data: Mapping[str, Any]


def list_changes(
    events: Iterable[FeedEvent],
    last: int,
    entities: Iterable[Entity],
    *,
    maps_company: bool,
    segment: str | None = None,
) -> Changes:
    """``last`` is where the feed was read before; ``maps_company``: contacts carry fields of their company.

    ``segment``: the list whose members are sent, None for everybody.
    """
    taken = set(entities)
    records: dict[tuple[Entity, int], Change] = {}
    wider: dict[tuple[str, int], Wider] = {}
    for event in events:
        last = event.sequence
        for entity, number in [*_list_records(event), *_list_of_segment(event, segment)]:
            if entity in taken:
                records.setdefault((entity, number), Change(entity, number, event.sequence))
        for of, number in _list_wider(event, maps_company=maps_company, by_segment=segment is not None):
            if of in _NEEDS and _NEEDS[of] not in taken:
                continue
            wider.setdefault((of, number), Wider(of, number, event.sequence))
    return Changes(list(records.values()), list(wider.values()), last)


def _list_records(event: FeedEvent) -> list[tuple[Entity, int]]:
    noun, _, verb = event.type.partition(".")
    data = event.data
    if event.type == "contact.merged":
        winner = data["winner"]["id"]
        return [("contact", winner), ("association", winner), ("contact", data["loser"]["id"])]
    if noun == "contact":
        return [("contact", _get_number(data, noun))]
    if noun == "company":
        return [("company", _get_number(data, noun))]
    if noun == "activity" and verb == "created":
        return [("activity", _get_number(data, noun))]
    if noun == "association":
        return [("association", data["id"]), ("contact", data["id"])]
    if noun == "tag" and verb in ("assigned", "removed") and event.resource.startswith(_CONTACTS):
        return [("contact", data["id"])]
    return []


def _list_of_segment(event: FeedEvent, segment: str | None) -> list[tuple[Entity, int]]:
    """The contact that enters or leaves the segment, with what is sent of it beside its companies."""
    if event.type not in ("list.entered", "list.left") or segment is None:
        return []
    if all(one["externalId"] != segment for one in event.data["lists"]):
        return []
    number = event.data["id"]
    return [("contact", number), ("association", number)]


def _list_wider(event: FeedEvent, *, maps_company: bool, by_segment: bool) -> list[tuple[str, int]]:
    if by_segment and event.type in ("list.entered", "association.created", "contact.restored"):
        number = _get_number(event.data, "contact")
        activities = [("contact's activities", number)] if event.type == "list.entered" else []
        return [("contact's companies", number), *activities]
    if event.type in ("company.deleted", "company.restored"):
        found = [("company's associations", event.data["id"])]
        return [*found, ("company's contacts", event.data["id"])] if maps_company else found
    if event.type == "company.updated" and maps_company:
        return [("company's contacts", event.data["id"])]
    if event.type == "tag.updated":
        return [("tag's contacts", event.data["id"])]
    if event.type == "tag.deleted":
        return [("tagged contacts", event.data["id"])]
    return []


def _get_number(data: Mapping[str, Any], noun: str) -> int:
    """Of the record: a create tells of the whole of it, a change of its id."""
    number: int = data[noun]["id"] if noun in data else data["id"]
    return number
