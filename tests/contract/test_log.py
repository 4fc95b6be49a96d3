"""What the port of the log promises, held against each implementation."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from kith.errors import Unavailable
from kith.installation.embedded import EmbeddedPostgres
from kith.log.groups import GROUP_ENTRIES_MAX
from kith.log.kafka import KafkaLog
from kith.log.port import READ_BYTES_MAX, Entry, Log
from kith.log.postgres import PostgresLog
from kith.settings import Settings
from kith.store.database import Database
from kith.store.queries import load_queries
from tests.kafka import Broker
from tests.postgres import Cluster, connect, start_server

SETTINGS = Settings(append_timeout_ms=1000)
PARTITIONS = 4
OpenLog = Callable[[], AbstractAsyncContextManager[Log]]


@pytest.fixture
async def url(each_postgres: Cluster) -> str:
    return await each_postgres.make_database()


@asynccontextmanager
async def open_postgres_log(url: str) -> AsyncIterator[PostgresLog]:
    database = await Database.open(url, SETTINGS, "writer", 2)
    log = PostgresLog(database, url, SETTINGS)
    yield log
    await log.close()
    await database.close()


@asynccontextmanager
async def open_kafka_log(settings: Settings) -> AsyncIterator[KafkaLog]:
    log = await KafkaLog.open(settings, PARTITIONS)
    try:
        yield log
    finally:
        await log.close()


@pytest.fixture(params=["postgres", "kafka"])
def server(request: pytest.FixtureRequest) -> Cluster | Broker:
    server: Cluster | Broker = request.getfixturevalue(request.param)
    return server


@pytest.fixture
async def open_log(server: Cluster | Broker) -> OpenLog:
    """Opens the same log as often as asked: each is that of another process."""
    if isinstance(server, Broker):
        settings = server.make_settings(SETTINGS)
        return lambda: open_kafka_log(settings)
    url = await server.make_database()
    return lambda: open_postgres_log(url)


@pytest.fixture
async def log(open_log: OpenLog) -> AsyncIterator[Log]:
    async with open_log() as log:
        yield log


@pytest.fixture
async def postgres_log(url: str) -> AsyncIterator[PostgresLog]:
    async with open_postgres_log(url) as log:
        yield log


async def read_all(log: Log, shard: int, limit: int = 7) -> list[Entry]:
    entries: list[Entry] = []
    while more := await log.read(shard, entries[-1].position if entries else 0, limit):
        entries += more
    return entries


async def test_positions_count_from_one_without_gaps(log: Log) -> None:
    assert [await log.append(1, 7, data) for data in (b"a", b"b", b"c")] == [1, 2, 3]
    assert await log.read(1, 0, 10) == [Entry(1, 7, b"a"), Entry(2, 7, b"b"), Entry(3, 7, b"c")]


async def test_each_shard_counts_for_itself(log: Log) -> None:
    assert [await log.append(shard, 7, b"x") for shard in (0, 1, 0)] == [1, 1, 2]
    heads = await log.load_heads()
    assert (heads[0], heads[1], heads[2]) == (2, 1, 0)


async def test_appends_made_at_once_keep_the_order_of_their_calls(log: Log) -> None:
    count = 2 * GROUP_ENTRIES_MAX + 1
    positions = await asyncio.gather(*(log.append(0, 7, b"%d" % n) for n in range(count)))
    assert positions == list(range(1, count + 1))
    assert [entry.data for entry in await read_all(log, 0, 500)] == [b"%d" % n for n in range(count)]


async def test_a_reader_beside_many_appenders_sees_each_entry_once_and_in_order(open_log: OpenLog) -> None:
    async with AsyncExitStack() as stack:
        logs = [await stack.enter_async_context(open_log()) for _ in range(3)]
        appending = asyncio.gather(*(log.append(0, n, b"") for n in range(100) for log in logs))
        seen: list[Entry] = []
        while len(seen) < 300:
            seen += await logs[0].read(0, seen[-1].position if seen else 0, 11)
        assert [entry.position for entry in seen] == list(range(1, 301))
        assert sorted(await appending) == list(range(1, 301))


async def test_reading_goes_on_from_any_position(log: Log) -> None:
    await asyncio.gather(*(log.append(0, 7, b"%d" % n) for n in range(1, 101)))
    for after in (0, 50, 49, 10, 99, 100, 3):
        entries = await log.read(0, after, 5)
        assert [entry.position for entry in entries] == list(range(after + 1, min(after + 6, 101)))
        assert [entry.data for entry in entries] == [b"%d" % entry.position for entry in entries]


async def test_large_entries_come_in_portions(log: Log) -> None:
    large = [bytes((n,)) * 3_000_000 for n in range(5)]
    await asyncio.gather(*(log.append(0, 7, data) for data in large))
    portions = []
    seen: list[Entry] = []
    while more := await log.read(0, len(seen), 100):
        portions.append(sum(len(entry.data) for entry in more))
        seen += more
    assert [entry.data for entry in seen] == large
    assert max(portions) <= READ_BYTES_MAX + 3_000_000


async def test_small_and_large_entries_keep_the_order_of_their_calls(log: Log) -> None:
    sizes = [10, 900_000, 10, 700_000, 5, 1_500_000, 1] * 3
    positions = await asyncio.gather(*(log.append(0, 7, b"x" * size) for size in sizes))
    assert positions == list(range(1, len(sizes) + 1))
    assert [len(entry.data) for entry in await read_all(log, 0, 100)] == sizes


async def test_an_entry_that_commits_late_is_never_skipped(url: str, postgres_log: PostgresLog) -> None:
    """The head row is locked until the commit; a sequence would hand 2 out, and show it, before 1 is there."""
    append = load_queries("log")["append"]
    async with connect(url) as early:
        transaction = early.transaction()
        await transaction.start()
        assert await early.fetchval(append, 0, [7], [b"early"]) == 1
        late = asyncio.create_task(postgres_log.append(0, 7, b"late"))
        assert await find_waiting_for_a_lock(early)
        assert await postgres_log.read(0, 0, 10) == []
        await transaction.commit()
    assert await late == 2
    assert [entry.data for entry in await postgres_log.read(0, 0, 10)] == [b"early", b"late"]


async def test_a_sequence_would_skip_an_entry_that_commits_late(url: str) -> None:
    """Why there is a head row at all: this is what it is there against."""
    async with connect(url) as early, connect(url) as late:
        await early.execute("CREATE TABLE naive (position bigserial)")
        transaction = early.transaction()
        await transaction.start()
        await early.execute("INSERT INTO naive DEFAULT VALUES")
        await late.execute("INSERT INTO naive DEFAULT VALUES")
        assert await late.fetchval("SELECT max(position) FROM naive") == 2
        await transaction.commit()
        assert [row[0] for row in await late.fetch("SELECT position FROM naive WHERE position > 2")] == []


async def find_waiting_for_a_lock(connection: asyncpg.Connection) -> bool:
    """Ask until another connection waits for a lock."""
    waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
    while not await connection.fetchval(waiting):
        await asyncio.sleep(0)
    return True


async def test_what_was_appended_is_there_for_another_process_at_once(open_log: OpenLog) -> None:
    async with open_log() as log, open_log() as other:
        position = await log.append(3, 7, b"durable")
        assert await other.load_heads() == {0: 0, 1: 0, 2: 0, 3: position}
        assert await other.read(3, position - 1, 10) == [Entry(position, 7, b"durable")]


async def test_any_bytes_come_back_as_they_were(log: Log) -> None:
    data = bytes(range(256)) * 4096
    await log.append(0, 2**31 - 1, data)
    assert await log.read(0, 0, 1) == [Entry(1, 2**31 - 1, data)]


async def listen(log: Log) -> None:
    """Returns when the shards are this log's to apply, and what is new would be heard of."""
    while len(await log.load_owned_heads()) < PARTITIONS:
        await log.wait(1)
    await log.wait(0.1)  # the first time there may always be news: it has begun to listen
    await log.wait(0.1)


