"""Merge: the winner takes over what the loser has, and the loser answers as the winner from then on."""

from datetime import datetime
from typing import Any

import msgspec

from kith.model.commands import MergeContacts
from kith.model.contacts import Contact
from kith.model.events import Event
from kith.model.records import CompanyLink
from kith.model.rules.decisions import (
    Accepted,
    Decision,
    Rejected,
    find_mismatch,
    not_found,
    not_live,
    refuse_merged,
    too_large,
)
from kith.model.rules.tags import sort_tags
from kith.model.state import State
from kith.model.values import find_overflow

FILLED = ("email", "name", "given_name", "family_name", "phone", "phone_e164", "avatar")


def merge_contacts(state: State, command: MergeContacts, at: datetime) -> Decision:
    """The winner keeps its values; empty ones are filled from the loser. Links and activities move."""
    sides = []
    for contact_id in (command.contact_id, command.loser_id):
        contact = state.find(Contact, contact_id)
        if contact is None:
            return not_found("contact", contact_id)
        sides.append(contact)
    winner, loser = sides
    if winner.external_id == loser.external_id:
        return Rejected("INVALID_REQUEST", "A contact cannot be merged with itself.")
    for contact in sides:
        if refusal := refuse_merged(state, contact):
            return refusal
        if not contact.live:
            return not_live(contact)
    if mismatch := find_mismatch(winner, command.if_version):
        return mismatch
    fields = make_filled(winner, loser)
    if overflow := find_overflow(fields["properties"]):
        return too_large(overflow)
    after = msgspec.structs.replace(winner, **fields, updated_at=at, version=winner.version + 1)
    gone = msgspec.structs.replace(
        loser,
        status="MERGED",
        merged_into=winner.external_id,
        companies=(),
        tags=(),
        lists=(),
        activity_count=0,
        last_activity_at=None,
        updated_at=at,
        version=loser.version + 1,
    )
    changes = {
        field: (old, new)
        for field in (*FILLED, "modules", "activity_count", "last_activity_at")
        if (old := getattr(winner, field)) != (new := fields[field])
    }
    for key, value in fields["properties"].items():
        if key not in winner.properties:
            changes[f"properties.{key}"] = (None, value)
    # The loser first: it gives its email free before the winner takes it.
    return Accepted((Event(type="contact.merged", record=gone, also=(after,), told=tell(gone, after, changes)),))


def make_filled(winner: Contact, loser: Contact) -> dict[str, Any]:
    """The fields of the winner that a merge may change."""
    fields = {field: getattr(winner, field) for field in FILLED}
    for field in FILLED:
        if fields[field] is None and field != "phone_e164":
            fields[field] = getattr(loser, field)
    if winner.phone is None:
        fields["phone_e164"] = loser.phone_e164
    moments = [at for at in (winner.last_activity_at, loser.last_activity_at) if at is not None]
    return fields | {
        "modules": (*winner.modules, *(module for module in loser.modules if module not in winner.modules)),
        "properties": {**loser.properties, **winner.properties},
        "activity_count": winner.activity_count + loser.activity_count,
        "last_activity_at": max(moments, default=None),
        "companies": merge_companies(winner.companies, loser.companies),
        "tags": merge_tags(winner, loser),
        "lists": (*winner.lists, *(link for link in loser.lists if link not in winner.lists)),
    }


def merge_companies(winners: tuple[CompanyLink, ...], losers: tuple[CompanyLink, ...]) -> tuple[CompanyLink, ...]:
    """Of a company that both have the winner's role and properties stay, empty ones are filled; one primary stays."""
    theirs = {link.external_id: link for link in losers}
    has_primary = any(link.is_primary for link in winners)
    merged = []
    for link in winners:
        other = theirs.pop(link.external_id, None)
        if other is not None:
            link = msgspec.structs.replace(  # noqa: PLW2901
                link,
                role=link.role if link.role is not None else other.role,
                properties={**other.properties, **link.properties},
                is_primary=link.is_primary or (other.is_primary and not has_primary),
            )
        merged.append(link)
    moved = (msgspec.structs.replace(link, is_primary=link.is_primary and not has_primary) for link in theirs.values())
    return (*merged, *moved)


def merge_tags(winner: Contact, loser: Contact) -> Any:
    carried = {tag.external_id for tag in winner.tags}
    return sort_tags((*winner.tags, *(tag for tag in loser.tags if tag.external_id not in carried)))


def tell(loser: Contact, winner: Contact, changes: dict[str, tuple[Any, Any]]) -> dict[str, Any]:
    """Both sides, and the winner's changes by the record's names (which the feed makes public ones)."""
    return {
        "loser": {"id": loser.number, "externalId": loser.external_id, "version": loser.version},
        "winner": {"id": winner.number, "externalId": winner.external_id, "version": winner.version},
        "changes": changes,
    }
