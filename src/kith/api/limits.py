"""Rate limits: so many requests in each second of the clock for each key, and the headers that tell of it.

The counts are this process's own, or all processes' where they share them. Windows are whole seconds, so
X-RateLimit-Reset is exact.
"""

from functools import lru_cache

import msgspec

from kith.api.responses import Header
from kith.clock import Clock
from kith.engine.context.key_cache import Caller
from kith.errors import Exposed
from kith.pending.counts import SharedCounts

UNLIMITED = 1_000_000


class Usage(msgspec.Struct, frozen=True):
    """What is left of a limit after a request: ``reset`` is the second, in unix time, when it starts anew."""

    limit: int
    remaining: int
    reset: int
    refused: bool


class Limiter:
    """Counts the requests of the second that is running.

    Where counts are shared and cannot be had, it goes on with its own.
    """

    def __init__(self, clock: Clock, counts: SharedCounts | None = None) -> None:
        self._clock = clock
        self._shared = counts
        self._second = 0
        self._counts: dict[tuple[str, int], int] = {}

    async def count(self, policy: str, key_id: int, per_s: int) -> Usage:
        """Count a request of this key, wherever it is counted. ``per_s`` 0 is no limit."""
        if self._shared is not None and per_s:
            second = int(self._clock.now().timestamp())
            used = await self._shared.count(f"{policy}:{key_id}", second)
            if used is not None:
                return Usage(per_s, max(0, per_s - used), second + 1, used > per_s)
        return self.take(policy, key_id, per_s)

    def take(self, policy: str, key_id: int, per_s: int) -> Usage:
        """Count a request of this key in this process."""
        second = int(self._clock.now().timestamp())
        if not per_s:
            return Usage(UNLIMITED, UNLIMITED, second + 1, False)
        if second != self._second:
            self._second = second
            self._counts.clear()
        used = self._counts.get((policy, key_id), 0) + 1
        self._counts[policy, key_id] = used
        return Usage(per_s, max(0, per_s - used), second + 1, used > per_s)


def make_limit_headers(policy: str, usage: Usage) -> list[Header]:
    """The X-RateLimit fields and the IETF ones (draft-ietf-httpapi-ratelimit-headers-10)."""
    return [
        *_make_policy_headers(policy, usage.limit),
        (b"x-ratelimit-remaining", b"%d" % usage.remaining),
        (b"x-ratelimit-reset", b"%d" % usage.reset),
        (b"ratelimit", b'"%b";r=%d;t=1' % (policy.encode(), usage.remaining)),
    ]


@lru_cache(maxsize=256)
def _make_policy_headers(policy: str, limit: int) -> tuple[Header, Header]:
    return (b"x-ratelimit-limit", b"%d" % limit), (b"ratelimit-policy", b'"%b";q=%d;w=1' % (policy.encode(), limit))


def make_limit_refusal(policy: str, caller: Caller, usage: Usage) -> Exposed:
    calls = "batch calls" if policy == "batch" else "requests"
    return Exposed(
        "RATE_LIMITED",
        f"This key's tier ({caller.tier}) allows {usage.limit} {calls} a second. Try again in a second.",
        {"retryAfter": 1},
        {"Retry-After": "1"},
    )
