"""``kith serve`` as a real process in a folder of its own, on a free port of the loopback."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from kith.installation.data_folder import find_embedded_url

ROOT = Path(__file__).parent.parent
STOP_TIMEOUT_S = 15
# API keys, keys for credentials, passwords in URLs, and what opens or signs for the fake of HubSpot and Mailchimp.
SECRET = re.compile(
    r"kith_(?:srv|snd|pub)_[\w-]{20}|[\w-]{43}=|://[^\s/:@\"]*:[^\s/@\"]+@"
    r"|fake-hubspot-token|fake-mailchimp-key|fake-refresh|fake-client-secret|(?:refresh|secret)-[0-9a-f]{32}"
    r"|pat-na1-very-secret|the-apps-own"
)


@dataclass
class Served:
    """A running ``kith serve``: where it answers, what it said, and its admin key."""

    process: "subprocess.Popen[str]"
    url: str
    data: Path
    greeting: str
    log: Path

    @property
    def key(self) -> str:
        return (self.data / "admin.key").read_text().strip()

    @property
    def database_url(self) -> str:
        url = find_embedded_url(self.data)
        assert url is not None, "PostgreSQL does not run"
        return url

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """A command beside it, to its end."""
        return run_kith(*arguments, data=str(self.data))

    def open_client(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=30)

    def stop(self) -> int:
        """The exit status after SIGTERM; killed where it does not stop in time."""
        self.process.terminate()
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def make_environment(**settings: str) -> Mapping[str, str]:
    """This process's, without the settings of Kith that somebody may have; then the given ones."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KITH_")}
    return {**kept, **{f"KITH_{name.upper()}": value for name, value in settings.items()}}


def run_kith(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """A command to its end, as a program or a script runs it."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "kith", *arguments],
        env=make_environment(**settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def open_fake_vendors(*options: str) -> Iterator["tuple[subprocess.Popen[str], re.Match[str]]"]:
    """The stand-ins for HubSpot and Mailchimp, and what they print: two addresses, then two tokens."""
    command = [sys.executable, "-m", "tools.fake_vendors", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=make_environment()) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            found = re.fullmatch(
                r"KITH_HUBSPOT_URL=(\S+) KITH_MAILCHIMP_URL=(\S+) with the tokens (\S+) and (\S+)\n", said
            )
            assert found is not None, said
            yield process, found
        finally:
            process.terminate()


def start(folder: Path, **settings: str) -> Served:
    """Start it with its data below ``folder`` and wait until it says that it is ready. Fails with its log."""
    data, log = folder / ".kith", folder / "serve.log"
    with log.open("a") as errors:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "kith", "serve", "--port", "0", "--data", str(data)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=folder,
            env=make_environment(**settings),
        )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if ready := re.fullmatch(r"Kith is ready on (http://\S+)\n", line):
            return Served(process, ready[1], data, "".join(said), log)
    raise AssertionError(f"kith serve ended with status {process.wait()}:\n{''.join(said)}{log.read_text()}")


def check_log(path: Path) -> None:
    """Nothing of a key or of credentials may stand in what a process has logged."""
    check_logged(path.name, path.read_text() if path.exists() else "")


def check_logged(name: str, text: str) -> None:
    found = SECRET.search(text)
    assert found is None, f"{name} has a secret: …{text[max(0, found.start() - 200) : found.end()]}…"


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[Served]:
    served = start(folder, **settings)
    try:
        yield served
    finally:
        if served.process.poll() is None:
            served.stop()
        if served.process.stdout is not None:
            served.process.stdout.close()
        check_log(served.log)
