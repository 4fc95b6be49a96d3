"""Backups: a dump of the database, and beside it where its log stood, both of one snapshot.

The programs are those of the PostgreSQL that comes along: its ``pg_dump`` reads servers of its own version and older.
"""

import asyncio
import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from kith import __version__
from kith.clock import to_iso
from kith.errors import StartError
from kith.store.binaries import find_binaries
from kith.store.database import Connection, open_connection
from kith.store.log_place import load_place
from kith.store.migrate import check_not_newer, check_schema, load_migrations
from kith.store.queries import load_queries
from kith.store.status import load_server, load_shards

DUMP = "database.dump"
MANIFEST = "manifest.json"
CHUNK_BYTES = 1024 * 1024
# Where a script sets up its session; what servers before 17 do not know is at its default anyway.
HEAD_LINES = 60
NEW_SETTING = b"SET transaction_timeout = 0;\n"
_LOG = load_queries("log")


class Position(msgspec.Struct, frozen=True):
    """A shard: up to where it is applied, and the end of its log in PostgreSQL."""

    shard: int
    applied: int
    end: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds. ``log`` is where the log is; one in Kafka is no part of the backup."""

    kith: str
    schema: int
    postgresql: str
    made_at: str
    log: str | None
    positions: list[Position]


async def back_up(url: str, folder: Path, environment: Mapping[str, str]) -> Manifest:
    """Into a folder that is not there yet, and is there when all of it is. Kith may run meanwhile.

    ``environment`` is that of PostgreSQL's programs. Raises StartError.
    """
    unfinished = _make_unfinished(folder)
    async with open_connection(url) as connection:
        await check_schema(connection)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            manifest = await _describe(connection)
            snapshot = await connection.fetchval(_LOG["export_snapshot"])
            target = f"--file={unfinished / DUMP}"
            await _run("pg_dump", url, environment, "--format=custom", f"--snapshot={snapshot}", target)
    (unfinished / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    os.sync()
    unfinished.rename(folder)
    return manifest


def _make_unfinished(folder: Path) -> Path:
    """Beside it; what a killed backup has left there goes."""
    if folder.exists():
        raise StartError(f"{folder} is there already; a backup goes into a folder of its own.")
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700, parents=True)
    return unfinished


async def restore(url: str, folder: Path, environment: Mapping[str, str]) -> Manifest:
    """Into an empty database, wholly or not at all. Raises StartError."""
    manifest = read_manifest(folder)
    check_not_newer({manifest.schema}, load_migrations())
    async with open_connection(url) as connection:
        if tables := await connection.fetch(_LOG["list_tables"]):
            raise StartError(
                f"The database is not empty (it has the table {tables[0]['name']}). A restore needs an empty database,"
                " or a data folder in which no server ever ran."
            )
        await _load(url, environment, folder / DUMP)
        await connection.execute("ANALYZE")
        restored = await _describe(connection)
    if restored.positions != manifest.positions:
        raise StartError(f"{folder / DUMP} and {folder / MANIFEST} are not of one backup: the positions differ.")
    return manifest


def read_manifest(folder: Path) -> Manifest:
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise StartError(f"{folder} holds no whole backup: {MANIFEST} cannot be read ({error}).") from None


async def _describe(connection: Connection) -> Manifest:
    server = await load_server(connection)
    shards = await load_shards(connection)
    return Manifest(
        kith=__version__,
        schema=server.schema,
        postgresql=server.version,
        made_at=to_iso(datetime.now(UTC)),
        log=await load_place(connection),
        positions=[Position(shard.shard, shard.cursor, shard.head) for shard in shards],
    )


async def _run(program: str, url: str, environment: Mapping[str, str], *arguments: str) -> None:
    """One of PostgreSQL's programs to its end. Raises StartError with what it says."""
    running = await _start(program, url, environment, *arguments)
    try:
        _, said = await running.communicate()
    except BaseException:
        await _kill(running)
        raise
    if running.returncode != 0:
        raise _make_failure(program, said)


async def _load(url: str, environment: Mapping[str, str], dump: Path) -> None:
    """The dump as a script, into one transaction; by itself ``pg_restore`` sets what servers before 17 do not know."""
    source = await _start("pg_restore", "", environment, "--no-owner", "--no-privileges", "--file=-", str(dump))
    arguments = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-"]
    target = await _start("psql", url, environment, *arguments)
    try:
        assert source.stdout is not None and source.stderr is not None
        assert target.stdin is not None and target.stderr is not None
        try:
            # Not psql's own way to do it: that commits where its input ends, also when this process is killed.
            target.stdin.write(b"BEGIN;\n")
            for _ in range(HEAD_LINES):
                line = await source.stdout.readline()
                target.stdin.write(b"" if line == NEW_SETTING else line)
            while chunk := await source.stdout.read(CHUNK_BYTES):
                target.stdin.write(chunk)
                await target.stdin.drain()
            said = await source.stderr.read()
            if await source.wait() != 0:
                raise _make_failure("pg_restore", said)
            target.stdin.write(b"COMMIT;\n")
            await target.stdin.drain()
            target.stdin.close()
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended, and has said why
        said = await target.stderr.read()
        if await target.wait() != 0:
            raise _make_failure("psql", said)
    finally:
        await _kill(source)
        await _kill(target)


async def _start(program: str, url: str, environment: Mapping[str, str], *arguments: str) -> asyncio.subprocess.Process:
    address, password = split_password(url)
    return await asyncio.create_subprocess_exec(
        find_binaries(None) / program,
        *([f"--dbname={address}"] if url else []),
        *arguments,
        env={**environment, "PGPASSWORD": password} if password else environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE if not url else asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


async def _kill(running: asyncio.subprocess.Process) -> None:
    if running.returncode is None:
        running.kill()
    await running.wait()


def _make_failure(program: str, said: bytes) -> StartError:
    return StartError(f"{program} failed: {' '.join(said.decode(errors='replace').split()) or 'it does not say why'}")


def split_password(url: str) -> tuple[str, str]:
    """The address without its password, which everybody would see among a program's arguments; the password."""
    parts = urlsplit(url)
    # As they are written: in such a URL a plus is no space.
    options = [one for one in parts.query.split("&") if one]
    given = next((one.partition("=")[2] for one in options if one.startswith("password=")), "")
    password = unquote(parts.password or given)
    if not password:
        return url, ""
    user, _, host = parts.netloc.rpartition("@")
    kept = "&".join(one for one in options if not one.startswith("password="))
    host = f"{user.split(':')[0]}@{host}" if user else host
    return f"{parts.scheme}://{host}{parts.path}{'?' if kept else ''}{kept}", password
