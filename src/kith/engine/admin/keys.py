"""Making and revoking API keys: an operator's work. Who may come in with one is decided in ``access``."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, get_args

from kith.clock import Clock
from kith.engine.admin.workspaces import check_name
from kith.engine.context.key_cache import KINDS, hash_key
from kith.errors import InvalidRequest, NotFound
from kith.model.workspaces import Workspace
from kith.store import keys as store
from kith.store.database import Connection
from kith.store.keys import ApiKey
from kith.store.workspaces import lock_control

Kind = Literal["server", "sending", "public"]
Tier = Literal["starter", "growth", "scale", "enterprise"]
# Each scope includes those before it.
SCOPES: Sequence[str] = ("crm:read", "crm:write", "crm:admin")
DEFAULT_SCOPES = ("crm:read", "crm:write")
TIERS: Sequence[str] = get_args(Tier)
SECRET_BYTES = 32
UNLIMITED = 0


def new_key_text(kind: str) -> str:
    """``kith_srv_`` and the like, then 256 random bits in 43 URL-safe characters."""
    return f"kith_{KINDS[kind]}_{secrets.token_urlsafe(SECRET_BYTES)}"


async def create_key(
    connection: Connection,
    clock: Clock,
    workspace: Workspace,
    *,
    name: str | None = None,
    kind: str = "server",
    scopes: Sequence[str] = DEFAULT_SCOPES,
    tier: str = "growth",
    rate_per_s: int | None = None,
    batch_per_s: int | None = None,
    expires_in: timedelta | None = None,
    text: str | None = None,
) -> tuple[str, ApiKey]:
    """(the key's text, which is nowhere else from now on; its row). Rates of None are the tier's, 0 is no limit.

    ``text`` is for a key that was written down before it is made. Raises InvalidRequest.
    """
    check_choice("kind", kind, list(KINDS))
    check_choice("tier", tier, TIERS)
    for scope in scopes:
        check_choice("scope", scope, SCOPES)
    name = check_name(name, "A key's name") if name is not None else None
    text = text or new_key_text(kind)
    now = clock.now()
    async with connection.transaction():
        await lock_control(connection)
        key = ApiKey(
            id=await store.next_key_id(connection),
            workspace=workspace.name,
            hint=f"{text[:13]}…",
            kind=kind,
            name=name,
            scopes=list_included(scopes),
            tier=tier,
            rate_per_s=rate_per_s,
            batch_per_s=batch_per_s,
            created_at=now,
            expires_at=_add(now, expires_in),
        )
        await store.insert_key(connection, workspace, key, hash_key(text))
    return text, key


def list_included(scopes: Sequence[str]) -> tuple[str, ...]:
    """The scopes with those that they include: crm:admin includes crm:write, which includes crm:read."""
    return tuple(SCOPES[: max((SCOPES.index(scope) + 1 for scope in scopes), default=0)])


def _add(now: datetime, expires_in: timedelta | None) -> datetime | None:
    if expires_in is None:
        return None
    try:
        return now + expires_in
    except OverflowError:
        raise InvalidRequest(
            f"A key cannot expire in {expires_in.days} days; leave it out for one that never does."
        ) from None


async def revoke_key(connection: Connection, clock: Clock, key_id: int) -> None:
    """Running processes stop taking it within 5 s. A revoked key stays revoked. Raises NotFound."""
    if not 0 < key_id < 2**63 or not await store.revoke_key(connection, key_id, clock.now()):
        raise NotFound(f"No key {key_id}. `kith keys list` shows those there are.")


def check_choice(what: str, given: str, choices: Sequence[str]) -> None:
    if given not in choices:
        raise InvalidRequest(f"No {what} {given!r}. There are: {', '.join(choices)}.")
