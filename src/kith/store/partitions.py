"""Partitions by time: made ahead, dropped when their time is over."""

from datetime import UTC, datetime, timedelta

import asyncpg

from kith.store.database import Connection

DAYS_AHEAD = 7
MONTHS_AHEAD = 2
LOCK_TIMEOUT = "2s"


async def make_partitions(connection: Connection, now: datetime) -> list[str]:
    """Make the coming days' partitions of operations and the coming months' of events; the names of new ones."""
    wanted = [_day(now + timedelta(days=n)) for n in range(-1, DAYS_AHEAD + 1)]
    months = [_month(now, n) for n in range(MONTHS_AHEAD + 1)]
    made = []
    for table, spans in (("operations", wanted), ("events", months)):
        for name, first, end in ((f"{table}_{first:%Y%m%d}", first, end) for first, end in spans):
            if await connection.fetchval("SELECT to_regclass($1)", name) is None and await _make(
                connection, table, name, first, end
            ):
                made.append(name)
    return made


async def drop_operations(connection: Connection, before: datetime) -> list[str]:
    """Drop the days of operations that ended before the time; their names."""
    rows = await connection.fetch(
        "SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'operations'::regclass AND c.relname ~ '^operations_[0-9]{8}$'"
    )
    dropped = []
    for name in sorted(row["name"] for row in rows):
        day = datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC)
        if day + timedelta(days=1) <= before:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                await connection.execute(f"DROP TABLE {name}")
            dropped.append(name)
    await connection.execute("DELETE FROM operations_default WHERE created_at < $1", before)
    return dropped


async def _make(connection: Connection, table: str, name: str, first: datetime, end: datetime) -> bool:
    """False where rows of that time lie in the default partition already: they stay there, found as before."""
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            await connection.execute(
                f"CREATE TABLE {name} PARTITION OF {table}"
                f" FOR VALUES FROM ('{first.isoformat()}') TO ('{end.isoformat()}')"
            )
    except (asyncpg.CheckViolationError, asyncpg.DuplicateTableError):
        return False
    return True


def _day(at: datetime) -> tuple[datetime, datetime]:
    first = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return first, first + timedelta(days=1)


def _month(at: datetime, ahead: int) -> tuple[datetime, datetime]:
    def month(n: int) -> datetime:
        years, index = divmod(at.month - 1 + n, 12)
        return datetime(at.year + years, index + 1, 1, tzinfo=UTC)

    return month(ahead), month(ahead + 1)
