"""Rows of workspaces: made and changed by operators, read by every process."""

from datetime import datetime

import asyncpg
import msgspec

from kith.model.workspaces import Workspace
from kith.store.database import Connection
from kith.store.queries import load_queries

SQL = load_queries("workspaces")
CONTROL_LOCK = 0x6B697469  # beside the migrations' lock


async def lock_control(connection: Connection) -> None:
    """Until the transaction ends, nobody else makes workspaces, keys or integrations: each gets the largest
    number plus one."""
    await connection.execute(SQL["lock_control"], CONTROL_LOCK)


async def load_partitions(connection: Connection) -> int:
    return int(await connection.fetchval(SQL["load_partitions"]))


async def next_workspace_id(connection: Connection) -> int:
    return int(await connection.fetchval(SQL["next_workspace_id"]))


async def insert_workspace(connection: Connection, workspace: Workspace, created_at: datetime) -> None:
    await connection.execute(
        SQL["insert_workspace"],
        workspace.shard,
        workspace.id,
        workspace.name,
        workspace.timezone,
        workspace.strict_properties,
        created_at,
    )


async def update_workspace(connection: Connection, workspace: Workspace) -> None:
    """Saves what may change: the time zone and the settings."""
    quotas = msgspec.json.encode(workspace.quotas).decode()
    await connection.execute(
        SQL["update_workspace"], workspace.id, workspace.timezone, workspace.strict_properties, quotas
    )


async def list_workspaces(connection: Connection) -> list[Workspace]:
    """All of them, by number."""
    return [to_workspace(row) for row in await connection.fetch(SQL["list_workspaces"])]


def to_workspace(row: asyncpg.Record) -> Workspace:
    return Workspace(
        shard=row["shard"],
        id=row["id"],
        name=row["name"],
        timezone=row["timezone"],
        strict_properties=row["strict_properties"],
        quotas=msgspec.json.decode(row["quotas"]),
    )


async def is_timezone(connection: Connection, name: str) -> bool:
    """Whether PostgreSQL knows the time zone by this IANA name."""
    return bool(await connection.fetchval(SQL["is_timezone"], name))
