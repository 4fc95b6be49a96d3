"""Rows of API keys. A key's text is never here: only its SHA-256, and a hint to tell it from others."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from kith.model.workspaces import Workspace
from kith.store.database import Connection
from kith.store.queries import load_queries

SQL = load_queries("keys")


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as operators see it. Rates of None are the tier's, 0 is no limit."""

    id: int
    workspace: str
    hint: str
    kind: str
    name: str | None = None
    scopes: tuple[str, ...]
    tier: str
    rate_per_s: int | None
    batch_per_s: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


async def next_key_id(connection: Connection) -> int:
    return int(await connection.fetchval(SQL["next_key_id"]))


async def insert_key(connection: Connection, workspace: Workspace, key: ApiKey, key_hash: bytes) -> None:
    await connection.execute(
        SQL["insert_key"],
        workspace.shard,
        workspace.id,
        key.id,
        key_hash,
        key.hint,
        key.kind,
        key.name,
        list(key.scopes),
        key.tier,
        key.rate_per_s,
        key.batch_per_s,
        key.created_at,
        key.expires_at,
    )


async def list_keys(connection: Connection, workspace: Workspace | None) -> list[ApiKey]:
    """Those of a workspace, or all; by number, revoked ones too."""
    rows = await connection.fetch(SQL["list_keys"], workspace.id if workspace else None)
    return [ApiKey(**{**dict(row), "scopes": tuple(row["scopes"])}) for row in rows]


async def revoke_key(connection: Connection, key_id: int, at: datetime) -> bool:
    """False where no key has this number. The first revocation's time stays."""
    return await connection.fetchval(SQL["revoke_key"], key_id, at) is not None


async def note_used(connection: Connection, used: Mapping[int, datetime], at_most_every: timedelta) -> None:
    """Save when keys were last used, except where that was saved within ``at_most_every``."""
    await connection.execute(SQL["note_used"], list(used), list(used.values()), at_most_every)


async def has_key(connection: Connection, key_hash: bytes) -> bool:
    return bool(await connection.fetchval(SQL["has_key"], key_hash))
