"""What is kept of a query that comes again: what it is expected to cost, and its statement where that lasts."""

import msgspec

from kith.clock import FixedClock
from kith.cql.compile import Statement
from kith.engine.read.cql import QueryRequest, run_cql
from tests.engine.acts import Acts
from tests.kit import Kit


async def test_an_estimate_is_kept_for_a_minute_for_its_query_alone(timed_kit: Kit, clock: FixedClock) -> None:
    asked: list[str] = []

    async def price(_: int) -> int:
        asked.append("asked")
        return 0

    costs = timed_kit.engine.costs
    for key, seconds, times in ((1, 0, 1), (1, 59, 1), (2, 0, 2), (1, 1, 3), (1, 0, 3)):
        clock.advance(seconds)
        assert (await costs.estimate(1, key, Statement("SELECT 1", ()), price)).cost == 1
        assert len(asked) == times


async def test_a_relative_time_is_of_now_each_time_that_it_is_asked(timed_kit: Kit, clock: FixedClock) -> None:
    acts = Acts(timed_kit.engine, await timed_kit.make_workspace())
    await acts.create(name="Ada")
    await timed_kit.drain()
    asked = QueryRequest(entities=("contact",), filter="createdAt > now-1h")
    found = []
    for seconds in (0, 3_000, 3_000):
        clock.advance(seconds)
        found.append(len(msgspec.json.decode((await run_cql(timed_kit.engine, acts.workspace, asked)).data)))
    assert found == [1, 1, 0]
