"""The one way out: a page of a query, its totals, and cursors that are signed and bound to their query."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from itertools import zip_longest
from typing import Any, Literal, NamedTuple

import asyncpg
import msgspec

from kith.aside import compute
from kith.cql.ast import After, And, Comparison, Condition, Query
from kith.cql.compile import (
    COUNTED_ROWS_MAX,
    Source,
    Statement,
    compile_count,
    compile_estimate,
    compile_page,
    make_source,
)
from kith.cql.conditions import PLAIN, Context, to_many
from kith.cql.entity_schema import ENTITIES
from kith.engine.context.engine import Engine
from kith.errors import Exposed, InvalidRequest
from kith.model.records import LIVE
from kith.model.workspaces import Workspace
from kith.store.database import Database
from kith.store.queries import load_queries

Count = Literal["default", "exact", "none"]
PAGED_ROWS_MAX = 10_000
MAC_BYTES = 16
STATEMENTS_KEPT_MAX = 256
_TOTALS = load_queries("totals")


class Page(msgspec.Struct, frozen=True):
    """``data`` is a JSON array as the database made it."""

    data: bytes
    meta: dict[str, Any]


class Prepared(NamedTuple):
    """The statement of a page, and the connections that plan it as it should be.

    ``is_long``: what fits is counted after the page and not beside it. ``counts`` are the statements that count it in
    each source, where there are such already.
    """

    statement: Statement
    database: Database
    is_long: bool = False
    counts: Sequence[Statement] = ()


async def run_query(
    engine: Engine,
    workspace: Workspace,
    sources: Sequence[Source],
    query: Query,
    prepared: Prepared,
    count: Count,
    page: int | None,
    context: Context = PLAIN,
    kinds: Sequence[str] = (),
) -> Page:
    """The page and its meta; ``page`` is None where a cursor led here. ``kinds`` as in ``make_cursor``."""
    fetching = prepared.database.fetchrow(prepared.statement.sql, *prepared.statement.values, workspace_id=workspace.id)
    counting = partial(count_rows, engine, workspace, sources, query.where, count, context, prepared.counts)
    row: Any
    if count == "none" or context is PLAIN or prepared.is_long:
        row, total = await fetching, await counting()
    else:
        # What a client's own filter fits takes time to count. For less, two tasks would be a seventh of the request's.
        row, total = await asyncio.gather(fetching, counting())
    meta: dict[str, Any] = {"page": page, "limit": query.limit}
    if total is not None:
        # An estimate may be anything, but not less than what is seen of the rows.
        rows = max(total[0], query.offset + len(row["ids"] or ()) + row["more"]) if total[1] else total[0]
        meta |= {"total": rows, "totalPages": -(-rows // query.limit)}
        if total[1]:
            meta["totalIsEstimate"] = True
    meta["nextCursor"] = make_cursor(engine, workspace, query, find_last(row), kinds) if row["more"] else None
    return Page(row["page"].encode(), meta)


def place_page(
    engine: Engine, workspace: Workspace, query: Query, page: int | None, cursor: str | None, kinds: Sequence[str] = ()
) -> Query:
    """The query at the page, by default the first, or behind the cursor. Raises InvalidRequest, INVALID_CURSOR."""
    if cursor is not None:
        if page is not None:
            raise InvalidRequest("page and cursor exclude each other; send one of them.", {"parameter": "page"})
        return msgspec.structs.replace(query, after=read_cursor(engine, workspace, query, cursor, kinds))
    page = 1 if page is None else page
    if page < 1:
        raise InvalidRequest(f"page is {page}; it must be 1 or more.", {"parameter": "page"})
    return msgspec.structs.replace(query, offset=check_depth(page, query.limit))


def find_last(row: Mapping[str, Any]) -> After:
    """The place of a page's last row."""
    return After(tuple(row["keys"][-1]), row["ids"][-1], row["entities"][-1])


async def count_rows(
    engine: Engine,
    workspace: Workspace,
    sources: Sequence[Source],
    where: Condition,
    count: Count,
    context: Context,
    statements: Sequence[Statement],
) -> tuple[int, bool] | None:
    """(how many rows fit, whether that is an estimate): kept totals first, then a bounded count, then the planner.

    Raises QUERY_TIMEOUT only where the count has to be exact: a page does not fail for a total that takes too long.
    """
    if count == "none":
        return None
    counts = [
        await _count_source(engine, workspace, source, where, context, statement, exact=count == "exact")
        for source, statement in zip_longest(sources, statements)
    ]
    return sum(count for count, _ in counts), any(estimated for _, estimated in counts)


async def _count_source(
    engine: Engine,
    workspace: Workspace,
    source: Source,
    where: Condition,
    context: Context,
    counting: Statement | None,
    *,
    exact: bool,
) -> tuple[int, bool]:
    kept = to_kept_total(where) if source.entity.has_status else None
    if kept is not None:
        statuses, stages = kept
        total = await engine.database.fetchval(
            _TOTALS["sum"], workspace.shard, workspace.id, source.entity.name, statuses, stages
        )
        return int(total), False
    if (linked := find_kept_link(source, where, context)) is not None:
        name, number, entity = linked
        statement = _TOTALS[f"find_{name}_total"]
        total = await engine.database.fetchval(statement, workspace.shard, workspace.id, number, entity.upper())
        return int(total or 0), False
    if counting is None:
        shard = workspace.shard
        counting = await compute(context.size, compile_count, source, where, shard, workspace.id, context, exact=exact)
    try:
        counted = int(await engine.queries.fetchval(counting.sql, *counting.values, workspace_id=workspace.id))
    except asyncpg.QueryCanceledError as error:
        if exact:
            raise Exposed(
                "QUERY_TIMEOUT",
                "To count exactly how many fit took too long. Leave out count=exact for an estimate, count=none for the"
                " page alone, or narrow the query.",
                {"parameter": "count"},
            ) from error
        counted = None
    if counted is not None and (exact or counted <= COUNTED_ROWS_MAX):
        return counted, False
    planning = compile_estimate(source, where, workspace.shard, workspace.id, context)
    plan = msgspec.json.decode(await engine.queries.fetchval(planning.sql, *planning.values, workspace_id=workspace.id))
    estimate = int(plan[0]["Plan"]["Plan Rows"])
    return (estimate if counted is None else max(estimate, counted)), True


