"""Find what is wrong with the settings of an integration, in words that name the settings that exist."""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from kith.integrations.mapping import Owner
from kith.model.aliases import find_meant

_WORDS: Mapping[Any, str] = {bool: "true or false", str: "a text"}
_FORMS: Mapping[str, str] = {
    "listId": "an audience's id: 1 to 50 letters and digits",
    "accessToken": "a token: ASCII characters without spaces",
    "apiKey": "a key: ASCII characters without spaces",
}
_EXPECTED = re.compile(r"Expected `(\w+)(?: \| null)?`, got `\w+`")
SUGGESTIONS_MAX = 5
NAME_CHARACTERS_MAX = 100
Fault = tuple[str, str]  # the path of the setting, and what is wrong


def find_name_faults(
    shape: type[msgspec.Struct], given: Mapping[str, Any], place: str, taken: str, elsewhere: Mapping[str, str]
) -> Iterator[Fault]:
    """Every name that does not exist, and every name that is needed and was not meant.

    ``taken`` is a sentence about the names that exist; ``elsewhere``: name -> where else it belongs.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    meant = set(given)
    for number, name in enumerate(name for name in given if name not in fields):
        near = find_meant(name, fields) if number < SUGGESTIONS_MAX else None
        way_out = f"It belongs {elsewhere[name]}." if name in elsewhere else taken
        hint = f"Did you mean {near!r}? " if near is not None and name not in elsewhere else ""
        meant.add(near or "")
        yield f"{place}.{name[:NAME_CHARACTERS_MAX]}", f"is not taken here. {hint}{way_out}"
    for name, field in fields.items():
        if field.required and name not in meant:
            yield f"{place}.{name}", "is needed."


def find_setting_faults(
    shape: type[msgspec.Struct],
    given: Mapping[str, Any],
    place: str,
    elsewhere: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Fault]:
    """Every setting that does not exist, is missing, or has a value that it does not take."""
    kinds = get_type_hints(shape)
    fields = {field.encode_name: kinds[field.name] for field in msgspec.structs.fields(shape)}
    yield from find_name_faults(shape, given, place, f"The settings are {', '.join(fields)}.", elsewhere)
    for name, kind in fields.items():
        if name in given:
            yield from _check(kind, given[name], f"{place}.{name}")


def _check(kind: Any, value: Any, place: str) -> Iterator[Fault]:
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            yield place, f"must be one of {', '.join(get_args(kind))}; {_show(value)} is not."
    elif kind in _WORDS:
        if not isinstance(value, kind):
            yield place, f"must be {_WORDS[kind]}; {_show(value)} is not."
    elif not isinstance(value, dict):
        yield place, f"must be an object; {_show(value)} is not."
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield from find_setting_faults(kind, value, place)
    else:
        yield from _check_entries(get_args(kind)[1], value, place)


def _check_entries(kind: Any, entries: Mapping[str, Any], place: str) -> Iterator[Fault]:
    """``kind`` is that of the values: a whose-value-counts word, or a text that may be null."""
    for name, value in entries.items():
        if kind is Owner:
            yield from _check(kind, value, f"{place}.{name}")
        elif value is not None and not isinstance(value, str):
            yield f"{place}.{name}", f"must be a text, or null; {_show(value)} is neither."


def _show(value: Any) -> str:
    return msgspec.json.encode(value).decode()[:100]


def to_fault(place: str, error: msgspec.ValidationError) -> Fault:
    """The decoder's complaint in our words, without the value: it may be a secret."""
    complaint, _, where = str(error).partition(" - at `$")
    where = where.strip(".`")
    path = f"{place}.{where.replace('[...]', '')}".rstrip(".") if where else place
    if "matching regex" in complaint:
        return path, f"must be {_FORMS.get(path.rpartition('.')[2], 'of another form')}."
    if expected := _EXPECTED.fullmatch(complaint):
        return path, f"must be {'a text' if expected[1] == 'str' else 'of another type'}."
    if "length" in complaint:
        return path, "cannot be empty."
    return path, "is not a value that is taken here."
