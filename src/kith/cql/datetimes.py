"""Days and instants: how they are written, and which stretch of time a comparison with one means.

All arithmetic on dates is here, so that SQL and the predicate in memory ask for the same stretches. A day is a day of
the workspace's time zone, with 23 or 25 hours where the clocks change.
"""

import calendar
import re
from collections.abc import Callable
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time, timedelta, tzinfo
from typing import Generic, TypeVar

import msgspec

from kith.clock import to_iso, to_milliseconds
from kith.cql.ast import Anchor, Moment, Relative, Value
from kith.model.times import read_day, read_instant

T = TypeVar("T", date, datetime)

AMOUNT_DIGITS_MAX = 6
MILLISECOND = timedelta(milliseconds=1)
EXAMPLE = "2024-01-31, 2024-01-31T10:30:00Z, today or now-7d"
FIRST_INSTANT = datetime.min.replace(tzinfo=UTC)
LAST_INSTANT = to_milliseconds(datetime.max.replace(tzinfo=UTC))

_ANCHORS: dict[str, Anchor] = {
    "now": "now",
    "today": "today",
    "yesterday": "yesterday",
    "tomorrow": "tomorrow",
    "startofweek": "startOfWeek",
    "startofmonth": "startOfMonth",
    "startofquarter": "startOfQuarter",
    "startofyear": "startOfYear",
}
_RELATIVE = re.compile(rf"([a-z]+)?(?:([+-])([0-9]{{1,{AMOUNT_DIGITS_MAX}}})(mo|[mhdwy]))?", re.IGNORECASE)


class Range(msgspec.Struct, Generic[T], frozen=True):
    """``start`` ≤ x < ``end``; None is open. Nothing lies in it where the end is not after the start."""

    start: T | None
    end: T | None


def read_moment(text: str, zone: tzinfo) -> Moment:
    """A day, an instant or a relative time; an instant without an offset is in the zone. Raises ValueError."""
    if (day := read_day(text)) is not None:
        return day
    if (at := read_instant(text, zone)) is not None:
        return to_utc(at)
    if (match := _RELATIVE.fullmatch(text)) and text:
        word, sign, amount, unit = match.groups()
        anchor = _ANCHORS.get(word.lower()) if word else "now"
        if anchor is not None:
            return make_relative(anchor, int(f"{sign}{amount}") if sign else 0, (unit or "d").lower())
    raise ValueError(text)


def make_relative(anchor: Anchor, amount: int, unit: str) -> Relative:
    """In its one form: no offset is 0 d, unless minutes or hours make an instant of a day."""
    if not amount and not (anchor in ("today", "yesterday", "tomorrow") and unit in ("m", "h")):
        unit = "d"
    return Relative(anchor, amount, unit)  # type: ignore[arg-type]


def write_moment(moment: Moment) -> str:
    """As ``read_moment`` takes it."""
    if isinstance(moment, Relative):
        offset = f"{moment.amount:+d}{moment.unit}"
        return moment.anchor if offset == "+0d" else moment.anchor + offset
    return to_iso(moment) if isinstance(moment, datetime) else moment.isoformat()


def to_instants(operator: str, value: Value, now: datetime, zone: tzinfo) -> Range[datetime]:
    """The instants that a DATETIME field fits with, where its comparison has this operator and value.

    A day as the value means all of it: after it is after its end, up to it is up to its end.
    """
    if operator == "between":
        assert isinstance(value, tuple)
        return Range(_to_stretch(value[0], now, zone).start, _to_stretch(value[1], now, zone).end)
    return _compare(operator, _to_stretch(value, now, zone), LAST_INSTANT)


def to_days(operator: str, value: Value, now: datetime, zone: tzinfo) -> Range[date]:
    """The days that a DATE field fits with. An instant as the value means its day in the zone."""
    if operator == "between":
        assert isinstance(value, tuple)
        return Range(_to_day(value[0], now, zone), _find_next(_to_day(value[1], now, zone)))
    day = _to_day(value, now, zone)
    return _compare(operator, Range(day, _find_next(day)), date.max)


def to_start(value: Moment, now: datetime, zone: tzinfo) -> datetime:
    """The instant, or the first one of the day."""
    start = _to_stretch(value, now, zone).start
    assert start is not None
    return start


