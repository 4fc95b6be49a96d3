"""How much is sent to an account in a time, by all processes together: GCRA in a row of PostgreSQL, and places.

A row holds when the next request is due if all come evenly (the theoretical arrival time of the generic cell rate
algorithm). Whoever takes a turn moves it on and waits for its own: nobody is refused, nobody polls.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from kith.store.database import Database
from kith.store.queries import load_queries

# Requests are seen where they arrive, a little sooner or later than they were sent.
MARGIN = 0.96
PLACE_POLL_S = 0.05
_SQL = load_queries("sync")


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """At most ``requests`` in any ``seconds``, of which ``burst`` may come at once; ``places``: so many under way.

    A place that is never given back, as its holder is gone, is free again after ``place_s``.
    """

    requests: int
    seconds: float
    burst: int = 1
    places: int | None = None
    place_s: float = 130

    @property
    def every_s(self) -> float:
        """The burst comes on top of what comes evenly, so that both together stay within the limit."""
        return self.seconds / (max(self.requests - self.burst, 1) * MARGIN) if self.requests > 1 else self.seconds


class Turn:
    """A turn that was taken."""

    def __init__(self, place: int | None) -> None:
        self.place = place

    def keep_place(self) -> None:
        """No answer came, and the provider may still be at work on it: the place is free when that is surely over."""
        self.place = None


class Limiter:
    """The limit of one account, whose name is ``key`` in all processes."""

    def __init__(self, database: Database, key: str, rate: Rate) -> None:
        self._database = database
        self._key = key
        self._rate = rate

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """Within it, one request may be sent."""
        turn = Turn(await self._take_place() if self._rate.places else None)
        try:
            wait_s = await self._database.fetchval(_SQL["take_turn"], self._key, self._rate.every_s, self._rate.burst)
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            yield turn
        finally:
            if turn.place is not None:
                await self._database.execute(_SQL["free_place"], self._key, turn.place)

    async def postpone(self, seconds: float) -> None:
        """Nobody's turn comes before that: what an answer 429 means for all."""
        await self._database.execute(_SQL["postpone_turns"], self._key, seconds)

    async def _take_place(self) -> int:
        places = self._rate.places
        while True:
            place: int | None = await self._database.fetchval(_SQL["take_place"], self._key, places, self._rate.place_s)
            if place is not None:
                return place
            await asyncio.sleep(PLACE_POLL_S)
