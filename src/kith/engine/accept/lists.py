"""The verbs on lists and their members."""

from collections.abc import Sequence
from typing import Any

from kith.aside import compute
from kith.cql.conditions import list_named
from kith.cql.dependencies import asks_for_any_list, count_text_conditions
from kith.cql.json_form import read_json
from kith.cql.printer import to_text
from kith.cql.resolve import refuse_member, resolve
from kith.cql.vocabulary import EntityName
from kith.engine.accept.records import name_itself, name_target, write
from kith.engine.accept.submit import Attempt, WriteRequest, Written
from kith.engine.context.engine import Engine
from kith.engine.read.cql import names_links
from kith.engine.read.filter_references import find_lists, find_named, find_unknown
from kith.engine.read.listings import get_list_head
from kith.engine.read.records import NOUNS, parse_body_id, parse_ref
from kith.errors import Exposed, InvalidId, InvalidRequest, NotFound
from kith.model.commands import AddMembers, Command, CreateList, DeleteList, EvaluateList, RemoveMembers, UpdateList
from kith.model.lists import ENTITIES, MEMBERS_PER_CALL_MAX, ListInput, ListPatch, make_list_changes
from kith.model.quotas import check_single
from kith.model.rules.lists import refuse_members
from kith.model.state import Ref, State
from kith.model.workspaces import Workspace
from kith.store.database import UNANSWERED


async def create_list(engine: Engine, request: WriteRequest, fields: ListInput) -> Written:
    sent = await compute(len(request.sent), make_list_changes, fields)
    changes = {field: value for field, value in sent.items() if value is not None}
    if "filter_criteria" in changes:
        entity = ENTITIES[fields.entity_type]
        understood, conditions = await understand_filter(engine, request, entity, changes["filter_criteria"])
        changes |= {**understood, "text_conditions": conditions}

    def make_command(attempt: Attempt, _: State) -> Command:
        return CreateList(list_id=attempt.make_id("lst"), **changes)

    return await write(engine, request, [], make_command)


async def update_list(engine: Engine, request: WriteRequest, ref: str, fields: ListPatch) -> Written:
    parsed = parse_ref("list", ref)
    changes = await compute(len(request.sent), make_list_changes, fields)
    conditions = 0
    if "filter_criteria" in changes:
        head = await get_list_head(engine, request.workspace, ref)
        if head.is_dynamic:
            entity = ENTITIES[head.entity_type]
            understood, conditions = await understand_filter(engine, request, entity, changes["filter_criteria"])
            changes |= understood

    def make_command(_: Attempt, state: State) -> Command:
        list_id = name_target(state, parsed)
        return UpdateList(list_id=list_id, changes=changes, text_conditions=conditions, if_version=request.if_version)

    return await write(engine, request, [parsed], make_command)


async def delete_list(engine: Engine, request: WriteRequest, ref: str) -> Written:
    parsed = parse_ref("list", ref)

    def make_command(_: Attempt, state: State) -> Command:
        return DeleteList(list_id=name_target(state, parsed), if_version=request.if_version)

    return await write(engine, request, [parsed], make_command)


async def evaluate_list(engine: Engine, request: WriteRequest, ref: str) -> Written:
    """Look again at who fits a dynamic list, now."""
    parsed = parse_ref("list", ref)

    def make_command(_: Attempt, state: State) -> Command:
        return EvaluateList(list_id=name_target(state, parsed))

    return await write(engine, request, [parsed], make_command)