def list_terms(where: Condition) -> Sequence[Condition]:
    """The conditions all of which have to hold."""
    return where.terms if isinstance(where, And) else (where,)


def to_kept_total(where: Condition) -> tuple[list[str], list[str] | None] | None:
    """(statuses, lifecycle stages or None for all) where the writer keeps this total, else None."""
    statuses: list[str] = []
    stages: list[str] | None = None
    for term in list_terms(where):
        if not isinstance(term, Comparison) or term.operator not in ("eq", "in"):
            return None
        values = [str(value) for value in (term.value if isinstance(term.value, tuple) else (term.value,))]
        if term.field == "status" and not statuses:
            statuses = values
        elif term.field == "lifecycleStage" and stages is None:
            stages = values
        else:
            return None
    return (statuses, stages) if statuses else None


def find_kept_link(source: Source, where: Condition, context: Context) -> tuple[str, int, str] | None:
    """("tag", "list" or "company", its number, the entity) where the writer counts how many live records have it.

    That has to be all that is asked, else None. The number is 0 where there is none such.
    """
    terms = list_terms(where)
    if len(terms) != 2 or terms[0] != Comparison("status", "in", LIVE) or not isinstance(terms[1], Comparison):
        return None
    link = terms[1]
    members = to_many(link.value)
    if len(members) != 1:
        return None
    entity, _, owner = source.entity.name.partition("_of_")
    match link.field, link.operator, owner:
        case "listId", "eq", "list":
            return "list", members[0], entity
        case "lists", "has_any" | "has_all", "":
            return "list", context.lists.get(str(members[0]), 0), entity
        case "companyId", "eq", "company":
            return "company", members[0], entity
        case "tags", "has_any" | "has_all", "":
            return "tag", context.tags.get(str(members[0]), 0), entity
    return None


def check_depth(page: int, limit: int) -> int:
    """The offset of a page. Raises InvalidRequest beyond the rows that pages by number reach."""
    offset = (page - 1) * limit
    if offset + limit > PAGED_ROWS_MAX:
        raise InvalidRequest(
            f"page {page} of {limit} lies beyond {PAGED_ROWS_MAX:,} rows. Go on with meta.nextCursor of the page before"
            " (cursor=…): it reaches any depth in constant time.",
            {"parameter": "page"},
        )
    return offset


def make_cursor(engine: Engine, workspace: Workspace, query: Query, after: After, kinds: Sequence[str] = ()) -> str:
    """``kinds`` are those of the fields that rows are sorted by, where they may become others."""
    payload = msgspec.json.encode(after)
    return base64.urlsafe_b64encode(_sign(engine, workspace, query, kinds, payload) + payload).rstrip(b"=").decode()


def read_cursor(engine: Engine, workspace: Workspace, query: Query, cursor: str, kinds: Sequence[str] = ()) -> After:
    """Raises INVALID_CURSOR where it was not made for this query in this workspace."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        mac, payload = raw[:MAC_BYTES], raw[MAC_BYTES:]
        if "=" not in cursor and hmac.compare_digest(mac, _sign(engine, workspace, query, kinds, payload)):
            return msgspec.json.decode(payload, type=After)
    except (ValueError, msgspec.MsgspecError):
        pass
    raise Exposed(
        "INVALID_CURSOR",
        "The cursor does not belong to this query. Send the same parameters as for the page that it came with, or start"
        " over without one.",
        {"parameter": "cursor"},
    )


def _sign(engine: Engine, workspace: Workspace, query: Query, kinds: Sequence[str], payload: bytes) -> bytes:
    """What binds a cursor to its workspace, filter and order; not to its limit."""
    asked = msgspec.json.encode((workspace.id, query.entities, query.where, query.sort, query.select, kinds))
    return hmac.digest(engine.installation.secret, asked + b"\x00" + payload, hashlib.sha256)[:MAC_BYTES]


@lru_cache(STATEMENTS_KEPT_MAX)
def _compile(entity: str, query: Query, shard: int, workspace_id: int) -> Statement:
    """A page is often asked for again: to compile it takes as long as to fetch it from the driver."""
    return compile_page([make_source(ENTITIES[entity])], query, shard, workspace_id)


def prepare_plain(engine: Engine, workspace: Workspace, query: Query) -> Prepared:
    """A page without conditions of the client's own has the same good plan for every tenant: it is planned once."""
    statement = _compile(query.entities[0], query, workspace.shard, workspace.id)
    plain = all(isinstance(term, Comparison) and term.field == "status" for term in list_terms(query.where))
    return Prepared(statement, engine.database if plain and not query.offset else engine.queries)
