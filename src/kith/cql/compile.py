"""From the tree to SQL. The only writer of a FROM outside ``store``: each carries its workspace.

Values are parameters, names come from the catalogue: no text of a query reaches the SQL.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from kith.cql.ast import After, And, Comparison, Condition, Query, Search, Sort, Value
from kith.cql.catalogue import Entity, Field
from kith.model.search import to_tsquery

COUNTED_ROWS_MAX = 10_000
SEARCH_CANDIDATES_MAX = 1000
LAST_CHARACTER = "\U0010ffff"
GUARD = "c.shard = $1 AND c.workspace_id = $2"
# What a record shows of others: by (the name of the link, whether a single answer shows it), for a row called c.
# Each OFFSET keeps the planner to the one good order of a join.
_COMPANIES = """(SELECT coalesce(json_agg(row_to_json(shown)), '[]') FROM (
 SELECT k.id, k.external_id AS "externalId", k.name, k.domain, a.role, a.is_primary AS "isPrimary", a.properties
 FROM associations a CROSS JOIN LATERAL (
  SELECT * FROM companies k WHERE k.shard = $1 AND k.workspace_id = $2 AND k.id = a.company_id OFFSET 0) k
 WHERE a.shard = $1 AND a.workspace_id = $2 AND a.contact_id = c.id AND k.status <> 'DELETED'
 ORDER BY a.is_primary DESC, k.id) shown)"""
_TAGS = """(SELECT coalesce(json_agg({shown} ORDER BY g.tag_id), '[]')
 FROM taggings g CROSS JOIN LATERAL (
  SELECT * FROM tags t WHERE t.shard = $1 AND t.workspace_id = $2 AND t.id = g.tag_id OFFSET 0) t
 WHERE g.shard = $1 AND g.workspace_id = $2 AND g.entity = '{entity}' AND g.record_id = c.id)"""
_TAG = "json_build_object('id', t.id, 'externalId', t.external_id, 'key', t.key, 'name', t.name, 'color', t.color)"
LIVE = "c.status IN ('ACTIVE', 'ARCHIVED')"
NOTHING = "false"


class Statement(msgspec.Struct, frozen=True):
    """SQL and its values, in the order of their numbers."""

    sql: str
    values: tuple[Any, ...]


class _Values:
    """The parameters of a statement; the first two are the guard's."""

    def __init__(self, shard: int, workspace_id: int) -> None:
        self.workspace_id = workspace_id
        self.values: list[Any] = [shard, workspace_id]

    def add(self, value: Any) -> str:
        self.values.append(value)
        return f"${len(self.values)}"


def compile_page(entity: Entity, query: Query, shard: int, workspace_id: int) -> Statement:
    """One row: ``page`` (a JSON array), ``keys`` and ``ids`` of its rows, ``more`` (whether rows follow)."""
    values = _Values(shard, workspace_id)
    condition = _to_sql(entity, query.where, values)
    rows = _compile_rows(entity, query, condition, values)
    limit = _write_count(query, query.limit, values)
    return Statement(
        f"SELECT coalesce(json_agg(document) FILTER (WHERE n <= {limit}), '[]')::text AS page,"
        f" array_agg(key) FILTER (WHERE n <= {limit}) AS keys, array_agg(id) FILTER (WHERE n <= {limit}) AS ids,"
        f" count(*) > {limit} AS more"
        f" FROM (SELECT {make_document(entity, with_links=False)} AS document, c.sort_key::text AS key, c.id,"
        f" row_number() OVER () AS n FROM ({rows}) c) page",
        tuple(values.values),
    )


def compile_count(entity: Entity, where: And, shard: int, workspace_id: int, *, exact: bool) -> Statement:
    """One value: how many rows fit, counted up to ``COUNTED_ROWS_MAX`` + 1 unless ``exact``."""
    values = _Values(shard, workspace_id)
    condition = _to_sql(entity, where, values)
    rows = f"SELECT 1 FROM {entity.source} WHERE {_guard(entity)} AND {condition}"
    if not exact:
        rows += f" LIMIT {COUNTED_ROWS_MAX + 1}"
    return Statement(f"SELECT count(*) FROM ({rows}) counted", tuple(values.values))


