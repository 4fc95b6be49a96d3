"""The tree of what was written, whatever the notation: names and values as they stand there, each with its place.

It knows no fields; ``resolve`` makes the typed tree of it. Limits on size are kept while it is built, so nothing that
reads it has to fear its depth.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from kith.cql.errors import Place, refuse, refuse_size, show

TEXT_CHARACTERS_MAX = 16_384
TOKENS_MAX = 5000
GROUPS_DEEP_MAX = 10
COMPARISONS_MAX = 100
LIST_VALUES_MAX = 1000
# Of all values of CONTAINS together: each is compared at every place of a text, and no timeout comes between.
CONTAINED_CHARACTERS_MAX = 2000
# Of addresses and domains with letters of other scripts: each takes a millisecond to normalise.
IDNA_VALUES_MAX = 100
SORT_FIELDS_MAX = 3

# By name in JSON and in the legacy form: (positive operator, whether it is negated).
OPERATOR_NAMES: dict[str, tuple[str, bool]] = {
    "eq": ("eq", False),
    "neq": ("eq", True),
    "gt": ("gt", False),
    "gte": ("gte", False),
    "lt": ("lt", False),
    "lte": ("lte", False),
    "in": ("in", False),
    "not_in": ("in", True),
    "between": ("between", False),
    "not_between": ("between", True),
    "contains": ("contains", False),
    "not_contains": ("contains", True),
    "starts_with": ("starts_with", False),
    "not_starts_with": ("starts_with", True),
    "ends_with": ("ends_with", False),
    "not_ends_with": ("ends_with", True),
    "has_any": ("has_any", False),
    "has_none": ("has_any", True),
    "has_all": ("has_all", False),
    "is_null": ("is_null", False),
    "is_not_null": ("is_null", True),
}
NAMES_OF_OPERATORS = {meaning: name for name, meaning in OPERATOR_NAMES.items()}
# The same in the string form.
SPELLINGS: dict[tuple[str, bool], str] = {
    ("eq", False): "=",
    ("eq", True): "!=",
    ("gt", False): ">",
    ("gte", False): ">=",
    ("lt", False): "<",
    ("lte", False): "<=",
    ("in", False): "IN",
    ("in", True): "NOT IN",
    ("between", False): "BETWEEN",
    ("between", True): "NOT BETWEEN",
    ("contains", False): "CONTAINS",
    ("contains", True): "NOT CONTAINS",
    ("starts_with", False): "STARTS WITH",
    ("starts_with", True): "NOT STARTS WITH",
    ("ends_with", False): "ENDS WITH",
    ("ends_with", True): "NOT ENDS WITH",
    ("has_any", False): "HAS ANY",
    ("has_any", True): "HAS NONE",
    ("has_all", False): "HAS ALL",
    ("is_null", False): "IS NULL",
    ("is_null", True): "IS NOT NULL",
}
SIGNS: dict[str, tuple[str, bool]] = {
    "=": ("eq", False),
    "!=": ("eq", True),
    "<>": ("eq", True),
    ">": ("gt", False),
    ">=": ("gte", False),
    "<": ("lt", False),
    "<=": ("lte", False),
}
# Taken, and never printed.
OPERATOR_ALIASES: dict[str, tuple[str, bool]] = {
    **SIGNS,
    "ne": ("eq", True),
    "is_empty": ("is_null", False),
    "is_not_empty": ("is_null", True),
}
NULL = "null"
MANY = frozenset(("in", "has_any", "has_all"))


class Literal(msgspec.Struct, frozen=True):
    """A value as it was written: a text, or what JSON has."""

    value: Any
    place: Place


class Condition(msgspec.Struct, frozen=True):
    """``values``: none for ``is_null``, two for ``between``, one or more for ``in`` and ``has_…``, else one."""

    field: str
    place: Place
    operator: str
    negated: bool
    operator_place: Place
    values: tuple[Literal, ...]


class ActivityCount(msgspec.Struct, frozen=True):
    place: Place
    operator: str
    negated: bool
    operator_place: Place
    count: Literal
    types: tuple[Literal, ...] = ()
    module: Literal | None = None
    since: Literal | None = None
    before: Literal | None = None


class Relation(msgspec.Struct, frozen=True):
    """Conditions on one related record. ``depth``: how deep the groups in it are nested."""

    name: str
    place: Place
    where: "Node"
    depth: int


class Negation(msgspec.Struct, frozen=True):
    term: "Node"
    depth: int


class Group(msgspec.Struct, frozen=True):
    """Two or more terms, none of them a group of the same logic."""

    logic: str
    terms: tuple["Node", ...]
    depth: int


Node = Condition | ActivityCount | Relation | Negation | Group


class Syntax(msgspec.Struct, frozen=True):
    """``root`` is None where nothing is asked. ``text`` is what spans are of, empty where places are paths.

    ``spellings`` are how the notation calls (a positive operator, whether it is negated), for the errors.
    ``is_stored``: it was accepted earlier and is evaluated as it was then, with what is refused today.
    """

    root: Node | None
    text: str
    spellings: Mapping[tuple[str, bool], str]
    is_stored: bool = False


def list_spellings(operators: Iterable[str], spellings: Mapping[tuple[str, bool], str]) -> list[str]:
    """Both forms of each operator, as a notation calls them."""
    forms = [(operator, negated) for operator in operators for negated in (False, True)]
    return [spellings[form] for form in forms if form in spellings]


class Builder:
    """Makes nodes and keeps the limits. ``text`` is for the errors."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self._comparisons = 0

    def count(self, place: Place, comparisons: int = 1) -> None:
        """Take note of comparisons. Raises QUERY_TOO_COMPLEX."""
        self._comparisons += comparisons
        if self._comparisons > COMPARISONS_MAX:
            raise refuse_size("comparisons", COMPARISONS_MAX, self._comparisons, place, self.text)

    def check_list(self, values: int, place: Place) -> None:
        if values > LIST_VALUES_MAX:
            raise refuse_size("values in a list", LIST_VALUES_MAX, values, place, self.text)

    def refuse_null(self, spelling: str, place: Place, hint: str = "") -> Exception:
        """``spelling`` is the operator of the notation that finds records without a value."""
        message = f"null is no value to compare with. For records without a value use {spelling}.{hint}"
        return refuse("INVALID_VALUE", message, place, self.text, suggestion=spelling)

    def negate(self, term: Node) -> Node:
        return term.term if isinstance(term, Negation) else Negation(term, _depth(term))

    def group(self, logic: str, terms: list[Node], place: Place) -> Node:
        """The terms as one. A group of one is that one, a group in one of the same logic is part of it."""
        if len(terms) == 1:
            return terms[0]
        flat: list[Node] = []
        for term in terms:
            flat.extend(term.terms) if isinstance(term, Group) and term.logic == logic else flat.append(term)
        return Group(logic, tuple(flat), self._check_depth(1 + max(map(_depth, flat)), place))

    def relate(self, name: str, where: Node, place: Place) -> Node:
        return Relation(name, place, where, _depth(where))

    def refuse_nested_relation(self, name: str, place: Place) -> Exception:
        message = f"The relation {show(name)} cannot stand within another: a filter reaches one step from its records."
        return refuse("UNKNOWN_FIELD", message, place, self.text)

    def _check_depth(self, depth: int, place: Place) -> int:
        if depth > GROUPS_DEEP_MAX:
            raise refuse_size("levels of groups", GROUPS_DEEP_MAX, depth, place, self.text)
        return depth


def _depth(node: Node) -> int:
    return node.depth if isinstance(node, Group | Negation | Relation) else 0
