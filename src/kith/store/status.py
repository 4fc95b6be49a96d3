"""Summary of an installation for operators."""

import msgspec

from kith.store.database import Connection
from kith.store.queries import load_queries

SQL = load_queries("status")


class Server(msgspec.Struct, frozen=True):
    """``schema`` is the newest migration's number."""

    version: str
    name: str
    bytes: int
    schema: int


class Shard(msgspec.Struct, frozen=True):
    """The log of a shard: its last position, how far it is applied, and how many entries could not be.

    Of ``dead`` those that were retried are left out.
    """

    shard: int
    head: int
    cursor: int
    dead: int


class WorkspaceRows(msgspec.Struct, frozen=True):
    """``contacts`` counts every status."""

    id: int
    name: str
    shard: int
    contacts: int


async def load_server(connection: Connection) -> Server:
    (row,) = await connection.fetch(SQL["load_server"])
    return Server(**dict(row))


async def load_shards(connection: Connection) -> list[Shard]:
    return [Shard(**dict(row)) for row in await connection.fetch(SQL["load_shards"])]


async def load_workspace_rows(connection: Connection) -> list[WorkspaceRows]:
    return [WorkspaceRows(**dict(row)) for row in await connection.fetch(SQL["load_workspace_rows"])]
