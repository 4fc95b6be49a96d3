"""From a query to SQL. The only writer of a FROM outside ``store``: each carries its workspace.

Values are parameters, names come from the catalogue: no text of a query reaches the SQL.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from kith.cql.ast import And, Comparison, Condition, Query
from kith.cql.conditions import (
    PLAIN,
    Context,
    Scope,
    Values,
    is_one_link,
    quote,
    write_condition,
    write_link,
)
from kith.cql.entity_schema import ENTITIES, Entity, Field
from kith.cql.paging import find_after, make_keys, split_at_missing, split_order
from kith.cql.vocabulary import Vocabulary
from kith.model.derived import PROPERTIES
from kith.model.search import has_terms, to_tsquery
from kith.model.text import fold_letters

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
_LISTS = """(SELECT coalesce(json_agg(m.list_id ORDER BY m.list_id), '[]') FROM list_members m
 WHERE m.shard = $1 AND m.workspace_id = $2 AND m.entity = '{entity}' AND m.record_id = c.id)"""
LIVE = "c.status IN ('ACTIVE', 'ARCHIVED')"


class Statement(msgspec.Struct, frozen=True):
    """SQL and its values, in the order of their numbers."""

    sql: str
    values: tuple[Any, ...]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """An entity to query, and how its fields are found by name."""

    entity: Entity
    scope: Scope


def make_source(entity: Entity, vocabulary: Vocabulary | None = None) -> Source:
    """The entity with its own fields; with a vocabulary also with its properties, and what relations lead to."""
    if vocabulary is None:
        return Source(entity=entity, scope=Scope(entity=entity.name, find=entity.find_field))
    beyond = {
        name: Scope(entity=name, find=other.fields.get, alias="r") for name, other in vocabulary.relations.items()
    }
    return Source(entity=entity, scope=Scope(entity=entity.name, find=vocabulary.fields.get, beyond=beyond))


def compile_page(
    sources: Sequence[Source], query: Query, shard: int, workspace_id: int, context: Context = PLAIN
) -> Statement:
    """One row: ``page`` (a JSON array); ``keys``, ``ids``, ``entities`` of its rows; ``more``, whether rows follow."""
    values = Values(shard, workspace_id)
    several = len(sources) > 1
    arms = [_compile_arm(source, query, values, context, several=several) for source in sources]
    rows = f"({arms[0]}) rows"
    if several:
        keys = make_keys(sources[0].scope, query.sort)
        order = [f"key_{n} {key.direction} NULLS LAST" for n, key in enumerate(keys)]
        order += [f"id {keys[-1].direction}", f"entity {keys[-1].direction}"]
        united = " UNION ALL ".join(f"({arm})" for arm in arms)
        rows = (
            f"(SELECT * FROM ({united}) united ORDER BY {', '.join(order)}"
            f" OFFSET {values.add(query.offset)} LIMIT {_write_count(query, query.limit + 1, values)}) rows"
        )
    limit = _write_count(query, query.limit, values)
    shown = f"FILTER (WHERE n <= {limit})"
    texts = ", ".join(f"key_{n}::text" for n in range(len(query.sort)))
    return Statement(
        f"SELECT coalesce(json_agg(document) {shown}, '[]')::text AS page, array_agg(ARRAY[{texts}]) {shown} AS keys,"
        f" array_agg(id) {shown} AS ids, array_agg(entity) {shown} AS entities, count(*) > {limit} AS more"
        f" FROM (SELECT *, row_number() OVER () AS n FROM {rows}) page",
        tuple(values.values),
    )


def compile_count(
    source: Source, where: Condition, shard: int, workspace_id: int, context: Context = PLAIN, *, exact: bool
) -> Statement:
    """One value: how many rows fit, counted up to ``COUNTED_ROWS_MAX`` + 1 unless ``exact``."""
    values = Values(shard, workspace_id)
    rows = f"SELECT 1 {write_from(source, where, values, context)}"
    if not exact:
        rows += f" LIMIT {COUNTED_ROWS_MAX + 1}"
    return Statement(f"SELECT count(*) FROM ({rows}) counted", tuple(values.values))


def compile_estimate(
    source: Source, where: Condition, shard: int, workspace_id: int, context: Context = PLAIN
) -> Statement:
    """The planner's plan for all rows that fit, as JSON."""
    values = Values(shard, workspace_id)
    sql = f"EXPLAIN (FORMAT JSON) SELECT 1 {write_from(source, where, values, context)}"
    return Statement(sql, tuple(values.values))


