"""Estimated cost of queries, by PostgreSQL's planner, and the limit of each tier.

And whether PostgreSQL has to plan it for its values, which may take longer than the query itself.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

import msgspec

from kith.clock import Clock
from kith.cql.compile import Statement, compile_plan
from kith.errors import Exposed
from kith.store.database import Database
from kith.store.queue import Places

# The planner's cost of a page of 20 that an index serves: the unit of ``estimatedCost``.
UNIT = 400.0
# From here on a query may keep a processor busy for tens of milliseconds: it waits for a place.
LONG_COST = 50
KEPT = timedelta(minutes=1)
KEPT_MAX = 10_000
T = TypeVar("T")
TIER_COSTS_MAX: Mapping[str, int] = {"starter": 1_000, "growth": 10_000, "scale": 100_000}


Outline = tuple[Any, ...]


class Estimate(NamedTuple):
    """``is_general``: the plan for these values is the one for any, so that it need not be made again."""

    cost: int
    is_general: bool


class Costs:
    """Estimates, kept for a minute, so that a query that comes again does not pay for one."""

    def __init__(self, queries: Database, general: Database, clock: Clock) -> None:
        self._queries = queries
        self._general = general
        self._clock = clock
        self._kept: dict[bytes, tuple[datetime, Estimate]] = {}
        self._outlines: dict[bytes, tuple[datetime, bytes]] = {}

    async def estimate(
        self, workspace_id: int, key: Any, statement: Statement, price: Callable[[int], Awaitable[int]]
    ) -> Estimate:
        """In units, at least 1. ``key`` says which query of the workspace it is.

        ``price`` gets the planner's cost, and answers what is added to it.
        """
        # A filter may take a megabyte; what is kept of it does not.
        key = hashlib.sha256(msgspec.json.encode((workspace_id, key))).digest()
        kept = self._find(self._kept, key)
        if kept is not None:
            return kept
        planned = await self._estimate(workspace_id, statement)
        return self._keep(self._kept, key, planned._replace(cost=planned.cost + await price(planned.cost)))

    async def _estimate(self, workspace_id: int, statement: Statement) -> Estimate:
        planning = compile_plan(statement)
        planned = await self._queries.fetchval(planning.sql, *planning.values, workspace_id=workspace_id)
        plan = msgspec.json.decode(planned)
        top = find_innermost(plan[0]["Plan"])
        cost = max(1, round((float(top["Total Cost"]) - find_excess(top)) / UNIT))
        return Estimate(cost, digest(outline(top)) == await self._outline_general(workspace_id, statement))

    async def _outline_general(self, workspace_id: int, statement: Statement) -> bytes:
        """The digest of that of the plan for whatever values."""
        key = hashlib.sha256(statement.sql.encode()).digest()
        kept = self._find(self._outlines, key)
        if kept is not None:
            return kept
        async with self._general.acquire(workspace_id) as connection:
            await connection.execute(f"PREPARE kith_general AS {statement.sql}")
            nothing = ", ".join(["NULL"] * len(statement.values))
            values = f" ({nothing})" if nothing else ""
            plan = msgspec.json.decode(await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE kith_general{values}"))
            await connection.execute("DEALLOCATE kith_general")
        return self._keep(self._outlines, key, digest(outline(find_innermost(plan[0]["Plan"]))))

    def _find(self, kept: dict[bytes, tuple[datetime, T]], key: bytes) -> T | None:
        at, one = kept.get(key, (None, None))
        return one if at is not None and self._clock.now() - at < KEPT else None

    def _keep(self, kept: dict[bytes, tuple[datetime, T]], key: bytes, one: T) -> T:
        while len(kept) >= KEPT_MAX:
            del kept[next(iter(kept))]
        kept[key] = (self._clock.now(), one)
        return one


def outline(plan: Mapping[str, Any]) -> Outline:
    """What a plan does, whatever the values: its nodes, their indexes, and how many conditions each is looked up by."""
    return (
        *(plan.get(name) for name in ("Node Type", "Join Type", "Relation Name", "Index Name", "Scan Direction")),
        str(plan.get("Index Cond", "")).count(" AND "),
        "Filter" in plan,
        *map(outline, plan.get("Plans", ())),
    )


def digest(found: Outline) -> bytes:
    """An outline is as large as its filter; what is kept of it is not."""
    return hashlib.sha256(msgspec.json.encode(found)).digest()


def find_innermost(plan: dict[str, Any]) -> dict[str, Any]:
    """The plan that a distributed database sends to where the rows are; elsewhere it is the plan itself."""
    for task in plan.get("Distributed Query", {}).get("Job", {}).get("Tasks", ()):
        inner: dict[str, Any] = task["Remote Plan"][0][0]["Plan"]
        return inner
    return plan


def find_excess(plan: dict[str, Any]) -> float:
    """What the planner counts of parts that a page will not begin, as those before them are expected to fill it.

    A sort by what may be missing is such a page: rows with a value, and then all the others.
    """
    below = plan.get("Plans", [])
    if plan["Node Type"] == "Limit" and below[0]["Node Type"] == "Append":
        first = below[0]["Plans"][0]
        if first["Plan Rows"] >= plan["Plan Rows"]:
            return float(plan["Total Cost"]) - float(first["Total Cost"])
    return sum(map(find_excess, below))


def is_long(cost: int) -> bool:
    return cost >= LONG_COST


def take_turn(places: Places, workspace_id: int, cost: int) -> AbstractAsyncContextManager[None]:
    """A place for a query that is expected to take long; nothing for any other. Raises as ``Places.hold``."""
    return places.hold(workspace_id) if is_long(cost) else nullcontext()


def check_cost(cost: int, tier: str) -> None:
    """Raises QUERY_TOO_EXPENSIVE above what the key's tier may ask for."""
    ceiling = TIER_COSTS_MAX.get(tier)
    if ceiling is not None and cost > ceiling:
        raise Exposed(
            "QUERY_TOO_EXPENSIVE",
            f"The query would cost about {cost:,}; a key of tier {tier} may ask for {ceiling:,}. A condition that an"
            " index serves makes it cheaper (explain: true tells which are), or an index on the property"
            ' (PATCH /crm/properties/… {"isIndexed": true}).',
            {"estimatedCost": cost, "limit": ceiling, "tier": tier},
        )
