"""Errors in queries and their positions: every rejection of a query is made here.

A place is a span of the text, or a path into the JSON (``filter.conditions[2].value``).
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from kith.errors import Exposed
from kith.model.aliases import find_meant

EXCERPT_CHARACTERS_BEFORE = 24
EXCERPT_CHARACTERS_MAX = 72
SHOWN_CHARACTERS_MAX = 60
SHOWN_NAMES_MAX = 20
SHOWN_BITS_MAX = 400

_JSON_NAMES: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "true or false",
    type(None): "null",
}


class Span(msgspec.Struct, frozen=True):
    """A stretch of the text, counted in characters from 0."""

    position: int
    length: int


Place = Span | str


def refuse(
    code: str,
    message: str,
    place: Place,
    text: str = "",
    *,
    expected: Sequence[str] = (),
    suggestion: str | None = None,
    **further: Any,
) -> Exposed:
    """The error of a query: QUERY_SYNTAX, UNKNOWN_FIELD, OPERATOR_NOT_ALLOWED, INVALID_VALUE or QUERY_TOO_COMPLEX."""
    details: dict[str, Any] = {"path": _clean(place)} if isinstance(place, str) else _locate(place, text)
    if expected:
        details["expected"] = list(expected)
    if suggestion is not None:
        details["suggestion"] = _clean(suggestion)
    return Exposed(code, message, {**details, **further})


def refuse_size(what: str, limit: int, given: int, place: Place, text: str = "") -> Exposed:
    """QUERY_TOO_COMPLEX. ``what`` says what there is too much of, as in "characters"."""
    message = f"The query has {given:,} {what}; at most {limit:,} are allowed."
    return refuse("QUERY_TOO_COMPLEX", message, place, text, limit=limit, given=given)


def show(value: Any) -> str:
    """A piece of the query as a message quotes it: shortened, and safe to print."""
    if isinstance(value, str):
        shown = repr(value[: SHOWN_CHARACTERS_MAX + 1])
        return shown if len(value) <= SHOWN_CHARACTERS_MAX else f"{shown[:SHOWN_CHARACTERS_MAX]}…{shown[0]}"
    return name_value(value) if not isinstance(value, int | float | Decimal) else _show_number(value)


def name_value(value: Any) -> str:
    """What kind of JSON value it is."""
    return _JSON_NAMES.get(type(value), "a number")


def _show_number(number: float | Decimal) -> str:
    if isinstance(number, bool):
        return "true" if number else "false"
    if isinstance(number, int) and number.bit_length() > SHOWN_BITS_MAX:
        return "a number of very many digits"
    return str(number)[:SHOWN_CHARACTERS_MAX]


def suggest(name: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant."""
    return find_meant(name[:SHOWN_CHARACTERS_MAX], names)


def list_names(names: Sequence[str]) -> str:
    """The names as a sentence lists them, a great many cut short."""
    more = len(names) - SHOWN_NAMES_MAX
    return ", ".join(names[:SHOWN_NAMES_MAX]) + (f" and {more} more" if more > 0 else "")


def _locate(span: Span, text: str) -> dict[str, Any]:
    line_start = text.rfind("\n", 0, span.position) + 1
    start = max(line_start, span.position - EXCERPT_CHARACTERS_BEFORE)
    line_end = text.find("\n", span.position)
    end = min(line_end if line_end >= 0 else len(text), start + EXCERPT_CHARACTERS_MAX)
    return {
        "position": span.position,
        "line": text.count("\n", 0, span.position) + 1,
        "column": span.position - line_start + 1,
        "length": span.length,
        "excerpt": _clean(text[start:end]),
    }


def _clean(text: str) -> str:
    """Without lone surrogates, which no answer can carry."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
