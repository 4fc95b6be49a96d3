"""Counts that processes share, each for one second."""

from kith.pending.redis_client import Trips, Unreachable

# A counter outlives its second by what clocks of processes may differ.
LIFE_MS = 10_000


class SharedCounts:
    """Counts in Redis, in the same batches as whatever else is asked of it."""

    def __init__(self, trips: Trips, prefix: str) -> None:
        self._trips = trips
        self._prefix = prefix

    async def count(self, name: str, second: int) -> int | None:
        """How often the name was counted in that second, this time included; None where Redis does not answer."""
        try:
            counted: int = await self._trips.call("count", [f"{self._prefix}:{{{name}}}:l:{second}"], LIFE_MS)
        except Unreachable:
            return None
        return counted
