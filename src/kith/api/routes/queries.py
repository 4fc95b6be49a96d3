"""The query language over HTTP: queries, filters, and what they may name."""

from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from kith.api import response_schemas as shapes
from kith.api.body_faults import suggest
from kith.api.calls import ReadCall
from kith.api.queries import Count
from kith.api.responses import Answer, deprecate, make_data_answer, make_page_answer
from kith.api.routing import route
from kith.cql.vocabulary import EntityName
from kith.engine.read.cql import LIMIT_MAX, QueryRequest, explain_cql, run_cql, run_groups
from kith.engine.read.fields import list_fields
from kith.errors import InvalidRequest

ENTITIES: tuple[str, ...] = get_args(EntityName)
EXAMPLE = {
    "entity": "contact",
    "where": "status = ACTIVE AND email contains '@example.com'",
    "sort": "createdAt:desc",
    "page": 1,
    "limit": 20,
}
FILTER = {
    "logic": "AND",
    "conditions": [
        {"type": "field", "field": "status", "operator": "eq", "value": "ACTIVE"},
    ],
}
Named = Annotated[str, Meta(extra_json_schema={"enum": list(ENTITIES)})]
PageNumber = Annotated[int, Meta(extra_json_schema={"minimum": 1})]
Limit = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": LIMIT_MAX})]
Text = Annotated[str, Meta(description="A filter as a text.", examples=["lifecycleStage in (LEAD, CUSTOMER)"])]


# Why a query of groups does not take what goes with rows.
NOT_OF_GROUPS = {
    "sort": "groups come in the order of what they are grouped by",
    "select": "aggregate and groupBy say what is shown",
    "pagination": "all groups come in one answer",
    "page": "all groups come in one answer",
    "limit": "all groups come in one answer",
    "cursor": "all groups come in one answer",
    "count": "meta.total is the number of groups, and exact",
}


