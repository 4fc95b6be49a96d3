"""Operations: what became of a command, and waiting for it."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from kith.clock import to_iso
from kith.engine.apply.operation_progress import Figure, find_figure
from kith.engine.context.engine import Engine
from kith.errors import CODES, Exposed, InvalidId, InvalidRequest, NotFound
from kith.ids import parse_id, time_of
from kith.model.actors import Actor
from kith.model.workspaces import Workspace
from kith.pending.port import PendingWrite
from kith.store.database import Database
from kith.store.queries import load_queries

READ_AFTER_WAIT_S = 5.0
# A shard and a place on its log, as the position in a write's answer is.
POSITION = re.compile("([0-9]{1,9})-([0-9]{1,18})")
_SQL = load_queries("operations")
# What is wrong with a value is told with all its digits.
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """``number`` is the place of the command on the shard's log; ``progress`` is known while it takes long."""

    id: str
    type: str
    status: str
    shard: int
    number: int
    resource: str
    created_at: datetime
    actor: Actor | None = None
    error: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    applied_at: datetime | None = None
    fingerprint: str | None = None
    answer: bytes | None = None
    progress: Figure | None = None

    @property
    def position(self) -> str:
        """The position as clients see it: opaque, but good for X-Read-After."""
        return f"{self.shard}-{self.number}"

    def to_json(self) -> bytes:
        return _encode(
            {
                "id": self.id,
                "status": self.status,
                "type": self.type,
                "position": self.position,
                "resource": self.resource,
                "actor": self.actor,
                "error": self.error,
                "result": self.result,
                "progress": self.progress._asdict() if self.progress else None,
                "createdAt": to_iso(self.created_at),
                "appliedAt": to_iso(self.applied_at) if self.applied_at else None,
            }
        )

    def to_error(self) -> Exposed:
        """The error that a rejected operation would have been answered with."""
        error = self.error or {"code": "INTERNAL", "message": "The command could not be applied."}
        code = error["code"] if error["code"] in CODES else "INTERNAL"
        headers = {"Operation-Location": f"/crm/operations/{self.id}"}
        return Exposed(code, error["message"], error.get("details"), headers)


async def get_operation(engine: Engine, workspace: Workspace, operation_id: str) -> Operation:
    """Raises InvalidId where it is no operation's id, NotFound where the workspace has none such."""
    if (parsed := parse_id(operation_id)) is None or parsed[0] != "op":
        raise InvalidId(f"{operation_id[:80]!r} is not the id of an operation (op_…).")
    operation = await find_operation(engine, workspace, operation_id)
    if operation is None:
        raise NotFound(
            f"No operation {operation_id} is known; they are kept for {engine.settings.operation_retention_d} days."
        )
    if operation.status == "PENDING":
        figure = await find_figure(engine.database, workspace.shard, workspace.id, operation_id)
        return msgspec.structs.replace(operation, progress=figure)
    return operation


async def find_operation(engine: Engine, workspace: Workspace, operation_id: str) -> Operation | None:
    """The operation as it is now: pending, applied or rejected. One on its way to the log is waited for."""
    with engine.pending.reading() as seen:
        committed = await find_committed(engine, workspace, operation_id)
        if committed is not None:
            return committed
        found = seen.find_operation(workspace.id, operation_id)
        if found is None and await seen.refresh(workspace.shard):
            found = seen.find_operation(workspace.id, operation_id)
        if found is None:
            return None
        write, number = found
        if number is not None:
            return to_pending(write, number)
        acknowledged = await engine.pending.wait_acknowledged(workspace.id, operation_id)
        if acknowledged is not None:
            return to_pending(*acknowledged)
        # Whoever accepted it may have ended without a word, and the writer have it all the same.
        return await find_committed(engine, workspace, operation_id)


def to_pending(write: PendingWrite, number: int) -> Operation:
    """The operation of a write that the log has at this place."""
    return Operation(
        id=write.operation_id,
        type=write.type,
        status="PENDING",
        shard=write.shard,
        number=number,
        resource=write.resource,
        created_at=write.created_at,
        actor=write.actor,
        fingerprint=write.fingerprint,
        answer=write.answer,
    )


async def find_committed(engine: Engine, workspace: Workspace, operation_id: str) -> Operation | None:
    parsed = parse_id(operation_id)
    assert parsed is not None
    # A UUIDv7 tells its own time, which is the operation's: one partition is looked at instead of all.
    made_at = time_of(parsed[1])
    now = engine.clock.now()
    first = made_at or now - timedelta(days=engine.settings.operation_retention_d + 1)
    end = made_at + timedelta(milliseconds=1) if made_at else now + timedelta(days=1)
    row = await engine.database.fetchrow(
        _SQL["find_operation"], workspace.shard, workspace.id, operation_id, first, end
    )
    if row is None:
        return None
    return Operation(
        id=row["id"],
        type=row["type"],
        status=row["status"],
        shard=workspace.shard,
        number=row["position"],
        resource=row["resource"],
        created_at=row["created_at"],
        actor=msgspec.json.decode(row["actor"], type=Actor) if row["actor"] else None,
        error=_decode(row["error"]) if row["error"] else None,
        result=_decode(row["result"]) if row["result"] else None,
        applied_at=row["applied_at"],
        fingerprint=row["fingerprint"],
        answer=row["answer"].encode() if row["answer"] else None,
    )


class Outcome(NamedTuple):
    """How an operation has ended: its status, and the code and message of a rejection."""

    status: str
    code: str | None = None
    message: str | None = None


async def find_outcomes(database: Database, workspace: Workspace, ids: Sequence[str]) -> dict[str, Outcome]:
    """By operation, of those that have ended."""
    rows = await database.fetch(_SQL["list_outcomes"], workspace.shard, workspace.id, ids)
    return {row["id"]: Outcome(row["status"], row["code"], row["message"]) for row in rows}


async def wait_until_readable(engine: Engine, workspace: Workspace, token: str, wait_s: float) -> None:
    """Wait until the writer has passed a position, or the position of an operation (X-Read-After).

    ``wait_s`` 0 means the default. Raises READ_AFTER_TIMEOUT past the wait, InvalidRequest where the token is none.
    """
    position = await _to_position(engine, workspace, token)
    wait_s = wait_s or READ_AFTER_WAIT_S
    if not await engine.progress.wait(workspace.shard, position, wait_s):
        raise Exposed(
            "READ_AFTER_TIMEOUT", f"The write at {token[:80]} was not applied within {wait_s:g} s. Ask again."
        )


async def _to_position(engine: Engine, workspace: Workspace, token: str) -> int:
    parsed = parse_id(token)
    if parsed and parsed[0] == "op":
        operation = await find_operation(engine, workspace, token)
        if operation is None:
            raise InvalidRequest(f"X-Read-After names {token}, an operation that this workspace does not have.")
        return operation.number
    position = POSITION.fullmatch(token)
    if position is None:
        raise InvalidRequest("X-Read-After takes the id of an operation or the position from a write's answer.")
    if int(position[1]) != workspace.shard:
        raise InvalidRequest("X-Read-After names a position that this workspace's writes never have.")
    return int(position[2])