def compile_plan(statement: Statement) -> Statement:
    """The planner's plan for a statement, as JSON; nothing runs."""
    return Statement(f"EXPLAIN (FORMAT JSON) {statement.sql}", statement.values)


class Candidates(msgspec.Struct, frozen=True, kw_only=True):
    """Whom an evaluation looks at: these; or ids behind ``after`` up to ``until``, if ``related`` to some only such."""

    after: int = 0
    until: int = 0
    records: tuple[int, ...] = ()
    related: tuple[int, ...] = ()


def compile_evaluation(
    source: Source, where: Condition, list_id: int, shard: int, workspace_id: int, context: Context, which: Candidates
) -> Statement:
    """Makes the members of a list those that fit, among the candidates.

    Rows of who changed: ``id``, ``external_id``, ``live``, and whether they ``entered``.
    """
    entity = source.entity
    values = Values(shard, workspace_id)
    named, member = values.add(list_id), f"'{entity.name}'"
    kept = _write_candidates("m.record_id", entity.name, which, values)
    fitting = (
        f"{write_from(source, where, values, context)} AND {_write_candidates('c.id', entity.name, which, values)}"
    )
    return Statement(
        f"WITH fitting AS MATERIALIZED (SELECT c.id, c.created_at {fitting}), gone AS ("
        f"DELETE FROM list_members m WHERE m.shard = $1 AND m.workspace_id = $2 AND m.list_id = {named}"
        f" AND m.entity = {member} AND {kept} AND m.record_id NOT IN (SELECT id FROM fitting)"
        f" RETURNING m.record_id AS id), come AS ("
        f"INSERT INTO list_members (shard, workspace_id, list_id, entity, record_id, created_at)"
        f" SELECT $1, $2, {named}, {member}, id, created_at FROM fitting"
        f" ON CONFLICT DO NOTHING RETURNING record_id AS id)"
        f" SELECT changed.id, c.external_id, {LIVE} AS live, changed.entered"
        f" FROM (SELECT id, false AS entered FROM gone UNION ALL SELECT id, true FROM come) changed"
        f" CROSS JOIN LATERAL (SELECT * FROM {entity.source} WHERE {GUARD} AND c.id = changed.id OFFSET 0) c"
        f" ORDER BY changed.id",
        tuple(values.values),
    )


def compile_difference(
    source: Source, where: Condition, list_id: int, shard: int, workspace_id: int, context: Context
) -> Statement:
    """One value: whether the members of a list are other than those that fit."""
    values = Values(shard, workspace_id)
    named, member = values.add(list_id), f"'{source.entity.name}'"
    members = (
        f"SELECT m.record_id AS id FROM list_members m WHERE m.shard = $1 AND m.workspace_id = $2"
        f" AND m.list_id = {named} AND m.entity = {member}"
    )
    fitting = f"SELECT c.id {write_from(source, where, values, context)}"
    return Statement(
        f"SELECT EXISTS (({fitting}) EXCEPT ({members})) OR EXISTS (({members}) EXCEPT ({fitting}))",
        tuple(values.values),
    )


def compile_get(entity: Entity, by: str) -> str:
    """The statement that gets one record: its document, id and version, by the field in $3.

    By a value that records claim, such as an email, it finds live ones only. ``successor`` is the external id of the
    record that it was merged into.
    """
    field = entity.find_field(by)
    assert field is not None
    live = f" AND {LIVE}" if by not in ("id", "externalId") else ""
    return (
        f"SELECT {_write_document(entity.name, with_links=True)}::text AS document, c.id, c.external_id,"
        f" {entity.version} AS version, {entity.successor} AS successor"
        f" FROM {entity.source} WHERE {_guard(entity)} AND {field.column} = $3{live}"
    )


def compile_beginnings(entity: Entity, query: str, limit: int, shard: int, workspace_id: int) -> Statement | None:
    """Live records for what was typed so far: those whose email (or domain) begins with it, then those whose name or
    family name does, each from its index. None where there is nothing to look for.

    A tier is only looked at when those above it did not fill the page, and leaves out what they have. The plan is the
    same for whatever is typed; of a limit that is a parameter the planner would think that it is far away.
    """
    if not has_terms(query):
        return None
    typed = fold_letters(query.strip())
    return Statement(_write_tiers(entity.name, int(limit)), (shard, workspace_id, typed, typed + LAST_CHARACTER))


