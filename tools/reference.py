"""Writes the reference pages whose source is the program itself: settings, errors, command line, HTTP interface.

``make docs`` runs it; ``tests/test_docs.py`` fails while a page is not what it would write.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer

from kith.api.openapi import TAGS, make_document
from kith.api.routes import TABLE
from kith.api.routing import Route
from kith.cli.app import app
from kith.cql.entity_schema import COMPANY, CONTACT
from kith.cql.syntax import NAMES_OF_OPERATORS, SPELLINGS, list_spellings
from kith.cql.vocabulary import OPERATORS
from kith.engine.context.key_cache import TIER_RATES
from kith.engine.context.query_costs import TIER_COSTS_MAX
from kith.errors import CODES
from kith.settings import SETTINGS

DOCS = Path(__file__).parent.parent / "docs"
# The pages that say more of a noun.
GUIDES = {"Lists": "lists.md", "Properties": "properties.md", "Queries": "cql.md", "Integrations": "integrations.md"}
NAMES_OF_TYPES = {"string": "text", "boolean": "`true` or `false`", "integer": "number"}
NOTICE = "<!-- Written by `make docs` from the program itself. -->"


SETTINGS_PAGE = """
Each is an environment variable, read once when a process starts; `kith settings` lists them with the values in
force. A value that cannot be used ends the start with one line that names the variable; so does a variable that
begins with `KITH_` and is no setting. Kith passes over `KITH_SERVICE_…` and `KITH_PORT_…`, which Kubernetes sets.
"""

ERRORS_PAGE = """
Every error answers with the same shape. `code` is stable and made for programs, `message` is for people: it names
the thing, the value and the way out. `details` is null or an object; where fields are wrong, `details.fields` lists
them all as `{field, message}`.

```json
{"success": false, "error": {"code": "NOT_FOUND", "message": "…", "details": null}}
```

%s

A 500 says nothing but the correlation id (`X-Correlation-Id`), which the structured log has too. An operation that
ends REJECTED carries the `{code, message, details}` that the write would have been refused with. `PENDING` is no
error: it stands beside the `data` of a record whose create is accepted and not yet applied, with status 202.
"""


CLI_PAGE = """
In a checkout the command is `.venv/bin/kith`. Every command takes `--help`; those that answer something take
`--json`. They work beside a running server: they
find its database through `KITH_DATABASE_URL`, else through the data folder (`--data`, or `KITH_DATA`). Exit status:
0 done, 1 refused or failed (one line on standard error says why), 2 used wrongly. `kith --install-completion` sets
up completion by tab.
"""

OPERATORS_PAGE = """
What each kind of field takes in [CQL](cql.md): as written in a text, and by its name in the JSON form. `GET
/crm/fields` lists the fields of a workspace with their kinds. TEXTAREA, PHONE and URL are TEXT, SELECT is ENUM,
CURRENCY is NUMBER, MULTI_SELECT is SET.
"""

API_PAGE = """
The same as `/openapi.json` (OpenAPI 3.1, with every schema, status and header) and `/docs` of a running server, in
short. The bodies that the pages of the nouns show are its examples; each is sent as it stands by a test.

**Key.** Under `/crm`: `Authorization: Bearer <key>` or `X-API-Key: <key>`, a server key with the scope that the
endpoint names.

**Answers.** `{"data": …}`; lists add `meta`, writes add `operation`. Errors have [one shape](errors.md). Every
answer has `X-Correlation-Id`, and under `/crm` the state of the key's rate limit (`X-RateLimit-Limit`,
`-Remaining`, `-Reset`, and the fields `RateLimit` and `RateLimit-Policy`).

**Ids.** A path takes a record's number (`id`) or its external id (`ctc_…`, `cmp_…`, `tag_…`, `act_…`, `lst_…`, `prp_…`,
`int_…`); a contact's also its email address, a company's also its domain. A body takes numbers and external ids.

**Writes** answer 202 with a provisional record as soon as the command is on disk. `Prefer: wait=N` (at most 30 s)
waits until it is applied: 201 for what was made, 200 for the rest. `Idempotency-Key` makes a retry safe for 24
hours. `If-Match: "<version>"` on PATCH and DELETE refuses with 412 when the record has moved on.

**Reads** of one record fold in what is accepted and not yet applied. Lists and searches show what is applied;
`X-Read-After: <position or operation id>` makes any read wait for a write: 5 s, or what `Prefer: wait=N` says, and
then 504 `READ_AFTER_TIMEOUT`.

