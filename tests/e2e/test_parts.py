"""``kith api``, ``kith writer`` and ``kith worker`` by themselves, on a database of the user's own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import psutil
import pytest

from tests.conftest import ROOT_ONLY
from tests.serving import make_environment, run_kith

as_root = pytest.mark.skipif(os.geteuid() != 0, reason=ROOT_ONLY)


@contextmanager
def start_part(*arguments: str, **settings: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "kith", *arguments],
        env=make_environment(**settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_line(process: "subprocess.Popen[str]") -> str:
    """What it prints first: that it is ready."""
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", ["writer", "worker"])
def test_a_part_prints_a_line_when_it_is_ready_and_stops_when_told(
    database_url: str, name: str, sign: signal.Signals
) -> None:
    with start_part(name, database_url=database_url) as part:
        assert read_line(part).startswith(f"Kith's {name} ")
        part.send_signal(sign)
        assert part.wait(10) == 0


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_the_api_listens_from_when_it_says_so_and_stops_when_told(database_url: str, sign: signal.Signals) -> None:
    with start_part("api", "--port", "0", database_url=database_url) as part:
        found = re.search(r"http://\S+", read_line(part))
        assert found is not None
        assert httpx2.get(f"{found[0]}/healthz").status_code == 200
        part.send_signal(sign)
        assert part.wait(10) == 0


def test_the_api_refuses_what_never_becomes_a_request(database_url: str) -> None:
    with start_part("api", "--port", "0", database_url=database_url) as part, httpx2.Client() as client:
        found = re.search(r"http://\S+", read_line(part))
        assert found is not None
        nonsense = client.request("FOO", f"{found[0]}/healthz")
        assert (nonsense.status_code, nonsense.json()["error"]["code"]) == (400, "INVALID_REQUEST")
        before = psutil.Process(part.pid).memory_info().rss
        huge = client.get(f"{found[0]}/healthz", headers={"A": "x" * 20_000_000})
        assert (huge.status_code, huge.json()["error"]["code"]) == (431, "HEADERS_TOO_LARGE")
        assert psutil.Process(part.pid).memory_info().rss - before < 5_000_000
        assert client.get(f"{found[0]}/healthz").status_code == 200


@pytest.mark.parametrize("name", ["api", "writer", "worker"])
def test_a_part_says_what_it_waits_for_and_can_be_stopped_meanwhile(name: str) -> None:
    # As the user who runs the tests, also where that is root: it would warn of that first.
    user = str(os.geteuid())
    with start_part(name, database_url="postgresql://nobody@127.0.0.1:1/none", port="0", user=user) as part:
        assert part.stderr is not None
        assert "KITH_DATABASE_URL" in part.stderr.readline()
        part.terminate()
        assert part.wait(10) == 0


def test_parts_of_a_whole_work_together(database_url: str) -> None:
    key = run_kith("init", "--json", database_url=database_url).stdout.split('"key":"')[1].split('"')[0]
    with (
        start_part("api", "--port", "0", database_url=database_url) as api,
        start_part("writer", database_url=database_url) as writer,
    ):
        found = re.search(r"http://\S+", read_line(api))
        assert found is not None
        assert read_line(writer)
        headers = {"Authorization": f"Bearer {key}", "Prefer": "wait=10"}
        made = httpx2.post(f"{found[0]}/crm/contacts", json={"email": "ada@example.com"}, headers=headers, timeout=20)
        assert made.status_code == 201


@as_root
@pytest.mark.parametrize("name", ["api", "writer", "worker"])
def test_a_part_that_root_starts_becomes_the_user_in_kith_user(name: str) -> None:
    """From its first line on, before it has talked to anything."""
    with start_part(name, database_url="postgresql://nobody@127.0.0.1:1/none", port="0", user="nobody") as part:
        assert part.stderr is not None
        assert "KITH_DATABASE_URL" in part.stderr.readline()
        process = psutil.Process(part.pid)
        assert process.username() == "nobody"
        assert 0 not in {*process.uids(), *process.gids()}
        part.terminate()
        assert part.wait(10) == 0


@as_root
@pytest.mark.parametrize("name", ["api", "writer", "worker"])
def test_a_part_that_stays_root_says_so_with_the_way_out(name: str) -> None:
    with start_part(name, database_url="postgresql://nobody@127.0.0.1:1/none", port="0") as part:
        assert part.stderr is not None
        line = part.stderr.readline()
        assert "runs as root" in line
        assert "KITH_USER" in line
    unknown = run_kith(name, user="nobody-here")
    assert (unknown.returncode, len(unknown.stderr.splitlines())) == (1, 1)
    assert "KITH_USER is 'nobody-here'" in unknown.stderr
