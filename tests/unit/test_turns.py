"""Large requests of one workspace take turns, so that those of others come between them."""

import asyncio

import pytest

from kith.api.turns import SIZE_MIN, Turns

HEAVY, LIGHT = 1, 2


async def work(turns: Turns, workspace_id: int, order: list[int]) -> None:
    await turns.take(workspace_id, SIZE_MIN)
    order.append(workspace_id)


async def test_a_large_request_waits_for_one_of_another_workspace_and_not_for_all() -> None:
    turns, order = Turns(), list[int]()
    await asyncio.gather(*(work(turns, HEAVY, order) for _ in range(8)), work(turns, LIGHT, order))
    assert order == [HEAVY, LIGHT, *[HEAVY] * 7]
    assert not turns._waiting


async def test_a_small_request_takes_no_turn() -> None:
    turns, order = Turns(), list[int]()
    heavy = asyncio.gather(*(work(turns, HEAVY, order) for _ in range(8)))
    await asyncio.sleep(0)
    await turns.take(HEAVY, SIZE_MIN - 1)
    assert len(order) == 1
    await heavy


async def test_a_workspace_rests_as_long_as_it_worked_while_another_has_requests() -> None:
    turns, loop = Turns(), asyncio.get_running_loop()
    with turns.count(LIGHT), turns.count(HEAVY):
        await turns.take(HEAVY, SIZE_MIN)
        began_s = loop.time()
        while loop.time() < began_s + 0.02:
            pass
        ended_s = loop.time()
        await turns.take(HEAVY, SIZE_MIN)
        # A timer of asyncio may be early by the resolution of its clock.
        assert loop.time() - ended_s > 0.019
    assert not turns._under_way


async def test_a_workspace_alone_never_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", None)
    turns, order = Turns(), list[int]()
    with turns.count(HEAVY):
        await asyncio.gather(*(work(turns, HEAVY, order) for _ in range(8)))
    assert len(order) == 8


async def test_a_request_that_is_given_up_while_it_waits_is_passed_over() -> None:
    turns, order = Turns(), list[int]()
    first, given_up, last = (asyncio.create_task(work(turns, HEAVY, order)) for _ in range(3))
    await first
    given_up.cancel()
    await asyncio.wait_for(last, 10)
    assert len(order) == 2


async def test_a_request_that_is_given_up_when_it_has_its_turn_passes_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, order, given_up = Turns(), list[int](), list[asyncio.Task[None]]()
    give = turns._give

    def give_and_cancel(workspace_id: int) -> None:
        give(workspace_id)
        if given_up:
            given_up.pop().cancel()

    monkeypatch.setattr(turns, "_give", give_and_cancel)
    tasks = [asyncio.create_task(work(turns, HEAVY, order)) for _ in range(3)]
    given_up.append(tasks[1])
    await asyncio.wait_for(asyncio.wait(tasks), 10)
    assert [task.cancelled() for task in tasks] == [False, True, False] and len(order) == 2