async def test_an_append_wakes_who_waits(log: Log) -> None:
    await listen(log)
    waiting = asyncio.create_task(log.wait(30))
    await log.append(0, 7, b"news")
    await asyncio.wait_for(waiting, 5)


async def test_what_news_tell_is_where_the_log_ends(log: Log) -> None:
    """Or nothing: a log need not know more than that there are some."""
    await listen(log)
    for shard in (0, 1, 1):
        await log.load_owned_heads()
        waiting = asyncio.create_task(log.wait(30))
        await log.append(shard, 7, b"news")
        told = await asyncio.wait_for(waiting, 5)
        assert told in (None, await log.load_owned_heads())


async def test_waiting_ends_without_news_after_its_time(log: Log) -> None:
    await listen(log)
    await asyncio.wait_for(log.wait(0.01), 5)


async def test_without_its_database_the_log_in_postgresql_says_unavailable_and_comes_back_with_it(
    tmp_path: Path,
) -> None:
    cluster = await start_server(tmp_path / "own", 18, 1)
    url = await cluster.make_database()
    database = await Database.open(url, SETTINGS, "writer")
    log = PostgresLog(database, url, SETTINGS)
    assert await log.append(0, 7, b"before") == 1
    cluster.server.stop()
    with pytest.raises(Unavailable) as refused:
        await log.append(0, 7, b"lost")
    assert refused.value.headers["Retry-After"].isdecimal()
    with EmbeddedPostgres.start(tmp_path / "own", durable=False):
        assert await log.append(0, 7, b"after") == 2
        assert [entry.data for entry in await log.read(0, 0, 10)] == [b"before", b"after"]
        await log.close()
        await database.close()


async def test_an_append_outlives_the_loss_of_its_connections(postgres_log: PostgresLog, url: str) -> None:
    log = postgres_log
    await log.append(0, 7, b"before")
    async with connect(url) as other:
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'kith%'"
        )
        assert await log.append(0, 7, b"after") == 2


async def test_entries_are_trimmed_once_applied_and_old(url: str, postgres_log: PostgresLog) -> None:
    log = postgres_log
    for data in (b"applied", b"applied too", b"not applied"):
        await log.append(0, 7, data)
    trim = load_queries("log")["trim"]
    async with connect(url) as connection:
        now = await connection.fetchval("SELECT now() + interval '1 minute'")
        old = await connection.fetchval("SELECT now() - interval '1 hour'")
        await connection.execute("UPDATE cursors SET position = 2 WHERE shard = 0")
        assert await connection.execute(trim, 0, old, 100) == "DELETE 0"
        assert await connection.execute(trim, 0, now, 100) == "DELETE 2"
    assert [entry.data for entry in await log.read(0, 0, 10)] == [b"not applied"]
    assert await log.append(0, 7, b"next") == 4
