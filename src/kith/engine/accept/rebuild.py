"""At the start of a process that serves: foresee again the writes that are on the log but not applied."""

import asyncio

import msgspec

from kith.engine.accept.properties import survey_for
from kith.engine.accept.submit import Attempt, WriteRequest, foresee, predict
from kith.engine.apply.decisions import LoggedCommand, list_keys
from kith.engine.context.engine import Engine
from kith.errors import Exposed
from kith.log.port import Entry
from kith.model.codec import Undecodable, decode_envelope
from kith.model.commands import Envelope, to_resource, to_type
from kith.model.decide import Rejected, touches
from kith.model.names import resolve
from kith.model.state import State
from kith.model.workspaces import Workspace
from kith.pending.port import PendingWrite, Snapshot

TAIL_PAGE = 500


async def rebuild_pending(engine: Engine) -> int:
    """Put the tail of every shard's log into the overlay; the number of writes foreseen."""
    await engine.progress.refresh()
    foreseen = 0
    for shard, head in (await engine.log.load_heads()).items():
        after = engine.progress.get_applied(shard)
        engine.pressure.see_applied(shard, after)
        engine.pressure.see_head(shard, head)
        while after < head:
            entries = await engine.log.read(shard, after, TAIL_PAGE)
            if not entries:
                break
            foreseen += await _foresee_page(engine, shard, entries)
            after = entries[-1].position
    return foreseen


async def _foresee_page(engine: Engine, shard: int, entries: list[Entry]) -> int:
    """Load what the entries touch together, then foresee one after the other."""
    tail: list[LoggedCommand] = []
    for entry in entries:
        try:
            placed = LoggedCommand(entry.position, decode_envelope(entry.data))
        except Undecodable:
            continue
        engine.pressure.see_appended(shard, placed.envelope.workspace_id, placed.position)
        # Whether a retry is the first one only the writer knows.
        if placed.envelope.retry_of is None:
            tail.append(placed)
    refs = [[ref for _, ref in list_keys([placed]).to_refs()] for placed in tail]
    with engine.pending.reading() as seen:
        loads = [
            engine.loader.load(shard, placed.envelope.workspace_id, wanted)
            for placed, wanted in zip(tail, refs, strict=True)
        ]
        for placed, wanted, records in zip(tail, refs, await asyncio.gather(*loads), strict=True):
            state = foresee(seen, placed.envelope.workspace_id, records, wanted)
            state.mark_absent(touches(placed.envelope.command))
            workspace = Workspace(shard=shard, id=placed.envelope.workspace_id, name="")
            survey = await survey_for(engine, workspace, state, placed.envelope.command)
            if survey is not None:
                state.set_survey(placed.envelope.command.subject, survey)
            await _foresee_again(engine, shard, placed, state, seen)
    return len(tail)


async def _foresee_again(engine: Engine, shard: int, placed: LoggedCommand, state: State, seen: Snapshot) -> None:
    envelope = placed.envelope
    if seen.find_operation(envelope.workspace_id, envelope.operation_id):
        return  # appended twice, when its first acknowledgement was lost: the writer passes over the second
    command = resolve(state, envelope.command)
    try:
        foreseen = predict(state, _to_attempt(shard, envelope), command) if not isinstance(command, Rejected) else None
    except Exposed:
        foreseen = None
    write = foreseen[0] if foreseen is not None else _make_unforeseen(shard, envelope)
    if envelope.idempotency:
        write = msgspec.structs.replace(write, answer=bytes(envelope.idempotency.answer))
    await engine.pending.restore(write, placed.position)


def _make_unforeseen(shard: int, envelope: Envelope) -> PendingWrite:
    """A write that will be rejected, is applied by now, or cannot be decided: nothing is foreseen but the operation."""
    return PendingWrite(
        operation_id=envelope.operation_id,
        type=to_type(envelope.command),
        shard=shard,
        workspace_id=envelope.workspace_id,
        resource=to_resource(envelope.command),
        created_at=envelope.at,
        fingerprint=envelope.idempotency.fingerprint if envelope.idempotency else None,
        answer=b"null",
        records={},
        holders={},
        actor=envelope.actor,
    )


def _to_attempt(shard: int, envelope: Envelope) -> Attempt:
    keyed = envelope.idempotency
    request = WriteRequest(
        workspace=Workspace(shard=shard, id=envelope.workspace_id, name=""),
        key_id=envelope.key_id,
        actor=envelope.actor,
        idempotency_key="known" if keyed else None,
        fingerprint=bytes.fromhex(keyed.fingerprint) if keyed else b"",
    )
    return Attempt(request=request, operation_id=envelope.operation_id, at=envelope.at)
