"""The one way in: predict what a command will do, put it on the log, answer with what is foreseen.

The prediction is the writer's own ``decide`` on the committed state with the pending writes folded in. It is made
from what this process knows of them; the claim takes it only while that is all there is to know, and otherwise it is
made again. Between the claim and joining the log's queue nothing is awaited, so writes of this process are foreseen in
the order in which they stand on the log.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from kith.engine.accept.operations import Operation, find_committed, find_operation, to_pending
from kith.engine.context.engine import Engine
from kith.engine.context.loader import Loaded
from kith.errors import Exposed, Unavailable
from kith.ids import Prefix, derive_id, new_id
from kith.model.actors import SYSTEM, Actor
from kith.model.codec import encode_envelope
from kith.model.commands import MAKING, PATHS, Command, Envelope, Idempotency, to_resource, to_type
from kith.model.decide import Accepted, Rejected, decide, fold, touches
from kith.model.events import Event
from kith.model.names import to_claim
from kith.model.quotas import add_growth, frees
from kith.model.records import Claim, Identity, Record
from kith.model.serialization import to_json
from kith.model.state import Ref, State
from kith.model.workspaces import Workspace
from kith.pending.port import PendingWrite, Snapshot
from kith.store.database import UNANSWERED

IDEMPOTENCY_WINDOW = timedelta(hours=24)


class WriteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and how the request wants to be taken. ``wait_s`` 0: do not wait. ``sent`` is the body, as JSON."""

    workspace: Workspace
    key_id: int
    actor: Actor | None = SYSTEM
    idempotency_key: str | None = None
    fingerprint: bytes = b""
    sent: bytes = b""
    if_version: int | None = None
    wait_s: float = 0


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a write. ``data`` is the record's JSON: provisional, or committed where ``waited``.

    ``landed`` is the path of the contact that was written in place of one that was merged into it.
    """

    data: bytes
    operation: Operation
    location: str
    created: bool
    replayed: bool = False
    waited: bool = False
    deferred: bool = False
    landed: str | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A write on its way: when, as which operation. Ids derive from the Idempotency-Key where there is one."""

    request: WriteRequest
    operation_id: str
    at: datetime
    earlier_id: str | None = None

    def list_known_ids(self) -> list[str]:
        """The operations that the Idempotency-Key may name: today's and yesterday's. None without a key."""
        return [self.operation_id, self.earlier_id] if self.earlier_id is not None else []

    def make_id(self, prefix: Prefix) -> str:
        """The id of what the command makes."""
        if self.request.idempotency_key is None:
            return new_id(prefix, self.at)
        return derive_id(prefix, self.operation_id)


def begin(engine: Engine, request: WriteRequest) -> Attempt:
    at = engine.clock.now()
    if request.idempotency_key is None:
        return Attempt(request=request, operation_id=new_id("op", at), at=at)
    earlier = _derive_operation_id(request, at - timedelta(days=1))
    return Attempt(request=request, operation_id=_derive_operation_id(request, at), earlier_id=earlier, at=at)


async def find_replayed(engine: Engine, attempt: Attempt) -> Written | None:
    """The first answer to a request whose Idempotency-Key was used within the last 24 hours, if it was.

    Where the log did not say whether it took that request, it is appended again: the writer applies it once. Raises
    IDEMPOTENCY_KEY_REUSED where the key was used with another request.
    """
    request = attempt.request
    for operation_id in attempt.list_known_ids():
        operation = await _find_earlier(engine, request.workspace, operation_id)
        if operation is not None and operation.created_at > attempt.at - IDEMPOTENCY_WINDOW:
            return _to_replayed(request, operation)
        if doubted := engine.pending.find_doubted(request.workspace.id, operation_id):
            write, entry = doubted
            _check_fingerprint(request, operation_id, write.fingerprint)
            await engine.pending.claim(write, None)
            return _to_replayed(request, to_pending(write, await _append(engine, write, entry)))
    return None


async def _find_earlier(engine: Engine, workspace: Workspace, operation_id: str) -> Operation | None:
    """An operation that may have been; without PostgreSQL, as far as this process knows. The writer knows for sure."""
    try:
        return await find_operation(engine, workspace, operation_id)
    except UNANSWERED:
        if engine.log.needs_database:
            raise
    acknowledged = await engine.pending.wait_acknowledged(workspace.id, operation_id)
    return to_pending(*acknowledged) if acknowledged is not None else None


