"""Query strings: from bytes to a struct, strictly. Whatever is not known, repeated or out of range is 400, by name."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta, inspect

from kith.api.body_faults import suggest, to_printable
from kith.engine.read.paging import SEARCH_CHARACTERS_MAX
from kith.errors import InvalidRequest
from kith.model.forms import NAME_PATTERN

Count = Literal["default", "exact", "none"]
# What names one record stands in the path.
IN_PATHS = {
    "email": " GET /crm/contacts/{email} finds one, POST /crm/query many.",
    "domain": " GET /crm/companies/{domain} finds one, POST /crm/query many.",
}
PARAMETERS_MAX = 100
DIGITS_MAX = 18


Searched = Annotated[
    str,
    Meta(
        description="Each term begins a word of a name, an email, a domain or a phone number.",
        extra_json_schema={"maxLength": SEARCH_CHARACTERS_MAX},
    ),
]


class PageQuery(msgspec.Struct, rename="camel", kw_only=True):
    """The parameters that every list has."""

    page: Annotated[int, Meta(ge=1, description="Page number; not together with cursor.")] | None = None
    limit: Annotated[int, Meta(ge=1, le=100, description="Results per page.")] = 20
    cursor: Annotated[str, Meta(description="meta.nextCursor of the page before.")] | None = None
    count: Annotated[Count, Meta(description="exact: whatever it costs; none: leave the totals out.")] = "default"

    def to_fields(self) -> dict[str, Any]:
        """What was given, by the names that the engine's listings have too."""
        return msgspec.structs.asdict(self)


def describe_day(description: str) -> Meta:
    """Of a parameter that is a day or a time; one without an offset is in the workspace's time zone."""
    forms = {"anyOf": [{"type": "string", "format": form} for form in ("date", "date-time")]}
    return Meta(
        description=f"{description} An ISO 8601 date or time.", examples=["2026-04-10"], extra_json_schema=forms
    )


class SearchQuery(msgspec.Struct, rename="camel", kw_only=True):
    """The parameters of a typeahead."""

    q: Annotated[
        str,
        Meta(
            description="What was typed so far.",
            examples=["alice"],
            extra_json_schema={"minLength": 1, "maxLength": SEARCH_CHARACTERS_MAX, "pattern": NAME_PATTERN},
        ),
    ]
    limit: Annotated[int, Meta(ge=1, le=100, description="Results at most.")] = 20


class Parameter(msgspec.Struct, frozen=True):
    """A parameter and how its text is read. ``least`` and ``most`` bound a number, or the characters of a text."""

    name: str
    kind: str
    options: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None
    required: bool = False


def make_query_reader(shape: type[msgspec.Struct] | None) -> Callable[[bytes], Any]:
    """A function from a query string's bytes to ``shape``; without a shape, one that takes no parameter at all."""
    parameters = {parameter.name: parameter for parameter in list_parameters(shape)} if shape else {}

    def read_query(raw: bytes) -> Any:
        given = parse_query(raw, parameters) if raw else {}
        for name, parameter in parameters.items():
            if parameter.required and name not in given:
                raise make_refusal(name, "is needed.")
        if shape is None:
            return None
        return msgspec.convert({name: to_value(parameters[name], text) for name, text in given.items()}, shape)

    return read_query


def list_parameters(shape: type[msgspec.Struct]) -> list[Parameter]:
    """The parameters that a struct describes: its fields are texts, whole numbers, booleans or literals."""
    info = inspect.type_info(shape)
    assert isinstance(info, inspect.StructType)
    return [make_parameter(field) for field in info.fields]


def make_parameter(field: inspect.Field) -> Parameter:
    kinds = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
    kind = next(kind for kind in kinds if not isinstance(kind, inspect.NoneType))
    if isinstance(kind, inspect.Metadata):
        kind = kind.type
    name, required = field.encode_name, field.required
    match kind:
        case inspect.IntType():
            return Parameter(name, "number", least=kind.ge, most=kind.le, required=required)
        case inspect.BoolType():
            return Parameter(name, "boolean", ("true", "false"), required=required)
        case inspect.LiteralType():
            return Parameter(name, "choice", tuple(str(value) for value in kind.values), required=required)
        case inspect.StrType():
            return Parameter(name, "text", least=kind.min_length, most=kind.max_length, required=required)
    raise AssertionError(f"{name}: a query parameter cannot be of type {kind}")


def parse_query(raw: bytes, parameters: Mapping[str, Parameter]) -> dict[str, str]:
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=PARAMETERS_MAX)
    except UnicodeDecodeError:
        raise InvalidRequest("The query string is not UTF-8.") from None
    except ValueError:
        raise InvalidRequest(f"The query string has more than {PARAMETERS_MAX} parameters.") from None
    given: dict[str, str] = {}
    for name, text in pairs:
        if name not in parameters:
            taking = [known for known, parameter in parameters.items() if text in parameter.options]
            hint = IN_PATHS.get(name) or suggest(name, taking) or suggest(name, parameters)
            if not hint and "cursor" in parameters:
                hint = " POST /crm/query filters by any field."
            raise make_refusal(to_printable(name), f"is not a parameter here.{hint}")
        if name in given:
            raise make_refusal(name, "is there twice.")
        if "\x00" in text:
            raise make_refusal(name, "has a NUL character (%00).")
        given[name] = text
    return given


def to_value(parameter: Parameter, text: str) -> str | int | bool:
    """The parameter's value. Raises 400 naming it."""
    name = parameter.name
    if parameter.options:
        if text not in parameter.options:
            hint = suggest(text, parameter.options)
            raise make_refusal(name, f"'{to_printable(text)}' is not one of {', '.join(parameter.options)}.{hint}")
        return text == "true" if parameter.kind == "boolean" else text
    if parameter.kind == "text":
        check_bounds(parameter, len(text), " characters")
        return text
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise make_refusal(name, f"'{to_printable(text)}' is not a whole number.")
    number = int(text) if len(digits) <= DIGITS_MAX else (-1 if text[0] == "-" else 1) * 10**DIGITS_MAX
    check_bounds(parameter, number, "")
    return number


def check_bounds(parameter: Parameter, number: int, unit: str) -> None:
    if parameter.least is not None and number < parameter.least:
        raise make_refusal(parameter.name, f"must be at least {parameter.least}{unit}.")
    if parameter.most is not None and number > parameter.most:
        raise make_refusal(parameter.name, f"must be at most {parameter.most}{unit}.")


def make_refusal(name: str, message: str) -> InvalidRequest:
    return InvalidRequest(f"{name}: {message}", {"parameter": name})
