"""Tags: create, update, delete; and what it is to carry one."""

from datetime import datetime

import msgspec

from kith.model.commands import AssignTag, CreateTag, DeleteTag, RemoveTag, UpdateTag
from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.events import Event
from kith.model.records import TagLink
from kith.model.rules.decisions import (
    Accepted,
    Decision,
    Rejected,
    change_record,
    find_mismatch,
    find_taken,
    get_live_contact,
    next_number,
    not_found,
    not_live,
)
from kith.model.state import State
from kith.model.tags import Tag, to_link


def create_tag(state: State, command: CreateTag, at: datetime) -> Decision:
    if refusal := find_taken(state, ("tag_key", command.key)):
        return refusal
    tag = Tag(
        external_id=command.tag_id,
        number=next_number(state, "tag"),
        key=command.key,
        name=command.name or command.key,
        description=command.description,
        color=command.color,
        contact_count=0,
        created_at=at,
        updated_at=at,
        version=1,
    )
    return Accepted((Event(type="tag.created", record=tag),))


def update_tag(state: State, command: UpdateTag, at: datetime) -> Decision:
    tag = state.find(Tag, command.tag_id)
    if tag is None:
        return not_found("tag", command.tag_id)
    if mismatch := find_mismatch(tag, command.if_version):
        return mismatch
    changed = change_record(tag, command.changes, at)
    if isinstance(changed, Rejected):
        return changed
    after, changes = changed
    return Accepted((Event(type="tag.updated", record=after, changes=changes),) if changes else ())


def delete_tag(state: State, command: DeleteTag, at: datetime) -> Decision:
    """It goes, from wherever it was assigned too."""
    tag = state.find(Tag, command.tag_id)
    if tag is None:
        return not_found("tag", command.tag_id)
    if mismatch := find_mismatch(tag, command.if_version):
        return mismatch
    return Accepted((Event(type="tag.deleted", record=tag, told={"key": tag.key}, removed=True),))


def assign_tag(state: State, command: AssignTag, at: datetime) -> Decision:
    record = find_tagged(state, command)
    if isinstance(record, Rejected):
        return record
    tag = state.find(Tag, command.tag_id)
    if tag is None:
        return not_found("tag", command.tag_id)
    if any(link.external_id == tag.external_id for link in record.tags):
        return Accepted(())
    after = msgspec.structs.replace(record, tags=sort_tags((*record.tags, to_link(tag))))
    return Accepted((Event(type="tag.assigned", record=after, told=tell(tag)),))


def remove_tag(state: State, command: RemoveTag, at: datetime) -> Decision:
    record = find_tagged(state, command)
    if isinstance(record, Rejected):
        return record
    tag = state.find(Tag, command.tag_id)
    if tag is None:
        return not_found("tag", command.tag_id)
    kept = tuple(link for link in record.tags if link.external_id != tag.external_id)
    if len(kept) == len(record.tags):
        message = f"{record.kind.capitalize()} {record.external_id} does not have the tag {tag.key}."
        return Rejected("NOT_FOUND", message)
    after = msgspec.structs.replace(record, tags=kept)
    return Accepted((Event(type="tag.removed", record=after, told=tell(tag)),))


def find_tagged(state: State, command: AssignTag | RemoveTag) -> Contact | Company | Rejected:
    """The record that carries the tag, or shall."""
    if command.entity == "contact":
        return get_live_contact(state, command.record_id)
    company = state.find(Company, command.record_id)
    if company is None:
        return not_found("company", command.record_id)
    return company if company.live else not_live(company)


def tell(tag: Tag) -> dict[str, object]:
    return {"tag": {"id": tag.number, "externalId": tag.external_id, "key": tag.key}}


def sort_tags(tags: tuple[TagLink, ...]) -> tuple[TagLink, ...]:
    """By number; those that have none yet last."""
    return tuple(sorted(tags, key=lambda tag: (tag.number is None, tag.number, tag.external_id)))
