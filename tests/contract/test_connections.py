"""Connections are handed from one taker to the next: none is lost, none is given twice, and nobody waits for ever."""

import asyncio
from collections.abc import AsyncIterator, Callable

import asyncpg
import msgspec
import pytest

from kith.errors import Exposed, Unavailable
from kith.store import database as connections
from kith.store import lingering, queue
from kith.store.database import Connection, Database
from tests.kit import SETTINGS
from tests.postgres import connect

HEAVY, LIGHT, OTHER = 1, 2, 3
LOCK = 42
# Goes on whoever cancels it, until the advisory lock is free.
STUBBORN = """DO $$ BEGIN LOOP BEGIN
  IF pg_try_advisory_lock(42) THEN EXIT; END IF;
  PERFORM pg_sleep(0.01);
EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$"""


@pytest.fixture
async def two(database_url: str) -> AsyncIterator[Database]:
    """A pool of two connections."""
    database = await Database.open(database_url, SETTINGS, "reader", connections_max=2)
    yield database
    await database.close()


@pytest.fixture
async def four(database_url: str) -> AsyncIterator[Database]:
    """A pool of four connections, of which one workspace may hold three."""
    database = await Database.open(database_url, SETTINGS, "query", connections_max=4)
    yield database
    await database.close()


async def wait_for(condition: Callable[[], bool]) -> None:
    """Return when it holds; what it waits for is on its way."""
    while not condition():
        await asyncio.sleep(0)


async def wait_until(connection: Connection, sql: str) -> None:
    while not await connection.fetchval(sql):
        pass


async def count_ours(connection: Connection) -> int:
    """Connections of the pool, with those whose clients have left."""
    sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'kith query'"
    return int(await connection.fetchval(sql))


async def find_backend(database: Database) -> int:
    return int(await database.fetchval("SELECT pg_backend_pid()"))


async def test_many_takers_share_few_connections(two: Database) -> None:
    backends = await asyncio.gather(*(find_backend(two) for _ in range(50)))
    assert 1 <= len(set(backends)) <= 2


async def test_a_taker_gets_a_connection_of_its_own(two: Database) -> None:
    async with two.acquire() as one, two.acquire() as other:
        assert one is not other
        third = asyncio.create_task(find_backend(two))
        await asyncio.sleep(0)
        assert not third.done()
    assert await third


async def test_takers_are_served_in_their_order(two: Database) -> None:
    served = []

    async def take(n: int) -> None:
        async with two.acquire():
            served.append(n)

    async with two.acquire(), two.acquire():
        takers = [asyncio.create_task(take(n)) for n in range(10)]
        await asyncio.sleep(0)
    await asyncio.gather(*takers)
    assert served == list(range(10))


async def test_a_taker_that_is_cancelled_loses_no_connection(two: Database) -> None:
    for handed_over in (False, True):
        async with two.acquire(), two.acquire() as second:
            waiting = asyncio.create_task(find_backend(two))
            await asyncio.sleep(0)
            if handed_over:
                two.give_back(second)
                second_place = await two.take() if not two._queue and two._idle else None
                assert second_place is None, "it went to the one who waits"
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            if handed_over:
                assert await two.take() is second
        async with two.acquire(), two.acquire():
            pass


async def test_the_place_of_a_lost_connection_goes_to_who_waits(two: Database) -> None:
    async with two.acquire() as kept:
        try:
            async with two.acquire() as lost:
                waiting = asyncio.create_task(find_backend(two))
                await asyncio.sleep(0)
                await kept.execute("SELECT pg_terminate_backend($1)", lost.get_server_pid())
                await lost.fetchval("SELECT 1")
        except connections.UNANSWERED:
            pass
        assert await waiting not in (0, kept.get_server_pid())
    assert len(set(await asyncio.gather(*(find_backend(two) for _ in range(20))))) <= 2


