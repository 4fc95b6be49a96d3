"""Which overlay there is: the one place that chooses by the settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kith.pending.counts import SharedCounts
from kith.pending.memory import MemoryPending
from kith.pending.port import Pending
from kith.pending.redis import RedisPending
from kith.pending.trips import Trips
from kith.settings import Settings


@asynccontextmanager
async def open_pending(settings: Settings) -> AsyncIterator[tuple[Pending, SharedCounts | None]]:
    """The overlay, and counts where processes share them. Raises StartError; a Redis that is down is no error."""
    if not settings.redis_url:
        yield MemoryPending(), None
        return
    trips = Trips(settings.redis_url, settings.redis_timeout_ms)
    try:
        yield (
            RedisPending(trips, settings.redis_prefix, settings.append_timeout_ms, settings.read_timeout_ms),
            SharedCounts(trips, settings.redis_prefix),
        )
    finally:
        await trips.close()
