"""From the typed tree to its canonical string, and to its JSON form; both are read back as the same tree.

Neither needs the fields: a value is written so that every field reads it as what it is.
"""

import re
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from kith.cql.ast import Activities, And, Comparison, Condition, Not, Or, Related, Relative, Value
from kith.cql.datetimes import write_moment
from kith.cql.lexer import is_word, quote
from kith.cql.literals import write_number
from kith.cql.syntax import NAMES_OF_OPERATORS, NULL, SPELLINGS

# A value that a person would leave without quotes. Others may stand bare too, but read better quoted.
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BARE_MEMBER = re.compile(r"[A-Za-z0-9_-]+")
_EXACT_INTEGER_MAX = 2**53


def to_text(tree: Condition) -> str:
    """The canonical string: equal trees have equal ones. Of ``EVERYTHING`` it is empty."""
    if isinstance(tree, And | Or):
        return _join_text(tree)
    return _write(tree)


def to_json(tree: Condition) -> dict[str, Any]:
    """The canonical JSON form, a group at the outside. It has texts, integers, floats that are exact, and booleans."""
    document = _to_json(tree)
    return document if "logic" in document else {"logic": "AND", "conditions": [document]}


def _join_text(group: And | Or) -> str:
    word = " AND " if isinstance(group, And) else " OR "
    return word.join(_write(term) for term in group.terms)


def _write(term: Condition) -> str:
    """A term as it may stand anywhere."""
    if isinstance(term, And | Or):
        return f"({_join_text(term)})"
    negated = isinstance(term, Not)
    positive = term.term if isinstance(term, Not) else term
    if isinstance(positive, Related) and (dotted := _find_dotted(positive, negated=negated)):
        field, comparison, negated = dotted
        return _compare(field, comparison, negated=negated)
    if isinstance(positive, Comparison) and (positive.operator, negated) in SPELLINGS:
        return _compare(write_field(positive.field), positive, negated=negated)
    if isinstance(positive, Activities) and (positive.operator, negated) in SPELLINGS:
        return f"ACTIVITIES{_write_parts(positive)} {SPELLINGS[positive.operator, negated]} {positive.count}"
    if negated:
        return f"NOT {_write(positive)}"
    assert isinstance(positive, Related), f"no part of a filter: {positive}"
    return f"{positive.relation}({to_text(positive.where)})"


def _find_dotted(related: Related, *, negated: bool) -> tuple[str, Comparison, bool] | None:
    """(field, comparison, whether it is negated) where the condition is written as one on a dotted field.

    A dotted field IS NULL where no related record has one: there it is the positive form that has two negations.
    """
    where, inner = related.where, False
    if isinstance(where, Not):
        where, inner = where.term, True
    if not isinstance(where, Comparison) or inner != (where.operator == "is_null"):
        return None
    negated = negated if where.operator != "is_null" else not negated
    return f"{related.relation}.{write_field(where.field)}", where, negated


def _compare(field: str, comparison: Comparison, *, negated: bool) -> str:
    sign = SPELLINGS.get((comparison.operator, negated))
    if sign is None:
        return f"NOT {_compare(field, comparison, negated=False)}"
    match comparison.operator:
        case "is_null":
            return f"{field} {sign}"
        case "between":
            low, high = _list(comparison.value)
            return f"{field} {sign} {_write_value(low)} AND {_write_value(high)}"
        case "in":
            return f"{field} {sign} ({', '.join(map(_write_value, _list(comparison.value)))})"
        case "has_any" | "has_all":
            return f"{field} {sign} ({', '.join(map(_write_member, _list(comparison.value)))})"
    return f"{field} {sign} {_write_value(comparison.value)}"


