"""Entries side by side: those of one lane one after the other, in order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Generic, TypeVar

from kith.integrations.port import Item, Outcome, Outcomes

T = TypeVar("T")
Told = tuple[Item, Outcome]
Handle = Callable[[T], AsyncGenerator[Told, None]]


async def run_lanes(lanes: Sequence[Sequence[T]], handle: Handle[T], beside_max: int) -> AsyncGenerator[Outcomes, None]:
    """What ``handle`` tells of each entry; a lane goes on when the consumer has come back for more.

    Once an entry raises no other begins; those under way are finished and told of, then the first exception is raised.
    """
    work = _Work(lanes, handle)
    workers = [asyncio.create_task(work.run()) for _ in range(min(beside_max, len(lanes)))]
    working = len(workers)
    try:
        while working:
            batch = [await work.told.get()]
            while not work.told.empty():
                batch.append(work.told.get_nowait())
            working -= batch.count(None)
            if told := [entry for entry in batch if entry is not None]:
                yield [outcome for outcome, _ in told]
                for _, taken in told:
                    taken.set()
        if work.raised:
            raise work.raised[0]
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


class _Work(Generic[T]):
    """What several workers share: the lanes that wait, and what they tell; None when one has ended."""

    def __init__(self, lanes: Sequence[Sequence[T]], handle: Handle[T]) -> None:
        self.told: asyncio.Queue[tuple[Told, asyncio.Event] | None] = asyncio.Queue()
        self.raised: list[Exception] = []
        self._waiting = deque(lanes)
        self._handle = handle

    async def run(self) -> None:
        try:
            while self._waiting:
                await self._run_lane(self._waiting.popleft())
        except Exception as error:  # noqa: BLE001 - the consumer has it raised
            self.raised.append(error)
        finally:
            self.told.put_nowait(None)

    async def _run_lane(self, lane: Sequence[T]) -> None:
        for entry in lane:
            if self.raised:
                return
            async with aclosing(self._handle(entry)) as outcomes:
                async for outcome in outcomes:
                    taken = asyncio.Event()
                    self.told.put_nowait((outcome, taken))
                    await taken.wait()
