"""What a query is expected to cost, by the planner's own estimate, and how much of that each tier may ask for."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from kith.clock import Clock
from kith.cql.compile import Statement, compile_plan
from kith.errors import Exposed
from kith.store.database import Database

# The planner's cost of a page of 20 that an index serves: the unit of ``estimatedCost``.
UNIT = 400.0
KEPT = timedelta(minutes=1)
KEPT_MAX = 10_000
TIER_COSTS_MAX: Mapping[str, int] = {"starter": 1_000, "growth": 10_000, "scale": 100_000}


class Costs:
    """Estimates, kept for a minute, so that a query that comes again does not pay for one."""

    def __init__(self, queries: Database, clock: Clock) -> None:
        self._queries = queries
        self._clock = clock
        self._kept: dict[bytes, tuple[datetime, int]] = {}

    async def estimate(self, key: Any, make_statement: Callable[[], Statement]) -> int:
        """In units, at least 1. ``key`` says which query of which workspace it is."""
        # A filter may take a megabyte; what is kept of it does not.
        key = hashlib.sha256(msgspec.json.encode(key)).digest()
        kept = self._kept.get(key)
        now = self._clock.now()
        if kept is not None and now - kept[0] < KEPT:
            return kept[1]
        planning = compile_plan(make_statement())
        plan = msgspec.json.decode(await self._queries.fetchval(planning.sql, *planning.values))
        top = find_innermost(plan[0]["Plan"])
        cost: int = max(1, round((float(top["Total Cost"]) - find_excess(top)) / UNIT))
        while len(self._kept) >= KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = (now, cost)
        return cost


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
