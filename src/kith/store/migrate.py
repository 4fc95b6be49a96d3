"""Migrations: numbered SQL files, forward only, each in a transaction, all under one advisory lock."""

import re
import secrets
from importlib import resources
from typing import NamedTuple

import msgspec

from kith.errors import NotYet, StartError
from kith.model.system_properties import SYSTEM
from kith.store.database import Connection, connect
from kith.store.folding import fold_stored_text, is_folded
from kith.store.queries import load_queries

POSTGRES_VERSION_MIN = 15
_PROPERTIES = load_queries("properties")
_LOCK = 0x6B697468  # "kith"
_FILE = re.compile(r"^(\d{4})_(\w+)\.sql$")


class Migration(NamedTuple):
    version: int
    name: str
    sql: str


def load_migrations() -> list[Migration]:
    """Every migration of this program, oldest first."""
    folder = resources.files("kith.store").joinpath("migrations")
    return sorted(
        Migration(int(match[1]), match[2], path.read_text("utf-8"))
        for path in folder.iterdir()
        if (match := _FILE.match(path.name))
    )


async def migrate(url: str, partitions: int = 16) -> list[Migration]:
    """Bring the schema to this program's version and make the installation if there is none; what was applied.

    ``partitions`` counts only for a new installation. Raises StartError where the server is older than 15 or
    the schema is newer than the program.
    """
    connection = await connect(url)
    try:
        server = connection.get_server_version()
        if server.major < POSTGRES_VERSION_MIN:
            raise StartError(f"PostgreSQL {server.major} is too old; Kith needs {POSTGRES_VERSION_MIN} or newer.")
        await connection.execute("SELECT pg_advisory_lock($1::bigint)", _LOCK)
        return await _apply_missing(connection, partitions)
    finally:
        await connection.close()


async def _apply_missing(connection: Connection, partitions: int) -> list[Migration]:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations"
        " (version int PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL)"
    )
    done = {row["version"] for row in await connection.fetch("SELECT version FROM schema_migrations")}
    migrations = load_migrations()
    check_not_newer(done, migrations)
    missing = [migration for migration in migrations if migration.version not in done]
    for migration in missing:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO schema_migrations (version, name, applied_at) VALUES ($1, $2, now())",
                migration.version,
                migration.name,
            )
    await _make_installation(connection, partitions)
    await fold_stored_text(connection)
    await connection.execute(_PROPERTIES["save_system_properties"], encode_system_properties())
    return missing


def encode_system_properties() -> str:
    """The program's own table, as rows."""
    return msgspec.json.encode(list(SYSTEM.values())).decode()


def check_not_newer(done: set[int], migrations: list[Migration]) -> None:
    known = migrations[-1].version
    if done and max(done) > known:
        raise StartError(
            f"The database's schema is version {max(done)}, this program knows {known}."
            " Install the newer Kith that made it."
        )


async def _make_installation(connection: Connection, partitions: int) -> None:
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO installation (partitions, secret) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            partitions,
            secrets.token_bytes(32),
        )
        for table in ("log_head", "cursors"):
            await connection.execute(
                f"INSERT INTO {table} (shard, position)"
                " SELECT shard, 0 FROM installation, generate_series(0, partitions - 1) AS shard ON CONFLICT DO NOTHING"
            )


async def check_schema(connection: Connection) -> None:
    """Raise StartError unless the schema is exactly this program's."""
    migrations = load_migrations()
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        raise NotYet("The database has no Kith schema yet. Run `kith init`, or start with `kith serve`.")
    done = {row["version"] for row in await connection.fetch("SELECT version FROM schema_migrations")}
    check_not_newer(done, migrations)
    if missing := [migration.version for migration in migrations if migration.version not in done]:
        raise NotYet(f"The database's schema lacks migration {missing[0]}. Run `kith init` to bring it up to date.")
    if not await is_folded(connection):
        raise NotYet("Stored text is not yet in the form of this version. Run `kith init` to bring it up to date.")
