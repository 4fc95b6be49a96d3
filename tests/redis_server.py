"""Redis for the tests: a throwaway server for the run, with names of their own for whoever asks."""

import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from redis import Redis
from redis.exceptions import RedisError

from kith.settings import Settings
from tests.kafka import find_free_ports
from tests.postgres import REQUIRED


@dataclass
class RedisServer:
    """A running redis-server that keeps nothing on disk."""

    folder: Path
    port: int
    _process: "subprocess.Popen[bytes] | None" = None
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def make_settings(self, settings: Settings) -> Settings:
        """The settings with names on this server that nobody else has."""
        prefix = f"test{next(self._numbers)}-{os.urandom(4).hex()}"
        return msgspec.structs.replace(settings, redis_url=self.url, redis_prefix=prefix, redis_timeout_ms=2000)

    @contextmanager
    def open_client(self) -> Iterator["Redis"]:
        with Redis.from_url(self.url, protocol=2, socket_timeout=10) as client:
            yield client

    def start(self) -> None:
        """Returns when it serves."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--dir", str(self.folder)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        while True:
            assert self._process.poll() is None, (self.folder / "redis.log").read_text()
            try:
                with self.open_client() as client:
                    client.ping()
                    return
            except RedisError:
                continue

    def flush(self) -> None:
        with self.open_client() as client:
            client.flushall()

    def list_keys(self, settings: Settings) -> list[str]:
        with self.open_client() as client:
            return sorted(key.decode() for key in client.scan_iter(f"{settings.redis_prefix}:*"))

    def pause(self) -> None:
        """It takes connections, and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _signal(self, sign: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(sign)


def find_redis() -> None:
    """Skips the test where none is installed."""
    if shutil.which("redis-server") is None:
        message = "redis-server is not installed (apt-get install redis-server)"
        if REQUIRED:
            pytest.fail(message)
        pytest.skip(message)


@contextmanager
def running_redis(folder: Path) -> Iterator[RedisServer]:
    """A server, gone at the end. Skips the test where none is installed."""
    find_redis()
    folder.mkdir(parents=True, exist_ok=True)
    server = RedisServer(folder, find_free_ports(1)[0])
    server.start()
    try:
        yield server
    finally:
        server.kill()
