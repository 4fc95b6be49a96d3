"""A cluster on one machine: Kafka, PostgreSQL, Redis, and the parts of Kith: all can be killed and come back."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kith.installation.embedded import EmbeddedPostgres
from kith.integrations.credential_store import new_key
from tests.cable import Cable, laid_cable
from tests.kafka import Broker, running_broker
from tests.redis_server import RedisServer, running_redis
from tests.serving import check_log, make_environment, run_kith

APIS, WRITERS, WORKERS = ("api-1", "api-2"), ("writer-1", "writer-2"), ("worker",)
SERVERS = ("kafka", "postgres", "redis")
PARTS = (*APIS, *WRITERS, *WORKERS)
# The one at the end of a cable, where one can be laid.
REMOTE = "writer-2"
READY = re.compile(r"Kith's (API listens on (?P<url>http://\S+)|writer applies|worker is ready)")


@dataclass
class Cluster:
    """What runs, by name. ``urls`` are those of the APIs, ``key`` is an admin key."""

    folder: Path
    broker: Broker
    postgres: EmbeddedPostgres
    redis: RedisServer
    settings: dict[str, str]
    cable: Cable | None = None
    key: str = ""
    urls: dict[str, str] = field(default_factory=dict)
    _parts: "dict[str, subprocess.Popen[str]]" = field(default_factory=dict)

    @property
    def url(self) -> str:
        return next(iter(self.urls.values()))

    @property
    def database_url(self) -> str:
        return self.settings["database_url"]

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """A command with the cluster's settings, to its end."""
        return run_kith(*arguments, **self.settings)

    def initialise(self) -> None:
        """The schema, the topics, a workspace and its admin key."""
        made = self.run("init", "--json")
        assert made.returncode == 0, made.stderr
        self.key = json.loads(made.stdout)["key"]

    def start(self, name: str) -> None:
        """Returns when it is ready. A part that comes back has the port that it had."""
        if name == "kafka":
            self.broker.start()
        elif name == "redis":
            self.redis.start()
        elif name == "postgres":
            self.postgres.spawn()
            self.postgres.wait_until_ready()
        else:
            self._start_part(name)

    def kill(self, name: str) -> None:
        """Without a word of warning."""
        if name == "kafka":
            self.broker.kill()
        elif name == "redis":
            self.redis.kill()
        elif name == "postgres":
            self._end_postgres(signal.SIGKILL)
        else:
            self._end_part(name, signal.SIGKILL)

    def shut_down_postgres(self) -> None:
        """In order, as for an upgrade of it: everybody is disconnected."""
        self._end_postgres(signal.SIGINT)

    def _end_postgres(self, sign: signal.Signals) -> None:
        os.kill(self.postgres.pid, sign)
        os.waitid(os.P_PID, self.postgres.pid, os.WEXITED | os.WNOWAIT)
        assert self.postgres.poll() is not None

    def pause(self, name: str) -> None:
        """It keeps its connections, and does nothing."""
        self._signal(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self._signal(name, signal.SIGCONT)

    def _signal(self, name: str, sign: signal.Signals) -> None:
        if name == "kafka":
            self.broker.send_signal(sign)
        else:
            self._parts[name].send_signal(sign)

    def stop(self) -> None:
        """All in order: those who take writes first, what they write to last."""
        for name in PARTS:
            self._end_part(name, signal.SIGTERM)
        self.postgres.stop()

    def _start_part(self, name: str) -> None:
        kind, _, _ = name.partition("-")
        settings = self.settings
        port = self.urls[name].rpartition(":")[2] if name in self.urls else "0"
        arguments = [kind, *(["--port", port] if kind == "api" else [])]
        command = [sys.executable, "-P", "-m", "kith", *arguments]
        if self.cable is not None and name == REMOTE:
            # It has PostgreSQL by its socket, and Kafka by the cable.
            settings = {**settings, "kafka_bootstrap": f"{self.cable.host}:{self.broker.other_port}"}
            command = self.cable.run_inside(command)
        log = self.folder / f"{name}.log"
        with log.open("a") as errors:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=make_environment(**settings),
            )
        self._parts[name] = process
        assert process.stdout is not None
        ready = READY.match(process.stdout.readline())
        assert ready is not None, f"{name} ended with status {process.wait()}:\n{log.read_text()}"
        if ready["url"]:
            self.urls[name] = ready["url"]

    def _end_part(self, name: str, sign: signal.Signals) -> None:
        part = self._parts.pop(name, None)
        if part is not None:
            part.send_signal(sign)
            part.wait()
            assert part.stdout is not None
            part.stdout.close()


@contextmanager
def running_cluster(folder: Path, **settings: str) -> Iterator[Cluster]:
    """All parts, ready; gone at the end."""
    with (
        laid_cable() as cable,
        running_broker(folder / "kafka", host=cable.host if cable is not None else None) as broker,
        running_redis(folder / "redis") as redis,
    ):
        postgres = EmbeddedPostgres.start(folder / "postgres")
        known = {
            "database_url": postgres.url,
            "kafka_bootstrap": broker.bootstrap,
            "redis_url": redis.url,
            "secret_keys": new_key(),
            "partitions": "4",
            **settings,
        }
        cluster = Cluster(folder, broker, postgres, redis, known, cable)
        try:
            cluster.initialise()
            for name in PARTS:
                cluster.start(name)
            yield cluster
        finally:
            cluster.stop()
            for log in folder.glob("*.log"):
                check_log(log)