def _write_parts(activities: Activities) -> str:
    parts: list[str] = []
    if len(activities.types) == 1:
        parts.append(f"type = {_write_value(activities.types[0])}")
    elif activities.types:
        parts.append(f"type IN ({', '.join(map(_write_value, activities.types))})")
    if activities.module is not None:
        parts.append(f"module = {_write_value(activities.module)}")
    if activities.since is not None:
        parts.append(f"since {write_moment(activities.since)}")
    if activities.before is not None:
        parts.append(f"before {write_moment(activities.before)}")
    return f"({', '.join(parts)})" if parts else ""


def write_field(name: str) -> str:
    """The name as the string form takes it: the key of a property is quoted where it is not one word."""
    way, dot, key = name.partition(".")
    if is_word(name) and not name.endswith("."):
        return name
    return f"{way}{dot}{quote(key)}"


def _write_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return write_number(value)
    if isinstance(value, date | Relative):
        return write_moment(value)
    text = str(value)
    return text if _BARE.fullmatch(text) and _stands_bare(text) else quote(text)


def _write_member(member: str) -> str:
    """A key, a number or an option: they need no quotes to be told from numbers or dates."""
    return member if _BARE_MEMBER.fullmatch(member) and _stands_bare(member) else quote(member)


def _stands_bare(text: str) -> bool:
    """Whether a value that looks like a word is read as that text."""
    return is_word(text) and text.lower() != NULL


def _to_json(term: Condition) -> dict[str, Any]:
    negated = isinstance(term, Not)
    positive = term.term if isinstance(term, Not) else term
    document = _to_positive(positive)
    if isinstance(positive, Related) and (dotted := _find_dotted(positive, negated=negated)):
        _, comparison, negated = dotted
        document = _to_field(f"{positive.relation}.{comparison.field}", comparison)
    if not negated:
        return document
    operator = document.get("operator", "")
    if (name := NAMES_OF_OPERATORS.get((operator, True))) is not None:
        return {**document, "operator": name}
    inner = document if "logic" in document else {"type": "group", "logic": "AND", "conditions": [document]}
    return {**inner, "not": True}


def _to_positive(term: Condition) -> dict[str, Any]:
    if isinstance(term, And | Or):
        return _group(term)
    if isinstance(term, Comparison):
        return _to_field(term.field, term)
    if isinstance(term, Activities):
        return _to_count(term)
    assert isinstance(term, Related), f"no part of a filter: {term}"
    return {"type": "related", "relation": term.relation, "filter": to_json(term.where)}


def _group(group: And | Or) -> dict[str, Any]:
    conditions = [_to_json(term) for term in group.terms]
    return {"type": "group", "logic": "AND" if isinstance(group, And) else "OR", "conditions": conditions}


def _to_field(field: str, comparison: Comparison) -> dict[str, Any]:
    document = {"type": "field", "field": field, "operator": comparison.operator}
    if comparison.operator == "is_null":
        return document
    if isinstance(comparison.value, tuple):
        return {**document, "value": [_to_plain(value) for value in comparison.value]}
    return {**document, "value": _to_plain(comparison.value)}


def _to_count(activities: Activities) -> dict[str, Any]:
    document: dict[str, Any] = {"type": "activity"}
    if activities.types:
        types = activities.types
        document["activityType"] = types[0] if len(types) == 1 else list(types)
    if activities.module is not None:
        document["module"] = activities.module
    if activities.since is not None:
        document["since"] = write_moment(activities.since)
    if activities.before is not None:
        document["before"] = write_moment(activities.before)
    return {**document, "operator": activities.operator, "value": activities.count}


def _to_plain(value: Any) -> str | int | float | bool:
    """What every JSON library keeps as it is: a number that a float would round goes as text."""
    if isinstance(value, Decimal):
        if value == value.to_integral_value() and abs(value) < _EXACT_INTEGER_MAX:
            return int(value)
        number = float(value)
        return number if Decimal(repr(number)) == value else write_number(value)
    if isinstance(value, date | Relative):
        return write_moment(value)
    return bool(value) if isinstance(value, bool) else str(value)


def _list(value: Value) -> Iterable[Any]:
    assert isinstance(value, tuple)
    return value
