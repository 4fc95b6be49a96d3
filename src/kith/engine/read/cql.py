"""The verbs of the query language: run a query, group what fits, explain it."""

from collections.abc import Sequence
from datetime import tzinfo
from functools import lru_cache, partial
from time import perf_counter
from typing import Any, cast

import msgspec

from kith.aside import compute
from kith.cql.ast import Comparison, Condition, Or, Query, Sort, conjoin
from kith.cql.clauses import resolve_search, resolve_select, resolve_sort
from kith.cql.compile import Source, Statement, compile_count, compile_page, make_source
from kith.cql.conditions import Context, list_named
from kith.cql.dependencies import add_default_status, has_relative
from kith.cql.entity_schema import ENTITIES, Field
from kith.cql.errors import refuse_size
from kith.cql.grouping import GROUPS_MAX, compile_groups, resolve_grouping
from kith.cql.json_form import read_json
from kith.cql.legacy_form import parse_legacy
from kith.cql.parser import parse
from kith.cql.printer import to_json, to_text
from kith.cql.resolve import refuse_member, resolve
from kith.cql.syntax import Syntax
from kith.cql.vocabulary import EntityName, Vocabulary
from kith.engine.context.engine import Engine
from kith.engine.context.query_costs import Estimate, check_cost, is_long, take_turn
from kith.engine.context.schema_cache import Vocabularies
from kith.engine.read.comparison_costs import price_activities, price_texts
from kith.engine.read.filter_references import find_named, find_unknown
from kith.engine.read.query import STATEMENTS_KEPT_MAX, Count, Page, Prepared, list_terms, place_page, run_query
from kith.engine.read.slow_queries import Watched
from kith.errors import InvalidRequest
from kith.model.workspaces import Workspace

RESOLVED_KEPT_MAX = 2048
# Of a text that is longer than filters are, the tree may take a megabyte.
KEPT_CHARACTERS_MAX = 1000
LIMIT_MAX = 100
_DEFAULT_SORT = (Sort("createdAt", True),)


class QueryRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A query as it was asked. ``filter`` is a text or JSON, ``dsl`` the legacy form; one of the two at most.

    ``size`` is the number of bytes that it took.
    """

    entities: tuple[EntityName, ...]
    filter: Any = None
    dsl: str | None = None
    filter_name: str = "filter"
    search: Any = None
    sort: Any = None
    select: Any = None
    page: int | None = None
    limit: int = 20
    cursor: str | None = None
    count: Count = "default"
    aggregate: Any = None
    group_by: Any = None
    tier: str = "enterprise"
    size: int = 0

    @property
    def has_groups(self) -> bool:
        return self.aggregate is not None or self.group_by is not None


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked, understood: its sources, its first page as a query, and what that means here and now.

    ``lasts_with``: a statement of it is the same as long as there are these vocabularies.
    """

    sources: list[Source]
    tree: Condition
    query: Query
    context: Context
    lasts_with: Vocabularies | None

    @property
    def sorted_by(self) -> list[str]:
        """The kinds of the fields that rows are sorted by: a property may get another type between two pages."""
        fields = [self.sources[0].scope.find(sort.field) for sort in self.query.sort]
        return [field.kind for field in fields if field is not None]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """``indexed`` are the conditions that an index serves, as text."""

    canonical: str
    ast: dict[str, Any]
    cost: int
    indexed: list[str]


async def run_cql(engine: Engine, workspace: Workspace, asked: QueryRequest) -> Page:
    """A page of what fits. Raises the refusals of the language, QUERY_TOO_EXPENSIVE, INVALID_CURSOR, InvalidRequest."""
    resolved = await resolve_asked(engine, workspace, asked)
    query = place_page(engine, workspace, resolved.query, asked.page, asked.cursor, resolved.sorted_by)
    statement, counts = await compute(asked.size, compile_asked, workspace, resolved, query, asked.count)
    with Watched(workspace, "query", engine.settings.slow_query_ms, resolved.tree) as watched:
        watched.cost, is_general = await _estimate(engine, workspace, resolved, query, statement)
        check_cost(watched.cost, asked.tier)
        database = engine.general if is_general and not query.offset else engine.queries
        prepared = Prepared(statement, database, is_long(watched.cost), counts)
        number = None if asked.cursor is not None else asked.page or 1
        async with take_turn(engine.long_queries, workspace.id, watched.cost):
            began_s = perf_counter()
            page = await run_query(
                engine,
                workspace,
                resolved.sources,
                query,
                prepared,
                asked.count,
                number,
                resolved.context,
                resolved.sorted_by,
            )
    took_ms = round((perf_counter() - began_s) * 1000)
    return Page(page.data, page.meta | {"queryTimeMs": took_ms, "estimatedCost": watched.cost})


