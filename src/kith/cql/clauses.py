"""Clauses beside a filter: the order of rows, the selected fields, and search words."""

from collections.abc import Mapping, Sequence
from typing import Any

from kith.cql.ast import Search, Sort
from kith.cql.entity_schema import Field
from kith.cql.errors import Place, Span, list_names, refuse, refuse_size, show, suggest
from kith.cql.resolve import refuse_field
from kith.cql.syntax import SORT_FIELDS_MAX
from kith.cql.vocabulary import Vocabulary
from kith.model.values import check_storable

DIRECTIONS: Mapping[str, bool] = {"asc": False, "desc": True}
ALWAYS_SELECTED = ("id", "externalId")
SEARCH_CHARACTERS_MAX = 500
_SHAPE = '"createdAt:desc" or a list of {"field": "createdAt", "direction": "desc"}'


def resolve_sort(sort: Any, vocabulary: Vocabulary, path: str = "sort") -> tuple[Sort, ...]:
    """The order: of ``"createdAt:desc,name"``, or of a list of ``{"field", "direction"}``. Ascending if unsaid.

    Raises QUERY_SYNTAX, UNKNOWN_FIELD, OPERATOR_NOT_ALLOWED for a field that has no order, QUERY_TOO_COMPLEX.
    """
    if isinstance(sort, str):
        return _resolve_sort_text(sort, vocabulary)
    if not isinstance(sort, list):
        raise refuse("QUERY_SYNTAX", f"{path} is {show(sort)}; it is {_SHAPE}.", path)
    if len(sort) > SORT_FIELDS_MAX:
        raise refuse_size("fields to sort by", SORT_FIELDS_MAX, len(sort), path)
    sorts: list[Sort] = []
    for number, item in enumerate(sort):
        place = f"{path}[{number}]"
        if not isinstance(item, Mapping) or not isinstance(item.get("field"), str) or item.keys() - _SORT_KEYS:
            raise refuse("QUERY_SYNTAX", f"{place} is {show(item)}; {path} is {_SHAPE}.", place)
        name, direction = item["field"], item.get("direction", "asc")
        sorts.append(_make_sort(name, direction, vocabulary, sorts, (f"{place}.field", f"{place}.direction"), ""))
    return tuple(sorts)


def resolve_select(names: Any, vocabulary: Vocabulary, path: str = "select") -> tuple[str, ...]:
    """The canonical names of the fields to show, ``id`` and ``externalId`` first. Raises QUERY_SYNTAX, UNKNOWN_FIELD.

    ``properties`` is the whole document of properties.
    """
    if not isinstance(names, list):
        raise refuse("QUERY_SYNTAX", f"{path} is {show(names)}; it is a list of names of fields.", path)
    selected = dict.fromkeys(ALWAYS_SELECTED)
    for number, name in enumerate(names):
        is_shown = isinstance(name, str) and name in vocabulary.only_shown
        selected[name if is_shown else _get_field(name, f"{path}[{number}]", vocabulary).name] = None
    return tuple(selected)


