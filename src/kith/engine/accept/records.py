"""Names of records in commands, and the one way in which a verb writes."""

from collections.abc import Callable, Sequence

import msgspec

from kith.engine.accept.submit import Attempt, WriteRequest, Written, begin, find_replayed, submit, wait_for
from kith.engine.context.engine import Engine
from kith.engine.read.records import NOUNS, load_row, make_not_found
from kith.errors import InvalidRequest, Unavailable
from kith.model.commands import PATHS, Command
from kith.model.names import KINDS, to_name
from kith.model.state import Ref, State
from kith.model.workspaces import Workspace
from kith.store.database import UNANSWERED


def name_target(state: State, ref: Ref) -> str:
    """What names, in a command, the record that a write lands on; of a merged contact, the one that it went into.

    It is the external id, or see ``kith.model.names``. Raises NotFound, and Unavailable for a number that cannot be
    looked up.
    """
    found = state.find_ref(ref)
    return state.find_last(found).external_id if found is not None else _name_unseen(state, ref)


def name_itself(state: State, ref: Ref) -> str:
    """Likewise, but of a merged contact itself."""
    found = state.find_ref(ref)
    return found.external_id if found is not None else _name_unseen(state, ref)


def name_given(state: State, ref: Ref) -> str:
    """Likewise, of the record that a body names. Raises INVALID_REQUEST for a DELETED one."""
    found = state.find_ref(ref)
    if found is not None and not state.find_last(found).live:
        raise InvalidRequest(f"The {ref.kind} {ref.value} is DELETED. Restore it first.", {"status": "DELETED"})
    return name_target(state, ref)


def _name_unseen(state: State, ref: Ref) -> str:
    if not state.is_partial or state.knows_ref(ref):
        raise make_not_found(ref.kind, ref.value)
    if ref.by == "number":
        noun = NOUNS[ref.kind]
        other = f" or {noun.claim}" if noun.claim in KINDS else ""
        raise Unavailable(
            f"The database is not reachable right now, and only the database knows which {ref.kind} has the number"
            f" {ref.value}. Name the {ref.kind} by its external id ({noun.prefix}_…){other}, or try again later.",
            2,
        )
    return to_name(ref.by, ref.value)


async def write(
    engine: Engine, request: WriteRequest, refs: Sequence[Ref], make_command: Callable[[Attempt, State], Command]
) -> Written:
    """Submit, unless it is a replay; then wait, if that was wished. What ``refs`` name is in the command's state."""
    attempt = begin(engine, request)
    # One reading: a replay that is pending when it is looked for first is not dropped before it is looked for again.
    with engine.pending.reading():
        written = await find_replayed(engine, attempt)
        if written is None:
            written = await submit(engine, attempt, refs, lambda state: make_command(attempt, state))
    if request.wait_s <= 0:
        return written
    try:
        applied = await wait_for(engine, written, request.workspace, request.wait_s)
        if applied is None:
            return written
        return await _load_applied(engine, request.workspace, applied)
    except UNANSWERED:
        return written  # it is accepted, whatever can be told of it by now


async def _load_applied(engine: Engine, workspace: Workspace, applied: Written) -> Written:
    """With the record that was written, as it is committed now; one that was removed as it was."""
    path, _, external_id = applied.location.rpartition("/")
    kind = next(kind for kind, prefix in PATHS.items() if prefix == f"{path}/")
    landed = applied.landed
    while True:
        row = await load_row(engine, workspace, Ref(kind, "external_id", external_id))
        if row is None:
            return msgspec.structs.replace(applied, data=applied.data.replace(b',"pending":true}', b"}"))
        if row["successor"] is None:
            document: str = row["document"]
            return msgspec.structs.replace(applied, data=document.encode(), landed=landed)
        external_id = row["successor"]
        landed = f"{path}/{external_id}"
