"""Times as clients write them: ISO 8601, with every form of offset, or without one in a time zone that is given."""

import re
from datetime import UTC, date, datetime, time, tzinfo

from kith.clock import to_iso, to_milliseconds

# Longer than a time in any form, with some space around it.
LOCAL_CHARACTERS_MAX = 64
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(
    r"[0-9]{4}(?:-[0-9]{2}-[0-9]{2}|[0-9]{4}|-?W[0-9]{2}-?[0-9])[T ]"
    r"[0-9]{2}(?::[0-9]{2}(?::[0-9]{2})?|[0-9]{2}(?:[0-9]{2})?)?"
    r"(?:[.,][0-9]{1,9})?(?P<offset>Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)


def read_day(text: str) -> date | None:
    """The day, where the text is one: 2026-04-10. Raises ValueError for one that does not exist."""
    return date.fromisoformat(text) if _DAY.fullmatch(text) else None


def read_instant(text: str, zone: tzinfo | None) -> datetime | None:
    """The time in its own offset or else in the zone; None where the text is no time, or has no offset and no zone.

    Where the clocks skip the time, it is the later of the two moments that it may stand for; where they repeat it, the
    earlier one. Raises ValueError for a time that does not exist.
    """
    match = _INSTANT.fullmatch(text.upper())
    if match is None or (match["offset"] is None and zone is None):
        return None
    at = datetime.fromisoformat(match[0])
    return at if at.tzinfo is not None else at.replace(tzinfo=zone)


def is_local(text: str) -> bool:
    """Whether the text is a time without an offset."""
    match = _INSTANT.fullmatch(text.strip().upper()) if len(text) <= LOCAL_CHARACTERS_MAX else None
    return match is not None and match["offset"] is None


def to_kept(text: str, zone: tzinfo | None, *, or_day: bool = False) -> str:
    """The form in which times are kept: in UTC with milliseconds. Raises ValueError.

    ``or_day``: a day is taken too, for its first moment in the zone.
    """
    stripped = text.strip()
    at = read_instant(stripped, zone)
    if at is None and or_day and (day := read_day(stripped)) is not None:
        at = datetime.combine(day, time(), zone)
    if at is None:
        raise ValueError(text)
    try:
        return to_iso(to_milliseconds(at.astimezone(UTC)))
    except OverflowError:
        raise ValueError(text) from None
