"""Backups: a dump of the database, and beside it where its log stood, both of one snapshot.

The programs are those of the PostgreSQL that comes along: its ``pg_dump`` reads servers of its own version and older.
"""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from kith import __version__
from kith.clock import to_iso
from kith.errors import StartError, to_reason
from kith.installation.binaries import find_binaries
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
# How much is kept of what a program says.
SAID_BYTES_MAX = 8192
# After it psql executes no commands of its own, such as \\! for the shell.
RESTRICTION = b"\\restrict "
NEW_SETTING = b"SET transaction_timeout = 0;\n"
_LOG = load_queries("log")
_ROLES = load_queries("roles")


class Tools(msgspec.Struct, frozen=True):
    """PostgreSQL's programs: their folder, None for those that come along, and the environment that they get."""

    environment: Mapping[str, str]
    bin_dir: Path | None = None


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


async def back_up(url: str, folder: Path, tools: Tools) -> Manifest:
    """Into a folder that is not there yet, and is there when all of it is. Kith may run meanwhile.

    Its files are for their owner only: they hold everything. Raises StartError.
    """
    unfinished = _make_unfinished(folder)
    async with open_connection(url) as connection:
        await check_schema(connection)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            manifest = await _describe(connection)
            snapshot = await connection.fetchval(_LOG["export_snapshot"])
            target = f"--file={unfinished / DUMP}"
            await _run("pg_dump", url, tools, "--format=custom", f"--snapshot={snapshot}", target)
    _write_private(unfinished / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    os.sync()
    unfinished.rename(folder)
    return manifest


def _write_private(path: Path, data: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def _make_unfinished(folder: Path) -> Path:
    """Beside it; what a killed backup has left there goes."""
    if folder.exists():
        raise StartError(f"{folder} is there already; a backup goes into a folder of its own.")
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700, parents=True)
    return unfinished


async def restore(url: str, folder: Path, tools: Tools) -> Manifest:
    """Into an empty database, wholly or not at all. Raises StartError, also for a role that is a superuser.

    A dump is a program: whoever wrote it decides what the restoring role does.
    """
    manifest = read_manifest(folder)
    check_not_newer({manifest.schema}, load_migrations())
    # An earlier try may have set another path, to functions of its own.
    async with open_connection(url, search_path="pg_catalog, public") as connection:
        if tables := await connection.fetch(_LOG["list_tables"]):
            raise StartError(
                f"The database is not empty (it has the table {tables[0]['name']}). A restore needs an empty database,"
                " or a data folder in which no server ever ran."
            )
        found = await connection.fetchrow(_ROLES["find_rights"])
        if found is not None and found["rights"]:
            raise StartError(
                f"The role {found['role']!r} has the rights of {found['rights']}. A restore runs what is in"
                " the backup with the rights of its role. Set KITH_DATABASE_URL to a role without them that owns the"
                " database: create role kith login password '...'; alter database ... owner to kith;"
            )
        await _load(url, tools, folder / DUMP)
        await connection.execute("ANALYZE")
        restored = await _describe(connection)
    if restored.positions != manifest.positions:
        raise StartError(f"{folder / DUMP} and {folder / MANIFEST} are not of one backup: the positions differ.")
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Raises StartError for a folder that holds no whole backup."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        (folder / DUMP).stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        missing = Path(error.filename).name
        raise StartError(
            f"{folder} holds no whole backup: it has no {missing}. Name a folder of `kith backup`."
        ) from None
    except OSError as error:
        raise StartError(f"The backup in {folder} cannot be read ({to_reason(error)}).") from None
    except (msgspec.MsgspecError, ValueError):
        raise StartError(f"{folder} holds no whole backup: its {MANIFEST} is damaged. Restore another copy.") from None
    return manifest


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


async def _run(program: str, url: str, tools: Tools, *arguments: str) -> None:
    """One of PostgreSQL's programs to its end. Raises StartError with what it says."""
    running = await _start(program, url, tools, *arguments)
    try:
        _, said = await running.communicate()
    except BaseException:
        await _kill(running)
        raise
    if running.returncode != 0:
        raise _make_failure(program, said)


async def _load(url: str, tools: Tools, dump: Path) -> None:
    """The dump as a script, into one transaction; by itself ``pg_restore`` sets what servers before 17 do not know.

    What the programs say is read while they run: a full pipe would stop them.
    """
    source = await _start("pg_restore", "", tools, "--no-owner", "--no-privileges", "--file=-", str(dump))
    arguments = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-"]
    target = await _start("psql", url, tools, *arguments)
    assert source.stderr is not None and target.stderr is not None
    source_says = asyncio.create_task(_read_end(source.stderr))
    target_says = asyncio.create_task(_read_end(target.stderr))
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # psql has ended, and has said why
            await _copy(source, source_says, target)
        said = await target_says
        if await target.wait() != 0:
            raise _make_failure("psql", said)
    finally:
        source_says.cancel()
        target_says.cancel()
        await asyncio.gather(source_says, target_says, return_exceptions=True)
        await _kill(source)
        await _kill(target)


async def _copy(
    source: asyncio.subprocess.Process, source_says: "asyncio.Task[bytes]", target: asyncio.subprocess.Process
) -> None:
    assert source.stdout is not None and target.stdin is not None
    # Not psql's own way to do it: that commits where its input ends, also when this process is killed.
    target.stdin.write(b"BEGIN;\n")
    head = [await source.stdout.readline() for _ in range(HEAD_LINES)]
    first = next((line for line in head if line.strip() and not line.startswith(b"--")), RESTRICTION)
    if not first.startswith(RESTRICTION):
        raise StartError(
            "This pg_restore lets a backup start programs. Set KITH_POSTGRES_BIN to those of PostgreSQL 15.14, 16.10,"
            " 17.6, 18 or newer, or leave it empty for those that come with Kith."
        )
    target.stdin.writelines(b"" if line == NEW_SETTING else line for line in head)
    while chunk := await source.stdout.read(CHUNK_BYTES):
        target.stdin.write(chunk)
        await target.stdin.drain()
    said = await source_says
    if await source.wait() != 0:
        raise _make_failure("pg_restore", said)
    target.stdin.write(b"COMMIT;\n")
    await target.stdin.drain()
    target.stdin.close()


async def _read_end(stream: asyncio.StreamReader) -> bytes:
    """Read to the end; the last of it, where programs say why they end."""
    kept = b""
    while chunk := await stream.read(CHUNK_BYTES):
        kept = (kept + chunk)[-SAID_BYTES_MAX:]
    return kept


async def _start(program: str, url: str, tools: Tools, *arguments: str) -> asyncio.subprocess.Process:
    address, password = split_password(url)
    return await asyncio.create_subprocess_exec(
        (tools.bin_dir or find_binaries(None)) / program,
        *([f"--dbname={address}"] if url else []),
        *arguments,
        env={**tools.environment, "PGPASSWORD": password} if password else tools.environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE if not url else asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        umask=0o077,
    )


async def _kill(running: asyncio.subprocess.Process) -> None:
    """End the program. Its output is read to the end: asyncio waits for a process until its pipes are empty."""
    if running.returncode is None:
        running.kill()
    await running.communicate()


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