def to_utc(at: datetime) -> datetime:
    """In UTC, to the millisecond; beyond the calendar its first or last instant."""
    try:
        return to_milliseconds(at.astimezone(UTC))
    except OverflowError:
        return FIRST_INSTANT if at.year < 5000 else LAST_INSTANT


def _compare(operator: str, stretch: Range[T], last: T) -> Range[T]:
    match operator:
        case "eq":
            return stretch
        case "gt":
            return Range(stretch.end, None) if stretch.end is not None else Range(last, last)
        case "gte":
            return Range(stretch.start, None)
        case "lt":
            return Range(None, stretch.start)
        case "lte":
            return Range(None, stretch.end)
    raise AssertionError(operator)


def _to_stretch(value: Value, now: datetime, zone: tzinfo) -> Range[datetime]:
    """The whole day, or the one millisecond of an instant."""
    if isinstance(value, Relative):
        value = _resolve(value, now, zone)
    if isinstance(value, datetime):
        return Range(value, value + MILLISECOND if value < LAST_INSTANT else None)
    assert isinstance(value, date)
    following = _find_next(value)
    return Range(_start_day(value, zone), _start_day(following, zone) if following is not None else None)


def _to_day(value: Value, now: datetime, zone: tzinfo) -> date:
    if isinstance(value, Relative):
        value = _resolve(value, now, zone)
    if isinstance(value, datetime):
        return _localise(value, zone).date()
    assert isinstance(value, date)
    return value


def _resolve(relative: Relative, now: datetime, zone: tzinfo) -> date | datetime:
    """The day or the instant that is meant now; beyond the calendar its first or last one.

    Days, weeks, months and years go by the calendar and keep the time of day, minutes and hours by the clock. A month
    that is too short ends at its last day.
    """
    try:
        return _reach(relative, _localise(now, zone), zone)
    except OverflowError:
        if relative.is_day:
            return date.min if relative.amount < 0 else date.max
        return FIRST_INSTANT if relative.amount < 0 else LAST_INSTANT


def _reach(relative: Relative, local: datetime, zone: tzinfo) -> date | datetime:
    day = _ANCHOR_DAYS[relative.anchor](local.date())
    clock = local.timetz() if relative.anchor == "now" else time(tzinfo=zone)
    if relative.unit == "m" or relative.unit == "h":
        minutes = relative.amount * (60 if relative.unit == "h" else 1)
        return to_utc(datetime.combine(day, clock)) + timedelta(minutes=minutes)
    day = _shift(day, relative.amount, relative.unit)
    return day if relative.is_day else to_utc(datetime.combine(day, clock))


def _shift(day: date, amount: int, unit: str) -> date:
    """Raises OverflowError beyond the calendar."""
    if unit == "d" or unit == "w":
        return day + timedelta(days=amount * (7 if unit == "w" else 1))
    months = day.year * 12 + day.month - 1 + amount * (12 if unit == "y" else 1)
    year, month = months // 12, months % 12 + 1
    if not MINYEAR <= year <= MAXYEAR:
        raise OverflowError
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


_ANCHOR_DAYS: dict[Anchor, Callable[[date], date]] = {
    "now": lambda day: day,
    "today": lambda day: day,
    "yesterday": lambda day: _shift(day, -1, "d"),
    "tomorrow": lambda day: _shift(day, 1, "d"),
    "startOfWeek": lambda day: _shift(day, -day.weekday(), "d"),
    "startOfMonth": lambda day: day.replace(day=1),
    "startOfQuarter": lambda day: date(day.year, (day.month - 1) // 3 * 3 + 1, 1),
    "startOfYear": lambda day: date(day.year, 1, 1),
}


def _start_day(day: date, zone: tzinfo) -> datetime:
    return to_utc(datetime.combine(day, time(), zone))


def _find_next(day: date) -> date | None:
    """The day after; None behind the last one that there is."""
    return day + timedelta(days=1) if day < date.max else None


def _localise(at: datetime, zone: tzinfo) -> datetime:
    try:
        return at.astimezone(zone)
    except OverflowError:
        return at.replace(tzinfo=zone)
