"""Backups: of one snapshot, whole or not there, and what is restored is what was."""

import asyncio
import stat
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from kith.engine.admin.backup import Tools, _run, back_up, read_manifest, restore, split_password
from kith.engine.admin.log_migration import move_log
from kith.engine.admin.replay import replay_check
from kith.errors import StartError
from kith.installation.binaries import find_binaries
from kith.settings import Settings, to_environment
from kith.store.comparison import TABLES, find_difference
from kith.store.migrate import load_migrations
from tests.engine.acts import Acts
from tests.kafka import Broker
from tests.kit import SETTINGS, Kit, open_kit
from tests.postgres import Cluster, connect

TOOLS = Tools(to_environment(Settings(), {"PATH": "/usr/bin:/bin"}))
# What no command fills, so that a replay does not compare it.
OTHERS = ("installation", "workspaces", "api_keys", "log_head", "command_log", "system_properties", "schema_migrations")


async def list_differences(url: str, other_url: str, *, others: bool = True) -> list[str]:
    """Of all tables of two databases."""
    async with connect(url) as one, connect(other_url) as other:
        found = [await find_difference(one, other, table) for table in TABLES]
        for table in OTHERS if others else ():
            sql = f"SELECT to_jsonb(t)::text FROM {table} t ORDER BY 1"
            same = await one.fetch(sql) == await other.fetch(sql)
            found.append(None if same else f"{table} differs")
    return [difference for difference in found if difference]


async def write(kit: Kit, acts: Acts, name: str) -> None:
    """A bit of everything that the writer fills, applied."""
    await acts.define(f"seats_{name}", "NUMBER")
    made = [await acts.create(name=name, email=f"{name}{n}@example.com") for n in range(5)]
    await kit.drain()
    first = made[0].operation.resource.rsplit("/", 1)[1]
    await acts.update(first, name="Other")
    await acts.delete(f"{name}1@example.com")
    await kit.drain()


async def test_what_is_restored_is_what_was_and_goes_on_with_its_log(each_postgres: Cluster, tmp_path: Path) -> None:
    url, other_url = await each_postgres.make_database(), await each_postgres.make_everyday_database()
    async with open_kit(url) as kit:
        acts = Acts(kit.engine, await kit.make_workspace())
        await kit.make_key(acts.workspace)
        await write(kit, acts, "ada")
        await acts.create(name="Pending")
        made = await back_up(url, tmp_path / "backup", TOOLS)
        assert await restore(other_url, tmp_path / "backup", TOOLS) == made
        assert await list_differences(url, other_url) == []
        position = next(one for one in made.positions if one.shard == acts.workspace.shard)
        assert (position.end - position.applied, made.log) == (1, "postgresql")
        await kit.drain()
    async with open_kit(other_url) as restored:
        await restored.drain()
    assert await list_differences(url, other_url) == []
    assert (await replay_check(other_url, SETTINGS)).differences == []


