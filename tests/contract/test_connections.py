"""Connections are handed from one taker to the next: none is lost, none is given twice, and nobody waits for ever."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from kith.store import database as connections
from kith.store.database import Database
from tests.kit import SETTINGS


@pytest.fixture
async def two(database_url: str) -> AsyncIterator[Database]:
    """A pool of two connections."""
    database = await Database.open(database_url, SETTINGS, "reader", connections_max=2)
    yield database
    await database.close()


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
                second_place = await two.take() if not two._waiting and two._idle else None
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
        monkeypatch.setattr(connections, "CONNECT_TIMEOUT_S", 0.01)
        monkeypatch.setattr(connections, "WATCH_S", 0.01)
        results = await asyncio.gather(*(find_backend(two) for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [TimeoutError] * 3
    monkeypatch.undo()
    assert await find_backend(two)
