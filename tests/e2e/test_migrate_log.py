"""``kith migrate-log`` between two lives of a served Kith: what was acknowledged is there once, whatever is killed."""

import asyncio
import random
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.faults.kills import find_part, kill_everything, list_living
from tests.faults.verify import fetch
from tests.kafka import Broker
from tests.kit import SETTINGS
from tests.serving import Served, make_environment, run_kith, serving

COUNTS = """
SELECT (SELECT count(*) FROM contacts) AS contacts, (SELECT count(DISTINCT email) FROM contacts) AS emails,
  (SELECT count(*) FROM operations WHERE status = 'APPLIED') AS applied,
  (SELECT count(*) FROM operations) AS operations,
  (SELECT count(*) FROM events) AS events, (SELECT max(position) FROM cursors) AS position"""


class Writers:
    """Contacts, each with an email of its own, and what was acknowledged of them."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, str] = {}

    def write(self, served: Served, count: int) -> None:
        with served.open_client() as client:
            for _ in range(count):
                email = f"ada{len(self.acknowledged)}@example.com"
                answer = client.post("/crm/contacts", json={"email": email})
                assert answer.status_code == 202, answer.text
                self.acknowledged[email] = answer.headers["X-Correlation-Id"]

    def verify(self, served: Served) -> None:
        """Each acknowledged write is there, applied, once; and reads after any of them wait for it."""
        with served.open_client() as client:
            for email, operation in self.acknowledged.items():
                read: httpx2.Response = client.get(f"/crm/contacts/{email}", headers={"X-Read-After": operation})
                assert read.status_code == 200, read.text
            position = client.get(f"/crm/operations/{operation}").json()["data"]["position"]
            assert client.get("/crm/contacts", headers={"X-Read-After": position}).status_code == 200
        (counts,) = asyncio.run(fetch(served.database_url, COUNTS))
        assert set(counts) == {len(self.acknowledged)}, counts


def write_without_a_writer(served: Served, writers: Writers, count: int) -> None:
    """They stay on the log: the writer is stopped, which nobody notices."""
    writer = find_part(served, "writer")
    assert writer is not None
    writer.suspend()
    writers.write(served, count)


# It stands still where it has said the words, so that it is killed there however late that is seen.
STOPPED_AT = """
import os, signal, sys
from kith.cli import main, move
from kith.engine.admin import log_migration

words, tell = sys.argv.pop(1), move.tell

def tell_and_stop(line):
    tell(line)
    if words in line:
        os.kill(os.getpid(), signal.SIGSTOP)

move.tell, log_migration.TELL_EVERY_S = tell_and_stop, 0.001
main()
"""


def kill_move_at(data: Path, settings: dict[str, str], words: str) -> None:
    """With its PostgreSQL, where it says so. A batch holds one command, so that it says what is left."""
    with subprocess.Popen(
        [sys.executable, "-P", "-c", STOPPED_AT, words, "migrate-log", "--data", str(data)],
        env=make_environment(**settings, batch_commands_max="1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as move:
        assert move.stderr is not None
        lines = []
        for line in move.stderr:
            lines.append(line)
            if words in line:
                break
        assert words in lines[-1], lines
        family = psutil.Process(move.pid).children(recursive=True)
        move.send_signal(signal.SIGKILL)
    assert list_living(family) == []


@pytest.fixture
def settings(kafka: Broker) -> dict[str, str]:
    chosen = kafka.make_settings(SETTINGS)
    return {"kafka_bootstrap": chosen.kafka_bootstrap, "kafka_topic": chosen.kafka_topic}


@pytest.mark.slow
def test_a_log_moves_to_kafka_and_back_and_every_acknowledged_write_is_there_once(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    writers = Writers()
    with serving(tmp_path) as served:
        writers.write(served, 20)
        write_without_a_writer(served, writers, 60)
        refused = run_kith("migrate-log", "--data", str(served.data), **settings)
        assert refused.returncode == 1 and "Kith is at work on this database" in refused.stderr
        kill_everything(served, random.Random(1))
    kill_move_at(served.data, settings, "commands are left")
    kill_move_at(served.data, settings, "Moving the log")
    moved = run_kith("migrate-log", "--json", "--data", str(served.data), **settings)
    assert moved.returncode == 0, moved.stderr
    with serving(tmp_path, **settings) as served:
        writers.write(served, 20)
        writers.verify(served)
        replayed = run_kith("replay", "--check", "--data", str(served.data), **settings)
        assert replayed.stdout.startswith("Applied 100 commands again"), replayed.stdout + replayed.stderr
        write_without_a_writer(served, writers, 20)
        kill_everything(served, random.Random(2))
    moved = run_kith("migrate-log", "--to", "postgresql", "--json", "--data", str(served.data), **settings)
    assert moved.returncode == 0 and '"applied":20' in moved.stdout, moved.stderr
    with serving(tmp_path) as served:
        writers.write(served, 10)
        writers.verify(served)
