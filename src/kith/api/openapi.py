"""The OpenAPI 3.1 document, generated from the route table, the structs and the table of error codes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from kith import __version__
from kith.api import response_schemas as shapes
from kith.api.calls import OpenCall, WriteCall
from kith.api.inputs import REF, REQUEST_HEADERS, describe_inputs, make_path_schema, refine
from kith.api.routing import Route
from kith.engine.read.cql import Explanation
from kith.errors import CODES
from kith.integrations.accounts import IntegrationView

Json = dict[str, Any]

TAGS = {
    "Contacts": "People, known or not.",
    "Companies": "Where people belong.",
    "Tags": "What contacts and companies are marked with.",
    "Activities": "What happened with a contact.",
    "Lists": "Contacts or companies, put together by hand or by a filter.",
    "Properties": "What records carry beside their own fields, by type.",
    "Integrations": "Accounts at HubSpot and Mailchimp, which records are brought to.",
    "Queries": "CQL, the query language.",
    "Legacy": "Superseded paths that still work.",
    "Operations": "What became of a write.",
    "System": "What the server says of itself. No key is needed.",
}
META = (shapes.PageMeta, shapes.SearchMeta, shapes.QueryMeta, shapes.GroupsMeta, Explanation)
KEY_ERRORS = ("UNAUTHORIZED", "INVALID_API_KEY", "EXPIRED_API_KEY", "REVOKED_API_KEY", "FORBIDDEN", "RATE_LIMITED")
GUARDED_ERRORS = ("INVALID_REQUEST", *KEY_ERRORS, "SERVICE_UNAVAILABLE", "QUERY_TIMEOUT")
BODY_ERRORS = ("REQUEST_TIMEOUT", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", "INVALID_FIELD")
QUERY_ERRORS = (
    "UNKNOWN_FIELD",
    "OPERATOR_NOT_ALLOWED",
    "INVALID_VALUE",
    "QUERY_TOO_COMPLEX",
    "QUERY_TOO_EXPENSIVE",
)
WRITE_ERRORS = ("IDEMPOTENCY_KEY_REUSED", "LOG_BEHIND")

DESCRIPTION = """\
Every write is a command on a log. It answers **202** with a provisional record as soon as the command is durable, \
and is applied a moment later. `Prefer: wait=5` waits for that and answers 201 or 200 with the committed record.

