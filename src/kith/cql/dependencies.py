"""Dependencies of a filter: the fields that it reads, and whether it depends on the status or on the time."""

from collections.abc import Iterator, Sequence

from kith.cql.ast import Activities, And, Comparison, Condition, Not, Or, Related, Relative, conjoin
from kith.model.records import LIVE

ACTIVITIES = "activities"


def list_reads(tree: Condition) -> frozenset[str]:
    """The names of all that the filter reads.

    An own field by its canonical name; a relation by its name and each field beyond it as ``company.<field>``; the
    count of activities as ``activities``.
    """
    reads: set[str] = set()
    for term in _walk(tree):
        if isinstance(term, Comparison):
            reads.add(term.field)
        elif isinstance(term, Activities):
            reads.add(ACTIVITIES)
        elif isinstance(term, Related):
            reads.add(term.relation)
            reads.update(f"{term.relation}.{name}" for name in list_reads(term.where))
    return frozenset(reads)


def names_status(tree: Condition) -> bool:
    """Whether the filter says something of the record's own status."""
    return any(isinstance(term, Comparison) and term.field == "status" for term in _walk(tree))


def add_default_status(tree: Condition) -> Condition:
    """The filter as it is meant: one that does not name the record's own status is of live records."""
    return tree if names_status(tree) else conjoin((Comparison("status", "in", LIVE), tree))


def has_relative(tree: Condition) -> bool:
    """Whether the filter has a relative time, so that a record may come to fit it although nothing has changed."""
    return any(
        has_relative(term.where) if isinstance(term, Related) else any(map(_is_relative, _list_values(term)))
        for term in _walk(tree)
    )


def count_text_conditions(tree: Condition) -> int:
    """How many conditions look for a part of a text that is not its beginning, so that no index serves them."""
    return sum(
        count_text_conditions(term.where)
        if isinstance(term, Related)
        else isinstance(term, Comparison) and term.operator in ("contains", "ends_with")
        for term in _walk(tree)
    )


def counts_activities(tree: Condition) -> bool:
    """Whether the filter asks how many activities there are."""
    return any(
        counts_activities(term.where) if isinstance(term, Related) else isinstance(term, Activities)
        for term in _walk(tree)
    )


def asks_for_any_list(tree: Condition) -> bool:
    """Whether the filter asks if a record is on some list, whichever."""
    return any(
        asks_for_any_list(term.where)
        if isinstance(term, Related)
        else isinstance(term, Comparison) and (term.field, term.operator) == ("lists", "is_null")
        for term in _walk(tree)
    )


def _list_values(term: Condition) -> Sequence[object]:
    if isinstance(term, Activities):
        return term.since, term.before
    if isinstance(term, Comparison):
        return term.value if isinstance(term.value, tuple) else (term.value,)
    return ()


def _is_relative(value: object) -> bool:
    return isinstance(value, Relative)


def _walk(tree: Condition) -> Iterator[Condition]:
    """The conditions on the record itself; what stands within ``Related`` is not among them."""
    if isinstance(tree, And | Or):
        for term in tree.terms:
            yield from _walk(term)
    elif isinstance(tree, Not):
        yield from _walk(tree.term)
    else:
        yield tree