async def submit(
    engine: Engine, attempt: Attempt, refs: Sequence[Ref], make_command: Callable[[State], Command]
) -> Written:
    """Foresee, append, and answer; a refusal that can be foreseen is raised as its error.

    What ``refs`` name is loaded first; ``make_command`` gets the state with it, and may raise. Raises LogBehind where
    the writer is.
    """
    workspace = attempt.request.workspace
    await engine.pressure.enter(workspace.shard, workspace.id)
    try:
        return await _submit(engine, attempt, refs, make_command)
    finally:
        engine.pressure.leave(workspace.id)


async def _submit(
    engine: Engine, attempt: Attempt, refs: Sequence[Ref], make_command: Callable[[State], Command]
) -> Written:
    workspace = attempt.request.workspace
    if len(engine.pending) >= engine.settings.pending_writes_max:
        raise Unavailable(f"{len(engine.pending):,} writes wait for the writer. Try again when it has caught up.", 5)
    await engine.quotas.prepare(workspace)
    began = asyncio.get_running_loop().time()
    with engine.pending.reading() as seen:
        loaded = Loaded(engine.loader, workspace, needs_database=engine.log.needs_database)
        await loaded.load(refs)
        while True:
            # From here to the append's place in the queue nothing is awaited but the overlay, which keeps the order.
            if any(seen.find_operation(workspace.id, known) for known in attempt.list_known_ids()):
                return await _overtaken(engine, attempt)
            state = foresee(seen, workspace.id, loaded.records, refs, is_partial=not loaded.is_read)
            if loaded.list_missing(state):
                if not await seen.refresh(workspace.shard):
                    await loaded.load_missing(state)
                continue
            try:
                command = make_command(state)
                foreseen = predict(state, attempt, command)
                write, envelope, growth = foreseen or (*defer(attempt, command), {})
                if not await _has_room(engine, workspace, command, growth, began):
                    continue
            except Exposed:
                if not await seen.refresh(workspace.shard):
                    # What refuses it may be its own first request, which another process has accepted.
                    replayed = await find_replayed(engine, attempt)
                    if replayed is None:
                        raise
                    return replayed
            else:
                position = await _accept(engine, seen, write, envelope, growth)
                if position is not None:
                    break
    return Written(
        data=write.answer,
        operation=to_pending(write, position),
        location=write.resource,
        created=_makes_something(write.type),
        deferred=seen.deferred or not loaded.is_read or foreseen is None,
        landed=find_landing(state, refs),
    )


async def _has_room(
    engine: Engine, workspace: Workspace, command: Command, growth: Mapping[str, int], began: float
) -> bool:
    """Whether quotas allow the write. False where the usage was read again: predict again, then ask again.

    Raises QUOTA_EXCEEDED.
    """
    exceeded = engine.quotas.check(workspace, growth, frees=frees(command))
    if exceeded is None:
        return True
    # What was deleted since the usage was read may have made room.
    if not await engine.quotas.renew(workspace, began):
        raise exceeded
    return False


async def _accept(
    engine: Engine, seen: Snapshot, write: PendingWrite, envelope: Envelope, growth: dict[str, int]
) -> int | None:
    """Claim what the write takes, count it, and append it; its position. None where another process was first."""
    usage, admission = engine.quotas.admit(write.workspace_id, growth)
    try:
        if await engine.pending.claim(write, seen):
            entry = encode_envelope(envelope)
            position = await _append(engine, write, entry)
            usage.settle(admission, position, len(entry))
            return position
    except BaseException:
        usage.take_back(admission)
        raise
    usage.take_back(admission)
    return None


async def _append(engine: Engine, write: PendingWrite, entry: bytes) -> int:
    """Put a write on the log that is foreseen; its position. It has joined the queue before this awaits."""
    try:
        position = await engine.log.append(write.shard, write.workspace_id, entry)
    except BaseException:
        if write.fingerprint is not None:
            engine.pending.doubt(write.operation_id, entry)
        else:
            engine.pending.discard(write.operation_id)
        raise
    engine.pressure.see_appended(write.shard, write.workspace_id, position)
    await engine.pending.acknowledge(write.operation_id, position)
    return position


