"""``kith serve`` from outside: it starts, stops, is killed, comes back, and says clearly why it cannot start."""

import asyncio
import os
import re
import signal
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import httpx2
import psutil
import pytest

from kith.installation.data_folder import find_embedded_url
from kith.installation.embedded import EmbeddedPostgres
from tests.conftest import ROOT_ONLY
from tests.postgres import DEBIAN_BIN, REQUIRED
from tests.serving import Served, run_kith, serving

STOP_LIMIT_S = 10
RESTART_LIMIT_S = 10
PARTS = ("postgres", "api", "writer", "worker")


as_root = pytest.mark.skipif(os.geteuid() != 0, reason=ROOT_ONLY)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / ".kith"


def list_family(served: Served) -> list[psutil.Process]:
    """The process and all below it."""
    process = psutil.Process(served.process.pid)
    return [process, *process.children(recursive=True)]


def list_living(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that are still there shortly after all should have ended."""
    _, living = psutil.wait_procs(processes, timeout=5)
    return [process for process in living if process.status() != psutil.STATUS_ZOMBIE]


def find_part(served: Served, name: str) -> psutil.Process:
    for process in psutil.Process(served.process.pid).children():
        command = process.cmdline()
        if command[-1] == name or Path(command[0]).name == name:
            return process
    raise AssertionError(f"{name} does not run")


def stop(served: Served, sign: signal.Signals = signal.SIGTERM) -> int:
    """The exit status; nothing of the family may be left."""
    family = list_family(served)
    served.process.send_signal(sign)
    status = served.process.wait(STOP_LIMIT_S)
    assert list_living(family) == []
    return status


def create_contact(served: Served, email: str) -> httpx2.Response:
    """Answered when it is applied. The same again is a retry."""
    with served.open_client() as client:
        headers = {"Prefer": "wait=10", "Idempotency-Key": email}
        return client.post("/crm/contacts", json={"email": email}, headers=headers)


def has_contact(served: Served, email: str) -> bool:
    with served.open_client() as client:
        return client.get(f"/crm/contacts/{email}").status_code == 200


def refuse(*arguments: str, **settings: str) -> str:
    """The one line that a start ends with."""
    ran = run_kith("serve", *arguments, **settings)
    assert ran.returncode == 1, ran.stderr
    assert ran.stdout == ""
    (line,) = ran.stderr.splitlines()
    return line


def test_a_first_start_shows_a_key_that_works_and_later_starts_keep_it_to_themselves(data: Path) -> None:
    with serving(data.parent) as first:
        key = first.key
        assert stat.S_IMODE((data / "admin.key").stat().st_mode) == 0o600
        assert f"  {key}\n" in first.greeting
        assert f"curl {first.url}/crm/contacts" in first.greeting
        assert httpx2.get(f"{first.url}/readyz").status_code == 200
        assert create_contact(first, "ada@example.com").status_code == 201
        assert stop(first) == 0
    with serving(data.parent) as second:
        assert second.key == key
        assert key not in second.greeting
        assert str(data / "admin.key") in second.greeting
        assert has_contact(second, "ada@example.com")


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_everything_in_order_even_with_connections_open(serve: Served, sign: signal.Signals) -> None:
    address = httpx2.URL(serve.url)
    with socket.create_connection((address.host, address.port or 80)) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: kith\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
        assert stop(serve, sign) == 0
    assert "killed" not in serve.log.read_text()
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{serve.url}/healthz")


def test_a_killed_supervisor_leaves_no_orphans_and_nothing_acknowledged_is_lost(data: Path) -> None:
    with serving(data.parent) as first:
        assert create_contact(first, "ada@example.com").status_code == 201
        family = list_family(first)
        first.process.kill()
        first.process.wait()
        with serving(data.parent) as second:
            assert list_living(family) == []
            assert has_contact(second, "ada@example.com")
            assert stop(second) == 0


@pytest.mark.parametrize("name", PARTS)
def test_a_killed_part_is_back_within_10_s_and_nothing_is_lost(serve: Served, name: str) -> None:
    assert create_contact(serve, "before@example.com").status_code == 201
    part = find_part(serve, name)
    part.kill()
    list_living([part])
    deadline = time.monotonic() + RESTART_LIMIT_S
    while not is_created(serve, "after@example.com"):
        assert time.monotonic() < deadline
    assert has_contact(serve, "before@example.com")
    assert stop(serve) == 0


def is_created(serve: Served, email: str) -> bool:
    try:
        return create_contact(serve, email).status_code == 201
    except httpx2.TransportError:
        return False


@as_root
def test_no_part_of_a_server_that_root_started_runs_as_root(serve: Served) -> None:
    """They run as PostgreSQL does, with no group and no right of root."""
    assert create_contact(serve, "ada@example.com").status_code == 201
    account = find_part(serve, "postgres").uids().effective
    assert account != 0
    for name in PARTS:
        part = find_part(serve, name)
        assert set(part.uids()) == {account}
        assert 0 not in part.gids()
        status = Path(f"/proc/{part.pid}/status").read_text()
        assert re.search(r"^Groups:\s*$", status, re.MULTILINE), status
        assert re.search(r"^CapPrm:\s*0+$", status, re.MULTILINE), status


@as_root
def test_kith_user_names_whom_the_parts_run_as(data: Path) -> None:
    with serving(data.parent, user="nobody") as served:
        assert {find_part(served, name).username() for name in PARTS} == {"nobody"}
        assert create_contact(served, "ada@example.com").status_code == 201
    line = refuse("--data", str(data), "--port", "0", user="daemon")
    assert "KITH_USER is 'daemon', and" in line
    assert "belongs to 'nobody'" in line
    with serving(data.parent, user="root") as served:
        assert {find_part(served, name).username() for name in PARTS[1:]} == {"root"}


@as_root
def test_the_parts_beside_a_database_of_the_users_own_are_not_root_either(data: Path) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres.start(Path(folder, "own"), durable=False) as postgres,
        serving_reachably(data.parent, postgres, Path(folder)) as served,
    ):
        assert all(find_part(served, name).uids().effective != 0 for name in PARTS[1:])
        assert create_contact(served, "ada@example.com").status_code == 201


@contextmanager
def serving_reachably(folder: Path, postgres: EmbeddedPostgres, *private: Path) -> Iterator[Served]:
    """On a database whose socket other users than root can reach."""
    for path in (*private, *(path for one in private for path in one.iterdir())):
        path.chmod(0o711)
    with serving(folder, database_url=postgres.url) as served:
        yield served


def test_a_user_that_cannot_be_taken_is_one_line(data: Path) -> None:
    assert "KITH_USER is 'nobody-here', and this machine has no such user." in refuse(
        "--data", str(data), "--port", "0", user="nobody-here"
    )


@pytest.mark.skipif(not DEBIAN_BIN.exists() and not REQUIRED, reason="needs Debian's PostgreSQL 15")
def test_kith_postgres_bin_serves_from_another_postgresql_and_its_data_stays_with_that(data: Path) -> None:
    with serving(data.parent, postgres_bin=str(DEBIAN_BIN)) as served:
        assert find_part(served, "postgres").exe() == str(DEBIAN_BIN / "postgres")
        assert create_contact(served, "ada@example.com").status_code == 201
        shown = served.run("psql", "-c", "SHOW server_version")
        assert shown.stdout.split()[2].startswith("15.")
    line = refuse("--data", str(data), "--port", "0")
    assert "was made by PostgreSQL 15 and this is PostgreSQL 18" in line
    assert "KITH_POSTGRES_BIN" in line
    with serving(data.parent, postgres_bin=str(DEBIAN_BIN)) as served:
        assert has_contact(served, "ada@example.com")


def test_kith_postgres_bin_without_programs_is_one_line(data: Path, tmp_path: Path) -> None:
    line = refuse("--data", str(data), "--port", "0", postgres_bin=str(tmp_path))
    assert f"KITH_POSTGRES_BIN is '{tmp_path}', and there is no postgres in it." in line


def test_all_parts_killed_at_once_are_back(serve: Served) -> None:
    assert create_contact(serve, "before@example.com").status_code == 201
    parts = [find_part(serve, name) for name in PARTS]
    for part in parts:
        part.kill()
    list_living(parts)
    deadline = time.monotonic() + RESTART_LIMIT_S
    while not is_created(serve, "after@example.com"):
        assert time.monotonic() < deadline
    assert has_contact(serve, "before@example.com")


def test_a_taken_port_is_one_line_and_nothing_was_started(data: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refuse("--data", str(data), "--port", str(port))
    assert re.fullmatch(rf"Error: Port {port} on 127\.0\.0\.1 .*--port\.", line)
    assert not (data / "postgresql").exists()


def test_a_foreign_address_is_one_line(data: Path) -> None:
    assert "--host" in refuse("--data", str(data), "--host", "no.such.host.invalid", "--port", "0")


def test_a_second_server_on_the_same_folder_is_refused_naming_the_first(serve: Served) -> None:
    line = refuse("--data", str(serve.data), "--port", "0")
    assert f"in use by process {serve.process.pid}" in line
    assert stop(serve) == 0


def test_a_folder_that_cannot_be_written_is_one_line(data: Path) -> None:
    data.write_text("a file")
    assert "is a file, or lies below one. Choose a folder with --data." in refuse("--data", str(data), "--port", "0")


def test_a_newer_schema_is_one_line_and_everything_is_stopped_again(data: Path) -> None:
    with serving(data.parent) as serve:
        assert stop(serve) == 0
    with EmbeddedPostgres.start(data):
        asked = run_kith("status", "--data", str(data))
        assert asked.returncode == 0
        age_schema(data)
        assert "newer" in run_kith("status", "--data", str(data)).stderr.lower()
    assert "Install the newer Kith" in refuse("--data", str(data), "--port", "0")
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(data) in " ".join(p.info["cmdline"] or [])]


def age_schema(data: Path) -> None:
    """Makes the schema one of the far future's."""

    async def run() -> None:
        connection = await asyncpg.connect(find_embedded_url(data))
        await connection.execute("UPDATE schema_migrations SET version = 9999 WHERE version = 1")
        await connection.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"port": "many"}, "KITH_PORT is 'many'"),
        ({"partitions": "999999999"}, "KITH_PARTITIONS is 999999999; it must be at most 1024."),
        ({"log_level": "loud"}, "KITH_LOG_LEVEL is 'loud'"),
        ({"database_url": "postgresql://nobody@127.0.0.1:1/none"}, "KITH_DATABASE_URL"),
        ({"database_url": "mysql://somewhere"}, "KITH_DATABASE_URL"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line(data: Path, settings: dict[str, str], reason: str) -> None:
    arguments = [] if "port" in settings else ["--port", "0"]
    assert reason in refuse("--data", str(data), *arguments, **settings)


@pytest.mark.parametrize("name", ["admin.key", "secrets.key"])
def test_a_broken_key_file_is_one_line(data: Path, name: str, database_url: str) -> None:
    """Nothing is ready before it, and no part is started again and again behind it."""
    data.mkdir()
    os.mkfifo(data / name)
    assert f"{data / name} cannot be used as" in refuse("--data", str(data), "--port", "0", database_url=database_url)
    (data / name).unlink()
    for broken in (b"\xff\xfe\x00", b"no key at all\n", b"\n"):
        (data / name).write_bytes(broken)
        line = refuse("--data", str(data), "--port", "0", database_url=database_url)
        assert line.startswith(f"Error: {data / name} cannot be used as ")
        assert line.endswith("Put it back from a backup, or move it away.")
        assert (data / name).read_bytes() == broken
    asked = {"admin.key": "query", "secrets.key": "secrets rotate"}[name].split()
    (data / name).write_bytes(b"\xff\xfe\x00")
    ran = run_kith(*asked, "--data", str(data), database_url=database_url, url="http://127.0.0.1:1")
    assert (ran.returncode, len(ran.stderr.splitlines())) == (1, 1)
    assert f"{data / name} cannot be used" in ran.stderr


def test_a_damaged_admin_key_is_not_shown(data: Path) -> None:
    data.mkdir()
    (data / "admin.key").write_bytes(b"kith_srv_\rx")
    ran = run_kith("query", data=str(data), url="http://127.0.0.1:1")
    assert f"{data / 'admin.key'} is no API key" in ran.stderr and "kith_srv_" not in ran.stderr


def test_a_folder_in_the_way_of_the_address_is_one_line(data: Path, database_url: str) -> None:
    (data / "address").mkdir(parents=True)
    line = refuse("--data", str(data), "--port", "0", database_url=database_url)
    assert line == f"Error: {data}/address cannot be written (is a directory). Move it and address.new away."


def test_a_database_of_the_users_own_is_used_instead(data: Path, database_url: str) -> None:
    # Root's own: the folder of the tests' PostgreSQL is closed to all others.
    with serving(data.parent, database_url=database_url, user=str(os.geteuid())) as serve:
        assert create_contact(serve, "ada@example.com").status_code == 201
        assert not (data / "postgresql").exists()
        assert stop(serve) == 0
    other = data.parent / "other"
    other.mkdir()
    with serving(other, database_url=database_url, user=str(os.geteuid())) as again:
        assert f"has keys already: put its admin key into {again.data / 'admin.key'}" in again.greeting
        assert not (again.data / "admin.key").exists()
        assert stop(again) == 0
