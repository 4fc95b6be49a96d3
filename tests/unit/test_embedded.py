"""The PostgreSQL that Kith starts itself: private, whole after a kill, and clear about what stops it."""

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from kith.errors import StartError
from kith.installation import binaries, embedded
from kith.installation.binaries import Account, to_identity
from kith.installation.data_folder import Folder, find_address, find_embedded_url, to_socket_folder, write_address
from kith.installation.embedded import EmbeddedPostgres, to_options
from kith.store.migrate import migrate
from tests.postgres import connect, to_url

DEBIAN = Path("/usr/lib/postgresql/15/bin")
OPEN_RULES = "SELECT count(*) FROM pg_hba_file_rules WHERE type <> 'local' AND auth_method <> 'reject'"
ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="what only root meets")
PROGRAMS = [
    pytest.param(None, id="the wheel's"),
    pytest.param(DEBIAN, id="Debian's", marks=pytest.mark.skipif(not DEBIAN.exists(), reason="not installed")),
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def server(data: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres.start(data, durable=False) as running:
        yield running


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user can walk into; pytest's own are private."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        yield Path(path)


def ask(server: EmbeddedPostgres, *statements: str, superuser: bool = False) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(server.superuser_url if superuser else server.url)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(run())


def family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


@pytest.mark.parametrize("bin_dir", PROGRAMS)
def test_it_keeps_what_was_written_over_a_stop_and_a_start(data: Path, bin_dir: Path | None) -> None:
    with EmbeddedPostgres.start(data, bin_dir=bin_dir, durable=False) as first:
        assert ask(first, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7) RETURNING n") == 7
    with EmbeddedPostgres.start(data, bin_dir=bin_dir, durable=False) as second:
        assert ask(second, "SELECT n FROM kept") == 7


@pytest.mark.parametrize("bin_dir", PROGRAMS)
def test_the_role_that_kith_works_as_has_no_rights_over_the_server(data: Path, bin_dir: Path | None) -> None:
    with EmbeddedPostgres.start(data, bin_dir=bin_dir, durable=False) as server:
        assert ask(server, "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user") is False
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            ask(server, "COPY (SELECT 1) TO PROGRAM 'true'", "SELECT 1")


@pytest.mark.parametrize("bin_dir", PROGRAMS)
async def test_what_the_owner_of_the_database_has_put_there_never_runs_as_the_superuser(
    data: Path, bin_dir: Path | None
) -> None:
    with EmbeddedPostgres.start(data, bin_dir=bin_dir, durable=False) as server:
        async with connect(server.url) as connection:
            await connection.execute(EVIL)
    with EmbeddedPostgres.start(data, bin_dir=bin_dir, durable=False) as server:
        async with connect(server.url) as connection:
            assert await connection.fetchval("SELECT count(*) FROM pg_catalog.pg_roles WHERE rolname = 'evil'") == 0
        # Where a superuser's sessions begin, that owner makes and sets nothing.
        async with connect(server.superuser_url.replace("kith@", "kith_app@")) as connection:
            for statement in (
                "CREATE SCHEMA evil",
                "CREATE TABLE public.evil ()",
                "ALTER DATABASE postgres SET jit = off",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)


EVIL = """
CREATE SCHEMA evil;
CREATE FUNCTION evil.run() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'evil')
  THEN
    CREATE ROLE evil SUPERUSER;
  END IF;
  RETURN 'x';
END $$;
CREATE VIEW evil.pg_roles AS SELECT rolname, evil.run() AS ran FROM pg_catalog.pg_roles WHERE evil.run() = 'x';
ALTER DATABASE kith SET search_path = evil, pg_catalog, public;
"""


async def test_a_data_folder_of_an_earlier_version_gets_that_role_with_all_that_there_is(data: Path) -> None:
    with EmbeddedPostgres.start(data, durable=False) as server:
        async with connect(server.superuser_url) as connection:
            await connection.execute("ALTER DATABASE kith OWNER TO kith")
            await connection.execute("DROP ROLE kith_app")
        await migrate(to_url(server, "kith"))
    with EmbeddedPostgres.start(data, durable=False) as server:
        async with connect(server.url) as connection:
            owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
            assert [row[0] for row in await connection.fetch(owners)] == ["kith_app"]
            # As later migrations do.
            await connection.execute("ALTER TABLE contacts ADD COLUMN more int; ALTER FUNCTION kith_day RENAME TO day")


@pytest.mark.parametrize("bin_dir", PROGRAMS)
def test_it_comes_back_with_all_that_was_committed_after_a_kill_in_mid_work(data: Path, bin_dir: Path | None) -> None:
    with EmbeddedPostgres.start(data, bin_dir=bin_dir) as server:
        ask(server, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7) RETURNING n")
        before = family(server.pid)
        os.kill(server.pid, signal.SIGKILL)
        psutil.wait_procs(before[:1])
        assert server.poll() is not None
        server.spawn()
        server.wait_until_ready()
        assert ask(server, "SELECT n FROM kept") == 7
        assert not [process for process in before if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def test_acknowledged_means_on_disk_unless_a_test_asks_for_speed(data: Path) -> None:
    options = to_options(memory_bytes=2**31, durable=True)
    assert (options["fsync"], options["synchronous_commit"]) == ("on", "on")
    assert "full_page_writes" not in options
    assert options["shared_buffers"] == "256MB"


def test_it_listens_on_a_private_socket_and_no_port(server: EmbeddedPostgres, data: Path) -> None:
    assert ask(server, "SHOW listen_addresses") == ""
    for process in family(server.pid):
        with contextlib.suppress(psutil.NoSuchProcess):  # a backend that has just ended
            assert [c for c in process.net_connections() if c.status == psutil.CONN_LISTEN] == []
    for folder in (data / "postgresql", data / "run"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert ask(server, OPEN_RULES, superuser=True) == 0


@as_root
def test_as_root_it_runs_as_another_user_and_leaves_foreign_folders_alone(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    before = [(folder, folder.stat().st_mode, folder.stat().st_uid) for folder in (private, *private.parents)]
    with EmbeddedPostgres.start(private / "data", durable=False) as server:
        assert psutil.Process(server.pid).uids().effective != 0
        assert ask(server, "SELECT 1") == 1
        assert (private / "data").stat().st_uid == 0
    assert before == [(folder, folder.stat().st_mode, folder.stat().st_uid) for folder in (private, *private.parents)]


@as_root
def test_as_root_it_goes_on_as_the_user_who_made_the_cluster(data: Path) -> None:
    EmbeddedPostgres.start(data, durable=False).stop()
    cluster = data / "postgresql"
    for path in (cluster, *cluster.rglob("*"), data / "run"):
        os.chown(path, 65534, 65534)
    with EmbeddedPostgres.start(data, durable=False) as server:
        assert psutil.Process(server.pid).uids().effective == 65534


@as_root
def test_programs_that_the_user_cannot_reach_are_copied_once(
    public: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    account = binaries.find_account(tmp_path / "none")
    assert account is not None
    package = tmp_path / "locked" / binaries.PACKAGE
    package.mkdir(parents=True)
    original = binaries.find_binaries(None).parents[1]
    (package / binaries.INSTALLATION).symlink_to(original / binaries.INSTALLATION)
    (package.parent / (binaries.PACKAGE + ".libs")).symlink_to(original.parent / (binaries.PACKAGE + ".libs"))
    monkeypatch.setattr(binaries, "COPIES", public / "copies")
    umask = os.umask(0o077)
    bin_dir = binaries.copy_binaries(package, account)
    os.umask(umask)
    assert binaries.can_run(bin_dir, account)
    assert "are copied to" in capfd.readouterr().err
    assert binaries.copy_binaries(package, account) == bin_dir
    assert capfd.readouterr().err == ""


def test_a_data_folder_in_use_is_refused_naming_the_process(server: EmbeddedPostgres, data: Path) -> None:
    with pytest.raises(StartError, match=f"{data} is in use by process {os.getpid()}"):
        EmbeddedPostgres.start(data)


def test_a_data_folder_that_is_a_file_is_refused(data: Path) -> None:
    data.write_text("not a folder")
    with pytest.raises(StartError, match=r"/data is a file, or lies below one\. Choose a folder with --data\.$"):
        EmbeddedPostgres.start(data)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_log_that_is_no_file_is_one_line(data: Path, make: Callable[[Path], None]) -> None:
    data.mkdir()
    make(data / "postgresql.log")
    with pytest.raises(StartError, match=r"postgresql.log cannot be written \(.+\). Move it away"):
        EmbeddedPostgres.start(data, durable=False)


def test_a_pipe_in_the_place_of_the_address_keeps_nobody_waiting(tmp_path: Path) -> None:
    for name in ("address", "address.new"):
        os.mkfifo(tmp_path / name)
    assert find_address(tmp_path) is None
    write_address(tmp_path, "http://127.0.0.1:1")
    assert find_address(tmp_path) == "http://127.0.0.1:1"


def test_a_folder_that_is_refused_is_not_left_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o755)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(StartError, match="cannot be written"):
        Folder(tmp_path / "run", None)
    assert os.listdir("/proc/self/fd") == before


def test_a_half_made_cluster_is_made_anew(data: Path) -> None:
    unfinished = data / "postgresql.new"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres.start(data, durable=False) as server:
        assert ask(server, "SELECT 1") == 1
    assert not unfinished.exists()


@pytest.mark.parametrize("name", ["postgresql/postmaster.pid", "run/.s.PGSQL.5432.lock"])
def test_a_stale_pid_file_that_names_a_living_process_is_no_obstacle(data: Path, name: str) -> None:
    EmbeddedPostgres.start(data, durable=False).stop()
    owner = (data / "postgresql").stat()
    with subprocess.Popen(
        ["sleep", "60"], **to_identity(Account(owner.st_uid, owner.st_gid) if ROOT else None)
    ) as living:
        try:
            (data / name).write_text(f"{living.pid}\n/nowhere\n0\n5432\n")
            os.chown(data / name, owner.st_uid, owner.st_gid)
            with EmbeddedPostgres.start(data, durable=False) as server:
                assert ask(server, "SELECT 1") == 1
        finally:
            living.kill()


def test_a_cluster_of_another_major_version_is_refused(data: Path) -> None:
    EmbeddedPostgres.start(data, durable=False).stop()
    (data / "postgresql" / "PG_VERSION").write_text("14\n")
    with pytest.raises(StartError, match="made by PostgreSQL 14"):
        EmbeddedPostgres.start(data)


def test_missing_programs_are_one_line_that_names_the_way_out(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "PACKAGE", "no_such_package")
    with pytest.raises(StartError, match="KITH_DATABASE_URL") as caught:
        EmbeddedPostgres.start(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a" * 120, "comma,colon:", "größe"])
def test_a_path_that_no_socket_takes_gets_its_socket_elsewhere(tmp_path: Path, name: str) -> None:
    data = tmp_path / name
    with EmbeddedPostgres.start(data, durable=False) as server:
        assert to_socket_folder(data).parent == Path("/tmp")
        assert ask(server, "SELECT 1") == 1
        assert find_embedded_url(data) == server.url
    to_socket_folder(data).rmdir()


def test_a_running_server_is_found_by_its_data_folder_and_a_stopped_one_is_not(data: Path) -> None:
    assert find_embedded_url(data) is None
    with EmbeddedPostgres.start(data, durable=False) as server:
        assert find_embedded_url(data) == server.url
    assert find_embedded_url(data) is None


PARENT = """
import sys, time
from pathlib import Path
from kith.installation.binaries import Account, to_identity
from kith.installation.embedded import EmbeddedPostgres
server = EmbeddedPostgres.start(Path(sys.argv[1]), durable=False)
print(server.pid, flush=True)
sys.stdin.read()
"""


def test_nothing_is_left_behind_when_its_parent_is_killed(data: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        servers = family(int(parent.stdout.readline()))
        parent.kill()
        _, alive = psutil.wait_procs(servers, timeout=10)
        assert alive == []
    with EmbeddedPostgres.start(data, durable=False) as server:
        assert ask(server, "SELECT 1") == 1


def test_the_log_of_a_running_server_is_moved_away_when_it_is_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "LOG_BYTES_MAX", 1000)
    with EmbeddedPostgres.start(tmp_path, durable=False) as server:
        log = tmp_path / "postgresql.log"
        with log.open("ab") as more:
            more.write(b"x" * 2000)
        server.rotate_log()
        assert log.stat().st_size == 0
        older = tmp_path / "postgresql.log.1"
        assert older.read_bytes().endswith(b"x" * 2000)
        assert older.stat().st_mode & 0o777 == 0o600
        older.unlink()
        older.mkdir()
        with log.open("ab") as more:
            more.write(b"x" * 2000)
        server.rotate_log()
        assert log.stat().st_size >= 2000
    assert b"shut down" in log.read_bytes()  # the server goes on in the emptied file


async def test_a_statement_that_fails_leaves_one_short_line_in_the_log(tmp_path: Path) -> None:
    with EmbeddedPostgres.start(tmp_path, durable=False) as server:
        connection = await asyncpg.connect(server.url)
        before = (tmp_path / "postgresql.log").stat().st_size
        await connection.execute("SET statement_timeout = 1")
        with pytest.raises(asyncpg.QueryCanceledError):
            await connection.execute(f"SELECT pg_sleep(60), '{'alice@example.com' * 1000}'")
        await connection.close()
        logged = (tmp_path / "postgresql.log").read_bytes()[before:]
    assert b"canceling statement" in logged
    assert len(logged) < 500
    assert b"alice" not in logged