@lru_cache(maxsize=1024)
def _write_tiers(kind: str, limit: int) -> str:
    """The SQL of ``compile_beginnings``, the same whatever is typed. To write it takes 5 % of such a request."""
    entity = ENTITIES[kind]
    source, columns = f"FROM {entity.source} WHERE {_guard(entity)} AND {LIVE}", make_columns(entity)
    tiers: list[str] = []
    seen = ""
    for key in entity.typed:
        begins = _write_beginning(key, "$3", "$4")
        tiers.append(f"SELECT {columns} {source} AND {begins}{seen} ORDER BY {key}, c.id LIMIT {limit}")
        seen += f" AND {begins} IS NOT TRUE"
    return _write_page(entity, " UNION ALL ".join(f"({tier})" for tier in tiers), str(limit))


def compile_words(entity: Entity, query: str, limit: int, shard: int, workspace_id: int) -> Statement | None:
    """Live records that have a word for each term and do not begin so, the most recent of ``SEARCH_CANDIDATES_MAX``
    first. None where there is nothing to look for.

    How it is best read depends on how rare the words are.
    """
    tsquery = to_tsquery(query, workspace_id)
    if tsquery is None:
        return None
    values = Values(shard, workspace_id)
    words = values.add(tsquery)
    typed = fold_letters(query.strip())
    start, end = values.add(typed), values.add(typed + LAST_CHARACTER)
    seen = "".join(f" AND {_write_beginning(key, start, end)} IS NOT TRUE" for key in entity.typed)
    candidates = (
        f"SELECT {make_columns(entity)} FROM {entity.source} WHERE {_guard(entity)} AND {LIVE}"
        f" AND c.words @@ {words}::tsquery{seen} LIMIT {SEARCH_CANDIDATES_MAX}"
    )
    ranked = f"SELECT * FROM ({candidates}) c ORDER BY {entity.recent}"
    return Statement(_write_page(entity, ranked, values.add(limit)), tuple(values.values))


def _write_beginning(key: str, start: str, end: str) -> str:
    """That a key begins with what is typed."""
    return f"({key} >= {start} AND {key} < {end})"


def _write_page(entity: Entity, rows: str, limit: str) -> str:
    """The first rows as a JSON array, ``page``, and how many they are, ``found``."""
    document = _write_document(entity.name, with_links=False)
    return (
        f"SELECT coalesce(json_agg(document), '[]')::text AS page, count(*) AS found FROM"
        f" (SELECT {document} AS document FROM ({rows}) c LIMIT {limit}) page"
    )


@lru_cache(maxsize=64)
def _write_document(
    kind: str, *, with_links: bool, select: tuple[str, ...] | None = None, with_entity: bool = False
) -> str:
    """The SQL of a record's public JSON; ``with_links`` as a single answer shows it, ``select`` only these fields."""
    entity = ENTITIES[kind]
    shown = [f"'{entity.name}' AS entity"] if with_entity else []
    shown += [sql for name, sql in _SHOWN[entity.name].items() if select is None or name in select]
    if select is not None and (properties := _select_properties(select)):
        shown.append(properties)
    if "companies" in entity.links and with_links:
        shown.append(f"{_COMPANIES} AS companies")
    if "tags" in entity.links and (select is None or "tags" in select):
        kind = entity.name.partition("_")[0]
        shown.append(f"{_TAGS.format(entity=kind, shown=_TAG if with_links else 't.key')} AS tags")
    if select is not None and "lists" in select:
        shown.append(f"{_LISTS.format(entity=entity.name)} AS lists")
    return f"(SELECT row_to_json(shown) FROM (SELECT {', '.join(shown)}) shown)"


def make_columns(entity: Entity) -> str:
    """The columns that a document is made of."""
    return _COLUMNS[entity.name]


def _select_properties(select: Sequence[str]) -> str | None:
    """The document of those properties that are selected by themselves."""
    if "properties" in select:
        return None
    keys = [name.removeprefix(PROPERTIES) for name in select if name.startswith(PROPERTIES)]
    if not keys:
        return None
    named = ", ".join(quote(key) for key in keys)
    return (
        "(SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(c.properties)"
        f" WHERE key IN ({named})) AS properties"
    )


def _guard(entity: Entity) -> str:
    return f"{GUARD} AND {entity.guard}" if entity.guard else GUARD


