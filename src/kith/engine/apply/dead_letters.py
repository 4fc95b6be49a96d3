"""Store entries that cannot be applied as dead letters, reject their operations, and retry them once."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg
import msgspec

from kith.engine.apply.decisions import LoggedCommand, list_operations, list_told, make_event, make_operation
from kith.engine.lists.list_costs import Verdicts
from kith.errors import PoisonedLog, Unavailable
from kith.log.port import Entry
from kith.model.codec import decode_envelope, find_retry
from kith.model.commands import Envelope
from kith.model.decide import Rejected
from kith.store import batch as store
from kith.store import dead_letters
from kith.store.database import UNANSWERED, Connection

POISON_IN_A_ROW_MAX = 20
# What PostgreSQL may hold against an entry itself: its values, a constraint, a size, the time that a statement takes
# (waiting for a lock ends with another error). All else is the state of things.
ENTRYS_FAULT = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    asyncpg.QueryCanceledError,
)


class Recorded(NamedTuple):
    """What came of the log and does not follow from it, by (shard, position).

    ``set_aside``: entries that are not to be tried, as their cause may be gone by now, and whether the operation of
    each is ended. ``broken``: lists that became BROKEN there, as they took too long.
    """

    set_aside: Mapping[tuple[int, int], bool]
    broken: Mapping[tuple[int, int], Verdicts]


async def check_poison(connection: Connection, shard: int, entry: Entry, reason: str) -> None:
    """Raises PoisonedLog where so many before the entry were set aside that the fault must be somewhere else.

    A retry that fails is no sign of that.
    """
    if find_retry(entry.data) is not None:
        return
    first = entry.position - POISON_IN_A_ROW_MAX
    if await dead_letters.count_dead_letters(connection, shard, first, entry.position) == POISON_IN_A_ROW_MAX:
        raise PoisonedLog(
            f"{POISON_IN_A_ROW_MAX} entries in a row of partition {shard} could not be applied, nor can that at"
            f" {entry.position}: {reason}. This writer stops rather than set aside what was acknowledged."
        )


async def keep_entry(connection: Connection, shard: int, entry: Entry, reason: str, now: datetime) -> bool:
    """A dead letter of the entry alone. False, and nothing is done, for a retry of what was retried before."""
    return await _keep(connection, shard, entry, entry.workspace_id, None, reason, now)


async def reject(connection: Connection, shard: int, entry: Entry, reason: str, now: datetime) -> bool:
    """A dead letter of the entry, its operation ended as REJECTED, and an event that tells of it.

    False, and nothing is done, for a retry of what was retried before.
    """
    placed = LoggedCommand(entry.position, decode_envelope(entry.data))
    envelope = placed.envelope
    operation_id = envelope.operation_id
    if not await _keep(connection, shard, entry, envelope.workspace_id, operation_id, reason, now):
        return False
    if envelope.retry_of is not None:
        await dead_letters.delete_rejection(connection, shard, envelope)
    rejected = Rejected("INTERNAL", "The command could not be applied; the operator finds it among the dead letters.")
    beginning = await store.load_batch_start(connection, shard, *list_operations([placed]))
    if (envelope.workspace_id, operation_id) in beginning.known:
        return True
    counter = beginning.counters[envelope.workspace_id]
    [told] = list_told(envelope, rejected, None)
    event = make_event(envelope, counter.next_event_sequence, told)
    counter = msgspec.structs.replace(counter, next_event_sequence=counter.next_event_sequence + 1)
    # The first answer may hold the very value that cannot be stored.
    operation = msgspec.structs.replace(make_operation(placed, rejected, now), answer=None)
    rows: dict[str, list[Any]] = {
        "insert_operations": [operation],
        "insert_events": [event],
        "save_counters": [counter],
    }
    await store.save(connection, shard, {name: store.to_documents(one) for name, one in rows.items()})
    return True


async def _keep(
    connection: Connection,
    shard: int,
    entry: Entry,
    workspace_id: int,
    operation_id: str | None,
    reason: str,
    now: datetime,
) -> bool:
    """Of a retry that failed, what it holds is kept: it can be retried in its turn."""
    retry = find_retry(entry.data)
    if retry is not None and not await dead_letters.settle_as_set_aside(
        connection, shard, retry.position, entry.position, retry.at
    ):
        return False
    data, retried = (retry.entry, retry.position) if retry is not None else (entry.data, None)
    await dead_letters.insert_dead_letter(
        connection, shard, entry.position, workspace_id, operation_id, data, reason, now, retried
    )
    return True


async def load_retry_operations(
    connection: Connection, shard: int, envelope: Envelope, known: set[tuple[int, str]]
) -> set[tuple[int, str]]:
    """Which operations are known to one that decides on a retry.

    Not its own, where that was set aside and this is the first retry since; its own, where another was before it.
    """
    own = {(envelope.workspace_id, envelope.operation_id)}
    is_open, was_set_aside = await dead_letters.find_retried(connection, shard, envelope)
    if not is_open:
        return known | own
    return known - own if was_set_aside else known


def is_taken_id(error: Exception) -> bool:
    """Whether PostgreSQL refuses the external id of a new record: another has it."""
    return isinstance(error, asyncpg.UniqueViolationError) and "_external_id" in (error.constraint_name or "")


def is_passing(error: Exception) -> bool:
    """Whether a failure says nothing about the command that it hit: then it is tried again, for ever.

    A missing column or privilege, a full disk, a broken index or a lock are no reason to set aside what was accepted.
    """
    if isinstance(error, asyncpg.PostgresError):
        return not isinstance(error, ENTRYS_FAULT)
    return isinstance(error, (*UNANSWERED, MemoryError, Unavailable))
