"""The verbs on properties, and what a workspace that is strict about them asks of every write."""

from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from kith.aside import compute
from kith.engine.accept.records import write
from kith.engine.accept.submit import Attempt, WriteRequest, Written, foresee
from kith.engine.apply.value_conversion import survey_values
from kith.engine.context.engine import Engine
from kith.engine.read.records import get_record, parse_ref
from kith.errors import InvalidRequest, Unavailable, Validation
from kith.model.commands import ArchiveProperty, Command, CreateProperty, UpdateProperty
from kith.model.properties import (
    Property,
    PropertyEntity,
    PropertyInput,
    PropertyPatch,
    Schema,
    make_property_changes,
)
from kith.model.quotas import PROPERTY_QUOTAS, check_single
from kith.model.rules.properties import find_surveyed
from kith.model.state import Ref, State, Survey
from kith.model.times import is_local
from kith.model.typed_values import settle_time
from kith.model.workspaces import Workspace

APPLIED_WAIT_S = 5.0


class _Head(msgspec.Struct, rename="camel"):
    """What has to be known of a property before a command on it can be decided."""

    external_id: str
    key: str
    entity: PropertyEntity
    is_system: bool


def to_schema_ref(entity: PropertyEntity) -> Ref:
    """All that is defined for an entity."""
    return Ref("schema", "external_id", entity)


def settle_properties(
    workspace: Workspace, state: State, entity: PropertyEntity, changes: dict[str, Any]
) -> tuple[dict[str, Any], str | None]:
    """(the changes, with times that have no offset as times of the workspace's zone, which the log does not know; that
    zone where a text may be such a time once the command is applied).

    Raises what ``check_defined`` raises.
    """
    properties = changes.get("properties")
    if not properties:
        return changes, None
    check_defined(workspace, state, entity, properties)
    local = [key for key, value in properties.items() if isinstance(value, str) and is_local(value)]
    if not local:
        return changes, None
    schema = state.find(Schema, entity) if state.knows(("schema", entity)) else None
    zone = ZoneInfo(workspace.timezone)
    settled = dict(properties)
    for key in local:
        definition = schema.properties.get(key) if schema is not None else None
        if definition is not None and definition.active:
            settled[key] = settle_time(definition, properties[key], zone)
    is_settled = all(settled[key] != properties[key] for key in local)
    return changes | {"properties": settled}, None if is_settled else workspace.timezone


def check_defined(workspace: Workspace, state: State, entity: PropertyEntity, properties: Mapping[str, Any]) -> None:
    """In a workspace that is strict about them, no properties that are not defined.

    Raises Validation, and Unavailable where what is defined cannot be read.
    """
    if not workspace.strict_properties:
        return
    if not state.knows(("schema", entity)):
        raise Unavailable(
            "The database is not reachable right now, and this workspace takes only properties that are defined. Leave"
            " out the properties, or try again later.",
            2,
        )
    schema = state.find(Schema, entity)
    defined = schema.properties if schema is not None else {}
    undefined = [key for key, value in properties.items() if value is not None and key not in defined]
    if undefined:
        message = "is not defined, and this workspace takes only properties that are: POST /crm/properties defines it."
        raise Validation([(f"properties.{key}", message) for key in undefined])


def check_room(workspace: Workspace, state: State, entity: PropertyEntity) -> None:
    """Raises QUOTA_EXCEEDED where the entity has as many active properties as the workspace allows.

    Where what is defined cannot be read, it has room: a limit of the edge, not a rule.
    """
    schema = state.peek(("schema", entity))
    used = schema.count_active() if isinstance(schema, Schema) else 0
    check_single(workspace, PROPERTY_QUOTAS[entity], used, used + 1)


async def create_property(engine: Engine, request: WriteRequest, fields: PropertyInput) -> Written:
    sent = await compute(len(request.sent), make_property_changes, fields)
    changes = {field: value for field, value in sent.items() if value is not None}
    changes["property_type"] = changes.pop("type")

    def make_command(attempt: Attempt, state: State) -> Command:
        check_room(request.workspace, state, fields.entity)
        return CreateProperty(property_id=attempt.make_id("prp"), **changes)

    return await write(engine, request, [to_schema_ref(fields.entity)], make_command)


async def update_property(engine: Engine, request: WriteRequest, ref: str, fields: PropertyPatch) -> Written:
    """Another type, and options that go, are foreseen to be refused where values do not fit."""
    changes = await compute(len(request.sent), make_property_changes, fields)

    def make_command(head: _Head) -> Command:
        return UpdateProperty(
            property_id=head.external_id, entity=head.entity, changes=changes, if_version=request.if_version
        )

    return await _change(engine, request, ref, make_command)


async def archive_property(engine: Engine, request: WriteRequest, ref: str) -> Written:
    """Its values stay where they are; its key stays taken."""

    def make_command(head: _Head) -> Command:
        return ArchiveProperty(property_id=head.external_id, entity=head.entity, if_version=request.if_version)

    return await _change(engine, request, ref, make_command)


async def survey_for(engine: Engine, workspace: Workspace, state: State, command: Command) -> Survey | None:
    """What the values that records hold say of the command, where deciding on it needs to know."""
    surveyed = find_surveyed(state, command)
    if surveyed is None:
        return None
    async with engine.queries.acquire(workspace.id) as connection:
        return await survey_values(connection, workspace.shard, workspace.id, surveyed)


async def _change(engine: Engine, request: WriteRequest, ref: str, make_command: Callable[[_Head], Command]) -> Written:
    workspace = request.workspace
    found = await get_record(engine, workspace, "property", ref)
    head = msgspec.json.decode(found.data, type=_Head)
    if head.is_system:
        raise InvalidRequest(f"{head.key} is a system property of {head.entity}; it cannot be changed or archived.")
    command = make_command(head)
    refs = [parse_ref("property", head.external_id), to_schema_ref(head.entity)]
    with engine.pending.reading() as seen:
        records = await engine.loader.load(workspace.shard, workspace.id, refs)
        state = foresee(seen, workspace.id, records, refs)
        while await seen.refresh(workspace.shard):
            state = foresee(seen, workspace.id, records, refs)
    # Outside of the reading: it may take long, and what is applied meanwhile has to be dropped.
    survey = None
    if find_surveyed(state, command) is not None:
        # What was accepted before counts, and a survey sees what is committed.
        heads = await engine.log.load_heads()
        await engine.progress.wait(workspace.shard, heads[workspace.shard], APPLIED_WAIT_S)
        survey = await survey_for(engine, workspace, state, command)

    def make_surveyed(_: Attempt, state: State) -> Command:
        held = state.peek(("property", head.external_id))
        revives = isinstance(command, UpdateProperty) and command.changes.get("status") == "ACTIVE"
        if revives and isinstance(held, Property) and not held.active:
            check_room(workspace, state, held.entity)
        if (surveyed := find_surveyed(state, command)) is not None:
            # Without one the property changed meanwhile: then the writer's survey has the only word.
            state.set_survey(surveyed.after.identity, survey or Survey())
        return command

    return await write(engine, request, refs, make_surveyed)