async def test_a_wait_for_a_connection_ends(two: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async with two.acquire(), two.acquire():
        # Only now: opening a connection may take longer.
        monkeypatch.setattr(two._queue, "_wait_s", 0.01)
        results = await asyncio.gather(*(find_backend(two) for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [TimeoutError] * 3
    monkeypatch.undo()
    assert await find_backend(two)


async def hold(database: Database, workspace_id: int, release: asyncio.Event, served: list[int]) -> None:
    async with database.acquire(workspace_id):
        served.append(workspace_id)
        await release.wait()


async def turn(times: int = 5) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def test_a_connection_whose_statement_failed_or_was_given_up_is_used_again(two: Database) -> None:
    backend = await find_backend(two)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await two.fetch("SELECT 1 / 0")
    await asyncio.gather(*two._dropping)
    assert await find_backend(two) == backend
    async with two.acquire() as watching:
        backend = await find_backend(two)
        given_up = asyncio.create_task(two.fetch("SELECT pg_sleep(600)"))
        await wait_until(watching, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)')")
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        await asyncio.gather(*two._dropping)
        assert await find_backend(two) == backend


async def test_closing_waits_for_what_is_busy_and_for_nothing_else(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CLOSE_TIMEOUT_S", 600)
    database = await Database.open(database_url, SETTINGS, "reader", connections_max=2)
    async with database.acquire() as one, database.acquire() as other:
        closing = asyncio.create_task(database.close())
        database.give_back(other)
        await wait_for(other.is_closed)
        assert not one.is_closed() and not closing.done()
        database.give_back(one)
        async with asyncio.timeout(60):
            await closing
        assert one.is_closed()


async def test_one_workspace_leaves_a_connection_to_a_newcomer(four: Database) -> None:
    release, served = asyncio.Event(), list[int]()
    takers = [asyncio.create_task(hold(four, HEAVY, release, served)) for _ in range(10)]
    await wait_for(lambda: len(served) == 3)
    assert await four.fetchval("SELECT 1", workspace_id=LIGHT) == 1
    assert served == [HEAVY] * 3
    release.set()
    await asyncio.gather(*takers)
    assert served == [HEAVY] * 10


async def test_the_next_free_connection_goes_to_the_workspace_that_holds_fewest(four: Database) -> None:
    """One workspace holds three connections and waits for more; another holds one; a third comes last."""
    served: list[int] = []
    one, rest = asyncio.Event(), asyncio.Event()
    takers = [asyncio.create_task(hold(four, HEAVY, one if n == 0 else rest, served)) for n in range(6)]
    takers.append(asyncio.create_task(hold(four, LIGHT, rest, served)))
    await wait_for(lambda: len(served) == 4)
    takers.append(asyncio.create_task(hold(four, LIGHT, rest, served)))
    takers.append(asyncio.create_task(hold(four, OTHER, rest, served)))
    await turn()
    one.set()
    await turn()
    assert sorted(served[:4]) == [HEAVY, HEAVY, HEAVY, LIGHT] and served[4:] == [OTHER]
    rest.set()
    await asyncio.gather(*takers)
    assert len(served) == 9


async def test_a_workspace_may_wait_only_so_often(four: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "WAITING_MAX", 2)
    release = asyncio.Event()
    takers = [asyncio.create_task(hold(four, HEAVY, release, [])) for _ in range(5)]
    await turn()
    with pytest.raises(Exposed) as refused:
        await four.fetchval("SELECT 1", workspace_id=HEAVY)
    assert refused.value.code == "RATE_LIMITED" and refused.value.headers["Retry-After"] == "1"
    assert await four.fetchval("SELECT 1", workspace_id=LIGHT) == 1
    release.set()
    await asyncio.gather(*takers)


async def test_a_wait_tells_a_full_pool_from_a_full_share(four: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async with four.acquire(HEAVY), four.acquire(HEAVY), four.acquire(HEAVY):
        async with four.acquire():
            monkeypatch.setattr(four._queue, "_wait_s", 0.01)
            heavy, light = await asyncio.gather(
                *(four.fetchval("SELECT 1", workspace_id=one) for one in (HEAVY, LIGHT)), return_exceptions=True
            )
            assert isinstance(heavy, Exposed) and heavy.code == "RATE_LIMITED"
            assert isinstance(light, Unavailable)
            assert four.is_stuck
        assert not four.is_stuck


async def test_an_abandoned_statement_keeps_its_place(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until PostgreSQL has ended it, whoever has left."""
    monkeypatch.setattr(connections, "ANSWER_TIMEOUT_S", 0.05)
    monkeypatch.setattr(lingering, "LOOK_S", 0.01)
    two = await Database.open(database_url, SETTINGS, "query", connections_max=2)
    async with connect(database_url) as other:
        await other.execute("SELECT pg_advisory_lock($1)", LOCK)

        async def leave() -> None:
            async with two.acquire(HEAVY) as connection:
                await connection.execute("SET client_connection_check_interval = 0")
                await connection.execute(STUBBORN)

        leaving = asyncio.create_task(leave())
        await wait_until(other, "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'DO %'")
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        async with two.acquire(LIGHT) as kept:
            second = asyncio.create_task(two.fetchval("SELECT 1"))
            await wait_until(
                other, "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'kith lingering'"
            )
            assert await kept.fetchval("SELECT 1") == 1
            assert not second.done()
            assert await count_ours(other) == 2
            await other.execute("SELECT pg_advisory_unlock($1)", LOCK)
            assert await second == 1
    await two.close()


async def test_queries_leave_connections_to_the_writer(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool for queries does not grow into what is reserved; one of the writer does."""
    async with connect(database_url) as other:
        room = await other.fetchval(lingering._SQL["count_room"])
    settings = msgspec.structs.replace(SETTINGS, reserved_connections=room - 2)
    queries = await Database.open(database_url, settings, "query", 10)
    writer = await Database.open(database_url, settings, "writer", 4)
    async with queries.acquire() as one:
        writers = [await writer.take() for _ in range(4)]
        waiting = asyncio.create_task(find_backend(queries))
        await wait_for(lambda: bool(queries._queue))
        backend = one.get_server_pid()
    assert await waiting == backend, "it shares the one connection that there is"
    for connection in writers:
        writer.give_back(connection)
    await writer.close()
    await queries.close()
