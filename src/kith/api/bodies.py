"""JSON bodies: from bytes to a struct, strictly.

The fast path is one pass that looks for repeated keys and endless integers and one that decodes; only when either
objects does a slow path read the body again, to tell everything that is wrong with it at once.
"""

import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal, DecimalException
from difflib import get_close_matches
from functools import cache
from itertools import islice
from typing import Any, TypeVar

import msgspec

from kith.errors import InvalidRequest, Validation
from kith.model.values import NUMBER_DIGITS_MAX, NUMBER_EXPONENT_MAX

T = TypeVar("T", bound=msgspec.Struct)

DEPTH_MAX = 64
PROBLEMS_MAX = 50
NAME_CHARACTERS_MAX = 100

EXPECTED = re.compile(r"Expected `(.+?)`, got `(.+?)`")
PLACE = re.compile(r" - at `\$\.(.*)`$")
OUT_OF_RANGE = f"is out of range: at most {NUMBER_DIGITS_MAX} digits, and 10 to the power of ±{NUMBER_EXPONENT_MAX}."
WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}


class OutOfRange(msgspec.Struct, frozen=True):
    """Stands, in a parsed tree, for a number that is not taken."""


def make_body_reader(shape: type[T], *, optional: bool = False) -> Callable[[bytes], T]:
    """A function from a body's bytes to ``shape``. Numbers without a type become Decimal, so no digit is lost.

    It raises 400 INVALID_REQUEST for what is not a JSON object and 422 with every wrong field for what does not fit
    the shape. ``optional``: no body at all is the shape without fields.
    """
    decode = msgspec.json.Decoder(shape, float_hook=to_number).decode

    def read_body(raw: bytes) -> T:
        if optional and not raw:
            return shape()
        try:
            text = raw.decode()
            if "\\u0000" not in text and text.count("{") + text.count("[") <= DEPTH_MAX:
                STRICT.decode(text)
                return decode(raw)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
        return read_carefully(raw, shape)

    return read_body


def read_carefully(raw: bytes, shape: type[T]) -> T:
    """The same, slowly, and with everything that is wrong in one error."""
    tree = parse_json(raw)
    if not isinstance(tree, dict):
        raise InvalidRequest(f"The body must be a JSON object, not {to_words(tree)}.")
    invalid = list(islice(find_faults(tree, shape), PROBLEMS_MAX))
    missing = [
        (field.encode_name, "is needed.")
        for field in msgspec.structs.fields(shape)
        if field.required and field.encode_name not in tree
    ]
    if invalid or missing:
        code = "VALIDATION_ERROR" if invalid and missing else "INVALID_FIELD" if invalid else "MISSING_FIELD"
        raise Validation([*missing, *invalid][:PROBLEMS_MAX], code)
    return msgspec.convert(tree, shape)


def parse_json(raw: bytes) -> Any:
    """The JSON value of a body. Raises 400 for what is no JSON, or is JSON that different readers read differently."""
    if not raw.strip():
        raise InvalidRequest("The body is empty. Send a JSON object.")
    try:
        tree = LENIENT.decode(raw.decode())
        check_tree(tree)
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidRequest(f"The body is not JSON: {error.msg} ({place}).") from None
    except RecursionError:
        raise InvalidRequest(f"The body is nested deeper than {DEPTH_MAX} levels.") from None
    return tree


def check_tree(tree: Any) -> None:
    """Refuse nesting without end and text that is no Unicode, in keys and values."""
    for value, _, depth in walk(tree):
        if depth > DEPTH_MAX:
            raise InvalidRequest(f"The body is nested deeper than {DEPTH_MAX} levels.")
        if isinstance(value, str) and has_surrogate(value):
            raise InvalidRequest("The body has half of a surrogate pair (\\ud800 to \\udfff) in a text.")


def has_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def walk(tree: Any) -> Iterator[tuple[Any, str, int]]:
    """Every key and value of a tree with the path of the field that it is in, and its depth; without recursion."""
    waiting = [(tree, "", 0)]
    while waiting:
        value, place, depth = waiting.pop()
        yield value, place, depth
        if isinstance(value, dict):
            for name, member in value.items():
                below = f"{place}.{to_printable(name)}" if place else to_printable(name)
                waiting += ((member, below, depth + 1), (name, below, depth))
        elif isinstance(value, list):
            waiting += ((member, f"{place}[{index}]", depth + 1) for index, member in enumerate(value))


