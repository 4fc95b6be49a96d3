"""How soon a write can be read, with nothing else going on."""

import asyncio
import http.client
import time
from collections.abc import Callable, Sequence

import asyncpg
import msgspec

from tests.bench.figures import Figure
from tests.bench.installation import Installation, drain
from tests.bench.people import make_person

WARM_UP = 20
# With fewer contacts than so many the planner is told again and again how many there are.
YOUNG_MAX = 5_000
PEOPLE_FROM = 80_000_000


def bench_latency(kith: Installation, writes: int) -> list[Figure]:
    """From when a create is sent until it is answered as applied, and until a list that shows it is answered.

    One after the other; and with a rest before each, after which processors and caches are cold.
    """
    kith.create_many(YOUNG_MAX)
    drain(kith)
    asyncio.run(settle(kith.url))
    desk = Desk(kith)
    waited = time_each(desk.create_and_wait, PEOPLE_FROM, writes)
    listed = time_each(desk.create_and_list, PEOPLE_FROM + writes + WARM_UP, writes)
    rested = time_each(desk.create_and_wait, PEOPLE_FROM + 2 * (writes + WARM_UP), writes // 2, rest_s=0.02)
    desk.close()
    committed = asyncio.run(time_commits(kith.url, writes))
    return [
        make_figure("create sent → applied (Prefer: wait), p99", waited, target=10),
        make_figure("create sent → in a list (X-Read-After), p99", listed, target=10),
        make_figure("create sent → applied, after 20 ms of rest, p99", rested, target=10),
        make_figure("a commit by itself, p99: a create has to wait for two", committed),
    ]


class Desk:
    """Somebody who makes one contact after another, on one connection."""

    def __init__(self, kith: Installation) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", kith.settings.port, timeout=30)
        self._headers = {"Authorization": f"Bearer {kith.key}", "Content-Type": "application/json"}

    def create_and_wait(self, n: int) -> None:
        status, _ = self._ask("POST", make_body(n), Prefer="wait=10")
        assert status == 201, status

    def create_and_list(self, n: int) -> None:
        status, answer = self._ask("POST", make_body(n))
        assert status == 202, status
        position = msgspec.json.decode(answer)["operation"]["position"]
        status, answer = self._ask("GET", None, **{"X-Read-After": position})
        assert status == 200, status
        assert f".{n}@".encode() in answer, f"person {n} is not on the first page"

    def close(self) -> None:
        self._connection.close()

    def _ask(self, method: str, body: bytes | None, **headers: str) -> tuple[int, bytes]:
        self._connection.request(method, "/crm/contacts", body, {**self._headers, **headers})
        answer = self._connection.getresponse()
        return answer.status, answer.read()


async def settle(url: str) -> None:
    """Let PostgreSQL finish what the benches before left to it: autovacuum would take one of two processors."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("VACUUM (ANALYZE)", timeout=300)
        await connection.execute("CHECKPOINT", timeout=300)
    finally:
        await connection.close()


async def time_commits(url: str, count: int) -> list[float]:
    """Milliseconds of each of so many commits of a row, sorted: what the disk lets anybody do."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS bench_commits (n int)")
        times = []
        for n in range(count):
            began_s = time.perf_counter()
            await connection.execute("INSERT INTO bench_commits VALUES ($1)", n)
            times.append((time.perf_counter() - began_s) * 1000)
        return sorted(times)
    finally:
        await connection.close()


def make_body(n: int) -> bytes:
    return msgspec.json.encode(make_person(n))


def time_each(act: Callable[[int], None], first: int, count: int, rest_s: float = 0) -> list[float]:
    """Milliseconds of each, sorted; with ``rest_s`` before each, in which all processes fall idle."""
    for n in range(first, first + WARM_UP):
        act(n)
    times = []
    for n in range(first + WARM_UP, first + WARM_UP + count):
        time.sleep(rest_s)
        began_s = time.perf_counter()
        act(n)
        times.append((time.perf_counter() - began_s) * 1000)
    return sorted(times)


def make_figure(name: str, times: Sequence[float], target: float | None = None) -> Figure:
    count = len(times)
    return Figure(
        name=name,
        value=times[count * 99 // 100],
        unit="ms",
        target=target,
        bound="most",
        parts={"p50 ms": times[count // 2], "p90 ms": times[count * 9 // 10], "most ms": times[-1], "writes": count},
    )