def resolve_search(search: Any, vocabulary: Vocabulary, path: str = "search") -> Search:
    """The words to search for: of a text, or of ``{"query", "fields"?}``. ``fields`` are all searchable ones if unsaid.

    Raises QUERY_SYNTAX, UNKNOWN_FIELD, OPERATOR_NOT_ALLOWED for a field that is not searched, INVALID_VALUE,
    QUERY_TOO_COMPLEX.
    """
    document = {"query": search} if isinstance(search, str) else search
    if (
        not isinstance(document, Mapping)
        or not isinstance(document.get("query"), str)
        or document.keys() - _SEARCH_KEYS
    ):
        message = f'{path} is {show(search)}; it is a text or {{"query": "anna", "fields": ["name"]}}.'
        raise refuse("QUERY_SYNTAX", message, path)
    query, names = document["query"], document.get("fields")
    if len(query) > SEARCH_CHARACTERS_MAX:
        raise refuse_size("characters to search for", SEARCH_CHARACTERS_MAX, len(query), path)
    if names is not None and not isinstance(names, list):
        raise refuse("QUERY_SYNTAX", f"{path}.fields is {show(names)}; it is a list of names.", f"{path}.fields")
    try:
        check_storable(query)
    except ValueError as error:
        raise refuse("INVALID_VALUE", f"The query of {path} {error}", path) from None
    searchable = [field.name for field in vocabulary.fields.values() if field.searchable]
    fields: dict[str, None] = {}
    for number, name in enumerate(names or ()):
        field = _get_field(name, f"{path}.fields[{number}]", vocabulary)
        if not field.searchable:
            message = f"{field.name} is not searched. Fields that are: {list_names(searchable)}."
            raise refuse("OPERATOR_NOT_ALLOWED", message, f"{path}.fields[{number}]", expected=searchable)
        fields[field.name] = None
    return Search(query, tuple(fields))


_SORT_KEYS = {"field", "direction"}
_SEARCH_KEYS = {"query", "fields"}


def _get_field(name: Any, path: str, vocabulary: Vocabulary) -> Field:
    if not isinstance(name, str):
        raise refuse("QUERY_SYNTAX", f"{path} is {show(name)}; it is the name of a field.", path)
    field = vocabulary.names.get(name)
    if field is None:
        raise refuse_field(name, path, "", vocabulary)
    return field


def _resolve_sort_text(text: str, vocabulary: Vocabulary) -> tuple[Sort, ...]:
    count = text.count(",") + 1
    if count > SORT_FIELDS_MAX:
        raise refuse_size("fields to sort by", SORT_FIELDS_MAX, count, Span(0, len(text)), text)
    parts = text.split(",") if text.strip() else []
    sorts: list[Sort] = []
    start = 0
    for part in parts:
        # The key of a property may have colons itself.
        name, colon, direction = part.rpartition(":") if part.strip() not in vocabulary.names else (part, "", "")
        if not colon:
            name, direction = part, "asc"
        if not colon and name.strip() not in vocabulary.names:
            meant, space, word = name.strip().rpartition(" ")
            if space and word.lower() in DIRECTIONS:
                suggestion = f"{meant.strip()}:{word.lower()}"
                message = f"The direction follows a colon. Did you mean {suggestion!r}?"
                raise refuse("QUERY_SYNTAX", message, Span(start, len(part)), text, suggestion=suggestion)
        place = Span(start + len(name) - len(name.lstrip()), len(name.strip()))
        direction_place = Span(start + len(name) + len(colon), len(part) - len(name) - len(colon))
        sorts.append(_make_sort(name.strip(), direction.strip(), vocabulary, sorts, (place, direction_place), text))
        start += len(part) + 1
    return tuple(sorts)


def _make_sort(
    name: str, direction: Any, vocabulary: Vocabulary, before: Sequence[Sort], places: tuple[Place, Place], text: str
) -> Sort:
    field = vocabulary.names.get(name)
    if field is None:
        raise refuse_field(name, places[0], text, vocabulary)
    if not field.sortable:
        raise refuse("OPERATOR_NOT_ALLOWED", f"{field.name} is a {field.kind}, which has no order.", places[0], text)
    if any(sort.field == field.name for sort in before):
        raise refuse("QUERY_SYNTAX", f"{field.name} is named twice; once is enough.", places[0], text)
    descending = DIRECTIONS.get(direction.lower()) if isinstance(direction, str) else None
    if descending is None:
        meant = suggest(direction, DIRECTIONS) if isinstance(direction, str) else None
        message = f"{show(direction)} is no direction; it is asc or desc."
        raise refuse("QUERY_SYNTAX", message, places[1], text, expected=tuple(DIRECTIONS), suggestion=meant)
    return Sort(field.name, descending)
