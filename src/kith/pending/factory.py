"""Open the pending overlay: the one place that chooses an implementation by the settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kith.pending.counts import SharedCounts
from kith.pending.memory import MemoryPending
from kith.pending.port import Pending
from kith.pending.redis import RedisPending
from kith.pending.redis_client import Trips
from kith.pending.seal import Seal
from kith.settings import Settings


@asynccontextmanager
async def open_pending(settings: Settings, secret: bytes) -> AsyncIterator[tuple[Pending, SharedCounts | None]]:
    """The overlay, and counts where processes share them. Raises StartError; a Redis that is down is no error.

    ``secret`` is the installation's: it authenticates values in Redis, and two installations on one Redis do not meet.
    """
    if not settings.redis_url:
        yield MemoryPending(), None
        return
    trips, seal = Trips(settings.redis_url, settings.redis_timeout_ms), Seal(secret)
    prefix = make_prefix(settings, seal)
    try:
        yield (
            RedisPending(trips, prefix, seal, settings.append_timeout_ms, settings.read_timeout_ms),
            SharedCounts(trips, prefix),
        )
    finally:
        await trips.close()


def make_prefix(settings: Settings, seal: Seal) -> str:
    return f"{settings.redis_prefix}:{seal.installation}"
