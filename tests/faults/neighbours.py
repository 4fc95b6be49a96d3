"""A quiet tenant's requests, timed alone and beside a tenant that harms; and how the two are compared."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg

from kith.clock import SystemClock
from kith.engine.admin.keys import SCOPES, create_key
from kith.engine.admin.workspaces import create_workspace
from tests.faults.wire import Wire, open_wire
from tests.serving import Served

ROUNDS = int(os.environ.get("KITH_TEST_ROUNDS", "15"))
# A request that takes longer than this counts as failed.
ANSWER_TIMEOUT_S = 10
OPERATIONS = ("get", "query", "write")


@dataclass
class Timings:
    """Milliseconds of each operation, and what went wrong."""

    ms: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in OPERATIONS})
    failures: list[str] = field(default_factory=list)

    def find(self, operation: str, share: float) -> float:
        """The percentile."""
        ordered = sorted(self.ms[operation])
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@dataclass(frozen=True)
class Tenant:
    key: str


@dataclass(frozen=True)
class Harmed:
    """How many requests a harm has begun, and the number of its answers by status."""

    begun: int
    answers: dict[int, int]


async def make_tenant(served: Served, name: str, *, tier: str, rate_per_s: int | None = None) -> Tenant:
    connection = await asyncpg.connect(served.database_url)
    try:
        workspace = await create_workspace(connection, SystemClock(), name)
        key, _ = await create_key(connection, SystemClock(), workspace, scopes=SCOPES, tier=tier, rate_per_s=rate_per_s)
    finally:
        await connection.close()
    return Tenant(key)


async def time_rounds(served: Served, tenant: Tenant, rounds: int) -> Timings:
    """One request after the other: a get, a query, and a write until it is applied."""
    timings = Timings()
    async with open_wire(served.url, tenant.key) as wire:
        made = await wire.request("POST", "/crm/contacts", {"name": "Quiet"}, Prefer="wait=10")
        assert made.status in (200, 201, 202), made
        path = f"/crm/contacts/{made.read()['data']['externalId']}"
        for n in range(rounds):
            await _time(timings, "get", wire, "GET", path, None, 200)
            # Each query is a new one, as no other is to pay for its plan.
            query = {"entity": "contact", "where": f"name = 'Quiet {n}' AND createdAt > 2020-01-01"}
            await _time(timings, "query", wire, "POST", "/crm/query", query, 200)
            await _time(timings, "write", wire, "PATCH", path, {"name": f"Quiet {n}"}, 200)
    return timings


async def _time(
    timings: Timings, operation: str, wire: Wire, method: str, path: str, body: object, wanted: int
) -> None:
    began_s = time.perf_counter()
    try:
        reply = await asyncio.wait_for(wire.request(method, path, body, Prefer="wait=10"), ANSWER_TIMEOUT_S)
    except (OSError, EOFError) as error:
        wire.close()
        timings.failures.append(f"{operation}: {type(error).__name__}")
    else:
        if reply.status != wanted:
            timings.failures.append(f"{operation}: {reply.status} {reply.body[:200]!r}")
    timings.ms[operation].append((time.perf_counter() - began_s) * 1000)


@asynccontextmanager
async def harming(served: Served, name: str, tenant: Tenant) -> AsyncIterator["asyncio.Future[Harmed]"]:
    """The harm under way, in a process of its own. The future gets its result at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.hostile", name, served.url, tenant.key),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    made: asyncio.Future[Harmed] = asyncio.get_running_loop().create_future()
    try:
        assert await process.stdout.readline() == b"started\n", "the harm could not begin"
        yield made
        process.stdin.close()
        told = json.loads(await process.stdout.readline())
        made.set_result(Harmed(told["begun"], {int(status): count for status, count in told["answers"].items()}))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def show(name: str, alone: Timings, beside: Timings, harmed: Harmed) -> str:
    """The figures of a run, a line for each operation."""
    failed = f"{len(beside.failures)} of the quiet tenant's failed"
    lines = [f"{name}: {harmed.begun} hostile requests, answers {harmed.answers}, {failed}"]
    for operation in OPERATIONS:
        figures = [(timings.find(operation, share)) for share in (0.5, 0.99) for timings in (alone, beside)]
        lines.append(
            f"  {operation:5}  p50 {figures[0]:7.1f} → {figures[1]:7.1f} ms ({figures[1] / figures[0]:5.1f} times)"
            f"   p99 {figures[2]:7.1f} → {figures[3]:7.1f} ms ({figures[3] / figures[2]:5.1f} times)"
        )
    return "\n".join(lines)