An id in a path is a number, an external id (`ctc_…`), or for contacts an email address.
"""

HEADERS: Mapping[str, tuple[str, Json]] = {
    "X-Correlation-Id": ("Of this request, for the log; of a write, its operation's id.", {"type": "string"}),
    "X-RateLimit-Limit": ("Requests that the key may make in each second.", {"type": "integer"}),
    "X-RateLimit-Remaining": ("Requests left in this second.", {"type": "integer"}),
    "X-RateLimit-Reset": ("When the next second begins, in unix seconds.", {"type": "integer"}),
    "RateLimit": ("What is left, as draft-ietf-httpapi-ratelimit-headers has it.", {"type": "string"}),
    "RateLimit-Policy": ("The limit, likewise.", {"type": "string"}),
    "Location": ("The resource.", {"type": "string"}),
    "Operation-Location": ("The operation.", {"type": "string"}),
    "Preference-Applied": ("`wait=N`, where the wait was honoured.", {"type": "string"}),
    "Idempotent-Replayed": (
        "`true`, where this Idempotency-Key was seen before.",
        {"type": "string", "enum": ["true"]},
    ),
    "X-Kith-Checks": ("`deferred`, where only the writer can tell whether the write is refused.", {"type": "string"}),
    "ETag": ("The record's version in quotes, for If-Match.", {"type": "string", "examples": ['"1"']}),
    "Content-Location": ("The record's own path; of a write, where it landed on another contact.", {"type": "string"}),
    "Deprecation": ("Since when there is a better endpoint (RFC 9745).", {"type": "string"}),
    "Link": ("The better endpoint.", {"type": "string"}),
    "WWW-Authenticate": ("How to send a key, and what is wrong with this one.", {"type": "string"}),
    "Retry-After": ("Seconds to wait.", {"type": "integer"}),
    "Allow": ("The methods that the path takes.", {"type": "string"}),
}
LIMIT_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit", "RateLimit-Policy")
RECORD_HEADERS = ("ETag", "Content-Location", "Preference-Applied")
WRITE_HEADERS = ("Location", "Operation-Location", "Content-Location", "Idempotent-Replayed", "X-Kith-Checks")


def make_document(table: Sequence[Route]) -> Json:
    """The whole document as JSON values."""
    structs = [*list_structs(table), shapes.OperationMark, *META, shapes.ErrorAnswer]
    _, schemas = msgspec.json.schema_components(dict.fromkeys(structs), ref_template=REF)
    schemas = describe_inputs(schemas, [entry.body for entry in table if entry.body is not None])
    # The same in a word that makers of clients know for booleans too.
    schemas["ErrorAnswer"]["properties"]["success"] = {"const": False}
    paths: dict[str, Json] = {}
    for entry in table:
        paths.setdefault(entry.path, {})[entry.method.lower()] = make_operation(entry, make_links(entry, table))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Kith",
            "version": __version__,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "security": [{"bearer": []}, {"header": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "headers": {name: {"description": text, "schema": schema} for name, (text, schema) in HEADERS.items()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A server key: kith_srv_…"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def list_structs(table: Sequence[Route]) -> list[type[msgspec.Struct]]:
    return [shape for entry in table for shape in (entry.body, entry.data) if shape is not None]


def make_links(entry: Route, table: Sequence[Route]) -> Json:
    """From what is made to where it is, and from a write to what becomes of it."""
    links = {}
    made = next((one for one in table if one.kind in ("record", "account") and is_of(one, entry)), None)
    if made is not None:
        (name,) = made.parameters
        links[made.handler.__name__] = make_link(made.handler.__name__, name, "/data/externalId")
    if entry.kind == "write":
        links["get_operation"] = make_link("get_operation", "operation_id", "/operation/id")
    return {"links": links} if links else {}


def is_of(one: Route, made_by: Route) -> bool:
    """Whether it gets what the other makes."""
    return (
        made_by.creates and one.method == "GET" and one.path.startswith(f"{made_by.path}/{{") and one.path.endswith("}")
    )


def make_link(operation: str, parameter: str, pointer: str) -> Json:
    return {"operationId": operation, "parameters": {parameter: f"$response.body#{pointer}"}}


def make_operation(entry: Route, links: Json) -> Json:
    operation: Json = {
        "operationId": entry.handler.__name__,
        "tags": [entry.tag],
        "summary": entry.summary,
        "parameters": make_parameters(entry),
        "responses": make_responses(entry, links),
    }
    if issubclass(entry.call, OpenCall):
        operation["security"] = []
    else:
        entry_scope = f"Needs a key with `{entry.call.scope}`."
        operation["description"] = f"{entry.description}\n\n{entry_scope}".strip()
    if entry.body is not None:
        media: Json = {"schema": {"$ref": REF.format(name=entry.body.__name__)}}
        if entry.example is not None:
            media["example"] = dict(entry.example)
        operation["requestBody"] = {"required": True, "content": {"application/json": media}}
    return operation


def make_parameters(entry: Route) -> list[Json]:
    is_open = issubclass(entry.call, OpenCall)  # and says nothing of what it is asked for
    found = [
        make_parameter(name, "path", {"type": "string"} if is_open else make_path_schema(name), required=True)
        for name in entry.parameters
    ]
    if entry.query is not None:
        found += make_query_parameters(entry.query, entry.example or {})
    if issubclass(entry.call, WriteCall):
        names = ["Prefer", "Idempotency-Key", *([] if entry.creates else ["If-Match"])]
        if entry.kind == "account":
            names = ["Idempotency-Key"] if entry.creates else ["If-Match"] if entry.data is IntegrationView else []
    elif issubclass(entry.call, OpenCall):
        names = []
    else:
        names = ["X-Read-After", "Prefer"]
    for name in names:
        text, schema = REQUEST_HEADERS[name]
        found.append(make_parameter(name, "header", schema, description=text))
    return found


def make_query_parameters(query: type[msgspec.Struct], example: Mapping[str, Any]) -> list[Json]:
    """A parameter for each field. A parameter is left out, never null, so null goes from its schema."""
    _, schemas = msgspec.json.schema_components([query], ref_template=REF)
    described = schemas[query.__name__]
    found = []
    for name, nullable in described["properties"].items():
        options = [option for option in nullable.get("anyOf", []) if option != {"type": "null"}]
        schema = {key: value for key, value in nullable.items() if key != "anyOf"} | (options[0] if options else {})
        if "enum" in schema:
            schema["enum"] = [value for value in schema["enum"] if value is not None]
        if schema.get("default") is None:
            schema.pop("default", None)
        text = schema.pop("description", None)
        parameter = make_parameter(
            name, "query", refine(schema, []), required=name in described["required"], description=text
        )
        if name in example:
            parameter["example"] = example[name]
        found.append(parameter)
    return found


def make_parameter(
    name: str, place: str, schema: Json, *, required: bool = False, description: str | None = None
) -> Json:
    parameter: Json = {"name": name, "in": place, "required": required, "schema": schema}
    if description:
        parameter["description"] = description
    return parameter


def make_responses(entry: Route, links: Json) -> Json:
    responses = {str(status): answer | links for status, answer in list_answers(entry)}
    by_status: dict[int, list[str]] = {}
    for code in list_codes(entry):
        by_status.setdefault(CODES[code][0], []).append(code)
    for status, codes in sorted(by_status.items()):
        responses[str(status)] = make_error_response(entry, status, codes)
    return responses


def list_answers(entry: Route) -> Iterable[tuple[int, Json]]:
    """(status, response) of everything that is no error."""
    data = make_data(entry)
    match entry.kind:
        case "write":
            body = make_envelope(data=data, operation={"$ref": REF.format(name="OperationMark")})
            done = "Applied: the client waited for it."
            yield 202, make_response(entry, "Accepted: on the log, not applied yet.", body, WRITE_HEADERS)
            yield (
                201 if entry.creates else 200,
                make_response(entry, done, body, (*WRITE_HEADERS, "Preference-Applied")),
            )
        case "record":
            pending = make_envelope(data=data, code={"const": "PENDING"})
            yield 200, make_response(entry, "The record.", make_envelope(data=data), RECORD_HEADERS)
            yield 202, make_response(entry, "The record, whose create is not applied yet.", pending, RECORD_HEADERS)
        case "query" if entry.path == "/crm/query":
            yield 200, make_response(entry, "Rows, groups, or how it is understood.", make_query_answer())
        case "page" | "search" | "query":
            meta = {"$ref": REF.format(name=f"{entry.kind.capitalize()}Meta")}
            page = make_envelope(data={"type": "array", "items": data}, meta=meta)
            yield 200, make_response(entry, "A page of records.", page, ("Preference-Applied",))
        case "evaluation":
            body = make_envelope(data=data)
            pending = make_envelope(
                data={"$ref": REF.format(name="List")}, operation={"$ref": REF.format(name="OperationMark")}
            )
            yield 200, make_response(entry, "Evaluated.", body)
            yield 202, make_response(entry, "It takes longer: the operation tells.", pending, WRITE_HEADERS)
        case "rows":
            rows = make_envelope(data={"type": "array", "items": data})
            yield 200, make_response(entry, entry.summary, rows, ("Preference-Applied",))
        case "account":
            headers = ("ETag", "Content-Location") if entry.data is IntegrationView else ()
            more: tuple[str, ...] = ("Location", "Idempotent-Replayed") if entry.creates else ()
            if not issubclass(entry.call, WriteCall):
                more = ("Preference-Applied",)
            status = 201 if entry.creates else 200
            yield status, make_response(entry, entry.summary, make_envelope(data=data), (*headers, *more))
        case "operation":
            yield 200, make_response(entry, "The operation.", make_envelope(data=data), ("Preference-Applied",))
        case "system":
            yield 200, make_response(entry, entry.summary, {})


def make_data(entry: Route) -> Json:
    """Of a record in the answer. Members of a list are rows of either entity."""
    if entry.data is not None:
        return {"$ref": REF.format(name=entry.data.__name__)}
    return {"anyOf": [{"$ref": REF.format(name=name)} for name in ("ContactRow", "CompanyRow")]}


def make_query_answer() -> Json:
    """Of a query: rows as selected, figures of groups, or an explanation."""
    refs = {name: {"$ref": REF.format(name=name)} for name in ("ContactRow", "CompanyRow", "QueryMeta", "GroupsMeta")}
    rows = {"type": "array", "items": {"anyOf": [refs["ContactRow"], refs["CompanyRow"], {"type": "object"}]}}
    groups = {"type": "array", "items": {"type": "object"}}
    return {
        "anyOf": [
            make_envelope(data=rows, meta=refs["QueryMeta"]),
            make_envelope(data=groups, meta=refs["GroupsMeta"]),
            make_envelope(data={"$ref": REF.format(name="Explanation")}),
        ]
    }


def make_envelope(**members: Json) -> Json:
    return {"type": "object", "properties": members, "required": list(members)}


def list_codes(entry: Route) -> list[str]:
    """The codes of the errors that the endpoint answers, without repeats: the common ones follow from its signature."""
    codes = list(entry.errors)
    if issubclass(entry.call, OpenCall):
        codes += ["NOT_FOUND"] if entry.parameters else []
    else:
        codes += GUARDED_ERRORS
        codes += ["INVALID_ID", "NOT_FOUND"] if entry.parameters else []
        codes += [] if issubclass(entry.call, WriteCall) else ["READ_AFTER_TIMEOUT"]
    if entry.kind == "page" and entry.query is not None and "cursor" in entry.query.__struct_fields__:
        codes.append("INVALID_CURSOR")
    if entry.kind == "query":
        codes += ["QUERY_SYNTAX", *QUERY_ERRORS, "INVALID_CURSOR", *BODY_ERRORS]
    if issubclass(entry.call, WriteCall):
        codes += [*BODY_ERRORS, *WRITE_ERRORS]
        codes += ["MISSING_FIELD", "VALIDATION_ERROR"] if entry.body is not None else []
        codes += [] if entry.creates else ["VERSION_MISMATCH"]
    return list(dict.fromkeys([*codes, "HEADERS_TOO_LARGE", "INTERNAL"]))


def make_error_response(entry: Route, status: int, codes: Sequence[str]) -> Json:
    extra = {401: ("WWW-Authenticate",), 403: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}
    text = "\n".join(f"- `{code}`: {CODES[code][1]}" for code in codes)
    schema = {"$ref": REF.format(name="ErrorAnswer")}
    limited = status not in (401, 431)
    response = make_response(
        entry, text, schema, extra.get(status, ()), limited=limited, content_type="application/json"
    )
    response["content"]["application/json"]["examples"] = {
        code: {"value": {"success": False, "error": {"code": code, "message": CODES[code][1], "details": None}}}
        for code in codes
    }
    return response


def make_response(
    entry: Route,
    description: str,
    schema: Json,
    headers: Sequence[str] = (),
    *,
    limited: bool = True,
    content_type: str | None = None,
) -> Json:
    superseded = ("Deprecation", "Link") if entry.tag == "Legacy" and limited else ()
    names = [
        "X-Correlation-Id",
        *headers,
        *superseded,
        *(LIMIT_HEADERS if limited and not issubclass(entry.call, OpenCall) else ()),
    ]
    return {
        "description": description,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
        "content": {content_type or entry.content_type: {"schema": schema}},
    }
