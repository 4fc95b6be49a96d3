"""The key behind a request, and its workspace, in one round trip."""

from datetime import datetime

import msgspec

from kith.model.workspaces import Workspace
from kith.store.database import Database
from kith.store.queries import load_queries
from kith.store.workspaces import to_workspace

SQL = load_queries("access")


class FoundKey(msgspec.Struct, frozen=True):
    """A key's row as far as letting someone in needs it. Rates of None are the tier's, 0 is no limit."""

    workspace: Workspace
    key_id: int
    kind: str
    scopes: frozenset[str]
    tier: str
    rate_per_s: int | None
    batch_per_s: int | None
    expires_at: datetime | None
    revoked: bool
    name: str | None = None


async def find_key(database: Database, key_hash: bytes) -> FoundKey | None:
    """By the SHA-256 of its text, in any workspace."""
    row = await database.fetchrow(SQL["find_key"], key_hash)
    if row is None:
        return None
    return FoundKey(
        workspace=to_workspace(row),
        key_id=row["key_id"],
        kind=row["kind"],
        name=row["name_of_key"],
        scopes=frozenset(row["scopes"]),
        tier=row["tier"],
        rate_per_s=row["rate_per_s"],
        batch_per_s=row["batch_per_s"],
        expires_at=row["expires_at"],
        revoked=row["revoked"],
    )
