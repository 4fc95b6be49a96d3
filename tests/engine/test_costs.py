"""What a query is expected to cost is asked of the planner once a minute."""

from kith.clock import FixedClock
from kith.cql.compile import Statement
from tests.kit import Kit


async def test_an_estimate_is_kept_for_a_minute_for_its_query_alone(timed_kit: Kit, clock: FixedClock) -> None:
    asked: list[str] = []

    def make_statement() -> Statement:
        asked.append("asked")
        return Statement("SELECT 1", ())

    costs = timed_kit.engine.costs
    for key, seconds, times in ((1, 0, 1), (1, 59, 1), (2, 0, 2), (1, 1, 3), (1, 0, 3)):
        clock.advance(seconds)
        assert (await costs.estimate(key, make_statement)).cost == 1
        assert len(asked) == times
