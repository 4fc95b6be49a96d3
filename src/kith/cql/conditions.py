"""From a condition of the typed tree to SQL that is true where a record fits it.

Values are parameters; names come from the catalogue. It agrees with the predicate on every record: a value that is not
of its field's kind is none, texts are compared by the folded form that the writer stores, and ``NOT`` is what is not
true.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeGuard

import msgspec

from kith.cql.ast import Activities, And, Comparison, Condition, Not, Or, Related, Search
from kith.cql.datetimes import Range, to_days, to_instants, to_start
from kith.cql.entity_schema import Field
from kith.model.derived import LINK, PROPERTIES
from kith.model.search import to_tsquery
from kith.model.text import KEY_CHARACTERS_MAX, fold_case, fold_letters, is_told_by_key, to_sort_key
from kith.model.values import to_phone, to_phone_part

NOTHING = "false"
LAST_CODE_POINT = 0x10FFFF
# How many links to others are joined: what planning costs grows with the square of that.
JOINS_MAX = 8
# Fields that are links, with the table and the column of what is linked.
LINKS = {"tags": ("taggings", "tag_id"), "lists": ("list_members", "list_id")}
_SIGNS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_ALIAS = re.compile(r"\bc\.")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a filter means here and now: relative times count from ``now``, days are those of the ``zone``.

    ``tags`` are the ids of the tags by key, ``lists`` those of the lists by number and external id, as far as the
    filter names them; what is not among them nobody has. ``rare`` are those, as (field, id), that few contacts have.
    ``size`` is how many bytes of a request the filter took.
    """

    now: datetime = _EPOCH
    zone: tzinfo = UTC
    tags: Mapping[str, int] = {}
    lists: Mapping[str, int] = {}
    rare: frozenset[tuple[str, int]] = frozenset()
    size: int = 0


PLAIN = Context()


class Values:
    """The parameters of a statement; the first two are the guard's."""

    def __init__(self, shard: int, workspace_id: int) -> None:
        self.workspace_id = workspace_id
        self.values: list[Any] = [shard, workspace_id]

    def add(self, value: Any) -> str:
        self.values.append(value)
        return f"${len(self.values)}"


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Whose fields a condition names: rows called ``alias`` of an entity; ``find`` knows its fields by name."""

    entity: str
    find: Callable[[str], Field | None]
    alias: str = "c"
    beyond: Mapping[str, "Scope"] = {}


def write_condition(tree: Condition, scope: Scope, values: Values, context: Context = PLAIN) -> str:
    """The SQL of the tree for the scope's rows; it adds its values to ``values``."""
    return _Writer(values, context).write(tree, scope)


def is_one_link(condition: Condition, context: Context) -> TypeGuard[Comparison]:
    """Whether it asks for one tag or list that is there."""
    if not isinstance(condition, Comparison) or condition.field not in LINKS:
        return False
    members = condition.value if condition.operator in ("has_any", "has_all") else ()
    known = context.tags if condition.field == "tags" else context.lists
    return isinstance(members, tuple) and len(members) == 1 and members[0] in known


def write_link(condition: Comparison, scope: Scope, values: Values, context: Context) -> str:
    """The rows of such a tag or list, called ``o``, and how they are joined: one for each record at most."""
    table, column = LINKS[condition.field]
    known = context.tags if condition.field == "tags" else context.lists
    assert isinstance(condition.value, tuple)
    return (
        f"{table} o ON o.shard = $1 AND o.workspace_id = $2 AND o.entity = {quote(scope.entity)}"
        f" AND o.{column} = {values.add(known[str(condition.value[0])])}::bigint AND o.record_id = {scope.alias}.id"
    )


def write_text(field: Field, alias: str = "c") -> str:
    """The whole folded text of a field, NULL where it has none."""
    if field.is_lower:
        return write_column(field, alias)
    return f"""coalesce({_write_folded(field, alias)} ->> 0, {_write_lower(field, alias)}) COLLATE "C\""""


def write_phone(field: Field, alias: str = "c") -> str:
    """The form in which phone numbers are compared, NULL where there is none: see ``to_phone``."""
    return f"""coalesce({_write_e164(field, alias)}, {write_text(field, alias)}) COLLATE "C\""""


def _write_e164(field: Field, alias: str) -> str:
    return _rename(field.e164, alias) if field.e164 else f"{_write_folded(field, alias)} ->> 2"


