"""Comparing the tables of two databases, for replays."""

from collections.abc import Mapping
from itertools import zip_longest

import asyncpg

from kith.errors import StartError
from kith.store.database import Connection

# Every table that the writer fills, and what of it depends on when it was applied and not on the log.
TABLES: Mapping[str, tuple[str, ...]] = {
    "counters": (),
    "contacts": (),
    "totals": (),
    "operations": ("applied_at",),
    "events": (),
    "cursors": (),
    "dead_letters": ("reason",),
}
ROWS_SHOWN_MAX = 3


async def find_difference(one: Connection, other: Connection, table: str) -> str | None:
    """A sentence on the first rows that only one of them has, None where the tables are equal."""
    sums = [await connection.fetchrow(_hash(table)) for connection in (one, other)]
    if sums[0] == sums[1]:
        return None
    only_one, only_other = await _list_apart(one, other, table)
    return f"{table}: only here {only_one[:ROWS_SHOWN_MAX]}; only in the replay {only_other[:ROWS_SHOWN_MAX]}"


async def _list_apart(one: Connection, other: Connection, table: str) -> tuple[list[str], list[str]]:
    """Rows as text that only one side has, found by walking both in order."""
    only_one: list[str] = []
    only_other: list[str] = []
    rows = [[row[0] for row in await connection.fetch(_rows(table))] for connection in (one, other)]
    for row, twin in zip_longest(sorted(set(rows[0]) - set(rows[1])), sorted(set(rows[1]) - set(rows[0]))):
        only_one += [row] if row is not None else []
        only_other += [twin] if twin is not None else []
    return only_one, only_other


def _rows(table: str) -> str:
    left_out = "".join(f" - '{column}'" for column in TABLES[table])
    # A total of nothing is there or not by how the log was cut into batches, and says the same.
    condition = " WHERE count <> 0" if table == "totals" else ""
    return f"SELECT (to_jsonb(t){left_out})::text FROM {table} t{condition}"


def _hash(table: str) -> str:
    return f"SELECT count(*), sum(hashtextextended(row, 0)::numeric) FROM ({_rows(table)}) AS t (row)"


# A kept total that differs from what there is to count.
WRONG_TOTALS = """
SELECT workspace_id, status, stage, kept, counted FROM (
  SELECT workspace_id, status, lifecycle_stage AS stage, count(*) AS counted FROM contacts GROUP BY 1, 2, 3
) c FULL JOIN (
  SELECT workspace_id, status, stage, count AS kept FROM totals WHERE entity = 'contact' AND count <> 0
) t USING (workspace_id, status, stage)
WHERE kept IS DISTINCT FROM counted
"""


async def create_database(connection: Connection, name: str) -> None:
    """Raises StartError where the role may not."""
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    except asyncpg.InsufficientPrivilegeError as error:
        raise StartError(
            f"A scratch database cannot be made: {error}. Grant the role CREATEDB, or use a role that has it."
        ) from None


async def drop_database(connection: Connection, name: str) -> None:
    """Gone, whoever is connected to it."""
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