async def understand_filter(
    engine: Engine, request: WriteRequest, entity: EntityName, criteria: dict[str, Any]
) -> tuple[dict[str, Any], int]:
    """(the filter as text and where its days begin, how many conditions on text it has that no index serves).

    Raises the refusals of the language, InvalidRequest, QUOTA_EXCEEDED.

    A dynamic list cannot depend on another: which of them would be looked at first? Nor on one that is not there yet,
    and may turn out to be dynamic, or to be this one.
    """
    workspace, size = request.workspace, len(request.sent)
    vocabulary = (await engine.vocabularies.get(workspace)).pick((entity,))
    syntax = await compute(size, read_json, criteria, "filterCriteria")
    tree = await compute(size, resolve, syntax, vocabulary)
    if asks_for_any_list(tree):
        raise InvalidRequest(
            "filterCriteria asks whether a record is on any list, which this one would be too; name the lists.",
            {"path": "filterCriteria"},
        )
    if names_links(tree):
        async with engine.database.acquire() as connection:
            named = await find_named(connection, workspace.shard, workspace.id, tree)
            unknown = await find_unknown(connection, workspace.shard, workspace.id, tree, named)
            names = [*list_named(tree, "lists")]
            rows = await find_lists(connection, workspace.shard, workspace.id, names) if names else []
        if unknown is not None:
            raise refuse_member(syntax, vocabulary, *unknown)
        for row in rows:
            if row["is_dynamic"]:
                raise InvalidRequest(
                    f"filterCriteria names the list {row['external_id']}, which is dynamic itself; it may name static"
                    " ones only.",
                    {"path": "filterCriteria", "list": row["external_id"]},
                )
    conditions = count_text_conditions(tree)
    check_single(workspace, "textConditionsPerList", 0, conditions)
    return {"filter": await compute(size, to_text, tree), "timezone": workspace.timezone}, conditions


async def add_members(engine: Engine, request: WriteRequest, ref: str, ids: Sequence[int | str]) -> Written:
    """All or none; one who is on the list already changes nothing."""
    return await _change_members(engine, request, ref, ids, AddMembers)


async def remove_members(engine: Engine, request: WriteRequest, ref: str, ids: Sequence[int | str]) -> Written:
    """All or none; one who is not on the list changes nothing."""
    return await _change_members(engine, request, ref, ids, RemoveMembers)


async def _change_members(
    engine: Engine,
    request: WriteRequest,
    ref: str,
    ids: Sequence[int | str],
    command: type[AddMembers] | type[RemoveMembers],
) -> Written:
    list_ref, entity = await _find_members_list(engine, request.workspace, ref, ids)
    members = await compute(len(request.sent), parse_members, entity, ids)

    def make_command(_: Attempt, state: State) -> Command:
        names, missing = [], []
        for member in members:
            try:
                names.append(name_itself(state, member))
            except NotFound:
                missing.append(member.value)
        if missing:
            refusal = refuse_members(entity, missing)
            raise Exposed(refusal.code, refusal.message, refusal.details)
        return command(list_id=name_target(state, list_ref), entity=entity, record_ids=names)

    return await write(engine, request, [list_ref, *members], make_command)


async def _find_members_list(
    engine: Engine, workspace: Workspace, ref: str, ids: Sequence[int | str]
) -> tuple[Ref, EntityName]:
    """The list, and the kind of its members: where PostgreSQL does not answer, the one that their ids say."""
    try:
        head = await get_list_head(engine, workspace, ref)
    except UNANSWERED:
        if engine.log.needs_database:
            raise
        prefix = NOUNS["company"].prefix + "_"
        named = any(isinstance(one, str) and one.startswith(prefix) for one in ids)
        return parse_ref("list", ref), "company" if named else "contact"
    return Ref("list", "external_id", head.external_id), ENTITIES[head.entity_type]


def parse_members(entity: str, ids: Sequence[Any]) -> list[Ref]:
    """The records that are named. Raises InvalidRequest for too many, or naming those that no such record can have."""
    if len(ids) > MEMBERS_PER_CALL_MAX:
        raise InvalidRequest(
            f"entityIds has {len(ids):,} ids; at most {MEMBERS_PER_CALL_MAX:,} are taken at once.",
            {"limit": MEMBERS_PER_CALL_MAX, "given": len(ids)},
        )
    members, wrong = [], []
    for one in ids:
        try:
            members.append(parse_body_id(entity, "entityIds", one))
        except (InvalidId, NotFound):
            wrong.append(one)
    if wrong:
        refusal = refuse_members(entity, wrong)
        raise InvalidRequest(refusal.message, refusal.details)
    return members
