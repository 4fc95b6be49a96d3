"""Check and normalise texts, emails, phone numbers and property documents at the edge.

Each function returns the normalised value or raises ``ValueError`` with a sentence for the client. A command
carries what came out, so applying it later needs no library that may change.
"""

import re
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

import email_validator
import msgspec
import phonenumbers
from email_validator import EmailNotValidError, validate_email

from kith.model.emails import LOCAL_CHARACTERS_MAX, explain_email
from kith.model.text import compose, fold_case

TEXT_CHARACTERS_MAX = 1000
EMAIL_CHARACTERS_MAX = 254
PROPERTY_KEY_CHARACTERS_MAX = 64
PROPERTY_TEXT_CHARACTERS_MAX = 65_536
PROPERTY_KEYS_MAX = 500
PROPERTIES_BYTES_MAX = 262_144
PROPERTY_DEPTH_MAX = 8
NUMBER_DIGITS_MAX = 100
NUMBER_EXPONENT_MAX = 100
# Numbers between these, and 0, are in range whatever their digits are: a float has 17 at most.
PLAIN_INTEGER_MAX = 10**NUMBER_DIGITS_MAX
PLAIN_FLOAT_MIN, PLAIN_FLOAT_MAX = 1e-99, 1e99

# How a phone number in international form begins, and how long the longest is that is read.
PHONE_STARTS = ("+", "00")
PHONE_CHARACTERS_MAX = 250

# What the library leaves as it is but for capital letters: a local part of dotted words, and no IDNA.
_PLAIN_LOCAL = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*")
_PLAIN_DOMAIN = re.compile(r"(?!.*xn--)[A-Za-z0-9.-]+", re.IGNORECASE)
_PHONE_SIGNS = re.compile(r"\(0\)|[\s().\-/]")
_PHONE_PART = re.compile(r"\+?[0-9]+")
# The exponents of numbers in JSON; a text is passed over, as one match without an exponent.
_EXPONENTS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[0-9]e[+]?(-?[0-9]+)', re.IGNORECASE)
_encode = msgspec.json.Encoder(decimal_format="number").encode

# The form is checked, not whether mail would arrive: addresses of closed networks (.local) are addresses.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()


def lower_case(text: str) -> str:
    """Lower-case, letter by letter: a sigma is the same at the end of a word."""
    return text.lower() if text.isascii() else text.replace("\u03a3", "\u03c3").lower()


def normalise_text(text: str, characters_max: int = TEXT_CHARACTERS_MAX) -> str | None:
    """In NFC, without the space around it; an empty text is no value."""
    # What is far too long is refused as it was sent: nothing composes to a quarter of its characters.
    text = compose(text) if len(text) <= 4 * characters_max else text
    if len(text) > characters_max:
        raise ValueError(f"holds {len(text)} characters; at most {characters_max} are allowed.")
    check_storable(text)
    return text.strip() or None


def normalise_name(text: str) -> str:
    """A text that must say something."""
    name = normalise_text(text)
    if name is None:
        raise ValueError("cannot be empty.")
    return name


def normalise_email(text: str) -> str | None:
    """Trimmed, checked for form (no DNS) and lower-cased."""
    trimmed = text.strip()
    if not trimmed:
        return None
    if len(trimmed) > EMAIL_CHARACTERS_MAX:
        raise ValueError(f"holds {len(trimmed)} characters; an email has at most {EMAIL_CHARACTERS_MAX}.")
    check_storable(trimmed)
    local, _, domain = trimmed.rpartition("@")
    try:
        if len(local) <= LOCAL_CHARACTERS_MAX and _PLAIN_LOCAL.fullmatch(local) and _PLAIN_DOMAIN.fullmatch(domain):
            return f"{local}@{_normalise_mail_domain(domain)}".lower()
        checked = validate_email(trimmed, check_deliverability=False, strict=True)
    except EmailNotValidError:
        raise ValueError(f"{trimmed[:80]!r} is not an email address. {explain_email(trimmed)}") from None
    return compose(lower_case(checked.normalized))


@lru_cache(4096)
def _normalise_mail_domain(domain: str) -> str:
    """The library's form. Most addresses have one of few domains, which take most of the library's time."""
    return validate_email(f"a@{domain}", check_deliverability=False, strict=True).domain


def normalise_phone(text: str) -> tuple[str | None, str | None]:
    """(as given, in E.164 where it parses). One that does not parse is kept as given."""
    given = normalise_text(text)
    return given, to_e164(given) if given else None


def to_phone_part(text: str) -> str | None:
    """A part of a number as E.164 has it, None where the text is no such part: "(650) 253-" is 650253."""
    plain = _PHONE_SIGNS.sub("", text)
    plain = f"+{plain[2:]}" if plain.startswith("00") else plain
    return plain if _PHONE_PART.fullmatch(plain) else None


@lru_cache(maxsize=4096)
def to_e164(given: str) -> str | None:
    """E.164 of a number in international form, None where it does not parse. An extension is left out."""
    number = _parse_phone(given)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) if number is not None else None


def to_phone(given: str) -> str:
    """The form in which phone numbers are compared: E.164, or the folded text where that is none."""
    return to_e164(given) or fold_case(given)


def has_extension(given: str) -> bool:
    """Whether the text has an extension behind the number, which E.164 leaves out."""
    number = _parse_phone(given)
    return number is not None and bool(number.extension)