async def test_a_backup_is_of_one_moment_while_kith_goes_on(
    postgres: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, other_url = await postgres.make_database(), await postgres.make_everyday_database()
    async with open_kit(url) as kit:
        acts = Acts(kit.engine, await kit.make_workspace())
        await write(kit, acts, "ada")
        monkeypatch.setattr("kith.engine.admin.backup._run", run_after(lambda: write(kit, acts, "eve")))
        await back_up(url, tmp_path / "backup", TOOLS)
        monkeypatch.undo()
    await restore(other_url, tmp_path / "backup", TOOLS)
    assert (await replay_check(other_url, SETTINGS)).differences == []
    async with connect(other_url) as connection:
        assert await connection.fetchval("SELECT count(*) FROM contacts") == 5


def run_after(before: Callable[[], Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def run(*arguments: Any) -> None:
        await before()
        await _run(*arguments)

    return run


async def test_on_kafka_what_came_after_the_backup_is_applied_again_from_the_cursor(
    postgres: Cluster, kafka: Broker, tmp_path: Path
) -> None:
    settings = kafka.make_settings(SETTINGS)
    url, other_url = await postgres.make_database(), await postgres.make_everyday_database()
    async with open_kit(url, settings) as kit:
        acts = Acts(kit.engine, await kit.make_workspace())
        await write(kit, acts, "ada")
        await back_up(url, tmp_path / "backup", TOOLS)
        await write(kit, acts, "eve")
    await restore(other_url, tmp_path / "backup", TOOLS)
    async with connect(other_url) as connection:
        assert await connection.fetchval("SELECT count(*) FROM contacts") == 5
    async with open_kit(other_url, settings) as restored:
        await restored.drain()
    assert await list_differences(url, other_url) == []
    assert (await replay_check(other_url, settings)).entries == 16


async def test_a_backup_from_after_the_log_moved_is_restored_and_goes_on_in_the_topic(
    postgres: Cluster, kafka: Broker, tmp_path: Path
) -> None:
    settings = kafka.make_settings(SETTINGS)
    url, other_url = await postgres.make_database(), await postgres.make_everyday_database()
    async with open_kit(url) as kit:
        workspace = await kit.make_workspace()
        await write(kit, Acts(kit.engine, workspace), "ada")
    await move_log(url, settings, True, lambda _: None)
    made = await back_up(url, tmp_path / "backup", TOOLS)
    assert made.log == f"kafka:{settings.kafka_topic}"
    async with open_kit(url, settings) as kit:
        await write(kit, Acts(kit.engine, workspace), "eve")
    await restore(other_url, tmp_path / "backup", TOOLS)
    async with open_kit(other_url, settings) as restored:
        await restored.drain()
    assert await list_differences(url, other_url) == []
    async with connect(other_url) as connection:
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute("INSERT INTO command_log VALUES (0, 99, 1, '')")


async def test_a_backup_does_not_go_where_something_is_and_a_half_one_is_none(
    database_url: str, postgres: Cluster, tmp_path: Path
) -> None:
    folder = tmp_path / "backup"
    unfinished = tmp_path / "backup.unfinished"
    unfinished.mkdir()
    (unfinished / "database.dump").write_text("half")
    with pytest.raises(StartError, match=r"no whole backup: it has no manifest\.json"):
        read_manifest(unfinished)
    await back_up(database_url, folder, TOOLS)
    assert (stat.S_IMODE(folder.stat().st_mode), unfinished.exists()) == (0o700, False)
    assert [stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()] == [0o600, 0o600]
    with pytest.raises(StartError, match="is there already"):
        await back_up(database_url, folder, TOOLS)
    with pytest.raises(StartError, match="is not empty"):
        await restore(database_url, folder, TOOLS)
    empty = await postgres.make_everyday_database()
    (folder / "database.dump").write_bytes((folder / "database.dump").read_bytes()[:5000])
    with pytest.raises(StartError, match="pg_restore failed"):
        await restore(empty, folder, TOOLS)
    async with connect(empty) as connection:
        assert await connection.fetchval("SELECT count(*) FROM pg_class WHERE relname = 'contacts'") == 0


KILLED = """
import asyncio, os, sys
from pathlib import Path
from kith.engine.admin import backup

async def end(_):
    os._exit(9)

# It is waited for when all of the dump is on its way.
asyncio.subprocess.Process.wait = end
asyncio.run(backup.restore(sys.argv[1], Path(sys.argv[2]), backup.Tools(dict(os.environ))))
"""


async def test_a_restore_that_is_killed_at_its_end_leaves_nothing(
    database_url: str, postgres: Cluster, tmp_path: Path
) -> None:
    await back_up(database_url, tmp_path / "backup", TOOLS)
    empty = await postgres.make_everyday_database()
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, empty, str(tmp_path / "backup"), stdin=asyncio.subprocess.DEVNULL
    )
    assert await running.wait() == 9
    async with connect(empty) as connection:
        while await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'psql'"
        ):
            pass
        assert await connection.fetchval("SELECT count(*) FROM pg_class WHERE relname = 'contacts'") == 0


async def test_a_restore_ends_with_the_reason_when_psql_fails_early(
    database_url: str, postgres: Cluster, tmp_path: Path
) -> None:
    """What is left of the dump is much more than a pipe holds."""
    async with connect(database_url) as connection:
        rows = "SELECT n, md5(n::text) || repeat(md5(n::text), 20) FROM generate_series(1, 20000) n"
        await connection.execute(f"CREATE TABLE a_first (n int, text text); INSERT INTO a_first {rows}")
        await connection.execute("CREATE TABLE b_next AS SELECT * FROM a_first")
    await back_up(database_url, tmp_path / "backup", TOOLS)
    empty = await postgres.make_everyday_database()
    async with connect(empty) as connection:
        await connection.execute("CREATE TYPE a_first AS (n int)")
    with pytest.raises(StartError, match=r'psql failed: .*"a_first" already exists'):
        await asyncio.wait_for(restore(empty, tmp_path / "backup", TOOLS), 60)


@pytest.mark.parametrize("right", ["superuser", "pg_execute_server_program"])
async def test_what_a_backup_has_in_it_is_not_executed_with_rights_over_the_server(
    database_url: str, postgres: Cluster, tmp_path: Path, right: str
) -> None:
    async with connect(database_url) as connection:
        await connection.execute(EVIL.replace("PATH", str(tmp_path / "made")))
    await back_up(database_url, tmp_path / "backup", TOOLS)
    empty = await postgres.make_everyday_database()
    with pytest.raises(StartError, match="permission denied to COPY to or from an external program"):
        await restore(empty, tmp_path / "backup", TOOLS)
    refused = empty.replace("kith_app@", "kith@")
    if right != "superuser":
        refused = empty.replace("kith_app@", "kith_strong@")
        await postgres.execute(f"CREATE ROLE kith_strong LOGIN IN ROLE {right}")
    with pytest.raises(StartError, match=f"has the rights of {right}"):
        await restore(refused, tmp_path / "backup", TOOLS)
    assert not (tmp_path / "made").exists()


async def test_programs_that_let_a_backup_start_others_restore_nothing(
    database_url: str, postgres: Cluster, tmp_path: Path
) -> None:
    await back_up(database_url, tmp_path / "backup", TOOLS)
    (tmp_path / "psql").symlink_to(find_binaries(None) / "psql")
    (tmp_path / "pg_restore").write_text(
        f"#!/bin/sh\necho '-- Of PostgreSQL 15.13'\necho '\\! touch {tmp_path}/made'\n"
    )
    (tmp_path / "pg_restore").chmod(0o755)
    with pytest.raises(StartError, match=r"KITH_POSTGRES_BIN to those of PostgreSQL 15\.14"):
        await restore(await postgres.make_everyday_database(), tmp_path / "backup", Tools(TOOLS.environment, tmp_path))
    assert not (tmp_path / "made").exists()


# The index is built anew by whoever restores it.
EVIL = """
CREATE FUNCTION copy_out(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE 'COPY (SELECT 1) TO PROGRAM ' || quote_literal('touch PATH');
  RETURN n;
END $$;
CREATE FUNCTION run(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF current_setting('application_name') = 'psql' THEN RETURN public.copy_out(n); END IF;
  RETURN n;
END $$;
CREATE TABLE evil (n int);
INSERT INTO evil VALUES (1);
CREATE INDEX evil_n ON evil (public.run(n));
"""


async def test_a_backup_of_a_newer_schema_is_refused(database_url: str, postgres: Cluster, tmp_path: Path) -> None:
    await back_up(database_url, tmp_path / "backup", TOOLS)
    manifest = tmp_path / "backup" / "manifest.json"
    newest = load_migrations()[-1].version
    manifest.write_text(manifest.read_text().replace(f'"schema": {newest}', '"schema": 999'))
    with pytest.raises(StartError, match="schema is version 999"):
        await restore(await postgres.make_everyday_database(), tmp_path / "backup", TOOLS)


def test_a_password_is_no_argument_of_a_program() -> None:
    url = "postgresql://kith:s%40crit@db.example.com:5433/kith?sslmode=require"
    assert split_password(url) == ("postgresql://kith@db.example.com:5433/kith?sslmode=require", "s@crit")
    assert split_password("postgresql://kith@/kith?host=/run") == ("postgresql://kith@/kith?host=/run", "")
    said = split_password("postgresql://kith@/kith?host=/run&password=s%40+crit&options=-c%20a%3Db+c")
    assert said == ("postgresql://kith@/kith?host=/run&options=-c%20a%3Db+c", "s@+crit")
    assert split_password("postgresql:///kith?password=x") == ("postgresql:///kith", "x")
