"""Counting requests by key and by second."""

from datetime import UTC, datetime

import pytest

from kith.api.limits import UNLIMITED, Limiter, make_limit_headers
from kith.clock import FixedClock

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
SECOND = int(NOON.timestamp())


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOON)


@pytest.fixture
def limiter(clock: FixedClock) -> Limiter:
    return Limiter(clock)


def test_a_limit_is_used_up_and_begins_anew_with_the_second(limiter: Limiter, clock: FixedClock) -> None:
    clock.advance(0.9)
    used = [limiter.take("default", 7, 2) for _ in range(3)]
    assert [(usage.remaining, usage.refused) for usage in used] == [(1, False), (0, False), (0, True)]
    assert {usage.reset for usage in used} == {SECOND + 1}
    clock.advance(0.1)
    usage = limiter.take("default", 7, 2)
    assert (usage.remaining, usage.refused, usage.reset) == (1, False, SECOND + 2)


def test_keys_and_policies_are_counted_apart(limiter: Limiter) -> None:
    for policy, key_id in (("default", 7), ("batch", 7), ("default", 8)):
        assert not limiter.take(policy, key_id, 1).refused
        assert limiter.take(policy, key_id, 1).refused


def test_without_a_limit_nothing_is_counted(limiter: Limiter) -> None:
    for _ in range(5):
        usage = limiter.take("default", 7, 0)
        assert (usage.limit, usage.remaining, usage.refused) == (UNLIMITED, UNLIMITED, False)


def test_a_clock_that_is_set_back_does_not_lock_anybody_out(limiter: Limiter, clock: FixedClock) -> None:
    limiter.take("default", 7, 1)
    clock.advance(-60)
    assert not limiter.take("default", 7, 1).refused


def test_both_kinds_of_headers_say_the_same(limiter: Limiter) -> None:
    assert dict(make_limit_headers("batch", limiter.take("batch", 7, 20))) == {
        b"x-ratelimit-limit": b"20",
        b"x-ratelimit-remaining": b"19",
        b"x-ratelimit-reset": b"%d" % (SECOND + 1),
        b"ratelimit-policy": b'"batch";q=20;w=1',
        b"ratelimit": b'"batch";r=19;t=1',
    }