async def _overtaken(engine: Engine, attempt: Attempt) -> Written:
    """The answer where the same request, with the same Idempotency-Key, came first and is on its way to the log."""
    written = await find_replayed(engine, attempt)
    if written is None:
        raise Unavailable("The log did not take the write that this request repeats. Send it again.")
    return written


def foresee(
    seen: Snapshot, workspace_id: int, records: Sequence[Record], refs: Sequence[Ref], *, is_partial: bool = False
) -> State:
    """The committed state with the pending writes folded in.

    A pending write may lead to a record that was not loaded: ``State.list_unknown`` names it.
    """
    state = State(is_partial=is_partial)
    state.know(records)
    numbers = {record.identity: record.number for record in records}
    waiting = [record.identity for record in records]
    claims = [claim for record in records for claim in record.values]
    for ref in refs:
        if ref.by == "external_id":
            waiting.append((ref.kind, str(ref.value)))
        elif ref.by != "number":
            claims.append((ref.by, str(ref.value)))
    asked: set[Identity | Claim] = set()
    while waiting or claims:
        if not waiting:
            if (claim := claims.pop()) not in asked:
                asked.add(claim)
                waiting += _fold_claim(state, seen, workspace_id, claim)
        elif (identity := waiting.pop()) not in asked:
            asked.add(identity)
            known = _fold_record(state, seen, workspace_id, identity, numbers.get(identity))
            if known is not None:
                claims += known.values
                waiting += [(known.kind, known.successor)] if known.successor is not None else []
    return state


def _fold_record(
    state: State, seen: Snapshot, workspace_id: int, identity: Identity, number: int | None
) -> Record | None:
    """The record as it is with the pending writes, where that is known."""
    moved, record = seen.find_record(workspace_id, identity)
    if moved and record is None:
        state.mark_removed(identity)
    elif record is not None:
        state.know((_with_number(record, number),))
    return state.peek(identity)


def _fold_claim(state: State, seen: Snapshot, workspace_id: int, claim: Claim) -> list[Identity]:
    """The record that pending writes give the claim to, if any."""
    moves, holder = seen.find_holder(workspace_id, claim)
    if moves:
        state.set_holder(claim, holder)
    return [holder] if holder is not None else []


def predict(state: State, attempt: Attempt, command: Command) -> tuple[PendingWrite, Envelope, dict[str, int]] | None:
    """What the command is foreseen to do, its envelope, and what it adds to quotas.

    None where the state lacks what deciding needs. Raises the error of a foreseen refusal.
    """
    asked = touches(command)
    if asked.by_claim or not all(_can_decide(state, identity) for identity in asked.records):
        return None
    state.mark_absent(asked)
    decision = decide(state, command, attempt.at)
    if isinstance(decision, Rejected):
        raise Exposed(decision.code, decision.message, decision.details)
    records: dict[Identity, Record | None] = {}
    holders: dict[Claim, Identity | None] = {}
    growth: dict[str, int] = {}
    for event in decision.events:
        holders.update(list_moved_claims(state, event))
        records[event.record.identity] = None if event.removed else event.record
        records.update((record.identity, record) for record in event.also)
        add_growth(growth, state.peek(event.record.identity), None if event.removed else event.record)
        fold(state, event)
    answer = to_json(find_subject(state, command, decision), pending=True)
    return *make_write(attempt, command, answer, records, holders), growth


def _can_decide(state: State, identity: Identity) -> bool:
    return state.knows_end(identity) if state.knows(identity) else not state.is_partial


def defer(attempt: Attempt, command: Command) -> tuple[PendingWrite, Envelope]:
    """A write whose records cannot be read: its answer is what was sent, and what names the record."""
    _, name = command.subject
    claim = to_claim(name)
    named = {"externalId": name} if claim is None else {"externalId": None, claim[0]: claim[1]}
    sent = msgspec.json.decode(attempt.request.sent or b"{}", type=dict[str, msgspec.Raw])
    answer = msgspec.json.encode({"id": None, **named, **sent, "pending": True})
    return make_write(attempt, command, answer, {}, {})


