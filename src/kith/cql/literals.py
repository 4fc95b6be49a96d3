"""Convert literals to typed values: the one place for texts and JSON."""

import re
from collections.abc import Callable
from datetime import tzinfo
from decimal import Context, Decimal
from functools import lru_cache
from typing import Any

from kith.cql.ast import Moment, Scalar
from kith.cql.datetimes import EXAMPLE, read_moment
from kith.cql.entity_schema import Field, Kind
from kith.cql.errors import list_names, show, suggest
from kith.ids import is_number
from kith.model.companies import normalise_domain
from kith.model.hosts import cut_host, to_idna, to_letters
from kith.model.text import compose, fold_case, is_foldable
from kith.model.values import NUMBER_DIGITS_MAX, check_number, check_storable, normalise_email

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")
_CAPITAL_M = re.compile(r"([A-Za-z]*[+-][0-9]{1,6})M")
_BOOLEANS = {"true": True, "false": False}
# Enough for every number within the limits: normalising never rounds.
_EXACT = Context(prec=NUMBER_DIGITS_MAX)
# Operators whose values are whole ones.
WHOLE = ("eq", "in")
COUNT_MAX = 1_000_000_000
PLAIN_DIGITS_MAX = 21


class WrongValue(ValueError):
    """Why the value is none of the field's; ``suggestion`` is the one that was probably meant."""

    def __init__(self, reason: str, suggestion: str | None = None) -> None:
        super().__init__(reason)
        self.suggestion = suggestion


def read_value(field: Field, value: Any, zone: tzinfo, operator: str = "eq") -> Scalar:
    """The value as the typed tree has it, in the normal form of the field. Raises WrongValue."""
    read = _READERS[field.kind](field, value, zone)
    return to_form(field, read, whole=operator in WHOLE) if isinstance(read, str) else read


def needs_idna(field: Field, value: Any) -> bool:
    """Whether the value is an address or a domain with letters of other scripts, which takes long to normalise."""
    if not isinstance(value, str) or (field.kind != "EMAIL" and field.form != "domain"):
        return False
    return not value.isascii() or "xn--" in value.lower()


def to_form(field: Field, text: str, *, whole: bool) -> str:
    """The text in the form in which the field has its values; ``whole``: it is all of a value and not a part."""
    if field.kind == "EMAIL":
        return _to_email(text, whole=whole)
    if field.form == "domain":
        return _to_domain(text, whole=whole)
    return text.strip() or text if whole and is_trimmed(field) else text


def is_trimmed(field: Field) -> bool:
    """Whether its texts are stored without space around them, so that none is blank."""
    if field.kind != "TEXT":
        return field.kind == "EMAIL"
    return bool(field.form) or not field.name.startswith(("properties.", "link."))


def _to_email(text: str, *, whole: bool) -> str:
    """An address whose domain is written in IDNA has its letters."""
    given = (text.strip() or text) if whole else text
    if given.isascii() and "xn--" not in given.lower():
        return given
    local, at, domain = given.rpartition("@")
    decoded = local + at + to_letters(domain)
    try:
        return (normalise_email(decoded) if whole else decoded) or given
    except ValueError:
        return decoded


def _to_domain(text: str, *, whole: bool) -> str:
    """Of a URL the host; letters of other scripts are in IDNA."""
    try:
        if whole and (domain := normalise_domain(text)) is not None:
            return domain
    except ValueError:
        pass
    return to_idna(cut_host(text))


def read_option(name: str, options: tuple[str, ...], value: Any) -> str:
    """The option in its own spelling, whatever the case. ``name`` is what it is an option of. Raises WrongValue."""
    if isinstance(value, str):
        if value in options:
            return value
        if is_foldable(value) and (option := _index_options(options).get(fold_case(value.strip()))) is not None:
            return option
    meant = suggest(value, options) if isinstance(value, str) else None
    hint = f" Did you mean {meant}?" if meant is not None else ""
    raise WrongValue(f"{show(value)} is no value of {name}.{hint} It takes {list_names(options) or 'none'}.", meant)


@lru_cache(maxsize=1024)
def _index_options(options: tuple[str, ...]) -> dict[str, str]:
    """By folded option the first that is spelled so."""
    return {fold_case(option): option for option in reversed(options)}


def read_moment_of(name: str, value: Any, zone: tzinfo) -> Moment:
    """The day, instant or relative time. Raises WrongValue."""
    try:
        if isinstance(value, str):
            return read_moment(value.strip(), zone)
    except ValueError:
        pass
    raise WrongValue(f"{show(value)} is no date for {name}. It takes a date or a time, such as {EXAMPLE}.")


