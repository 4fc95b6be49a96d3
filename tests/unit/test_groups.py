"""Appends in groups, with a log that does what the test says."""

import asyncio
from collections.abc import Sequence

import pytest

from kith.errors import Unavailable
from kith.log.groups import Groups, Waiting


async def test_nobody_waits_longer_than_the_time_behind_a_group_that_does_not_end() -> None:
    sent: list[bytes] = []
    answered = asyncio.Event()

    async def append_group(_: int, group: Sequence[Waiting]) -> int:
        sent.extend(one.data for one in group)
        await answered.wait()
        return 1

    groups = Groups(append_group, lambda _: True, 0.01, 1000)
    first = asyncio.create_task(groups.append(1, 1, b"first"))
    while not sent:
        await asyncio.sleep(0)
    behind = [asyncio.create_task(groups.append(1, 1, b"behind")) for _ in range(3)]
    for one in (first, *behind):
        with pytest.raises(Unavailable):
            await one
    answered.set()
    assert await groups.append(1, 1, b"later") == 1
    await groups.close()
    assert sent == [b"first", b"later"], "who was told that it is not taken is not sent afterwards"


async def test_an_entry_has_its_own_time_and_not_that_of_the_first_in_its_group() -> None:
    answers: asyncio.Queue[int] = asyncio.Queue()

    async def append_group(_: int, group: Sequence[Waiting]) -> int:
        return await answers.get()

    groups = Groups(append_group, lambda _: True, 3600, 1000)
    appended = [asyncio.create_task(groups.append(1, 1, b"one")) for _ in range(3)]
    answers.put_nowait(7)
    assert await asyncio.gather(*appended) == [7, 8, 9]
    await groups.close()
