"""Everything next to its floor, at several sizes, with the log in PostgreSQL and then in Kafka."""

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import asyncpg
import msgspec
import pytest

from kith.engine.admin.log_migration import move_log
from kith.installation.embedded import EmbeddedPostgres
from kith.settings import Settings
from tests.bench.accept import bench_accept
from tests.bench.apply import bench_apply, time_apply, time_insert
from tests.bench.client import Client, Result
from tests.bench.figures import Figure
from tests.bench.installation import Installation, drain, find_heads, installed, serving
from tests.bench.latency import settle
from tests.bench.lists import compare
from tests.bench.memory import measure_memory
from tests.bench.mixed import bench_mixed
from tests.bench.queries import QUERIES, make_query
from tests.bench.reads import PAGE, bench_reads, compare_one
from tests.bench.scale import bench_scale, fill, find_deep, list_searches
from tests.bench.server import BARE
from tests.kafka import find_classpath, running_broker

ROUNDS = 3
PEOPLE_FROM = 10_000_000
# Lists of a workspace that nobody has are not there for the writer.
HIDE_LISTS = "UPDATE lists SET workspace_id = -workspace_id WHERE is_dynamic AND workspace_id > 0"
SHOW_LISTS = "UPDATE lists SET workspace_id = -workspace_id WHERE workspace_id < 0"


@dataclass
class Place:
    """A database with so many contacts, between two starts of Kith on it. ``people`` are numbers that nobody has."""

    folder: Path
    size: int
    key: str = ""
    created: int = 0
    people: int = PEOPLE_FROM

    def take(self, count: int) -> int:
        """The first of so many people that are new."""
        self.people += count
        return self.people - count


@dataclass(frozen=True)
class Extent:
    """How much is measured: ``sizes`` next to each other, then each of ``by_themselves``.

    ``commands`` make a backlog; ``seconds`` last a round of reads, and four times as long one of writes.
    """

    sizes: Sequence[int]
    by_themselves: Sequence[int]
    lists: int
    commands: int
    seconds: float
    shapes: Sequence[str]


WHOLE = Extent((10_000, 100_000, 1_000_000), (10_000, 100_000, 1_000_000), 1_000, 10_000, 0.5, tuple(QUERIES))
# Of the shapes of queries those whose plan does not depend on how many contacts there are.
SMOKE = Extent((2_000, 20_000), (20_000,), 20, 1_000, 0.1, ("equality on a property", "sort by a property"))


def bench_sizes(extent: Extent) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="kith-bench-") as name:
        places = [Place(Path(name) / str(size), size) for size in extent.sizes]
        with ExitStack() as stack:
            kiths = {}
            for place in places:
                kiths[place.size] = kith = stack.enter_context(installed(place.folder))
                place.key = kith.key
                fill(kith, place.size, extent.lists)
            figures = bench_scale(kiths, extent.seconds)
        for place in places:
            if place.size in extent.by_themselves:
                figures += bench_place(place, extent)
            shutil.rmtree(place.folder)
        return figures


def bench_place(place: Place, extent: Extent) -> list[Figure]:
    with EmbeddedPostgres.start(place.folder) as server, Client() as client:
        figures = bench_log("PostgreSQL", server, client, Settings(), place, extent)
        try:
            find_classpath()
        except pytest.skip.Exception as missing:
            print(f"not measured: {missing}", file=sys.stderr)
            return figures
        with running_broker(place.folder / "kafka") as broker:
            settings = broker.make_settings(Settings())
            asyncio.run(move_log(server.url, settings, to_kafka=True, tell=lambda _: None))
            return figures + bench_log("Kafka", server, client, settings, place, extent)


def bench_log(
    log: str, server: EmbeddedPostgres, client: Client, settings: Settings, place: Place, extent: Extent
) -> list[Figure]:
    """All figures of one size on one log: first what dynamic lists take, then the rest, without them."""

    @contextmanager
    def started(lists: str) -> Iterator[Installation]:
        print(f"measuring: {place.size:,} contacts, the log in {log}", file=sys.stderr, flush=True)
        asyncio.run(execute(server.url, lists))
        with serving(server, client, settings, place.key, place.created) as kith:
            asyncio.run(settle(server.url))
            yield kith
            place.created = kith.created

    commands = extent.commands
    with started(SHOW_LISTS) as kith:
        time_apply(kith, place.take(commands), commands // 2)
        with_lists = time_apply(kith, place.take(commands), commands)
    with started(HIDE_LISTS) as kith:
        figures = bench_by_hand(kith, place.size, extent)
        time_apply(kith, place.take(commands), commands // 2)
        without = time_apply(kith, place.take(commands), commands)
        figures += [
            bench_accept(kith, 4 * extent.seconds, target=0.45 if log == "PostgreSQL" else 0.4),
            bench_apply(kith, 5 * commands, place.take(5 * commands)),
            bench_mixed(kith, 3 * commands, place.take(6 * commands)),
            compare("the writer with dynamic lists ÷ without (time)", commands, without, with_lists, target=2),
            *(measure_memory(name, kith.parts[name], {}) for name in ("api", "writer")),
            # Behind the memory: what waits meanwhile takes some.
            bench_burst(kith, 2 * commands, place.take(2 * commands)),
        ]
    return [msgspec.structs.replace(figure, log=log, contacts=place.size) for figure in figures]


def bench_by_hand(kith: Installation, size: int, extent: Extent) -> list[Figure]:
    """Each read ÷ the same SQL by hand."""
    seconds = extent.seconds
    figures = bench_reads(kith, seconds)
    deep, searches = find_deep(kith, size), list_searches(size)
    pairs = {
        "deep cursor": (
            [f"{PAGE}?cursor={cursor}" for cursor, _ in deep],
            [f"{BARE}deep/{place}" for _, place in deep],
        ),
        "typeahead": (
            [f"{PAGE}/search?q={query}" for query in searches],
            [f"{BARE}search/{query}" for query in searches],
        ),
    }

    def load(paths: Sequence[str]) -> Result:
        return kith.load(*paths, connections=1, seconds=seconds)

    figures += [
        compare_one(name, partial(load, whole), partial(load, by_hand), ROUNDS)
        for name, (whole, by_hand) in pairs.items()
    ]
    return figures + [
        compare_one(
            f"query, {name},",
            partial(kith.ask, "/crm/query", make_query(shape), seconds),
            partial(load, [f"{BARE}query/{number}"]),
            ROUNDS,
        )
        for number, (name, shape) in enumerate(QUERIES.items())
        if name in extent.shapes
    ]


def bench_burst(kith: Installation, requests: int, people_from: int) -> Figure:
    """Creates over HTTP that all wait, as the writer stands still; how fast they are applied ÷ bare INSERT."""
    inserted_s = time_insert(kith, people_from, requests)
    kith.pause("writer")
    sent = kith.create_many(requests)
    assert set(sent.statuses) == {"202"}, sent.statuses
    heads = find_heads(kith)
    began_s = time.monotonic()
    kith.resume("writer")
    _, drained_s = drain(kith, 0.005, heads)
    return Figure(
        name="drain after a burst ÷ bare INSERT",
        value=inserted_s / (drained_s - began_s),
        target=0.5,
        parts={
            "applied/s": requests / (drained_s - began_s),
            "inserted/s": requests / inserted_s,
            "accepted/s meanwhile": sent.per_s,
            "requests": requests,
        },
    )


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
