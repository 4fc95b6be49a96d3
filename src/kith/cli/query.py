"""``kith query`` runs a query on a server; ``kith parse`` says how one is understood."""

from datetime import UTC, datetime
from typing import Annotated, Any, cast, get_args

import typer

from kith.cli.connect import Data
from kith.cli.output import AsJson, print_json, print_table
from kith.cli.server import ask, find_key, find_server
from kith.cql.ast import Query, Sort
from kith.cql.compile import compile_page, make_source
from kith.cql.conditions import Context
from kith.cql.dependencies import add_default_status
from kith.cql.entity_schema import ENTITIES
from kith.cql.parser import parse
from kith.cql.printer import to_json, to_text
from kith.cql.resolve import resolve
from kith.cql.vocabulary import CustomField, CustomFields, EntityName, Vocabulary, make_vocabulary
from kith.errors import Exposed, InvalidRequest, StartError

EntityOption = Annotated[str, typer.Option("--entity", "-e", help="contact or company.")]
COLUMNS = {
    "contact": ("id", "externalId", "email", "name", "status", "lifecycleStage"),
    "company": ("id", "externalId", "domain", "name", "status", "industry"),
}
CELL_CHARACTERS_MAX = 60
SHOWN_LIMIT = 20


def add_commands(app: typer.Typer) -> None:
    app.command("query")(query)
    app.command("parse")(parse_query)


def query(
    where: Annotated[str, typer.Option("--where", help="A filter, such as `status = ACTIVE`.")] = "",
    entity: EntityOption = "contact",
    search: Annotated[str | None, typer.Option(help="Words to search for.")] = None,
    sort: Annotated[str | None, typer.Option(help="Such as createdAt:desc; three fields at most.")] = None,
    select: Annotated[str | None, typer.Option(help="Names of the fields to show, with commas between.")] = None,
    limit: Annotated[int, typer.Option(help="Rows of a page, 100 at most.", min=1, max=100)] = SHOWN_LIMIT,
    cursor: Annotated[str | None, typer.Option(help="Go on behind a page: its nextCursor.")] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Run a query on the server of the data folder, or at KITH_URL, with KITH_KEY or the folder's admin key."""
    settings = find_server(data)
    fields = [name.strip() for name in select.split(",")] if select else None
    asked = {"search": search, "sort": sort, "select": fields, "cursor": cursor}
    body = {"entity": check_entity(entity), "where": where, "limit": limit}
    answer = ask(settings, "POST", "/crm/query", body | {k: v for k, v in asked.items() if v is not None})
    if as_json:
        print_json(answer)
        return
    columns = fields or COLUMNS[entity]
    print_table([{name: shorten(find_value(row, name)) for name in columns} for row in answer["data"]], "Nothing fits.")
    typer.echo(write_meta(len(answer["data"]), answer["meta"]))


def parse_query(
    where: Annotated[str, typer.Argument(help="A filter, such as `status = ACTIVE`.")],
    entity: EntityOption = "contact",
    with_sql: Annotated[bool, typer.Option("--sql", help="Print the SQL too.")] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Print the canonical form of a filter and its tree. Properties are those of the server, where one answers."""
    name = check_entity(entity)
    vocabulary = find_vocabulary(data, name)
    tree = resolve(parse(where), vocabulary)
    told: dict[str, Any] = {"canonical": to_text(tree), "ast": to_json(tree)}
    if with_sql:
        statement = compile_page(
            [make_source(ENTITIES[name], vocabulary)],
            Query((name,), add_default_status(tree), (Sort("createdAt", True),), SHOWN_LIMIT),
            0,
            0,
            Context(now=datetime.now(UTC), zone=vocabulary.zone),
        )
        told |= {"sql": statement.sql, "values": list(statement.values)}
    if as_json:
        print_json(told)
        return
    typer.echo(told["canonical"])
    print_json(told["ast"])
    if with_sql:
        typer.echo(told["sql"])
        print_json(told["values"])


def check_entity(entity: str) -> EntityName:
    for name in get_args(EntityName):
        if name == entity:
            return cast(EntityName, name)
    raise InvalidRequest(f"entity is {entity!r}; it must be contact or company.")


def find_vocabulary(data: str | None, entity: EntityName) -> Vocabulary:
    """With the properties of the server's workspace; without any where there is no key, or nobody answers."""
    custom: list[CustomField] = []
    try:
        settings = find_server(data)
        find_key(settings)
        rows = ask(settings, "GET", f"/crm/fields?entity={entity}")["data"]
        custom = [to_custom(row) for row in rows if row["isCustom"]]
    except (StartError, Exposed):
        pass
    fields = tuple(custom)
    return make_vocabulary(
        [entity], CustomFields(contact=fields) if entity == "contact" else CustomFields(company=fields)
    )


def to_custom(row: dict[str, Any]) -> CustomField:
    return CustomField(key=row["key"], type=row["type"], label=row["label"], options=tuple(row["options"]))


def find_value(row: dict[str, Any], name: str) -> Any:
    """A field of a row; of a property, by its key too."""
    if name in row:
        return row[name]
    return row.get("properties", {}).get(name.removeprefix("properties."))


def shorten(value: Any) -> Any:
    text = str(value)
    return value if value is None or len(text) <= CELL_CHARACTERS_MAX else text[: CELL_CHARACTERS_MAX - 1] + "…"


def write_meta(rows: int, meta: dict[str, Any]) -> str:
    about = "about " if meta.get("totalIsEstimate") else ""
    line = f"{rows} of {about}{meta['total']:,}; {meta['queryTimeMs']} ms, cost {meta['estimatedCost']}."
    return line + (f"\nGo on with --cursor {meta['nextCursor']}" if meta["nextCursor"] else "")