def make_write(
    attempt: Attempt,
    command: Command,
    answer: bytes,
    records: Mapping[Identity, Record | None],
    holders: Mapping[Claim, Identity | None],
) -> tuple[PendingWrite, Envelope]:
    """The write as the overlay keeps it, and the envelope as it stands on the log."""
    request = attempt.request
    keyed = request.idempotency_key is not None
    fingerprint = request.fingerprint.hex()
    write = PendingWrite(
        operation_id=attempt.operation_id,
        type=to_type(command),
        shard=request.workspace.shard,
        workspace_id=request.workspace.id,
        resource=to_resource(command),
        created_at=attempt.at,
        fingerprint=fingerprint if keyed else None,
        answer=answer,
        records=records,
        holders=holders,
        actor=request.actor,
    )
    envelope = Envelope(
        operation_id=attempt.operation_id,
        workspace_id=request.workspace.id,
        at=attempt.at,
        key_id=request.key_id,
        actor=request.actor,
        command=command,
        idempotency=Idempotency(fingerprint=fingerprint, answer=msgspec.Raw(answer)) if keyed else None,
    )
    return write, envelope


def find_landing(state: State, refs: Sequence[Ref]) -> str | None:
    """The path of the contact that a write landed on, where the first ref names one that was merged into it."""
    named = state.find_ref(refs[0]) if refs else None
    if named is None or named.successor is None:
        return None
    return PATHS[named.kind] + state.find_last(named).external_id


def find_subject(state: State, command: Command, decision: Accepted) -> Record:
    """The record that the answer to the command shows, as it is now; one that was removed as it was."""
    kind, external_id = command.subject
    record = state.find_contact(external_id) if kind == "contact" else state.peek(command.subject)
    if record is None:
        record = decision.events[0].record
    return record


def list_moved_claims(state: State, event: Event) -> dict[Claim, Identity | None]:
    """The claims that the event sets free (None) or gives to a record, seen before it is folded."""
    moved: dict[Claim, Identity | None] = {}
    for record in (event.record, *event.also):
        before = state.peek(record.identity)
        old = before.claims if before is not None else ()
        new = record.claims if not event.removed else ()
        if old != new:
            moved.update(dict.fromkeys(old))
            moved.update(dict.fromkeys(new, record.identity))
    return moved


async def wait_for(engine: Engine, written: Written, workspace: Workspace, wait_s: float) -> Written | None:
    """The write once it is applied, without its record; None when the wait is over first. Raises its rejection."""
    operation = written.operation
    if operation.status == "PENDING" and not await engine.progress.wait(workspace.shard, operation.number, wait_s):
        return None
    ended = await find_committed(engine, workspace, operation.id)
    if ended is None:
        return None
    if ended.status == "REJECTED":
        raise ended.to_error()
    return msgspec.structs.replace(written, operation=ended, location=ended.resource, waited=True)


def _derive_operation_id(request: WriteRequest, at: datetime) -> str:
    """The operation of an Idempotency-Key on a day: two requests that race name the same one."""
    parts = (str(request.workspace.id), str(request.key_id), f"{at:%Y-%m-%d}", request.idempotency_key or "")
    return derive_id("op", *parts)


def _check_fingerprint(request: WriteRequest, operation_id: str, fingerprint: str | None) -> None:
    if fingerprint != request.fingerprint.hex():
        raise Exposed(
            "IDEMPOTENCY_KEY_REUSED",
            "This Idempotency-Key was used with another request within 24 hours. Use a new key for a new request.",
            {"operationId": operation_id},
        )


def _to_replayed(request: WriteRequest, operation: Operation) -> Written:
    _check_fingerprint(request, operation.id, operation.fingerprint)
    if operation.answer is None:
        raise operation.to_error()  # it was set aside
    return Written(
        data=operation.answer,
        operation=operation,
        location=operation.resource,
        created=_makes_something(operation.type),
        replayed=True,
    )


def _makes_something(command_type: str) -> bool:
    return command_type in MAKING


def _with_number(record: Record, number: int | None) -> Record:
    if record.number is not None or number is None:
        return record
    return msgspec.structs.replace(record, number=number)
