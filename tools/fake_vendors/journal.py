"""The log of requests, and how many came within a time and at once."""

from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec


class Logged(msgspec.Struct, kw_only=True):
    """A request that came in. Times are of the monotonic clock, in seconds.

    ``status`` is None where it got no answer, ``ended`` while it has none yet. ``fault`` is what went wrong on
    purpose. ``body`` is None where it was no JSON.
    """

    service: str
    method: str
    path: str
    query: dict[str, str]
    body: Any
    arrived: float
    ended: float | None = None
    status: int | None = None
    fault: str | None = None


def most_within(times: Iterable[float], seconds: float) -> int:
    """The most of them in any ``seconds``, the end not included."""
    window: deque[float] = deque()
    most = 0
    for time in sorted(times):
        window.append(time)
        while time - window[0] >= seconds:
            window.popleft()
        most = max(most, len(window))
    return most


def most_at_once(entries: Iterable[Logged]) -> int:
    """The most requests that were under way at one time."""
    changes = []
    for entry in entries:
        changes.append((entry.arrived, 1))
        if entry.ended is not None:
            changes.append((entry.ended, -1))
    most = under_way = 0
    for _, change in sorted(changes):
        under_way += change
        most = max(most, under_way)
    return most