async def run_groups(engine: Engine, workspace: Workspace, asked: QueryRequest) -> Page:
    """The figures of each group of what fits. Raises as ``run_cql``, QUERY_TOO_COMPLEX beyond ``GROUPS_MAX``."""
    resolved = await resolve_asked(engine, workspace, asked)
    with Watched(workspace, "groups", engine.settings.slow_query_ms, resolved.tree) as watched:
        watched.cost, statement = await _estimate_groups(engine, workspace, asked, resolved)
        check_cost(watched.cost, asked.tier)
        async with take_turn(engine.long_queries, workspace.id, watched.cost):
            began_s = perf_counter()
            row = await engine.queries.fetchrow(statement.sql, *statement.values, workspace_id=workspace.id)
    assert row is not None
    if row["count"] > GROUPS_MAX:
        raise refuse_size("groups", GROUPS_MAX, row["count"], "groupBy")
    took_ms = round((perf_counter() - began_s) * 1000)
    return Page(row["rows"].encode(), {"total": row["count"], "queryTimeMs": took_ms, "estimatedCost": watched.cost})


async def _estimate_groups(
    engine: Engine, workspace: Workspace, asked: QueryRequest, resolved: Resolved
) -> tuple[int, Statement]:
    """(what the groups are expected to cost, the statement that makes them)."""
    if len(asked.entities) > 1:
        raise InvalidRequest("aggregate is of one entity; ask for each by itself.", {"parameter": "entity"})
    vocabulary = (await engine.vocabularies.get(workspace)).pick(asked.entities)
    grouping = resolve_grouping(asked.aggregate, asked.group_by, vocabulary)
    where = resolved.query.where
    statement = compile_groups(resolved.sources[0], where, grouping, workspace.shard, workspace.id, resolved.context)
    estimate = await engine.costs.estimate(
        workspace.id, (asked.entities, where, grouping), statement, lambda _: _price(engine, workspace, resolved)
    )
    return estimate.cost, statement


async def explain_cql(engine: Engine, workspace: Workspace, asked: QueryRequest) -> Explanation:
    """How the query is understood and what it is expected to cost; nothing runs."""
    resolved = await resolve_asked(engine, workspace, asked)
    if asked.has_groups:
        cost, _ = await _estimate_groups(engine, workspace, asked, resolved)
    else:
        statement, _ = await compute(asked.size, compile_asked, workspace, resolved, resolved.query, "none")
        cost, _ = await _estimate(engine, workspace, resolved, resolved.query, statement)
    return Explanation(
        canonical=to_text(resolved.tree),
        ast=to_json(resolved.tree),
        cost=cost,
        indexed=list_indexed(resolved.tree, resolved.sources[0]),
    )


async def resolve_asked(engine: Engine, workspace: Workspace, asked: QueryRequest) -> Resolved:
    """Raises the refusals of the language, RATE_LIMITED where too many queries of the workspace wait."""
    # Before the filter is read, which takes the processor for longer than a refusal should.
    engine.queries.check_room(workspace.id)
    vocabularies = await engine.vocabularies.get(workspace)
    vocabulary = vocabularies.pick(asked.entities)
    tree = await compute(asked.size, read_filter, asked, vocabulary)
    where = add_default_status(tree)
    if asked.search is not None:
        search = resolve_search(asked.search, vocabulary)
        if search.query.strip():
            where = conjoin((where, search))
    if not 1 <= asked.limit <= LIMIT_MAX:
        raise InvalidRequest(f"limit is {asked.limit}; it must be from 1 to {LIMIT_MAX}.", {"parameter": "limit"})
    query = Query(
        entities=asked.entities,
        where=where,
        sort=(resolve_sort(asked.sort, vocabulary) if asked.sort is not None else ()) or _DEFAULT_SORT,
        limit=asked.limit,
        select=resolve_select(asked.select, vocabulary) if asked.select is not None else None,
    )
    if linked := names_links(where):
        context = await make_context(engine, workspace, asked, where, vocabulary)
    else:
        context = Context(now=engine.clock.now(), zone=vocabulary.zone, size=asked.size)
    lasts = is_short(asked) and not linked and not has_relative(where)
    return Resolved(
        sources=make_sources(asked.entities, vocabularies),
        tree=tree,
        query=query,
        context=context,
        lasts_with=vocabularies if lasts else None,
    )


def is_short(asked: QueryRequest) -> bool:
    """Whether the filter is short enough for what comes of it to be kept."""
    return asked.dsl is None and isinstance(asked.filter or "", str) and len(asked.filter or "") <= KEPT_CHARACTERS_MAX


def compile_asked(
    workspace: Workspace, resolved: Resolved, query: Query, count: Count
) -> tuple[Statement, Sequence[Statement]]:
    """(the statement of the query, at whichever page; where they last, those that count what fits)."""
    if resolved.lasts_with is not None and query.after is None:
        return _compile_lasting(query, count, workspace.shard, workspace.id, resolved.lasts_with, resolved.context.zone)
    return compile_page(resolved.sources, query, workspace.shard, workspace.id, resolved.context), ()