class OffsetInput(msgspec.Struct, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """Which page, by number or by cursor."""

    type: Literal["offset", "cursor"]
    page: PageNumber | None = None
    limit: Limit | None = None
    cursor: str | None = None


class QueryInput(msgspec.Struct, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """A query. Of where, filter and dsl one at most; paging either flat or in ``pagination``."""

    entity: Annotated[
        Named | list[Named] | UnsetType, Meta(description="contact, company, or a list of both.", examples=["contact"])
    ] = UNSET
    where: Text | None = None
    filter: Annotated[
        str | dict[str, Any] | None, Meta(description="A filter as a text or as JSON.", examples=[FILTER])
    ] = None
    dsl: Annotated[str | None, Meta(description="A filter in the deprecated form field:op:value.")] = None
    search: Annotated[
        str | dict[str, Any] | None, Meta(description="Words to search for, or {query, fields}.", examples=["alice"])
    ] = None
    sort: Annotated[
        str | list[Any] | None,
        Meta(description="At most three fields: a text, or a list of {field, direction}.", examples=["createdAt:desc"]),
    ] = None
    select: Annotated[list[Any] | None, Meta(description="Names of the fields to show.", examples=[["email"]])] = None
    pagination: OffsetInput | None = None
    page: PageNumber | None = None
    limit: Limit | None = None
    cursor: str | None = None
    count: Count = "default"
    aggregate: Annotated[
        list[Any] | None,
        Meta(description="Figures instead of rows: a list of {fn, field, as}; fn is count, sum, avg, min or max."),
    ] = None
    group_by: Annotated[
        list[Any] | None,
        Meta(description="At most three fields to group by: names, or {field, by} with by day, week or month."),
    ] = None
    explain: Annotated[bool, Meta(description="true: say how it is understood, and run nothing.")] = False


class FilterInput(msgspec.Struct, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """A filter of one entity, with an order and a page."""

    filter: Annotated[
        str | dict[str, Any] | None, Meta(description="A filter as JSON or as a text.", examples=[FILTER])
    ] = None
    where: Text | None = None
    dsl: Annotated[str | None, Meta(description="A filter in the deprecated form field:op:value.")] = None
    search: Annotated[str | dict[str, Any] | None, Meta(description="Words to search for.")] = None
    page: PageNumber | None = None
    limit: Limit | None = None
    cursor: str | None = None
    count: Count = "default"
    sort_by: str = "createdAt"
    sort_order: Literal["asc", "desc"] = "desc"


class FieldsQuery(msgspec.Struct, rename="camel", kw_only=True):
    entity: Annotated[EntityName, Meta(description="Whose fields.")]


@route(
    "POST",
    "/crm/query",
    tag="Queries",
    kind="query",
    data=shapes.ContactRow,
    example=EXAMPLE,
)
async def run_query(call: ReadCall, body: QueryInput) -> Answer:
    """Run a query

    Of contacts, of companies, or of both: then each row tells its entity, and filter, sort and select name what both
    have. A filter that does not name the status is of ACTIVE and ARCHIVED records. With `explain` nothing runs: the
    answer has the canonical text, the tree, the cost, and the conditions that an index serves. With `aggregate` the
    rows are groups and their figures, in the order of what they are grouped by and at most 10,000, all in one answer;
    `sort`, `select`, `count` and paging go with rows only.
    """
    check_groups(body)
    entities = read_entities(body.entity)
    filter_, name = pick_filter(body.where, body.filter, body.dsl)
    page, limit, cursor = read_paging(body)
    asked = QueryRequest(
        entities=entities,
        filter=filter_,
        filter_name=name,
        dsl=body.dsl,
        search=body.search,
        sort=body.sort,
        select=body.select,
        page=page,
        limit=20 if limit is None else limit,
        cursor=cursor,
        count=body.count,
        aggregate=body.aggregate,
        group_by=body.group_by,
        tier=call.tier,
        size=call.size,
    )
    if body.explain:
        return mark_legacy(make_data_answer(await explain_cql(call.engine, call.workspace, asked)), body.dsl)
    if asked.has_groups:
        return mark_legacy(make_page_answer(await run_groups(call.engine, call.workspace, asked)), body.dsl)
    return mark_legacy(make_page_answer(await run_cql(call.engine, call.workspace, asked)), body.dsl)


@route(
    "POST",
    "/crm/contacts/filter",
    tag="Contacts",
    kind="query",
    data=shapes.ContactRow,
    example={"filter": FILTER, "sortBy": "createdAt", "sortOrder": "desc", "page": 1, "limit": 20},
)
async def filter_contacts(call: ReadCall, body: FilterInput) -> Answer:
    """Filter contacts"""
    return await run_filter(call, "contact", body)


@route(
    "POST",
    "/crm/companies/filter",
    tag="Companies",
    kind="query",
    data=shapes.CompanyRow,
    example={"filter": FILTER},
)
async def filter_companies(call: ReadCall, body: FilterInput) -> Answer:
    """Filter companies"""
    return await run_filter(call, "company", body)


@route("GET", "/crm/fields", tag="Queries", kind="rows", data=shapes.QueryField, example={"entity": "contact"})
async def list_queryable_fields(call: ReadCall, query: FieldsQuery) -> Answer:
    """List queryable fields

    The fields of the system and the properties that are defined, with their types, operators and what they can be used
    for.
    """
    return make_data_answer(await list_fields(call.engine, call.workspace, query.entity))


async def run_filter(call: ReadCall, entity: EntityName, body: FilterInput) -> Answer:
    filter_, name = pick_filter(body.where, body.filter, body.dsl)
    asked = QueryRequest(
        entities=(entity,),
        filter=filter_,
        filter_name=name,
        dsl=body.dsl,
        search=body.search,
        sort=[{"field": body.sort_by, "direction": body.sort_order}],
        page=body.page,
        limit=20 if body.limit is None else body.limit,
        cursor=body.cursor,
        count=body.count,
        tier=call.tier,
        size=call.size,
    )
    return mark_legacy(make_page_answer(await run_cql(call.engine, call.workspace, asked)), body.dsl)


def read_entities(given: str | list[str] | UnsetType) -> tuple[EntityName, ...]:
    """Raises InvalidRequest where none is named, or one that there is not."""
    names = [given] if isinstance(given, str) else [] if isinstance(given, UnsetType) else given
    if not names:
        raise InvalidRequest("entity is needed: contact, company, or a list of both.", {"parameter": "entity"})
    for name in names:
        if name not in ENTITIES:
            raise InvalidRequest(
                f"entity is {name[:40]!r}; it must be one of: {', '.join(ENTITIES)}.{suggest(name, ENTITIES)}",
                {"parameter": "entity"},
            )
    return tuple(dict.fromkeys(names))  # type: ignore[arg-type]


def pick_filter(where: str | None, filter_: str | dict[str, Any] | None, dsl: str | None) -> tuple[Any, str]:
    """(the filter that was sent, its name). Raises InvalidRequest where there are two."""
    sent = [name for name, value in (("where", where), ("filter", filter_), ("dsl", dsl)) if value is not None]
    if len(sent) > 1:
        raise InvalidRequest(f"{' and '.join(sent)} exclude each other; send one of them.", {"parameter": sent[1]})
    return (where, "where") if where is not None else (filter_, "filter")


def check_groups(body: QueryInput) -> None:
    """Raises InvalidRequest where groups are asked for, and beside them what goes with rows only."""
    if body.aggregate is None and body.group_by is None:
        return
    for name, reason in NOT_OF_GROUPS.items():
        if getattr(body, name) not in (None, "default"):
            raise InvalidRequest(
                f"{name} goes with rows, not with aggregate: {reason}. Leave it out.", {"parameter": name}
            )


def read_paging(body: QueryInput) -> tuple[int | None, int | None, str | None]:
    """(page, limit, cursor) of either form. Raises InvalidRequest where both are used."""
    if body.pagination is None:
        return body.page, body.limit, body.cursor
    if body.page is not None or body.limit is not None or body.cursor is not None:
        raise InvalidRequest("pagination excludes page, limit and cursor beside it.", {"parameter": "pagination"})
    paging = body.pagination
    wrong = "cursor" if paging.type == "offset" else "page"
    if getattr(paging, wrong) is not None:
        raise InvalidRequest(f"pagination of type {paging.type} has no {wrong}.", {"parameter": f"pagination.{wrong}"})
    return paging.page, paging.limit, paging.cursor


def mark_legacy(answer: Answer, dsl: str | None) -> Answer:
    return answer if dsl is None else deprecate(answer, "/docs")
