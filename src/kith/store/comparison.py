"""Comparing the tables of two databases, for replays."""

from collections.abc import Mapping

import asyncpg

from kith.errors import StartError
from kith.store.database import Connection

# Every table that the writer fills, and what of it depends on when it was applied and not on the log.
TABLES: Mapping[str, tuple[str, ...]] = {
    "counters": (),
    "contacts": (),
    "companies": (),
    "associations": (),
    "tags": (),
    "taggings": (),
    "activities": (),
    "lists": (),
    "properties": (),
    "list_members": (),
    "merges": (),
    "totals": (),
    "operations": ("applied_at",),
    "events": (),
    "cursors": (),
    "dead_letters": ("reason", "set_aside_at"),
    "broken_lists": ("broken_at",),
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
    """Rows as text that only one side has, in order."""
    here, there = [{row[0] for row in await connection.fetch(_rows(table))} for connection in (one, other)]
    return sorted(here - there), sorted(there - here)


def _rows(table: str) -> str:
    left_out = "".join(f" - '{column}'" for column in TABLES[table])
    # A total of nothing is there or not by how the log was cut into batches, and says the same.
    condition = " WHERE count <> 0" if table == "totals" else ""
    return f"SELECT (to_jsonb(t){left_out})::text FROM {table} t{condition}"


def _hash(table: str) -> str:
    return f"SELECT count(*), sum(hashtextextended(row, 0)::numeric) FROM ({_rows(table)}) AS t (row)"


# A kept total that differs from what there is to count: of records by status, and of the live contacts of companies,
# and companies of tags, and of the activities of contacts.
WRONG_TOTALS = """
SELECT * FROM (
  SELECT 'contact' AS entity, workspace_id, status, lifecycle_stage AS stage, count(*) AS counted
  FROM contacts GROUP BY 2, 3, 4
  UNION ALL
  SELECT 'company', workspace_id, status, '', count(*) FROM companies GROUP BY 2, 3
) c FULL JOIN (
  SELECT entity, workspace_id, status, stage, count AS kept FROM totals WHERE count <> 0
) t USING (entity, workspace_id, status, stage)
WHERE kept IS DISTINCT FROM counted
UNION ALL
SELECT 'contacts of company', workspace_id, external_id, '', counted, contact_count FROM companies k, LATERAL (
  SELECT count(*) AS counted FROM associations a JOIN contacts c USING (shard, workspace_id)
  WHERE a.shard = k.shard AND a.workspace_id = k.workspace_id AND a.company_id = k.id AND c.id = a.contact_id
    AND c.status IN ('ACTIVE', 'ARCHIVED')) n
WHERE counted <> contact_count
UNION ALL
SELECT 'contacts of tag', workspace_id, external_id, '', counted, contact_count FROM tags t, LATERAL (
  SELECT count(*) AS counted FROM taggings g JOIN contacts c USING (shard, workspace_id)
  WHERE g.shard = t.shard AND g.workspace_id = t.workspace_id AND g.tag_id = t.id AND g.entity = 'contact'
    AND c.id = g.record_id AND c.status IN ('ACTIVE', 'ARCHIVED')) n
WHERE counted <> contact_count
UNION ALL
SELECT 'companies of tag', workspace_id, external_id, '', counted, company_count FROM tags t, LATERAL (
  SELECT count(*) AS counted FROM taggings g JOIN companies k USING (shard, workspace_id)
  WHERE g.shard = t.shard AND g.workspace_id = t.workspace_id AND g.tag_id = t.id AND g.entity = 'company'
    AND k.id = g.record_id AND k.status IN ('ACTIVE', 'ARCHIVED')) n
WHERE counted <> company_count
UNION ALL
SELECT 'members of list', workspace_id, external_id, '', counted, member_count FROM lists l, LATERAL (
  SELECT count(*) AS counted FROM list_members m
  LEFT JOIN contacts c ON m.entity = 'contact' AND (c.shard, c.workspace_id, c.id)
    = (m.shard, m.workspace_id, m.record_id)
  LEFT JOIN companies k ON m.entity = 'company' AND (k.shard, k.workspace_id, k.id)
    = (m.shard, m.workspace_id, m.record_id)
  WHERE m.shard = l.shard AND m.workspace_id = l.workspace_id AND m.list_id = l.id
    AND coalesce(c.status, k.status) IN ('ACTIVE', 'ARCHIVED')) n
WHERE counted <> member_count
UNION ALL
SELECT 'activities of contact', workspace_id, external_id, '', counted, activity_count FROM contacts c, LATERAL (
  SELECT count(*) AS counted, max(occurred_at) AS last FROM activities a
  WHERE a.shard = c.shard AND a.workspace_id = c.workspace_id AND a.contact_id = c.id) n
WHERE counted <> activity_count OR last IS DISTINCT FROM last_activity_at
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
