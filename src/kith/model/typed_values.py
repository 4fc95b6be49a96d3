"""Values of defined properties: what each type takes, in which form it is kept, and how earlier values come into it."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import msgspec

from kith.clock import to_iso
from kith.model.properties import Property, PropertyType
from kith.model.times import to_kept
from kith.model.values import TEXT_CHARACTERS_MAX, check_number, normalise_email

TEXTAREA_CHARACTERS_MAX = 65_536
URL_CHARACTERS_MAX = 2048
PHONE_DIGITS = (3, 20)
EXAMPLE_CHARACTERS_MAX = 100
OPTIONS_SHOWN_MAX = 20
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATETIME = re.compile(
    r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})", re.ASCII | re.IGNORECASE
)
_PHONE = re.compile(r"[+(\d][\d\s().\-/]*(?:(?:x|ext\.?|#)\s*\d{1,6})?", re.ASCII | re.IGNORECASE)
_encode = msgspec.json.Encoder(decimal_format="number").encode


def check_value(definition: Property, value: Any, held: Any = None) -> Any:
    """The value in the form in which its type is kept; None where an empty text says nothing.

    Raises ValueError with a sentence for the client where the type does not take it. An archived option is taken
    where ``held``, the value so far, has it already.
    """
    normal = _check(definition, value)
    if definition.options:
        kept = held if isinstance(held, list) else [held]
        for one in normal if isinstance(normal, list) else [normal]:
            option = definition.find_option(one)
            if option is not None and option.archived and one not in kept:
                raise ValueError(f"{show_value(one)} is an archived option; it is not taken any more.")
    return normal


def settle_time(definition: Property, value: Any, zone: tzinfo) -> Any:
    """A time without an offset of a property that is a time: the one of the zone. Everything else as it is."""
    try:
        return to_kept(value, zone) if definition.type == "DATETIME" and isinstance(value, str) else value
    except ValueError:
        return value  # the check says what is wrong with it


def convert_value(definition: Property, value: Any) -> Any:
    """The form of a value that was there before the property was as it is now: more forgiving than ``check_value``."""
    try:
        return _check(definition, value)
    except ValueError:
        converted = _bring_closer(definition, value)
        if converted is None:
            raise
        return _check(definition, converted)


def fits(definition: Property, value: Any) -> bool:
    """Whether a value that was there before can be brought into the property's form."""
    try:
        convert_value(definition, value)
    except ValueError:
        return False
    return True


def find_day(value: Any) -> date | None:
    """The day of a text that is one in the form in which days are kept."""
    try:
        day = date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return day if day is not None and day.isoformat() == value else None