def write_sort_text(field: Field, alias: str = "c") -> str:
    """The sort key of a text that has no column of it, NULL where there is no text."""
    if field.form == "phone":
        plain = write_sort_text(msgspec.structs.replace(field, form=""), alias)
        return f"""coalesce({_write_e164(field, alias)}, {plain}) COLLATE "C\""""
    lower = f"left({_write_lower(field, alias)}, {KEY_CHARACTERS_MAX})"
    if field.is_lower:
        return lower
    return f"""coalesce({_write_folded(field, alias)} ->> 1, {lower}) COLLATE "C\""""


def _write_folded(field: Field, alias: str) -> str:
    """The forms of a text that the writer stores: those that ``lower`` does not make."""
    return f"({_find_source(field, alias)}.folded -> {quote(field.name)})"


def _write_lower(field: Field, alias: str) -> str:
    """The text with the letters of ASCII lower-cased, in linear time; NULL where there is none."""
    if field.column:
        return f"""lower({write_column(field, alias)} COLLATE "C")"""
    document = write_document(field, alias)
    text = f"""CASE jsonb_typeof({document}) WHEN 'string' THEN {document} #>> '{{}}' END"""
    return f"""NULLIF(lower({text} COLLATE "C"), '')"""


def _find_source(field: Field, alias: str) -> str:
    """The row that has the value: what belongs to a link lies there, called ``a``."""
    return "a" if field.name.startswith(LINK) or field.column.startswith("a.") else alias


def write_column(field: Field, alias: str = "c") -> str:
    return _rename(field.column, alias)


def write_document(field: Field, alias: str = "c") -> str:
    """The value of a property as JSON."""
    way, _, key = field.name.partition(".")
    assert f"{way}." in (LINK, PROPERTIES)
    return f"({_find_source(field, alias)}.properties -> {quote(key)})"


def write_plain(field: Field, alias: str = "c") -> str:
    """The value of a field that is no text and no set, of its type in SQL; NULL where it has none."""
    if field.column:
        return write_column(field, alias)
    document = write_document(field, alias)
    match field.kind:
        case "NUMBER":
            return f"CASE jsonb_typeof({document}) WHEN 'number' THEN ({document} #>> '{{}}')::numeric END"
        case "BOOLEAN":
            return f"CASE jsonb_typeof({document}) WHEN 'boolean' THEN ({document} #>> '{{}}')::boolean END"
        case "DATE":
            return f"CASE jsonb_typeof({document}) WHEN 'string' THEN kith_day({document} #>> '{{}}') END"
        case "DATETIME":
            return f"CASE jsonb_typeof({document}) WHEN 'string' THEN kith_instant({document} #>> '{{}}') END"
    text = f"""CASE jsonb_typeof({document}) WHEN 'string' THEN {document} #>> '{{}}' END"""
    return f"""NULLIF({text}, '') COLLATE "C\""""


def quote(text: str) -> str:
    """A literal: of the catalogue, or the key of a property, which has neither quotes nor backslashes."""
    assert "'" not in text and "\\" not in text
    return f"'{text}'"


