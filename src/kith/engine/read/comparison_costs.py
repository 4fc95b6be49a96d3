"""The price of comparisons of text. The planner counts a thousandth of what they take, whatever their length."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from kith.cql.ast import Activities, And, Comparison, Condition, Not, Related, Search
from kith.cql.compile import COUNTED_ROWS_MAX, Source, compile_count
from kith.cql.conditions import Context
from kith.cql.dependencies import counts_activities
from kith.engine.context.engine import Engine
from kith.model.records import LIVE
from kith.model.workspaces import Workspace
from kith.store.queries import load_queries

# The time of a page that costs 1; the time of a comparison, and its time for each byte of the text, in nanoseconds.
UNIT_NS = 500_000
COMPARISON_NS = 300
BYTE_NS = 5
# Where a comparison costs less, a condition beside it that an index serves makes it free, without a count.
COUNTED_FROM = 100
# How many of the conditions that an index serves are counted.
COUNTED_TERMS_MAX = 4
# How many times rarer than the planner takes it what fits a number of activities may be.
RARE = 33
_TOTALS = load_queries("totals")


async def price_texts(
    engine: Engine,
    workspace: Workspace,
    source: Source,
    where: Condition,
    context: Context,
    is_served: Callable[[Condition], bool],
) -> int:
    """Return the units that the filter's comparisons of text cost.

    The price is the number of records that they look at, times the lengths of a sample of the workspace's texts. A
    condition that an index serves reduces the number of records to those that fit it.
    """
    compared = [(relation, one.field) for relation, one in list_compared(where) if relation or not is_served(one)]
    if not compared:
        return 0
    entity = source.entity.name
    own = [field for relation, field in compared if relation is None]
    related = [field for relation, field in compared if relation is not None]
    sample = await _measure(engine, workspace, entity)
    ns = sample["total"] * _price_record(own, sample)
    if related:
        other = await _measure(engine, workspace, "company" if entity == "contact" else "contact")
        links = max(sample["links"], other["links"])
        ns += links * _price_record(related, other)
    price = int(ns / UNIT_NS)
    served = [term for term in where.terms if is_served(term)] if isinstance(where, And) else []
    if not served or not price:
        return price
    if price < COUNTED_FROM:
        return 0
    narrowed = min([await _count(engine, workspace, source, term, context) for term in served[:COUNTED_TERMS_MAX]])
    return price if narrowed > COUNTED_ROWS_MAX else int(price * min(1, narrowed / max(1, sample["total"])))


def price_activities(where: Condition, planned: int, is_served: Callable[[Condition], bool]) -> int:
    """Return what a page whose records are chosen by their activities costs beyond the planner's cost of it.

    The planner takes a third of all records to fit, whatever is asked for, so that a page is soon full. Here it is one
    in a hundred. Where an index serves another condition the planner knows better.
    """
    served = isinstance(where, And) and any(is_served(term) for term in where.terms)
    return 0 if served or not counts_activities(where) else planned * (RARE - 1)


async def _measure(engine: Engine, workspace: Workspace, entity: str) -> Mapping[str, Any]:
    row = await engine.queries.fetchrow(
        _TOTALS[f"measure_{entity}"], workspace.shard, workspace.id, list(LIVE), workspace_id=workspace.id
    )
    assert row is not None
    return dict(row)


def _price_record(fields: Sequence[str], sample: Mapping[str, Any]) -> int:
    """The nanoseconds for all comparisons with one record."""
    return sum(COMPARISON_NS + BYTE_NS * int(sample[_find_length(field)]) for field in fields)


def _find_length(field: str) -> str:
    if "." in field:
        return "properties_bytes"
    return "name_bytes" if field == "name" else "other_bytes"


async def _count(engine: Engine, workspace: Workspace, source: Source, term: Condition, context: Context) -> int:
    counting = compile_count(source, term, workspace.shard, workspace.id, context, exact=False)
    return int(await engine.queries.fetchval(counting.sql, *counting.values, workspace_id=workspace.id))


def list_compared(where: Condition, relation: str | None = None) -> Iterator[tuple[str | None, Comparison]]:
    """Yield each comparison with a part of a text, and the relation to the records that it looks at."""
    match where:
        case Comparison():
            if where.operator in ("contains", "starts_with", "ends_with"):
                yield relation, where
        case Not():
            yield from list_compared(where.term, relation)
        case Related():
            yield from list_compared(where.where, where.relation)
        case Activities() | Search():
            return
        case _:
            for term in where.terms:
                yield from list_compared(term, relation)
