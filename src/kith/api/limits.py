"""Rate limits: so many requests in each second of the clock for each key, and the headers that tell of it.

The counts are this process's own. Windows are whole seconds, so X-RateLimit-Reset is exact.
"""

import msgspec

from kith.clock import Clock
from kith.engine.key_cache import Caller
from kith.errors import Exposed

UNLIMITED = 1_000_000


class Usage(msgspec.Struct, frozen=True):
    """What is left of a limit after a request: ``reset`` is the second, in unix time, when it starts anew."""

    limit: int
    remaining: int
    reset: int
    refused: bool


class Limiter:
    """Counts the requests of the second that is running."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._second = 0
        self._counts: dict[tuple[str, int], int] = {}

    def take(self, policy: str, key_id: int, per_s: int) -> Usage:
        """Count a request of this key. ``per_s`` 0 is no limit."""
        second = int(self._clock.now().timestamp())
        if not per_s:
            return Usage(UNLIMITED, UNLIMITED, second + 1, False)
        if second != self._second:
            self._second = second
            self._counts.clear()
        used = self._counts.get((policy, key_id), 0) + 1
        self._counts[policy, key_id] = used
        return Usage(per_s, max(0, per_s - used), second + 1, used > per_s)


def make_limit_headers(policy: str, usage: Usage) -> list[tuple[bytes, bytes]]:
    """The X-RateLimit fields and the IETF ones (draft-ietf-httpapi-ratelimit-headers-10)."""
    return [
        (b"x-ratelimit-limit", b"%d" % usage.limit),
        (b"x-ratelimit-remaining", b"%d" % usage.remaining),
        (b"x-ratelimit-reset", b"%d" % usage.reset),
        (b"ratelimit-policy", b'"%b";q=%d;w=1' % (policy.encode(), usage.limit)),
        (b"ratelimit", b'"%b";r=%d;t=1' % (policy.encode(), usage.remaining)),
    ]


def make_limit_refusal(policy: str, caller: Caller, usage: Usage) -> Exposed:
    calls = "batch calls" if policy == "batch" else "requests"
    return Exposed(
        "RATE_LIMITED",
        f"This key's tier ({caller.tier}) allows {usage.limit} {calls} a second. Try again in a second.",
        {"retryAfter": 1},
        {"Retry-After": "1"},
    )
