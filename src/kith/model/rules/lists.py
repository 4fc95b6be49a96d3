"""Lists: create, update, delete; and who is on one that is kept by hand."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from kith.clock import to_iso
from kith.model.commands import AddMembers, CreateList, DeleteList, EvaluateList, RemoveMembers, UpdateList
from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.events import Event
from kith.model.lists import List
from kith.model.records import ListLink
from kith.model.rules.decisions import (
    Accepted,
    Decision,
    Rejected,
    change_record,
    find_mismatch,
    next_number,
    not_found,
)
from kith.model.state import State

NAMED_MAX = 20


def create_list(state: State, command: CreateList, at: datetime) -> Decision:
    made = List(
        external_id=command.list_id,
        number=next_number(state, "list"),
        name=command.name,
        description=command.description,
        entity_type=command.entity_type,
        is_dynamic=command.is_dynamic,
        filter_criteria=command.filter_criteria,
        member_count=0,
        evaluated_at=at if command.is_dynamic else None,
        created_at=at,
        updated_at=at,
        version=1,
        filter=command.filter,
        timezone=command.timezone,
        text_conditions=command.text_conditions,
    )
    return Accepted((Event(type="list.created", record=made),))


def update_list(state: State, command: UpdateList, at: datetime) -> Decision:
    held = state.find(List, command.list_id)
    if held is None:
        return not_found("list", command.list_id)
    if mismatch := find_mismatch(held, command.if_version):
        return mismatch
    if "filter_criteria" in command.changes and not held.is_dynamic:
        return Rejected("INVALID_REQUEST", f"The list {held.name!r} is static; it has members, not a filter.")
    fields = dict(command.changes)
    if "filter_criteria" in fields:
        fields |= {"status": "ACTIVE", "reason": None, "evaluated_at": at}
        fields["text_conditions"] = command.text_conditions
    changed = change_record(held, fields, at)
    if isinstance(changed, Rejected):
        return changed
    after, changes = changed
    return Accepted((Event(type="list.updated", record=after, changes=changes),) if changes else ())


def delete_list(state: State, command: DeleteList, at: datetime) -> Decision:
    held = state.find(List, command.list_id)
    if held is None:
        return not_found("list", command.list_id)
    if mismatch := find_mismatch(held, command.if_version):
        return mismatch
    return Accepted((Event(type="list.deleted", record=held, told={"name": held.name}, removed=True),))


def evaluate_list(state: State, command: EvaluateList, at: datetime) -> Decision:
    """Who enters and leaves is found when it is applied."""
    held = state.find(List, command.list_id)
    if held is None:
        return not_found("list", command.list_id)
    if not held.is_dynamic:
        return Rejected("INVALID_REQUEST", f"The list {held.name!r} is static; there is no filter to evaluate.")
    if held.status == "BROKEN":
        return Rejected("INVALID_REQUEST", f"The filter of {held.name!r} cannot be evaluated: {held.reason}")
    evaluated = msgspec.structs.replace(held, evaluated_at=at)
    return Accepted((Event(type="list.evaluated", record=evaluated, told={"evaluatedAt": to_iso(at)}),))


def add_members(state: State, command: AddMembers, at: datetime) -> Decision:
    """One who is on it already changes nothing. All or none are added."""
    found = find_members(state, command)
    if isinstance(found, Rejected):
        return found
    held, records = found
    joining = [record for record in records if not is_on(record, held)]
    link = ListLink(external_id=held.external_id, number=held.number)
    afters = [msgspec.structs.replace(record, lists=(*record.lists, link)) for record in joining]
    counted = msgspec.structs.replace(held, member_count=held.member_count + len(joining))
    return Accepted(tuple(tell("list.entered", after, counted) for after in afters))


def remove_members(state: State, command: RemoveMembers, at: datetime) -> Decision:
    """One who is not on it changes nothing."""
    found = find_members(state, command)
    if isinstance(found, Rejected):
        return found
    held, records = found
    leaving = [record for record in records if is_on(record, held)]
    afters = [
        msgspec.structs.replace(
            record, lists=tuple(link for link in record.lists if link.external_id != held.external_id)
        )
        for record in leaving
    ]
    counted = msgspec.structs.replace(held, member_count=held.member_count - len(leaving))
    return Accepted(tuple(tell("list.left", after, counted) for after in afters))


def find_members(
    state: State, command: AddMembers | RemoveMembers
) -> tuple[List, Sequence[Contact | Company]] | Rejected:
    """The list and the records that are named, each once; of merged contacts, those they went into."""
    held = state.find(List, command.list_id)
    if held is None:
        return not_found("list", command.list_id)
    if held.is_dynamic:
        return Rejected(
            "INVALID_REQUEST", f"The list {held.name!r} is dynamic: who is on it follows from its filter alone."
        )
    if command.entity != held.entity:
        return refuse_members(held.entity, command.record_ids)
    records: dict[str, Contact | Company] = {}
    wrong: list[str] = []
    for external_id in command.record_ids:
        record = state.find_contact(external_id) if held.entity == "contact" else state.find(Company, external_id)
        if record is None or not record.live:
            wrong.append(external_id)
        else:
            records[record.external_id] = record
    return (held, list(records.values())) if not wrong else refuse_members(held.entity, wrong)


def refuse_members(entity: str, wrong: Sequence[int | str]) -> Rejected:
    """These ids are no members that a list can have."""
    shown = ", ".join(str(one)[:40] for one in wrong[:NAMED_MAX]) + (", …" if len(wrong) > NAMED_MAX else "")
    return Rejected(
        "INVALID_REQUEST",
        f"entityIds: no {entity} that is not deleted has the id {shown}. Nothing was changed.",
        {"entityIds": list(wrong)},
    )


def is_on(record: Contact | Company, held: List) -> bool:
    return any(link.external_id == held.external_id for link in record.lists)


def tell(event_type: Literal["list.entered", "list.left"], record: Contact | Company, held: List) -> Event:
    told = {"lists": [{"id": held.number, "externalId": held.external_id, "name": held.name}]}
    return Event(type=event_type, record=record, also=(held,), told=told)