def compile_estimate(entity: Entity, where: And, shard: int, workspace_id: int) -> Statement:
    """The planner's plan for all rows that fit, as JSON."""
    values = _Values(shard, workspace_id)
    condition = _to_sql(entity, where, values)
    sql = f"EXPLAIN (FORMAT JSON) SELECT 1 FROM {entity.source} WHERE {_guard(entity)} AND {condition}"
    return Statement(sql, tuple(values.values))


def compile_get(entity: Entity, by: str) -> str:
    """The statement that gets one record: its document, id and version, by the field in $3.

    By a value that records claim, such as an email, it finds live ones only. ``successor`` is the external id of the
    record that it was merged into.
    """
    field = entity.find_field(by)
    assert field is not None
    live = f" AND {LIVE}" if by not in ("id", "externalId") else ""
    return (
        f"SELECT {make_document(entity, with_links=True)}::text AS document, c.id, c.external_id,"
        f" {entity.version} AS version, {entity.successor} AS successor"
        f" FROM {entity.source} WHERE {_guard(entity)} AND {field.column} = $3{live}"
    )


def compile_typeahead(entity: Entity, query: str, limit: int, shard: int, workspace_id: int) -> Statement | None:
    """The best ``limit`` live records for what was typed so far; None where there is nothing to look for.

    First those whose email (or domain) begins with it, then those whose name or family name does, each from its index;
    then those with a word for each term, the most recent of ``SEARCH_CANDIDATES_MAX`` first. A tier is only looked at
    when those above it did not fill the page, and leaves out what they have.
    """
    tsquery = to_tsquery(query, workspace_id)
    if tsquery is None:
        return None
    values = _Values(shard, workspace_id)
    typed = query.strip().lower()
    start, end, words = values.add(typed), values.add(typed + LAST_CHARACTER), values.add(tsquery)
    most = int(limit)
    columns = make_columns(entity)
    source = f"FROM {entity.source} WHERE {_guard(entity)} AND {LIVE}"
    tiers: list[str] = []
    seen = ""
    for key in entity.typed:
        begins = f"({key} >= {start} AND {key} < {end})"
        tiers.append(f"SELECT {columns} {source} AND {begins}{seen} ORDER BY {key}, c.id LIMIT {most}")
        seen += f" AND {begins} IS NOT TRUE"
    candidates = f"SELECT {columns} {source} AND c.words @@ {words}::tsquery{seen} LIMIT {SEARCH_CANDIDATES_MAX}"
    tiers.append(f"SELECT * FROM ({candidates}) c ORDER BY {entity.recent} LIMIT {most}")
    rows = " UNION ALL ".join(f"({tier})" for tier in tiers)
    return Statement(
        f"SELECT coalesce(json_agg(document), '[]')::text FROM"
        f" (SELECT {make_document(entity, with_links=False)} AS document FROM ({rows}) c LIMIT {most}) page",
        tuple(values.values),
    )


def make_document(entity: Entity, *, with_links: bool) -> str:
    """The SQL of a record's public JSON; ``with_links`` as a single answer shows it."""
    shown = [f'{_to_shown(field)} AS "{field.name}"' for field in entity.fields if field.shown]
    if "companies" in entity.links and with_links:
        shown.append(f"{_COMPANIES} AS companies")
    if "tags" in entity.links:
        kind = entity.name.partition("_")[0]
        shown.append(f"{_TAGS.format(entity=kind, shown=_TAG if with_links else 't.key')} AS tags")
    return f"(SELECT row_to_json(shown) FROM (SELECT {', '.join(shown)}) shown)"


def make_columns(entity: Entity) -> str:
    """The columns that a document is made of."""
    columns = (field.source or field.column for field in entity.fields if field.stored)
    return ", ".join(columns)


def _guard(entity: Entity) -> str:
    return f"{GUARD} AND {entity.guard}" if entity.guard else GUARD


