"""Describe errors in a JSON body in terms of JSON, without a library's words."""

import re
from typing import Any

from msgspec import inspect

from kith.model.aliases import find_meant
from kith.model.values import NUMBER_DIGITS_MAX, NUMBER_EXPONENT_MAX

NAME_CHARACTERS_MAX = 100

EXPECTED = re.compile(r"Expected `(.+?)`, got `(.+?)`")
MEMBER = re.compile(r"Object (missing required|contains unknown) field `(.*?)`(?: - at `|$)", re.DOTALL)
PLACE = re.compile(r" - at `\$\.(.*)`$")
STEP = re.compile(r"([^.\[\]]+)|\[([0-9]+|\.\.\.)\]")
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
# What Python's parser says of a text that is no JSON begins so.
JSON_FAULTS = {
    "Expecting property name": "a key in double quotes is expected",
    "Expecting value": "a value is expected",
    "Expecting ',' delimiter": "a comma or the end of the list or object is expected",
    "Expecting ':' delimiter": "a colon is expected after the key",
    "Extra data": "something follows the value",
    "Invalid control character": "a control character in a text must be escaped",
    "Unterminated string": "the text that begins here does not end",
    "Invalid \\escape": "a backslash is followed by a character that it does not escape",
    "Invalid \\uXXXX escape": "\\u must be followed by four hexadecimal digits",
    "Unexpected UTF-8 BOM": "it begins with a byte order mark",
}


def explain_json(fault: str) -> str:
    """Why a text is no JSON, from what Python's parser says of it."""
    return next((words for beginning, words in JSON_FAULTS.items() if fault.startswith(beginning)), "it is malformed")


def explain(error: str, value: Any, expected: Any) -> tuple[str, str]:
    """(place, message) from msgspec's sentence about the value of a field of the type ``expected``."""
    at = PLACE.search(error)
    place = at.group(1) if at else ""
    if types := EXPECTED.search(error):
        wanted = " or ".join(WORDS.get(word, word) for word in types.group(1).split(" | "))
        return place, f"must be {wanted}, not {WORDS.get(types.group(2), types.group(2))}."
    if member := MEMBER.match(error):
        name = member.group(2)
        message = "is needed."
        if member.group(1) != "missing required":
            known = list_members(expected, place)
            hint = suggest(name, known) or (f" Fields are {', '.join(known)}." if known else "")
            message = f"is not a field here.{hint}"
        return f"{place}.{to_printable(name)}", message
    found, options = follow(value, expected, place)
    if options and isinstance(found, str):
        return place, f"'{to_printable(found)}' is not one of {', '.join(options)}.{suggest(found, options)}"
    return place, OUT_OF_RANGE if "out of range" in error else "is not a value that this field takes."


def follow(value: Any, expected: Any, place: str) -> tuple[Any, tuple[str, ...]]:
    """(the value at a place inside a field, the texts that its type takes). The place begins with the field itself."""
    info = inspect.type_info(expected)
    for name, index in STEP.findall(place)[1:]:
        below = find_below(info, name)
        if below is None or index == "...":
            return None, ()
        info, value = below, value[name] if name else value[int(index)]
    return value, list_options(info)


def list_members(expected: Any, place: str) -> tuple[str, ...]:
    """The names of the fields of the object at a place inside a field."""
    info: inspect.Type | None = inspect.type_info(expected)
    for name, _ in STEP.findall(place)[1:]:
        info = find_below(info, name) if info is not None else None
    kinds = list_kinds(info) if info is not None else ()
    return tuple(field.encode_name for kind in kinds if isinstance(kind, inspect.StructType) for field in kind.fields)


def list_kinds(info: inspect.Type) -> tuple[inspect.Type, ...]:
    return info.types if isinstance(info, inspect.UnionType) else (info,)


def find_below(info: inspect.Type, name: str) -> inspect.Type | None:
    """The type of a struct's field with this name; where there is no name, of a list's members."""
    for kind in list_kinds(info):
        if name and isinstance(kind, inspect.StructType):
            return next((field.type for field in kind.fields if field.encode_name == name), None)
        if not name and isinstance(kind, inspect.ListType):
            return kind.item_type
    return None


def list_options(info: inspect.Type) -> tuple[str, ...]:
    """The texts that a type with fixed values takes; none for other types."""
    for kind in list_kinds(info):
        if isinstance(kind, inspect.LiteralType):
            return tuple(str(value) for value in kind.values)
        if isinstance(kind, inspect.EnumType):
            return tuple(str(member.value) for member in kind.cls)
    return ()


def suggest(name: str, known: Any) -> str:
    """A did-you-mean for a name that is not known, with a space before it; empty where nothing is near."""
    meant = find_meant(name, known)
    return f" Did you mean '{meant}'?" if meant is not None else ""


def to_words(value: Any) -> str:
    """What kind of JSON value this is, in words."""
    kinds = {bool: "true or false", str: "a text", list: "a list", type(None): "null"}
    return kinds.get(type(value), "a number")


def to_printable(name: str) -> str:
    """A name as a message can hold it: short, and without half surrogates or control characters."""
    return "".join(character if character.isprintable() else "?" for character in name[:NAME_CHARACTERS_MAX])
