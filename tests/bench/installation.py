"""A real Kith for a bench: PostgreSQL with every safety on, and the parts as the processes that ``kith serve`` starts.

The API is started by ``tests.bench.server``, which adds to it what it is compared with.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import psutil

from kith.engine.admin.keys import new_key_text
from kith.engine.context.engine import load_installation
from kith.installation.embedded import EmbeddedPostgres, die_with_parent
from kith.log.factory import open_log
from kith.model.workspaces import Workspace
from kith.processes.supervise import check_port, prepare_database, wait_until_ready
from kith.settings import Settings, to_environment
from kith.store.database import Database
from kith.store.status import load_shards
from kith.store.workspaces import list_workspaces
from tests.bench.client import ROOT, Client, Load, Result

PARTS = {"api": ["-m", "tests.bench.server"], "writer": ["-m", "kith", "writer"], "worker": ["-m", "kith", "worker"]}


@dataclass
class Installation:
    """A running Kith and what is known of it. ``created`` counts the people that were posted so far."""

    settings: Settings
    key: str
    workspace: Workspace
    server: EmbeddedPostgres
    parts: dict[str, psutil.Process]
    client: Client
    created: int = 0

    @property
    def url(self) -> str:
        return self.settings.database_url

    def load(self, *paths: str, connections: int = 64, seconds: float = 5) -> Result:
        """GET the paths in turn for so long."""
        return self.client.run(self._make_load(paths, connections, seconds))

    def create(
        self, path: str = "/crm/contacts", *, connections: int = 64, seconds: float = 5, per_s: float | None = None
    ) -> Result:
        """POST people for so long."""
        load = self._make_load([path], connections, seconds)
        load = msgspec.structs.replace(load, creates_from=self.created, per_s=per_s)
        result = self.client.run(load)
        self.created += result.count
        return result

    def create_many(self, requests: int, *, connections: int = 64) -> Result:
        """POST so many people."""
        load = self._make_load(["/crm/contacts"], connections, 0)
        load = msgspec.structs.replace(load, creates_from=self.created, requests=requests)
        self.created += requests
        return self.client.run(load)

    def post(self, path: str, body: Mapping[str, Any]) -> Result:
        """POST one thing."""
        return self.post_each([path], body, connections=1)

    def post_each(self, paths: Sequence[str], body: Mapping[str, Any], *, connections: int = 64) -> Result:
        """POST the same to each path once."""
        load = self._make_load(paths, connections, 0)
        text = msgspec.json.encode(body).decode()
        return self.client.run(msgspec.structs.replace(load, body=text, requests=len(paths)))

    def ask(self, path: str, body: Mapping[str, Any], seconds: float) -> Result:
        """POST the same for so long, one after the other."""
        text = msgspec.json.encode(body).decode()
        return self.client.run(msgspec.structs.replace(self._make_load([path], 1, seconds), body=text))

    def _make_load(self, paths: Sequence[str], connections: int, seconds: float) -> Load:
        return Load(port=self.settings.port, key=self.key, paths=list(paths), connections=connections, seconds=seconds)

    def pause(self, part: str) -> None:
        self.parts[part].suspend()

    def resume(self, part: str) -> None:
        self.parts[part].resume()

    def measure_cpu_s(self) -> dict[str, float]:
        """The processor time that each part has taken so far."""
        return {name: sum_cpu_s(process) for name, process in self.list_processes().items()}

    def list_processes(self) -> dict[str, psutil.Process]:
        return {**self.parts, "postgresql": psutil.Process(self.server.pid)}


def sum_cpu_s(process: psutil.Process) -> float:
    """With the children, which are PostgreSQL's own; those that ended count in their parent."""
    times = [process.cpu_times(), *(child.cpu_times() for child in process.children())]
    seconds: float = sum(one.user + one.system for one in times) + times[0].children_user + times[0].children_system
    return seconds


@contextmanager
def installed(folder: Path, settings: Settings = Settings()) -> Iterator[Installation]:  # noqa: B008 - frozen
    """Everything started, with its data in this folder; stopped at the end."""
    with (
        EmbeddedPostgres.start(folder) as server,
        Client() as client,
        serving(server, client, settings, new_key_text("server")) as installation,
    ):
        yield installation


async def allow_checkpoints(superuser_url: str) -> None:
    """The benches ask for them before they measure; Kith's role does not need them."""
    connection = await asyncpg.connect(superuser_url)
    try:
        await connection.execute("GRANT pg_checkpoint TO kith_app")
    finally:
        await connection.close()


@contextmanager
def serving(
    server: EmbeddedPostgres, client: Client, settings: Settings, key: str, created: int = 0
) -> Iterator[Installation]:
    """The parts, on a database that is new, or that was prepared with this key; ``created`` people were posted."""
    asyncio.run(allow_checkpoints(server.superuser_url))
    settings = msgspec.structs.replace(settings, database_url=server.url, port=check_port("127.0.0.1", 0))
    assert asyncio.run(prepare_database(settings, key)), "the database has another key"
    processes = {name: start_part(arguments, settings) for name, arguments in PARTS.items()}
    try:
        wait_until_ready(settings, [])
        yield Installation(
            settings=settings,
            key=key,
            workspace=asyncio.run(find_workspace(server.url)),
            server=server,
            client=client,
            parts={name: psutil.Process(process.pid) for name, process in processes.items()},
            created=created,
        )
    finally:
        for process in processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in processes.values():
            process.wait(20)


def start_part(arguments: Sequence[str], settings: Settings) -> "subprocess.Popen[bytes]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KITH_")}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=to_environment(settings, kept),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - it only makes a system call
    )


async def find_workspace(url: str) -> Workspace:
    connection = await asyncpg.connect(url)
    try:
        (workspace,) = await list_workspaces(connection)
        return workspace
    finally:
        await connection.close()


async def load_heads(settings: Settings) -> dict[int, int]:
    database = await Database.open(settings.database_url, settings, "reader", connections_max=1)
    try:
        partitions = (await load_installation(database)).partitions
        async with open_log(settings, database, settings.database_url, partitions) as log:
            return await log.load_heads()
    finally:
        await database.close()


def find_heads(installation: Installation) -> dict[int, int]:
    """Where the log of each shard ends."""
    return asyncio.run(load_heads(installation.settings))


def drain(
    installation: Installation, every_s: float = 0.02, heads: Mapping[int, int] | None = None
) -> tuple[int, float]:
    """(the lag now, the monotonic time when all up to these heads, or that is on the log now, was applied)."""
    return asyncio.run(watch_drain(installation.settings, every_s, heads))


async def watch_drain(settings: Settings, every_s: float, heads: Mapping[int, int] | None) -> tuple[int, float]:
    heads = heads or await load_heads(settings)
    connection = await asyncpg.connect(settings.database_url)
    try:
        first = lag = await find_lag(connection, heads)
        while lag:
            await asyncio.sleep(every_s)
            lag = await find_lag(connection, heads)
        return first, time.monotonic()
    finally:
        await connection.close()


async def find_lag(connection: "asyncpg.Connection[asyncpg.Record]", heads: Mapping[int, int]) -> int:
    """How many entries up to there are not applied."""
    return sum(max(0, heads[shard.shard] - shard.cursor) for shard in await load_shards(connection))
