"""The verbs on tags, and on the records that carry them."""

from typing import Literal

from kith.aside import compute
from kith.engine.accept.records import name_given, name_target, write
from kith.engine.accept.submit import Attempt, WriteRequest, Written
from kith.engine.context.engine import Engine
from kith.engine.read.records import parse_body_id, parse_ref
from kith.model.commands import AssignTag, Command, CreateTag, DeleteTag, RemoveTag, UpdateTag
from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.quotas import check_single
from kith.model.records import Record
from kith.model.state import Ref, State
from kith.model.tags import TagInput, TagPatch, make_tag_changes
from kith.model.workspaces import Workspace

Entity = Literal["contact", "company"]


async def create_tag(engine: Engine, request: WriteRequest, fields: TagInput) -> Written:
    sent = await compute(len(request.sent), make_tag_changes, fields)
    changes = {field: value for field, value in sent.items() if value is not None}

    def make_command(attempt: Attempt, _: State) -> Command:
        return CreateTag(tag_id=attempt.make_id("tag"), **changes)

    return await write(engine, request, [Ref("tag", "tag_key", changes["key"])], make_command)


async def update_tag(engine: Engine, request: WriteRequest, ref: str, fields: TagPatch) -> Written:
    parsed = parse_ref("tag", ref)
    changes = await compute(len(request.sent), make_tag_changes, fields)

    def make_command(_: Attempt, state: State) -> Command:
        tag_id = name_target(state, parsed)
        return UpdateTag(tag_id=tag_id, changes=changes, if_version=request.if_version)

    return await write(engine, request, [parsed], make_command)


async def delete_tag(engine: Engine, request: WriteRequest, ref: str) -> Written:
    parsed = parse_ref("tag", ref)

    def make_command(_: Attempt, state: State) -> Command:
        return DeleteTag(tag_id=name_target(state, parsed), if_version=request.if_version)

    return await write(engine, request, [parsed], make_command)


async def assign_tag(engine: Engine, request: WriteRequest, entity: Entity, ref: str, tag: int | str) -> Written:
    """One that is on already changes nothing."""
    record_ref, tag_ref = parse_ref(entity, ref), parse_body_id("tag", "tagId", tag)

    def make_command(_: Attempt, state: State) -> Command:
        record_id, tag_id = name_target(state, record_ref), name_given(state, tag_ref)
        check_room(request.workspace, state.peek((entity, record_id)), tag_id)
        return AssignTag(entity=entity, record_id=record_id, tag_id=tag_id)

    return await write(engine, request, [record_ref, tag_ref], make_command)


def check_room(workspace: Workspace, record: Record | None, tag_id: str) -> None:
    """Refuse another tag on a record that has as many as its quota allows. Raises QUOTA_EXCEEDED.

    A limit of the edge, not a rule: in the writer's state a deleted tag stays on records until they are loaded anew.
    """
    if isinstance(record, (Contact, Company)):
        tags = {tag.external_id for tag in record.tags}
        check_single(workspace, "tagsPerRecord", len(tags), len(tags | {tag_id}))


async def remove_tag(engine: Engine, request: WriteRequest, entity: Entity, ref: str, tag: str) -> Written:
    record_ref, tag_ref = parse_ref(entity, ref), parse_ref("tag", tag)

    def make_command(_: Attempt, state: State) -> Command:
        record_id = name_target(state, record_ref)
        return RemoveTag(entity=entity, record_id=record_id, tag_id=name_target(state, tag_ref))

    return await write(engine, request, [record_ref, tag_ref], make_command)
