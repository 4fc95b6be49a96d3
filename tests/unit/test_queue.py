"""Places for long work: so many at once, of one workspace at most half, and nobody waits without an end."""

import asyncio
from collections.abc import Awaitable

import pytest

from kith.errors import Exposed, Unavailable
from kith.store.queue import WAITING_MAX, Places

HEAVY, OTHER, THIRD = 1, 2, 3
WAIT_S = 60.0


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Working:
    """Work of a workspace: it begins when there is a place, and ends when it is told to."""

    def __init__(self, places: Places, workspace_id: int) -> None:
        self.begun = False
        self.end = asyncio.Event()
        self.task = asyncio.create_task(self._work(places, workspace_id))

    async def _work(self, places: Places, workspace_id: int) -> None:
        async with places.hold(workspace_id):
            self.begun = True
            await self.end.wait()


async def test_one_workspace_gets_half_of_the_places_and_others_the_rest() -> None:
    places = Places(4, WAIT_S)
    heavy = [Working(places, HEAVY) for _ in range(5)]
    await settle()
    assert [one.begun for one in heavy] == [True, True, False, False, False]
    other = Working(places, OTHER)
    await settle()
    assert other.begun
    heavy[0].end.set()
    await settle()
    assert [one.begun for one in heavy] == [True, True, True, False, False]
    for one in (*heavy, other):
        one.end.set()
    await asyncio.gather(*(one.task for one in (*heavy, other)))
    assert places._free == 4 and not places._queue


async def test_the_next_is_whoever_holds_fewest() -> None:
    places = Places(2, WAIT_S)
    first, second = Working(places, HEAVY), Working(places, OTHER)
    await settle()
    waiting = [Working(places, workspace_id) for workspace_id in (HEAVY, THIRD)]
    await settle()
    second.end.set()
    await settle()
    assert [one.begun for one in waiting] == [False, True]
    for one in (first, *waiting):
        one.end.set()
    await asyncio.gather(*(one.task for one in (first, second, *waiting)))


async def test_who_leaves_while_waiting_takes_no_place() -> None:
    places = Places(1, WAIT_S)
    first, second = Working(places, HEAVY), Working(places, OTHER)
    await settle()
    second.task.cancel()
    await settle()
    first.end.set()
    await first.task
    # Handed over and cancelled in the same moment.
    third, fourth = Working(places, HEAVY), Working(places, OTHER)
    await settle()
    third.end.set()
    await asyncio.sleep(0)
    fourth.task.cancel()
    await settle()
    assert places._free == 1


async def refused(work: Awaitable[None]) -> Exposed:
    with pytest.raises(Exposed) as error:
        await work
    return error.value


async def test_a_wait_ends_with_the_way_out() -> None:
    places = Places(1, 0)
    first, own, other = Working(places, HEAVY), Working(places, HEAVY), Working(places, OTHER)
    assert (await refused(own.task)).code == "RATE_LIMITED"
    assert isinstance(await refused(other.task), Unavailable)
    first.end.set()
    await first.task
    assert places._free == 1


async def test_so_many_of_a_workspace_may_wait() -> None:
    places = Places(1, WAIT_S)
    working = [Working(places, HEAVY) for _ in range(1 + WAITING_MAX)]
    await settle()
    assert (await refused(Working(places, HEAVY).task)).code == "RATE_LIMITED"
    for one in working:
        one.end.set()
    await asyncio.gather(*(one.task for one in working))
