"""What a provider allows is never exceeded by all workers together, and used nearly in full."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from kith.clock import SystemClock
from kith.integrations.factory import Opener
from kith.integrations.failures import Limited
from kith.integrations.http import open_client
from kith.integrations.limiter import HELD_S, Limiter, Rate
from kith.integrations.runner import Runner
from kith.settings import Settings
from kith.store.database import Database
from tests.faults.pushing import fill
from tests.integrations.conftest import Shop
from tests.kit import SETTINGS, Kit, open_kit
from tools.fake_vendors.app import Fake
from tools.fake_vendors.transport import FakeTransport

SECONDS = 60 if int(os.environ.get("KITH_TEST_KILLS", "6")) >= 10 else 20
WORKERS = 4
# Of what comes evenly 0.84; turns that come while the machine stands still lapse.
USED_MIN = 0.7
SOON_S = 0.2


@asynccontextmanager
async def open_runner(url: str, settings: Settings, fake: Fake) -> AsyncIterator[Runner]:
    """As a worker of its own has one."""
    database = await Database.open(url, settings, "worker", 10)
    try:
        async with open_client(5, FakeTransport(fake)) as client:
            yield Runner(database, url, SystemClock(), Opener(database, client, SystemClock(), settings).open)
    finally:
        await database.close()


async def push_for_a_while(
    url: str, provider: str, contacts: int, chosen: Sequence[dict[str, Any]], fake: Fake, latency_s: float
) -> float:
    """Workers of which each sends all contacts for an integration of its own; their requests in a second."""
    settings = SETTINGS
    async with open_kit(url, settings) as kit, AsyncExitStack() as stack:
        workspace = await kit.make_workspace()
        client = await stack.enter_async_context(kit.open_client(await kit.make_key(workspace)))
        runners = [await stack.enter_async_context(open_runner(url, settings, fake)) for _ in range(WORKERS)]
        shops = [Shop(kit, workspace, client, fake, runner) for runner in runners]
        for number, (shop, settings_of) in enumerate(zip(shops, chosen, strict=True), 1):
            await shop.connect(provider, **settings_of)
            async with shop.open_session(number):
                pass  # whose account it is is known from now on
        await fill(kit, workspace, contacts)
        fake.requests.clear()
        fake.latency_s = latency_s
        rows = [await one._own((workspace.shard, workspace.id, n)) for n, one in enumerate(runners, 1)]
        tasks = [
            asyncio.create_task(one._serve((workspace.shard, workspace.id, n), row))
            for n, (one, row) in enumerate(zip(runners, rows, strict=True), 1)
            if row is not None
        ]
        done, _ = await asyncio.wait(tasks, timeout=SECONDS)
        times = [request.arrived for request in fake.requests]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert len(tasks) == WORKERS and not done
    seconds = times[-1] - times[0]
    print(f"{provider}: {len(times)} requests in {seconds:.1f} s")
    assert seconds > 0.8 * SECONDS
    return (len(times) - 1) / seconds


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_hubspot_is_asked_80_times_in_any_10_s_by_all_workers_together(database_url: str) -> None:
    fake = Fake()
    fake.hubspot.requests_per_10_s = 80
    sent_per_s = await push_for_a_while(database_url, "HUBSPOT", SECONDS * 10, [{}] * WORKERS, fake, 0.25)
    print(f"at most {fake.most_within(10, 'hubspot')} in 10 s")
    assert fake.most_within(10, "hubspot") <= 80
    assert {one.status for one in fake.requests} <= {200, 201, 204, None}
    assert sent_per_s >= USED_MIN * 8


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("latency_s", "per_s"), [(0.8, 8), (2, 4)], ids=["as fast as allowed", "as many as allowed"])
async def test_mailchimp_is_asked_8_times_in_any_second_and_at_once_by_all_workers_together(
    database_url: str, latency_s: float, per_s: float
) -> None:
    fake = Fake()
    fake.mailchimp.simultaneous_max = 8
    chosen = [{"listId": fake.mailchimp.add_list(f"List {n}").id} for n in range(WORKERS)]
    sent_per_s = await push_for_a_while(database_url, "MAILCHIMP", SECONDS, chosen, fake, latency_s)
    most_within, most_at_once = fake.most_within(1, "mailchimp"), fake.most_at_once("mailchimp")
    print(f"at most {most_within} in 1 s, {most_at_once} at once")
    assert most_within <= 8 and most_at_once <= 8
    assert per_s == 8 or most_at_once == 8
    assert {one.status for one in fake.requests} <= {200, 204, None}
    assert sent_per_s >= USED_MIN * per_s


FAST = Rate(requests=1_000_000, seconds=1, places=2, place_s=0.5)


async def wait_shortly(*tasks: "asyncio.Task[None]") -> int:
    """How many of them are done by then."""
    done, _ = await asyncio.wait(tasks, timeout=SOON_S)
    return len(done)


async def take(limiter: Limiter) -> None:
    async with limiter.turn():
        pass


async def test_turns_that_are_put_off_are_put_off_for_everybody_also_for_those_who_wait(kit: Kit) -> None:
    rate = Rate(requests=21, seconds=1)
    one, other = (Limiter(kit.engine.database, "postponed", rate) for _ in range(2))
    await take(one)
    waiting = [asyncio.create_task(take(limiter)) for limiter in (one, other, one)]
    began_s = asyncio.get_running_loop().time()
    await asyncio.wait(waiting, timeout=0.01)
    await other.postpone(0.5)
    assert await wait_shortly(*waiting, asyncio.create_task(take(other))) == 0
    await asyncio.gather(*waiting)
    assert asyncio.get_running_loop().time() - began_s >= 0.5


async def test_turns_that_are_put_off_for_long_are_not_waited_for(kit: Kit) -> None:
    limiter = Limiter(kit.engine.database, "postponed for hours", FAST)
    await limiter.postpone(7200)
    await limiter.postpone(1)
    with pytest.raises(Limited) as raised:
        await take(limiter)
    assert (raised.value.until - SystemClock().now()).total_seconds() > 7000


async def test_turns_that_are_put_off_come_evenly_afterwards(kit: Kit) -> None:
    """However long the pause was: what was not used in it is not made up for."""
    limiter = Limiter(kit.engine.database, "evenly", Rate(requests=11, seconds=1))
    await limiter.postpone(0.2)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    times: list[float] = []

    async def take_and_tell() -> None:
        await take(limiter)
        times.append(loop.time() - began_s)

    await asyncio.gather(*(take_and_tell() for _ in range(4)))
    assert times[0] >= 0.19 and all(later - one > 0.08 for one, later in pairwise(times))


async def test_places_are_given_back_whatever_happens_within(kit: Kit) -> None:
    limiter = Limiter(kit.engine.database, "given back", FAST)
    for _ in range(5):
        with pytest.raises(ValueError, match="no"):
            async with limiter.turn():
                raise ValueError("no")
        async with limiter.turn(), limiter.turn():
            third = asyncio.create_task(take(limiter))
            assert await wait_shortly(third) == 0
        await third


async def test_a_place_that_was_kept_is_free_again_after_its_time(kit: Kit) -> None:
    limiter = Limiter(kit.engine.database, "kept", FAST)
    for _ in range(2):
        async with limiter.turn() as turn:
            turn.keep_place()
    third = asyncio.create_task(take(limiter))
    assert await wait_shortly(third) == 0
    await third


async def test_the_place_of_one_that_is_cancelled_is_not_free_at_once_and_of_one_that_died_soon(kit: Kit) -> None:
    """What they sent may be under way: but nobody sends for ever."""
    database = kit.engine.database
    limiter = Limiter(database, "cancelled", FAST)
    entered = asyncio.Event()

    async def stay() -> None:
        async with limiter.turn():
            entered.set()
            await asyncio.Event().wait()

    staying = asyncio.create_task(stay())
    await entered.wait()
    staying.cancel()
    await asyncio.gather(staying, return_exceptions=True)
    left = "SELECT count(*), max(extract(epoch FROM taken_until - clock_timestamp())) FROM sync_places WHERE key = $1"
    taken, left_s = await database.fetchrow(f"{left} AND taken_until > clock_timestamp()", "cancelled")
    assert taken == 1 and HELD_S - 5 < left_s <= HELD_S


async def test_a_place_that_was_lost_to_another_is_not_given_back_by_who_had_it(kit: Kit) -> None:
    """As when a process stood still for too long."""
    database = kit.engine.database
    limiter = Limiter(database, "lost", msgspec.structs.replace(FAST, places=1))
    async with limiter.turn():
        await database.execute("UPDATE sync_places SET taken_until = clock_timestamp() WHERE key = 'lost'")
        async with AsyncExitStack() as other:
            await other.enter_async_context(limiter.turn())
            late = asyncio.create_task(take(limiter))
            assert await wait_shortly(late) == 0
    await late
