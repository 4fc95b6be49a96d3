"""What comparisons of text cost that the planner does not count: it takes each for a thousandth of what it takes."""

from collections.abc import Callable, Iterator

from kith.cql.ast import Activities, Comparison, Condition, Not, Or, Related, Search
from kith.cql.compile import Source
from kith.engine.context import Engine
from kith.model.workspaces import Workspace
from kith.store.queries import load_queries

# The time of a page that costs 1, and what a comparison takes by itself and for each byte of the text, in nanoseconds.
UNIT_NS = 500_000
COMPARISON_NS = 300
BYTE_NS = 5
LIVE = ("ACTIVE", "ARCHIVED")
_TOTALS = load_queries("totals")


async def price_texts(
    engine: Engine, workspace: Workspace, source: Source, where: Condition, is_served: Callable[[Condition], bool]
) -> int:
    """The units that the filter's comparisons of text cost, where no index narrows whom they are applied to.

    They are multiplied with the records of the workspace and with the lengths of some of its texts.
    """
    terms = where.terms if not isinstance(where, (Comparison, Not, Related, Activities, Search)) else (where,)
    compared = [one.field for one in list_compared(where) if not is_served(one)]
    if not compared or (not isinstance(where, Or) and any(map(is_served, terms))):
        return 0
    in_properties = sum(field.startswith("properties.") for field in compared)
    row = await engine.database.fetchrow(
        _TOTALS[f"measure_{source.entity.name}"], workspace.shard, workspace.id, list(LIVE)
    )
    assert row is not None
    each_ns = COMPARISON_NS * len(compared) + BYTE_NS * (
        in_properties * row["properties_bytes"] + (len(compared) - in_properties) * row["name_bytes"]
    )
    return int(row["total"] * each_ns / UNIT_NS)


def list_compared(where: Condition) -> Iterator[Comparison]:
    """The comparisons with a part of a text. What they look at beyond the record is counted by the planner."""
    match where:
        case Comparison():
            if where.operator in ("contains", "starts_with", "ends_with"):
                yield where
        case Not():
            yield from list_compared(where.term)
        case Related() | Activities() | Search():
            return
        case _:
            for term in where.terms:
                yield from list_compared(term)
