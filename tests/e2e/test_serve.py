"""``kith serve`` from outside: it starts, stops, is killed, comes back, and says clearly why it cannot start."""

import asyncio
import re
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx2
import psutil
import pytest

from kith.store.embedded import EmbeddedPostgres, find_embedded_url
from tests.e2e.serving import RESTART_LIMIT_S, Serving, list_living, run_kith, start_serving


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def serving(data: Path) -> Iterator[Serving]:
    with start_serving(data) as running:
        yield running


def refuse(*arguments: str, **settings: str) -> str:
    """The one line that a start ends with."""
    ran = run_kith("serve", *arguments, **settings)
    assert ran.returncode == 1, ran.stderr
    assert ran.stdout == ""
    (line,) = ran.stderr.splitlines()
    return line


def test_a_first_start_shows_a_key_that_works_and_later_starts_keep_it_to_themselves(data: Path) -> None:
    with start_serving(data) as first:
        key = first.key
        assert stat.S_IMODE((data / "admin.key").stat().st_mode) == 0o600
        assert f"  {key}\n" in first.said
        assert f"curl {first.url}/crm/contacts" in first.said
        assert httpx2.get(f"{first.url}/readyz").status_code == 200
        assert first.create_contact("ada@example.com").status_code == 201
        assert first.stop() == 0
    with start_serving(data) as second:
        assert second.key == key
        assert key not in second.said
        assert str(data / "admin.key") in second.said
        assert second.get_contact("ada@example.com").status_code == 200


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_everything_in_order_even_with_connections_open(serving: Serving, sign: signal.Signals) -> None:
    address = httpx2.URL(serving.url)
    with socket.create_connection((address.host, address.port or 80)) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: kith\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
        assert serving.stop(sign) == 0
    assert "killed" not in serving.log.read_text()
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{serving.url}/healthz")


def test_a_killed_supervisor_leaves_no_orphans_and_nothing_acknowledged_is_lost(data: Path) -> None:
    with start_serving(data) as first:
        assert first.create_contact("ada@example.com").status_code == 201
        family = first.family()
        first.process.kill()
        first.process.wait()
        with start_serving(data) as second:
            assert list_living(family) == []
            assert second.get_contact("ada@example.com").status_code == 200
            assert second.stop() == 0


@pytest.mark.parametrize("name", ["postgres", "api", "writer", "worker"])
def test_a_killed_part_is_back_within_10_s_and_nothing_is_lost(serving: Serving, name: str) -> None:
    assert serving.create_contact("before@example.com").status_code == 201
    part = serving.find_part(name)
    part.kill()
    list_living([part])
    deadline = time.monotonic() + RESTART_LIMIT_S
    while not is_created(serving, "after@example.com"):
        assert time.monotonic() < deadline
    assert serving.get_contact("before@example.com").status_code == 200
    assert serving.stop() == 0


def is_created(serving: Serving, email: str) -> bool:
    try:
        return serving.create_contact(email).status_code == 201
    except httpx2.TransportError:
        return False


def test_all_parts_killed_at_once_are_back(serving: Serving) -> None:
    assert serving.create_contact("before@example.com").status_code == 201
    parts = [serving.find_part(name) for name in ("postgres", "api", "writer", "worker")]
    for part in parts:
        part.kill()
    list_living(parts)
    deadline = time.monotonic() + RESTART_LIMIT_S
    while not is_created(serving, "after@example.com"):
        assert time.monotonic() < deadline
    assert serving.get_contact("before@example.com").status_code == 200


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


def test_a_second_server_on_the_same_folder_is_refused_naming_the_first(serving: Serving) -> None:
    line = refuse("--data", str(serving.data), "--port", "0")
    assert f"in use by process {serving.process.pid}" in line
    assert serving.stop() == 0


def test_a_folder_that_cannot_be_written_is_one_line(data: Path) -> None:
    data.write_text("a file")
    assert re.search(r"cannot be written by user .* --data", refuse("--data", str(data), "--port", "0"))


def test_a_newer_schema_is_one_line_and_everything_is_stopped_again(data: Path) -> None:
    with start_serving(data) as serving:
        assert serving.stop() == 0
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
        await connection.execute("UPDATE schema_migrations SET version = 9999")
        await connection.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"KITH_PORT": "many"}, "KITH_PORT is 'many'"),
        ({"KITH_LOG_LEVEL": "loud"}, "KITH_LOG_LEVEL is 'loud'"),
        ({"KITH_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, "KITH_DATABASE_URL"),
        ({"KITH_DATABASE_URL": "mysql://somewhere"}, "KITH_DATABASE_URL"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line(data: Path, settings: dict[str, str], reason: str) -> None:
    arguments = [] if "KITH_PORT" in settings else ["--port", "0"]
    assert reason in refuse("--data", str(data), *arguments, **settings)


def test_a_database_of_the_users_own_is_used_instead(data: Path, database_url: str) -> None:
    with start_serving(data, KITH_DATABASE_URL=database_url) as serving:
        assert serving.create_contact("ada@example.com").status_code == 201
        assert not (data / "postgresql").exists()
        assert serving.stop() == 0
    other = data.with_name("other")
    with start_serving(other, KITH_DATABASE_URL=database_url) as again:
        assert "has keys already" in again.said
        assert not (other / "admin.key").exists()
        assert again.stop() == 0
