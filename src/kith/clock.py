"""The one place that reads the time: commands are stamped here, at the edge."""

from datetime import UTC, datetime, timedelta
from time import time_ns
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The time in UTC, cut to milliseconds."""
        ...


class SystemClock:
    """The machine's clock. Each request asks several times: within a millisecond the answer is the same object."""

    def __init__(self) -> None:
        self._millisecond = 0
        self._now = datetime.fromtimestamp(0, UTC)

    def now(self) -> datetime:
        millisecond = time_ns() // 1_000_000
        if millisecond != self._millisecond:
            self._millisecond, self._now = millisecond, datetime.fromtimestamp(millisecond / 1000, UTC)
        return self._now


class FixedClock:
    """A clock for tests: it stands still until it is told to advance."""

    def __init__(self, start: datetime) -> None:
        self._now = to_milliseconds(start)

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now = to_milliseconds(self._now + timedelta(seconds=seconds))


def to_milliseconds(at: datetime) -> datetime:
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def to_iso(at: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and Z, as every answer shows times."""
    return at.isoformat(timespec="milliseconds")[:23] + "Z"