def _to_shown(field: Field) -> str:
    if field.kind == "DATETIME":
        return f"""to_char({field.column}, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
    return field.column


_SHOWN = {
    entity.name: {field.name: f'{_to_shown(field)} AS "{field.name}"' for field in entity.fields if field.shown}
    for entity in ENTITIES.values()
}
_COLUMNS = {
    entity.name: ", ".join(field.source or field.column for field in entity.fields if field.stored)
    for entity in ENTITIES.values()
}


def write_from(
    source: Source, where: Condition, values: Values, context: Context, link: Comparison | None = None
) -> str:
    """From where the rows come that fit: it adds its values to ``values``.

    ``link`` is one of the conditions that all have to hold: its rows are joined, as ``o``.
    """
    if link is None:
        condition = write_condition(where, source.scope, values, context)
        return f"FROM {source.entity.source} WHERE {_guard(source.entity)} AND {condition}"
    joined = write_link(link, source.scope, values, context)
    condition = write_condition(_leave_out(where, link), source.scope, values, context)
    return f"FROM {source.entity.source} JOIN {joined} WHERE {_guard(source.entity)} AND {condition}"


def find_ordering_link(scope: Scope, query: Query, context: Context) -> Comparison | None:
    """The condition on one tag or list whose rows have the order of the page, if that is by ``createdAt``."""
    if [sort.field for sort in query.sort] != ["createdAt"] or scope.entity not in ("contact", "company"):
        return None
    return next((one for one in _list_conjuncts(query.where) if is_one_link(one, context)), None)


def _list_conjuncts(where: Condition) -> Iterator[Condition]:
    if isinstance(where, And):
        for term in where.terms:
            yield from _list_conjuncts(term)
    else:
        yield where


def _leave_out(where: Condition, left_out: Condition) -> And:
    return And(tuple(one for one in _list_conjuncts(where) if one is not left_out))


def _write_candidates(column: str, entity: str, which: Candidates, values: Values) -> str:
    if which.records:
        return f"{column} = ANY ({values.add(list(which.records))}::bigint[])"
    after, until = values.add(which.after), values.add(which.until)
    if not which.related:
        return f"{column} > {after}::bigint AND {column} <= {until}::bigint"
    own, other = ("contact_id", "company_id") if entity == "contact" else ("company_id", "contact_id")
    return (
        f"{column} IN (SELECT a.{own} FROM associations a WHERE a.shard = $1 AND a.workspace_id = $2"
        f" AND a.{other} = ANY ({values.add(list(which.related))}::bigint[])"
        f" AND a.{own} > {after}::bigint AND a.{own} <= {until}::bigint)"
    )


def _compile_arm(source: Source, query: Query, values: Values, context: Context, *, several: bool) -> str:
    """The rows of one entity: document, sort keys, id and entity."""
    document = _write_document(source.entity.name, with_links=False, select=query.select, with_entity=several)
    names = ", ".join(f"c.key_{n}" for n in range(len(query.sort)))
    entity = source.entity.name
    rows = _compile_rows(source, query, values, context, several=several)
    return f"SELECT {document} AS document, {names}, c.id, '{entity}' AS entity FROM ({rows}) c"


def _compile_rows(source: Source, query: Query, values: Values, context: Context, *, several: bool) -> str:
    """The rows of a page and one more, in order, with their sort keys; of several entities up to the page's end."""
    keys = make_keys(source.scope, query.sort)
    if several and len(keys) > 1:
        # Rows of two entities may have the same id: behind it there may be more than one.
        keys = [msgspec.structs.replace(key, is_id=False) for key in keys]
    most = _write_count(query, query.offset + query.limit + 1, values)
    link = find_ordering_link(source.scope, query, context)
    if link is not None:
        keys = [msgspec.structs.replace(keys[0], sql="o.created_at", number="o.record_id")]
    columns = ", ".join([make_columns(source.entity), *(f"{key.sql} AS key_{n}" for n, key in enumerate(keys))])
    rows = f"SELECT {columns} {write_from(source, query.where, values, context, link)}"
    after = find_after(source.entity.name, query, several=several)
    divide = split_at_missing if len(keys) == 1 else split_order
    parts = divide(rows, keys, after, most, values)
    rows = parts[0] if len(parts) == 1 else " UNION ALL ".join(f"({part})" for part in parts)
    if several or not query.offset:
        return rows if len(parts) == 1 else f"SELECT * FROM ({rows}) c LIMIT {most}"
    return f"SELECT * FROM ({rows}) c OFFSET {values.add(query.offset)} LIMIT {values.add(query.limit + 1)}"


def _write_count(query: Query, count: int, values: Values) -> str:
    """A number of rows, written out on first pages and behind cursors.

    Their plans are kept, and for a limit that it does not know the planner expects a tenth of the table. Pages by
    number are planned each time.
    """
    return values.add(count) if query.offset else str(int(count))
