"""The limit of an account holds for all who send to it, however many processes they are."""

import asyncio
import selectors
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from kith.clock import SystemClock
from kith.integrations.http import Caller
from kith.integrations.limiter import Limiter, Rate
from kith.integrations.mailchimp.failures import classify
from kith.store.database import Database
from tests.kit import SETTINGS
from tools.fake_vendors.journal import most_within


@pytest.fixture
async def databases(database_url: str) -> AsyncIterator[list[Database]]:
    """Of two processes."""
    opened = [await Database.open(database_url, SETTINGS, "worker", 4) for _ in range(2)]
    yield opened
    for one in opened:
        await one.close()


async def test_two_processes_together_keep_to_the_limit_of_an_account(databases: list[Database]) -> None:
    rate = Rate(requests=40, seconds=1, burst=4)
    limiters = [Limiter(database, "HUBSPOT:1", rate) for database in databases for _ in range(4)]
    sent: list[float] = []

    async def send(limiter: Limiter) -> None:
        for _ in range(10):
            async with limiter.turn():
                sent.append(time.monotonic())

    began = time.monotonic()
    await asyncio.gather(*map(send, limiters))
    assert most_within(sorted(sent), 1) <= 40
    assert time.monotonic() - began < 4  # 80 requests: it does not send more seldom than it may, either


async def test_what_one_is_told_to_wait_holds_for_the_others_of_the_account(databases: list[Database]) -> None:
    first, second, other = (
        Limiter(database, key, Rate(requests=1000, seconds=1, burst=10))
        for database, key in ((databases[0], "a"), (databases[1], "a"), (databases[1], "b"))
    )
    began = time.monotonic()
    await first.postpone(0.5)
    async with other.turn():
        assert time.monotonic() - began < 0.4
    async with second.turn():
        assert time.monotonic() - began >= 0.45


async def test_so_many_are_under_way_and_no_more(databases: list[Database]) -> None:
    rate = Rate(requests=1000, seconds=1, burst=100, places=3)
    under_way, most, full = 0, 0, asyncio.Event()

    async def send(database: Database) -> None:
        nonlocal under_way, most
        async with Limiter(database, "MAILCHIMP:1", rate).turn():
            under_way += 1
            most = max(most, under_way)
            if most == rate.places:
                full.set()
            await full.wait()
            under_way -= 1

    await asyncio.gather(*(send(database) for database in databases for _ in range(6)))
    assert most == 3


async def test_the_place_of_a_request_without_an_answer_is_taken_until_that_is_surely_over(
    databases: list[Database],
) -> None:
    rate = Rate(requests=1000, seconds=1, burst=100, places=1, place_s=0.4)
    began = time.monotonic()
    async with Limiter(databases[0], "MAILCHIMP:1", rate).turn() as turn:
        turn.keep_place()
    async with Limiter(databases[1], "MAILCHIMP:1", rate).turn():
        assert time.monotonic() - began >= 0.35


async def test_nothing_leaves_to_an_account_once_one_of_its_calls_was_answered_429(databases: list[Database]) -> None:
    """Also calls that have their turn already. Each limiter is that of another integration of the account."""
    rate = Rate(requests=1000, seconds=1, burst=100, places=8)
    rests: dict[str, float] = {}
    answered: list[float] = []
    left: list[float] = []

    def answer(_: httpx2.Request) -> httpx2.Response:
        left.append(time.monotonic())
        if answered:
            return httpx2.Response(204)
        answered.append(time.monotonic())
        return httpx2.Response(429, headers={"retry-after": "1"})

    async def get_headers() -> dict[str, str]:
        return {}

    clock = SystemClock()
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        callers = [
            Caller(
                client,
                Limiter(databases[0], "MAILCHIMP:429", rate, rests),
                clock,
                "http://vendor.example",
                get_headers,
                lambda reply: classify(reply, clock.now()),
            )
            for _ in range(8)
        ]
        await asyncio.gather(*(caller.send("GET", "/") for caller in callers))
    assert len(left) == 9
    assert min(left[1:]) - answered[0] >= 1