def _to_shown(field: Field) -> str:
    if field.kind == "DATETIME":
        return f"""to_char({field.column}, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
    return field.column


def _compile_rows(entity: Entity, query: Query, condition: str, values: _Values) -> str:
    """The rows of a page and one more, in order, with their sort ``key``.

    A nullable key is read in two parts, values and then missing ones, because an index holds nulls at one end only;
    PostgreSQL does not begin the second part when the first fills the page.
    """
    field = entity.find_field(query.sort.field)
    assert field is not None and field.key is not None
    most = _write_count(query, query.offset + query.limit + 1, values)
    columns = f"{make_columns(entity)}, {field.key} AS sort_key"
    source = f"FROM {entity.source} WHERE {_guard(entity)} AND {condition}"
    direction = "DESC" if query.sort.descending else "ASC"
    # A sort by the number itself has no ties.
    order = f"{field.key} {direction}" + (f", c.id {direction}" if field.name != "id" else "")
    parts: list[str] = []
    after = query.after
    if after is None or after.key is not None:
        there = f" AND {field.key} IS NOT NULL" if field.nullable else ""
        behind = f" AND {_compile_after(field, after, query.sort, values)}" if after else ""
        parts.append(f"SELECT {columns} {source}{there}{behind} ORDER BY {order} LIMIT {most}")
    if field.nullable:
        # Within the missing ones this order is that of the index, read from the end where the nulls are.
        nulls = f"{field.key} {direction} NULLS {'FIRST' if query.sort.descending else 'LAST'}, c.id {direction}"
        behind = ""
        if after is not None and after.key is None:
            behind = f" AND c.id {'<' if query.sort.descending else '>'} {values.add(after.id)}"
        parts.append(f"SELECT {columns} {source} AND {field.key} IS NULL{behind} ORDER BY {nulls} LIMIT {most}")
    rows = parts[0] if len(parts) == 1 else " UNION ALL ".join(f"({part})" for part in parts)
    if not query.offset:
        return rows if len(parts) == 1 else f"SELECT * FROM ({rows}) c LIMIT {most}"
    return f"SELECT * FROM ({rows}) c OFFSET {values.add(query.offset)} LIMIT {values.add(query.limit + 1)}"


def _write_count(query: Query, count: int, values: _Values) -> str:
    """A number of rows, written out on first pages and behind cursors.

    Their plans are kept, and for a limit that it does not know the planner expects a tenth of the table. Pages by
    number are planned each time.
    """
    return values.add(count) if query.offset else str(int(count))


def _compile_after(field: Field, after: After, sort: Sort, values: _Values) -> str:
    assert after.key is not None
    if field.name == "id":
        return f"{field.key} {'<' if sort.descending else '>'} {values.add(after.id)}::bigint"
    # As text: the driver takes the first moment of the year 1 for -infinity.
    kind = "text::timestamptz" if field.kind == "DATETIME" else "text"
    sign = "<" if sort.descending else ">"
    return f"({field.key}, c.id) {sign} ({values.add(after.key)}::{kind}, {values.add(after.id)}::bigint)"


def _to_sql(entity: Entity, condition: Condition, values: _Values) -> str:
    if isinstance(condition, And):
        return " AND ".join(_to_sql(entity, term, values) for term in condition.terms) or "true"
    if isinstance(condition, Search):
        tsquery = to_tsquery(condition.query, values.workspace_id)
        return f"c.words @@ {values.add(tsquery)}::tsquery" if tsquery else NOTHING
    assert isinstance(condition, Comparison)
    return _compare(entity, condition, values)


def _compare(entity: Entity, comparison: Comparison, values: _Values) -> str:
    field = entity.find_field(comparison.field)
    assert field is not None
    if comparison.field == "status" and comparison.operator == "in":
        # Written out: the indexes on live and on unusual records are found by the text of their condition.
        return f"{field.column} IN ({', '.join(_quote_enum(value) for value in _list(comparison.value))})"
    if comparison.field == "status":
        return f"{field.column} = {_quote_enum(str(comparison.value))}"
    if field.kind == "BOOLEAN":
        return field.column if comparison.value else f"NOT {field.column}"
    if comparison.operator == "in":
        return f"{field.column} = ANY ({values.add(list(_list(comparison.value)))})"
    if comparison.operator == "has_any":
        return f"{field.column} && {values.add(list(_list(comparison.value)))}"
    sign = {"eq": "=", "gte": ">=", "lt": "<", "lte": "<="}[comparison.operator]
    return f"{field.column} {sign} {values.add(comparison.value)}"


def _list(value: Value) -> Sequence[Any]:
    return value if isinstance(value, tuple) else (value,)


def _quote_enum(value: Any) -> str:
    assert value in ("ACTIVE", "ARCHIVED", "MERGED", "DELETED")
    return f"'{value}'"