**Limits** are those of the key's tier, by second, unless the key has figures of its own: requests, batch calls
(members of lists), and how much a query may [cost](cql.md#limits-and-cost). Beyond, 429 with `Retry-After`, or 422
`QUERY_TOO_EXPENSIVE`. Where there is no limit the headers say 1000000.

%s
"""


def make_settings_page() -> str:
    rows = [
        (f"`{setting.variable}`", f"`{setting.default}`" if setting.default != "" else "(empty)", setting.help)
        for setting in SETTINGS
    ]
    return make_page("Settings", SETTINGS_PAGE, make_table(("Variable", "Default", "Meaning"), rows))


def make_errors_page() -> str:
    rows = [(f"`{code}`", str(status), meaning) for code, (status, meaning) in CODES.items()]
    return make_page("Errors", ERRORS_PAGE % make_table(("Code", "Status", "Meaning"), rows))


def make_operators_page() -> str:
    """Each operator with its negated form, by kind."""
    kinds = [kind for kind in OPERATORS if OPERATORS[kind]]
    rows = []
    for operator in dict.fromkeys(one for kind in kinds for one in OPERATORS[kind]):
        written = [SPELLINGS[operator, negated] for negated in (False, True) if (operator, negated) in SPELLINGS]
        named = list_spellings((operator,), NAMES_OF_OPERATORS)
        takes = ["yes" if operator in OPERATORS[kind] else "" for kind in kinds]
        rows.append((", ".join(f"`{one}`" for one in written), ", ".join(f"`{one}`" for one in named), *takes))
    table = make_table(("Text", "JSON", *kinds), rows)
    fields = []
    for entity in (CONTACT, COMPANY):
        shown = [(f"`{field.name}`", field.kind, field.label) for field in entity.fields if field.filterable]
        fields.append(f"## Fields of a {entity.name}\n\n" + make_table(("Field", "Kind", "Label"), shown))
    return make_page("Operators", OPERATORS_PAGE, table, *fields)


def make_cli_page() -> str:
    sections = [make_command_section(words, command) for words, command in walk_commands("kith", get_tree())]
    return make_page("Command line", CLI_PAGE, *sections)


def get_tree() -> Any:
    return typer.main.get_command(app)


def walk_commands(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by the words that it is called with, in alphabetical order."""
    if not hasattr(command, "commands"):
        yield words, command
        return
    for name, below in sorted(command.commands.items()):
        yield from walk_commands(f"{words} {name}", below)


def make_command_section(words: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    rows = [make_option_row(p) for p in command.params if p.param_type_name == "option" and "--json" not in p.opts]
    title = " ".join([words, *(f"<{argument.name}>" for argument in arguments)])
    table = [make_table(("Option", "Default", "Meaning"), rows)] if rows else []
    return "\n\n".join([f"## `{title}`", command.help, *table])


def make_option_row(option: Any) -> tuple[str, ...]:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    if option.required:
        default = "(needed)"
    elif isinstance(option.show_default, str):
        default = option.show_default
    else:
        value = getattr(option.default, "value", option.default)
        default = "" if value is None or value is False or value == "" else f"`{value}`"
    choices = find_choices(option)
    return names, default, (option.help or "") + (f" One of {', '.join(choices)}." if choices else "")


def find_choices(option: Any) -> tuple[str, ...]:
    """The values of a ``Literal`` type, also of an optional one."""
    annotation = option.type_descriptor.annotation
    kinds = [annotation, *get_args(annotation)]
    return next((get_args(kind) for kind in kinds if get_origin(kind) is Literal), ())


def make_api_page() -> str:
    """What all endpoints share, and the list of them."""
    document = make_document(TABLE)
    sections = []
    for tag in document["tags"]:
        page = f"api/{tag['name'].lower()}.md"
        rows = [
            (f"`{entry.method} {entry.path}`", document["paths"][entry.path][entry.method.lower()]["summary"])
            for entry in list_entries(tag["name"])
        ]
        sections.append(f"## [{tag['name']}]({page})\n\n{tag['description']}")
        sections.append(make_table(("Endpoint", ""), rows))
    return make_page("HTTP interface", API_PAGE % make_tier_table(), *sections)


def make_tier_table() -> str:
    def show(limit: int | None) -> str:
        return f"{limit:,}" if limit else "no limit"

    rows = [
        (f"`{tier}`", *map(show, (requests, batches, TIER_COSTS_MAX.get(tier))))
        for tier, (requests, batches) in TIER_RATES.items()
    ]
    return make_table(("Tier", "Requests each second", "Batch calls", "`estimatedCost`"), rows)


def make_tag_page(name: str) -> str:
    """The endpoints of a noun."""
    document = make_document(TABLE)
    sections = [make_endpoint_section(entry.method, entry.path, document) for entry in list_entries(name)]
    shared = "What all endpoints share is in [HTTP interface](../api.md)."
    guide = f" [Here](../{GUIDES[name]}) they are explained by example." if name in GUIDES else ""
    return make_page(name, f"{TAGS[name]} {shared}{guide}", *sections)


def list_entries(tag: str) -> list[Route]:
    """The endpoints of a noun by path, reading before writing."""
    methods = ("GET", "POST", "PATCH", "DELETE")
    entries = [entry for entry in TABLE if entry.tag == tag]
    return sorted(entries, key=lambda entry: (entry.path, methods.index(entry.method)))


def make_endpoint_section(method: str, path: str, document: Mapping[str, Any]) -> str:
    operation = document["paths"][path][method.lower()]
    parts = [f"## {method} {path}", "\n\n".join(filter(None, (operation["summary"], operation.get("description"))))]
    queries = [p for p in operation.get("parameters", []) if p["in"] == "query"]
    if queries:
        parts.append(make_table(("Query", "Default", "Meaning"), [make_query_row(query) for query in queries]))
    headers = [f"`{p['name']}`" for p in operation.get("parameters", []) if p["in"] == "header"]
    if headers:
        parts.append(f"Request headers: {', '.join(headers)}.")
    if "requestBody" in operation:
        [(_, body)] = operation["requestBody"]["content"].items()
        parts.append(make_table(("Body", "Default", "Takes"), list_body_rows(body["schema"], document)))
        parts.append(f"```json\n{json.dumps(body['example'], ensure_ascii=False)}\n```")
    parts.append(f"Answers {', '.join(sorted(operation['responses']))}.")
    return "\n\n".join(parts)


def make_query_row(query: Mapping[str, Any]) -> tuple[str, ...]:
    schema = query["schema"]
    meaning = query.get("description", "")
    if "enum" in schema:
        meaning = f"{meaning} One of {', '.join(f'`{value}`' for value in schema['enum'])}.".strip()
    elif "maximum" in schema:
        meaning = f"{meaning} {schema['minimum']} to {schema['maximum']}.".strip()
    elif schema.get("type") == "boolean":
        meaning = f"{meaning} `true` or `false`.".strip()
    default = "(needed)" if query.get("required") else f"`{schema['default']}`" if "default" in schema else ""
    return f"`{query['name']}`", default, meaning


def list_body_rows(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Sequence[tuple[str, ...]]:
    fields = resolve(schema, document)
    rows = []
    for name, field in fields["properties"].items():
        default = "(needed)" if name in fields["required"] else ""
        if field.get("default") is not None:
            default = f"`{field['default']}`".replace("False", "false")
        told = find_description(field)
        rows.append((f"`{name}`", default, describe(field, document) + (f". {told}" if told else "")))
    return rows


def find_description(field: Mapping[str, Any]) -> str | None:
    """Its own, or that of what it may be beside null."""
    kinds = [field, *field.get("anyOf", ())]
    return next((kind["description"] for kind in kinds if "description" in kind), None)


def describe(schema: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """What fits a schema, as a few words."""
    match resolve(schema, document):
        case {"anyOf": kinds}:
            return " or ".join(dict.fromkeys(describe(kind, document) for kind in kinds))
        case {"enum": values}:
            return ", ".join(f"`{value}`" for value in values)
        case {"type": "object", "properties": fields}:
            return "{" + ", ".join(f"`{name}`" for name in fields) + "}"
        case {"type": "array", "items": items} as found:
            most = f" of at most {found['maxItems']:,}" if "maxItems" in found else ""
            return f"list{most}: {describe(items, document)}" if "type" in items or "anyOf" in items else f"list{most}"
        case {"type": "integer" | "number", "maximum": most, "minimum": least} if most <= 1000:
            return f"{least} to {most}"
        case {"type": "string", "format": kind}:
            return {"email": "email address", "hostname": "domain", "date-time": "time in ISO 8601"}[kind]
        case {"type": "string", "maxLength": 0}:
            return '`""`'
        case {"type": "string", "pattern": pattern} if prefixes := re.findall(r"[a-z]{3}_", pattern):
            return "external id (" + ", ".join(f"`{one}…`" for one in prefixes) + ")"
        case {"type": "string", "maxLength": most}:
            return f"text of at most {most:,} characters"
        case {"type": "string", "pattern": pattern} if not pattern.startswith("^[^"):
            return f"text `{pattern}`"
        case {"type": kind}:
            return NAMES_OF_TYPES.get(kind, str(kind))
        case _:
            return "any value"


def resolve(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    return found


def make_page(title: str, *parts: str) -> str:
    return "\n\n".join((f"# {title}", NOTICE, *(part.strip() for part in parts))) + "\n"


def make_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


PAGES: Mapping[str, Callable[[], str]] = {
    "settings.md": make_settings_page,
    "errors.md": make_errors_page,
    "cql-operators.md": make_operators_page,
    "cli.md": make_cli_page,
    "api.md": make_api_page,
    **{f"api/{tag.lower()}.md": partial(make_tag_page, tag) for tag in TAGS},
}


def main() -> None:
    for name, make in PAGES.items():
        (DOCS / name).parent.mkdir(exist_ok=True)
        (DOCS / name).write_text(make())


if __name__ == "__main__":
    main()
