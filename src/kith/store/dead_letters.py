"""Dead letters: entries that could not be applied, and what became of them when they were retried."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from kith.model.commands import Envelope
from kith.store.database import Connection
from kith.store.queries import load_queries

SQL = load_queries("dead_letters")


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """``outcome`` is how its retry ended, at ``retry_position``: APPLIED, REJECTED, SET_ASIDE (again, and there).

    ``retry_of`` is the position of the one that this is the failed retry of. ``entry`` is None where it was not loaded.
    """

    shard: int
    position: int
    workspace_id: int
    workspace: str | None
    operation_id: str | None
    reason: str
    set_aside_at: datetime
    retry_of: int | None
    retried_at: datetime | None
    retry_position: int | None
    outcome: str | None
    entry: bytes | None = None

    @property
    def id(self) -> str:
        return f"{self.shard}:{self.position}"


async def insert_dead_letter(
    connection: Connection,
    shard: int,
    position: int,
    workspace_id: int,
    operation_id: str | None,
    entry: bytes,
    reason: str,
    set_aside_at: datetime,
    retry_of: int | None,
) -> None:
    """``reason`` may hold any text, also such as PostgreSQL does not take."""
    storable = reason.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
    await connection.execute(
        SQL["insert_dead_letter"],
        *(shard, position, workspace_id, operation_id, entry, storable, set_aside_at, retry_of),
    )


async def count_dead_letters(connection: Connection, shard: int, first: int, end: int) -> int:
    """How many of the positions from ``first`` to before ``end`` were set aside, retries left out."""
    return int(await connection.fetchval(SQL["count_dead_letters"], shard, first, end))


async def find_retried(connection: Connection, shard: int, envelope: Envelope) -> tuple[bool, bool]:
    """Of what the envelope retries: whether that is still open, and whether its operation ended as set aside."""
    row = await connection.fetchrow(
        SQL["find_retried"],
        *(shard, envelope.retry_of, envelope.workspace_id, envelope.operation_id, envelope.made_at),
    )
    return (row["open"], row["was_set_aside"]) if row is not None else (False, False)


async def delete_rejection(connection: Connection, shard: int, envelope: Envelope) -> None:
    """Make room for what becomes of the operation now, where it was set aside before."""
    await connection.execute(
        SQL["delete_rejection"], shard, envelope.workspace_id, envelope.operation_id, envelope.made_at
    )


async def settle_by_operation(connection: Connection, shard: int, position: int, envelope: Envelope) -> None:
    """What the envelope, at the position, retries is settled: its outcome is what became of the operation."""
    await connection.execute(
        SQL["settle_by_operation"],
        *(shard, envelope.retry_of, position, envelope.at),
        *(envelope.workspace_id, envelope.operation_id, envelope.made_at),
    )


async def settle_as_set_aside(connection: Connection, shard: int, retried: int, position: int, at: datetime) -> bool:
    """The retry failed, and is a dead letter of its own. False where another retry was before it."""
    return await connection.fetchval(SQL["settle_as_set_aside"], shard, retried, position, at) is not None


async def load_set_aside(connection: Connection) -> Mapping[tuple[int, int], bool]:
    """(shard, position) of all, and whether the entry's operation was ended."""
    return {
        (row["shard"], row["position"]): row["has_operation"] for row in await connection.fetch(SQL["load_set_aside"])
    }


async def list_dead_letters(
    connection: Connection,
    limit: int,
    shard: int | None = None,
    workspace_id: int | None = None,
    since: datetime | None = None,
    after: tuple[int, int] | None = None,
    *,
    only_open: bool = False,
) -> list[DeadLetter]:
    """The newest first; ``after`` is the (shard, position) of the last one of the page before."""
    behind = after or (None, None)
    rows = await connection.fetch(SQL["list_dead_letters"], shard, workspace_id, since, only_open, *behind, limit)
    return [DeadLetter(**dict(row)) for row in rows]


async def load_dead_letters(connection: Connection, places: Sequence[tuple[int, int]]) -> list[DeadLetter]:
    """Those at (shard, position), with their entries, in the order of the log; what is not there is left out."""
    rows = await connection.fetch(
        SQL["get_dead_letters"], [shard for shard, _ in places], [position for _, position in places]
    )
    return [DeadLetter(**dict(row)) for row in rows]