def find_bad_values(tree: Any) -> Iterator[tuple[str, str]]:
    """(field, message) of values that no field takes, whatever its type."""
    for value, place, _ in walk(tree):
        if isinstance(value, OutOfRange):
            yield place, OUT_OF_RANGE
        elif isinstance(value, str) and "\x00" in value:
            yield place, "must not have a NUL character (\\u0000)."


def find_faults(tree: dict[str, Any], shape: type[msgspec.Struct]) -> Iterator[tuple[str, str]]:
    """(field, message) of every field that is not known, or whose value it cannot take."""
    known = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    for name, value in tree.items():
        faults = list(islice(find_bad_values({name: value}), PROBLEMS_MAX))
        if faults:
            yield from faults
        elif name not in known:
            yield to_printable(name), f"is not a field here.{suggest(name, known)}"
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


def suggest(name: str, known: Any) -> str:
    """A did-you-mean for a name that is not known, with a space before it; empty where nothing is near."""
    folded = {option.casefold(): option for option in known}
    near = get_close_matches(name.casefold(), folded, n=1) if len(name) <= NAME_CHARACTERS_MAX else []
    return f" Did you mean '{folded[near[0]]}'?" if near else ""


def explain(error: str, value: Any, expected: Any) -> tuple[str, str]:
    """(field, message): msgspec's sentence in the words of a JSON writer."""
    at = PLACE.search(error)
    place = at.group(1) if at else ""
    types = EXPECTED.search(error)
    if types:
        wanted = " or ".join(WORDS.get(word, word) for word in types.group(1).split(" | "))
        return place, f"must be {wanted}, not {WORDS.get(types.group(2), types.group(2))}."
    options = find_options(expected)
    if options and isinstance(value, str):
        return place, f"'{to_printable(value)}' is not one of {', '.join(options)}.{suggest(value, options)}"
    return place, f"{PLACE.sub('', error)}."


@cache
def find_options(expected: Any) -> tuple[str, ...]:
    """The texts that a type with fixed values takes; none for other types."""
    info = msgspec.inspect.type_info(expected)
    for kind in info.types if isinstance(info, msgspec.inspect.UnionType) else (info,):
        if isinstance(kind, msgspec.inspect.LiteralType):
            return tuple(str(value) for value in kind.values)
        if isinstance(kind, msgspec.inspect.EnumType):
            return tuple(str(member.value) for member in kind.cls)
    return ()


def to_words(value: Any) -> str:
    """What kind of JSON value this is, in words."""
    kinds = {bool: "true or false", str: "a text", list: "a list", type(None): "null"}
    return kinds.get(type(value), "a number")


def to_number(text: str) -> Decimal:
    """A number's exact value. Raises ValueError for what is out of range."""
    number = find_number(text)
    if number is None:
        raise ValueError(text[:NAME_CHARACTERS_MAX])
    return number


def find_number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except DecimalException:
        return None
    digits = len(text) if len(text) <= NUMBER_DIGITS_MAX else len(number.as_tuple().digits)
    return number if digits <= NUMBER_DIGITS_MAX and abs(number.adjusted()) <= NUMBER_EXPONENT_MAX else None


def to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidRequest(f"The key '{to_printable(name)}' is there twice in one object.")
        found[name] = value
    return found


def to_integer(text: str) -> int | OutOfRange:
    return int(text) if len(text.lstrip("-")) <= NUMBER_DIGITS_MAX else OutOfRange()


def to_decimal(text: str) -> Decimal | OutOfRange:
    number = find_number(text)
    return OutOfRange() if number is None else number


def to_printable(name: str) -> str:
    """A name as a message can hold it: short, and without half surrogates or control characters."""
    return "".join(character if character.isprintable() else "?" for character in name[:NAME_CHARACTERS_MAX])


def refuse_constant(name: str) -> None:
    raise InvalidRequest(f"The body is not JSON: {name} is not a JSON number.")


def check_integer(text: str) -> None:
    if len(text) > NUMBER_DIGITS_MAX:
        raise ValueError(text[:NAME_CHARACTERS_MAX])


def check_object(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise ValueError


STRICT = json.JSONDecoder(
    object_pairs_hook=check_object, parse_float=len, parse_int=check_integer, parse_constant=refuse_constant
)
LENIENT = json.JSONDecoder(
    object_pairs_hook=to_object, parse_float=to_decimal, parse_int=to_integer, parse_constant=refuse_constant
)
