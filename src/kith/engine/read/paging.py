"""Shared parts of lists of all record types: pages, cursors, time ranges and searches."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from kith.cql.ast import And, Comparison, Condition, Query, Search, Sort
from kith.cql.compile import compile_beginnings, compile_words, make_source
from kith.cql.entity_schema import Entity
from kith.engine.context.engine import Engine
from kith.engine.read.query import Count, Page, place_page, prepare_plain, run_query
from kith.engine.read.slow_queries import Watched
from kith.errors import InvalidRequest
from kith.model.times import read_instant
from kith.model.workspaces import Workspace

SEARCH_CHARACTERS_MAX = 500


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """Which page of a list, in which order. ``page`` and ``cursor`` exclude each other."""

    page: int | None = None
    limit: int = 20
    cursor: str | None = None
    count: Count = "default"
    sort_by: str = "createdAt"
    sort_order: Literal["asc", "desc"] = "desc"


async def list_page(engine: Engine, workspace: Workspace, entity: Entity, where: And, listing: Listing) -> Page:
    """The page, by number or by cursor. Raises InvalidRequest, INVALID_CURSOR."""
    query = Query(
        entities=(entity.name,),
        where=where,
        sort=(Sort(listing.sort_by, listing.sort_order == "desc"),),
        limit=listing.limit,
    )
    query = place_page(engine, workspace, query, listing.page, listing.cursor)
    page = None if listing.cursor is not None else listing.page or 1
    prepared = prepare_plain(engine, workspace, query)
    with Watched(workspace, "list", engine.settings.slow_query_ms, where):
        return await run_query(engine, workspace, [make_source(entity)], query, prepared, listing.count, page)


async def type_ahead(engine: Engine, workspace: Workspace, entity: Entity, q: str, limit: int) -> Page:
    """The best live records for what was typed so far."""
    q = check_search(q, "q")
    if not q.strip():
        raise InvalidRequest("q is empty; send what was typed so far.", {"parameter": "q"})
    with Watched(workspace, "typeahead", engine.settings.slow_query_ms, Search(q)):
        return await _type_ahead(engine, workspace, entity, q, limit)


async def _type_ahead(engine: Engine, workspace: Workspace, entity: Entity, q: str, limit: int) -> Page:
    pages: list[str] = []
    missing = limit
    for database, compile_tier in ((engine.general, compile_beginnings), (engine.queries, compile_words)):
        statement = compile_tier(entity, q, missing, workspace.shard, workspace.id)
        if statement is None:
            break
        row = await database.fetchrow(statement.sql, *statement.values, workspace_id=workspace.id)
        assert row is not None
        pages += [row["page"][1:-1]] if row["found"] else []
        missing -= row["found"]
        if not missing:
            break
    return Page(f"[{', '.join(pages)}]".encode(), {"limit": limit, "nextCursor": None})


def make_range(field: str, since: str | None, until: str | None, workspace: Workspace) -> list[Condition]:
    """``since`` ≤ the field ≤ ``until``; a bare day as ``until`` is in. They are the parameters from and to."""
    terms: list[Condition] = []
    if since is not None:
        terms.append(Comparison(field, "gte", parse_time(since, "from", workspace)[0]))
    if until is not None:
        at, is_day = parse_time(until, "to", workspace)
        terms.append(Comparison(field, "lt" if is_day else "lte", at))
    return terms


def make_search(search: str | None) -> list[Condition]:
    if search is None or not search.strip():
        return []
    return [Search(check_search(search, "search"))]


def parse_time(text: str, parameter: str, workspace: Workspace) -> tuple[datetime, bool]:
    """(a time in UTC, whether a bare day was given). A day as ``to`` ends where the next begins.

    Without an offset the time is in the workspace's time zone. Raises InvalidRequest naming the parameter.
    """
    zone = ZoneInfo(workspace.timezone)
    try:
        if (day := find_day(text)) is not None:
            at = datetime.combine(day, time(), zone)
            return (at + timedelta(days=1 if parameter == "to" else 0)).astimezone(UTC), True
        # A plus sign that is not encoded comes as a space.
        instant = read_instant(text, zone) or read_instant(text.replace(" ", "+"), zone)
        if instant is None:
            raise ValueError(text)
        return instant.astimezone(UTC), False
    except OverflowError:  # the first or the last day that there is
        return (datetime.min.replace(tzinfo=UTC) if text < "5000" else datetime.max.replace(tzinfo=UTC)), False
    except ValueError:
        raise InvalidRequest(
            f"{parameter} is {text[:40]!r}; it must be an ISO 8601 date or time, such as 2026-04-10 or"
            " 2026-04-10T10:30:00Z.",
            {"parameter": parameter},
        ) from None


def find_day(text: str) -> date | None:
    """The day, where the text is a date without a time."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def check_search(text: str, parameter: str) -> str:
    if len(text) > SEARCH_CHARACTERS_MAX:
        raise InvalidRequest(
            f"{parameter} has {len(text)} characters; at most {SEARCH_CHARACTERS_MAX} are looked for.",
            {"parameter": parameter},
        )
    return text
