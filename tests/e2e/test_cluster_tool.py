"""``make cluster``: everything on one machine, a first curl that works, and nothing left when it is told to stop."""

import re
import signal
import subprocess
import sys

import httpx2
import psutil

from tests.kafka import find_classpath
from tests.redis_server import find_redis


def test_a_cluster_starts_shows_a_key_that_works_on_each_api_and_stops_when_told() -> None:
    find_classpath()
    find_redis()
    command = [sys.executable, "-m", "tools.cluster"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C stops everything" not in said:
            line = process.stdout.readline()
            assert line, f"it ended with status {process.wait()}:\n{said}"
            said += line
        family = psutil.Process(process.pid).children(recursive=True)
        one, other = re.findall(r"http://127\.0\.0\.1:\d+", said)[:2]
        (key,) = set(re.findall(r"kith_srv_[\w-]+", said))
        headers = {"Authorization": f"Bearer {key}"}
        made = httpx2.post(
            f"{one}/crm/contacts", json={"name": "Ada"}, headers={**headers, "Prefer": "wait=30"}, timeout=40
        )
        assert made.status_code == 201, made.text
        assert httpx2.get(f"{other}/crm/contacts/1", headers=headers).json()["data"]["name"] == "Ada"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    _, living = psutil.wait_procs(family, timeout=10)
    assert [one for one in living if one.status() != psutil.STATUS_ZOMBIE] == []
