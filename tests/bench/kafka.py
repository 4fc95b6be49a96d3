"""The log in Kafka: how fast writes are accepted, how soon they can be read, and how fast a backlog is applied."""

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import mean

import msgspec
import psutil
import pytest

from kith.processes.supervise import check_port, wait_until_ready
from kith.settings import Settings
from tests.bench.apply import time_apply, time_insert
from tests.bench.client import Client
from tests.bench.figures import Figure
from tests.bench.installation import PARTS, Installation, drain, installed, start_part
from tests.bench.latency import PEOPLE_FROM, WARM_UP, Desk, make_figure, time_each
from tests.bench.memory import MB
from tests.kafka import find_classpath, running_broker
from tests.redis_server import running_redis

BACKLOG_FROM = 60_000_000
OTHERS_FROM = 90_000_000
MEASURED_EVERY_S = 0.05


def bench_kafka(seconds: float, writes: int, backlog: int) -> list[Figure]:
    """On a broker of its own: one node on the same machine. Nothing where there is no Java or Maven to have it from."""
    try:
        find_classpath()
    except pytest.skip.Exception as missing:
        print(f"not measured: {missing}", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory(prefix="kith-bench-") as name, running_broker(Path(name) / "kafka") as broker:
        settings = broker.make_settings(Settings())
        with installed(Path(name) / "postgres", settings) as kith:
            # A broker that has just started is slow.
            kith.create(seconds=2 * seconds)
            drain(kith)
            figures = [
                bench_pace(kith, seconds),
                bench_visible(kith, writes),
                *bench_backlog(kith, backlog),
            ]
        try:
            with running_redis(Path(name) / "redis") as redis:
                settings = redis.make_settings(broker.make_settings(Settings()))
                with installed(Path(name) / "two", settings) as kith:
                    figures.append(bench_two_apis(kith, seconds))
        except pytest.skip.Exception as missing:
            print(f"not measured: {missing}", file=sys.stderr)
        return figures


def bench_two_apis(kith: Installation, seconds: float) -> Figure:
    """What a second API adds; all of it, and PostgreSQL, Kafka, Redis and the clients, are on the cores of one machine.

    There is no target: it is 1.7 where an API has a core to itself.
    """
    alone = [kith.create(connections=64, seconds=seconds).per_s]
    drain(kith)
    settings = msgspec.structs.replace(kith.settings, port=check_port("127.0.0.1", 0))
    process = start_part(PARTS["api"], settings)
    try:
        wait_until_ready(settings, [])
        with Client() as client, ThreadPoolExecutor() as pool:
            second = replace(kith, settings=settings, client=client, created=OTHERS_FROM)
            running = [pool.submit(one.create, connections=32, seconds=seconds) for one in (kith, second)]
            together = sum(one.result().per_s for one in running)
        drain(kith)
    finally:
        process.terminate()
        process.wait(20)
    alone.append(kith.create(connections=64, seconds=seconds).per_s)
    drain(kith)
    return Figure(
        name="two APIs on Kafka and Redis ÷ one, creates at 64 connections",
        value=together / mean(alone),
        parts={"one/s": mean(alone), "two/s": together, "cores": os.cpu_count() or 0},
    )


def bench_pace(kith: Installation, seconds: float) -> Figure:
    """How long a create waits for its 202 at 64 connections of which none is always busy.

    With as many as can be under way, the wait is just 64 ÷ the creates a second.
    """
    paced = kith.create(connections=64, seconds=seconds, per_s=1000)
    drain(kith)
    return Figure(
        name="accept on Kafka: 64 connections, 1,000 creates a second, p50",
        value=paced.p50_ms,
        target=4,
        bound="most",
        unit="ms",
        parts={"accepted/s": paced.per_s, "p99 ms": paced.p99_ms},
    )


def bench_visible(kith: Installation, writes: int) -> Figure:
    desk = Desk(kith)
    listed = time_each(desk.create_and_list, PEOPLE_FROM + WARM_UP, writes)
    desk.close()
    return make_figure("create sent → in a list (X-Read-After) on Kafka, p99", listed, target=50)


def bench_backlog(kith: Installation, backlog: int) -> list[Figure]:
    """As many bare inserts, half of them before and half after: both meet checkpoints, and the machine may change."""
    part = backlog // 2
    inserted_s = time_insert(kith, BACKLOG_FROM, part)
    with watching(kith.parts["writer"]) as sizes:
        applied_s, cpu_s = time_apply(kith, BACKLOG_FROM, backlog)
    inserted_s += time_insert(kith, BACKLOG_FROM + part, part)
    half = len(sizes) // 2
    return [
        Figure(
            name=f"a backlog of {backlog:,} creates on Kafka, applied ÷ bare INSERT",
            value=(inserted_s / (2 * part)) / (applied_s / backlog),
            target=0.5,
            parts={
                "applied/s": backlog / applied_s,
                "inserted/s": 2 * part / inserted_s,
                "writer's processor µs each": cpu_s * 1e6 / backlog,
            },
        ),
        Figure(
            name="memory of the writer in the second half of the backlog ÷ in the first, at most",
            value=max(sizes[half:]) / max(sizes[:half]),
            target=1.2,
            bound="most",
            parts={"MB at most": max(sizes) / MB},
        ),
    ]


@contextmanager
def watching(process: psutil.Process) -> Iterator[list[int]]:
    """Its resident size in bytes, again and again."""
    sizes = [process.memory_info().rss]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(MEASURED_EVERY_S):
            sizes.append(process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield sizes
    finally:
        ended.set()
        thread.join()
        sizes.append(process.memory_info().rss)
