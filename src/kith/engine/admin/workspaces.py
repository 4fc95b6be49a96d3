"""Making, finding and changing workspaces: an operator's work, so not by commands on the log."""

import unicodedata
from collections.abc import Collection, Mapping

import msgspec

from kith.clock import Clock
from kith.errors import InvalidRequest, NotFound
from kith.model.quotas import check_quotas
from kith.model.workspaces import Workspace, make_shard
from kith.store import workspaces as store
from kith.store.database import Connection

DEFAULT_WORKSPACE = "default"
NAME_LENGTH_MAX = 100


async def create_workspace(connection: Connection, clock: Clock, name: str, timezone: str = "UTC") -> Workspace:
    """Raises InvalidRequest for a name that cannot be one, or that is taken, and for an unknown time zone."""
    name = check_name(name)
    await _check_timezone(connection, timezone)
    async with connection.transaction():
        await store.lock_control(connection)
        if name in {existing.name for existing in await store.list_workspaces(connection)}:
            raise InvalidRequest(f"There is a workspace {name!r} already. `kith workspaces list` shows all.")
        number = await store.next_workspace_id(connection)
        shard = make_shard(number, await store.load_partitions(connection))
        workspace = Workspace(shard=shard, id=number, name=name, timezone=timezone)
        await store.insert_workspace(connection, workspace, clock.now())
    return workspace


async def change_workspace(
    connection: Connection,
    name: str,
    timezone: str | None = None,
    strict_properties: bool | None = None,
    quotas: Mapping[str, int | None] | None = None,
    defaults: Collection[str] = (),
) -> Workspace:
    """Changes what is given; the quotas in ``defaults`` get their default again.

    Running processes take it over within their key cache's time.
    """
    if timezone is not None:
        await _check_timezone(connection, timezone)
    check_quotas(quotas or {})
    check_quotas(dict.fromkeys(defaults, 0))
    async with connection.transaction():
        await store.lock_control(connection)
        workspace = await get_workspace(connection, name)
        changed = msgspec.structs.replace(
            workspace,
            timezone=workspace.timezone if timezone is None else timezone,
            strict_properties=workspace.strict_properties if strict_properties is None else strict_properties,
            quotas={
                quota: limit for quota, limit in {**workspace.quotas, **(quotas or {})}.items() if quota not in defaults
            },
        )
        await store.update_workspace(connection, changed)
    return changed


async def get_workspace(connection: Connection, name: str) -> Workspace:
    """By name. Raises NotFound, which lists the workspaces there are."""
    there_are = await store.list_workspaces(connection)
    wanted = unicodedata.normalize("NFC", name)
    for workspace in there_are:
        if workspace.name == wanted:
            return workspace
    names = ", ".join(workspace.name for workspace in there_are)
    raise NotFound(f"No workspace {name!r}. " + (f"There are: {names}." if names else "There are none yet."))


def check_name(name: str, what: str = "A workspace's name") -> str:
    """The name in its one spelling (Unicode NFC). Raises InvalidRequest; ``what`` begins its sentence."""
    name = unicodedata.normalize("NFC", name)
    if not name or name != name.strip():
        raise InvalidRequest(f"{what} must not be empty or have spaces around it; {name!r} was given.")
    if len(name) > NAME_LENGTH_MAX:
        raise InvalidRequest(f"{what} has at most {NAME_LENGTH_MAX} characters; {len(name)} were given.")
    if any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in name):
        raise InvalidRequest(f"{what} must not contain control characters; {name!r} does.")
    return name


async def _check_timezone(connection: Connection, name: str) -> None:
    if "\0" in name or not await store.is_timezone(connection, name):
        raise InvalidRequest(f"No time zone {name!r}. Use an IANA name such as UTC or Europe/Berlin.")
