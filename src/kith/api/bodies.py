"""JSON bodies: from bytes to a struct, strictly.

A scan bounds the number of values and their depth before anything is parsed. The fast path is one pass that looks for
repeated keys and very long numbers, and one that decodes. Only when either objects, a slow path reads the body again,
to tell everything that is wrong with it at once.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal, DecimalException
from functools import cache
from itertools import islice
from types import NoneType
from typing import Any, TypeVar, get_args

import msgspec

from kith.api.body_faults import (
    NAME_CHARACTERS_MAX,
    OUT_OF_RANGE,
    explain,
    explain_json,
    suggest,
    to_printable,
    to_words,
)
from kith.api.elsewhere import find_elsewhere
from kith.api.json_scan import VALUES_MAX, check_json_size
from kith.errors import InvalidRequest, Validation
from kith.model.values import NUMBER_DIGITS_MAX, is_in_range

T = TypeVar("T", bound=msgspec.Struct)
# Where a value is in a tree: the trail of what it is in, and its key or index there.
Trail = tuple[Any, str | int] | None

PROBLEMS_MAX = 50
SUGGESTIONS_MAX = 5
# Room for zeros that say nothing, as in 0.00…01e100. A longer number is out of range without a look at its value.
NUMBER_CHARACTERS_MAX = 4 * NUMBER_DIGITS_MAX


class OutOfRange(msgspec.Struct, frozen=True):
    """Stands, in a parsed tree, for a number that is not taken."""


def make_body_reader(shape: type[T], *, optional: bool = False, values_max: int = VALUES_MAX) -> Callable[[bytes], T]:
    """A function from a body's bytes to ``shape``. Numbers without a type become Decimal, so no digit is lost.

    It raises 400 INVALID_REQUEST for what is not a JSON object, or is beyond a limit of ``json_scan``, and 422 with
    every wrong field for what does not fit the shape. ``optional``: no body at all is the shape without fields.
    """
    decode = msgspec.json.Decoder(shape, float_hook=to_number).decode

    def read_body(raw: bytes) -> T:
        if optional and not raw:
            return shape()
        check_json_size(raw, values_max)
        try:
            text = raw.decode()
            if "\\u0000" not in text:
                STRICT.decode(text)
                return decode(raw)
        except (msgspec.MsgspecError, ValueError):
            pass
        return read_carefully(raw, shape)

    return read_body


def read_carefully(raw: bytes, shape: type[T]) -> T:
    """The same, slowly, and with everything that is wrong in one error."""
    tree, has_bad_values = parse_json(raw)
    if not isinstance(tree, dict):
        raise InvalidRequest(f"The body must be a JSON object, not {to_words(tree)}.")
    clear_numbers(tree, shape)
    invalid = list(islice(find_faults(tree, shape, has_bad_values), PROBLEMS_MAX))
    missing = [
        (field.encode_name, "is needed.")
        for field in msgspec.structs.fields(shape)
        if field.required and field.encode_name not in tree
    ]
    if invalid or missing:
        code = "VALIDATION_ERROR" if invalid and missing else "INVALID_FIELD" if invalid else "MISSING_FIELD"
        raise Validation([*missing, *invalid][:PROBLEMS_MAX], code)
    return msgspec.convert(tree, shape)


def clear_numbers(tree: dict[str, Any], shape: type[msgspec.Struct]) -> None:
    """An empty text in place of a number that a null clears is such a null."""
    for field in msgspec.structs.fields(shape):
        if tree.get(field.encode_name) == "" and {Decimal, NoneType} <= set(get_args(field.type)):
            tree[field.encode_name] = None


def parse_json(raw: bytes) -> tuple[Any, bool]:
    """(the JSON value of a body, whether something in it may be a value that no field takes).

    Raises 400 for what is no JSON, or is JSON that different readers read differently.
    """
    if not raw.strip():
        raise InvalidRequest("The body is empty. Send a JSON object.")
    out_of_range: list[OutOfRange] = []
    try:
        tree = make_lenient(out_of_range).decode(raw.decode())
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidRequest(f"The body is not JSON: {explain_json(error.msg)} ({place}).") from None
    if b"\\u" in raw:
        check_surrogates(tree)
    return tree, bool(out_of_range) or b"\\u0000" in raw


def make_lenient(out_of_range: list[OutOfRange]) -> json.JSONDecoder:
    """A parser that puts a mark in the place of each number that is not taken, and into the list."""

    def refuse() -> OutOfRange:
        out_of_range.append(OutOfRange())
        return out_of_range[-1]

    def to_integer(text: str) -> int | OutOfRange:
        return int(text) if find_number(text) is not None else refuse()

    def to_decimal(text: str) -> Decimal | OutOfRange:
        number = find_number(text)
        return refuse() if number is None else number

    return json.JSONDecoder(
        object_pairs_hook=to_object, parse_float=to_decimal, parse_int=to_integer, parse_constant=refuse_constant
    )


def check_surrogates(tree: Any) -> None:
    """Refuse text that is no Unicode, in keys and values."""
    for value, _ in walk(tree):
        if isinstance(value, str) and has_surrogate(value):
            raise InvalidRequest("The body has half of a surrogate pair (\\ud800 to \\udfff) in a text.")


def has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def walk(tree: Any) -> Iterator[tuple[Any, Trail]]:
    """Every key and value of a tree with the trail of the field that it is in; without recursion."""
    waiting: list[tuple[Any, Trail]] = [(tree, None)]
    while waiting:
        value, trail = waiting.pop()
        yield value, trail
        if isinstance(value, dict):
            for name, member in value.items():
                below = (trail, name)
                waiting += ((member, below), (name, below))
        elif isinstance(value, list):
            waiting += [(member, (trail, index)) for index, member in enumerate(value)]


def to_place(trail: Trail) -> str:
    """A trail as messages show it, as in ``properties.a[1]``."""
    steps: list[str] = []
    while trail is not None:
        trail, step = trail
        steps.append(f"[{step}]" if isinstance(step, int) else f".{to_printable(step)}")
    return "".join(reversed(steps)).removeprefix(".")


def find_bad_values(tree: Any) -> Iterator[tuple[str, str]]:
    """(field, message) of values that no field takes, whatever its type."""
    for value, trail in walk(tree):
        if isinstance(value, OutOfRange):
            yield to_place(trail), OUT_OF_RANGE
        elif isinstance(value, str) and "\x00" in value:
            yield to_place(trail), "must not have a NUL character (\\u0000)."


def find_faults(tree: dict[str, Any], shape: type[msgspec.Struct], has_bad_values: bool) -> Iterator[tuple[str, str]]:
    """(field, message) of every field that is not known, or whose value it cannot take."""
    known = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    unknown = 0
    for name, value in tree.items():
        faults = list(islice(find_bad_values({name: value}), PROBLEMS_MAX)) if has_bad_values else []
        if faults:
            yield from faults
        elif name not in known:
            unknown += 1
            own = ' One of your own goes into properties: {"properties": {…}}.' if "properties" in known else ""
            hint = (find_elsewhere(name, shape) or suggest(name, known) or own) if unknown <= SUGGESTIONS_MAX else ""
            yield to_printable(name), f"is not a field here.{hint}"
        else:
            try:
                msgspec.convert({name: value}, make_single(shape, name))
            except msgspec.ValidationError as error:
                yield explain(str(error), value, known[name].type)


@cache
def make_single(shape: type[msgspec.Struct], name: str) -> type[msgspec.Struct]:
    """A shape with this one field of another: a type may only make sense inside a struct."""
    field = next(field for field in msgspec.structs.fields(shape) if field.encode_name == name)
    return msgspec.defstruct("Single", [(name, field.type)])


def to_number(text: str) -> Decimal:
    """A number's exact value. Raises ValueError for what is out of range."""
    number = find_number(text)
    if number is None:
        raise ValueError(text[:NAME_CHARACTERS_MAX])
    return number


def find_number(text: str) -> Decimal | None:
    if len(text) > NUMBER_CHARACTERS_MAX:
        return None
    try:
        number = Decimal(text)
    except DecimalException:
        return None
    return number if is_in_range(number) else None


def to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise InvalidRequest(f"The key '{to_printable(twice)}' is there twice in one object.")
    return found


def refuse_constant(name: str) -> None:
    raise InvalidRequest(f"The body is not JSON: {name} is not a JSON number.")


def check_integer(text: str) -> None:
    if len(text) > NUMBER_DIGITS_MAX and find_number(text) is None:
        raise ValueError(text[:NAME_CHARACTERS_MAX])


def check_decimal(text: str) -> None:
    if len(text) > NUMBER_CHARACTERS_MAX:
        raise ValueError(text[:NAME_CHARACTERS_MAX])


def check_object(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise ValueError


STRICT = json.JSONDecoder(
    object_pairs_hook=check_object, parse_float=check_decimal, parse_int=check_integer, parse_constant=refuse_constant
)
