"""Values as HubSpot takes them: every one is a text, and an empty one clears."""

import html
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

BODY_CHARACTERS_MAX = 65_536
SEPARATOR = ";"  # between the items of a set
STAGES: Mapping[str, str] = {
    "SUBSCRIBER": "subscriber",
    "LEAD": "lead",
    "MARKETING_QUALIFIED": "marketingqualifiedlead",
    "SALES_QUALIFIED": "salesqualifiedlead",
    "OPPORTUNITY": "opportunity",
    "CUSTOMER": "customer",
    "EVANGELIST": "evangelist",
}
_UNITS_MS = {"h": 3_600_000, "m": 60_000, "s": 1000}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(h|m|s)[a-z]*")
_PARTS = re.compile(rf"(?:{_PART.pattern}\s*)+")
_CLOCK = re.compile(r"(?:(\d+):)?([0-5]?\d):([0-5]\d)")


def to_rich_text(text: str) -> str:
    """HTML that shows the plain text as it is, cut to what a body may hold."""
    rich = html.escape(text, quote=False).replace("\r\n", "\n").replace("\n", "<br>")
    if len(rich) <= BODY_CHARACTERS_MAX:
        return rich
    return re.sub(r"[&<][^;>]*$", "", rich[:BODY_CHARACTERS_MAX])


def parse_duration_ms(value: Any) -> int | None:
    """Of seconds as a number or a text, "1h 30m", "45 min" or "1:02:03"; None where it is none of these."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float, Decimal)):
        return int(value * 1000) if 0 <= value < 10**9 else None
    text = str(value).strip().lower()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        return int(float(text) * 1000)
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return ((hours * 60 + minutes) * 60 + seconds) * 1000
    if not _PARTS.fullmatch(text):
        return None
    return int(sum(float(number) * _UNITS_MS[unit] for number, unit in _PART.findall(text)))


def parse_time(value: Any) -> datetime | None:
    """Of an ISO date or time, in UTC where it has no offset, or of milliseconds since 1970; None where it is neither.

    Times are stored in UTC. Activities that were logged before that was so may have any of these.
    """
    try:
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            return datetime.fromtimestamp(float(value) / 1000, UTC)
        at = datetime.fromisoformat(value.strip()) if isinstance(value, str) else None
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC) if at is not None else None
    except (ValueError, OverflowError, OSError):
        return None