@lru_cache(STATEMENTS_KEPT_MAX)
def _compile_lasting(
    query: Query, count: Count, shard: int, workspace_id: int, vocabularies: Vocabularies, zone: tzinfo
) -> tuple[Statement, Sequence[Statement]]:
    sources = make_sources(cast("Sequence[EntityName]", query.entities), vocabularies)
    context = Context(zone=zone)
    page = compile_page(sources, query, shard, workspace_id, context)
    counted = sources if count != "none" else ()
    return page, [
        compile_count(source, query.where, shard, workspace_id, context, exact=count == "exact") for source in counted
    ]


def read_filter(asked: QueryRequest, vocabulary: Vocabulary) -> Condition:
    """The typed tree of whichever notation was used; of none, the one that everything fits."""
    if is_short(asked):
        return read_text(asked.filter or "", vocabulary)
    return resolve(read_syntax(asked), vocabulary)


def read_syntax(asked: QueryRequest) -> Syntax:
    """What was written, in whichever notation."""
    if asked.dsl is not None:
        return parse_legacy(asked.dsl)
    if isinstance(asked.filter, str) or asked.filter is None:
        return parse(asked.filter or "")
    return read_json(asked.filter, asked.filter_name)


@lru_cache(RESOLVED_KEPT_MAX)
def read_text(text: str, vocabulary: Vocabulary) -> Condition:
    """A text is often asked again. A vocabulary is equal only to itself, and made anew when anything is defined."""
    return resolve(parse(text), vocabulary)


def make_sources(entities: Sequence[EntityName], vocabularies: Vocabularies) -> list[Source]:
    """Each entity with its own fields: a property of both may lie in another place in each."""
    return [make_source(ENTITIES[entity], vocabularies.pick((entity,))) for entity in entities]


async def make_context(
    engine: Engine, workspace: Workspace, asked: QueryRequest, where: Condition, vocabulary: Vocabulary
) -> Context:
    """What the filter means now, with the ids of the tags and lists that it names.

    Raises INVALID_VALUE for one that is not there.
    """
    async with engine.database.acquire() as connection:
        named = await find_named(connection, workspace.shard, workspace.id, where)
        unknown = await find_unknown(connection, workspace.shard, workspace.id, where, named)
    if unknown is not None:
        raise refuse_member(read_syntax(asked), vocabulary, *unknown)
    now, zone = engine.clock.now(), vocabulary.zone
    return Context(now=now, zone=zone, tags=named.tags, lists=named.lists, rare=named.rare, size=asked.size)


def names_links(where: Condition) -> bool:
    """Whether the filter names tags or lists."""
    return any(list_named(where, "tags")) or any(list_named(where, "lists"))


def list_indexed(where: Condition, source: Source) -> list[str]:
    """The conditions, all of which have to hold, that an index serves."""
    return [to_text(term) for term in list_terms(where) if is_indexed(term, source)]


def is_indexed(term: Condition, source: Source) -> bool:
    if isinstance(term, Or):
        return all(is_indexed(one, source) for one in term.terms)
    if not isinstance(term, Comparison):
        return False
    field = source.scope.find(term.field)
    assert field is not None
    return is_served(field, term.operator)


def is_served(field: Field, operator: str) -> bool:
    """Whether an index serves a comparison of the field by the operator."""
    if field.kind == "SET":
        linked = field.name in ("tags", "lists") or field.option_prefix is not None
        return linked and operator in ("has_any", "has_all")
    if operator == "is_null":
        return field.finds_missing
    if operator in ("contains", "ends_with") or (field.form == "phone" and operator == "starts_with"):
        return False
    return field.key is not None or field.name in ("id", "externalId")


async def _estimate(
    engine: Engine, workspace: Workspace, resolved: Resolved, query: Query, statement: Statement
) -> Estimate:
    """Pages by number are taken for the first, and those behind a cursor for the first such."""
    if query.offset:
        query, (statement, _) = resolved.query, compile_asked(workspace, resolved, resolved.query, "none")
    key = (query.entities, query.where, query.sort, query.limit, query.after is None)

    async def price(planned: int) -> int:
        return await _price(engine, workspace, resolved) + price_activities(
            resolved.tree, planned, partial(_any_served, resolved)
        )

    return await engine.costs.estimate(workspace.id, key, statement, price)


async def _price(engine: Engine, workspace: Workspace, resolved: Resolved) -> int:
    """What comparisons of text add to the planner's cost."""
    return sum(
        [
            await price_texts(engine, workspace, source, resolved.tree, resolved.context, partial(_is_served, source))
            for source in resolved.sources
        ]
    )


def _any_served(resolved: Resolved, term: Condition) -> bool:
    return all(is_indexed(term, source) for source in resolved.sources)


def _is_served(source: Source, term: Condition) -> bool:
    return is_indexed(term, source)
