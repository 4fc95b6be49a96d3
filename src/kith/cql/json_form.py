"""From the JSON form to its syntax tree: groups, fields, activities, related records, and the sugar for tags and lists.

Places are paths, such as ``filter.conditions[2].value``.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from kith.cql.errors import name_value, refuse, refuse_size, show, suggest
from kith.cql.syntax import (
    COMPARISONS_MAX,
    MANY,
    NAMES_OF_OPERATORS,
    OPERATOR_ALIASES,
    OPERATOR_NAMES,
    TEXT_CHARACTERS_MAX,
    ActivityCount,
    Builder,
    Condition,
    Literal,
    Node,
    Syntax,
)

T = TypeVar("T")

_KEYS: Mapping[str, tuple[str, ...]] = {
    "field": ("type", "field", "operator", "value"),
    "group": ("type", "logic", "conditions", "not"),
    "activity": ("type", "activityType", "module", "since", "before", "operator", "value"),
    "related": ("type", "relation", "filter"),
    "tag": ("type", "operator", "value"),
    "list": ("type", "operator", "value"),
}
_SUGAR = {"tag": "tags", "list": "lists"}
_EXAMPLE = '{"field": "status", "operator": "eq", "value": "ACTIVE"}'


def read_json(document: Any, path: str = "filter", *, is_stored: bool = False) -> Syntax:
    """The tree of a filter. ``path`` is what leads to it.

    ``is_stored``: the filter was accepted earlier. Then an AND of no conditions asks nothing, and a value may be an
    empty text, as before these were refused.

    Raises QUERY_SYNTAX, INVALID_REQUEST, OPERATOR_NOT_ALLOWED, INVALID_VALUE, QUERY_TOO_COMPLEX.
    """
    reader = _Reader(is_stored=is_stored)
    if is_stored and document.get("conditions") == [] and document.get("logic") == "AND" and not document.get("not"):
        return Syntax(None, "", NAMES_OF_OPERATORS, is_stored)
    return Syntax(reader.read(document, path), "", NAMES_OF_OPERATORS, is_stored)


class _Reader:
    def __init__(self, *, is_stored: bool) -> None:
        self.is_stored = is_stored
        self.builder = Builder()
        self.in_relation = False
        # How many conditions at least are still to come: what bounds the depth of groups in groups.
        self.ahead = 0

    def read(self, document: Any, path: str) -> Node:
        """A condition of any type. Groups of one are taken off in a loop, so that they nest without an end."""
        negated = False
        while True:
            kind = self._find_type(document, path)
            self.check_keys(document, kind, path)
            if kind != "group":
                break
            logic, conditions = self._read_group(document, path)
            negated ^= document.get("not") is True
            if len(conditions) != 1:
                node = self._group(logic, conditions, path)
                return self.builder.negate(node) if negated else node
            document, path = conditions[0], f"{path}.conditions[0]"
        node = self._read_kind(kind, document, path)
        return self.builder.negate(node) if negated else node

    def _read_kind(self, kind: str, document: Mapping[str, Any], path: str) -> Node:
        if kind == "related":
            return self._read_related(document, path)
        self.builder.count(path)
        if kind == "activity":
            return self._read_activity(document, path)
        if kind == "field":
            name = self._get(document, "field", str, path)
            if len(name) > TEXT_CHARACTERS_MAX:
                raise refuse_size("characters in a text", TEXT_CHARACTERS_MAX, len(name), f"{path}.field")
            return self._read_field(document, name, f"{path}.field", path)
        return self._read_field(document, _SUGAR[kind], path, path)

    def _find_type(self, document: Any, path: str) -> str:
        if not isinstance(document, Mapping):
            message = f"{path} is {name_value(document)}; a condition is an object, such as {_EXAMPLE}."
            raise refuse("QUERY_SYNTAX", message, path)
        kind = document.get("type")
        if kind is None:
            return "group" if "logic" in document or "conditions" in document else "field"
        if not isinstance(kind, str) or kind not in _KEYS:
            meant = suggest(kind, _KEYS) if isinstance(kind, str) else None
            message = f"{show(kind)} is no type of condition. Types are {', '.join(_KEYS)}."
            raise refuse("QUERY_SYNTAX", message, f"{path}.type", expected=tuple(_KEYS), suggestion=meant)
        return kind

    def check_keys(self, document: Mapping[str, Any], kind: str, path: str) -> None:
        for key in document:
            if key not in _KEYS[kind]:
                meant = suggest(key, _KEYS[kind])
                hint = f" Did you mean {meant!r}?" if meant else f" It has {', '.join(_KEYS[kind])}."
                if key in ("where", "filter", "query"):
                    hint = (
                        " A filter as text has a JSON form: send it to POST /crm/query as where, with"
                        ' "explain": true, and take ast from the answer.'
                    )
                message = f"A condition of type {kind} has no {show(key)}.{hint}"
                raise refuse("QUERY_SYNTAX", message, f"{path}.{key[:64]}", expected=_KEYS[kind], suggestion=meant)

    def _read_group(self, document: Mapping[str, Any], path: str) -> tuple[str, Sequence[Any]]:
        logic = document.get("logic")
        if not isinstance(logic, str) or logic.upper() not in ("AND", "OR"):
            message = f"{path}.logic is {show(logic) if 'logic' in document else 'missing'}; it is AND or OR."
            raise refuse("QUERY_SYNTAX", message, f"{path}.logic", expected=("AND", "OR"))
        conditions = self._get(document, "conditions", list, path)
        if not conditions:
            message = f"{path}.conditions is empty; a group has at least one condition."
            raise refuse("INVALID_REQUEST", message, f"{path}.conditions", expected=("a condition",))
        if not isinstance(document.get("not", False), bool):
            message = f"{path}.not is {show(document['not'])}; it is true or false."
            raise refuse("QUERY_SYNTAX", message, f"{path}.not", expected=("true", "false"))
        return logic.upper(), conditions

    def _group(self, logic: str, conditions: Sequence[Any], path: str) -> Node:
        self.ahead += len(conditions) - 1
        if self.ahead >= COMPARISONS_MAX:
            raise refuse_size("comparisons", COMPARISONS_MAX, self.ahead + 1, path)
        terms = [self.read(condition, f"{path}.conditions[{place}]") for place, condition in enumerate(conditions)]
        return self.builder.group(logic, terms, path)

    def _read_related(self, document: Mapping[str, Any], path: str) -> Node:
        name = self._get(document, "relation", str, path)
        if self.in_relation:
            raise self.builder.refuse_nested_relation(name[:64], f"{path}.relation")
        self._check_present(document, "filter", path)
        self.in_relation = True
        where = self.read(document["filter"], f"{path}.filter")
        self.in_relation = False
        return self.builder.relate(name, where, f"{path}.relation")

    def _read_field(self, document: Mapping[str, Any], name: str, name_path: str, path: str) -> Condition:
        operator, negated = self._read_operator(document, path)
        place = f"{path}.operator"
        return Condition(name, name_path, operator, negated, place, self._read_values(document, operator, path))

    def _read_operator(self, document: Mapping[str, Any], path: str) -> tuple[str, bool]:
        name = self._get(document, "operator", str, path)
        found = OPERATOR_NAMES.get(name) or OPERATOR_NAMES.get(name.lower()) or OPERATOR_ALIASES.get(name.lower())
        if found is None:
            meant = suggest(name, OPERATOR_NAMES)
            hint = f" Did you mean {meant!r}?" if meant else ""
            message = f"{show(name)} is no operator.{hint} Operators are {', '.join(OPERATOR_NAMES)}."
            place = f"{path}.operator"
            raise refuse("OPERATOR_NOT_ALLOWED", message, place, expected=tuple(OPERATOR_NAMES), suggestion=meant)
        return found

    def _read_values(self, document: Mapping[str, Any], operator: str, path: str) -> tuple[Literal, ...]:
        name, place = document["operator"], f"{path}.value"
        if operator == "is_null":
            if document.get("value", True) not in (None, True):
                raise refuse("INVALID_VALUE", f"{name} takes no value.", place)
            return ()
        self._check_present(document, "value", path)
        value = document["value"]
        if operator not in MANY and operator != "between":
            if isinstance(value, list):
                raise refuse("INVALID_VALUE", f"{name} takes one value, not a list. For several use in.", place)
            return (self._read_value(value, place),)
        if not isinstance(value, list):
            raise refuse("INVALID_VALUE", f'{name} takes a list of values, as in ["a", "b"].', place)
        if operator == "between" and len(value) != 2:
            raise refuse(
                "INVALID_VALUE", f"{name} takes a list of two values, from and to; here are {len(value)}.", place
            )
        if not value:
            raise refuse("INVALID_VALUE", f"{name} takes a list of at least one value.", place)
        self.builder.check_list(len(value), place)
        return tuple(self._read_value(item, f"{place}[{number}]") for number, item in enumerate(value))

    def _read_value(self, value: Any, path: str) -> Literal:
        if value is None:
            raise self.builder.refuse_null("is_null", path)
        return self._read_counted(value, path)

    def _read_counted(self, value: Any, path: str) -> Literal:
        """A value of a count of activities. No activity is without a type: null is refused as any other wrong value."""
        if isinstance(value, Mapping | list):
            raise refuse("INVALID_VALUE", f"{name_value(value)} is no value to compare with.", path)
        if isinstance(value, str) and len(value) > TEXT_CHARACTERS_MAX:
            raise refuse_size("characters in a text", TEXT_CHARACTERS_MAX, len(value), path)
        return Literal(value, path)

    def _read_activity(self, document: Mapping[str, Any], path: str) -> ActivityCount:
        types: tuple[Literal, ...] = ()
        kinds = document.get("activityType")
        if isinstance(kinds, list):
            if not kinds and not self.is_stored:
                message = "activityType is an empty list. Leave it out to count activities of all types."
                raise refuse("INVALID_VALUE", message, f"{path}.activityType")
            self.builder.check_list(len(kinds), f"{path}.activityType")
            types = tuple(self._read_counted(kind, f"{path}.activityType[{at}]") for at, kind in enumerate(kinds))
        elif kinds is not None:
            types = (self._read_counted(kinds, f"{path}.activityType"),)
        operator, negated = self._read_operator(document, path)
        self._check_present(document, "value", path)
        return ActivityCount(
            path,
            operator,
            negated,
            f"{path}.operator",
            self._read_counted(document["value"], f"{path}.value"),
            types,
            *(
                self._read_counted(document[key], f"{path}.{key}") if document.get(key) is not None else None
                for key in ("module", "since", "before")
            ),
        )

    def _check_present(self, document: Mapping[str, Any], key: str, path: str) -> None:
        if key not in document:
            raise refuse("QUERY_SYNTAX", f"{path}.{key} is missing.", f"{path}.{key}", expected=(key,))

    def _get(self, document: Mapping[str, Any], key: str, kind: type[T], path: str) -> T:
        self._check_present(document, key, path)
        value = document[key]
        if not isinstance(value, kind):
            message = f"{path}.{key} is {name_value(value)}; it has to be {name_value(kind())}."
            raise refuse("QUERY_SYNTAX", message, f"{path}.{key}", expected=(name_value(kind()),))
        return value
