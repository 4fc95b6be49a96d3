"""When writes are slowed, refused and taken again, and what they are told meanwhile."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from kith.clock import FixedClock
from kith.engine.context.back_pressure import RETRY_AFTER_S_MAX, SLOWED_S_MAX, Pressure
from kith.errors import LogBehind
from kith.settings import Settings


class Gauge:
    """The pressure of a process, told of appends and batches on the shards 0 and 1, at the times that a test says."""

    def __init__(self, **settings: int) -> None:
        self.clock = FixedClock(datetime(2026, 3, 4, tzinfo=UTC))
        self.slept: list[float] = []
        given: dict[str, Any] = {"lag_slow": 0, "lag_max": 0, "appends_max": 0} | settings
        self.pressure = Pressure(Settings(**given), self.clock, self._sleep)
        for shard in (0, 1):
            self.pressure.see_applied(shard, 0)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def write(self, shard: int = 0) -> None:
        await self.pressure.enter(shard, 1)
        self.pressure.leave(1)

    async def refuse(self, shard: int = 0) -> LogBehind:
        with pytest.raises(LogBehind) as refused:
            await self.write(shard)
        return refused.value


async def test_writes_are_held_back_the_longer_the_more_the_writer_is_behind() -> None:
    gauge = Gauge(lag_slow=100, lag_max=200)
    for head in (1, 100, 150, 175, 199):
        gauge.pressure.see_head(0, head)
        await gauge.write()
    assert gauge.slept == pytest.approx([SLOWED_S_MAX * share for share in (0.5, 0.75, 0.99)])
    await gauge.write(1)
    assert len(gauge.slept) == 3, "another shard is not concerned"


async def test_writes_are_refused_until_the_lag_is_well_below_the_limit() -> None:
    gauge = Gauge(lag_max=100)
    gauge.pressure.see_head(0, 99)
    await gauge.write()
    gauge.pressure.see_head(0, 100)
    refused = await gauge.refuse()
    assert (refused.status, refused.code, refused.details) == (503, "LOG_BEHIND", {"lag": 100, "retryAfter": 60})
    assert refused.headers == {"Retry-After": "60"}
    assert gauge.pressure.list_refused() == {0: 100}
    await gauge.write(1)
    gauge.pressure.see_applied(0, 24)
    await gauge.refuse()
    gauge.pressure.see_applied(0, 25)
    await gauge.write()
    gauge.pressure.see_head(0, 124)
    await gauge.write()
    gauge.pressure.see_head(0, 125)
    await gauge.refuse()


@pytest.mark.parametrize(("applied", "seconds", "expected"), [(50, 5, 95), (500, 5, 5), (999, 5, 1), (0, 5, 60)])
async def test_who_is_refused_is_told_how_long_the_writer_will_take(
    applied: int, seconds: float, expected: int
) -> None:
    """The lag ÷ what the writer applied in each second since there was a lag."""
    gauge = Gauge(lag_max=1000)
    gauge.clock.advance(3600)
    gauge.pressure.see_head(0, 1000)
    gauge.clock.advance(seconds)
    gauge.pressure.see_applied(0, applied)
    assert gauge.pressure.find_retry_after_s(0) == min(expected, RETRY_AFTER_S_MAX)


async def test_only_what_the_writer_did_of_late_counts() -> None:
    gauge = Gauge(lag_max=1000)
    gauge.pressure.see_head(0, 100_000)
    for n in range(1, 101):
        gauge.clock.advance(1)
        gauge.pressure.see_applied(0, n * 100 if n <= 50 else 5000 + (n - 50) * 500)
    assert gauge.pressure.find_retry_after_s(0) == RETRY_AFTER_S_MAX
    gauge.pressure.see_applied(0, 90_000)
    gauge.pressure.see_head(0, 100_001)
    assert gauge.pressure.find_retry_after_s(0) == 2
    gauge.clock.advance(60)
    assert gauge.pressure.find_retry_after_s(0) == RETRY_AFTER_S_MAX, "it stands still"


async def test_writes_on_their_way_are_bounded() -> None:
    gauge = Gauge(appends_max=2)
    for _ in range(2):
        await gauge.pressure.enter(0, 1)
    assert "2 writes are on their way" in (await gauge.refuse(1)).message
    gauge.pressure.leave(1)
    await gauge.write(1)


async def test_who_gives_up_while_held_back_is_on_the_way_no_more() -> None:
    gauge = Gauge(lag_slow=1, appends_max=1)

    async def give_up(_: float) -> None:
        raise ConnectionError

    gauge.pressure._sleep = give_up
    gauge.pressure.see_head(0, 3)
    with pytest.raises(ConnectionError):
        await gauge.write()
    await gauge.write(1)


async def test_zero_is_no_limit() -> None:
    gauge = Gauge()
    gauge.pressure.see_head(0, 10**9)
    for _ in range(3):
        await gauge.pressure.enter(0, 1)
    assert (gauge.slept, gauge.pressure.list_refused()) == ([], {})


async def test_as_long_as_nobody_knows_what_is_applied_there_is_no_lag() -> None:
    """A process that has not heard of a shard must not take all of its log for a lag."""
    gauge = Gauge(lag_max=10)
    gauge.pressure.see_head(2, 1000)
    await gauge.write(2)
    gauge.pressure.see_applied(2, 995)
    assert gauge.pressure.get_lag(2) == 5
    await gauge.write(2)


async def test_what_others_have_appended_is_no_negative_lag() -> None:
    gauge = Gauge(lag_max=10)
    gauge.pressure.see_head(0, 5)
    gauge.pressure.see_applied(0, 50)
    assert gauge.pressure.get_lag(0) == 0
    gauge.pressure.see_head(0, 59)
    await gauge.write()


async def test_a_workspace_waits_for_its_own_writes_and_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was applied within the last second may wait, and ``lag_workspace`` in any case."""
    monkeypatch.setattr("kith.engine.context.back_pressure.HOLD_S", 60)
    gauge = Gauge(lag_workspace=3)
    for position in (1, 2, 3):
        await gauge.pressure.enter(0, 1)
        gauge.pressure.see_appended(0, 1, position)
        gauge.pressure.leave(1)
    await gauge.pressure.enter(0, 2)
    gauge.pressure.leave(2)
    held = asyncio.create_task(gauge.pressure.enter(0, 1))
    await asyncio.sleep(0)
    assert not held.done()
    gauge.pressure.see_applied(0, 1)
    await asyncio.wait_for(held, 5)


async def test_a_workspace_is_refused_where_the_writer_works_but_not_fast_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gauge = Gauge(lag_workspace=3)
    for position in range(1, 21):
        gauge.pressure.see_appended(0, 1, position)
    monkeypatch.setattr("kith.engine.context.back_pressure.HOLD_S", 0.01)
    held = asyncio.create_task(gauge.pressure.enter(0, 1))
    await asyncio.sleep(0)
    gauge.pressure.see_applied(0, 4)
    with pytest.raises(LogBehind) as refused:
        await held
    assert (refused.value.code, refused.value.details) == ("LOG_BEHIND", {"lag": 16, "retryAfter": 4})
    await gauge.pressure.enter(0, 2)


async def test_where_the_writer_is_away_a_workspace_is_not_refused_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kith.engine.context.back_pressure.HOLD_S", 0.001)
    gauge = Gauge(lag_workspace=3)
    for position in range(1, 10):
        gauge.pressure.see_appended(0, 1, position)
    for _ in range(5):
        await gauge.write()