class _Writer:
    def __init__(self, values: Values, context: Context) -> None:
        self.values = values
        self.context = context
        self._alternative = False
        self._joins = 0

    def write(self, tree: Condition, scope: Scope) -> str:
        match tree:
            case Comparison():
                return self._compare(tree, scope)
            case And():
                return " AND ".join(self.write(term, scope) for term in tree.terms) or "true"
            case Or():
                return f"({' OR '.join(f'({self._write_within(term, scope, True)})' for term in tree.terms)})"
            case Not():
                return f"(({self._write_within(tree.term, scope, False)}) IS NOT TRUE)"
            case Search():
                tsquery = to_tsquery(tree.query, self.values.workspace_id, tree.fields)
                return f"{scope.alias}.words @@ {self.values.add(tsquery)}::tsquery" if tsquery else NOTHING
            case Related():
                return self._relate(tree, scope)
            case Activities():
                return self._count(tree, scope)

    def _write_within(self, term: Condition, scope: Scope, alternative: bool) -> str:
        """``alternative``: an index that serves the term can be read together with those of the others."""
        outer, self._alternative = self._alternative, alternative
        sql = self.write(term, scope)
        self._alternative = outer
        return sql

    def _compare(self, comparison: Comparison, scope: Scope) -> str:
        field = scope.find(comparison.field)
        assert field is not None, comparison.field
        if field.kind == "SET":
            return self._hold(field, comparison, scope)
        if comparison.operator == "is_null":
            key = field.key or field.column
            return f"{_rename(key, scope.alias) if key else write_plain(field, scope.alias)} IS NULL"
        if field.name == "status":
            return self._compare_status(comparison, field, scope)
        match field.kind:
            case "TEXT" | "EMAIL":
                if field.form == "phone":
                    return self._compare_phone(comparison, field, scope)
                return self._compare_text(comparison, field, scope)
            case "DATETIME":
                instants = to_instants(comparison.operator, comparison.value, self.context.now, self.context.zone)
                return self._lie_within(write_plain(field, scope.alias), instants)
            case "DATE":
                days = to_days(comparison.operator, comparison.value, self.context.now, self.context.zone)
                return self._lie_within(write_plain(field, scope.alias), days)
            case "NUMBER":
                return self._compare_number(comparison, write_plain(field, scope.alias))
            case "BOOLEAN":
                column = write_plain(field, scope.alias)
                return column if comparison.value else f"NOT {column}"
        return self._compare_option(comparison, field, scope)

    def _compare_status(self, comparison: Comparison, field: Field, scope: Scope) -> str:
        """Written out: the indexes on live and on unusual records are found by the text of their condition."""
        column = write_column(field, scope.alias)
        if comparison.operator == "in":
            return f"{column} IN ({', '.join(quote(str(value)) for value in to_many(comparison.value))})"
        return f"{column} = {quote(str(comparison.value))}"

    def _compare_option(self, comparison: Comparison, field: Field, scope: Scope) -> str:
        column = write_plain(field, scope.alias)
        if comparison.operator == "in":
            options = [str(value) for value in to_many(comparison.value)]
            test = f"{column} = ANY ({self.values.add(options)}::text[])"
        else:
            options = [str(comparison.value)]
            test = f"{column} = {self.values.add(options[0])}"
        if field.column or field.key is None:
            return test
        # Through its index first: there stands the sort key of an option.
        key = _rename(field.key, scope.alias)
        keys = self.values.add([to_sort_key(option) for option in options])
        return f"{key} = ANY ({keys}::text[]) AND {test}"

    def _compare_number(self, comparison: Comparison, column: str) -> str:
        if comparison.operator == "in":
            numbers = [self._to_number(value) for value in to_many(comparison.value)]
            if all(isinstance(number, int) for number in numbers):
                return f"{column} = ANY ({self.values.add(numbers)}::bigint[])"
            decimals = [Decimal(number) for number in numbers]
            return f"{column} = ANY ({self.values.add(decimals)}::numeric[])"
        if comparison.operator == "between":
            low, high = map(self._add_number, to_many(comparison.value))
            return f"{column} BETWEEN {low} AND {high}"
        return f"{column} {_SIGNS[comparison.operator]} {self._add_number(comparison.value)}"

    def _to_number(self, value: Any) -> int | Decimal:
        """A whole number as one where it fits: an index on whole numbers serves no other."""
        whole = isinstance(value, int) or value == value.to_integral_value()
        return int(value) if whole and abs(value) < 2**63 else Decimal(value)

    def _add_number(self, value: Any) -> str:
        number = self._to_number(value)
        return f"{self.values.add(number)}::{'bigint' if isinstance(number, int) else 'numeric'}"

    def _lie_within(self, column: str, stretch: Range[datetime] | Range[date]) -> str:
        terms = []
        if stretch.start is not None:
            terms.append(f"{column} >= {self._add_moment(stretch.start)}")
        if stretch.end is not None:
            terms.append(f"{column} < {self._add_moment(stretch.end)}")
        return " AND ".join(terms) or f"{column} IS NOT NULL"

    def _add_moment(self, moment: date | datetime) -> str:
        """As text: the driver takes the first moment of the year 1 for -infinity."""
        if not isinstance(moment, datetime):
            moment = datetime.combine(moment, time(), UTC)
        return f"{self.values.add(moment.isoformat())}::text::timestamptz"

    def _compare_phone(self, comparison: Comparison, field: Field, scope: Scope) -> str:
        """By E.164, or by the text where it has none; a part may be one of the text as it was given, too."""
        phone = write_phone(field, scope.alias)
        if comparison.operator in ("eq", "in"):
            wanted = [to_phone(str(value)) for value in to_many(comparison.value)]
            if field.key is None:
                return self._equal(phone, wanted)
            indexed = self._equal(_rename(field.key, scope.alias), [to_sort_key(one) for one in wanted])
            return indexed if all(map(is_told_by_key, wanted)) else f"{indexed} AND {self._equal(phone, wanted)}"
        given = self._match_text(
            comparison.operator, write_text(field, scope.alias), [fold_case(str(comparison.value))]
        )
        part = to_phone_part(str(comparison.value))
        return given if part is None else f"({given} OR {self._match_text(comparison.operator, phone, [part])})"

    def _match_text(self, operator: str, text: str, wanted: Sequence[str]) -> str:
        match operator:
            case "in" | "eq":
                return self._equal(text, wanted)
            case "starts_with":
                return f"starts_with({text}, {self.values.add(wanted[0])})"
            case "contains":
                return f"strpos({text}, {self.values.add(wanted[0])}) > 0"
            case "ends_with":
                return f"right({text}, {len(wanted[0])}) = {self.values.add(wanted[0])}"
        raise AssertionError(operator)

    def _compare_text(self, comparison: Comparison, field: Field, scope: Scope) -> str:
        key = _rename(field.key, scope.alias) if field.key else None
        text = write_text(field, scope.alias)
        wanted = [fold_case(str(value)) for value in to_many(comparison.value)]
        if key is not None and comparison.operator in ("in", "eq"):
            indexed = self._equal(key, [to_sort_key(value) for value in wanted])
            return indexed if all(map(is_told_by_key, wanted)) else f"{indexed} AND {self._equal(text, wanted)}"
        begin = (
            f"{self._begin(key, wanted[0])} AND " if key is not None and comparison.operator == "starts_with" else ""
        )
        return begin + self._match_text(comparison.operator, text, wanted)

    def _equal(self, column: str, wanted: Sequence[str]) -> str:
        if len(wanted) == 1:
            return f"{column} = {self.values.add(wanted[0])}"
        return f"{column} = ANY ({self.values.add(list(wanted))}::text[])"

    def _begin(self, key: str, text: str) -> str:
        """The range of the sort keys of all that may begin so, in the order of code points."""
        start = fold_letters(text)[:KEY_CHARACTERS_MAX]
        if not start:
            return f"{key} IS NOT NULL"
        end = find_successor(start)
        above = f" AND {key} < {self.values.add(end)}" if end is not None else ""
        return f"{key} >= {self.values.add(start)}{above}"

    def _hold(self, field: Field, comparison: Comparison, scope: Scope) -> str:
        members = [str(member) for member in to_many(comparison.value)] if comparison.value is not None else []
        if field.name in ("tags", "lists"):
            return self._be_linked(field.name, comparison.operator, members, scope)
        if field.column:
            column = write_column(field, scope.alias)
            if comparison.operator == "is_null":
                return f"{column} = '{{}}'"
            return f"{column} {'&&' if comparison.operator == 'has_any' else '@>'} {self.values.add(members)}::text[]"
        document = write_document(field, scope.alias)
        array = f"jsonb_typeof({document}) = 'array'"
        if comparison.operator == "is_null":
            # Strict: by itself the path would look for texts in arrays of arrays too.
            texts = f"""jsonb_path_exists({document}, 'strict $[*] ? (@.type() == "string")')"""
            return f"(CASE WHEN {array} THEN {texts} END) IS NOT TRUE"
        sign = "?|" if comparison.operator == "has_any" else "?&"
        test = f"({array} AND {document} {sign} {self.values.add(members)}::text[])"
        if field.option_prefix is None:
            return test
        # Through the index that all such properties share.
        marked = [f"{self.values.workspace_id}:{field.option_prefix}:{member}" for member in members]
        overlap = "&&" if comparison.operator == "has_any" else "@>"
        return f"({scope.alias}.options {overlap} {self.values.add(marked)}::text[] AND {test})"

    def _be_linked(self, name: str, operator: str, members: Sequence[str], scope: Scope) -> str:
        known = self.context.tags if name == "tags" else self.context.lists
        table, column = LINKS[name]
        source = (
            f"SELECT 1 FROM {table} g WHERE g.shard = $1 AND g.workspace_id = $2"
            f" AND g.entity = {quote(scope.entity)} AND g.record_id = {scope.alias}.id"
        )
        if operator == "is_null":
            return f"NOT EXISTS ({source})"
        ids = list(dict.fromkeys(known[member] for member in members if member in known))
        if operator == "has_all":
            if any(member not in known for member in members):
                return NOTHING
            one = self._exist(f"{source} AND g.{column} = {self.values.add(ids[0])}::bigint")
            if len(ids) == 1:
                return one
            held = f"{source} AND g.{column} = ANY ({self.values.add(ids)}::bigint[])"
            return f"{one} AND (SELECT count(*) FROM ({held}) held) = {len(ids)}"
        if not ids:
            return NOTHING
        if self._alternative and scope.alias == "c" and all((name, one) in self.context.rare for one in ids):
            # A subquery that is joined cannot be one of several indexes.
            records = (
                f"SELECT g.record_id FROM {table} g WHERE g.shard = $1 AND g.workspace_id = $2"
                f" AND g.entity = {quote(scope.entity)} AND g.{column} = ANY ({self.values.add(ids)}::bigint[])"
            )
            return f"{scope.alias}.id = ANY (ARRAY({records}))"
        if len(ids) == 1:
            return self._exist(f"{source} AND g.{column} = {self.values.add(ids[0])}::bigint")
        return self._exist(f"{source} AND g.{column} = ANY ({self.values.add(ids)}::bigint[])")

    def _exist(self, source: str) -> str:
        """Whether there are such rows: by a join while planning that is cheap, then row by row, as OFFSET has it."""
        self._joins += 1
        return f"EXISTS ({source}{'' if self._joins <= JOINS_MAX else ' OFFSET 0'})"

    def _relate(self, related: Related, scope: Scope) -> str:
        beyond = scope.beyond[related.relation]
        table, own, other = (
            ("companies", "contact_id", "company_id")
            if beyond.entity == "company"
            else ("contacts", "company_id", "contact_id")
        )
        return self._exist(
            f"SELECT 1 FROM associations a JOIN {table} r"
            f" ON r.shard = a.shard AND r.workspace_id = a.workspace_id AND r.id = a.{other}"
            f" WHERE a.shard = $1 AND a.workspace_id = $2 AND r.shard = $1 AND r.workspace_id = $2"
            f" AND a.{own} = {scope.alias}.id AND r.status <> 'DELETED' AND {self.write(related.where, beyond)}"
        )

    def _count(self, asked: Activities, scope: Scope) -> str:
        sign = _SIGNS[asked.operator]
        count = self.values.add(asked.count)
        terms = []
        if asked.types:
            terms.append(f"x.type = ANY ({self.values.add(list(asked.types))}::text[])")
        if asked.module is not None:
            terms.append(f"x.module = {self.values.add(asked.module)}")
        if asked.since is not None:
            since = to_start(asked.since, self.context.now, self.context.zone)
            terms.append(f"x.occurred_at >= {self._add_moment(since)}")
        if asked.before is not None:
            before = to_start(asked.before, self.context.now, self.context.zone)
            terms.append(f"x.occurred_at < {self._add_moment(before)}")
        if not terms:
            return f"{scope.alias}.activity_count {sign} {count}::bigint"
        # One more than is asked for tells as much as all of them.
        return (
            f"(SELECT count(*) FROM (SELECT 1 FROM activities x WHERE x.shard = $1 AND x.workspace_id = $2"
            f" AND x.contact_id = {scope.alias}.id AND {' AND '.join(terms)} LIMIT {count}::bigint + 1) counted)"
            f" {sign} {count}::bigint"
        )


def list_named(tree: Condition, field: str) -> Iterator[str]:
    """The members of a set that the filter names, on the record itself or beyond a relation."""
    match tree:
        case Comparison():
            if tree.field == field and tree.value is not None:
                yield from map(str, to_many(tree.value))
        case And() | Or():
            for term in tree.terms:
                yield from list_named(term, field)
        case Not():
            yield from list_named(tree.term, field)
        case Related():
            yield from list_named(tree.where, field)


def find_successor(text: str) -> str | None:
    """The least text that is greater than all that begin with ``text``; None where there is none."""
    while text:
        following = ord(text[-1]) + 1
        if following <= LAST_CODE_POINT:
            # The surrogates between are no characters.
            return text[:-1] + chr(following if not 0xD800 <= following <= 0xDFFF else 0xE000)
        text = text[:-1]
    return None


def to_many(value: Any) -> Sequence[Any]:
    return value if isinstance(value, tuple) else (value,)


@lru_cache(1024)
def _rename(sql: str, alias: str) -> str:
    return sql if alias == "c" else _ALIAS.sub(f"{alias}.", sql)