def _parse_phone(given: str) -> phonenumbers.PhoneNumber | None:
    if not given.startswith(PHONE_STARTS) or len(given) > PHONE_CHARACTERS_MAX:
        return None
    try:
        return phonenumbers.parse("+" + given[2:] if given.startswith("00") else given, None)
    except phonenumbers.NumberParseException:
        return None


def check_storable(text: str) -> None:
    if "\x00" in text:
        raise ValueError("holds a NUL character, which cannot be stored.")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("holds a lone surrogate, which is not valid Unicode.") from None


def normalise_properties(properties: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """(the document with its keys and texts in NFC, every fault of it as (path, message))."""
    faults: list[tuple[str, str]] = []
    normal: dict[str, Any] = {}
    if len(properties) > PROPERTY_KEYS_MAX:
        faults.append(("properties", f"has {len(properties)} keys; at most {PROPERTY_KEYS_MAX} are allowed."))
        return normal, faults
    for given, value in properties.items():
        key = given
        try:
            check_property_key(given)
            key = compose(given)
            check_json(value, PROPERTY_DEPTH_MAX)
            if key in normal:
                raise ValueError(f"is there twice, in two encodings that Unicode counts as the same text: {key!r}.")
            normal[key] = compose_json(value)
        except ValueError as error:
            faults.append((f"properties.{key[:PROPERTY_KEY_CHARACTERS_MAX]}", str(error)))
    return normal, faults


def compose_json(value: Any) -> Any:
    """A JSON value with all keys and texts in NFC."""
    if isinstance(value, str):
        return compose(value)
    if isinstance(value, Mapping):
        normal = {compose(key): compose_json(item) for key, item in value.items()}
        if len(normal) < len(value):
            raise ValueError("has a key twice, in two encodings that Unicode counts as the same text.")
        return normal
    return [compose_json(item) for item in value] if isinstance(value, list) else value


def find_overflow(properties: Mapping[str, Any]) -> str | None:
    """Why a record cannot hold so much, None where it can."""
    if len(properties) > PROPERTY_KEYS_MAX:
        return f"would have {len(properties)} keys; at most {PROPERTY_KEYS_MAX} are allowed."
    if (size := measure_json(_encode(properties))) > PROPERTIES_BYTES_MAX:
        return f"would take {size} bytes; at most {PROPERTIES_BYTES_MAX} are allowed."
    return None


def measure_json(encoded: bytes) -> int:
    """About how many bytes the JSON takes as the database shows it: without exponents, so 1e100 is 101 digits.

    One pass in C: this is done for the whole of a record with each of its changes.
    """
    size = len(encoded)
    if size > PROPERTIES_BYTES_MAX or (b"e" not in encoded and b"E" not in encoded):
        return size
    exponents = Counter(_EXPONENTS.findall(encoded))
    return size + sum(abs(int(exponent)) * count for exponent, count in exponents.items() if exponent)


def check_property_key(key: str) -> None:
    if not key.strip():
        raise ValueError("a property's key cannot be empty.")
    if len(key) > PROPERTY_KEY_CHARACTERS_MAX:
        raise ValueError(f"a property's key has at most {PROPERTY_KEY_CHARACTERS_MAX} characters; this has {len(key)}.")
    check_storable(key)


def check_json(value: Any, depth_left: int) -> None:
    """That a JSON value can be stored: texts, numbers and nesting within the limits."""
    if isinstance(value, str):
        if len(value) > PROPERTY_TEXT_CHARACTERS_MAX:
            raise ValueError(f"holds {len(value)} characters; at most {PROPERTY_TEXT_CHARACTERS_MAX} are allowed.")
        check_storable(value)
    elif value is None or isinstance(value, bool):
        return
    elif isinstance(value, (int, float, Decimal)):
        check_number(value)
    elif depth_left == 0:
        raise ValueError(f"is nested deeper than {PROPERTY_DEPTH_MAX} levels.")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            check_storable(key)
            check_json(item, depth_left - 1)
    else:
        for item in value:
            check_json(item, depth_left - 1)


def check_number(value: int | float | Decimal) -> None:
    if isinstance(value, float) and (PLAIN_FLOAT_MIN < abs(value) < PLAIN_FLOAT_MAX or value == 0):
        return
    if isinstance(value, int) and abs(value) < PLAIN_INTEGER_MAX:
        return
    if isinstance(value, int) and value.bit_length() > 340:
        raise ValueError(f"is too large; numbers have at most {NUMBER_DIGITS_MAX} digits.")
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite():
        raise ValueError("is not a finite number.")
    if not is_in_range(number):
        raise ValueError(
            f"is out of range: at most {NUMBER_DIGITS_MAX} digits, and 10 to the power of ±{NUMBER_EXPONENT_MAX}."
        )


def is_in_range(number: Decimal) -> bool:
    """The one rule for every number. The database shows 1e100 as 1 and a hundred zeros: that is in range too."""
    if abs(number.adjusted()) > NUMBER_EXPONENT_MAX:
        return False
    _, digits, exponent = number.as_tuple()
    return len(digits) <= NUMBER_DIGITS_MAX or (exponent == 0 and not any(digits[NUMBER_DIGITS_MAX:]))


def same_json(one: Any, other: Any) -> bool:
    """Equal as the database keeps JSON: 1 and 1.0 are the same number, but true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same_json(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return bool(one == other)
