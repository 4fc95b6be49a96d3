"""What the writer does with entries that make many batches."""

import gc
import weakref
from collections.abc import Sequence
from typing import Any

from kith.clock import SystemClock
from kith.engine.apply.decisions import Decided
from kith.engine.apply.writer import Writer
from kith.engine.lists.dynamic_lists import DynamicLists
from kith.log.port import Entry
from kith.settings import Settings


class OneByOne(Writer):
    """A writer whose every batch is one entry, and which stores nothing."""

    def __init__(self) -> None:
        super().__init__(None, None, SystemClock(), Settings())  # type: ignore[arg-type]
        self.stored: list[int] = []

    async def _apply_plan(self, shard: int, entries: Sequence[Entry], plan: Any) -> Any:
        class Plan:
            last = entries[0].position

        self.stored.append(Plan.last)
        return Plan


async def test_entries_may_make_any_number_of_batches() -> None:
    writer = OneByOne()
    await writer._apply(0, [Entry(position, 1, b"") for position in range(1, 3001)])
    assert writer.stored == list(range(1, 3001))


def test_a_batch_that_is_stored_is_gone_at_once() -> None:
    """Cycles are looked for seldom in the writer: a batch that is in one stays in memory for long."""
    gc.disable()
    try:
        decided = Decided((), {}, SystemClock().now(), {}, lambda _: DynamicLists((), {}))
        gone = weakref.ref(decided)
        del decided
        assert gone() is None
    finally:
        gc.enable()
