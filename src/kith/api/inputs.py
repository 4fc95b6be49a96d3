"""JSON Schema of the inputs of requests: ids in paths, headers, and bodies as their structs describe them."""

from collections.abc import Mapping
from typing import Any

import msgspec

from kith.api.requests import IDEMPOTENCY_KEY_CHARACTERS_MAX, VERSION
from kith.engine.accept.operations import POSITION
from kith.engine.read.records import NOUNS
from kith.model.forms import LARGEST, TEXT_PATTERN, make_external_id_pattern, make_id_pattern

Json = dict[str, Any]

REF = "#/components/schemas/{name}"
# A JSON value of any type. Its keywords say something of texts, numbers, lists and objects, each of its own.
ANYTHING = "Anything"
ANYTHING_SCHEMA: Json = {
    "description": "Any JSON value: texts have no NUL character, numbers at most 100 digits.",
    "pattern": TEXT_PATTERN,
    "minimum": -LARGEST,
    "maximum": LARGEST,
    "items": {"$ref": REF.format(name=ANYTHING)},
    "propertyNames": {"pattern": TEXT_PATTERN},
    "additionalProperties": {"$ref": REF.format(name=ANYTHING)},
}
DECIMAL = {"type": "string", "format": "decimal"}
DECIMAL_TEXT = r"^(-?[0-9]{1,50}(\.[0-9]{1,50})?)?$"
NUMBER_OR_TEXT: Json = {
    "anyOf": [
        {"type": "number", "minimum": -LARGEST, "maximum": LARGEST},
        {"type": "string", "pattern": DECIMAL_TEXT},
    ]
}
OPERATION_ID: Json = {"type": "string", "pattern": f"^{make_external_id_pattern('op')}$"}
SAYING = frozenset(("anyOf", "enum", "const", "pattern", "format"))

REQUEST_HEADERS: Mapping[str, tuple[str, Json]] = {
    "Prefer": ("`wait=N`: wait up to N seconds (at most 30; RFC 7240).", {"type": "string", "examples": ["wait=5"]}),
    "Idempotency-Key": (
        "Makes a retry safe: within 24 hours the same key, path and body is the same write.",
        {
            "type": "string",
            "pattern": "^[!-~]([ -~]*[!-~])?$",
            "minLength": 1,
            "maxLength": IDEMPOTENCY_KEY_CHARACTERS_MAX,
        },
    ),
    "If-Match": (
        "The version that the record must still have.",
        {"type": "string", "pattern": rf"^({VERSION.pattern}|\*)$", "examples": ['"1"']},
    ),
    "X-Read-After": (
        "A position or an operation's id: answer once that write is applied (within 5 s, or Prefer: wait=N).",
        {"anyOf": [OPERATION_ID, {"type": "string", "pattern": f"^{POSITION.pattern}$"}]},
    ),
}


def make_path_schema(name: str) -> Json:
    """Of a parameter that names a record, by what it is called: ``contact_id`` takes what names a contact."""
    kind = name.removesuffix("_id")
    if kind == "operation":
        return OPERATION_ID
    if kind == "integration":
        return {"type": "string", "pattern": make_id_pattern("int")}
    noun = NOUNS[kind]
    ids = {"type": "string", "pattern": make_id_pattern(noun.prefix)}
    return {"anyOf": [ids, noun.claim_form]} if noun.claim_form else ids


def describe_inputs(schemas: Mapping[str, Json], bodies: list[type[msgspec.Struct]]) -> dict[str, Json]:
    """The schemas, those of bodies with what holds for all that is sent; ``bodies`` and what they refer to."""
    described = {**schemas, ANYTHING: ANYTHING_SCHEMA}
    waiting = [body.__name__ for body in bodies]
    while waiting:
        name = waiting.pop()
        if described[name] is schemas[name]:
            described[name] = refine(schemas[name], waiting)
    return described


def refine(schema: Json, seen: list[str]) -> Json:
    """A schema of something that is sent. ``seen`` is given the names that it refers to."""
    if "$ref" in schema:
        seen.append(schema["$ref"].rpartition("/")[2])
        return schema
    if schema.items() >= DECIMAL.items():
        return {key: value for key, value in schema.items() if key not in DECIMAL} | NUMBER_OR_TEXT
    refined = dict(schema)
    if "anyOf" in schema:
        refined.pop("type", None)  # its options tell it
        options = [refine(option, seen) for option in schema["anyOf"]]
        refined["anyOf"] = [one for option in options for one in unfold(option)]
    if "items" in schema:
        refined["items"] = refine(schema["items"], seen)
    if "properties" in schema:
        refined["properties"] = {name: refine(member, seen) for name, member in schema["properties"].items()}
    match refined.get("type"):
        case "string" if not SAYING & schema.keys():
            refined["pattern"] = TEXT_PATTERN
        case "array" if "items" not in schema:
            refined["items"] = {"$ref": REF.format(name=ANYTHING)}
        case "object" if "properties" not in schema:
            refined = {"propertyNames": {"pattern": TEXT_PATTERN}} | refined
            refined["additionalProperties"] = {"$ref": REF.format(name=ANYTHING)}
    return refined


def unfold(option: Json) -> list[Json]:
    """The options of an option that has nothing else to say."""
    folded: list[Json] = option["anyOf"] if option.keys() == {"anyOf"} else [option]
    return folded