def check_unit(name: str, value: Any) -> None:
    """Raises WrongValue for a relative time in a unit that might be either of two."""
    if isinstance(value, str) and (found := _CAPITAL_M.fullmatch(value.strip())):
        minutes, months = (f"{found[1]}{unit}" for unit in ("m", "mo"))
        reason = f"{show(value)} is no date for {name}: M might be minutes or months."
        raise WrongValue(f"{reason} Write {minutes} for minutes, {months} for months.", months)


def read_count(value: Any) -> int:
    """How many. Raises WrongValue."""
    number = _find_number(value)
    if number is None or number != number.to_integral_value() or not 0 <= number <= COUNT_MAX:
        raise WrongValue(f"{show(value)} is no number of activities. It is a whole number from 0, such as 3.")
    return int(number)


def write_number(number: Decimal) -> str:
    """With plain digits where that is not long."""
    plain = -7 < number.adjusted() < PLAIN_DIGITS_MAX
    return format(number, "f") if plain else str(number).replace("E", "e")


def _read_text(field: Field, value: Any, _: tzinfo) -> str:
    if not isinstance(value, str):
        raise WrongValue(
            f"{show(value)} is no text for {field.name}. It takes a text, such as {_quote_example(value)}."
        )
    return _check(field, value)


def _quote_example(value: Any) -> str:
    return f'"{value}"' if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else '"Anna"'


def _read_enum(field: Field, value: Any, _: tzinfo) -> str:
    return read_option(field.name, field.options, value)


def _read_number(field: Field, value: Any, _: tzinfo) -> Decimal:
    number = _find_number(value)
    if number is None:
        raise WrongValue(f"{show(value)} is no number for {field.name}. It takes a number, such as 12.5.")
    return number


def _find_number(value: Any) -> Decimal | None:
    """The number in its one form, None where it is none. Raises WrongValue where it is out of range."""
    if isinstance(value, str):
        stripped = value.strip()
        if not _NUMBER.fullmatch(stripped):
            return None
        given: int | float | Decimal = Decimal(stripped)
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        if isinstance(value, int) and value.bit_length() > 4 * NUMBER_DIGITS_MAX:
            raise WrongValue(f"The number has more than {NUMBER_DIGITS_MAX} digits.")
        given = value
    else:
        return None
    try:
        check_number(given)
    except ValueError as error:
        raise WrongValue(f"The number {show(value)} {error}") from None
    number = Decimal(repr(given)) if isinstance(given, float) else Decimal(given)
    return number.normalize(_EXACT) if number else Decimal(0)


def _read_boolean(field: Field, value: Any, _: tzinfo) -> bool:
    meant = _BOOLEANS.get(value.strip().lower()) if isinstance(value, str) else value
    if not isinstance(meant, bool):
        raise WrongValue(f"{show(value)} is neither true nor false, which {field.name} takes.")
    return meant


def _read_moment(field: Field, value: Any, zone: tzinfo) -> Moment:
    return read_moment_of(field.name, value, zone)


def _read_member(field: Field, value: Any, _: tzinfo) -> str:
    if field.options or field.name not in ("tags", "lists"):
        return read_option(field.name, field.options, value)
    if field.name == "lists" and not isinstance(value, str) and (number := _find_number(value)) is not None:
        value = write_number(number)
    if field.name == "lists" and isinstance(value, str) and is_number(value.strip()):
        value = str(int(value))
    if not isinstance(value, str) or not value.strip():
        what = "the key of a tag, such as vip" if field.name == "tags" else "the number or the external id of a list"
        raise WrongValue(f"{show(value)} is none of the {field.name}: it takes {what}.")
    member = _check(field, value.strip())
    return fold_case(member) if field.name == "tags" else member


def _check(field: Field, text: str) -> str:
    try:
        check_storable(text)
        return compose(text)
    except ValueError as error:
        raise WrongValue(f"The value of {field.name} {error}") from None


_READERS: dict[Kind, Callable[[Field, Any, tzinfo], Scalar]] = {
    "TEXT": _read_text,
    "EMAIL": _read_text,
    "ENUM": _read_enum,
    "NUMBER": _read_number,
    "BOOLEAN": _read_boolean,
    "DATE": _read_moment,
    "DATETIME": _read_moment,
    "SET": _read_member,
}
