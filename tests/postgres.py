"""PostgreSQL for the tests: one throwaway server for the run, and as many databases on it as tests want."""

import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest

from kith.installation.data_folder import EVERYDAY
from kith.installation.embedded import EmbeddedPostgres
from kith.store.migrate import migrate

DEBIAN_BIN = Path("/usr/lib/postgresql/15/bin")
REQUIRED = os.environ.get("KITH_TEST_REQUIRE") == "1"
TEMPLATE = "kith_template"


@dataclass
class Cluster:
    """A running PostgreSQL whose template database has the newest schema."""

    server: EmbeddedPostgres
    partitions: int
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def maintenance_url(self) -> str:
        return to_url(self.server, "postgres")

    async def prepare(self) -> None:
        # It would look at hundreds of databases over and over; tests that need the planner to know tell it.
        await self.execute("ALTER SYSTEM SET autovacuum = off")
        await self.execute("SELECT pg_reload_conf()")
        await self.execute(f"CREATE DATABASE {TEMPLATE}")
        await migrate(to_url(self.server, TEMPLATE), self.partitions)

    async def make_database(self, *, empty: bool = False) -> str:
        """The URL of a new database: with the newest schema, or with nothing in it."""
        name = f"test_{next(self._numbers)}"
        template = "template0" if empty else TEMPLATE
        # Copied as files, which takes a third of the time: the default writes each page to the log.
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return to_url(self.server, name)

    async def make_everyday_database(self) -> str:
        """The URL of a new and empty database, as a role that is no superuser."""
        name = f"test_{next(self._numbers)}"
        await self.execute(f"CREATE DATABASE {name} OWNER {EVERYDAY} TEMPLATE template0 STRATEGY file_copy")
        return self.server.url.replace("@/kith?", f"@/{name}?")

    async def execute(self, sql: str) -> None:
        async with connect(self.maintenance_url) as connection:
            await connection.execute(sql)


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


def to_url(server: EmbeddedPostgres, database: str) -> str:
    """As a superuser, which row level security lets pass."""
    return server.superuser_url.replace("@/postgres?", f"@/{database}?")


def find_programs(version: int) -> Path | None:
    """Where the programs of PostgreSQL 15 or 18 are; None means those in the wheel. Skips the test without them."""
    if version == 18:
        return None
    if not (DEBIAN_BIN / "postgres").exists():
        message = "Debian's PostgreSQL 15 is not installed (apt-get install postgresql-15)"
        if REQUIRED:
            pytest.fail(message)
        pytest.skip(message)
    return DEBIAN_BIN


async def start_server(data: Path, version: int, partitions: int) -> Cluster:
    server = Cluster(EmbeddedPostgres.start(data, bin_dir=find_programs(version), durable=False), partitions)
    await server.prepare()
    return server
