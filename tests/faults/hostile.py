"""Tenants that harm others with an ordinary key, each a program: ``python -m tests.faults.hostile NAME URL KEY``.

It prints "started" when its data is there and every connection is at work, and at the end, when its input is closed,
how many requests it has begun and the number of answers by status, as JSON. A kind of harm is a function for one
connection, called again as soon as it returns.
"""

import asyncio
import itertools
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, ClassVar, NamedTuple

from tests.faults.wire import Reply, Wire

Work = Callable[[Wire, int], Awaitable[None]]
Prepare = Callable[[Wire], Awaitable[None]]
ANSWER_TIMEOUT_S = 60
COMPARISONS = 99
BATCH = 100
NODES = b'{"entity":"contact","filter":{"logic":"AND","conditions":[%s]}}' % b",".join([b"[]"] * 340_000)


class Harm(NamedTuple):
    """``work`` of each of ``connections``, after ``prepare``."""

    work: Work
    connections: int
    prepare: Prepare | None


HARMS: dict[str, Harm] = {}


class CountedWire(Wire):
    """Counts the answers of all connections by status."""

    answers: ClassVar[Counter[int]] = Counter()

    async def read(self) -> Reply:
        reply = await super().read()
        self.answers[reply.status] += 1
        return reply


def harm(connections: int, prepare: Prepare | None = None) -> Callable[[Work], Work]:
    """Register a kind of harm under the name of its function."""

    def register(work: Work) -> Work:
        HARMS[work.__name__] = Harm(work, connections, prepare)
        return work

    return register


async def call(wire: Wire, method: str, path: str, body: Any) -> None:
    """A request that has to succeed; a limit of the key's tier only delays it."""
    while True:
        reply = await wire.request(method, path, body)
        if reply.status != 429:
            assert reply.status < 300, f"{method} {path}: {reply.status} {reply.body[:300]!r}"
            return


async def write_contacts(wire: Wire, count: int, **more: Any) -> None:
    for start in range(0, count, BATCH):
        contacts = [{"name": f"Person {n}", **more} for n in range(start, min(start + BATCH, count))]
        for contact in contacts[:-1]:
            await call(wire, "POST", "/crm/contacts", contact)
        reply = await wire.request("POST", "/crm/contacts", contacts[-1], Prefer="wait=30")
        assert reply.status < 300, reply.body


def make_contains(n: int, field: str = "name") -> str:
    """A filter of nothing but comparisons that no index serves, and that no other request has."""
    return " OR ".join(f"{field} contains 'zq{n}x{m}'" for m in range(COMPARISONS))


async def write_long_names(wire: Wire) -> None:
    await write_contacts(wire, 400, name="é" * 1000)


async def write_long_texts(wire: Wire) -> None:
    await call(wire, "POST", "/crm/properties", {"key": "essay", "entity": "CONTACT", "type": "TEXTAREA"})
    await write_contacts(wire, 3, properties={"essay": "é" * 65_000})


def make_slow_list(n: int) -> dict[str, Any]:
    """A dynamic list that the writer evaluates in the database, comparison by comparison."""
    terms: list[dict[str, Any]] = [
        {"type": "field", "field": "name", "operator": "contains", "value": f"zq{n}x{m}"}
        for m in range(COMPARISONS - 1)
    ]
    terms.append({"type": "activity", "activityType": "NOTE", "operator": "gt", "value": 100_000})
    return {
        "name": f"Slow {n}",
        "entityType": "CONTACT",
        "isDynamic": True,
        "filterCriteria": {"logic": "OR", "conditions": terms},
    }


async def make_list(wire: Wire) -> None:
    await call(wire, "POST", "/crm/lists", make_slow_list(0))


@harm(connections=8, prepare=make_list)
async def write_into_slow_list(wire: Wire, n: int) -> None:
    """A1: contacts with long names, each of which a list's slow filter is evaluated for."""
    await wire.request("POST", "/crm/contacts", {"name": "é" * 1000})


@harm(connections=8)
async def make_slow_lists(wire: Wire, n: int) -> None:
    """A1: lists without end; 600 of them come in two seconds."""
    await wire.request("POST", "/crm/lists", make_slow_list(n))


@harm(connections=4)
async def send_many_nodes(wire: Wire, n: int) -> None:
    """A4: bodies of a mebibyte that are nothing but empty lists."""
    await wire.send(wire.make_request("POST", "/crm/query", NODES))
    await wire.read()


@harm(connections=32)
async def scrape(wire: Wire, n: int) -> None:
    """A5: the metrics, which need no key."""
    await wire.request("GET", "/metrics")


@harm(connections=64)
async def drip_body(wire: Wire, n: int) -> None:
    """A6: a request that is refused, and whose body comes byte by byte."""
    await wire.send(wire.make_request("POST", "/crm/nothing", b"[", length=1_000_000))
    reader, _ = await wire.open()
    for _ in range(100):
        await wire.send(b"1")
        with suppress(TimeoutError):
            # It waits for an end that may come, and so sends ten bytes a second.
            if not await asyncio.wait_for(reader.read(1000), 0.1):
                break
    wire.close()


@harm(connections=32)
async def pipeline_unread(wire: Wire, n: int) -> None:
    """A6: requests one behind the other whose answers nobody reads."""
    _, writer = await wire.open()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    for _ in range(100):
        await wire.send(wire.make_request("GET", "/crm/contacts?limit=100"))


@harm(connections=16, prepare=write_long_names)
async def leave_answers(wire: Wire, n: int) -> None:
    """A7: a client that leaves when its answer begins."""
    await wire.send(wire.make_request("GET", "/crm/contacts?limit=100"))
    reader, _ = await wire.open()
    await reader.read(1)
    wire.close()


@harm(connections=16, prepare=write_long_texts)
async def leave_queries(wire: Wire, n: int) -> None:
    """A2: queries that take long; their client leaves in the middle."""
    query = {"entity": "contact", "where": make_contains(n, "properties.essay")}
    await wire.send(wire.make_request("POST", "/crm/query", query))
    with suppress(TimeoutError):
        await asyncio.wait_for(wire.read(), 0.2)
    wire.close()


@harm(connections=32, prepare=write_long_names)
async def query_expensively(wire: Wire, n: int) -> None:
    """A3: queries that no index serves, as many as there are connections."""
    await wire.request("POST", "/crm/query", {"entity": "contact", "where": make_contains(n)})


async def run(name: str, url: str, key: str) -> None:
    kind = HARMS[name]
    wires = [CountedWire(url, key) for _ in range(kind.connections)]
    if kind.prepare is not None:
        await kind.prepare(wires[0])
    CountedWire.answers.clear()
    numbers = itertools.count()

    async def work(wire: Wire) -> None:
        while True:
            try:
                await asyncio.wait_for(kind.work(wire, next(numbers)), ANSWER_TIMEOUT_S)
            except (OSError, EOFError):  # TimeoutError is one: the server has closed, or does not answer
                wire.close()

    working = [asyncio.create_task(work(wire)) for wire in wires]
    await asyncio.sleep(0)
    print("started", flush=True)
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    done, _ = await asyncio.wait([*working, ended], return_when=asyncio.FIRST_COMPLETED)
    for task in done - {ended}:
        task.result()
    print(json.dumps({"begun": next(numbers), "answers": CountedWire.answers}), flush=True)
    for wire in wires:
        wire.close()


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