class StandingClock(selectors.DefaultSelector):
    """The time of a loop in which waiting takes none, and of a limiter's database."""

    now = 0.0
    due = 0.0
    answer_s = 0.0  # of the database

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0.0
        return super().select(0)

    def make_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.SelectorEventLoop(self)
        loop.time = lambda: self.now  # type: ignore[method-assign]
        return loop

    async def fetchval(self, _: str, key: str, *values: Any) -> float | None:
        answered = asyncio.Event()
        asyncio.get_running_loop().call_later(self.answer_s, answered.set)
        await answered.wait()
        if not values:
            return None  # nothing is put off
        every_s, burst = values
        asked_at = self.now - self.answer_s
        turn = max(self.due, asked_at - every_s * (burst - 1))
        self.due = turn + every_s
        return turn - asked_at


@pytest.mark.parametrize("connect_s", [0, 0.25])
@pytest.mark.parametrize("rate", [Rate(requests=8, seconds=1), Rate(requests=20, seconds=1, burst=4)])
def test_a_process_that_stands_still_or_connects_slowly_keeps_to_the_limit(rate: Rate, connect_s: float) -> None:
    clock = StandingClock()
    left: list[float] = []

    class Connecting(httpx2.AsyncBaseTransport):
        """Only every third request finds a connection."""

        asked = 0

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            self.asked += 1
            connected = asyncio.Event()
            asyncio.get_running_loop().call_later(connect_s if self.asked % 3 else 0, connected.set)
            await connected.wait()
            await request.extensions["trace"]("http11.send_request_headers.started", {})
            left.append(clock.now)
            return httpx2.Response(204)

    async def get_headers() -> dict[str, str]:
        return {}

    def stand_still() -> None:
        clock.now += 1.3
        asyncio.get_running_loop().call_later(0.9, stand_still)

    async def send() -> None:
        stand_still()
        database: Any = clock
        async with httpx2.AsyncClient(transport=Connecting()) as client:
            limiter = Limiter(database, "MAILCHIMP:still", rate)
            caller = Caller(client, limiter, SystemClock(), "http://vendor.example", get_headers, lambda _: None)
            await asyncio.gather(*(caller.send("GET", "/") for _ in range(50)))

    with asyncio.Runner(loop_factory=clock.make_loop) as runner:
        runner.run(send())
    assert len(left) == 50
    assert most_within(left, rate.seconds) <= rate.requests


def test_turns_come_in_time_from_a_database_that_always_takes_long_to_answer() -> None:
    clock = StandingClock()
    clock.answer_s = 0.3
    left: list[float] = []

    async def send() -> None:
        database: Any = clock
        limiter = Limiter(database, "MAILCHIMP:slow", Rate(requests=8, seconds=1))
        for _ in range(20):
            async with limiter.turn():
                left.append(clock.now)

    with asyncio.Runner(loop_factory=clock.make_loop) as runner:
        runner.run(send())
    assert len(left) == 20 and left[-1] < 20
    assert most_within(left, 1) <= 8


async def test_numbers_keep_their_digits_on_the_way_to_a_provider_and_back(databases: list[Database]) -> None:
    sent: list[bytes] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.content)
        return httpx2.Response(200, content=b'{"amount": 12345678901234567890.123456789, "vast": 1.5e308}')

    async def get_headers() -> dict[str, str]:
        return {}

    limiter = Limiter(databases[0], "MAILCHIMP:digits", Rate(requests=10, seconds=1, burst=10))
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        caller = Caller(client, limiter, SystemClock(), "http://vendor.example", get_headers, lambda _: None)
        got = await caller.send("POST", "/", {"amount": Decimal("0.12345678901234567890")})
    assert sent == [b'{"amount":0.12345678901234567890}']
    assert got == {"amount": Decimal("12345678901234567890.123456789"), "vast": 1.5e308}
