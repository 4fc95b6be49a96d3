"""The load generator: a process of its own that sends requests over many connections, one at a time on each.

``python -m tests.bench.client`` reads a ``Load`` as a line of JSON, answers it with a ``Result``, and so on.
It speaks as little HTTP as it needs, so that it is not what is measured.
"""

import asyncio
import itertools
import subprocess
import sys
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean, median
from typing import Self

import msgspec
import uvloop

from tests.bench.people import make_person

ROOT = Path(__file__).parents[2]
BODIES = 2000
BLANK_LINE = b"\r\n\r\n"
LENGTH = b"content-length: "


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What to send, to whom, on how many connections, and for how long: ``seconds``, or until ``requests`` are sent.

    ``paths`` are asked for in turn; with ``creates_from`` people are posted to the one path instead, beginning with
    this number, each with an email that nobody had. A ``body`` is posted to the paths in turn. With ``per_s`` so many
    are sent a second, evenly, and not as many as can be.
    """

    port: int
    key: str
    paths: list[str]
    connections: int = 64
    seconds: float = 5
    requests: int | None = None
    creates_from: int | None = None
    body: str | None = None
    per_s: float | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. Latencies are in milliseconds; times are of the monotonic clock, which all processes share.

    ``typical_ms`` is the mean of the paths' medians, so that each path counts and no hiccup does; it takes a single
    connection, on which the paths are asked for in their order.
    """

    count: int
    began_s: float
    ended_s: float
    statuses: dict[str, int]
    p50_ms: float
    p99_ms: float
    typical_ms: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        return self.count / (self.ended_s - self.began_s)


class Run:
    """What the connections of a run share."""

    def __init__(self, load: Load) -> None:
        self.requests = make_creates(load) if load.creates_from is not None else make_rest(load)
        self.latencies_ms = array("d")
        self.statuses: Counter[bytes] = Counter()
        self.open = 0
        self.stopped = asyncio.Event()
        self.began_s = time.monotonic()
        self.ends_s = self.began_s + (load.seconds if load.requests is None else 3600)
        self._between_s = 1 / load.per_s if load.per_s else 0.0
        self._next_s = self.began_s

    def find_delay_s(self) -> float:
        """How long the next request has to wait for its turn."""
        if not self._between_s:
            return 0.0
        self._next_s += self._between_s
        return max(0.0, self._next_s - time.monotonic())


class Connection(asyncio.Protocol):
    """Sends the next request when the answer to the last one is whole."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._received = b""
        self._sent_s = 0.0
        self._waiting = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._run.open += 1
        self._send_in_turn()

    def _send_in_turn(self) -> None:
        delay_s = self._run.find_delay_s()
        if delay_s:
            asyncio.get_running_loop().call_later(delay_s, self._send)
        else:
            self._send()

    def _send(self) -> None:
        now = time.monotonic()
        request = next(self._run.requests, None) if now < self._run.ends_s else None
        if request is None:
            self._transport.close()
            return
        self._sent_s = now
        self._waiting = True
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._received:
            data = self._received + data
        end = data.find(BLANK_LINE)
        if end >= 0:
            at = data.find(LENGTH, 0, end) + len(LENGTH)
            if len(data) >= end + len(BLANK_LINE) + int(data[at : data.find(b"\r", at)]):
                self._received = b""
                self._waiting = False
                self._run.latencies_ms.append(1000 * (time.monotonic() - self._sent_s))
                self._run.statuses[data[9:12]] += 1
                self._send_in_turn()
                return
        self._received = data

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None or self._waiting:
            self._run.statuses[b"cut off"] += 1
        self._run.open -= 1
        if not self._run.open:
            self._run.stopped.set()


def make_creates(load: Load) -> Iterator[bytes]:
    """POSTs of people, made before the run but for what is everybody's own: email and phone."""
    assert load.creates_from is not None
    parts = make_parts(load.paths[0], load.key)
    return itertools.islice(fill(parts, load.creates_from), load.requests)


@cache
def make_parts(path: str, key: str) -> list[tuple[bytes, bytes, bytes]]:
    parts = []
    for n in range(BODIES):
        person = make_person(n)
        local, _, domain = person.email.partition("@")
        marked = msgspec.structs.replace(person, email=f"{local}.#@{domain}", phone="+1#")
        first, between, last = msgspec.json.encode(marked).split(b"#")
        head = make_head("POST", path, key, len(first) + len(between) + len(last) + 2 * 10)
        parts.append((head + BLANK_LINE + first, between, last))
    return parts


def fill(parts: list[tuple[bytes, bytes, bytes]], number: int) -> Iterator[bytes]:
    for n in itertools.count(number):
        first, between, last = parts[n % len(parts)]
        yield b"%b%010d%b%010d%b" % (first, n, between, 2_020_000_000 + n, last)


def make_rest(load: Load) -> Iterator[bytes]:
    if load.body is None:
        requests = [make_head("GET", path, load.key) + BLANK_LINE for path in load.paths]
    else:
        body = load.body.encode()
        requests = [make_head("POST", path, load.key, len(body)) + BLANK_LINE + body for path in load.paths]
    return itertools.islice(itertools.cycle(requests), load.requests)


def make_head(method: str, path: str, key: str, length: int | None = None) -> bytes:
    """A request's head without the blank line at its end."""
    body = "" if length is None else f"\r\nContent-Type: application/json\r\nContent-Length: {length}"
    return f"{method} {path} HTTP/1.1\r\nHost: kith\r\nAuthorization: Bearer {key}{body}".encode()


async def run_load(load: Load) -> Result:
    loop = asyncio.get_running_loop()
    cpu_s = time.process_time()
    run = Run(load)
    for _ in range(load.connections):
        await loop.create_connection(lambda: Connection(run), "127.0.0.1", load.port)
    await run.stopped.wait()
    assert run.latencies_ms, f"nothing was answered on port {load.port}: {dict(run.statuses)}"
    ended_s = time.monotonic()
    sorted_ms = sorted(run.latencies_ms)
    return Result(
        count=len(sorted_ms),
        began_s=run.began_s,
        ended_s=ended_s,
        statuses={status.decode(): count for status, count in run.statuses.items()},
        p50_ms=sorted_ms[len(sorted_ms) // 2],
        p99_ms=sorted_ms[len(sorted_ms) * 99 // 100],
        typical_ms=find_typical(run.latencies_ms, len(load.paths)),
        cpu_s=time.process_time() - cpu_s,
    )


def find_typical(latencies_ms: Sequence[float], paths: int) -> float:
    return fmean(median(latencies_ms[n::paths]) for n in range(min(paths, len(latencies_ms))))


class Client:
    """A load generator at work for this process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.client"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(self, load: Load) -> Result:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(load) + b"\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline(), type=Result)


def serve_loads() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for line in sys.stdin.buffer:
            result = runner.run(run_load(msgspec.json.decode(line, type=Load)))
            sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    serve_loads()
