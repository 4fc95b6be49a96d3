"""Create the first workspace and the first admin key of a new installation."""

from kith.clock import Clock
from kith.engine.admin.keys import SCOPES, UNLIMITED, create_key
from kith.engine.admin.workspaces import DEFAULT_WORKSPACE, create_workspace
from kith.engine.context.key_cache import hash_key
from kith.store import keys, workspaces
from kith.store.database import Connection
from kith.store.partitions import make_partitions


async def make_first(connection: Connection, clock: Clock, key_text: str) -> bool:
    """Makes the workspace ``default`` where there is none at all, and an admin key where there is no key at all.

    True when the key's text is a key of this installation afterwards. Twice the same is once. The partitions of today
    are made before the first write, which else would lie in the default ones for good.
    """
    await make_partitions(connection, clock.now())
    async with connection.transaction():
        await workspaces.lock_control(connection)
        if not await workspaces.list_workspaces(connection):
            await create_workspace(connection, clock, DEFAULT_WORKSPACE)
        if await keys.list_keys(connection, None):
            return await keys.has_key(connection, hash_key(key_text))
        await create_key(
            connection,
            clock,
            (await workspaces.list_workspaces(connection))[0],
            name="admin",
            scopes=SCOPES,
            tier="enterprise",
            rate_per_s=UNLIMITED,
            batch_per_s=UNLIMITED,
            text=key_text,
        )
    return True
