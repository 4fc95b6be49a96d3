"""``kith serve`` as a process of its own: started, listened to, asked, and seen off."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil

STOP_LIMIT_S = 10
RESTART_LIMIT_S = 10


def make_environment(**settings: str) -> dict[str, str]:
    """That of the test run, without what a developer's shell may set for Kith."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KITH_")}
    return {**clean, "NO_COLOR": "1", **settings}


def run_kith(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "kith", *arguments],
        env=make_environment(**settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Serving:
    """A running ``kith serve``. Its log goes to ``<data>.log``, so that a failing test can be looked into."""

    def __init__(self, data: Path, **settings: str) -> None:
        self.data = data
        self.log = data.with_suffix(".log")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kith", "serve", "--port", "0", "--data", str(data)],
                env=make_environment(**settings),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.said = ""
        self.url = ""

    def wait_until_ready(self) -> "Serving":
        """Reads what it prints up to the line that says where it is ready."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if match := re.fullmatch(r"Kith is ready on (\S+)\n", line):
                self.url = match[1]
                return self
        raise AssertionError(f"it ended with {self.process.wait()}:\n{self.log.read_text()}")

    @property
    def key(self) -> str:
        return (self.data / "admin.key").read_text().strip()

    def family(self) -> list[psutil.Process]:
        """The process and all below it."""
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]

    def find_part(self, name: str) -> psutil.Process:
        """The process of ``api``, ``writer`` or ``worker``, or PostgreSQL's first."""
        for process in psutil.Process(self.process.pid).children():
            command = process.cmdline()
            if command[-1:] == [name] or (name == "postgres" and "postgres" in Path(command[0]).name):
                return process
        raise AssertionError(f"{name} does not run")

    def create_contact(self, email: str) -> httpx2.Response:
        """Waits until it is applied."""
        return httpx2.post(
            f"{self.url}/crm/contacts",
            json={"email": email},
            headers={"Authorization": f"Bearer {self.key}", "Prefer": "wait=10", "Idempotency-Key": email},
            timeout=20,
        )

    def get_contact(self, email: str) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx2.get(f"{self.url}/crm/contacts/{email}", headers=headers, timeout=20)

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """The exit code. Nothing of it may be left after 10 s."""
        family = self.family()
        self.process.send_signal(sign)
        code = self.process.wait(STOP_LIMIT_S)
        assert list_living(family) == []
        return code

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def list_living(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that have not ended shortly after all should have."""
    _, living = psutil.wait_procs(processes, timeout=5)
    return [process for process in living if process.status() != psutil.STATUS_ZOMBIE]


@contextmanager
def start_serving(data: Path, **settings: str) -> Iterator[Serving]:
    serving = Serving(data, **settings)
    try:
        yield serving.wait_until_ready()
    finally:
        serving.end()


def read_json(ran: subprocess.CompletedProcess[str]) -> Any:
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)