def find_instant(value: Any) -> datetime | None:
    """The instant of a text that is one in the form in which instants are kept: 2026-04-10T10:30:00.000Z."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is UTC and to_iso(at) == value else None


def show_value(value: Any) -> str:
    """The value as JSON, cut to what a message can hold."""
    text = _encode(value).decode()
    return text if len(text) <= EXAMPLE_CHARACTERS_MAX else text[: EXAMPLE_CHARACTERS_MAX - 1] + "…"


def _check(definition: Property, value: Any) -> Any:
    """The value in its form; None for an empty text, whatever the type."""
    return _CHECKS[definition.type](definition, value) if value != "" else None


def _bring_closer(definition: Property, value: Any) -> Any:
    """A value of another JSON type that says the same, None where there is none."""
    if isinstance(value, str):
        if definition.type == "BOOLEAN":
            return {"true": True, "false": False}.get(value.strip().lower())
        if definition.type == "MULTI_SELECT":
            return [value]
        if definition.type == "DATE" and _DATETIME.fullmatch(value):
            return value[:10]
        return value.strip() if value != value.strip() else None
    if definition.type in ("BOOLEAN", "NUMBER", "CURRENCY"):
        return None
    if isinstance(value, (bool, int, float, Decimal)):
        text = _encode(value).decode()
        return [text] if definition.type == "MULTI_SELECT" else text
    return None


def _check_text(value: Any, characters_max: int = TEXT_CHARACTERS_MAX) -> str | None:
    if not isinstance(value, str):
        raise ValueError(f"must be text; {show_value(value)} is not.")
    if len(value) > characters_max:
        raise ValueError(f"holds {len(value):,} characters; at most {characters_max:,} are allowed.")
    return value or None


def _check_number(_: Property, value: Any) -> int | float | Decimal:
    if isinstance(value, str) and _NUMBER.fullmatch(text := value.strip()):
        value = int(text) if text.lstrip("+-").isdigit() and len(text) <= TEXT_CHARACTERS_MAX else Decimal(text)
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise ValueError(f"must be a number such as 4999 or 49.90; {show_value(value)} is not.")
    check_number(value)
    return value


def _check_boolean(_: Property, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false; {show_value(value)} is neither.")
    return value


def _check_date(_: Property, value: Any) -> str:
    try:
        if isinstance(value, str) and _DATE.fullmatch(value):
            return date.fromisoformat(value).isoformat()
    except ValueError:
        pass
    raise ValueError(f"must be a day such as 2026-04-10; {show_value(value)} is not.")


def _check_datetime(_: Property, value: Any) -> str:
    try:
        if isinstance(value, str):
            return to_kept(value, None)
    except ValueError:
        pass
    raise ValueError(
        f"must be a time such as 2026-04-10T10:30:00Z or 2026-04-10T10:30:00+02:00; {show_value(value)} is not."
    )


def _check_email(_: Property, value: Any) -> str | None:
    text = _check_text(value)
    return normalise_email(text) if text else None


def _check_phone(_: Property, value: Any) -> str | None:
    text = _check_text(value)
    if text is None:
        return None
    digits = sum(character.isdigit() for character in text)
    if not _PHONE.fullmatch(text.strip()) or not PHONE_DIGITS[0] <= digits <= PHONE_DIGITS[1]:
        raise ValueError(f"must be a phone number such as +1 555 0100; {show_value(text)} is not.")
    return text.strip()


def _check_url(_: Property, value: Any) -> str | None:
    text = _check_text(value, URL_CHARACTERS_MAX)
    if text is None:
        return None
    try:
        parts = urlsplit(text.strip())
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", text.strip())
        whole = whole and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
    if not whole:
        raise ValueError(f"must be a web address such as https://acme.com/about; {show_value(text)} is not.")
    return text.strip()


def _check_option(definition: Property, value: Any) -> str:
    option = definition.find_option(value) if isinstance(value, str) else None
    if option is None:
        there_are = [one.value for one in definition.options if not one.archived]
        shown = ", ".join(there_are[:OPTIONS_SHOWN_MAX]) + (", …" if len(there_are) > OPTIONS_SHOWN_MAX else "")
        listed = f"there are: {shown}" if there_are else "there are none yet"
        raise ValueError(f"{show_value(value)} is not one of its options; {listed}.")
    return option.value


def _check_options(definition: Property, value: Any) -> list[str] | None:
    if not isinstance(value, list):
        raise ValueError(f"must be a list of its options; {show_value(value)} is not.")
    chosen: dict[str, None] = {}
    for one in value:
        if not isinstance(one, str) or one not in chosen:
            chosen[_check_option(definition, one)] = None
    return list(chosen) or None


_CHECKS: Mapping[PropertyType, Callable[[Property, Any], Any]] = {
    "TEXT": lambda _, value: _check_text(value),
    "TEXTAREA": lambda _, value: _check_text(value, TEXTAREA_CHARACTERS_MAX),
    "NUMBER": _check_number,
    "CURRENCY": _check_number,
    "BOOLEAN": _check_boolean,
    "DATE": _check_date,
    "DATETIME": _check_datetime,
    "EMAIL": _check_email,
    "PHONE": _check_phone,
    "URL": _check_url,
    "SELECT": _check_option,
    "MULTI_SELECT": _check_options,
}
