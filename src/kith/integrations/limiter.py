"""Rate limit of an account across all processes: GCRA in a row of PostgreSQL, and places.

A row holds when the next request is due if all come evenly (the theoretical arrival time of the generic cell rate
algorithm). A caller takes a turn, which moves that time on, and waits for it: no turn is refused, and nothing polls.
A turn that is not used at once lapses. Used late, for example after its process was suspended, its request would leave
together with those of later turns.

A place is held by saying so again and again: one whose holder is gone is free soon, however long requests may take.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime

import asyncpg
import msgspec

from kith.integrations.failures import Limited
from kith.store.database import UNANSWERED, Database
from kith.store.queries import load_queries

# Requests are seen where they arrive, a little sooner or later than they were sent.
MARGIN = 0.96
# How late a turn may be used, including the time that the database takes to answer. If the database is always slower,
# every turn would lapse: the limit is then so many times the fastest of the last answers.
LATE_MAX_S = 0.15
LATE_ANSWERS = 3
ANSWERS_SEEN = 8
PLACE_POLL_S = REST_POLL_S = 0.05
# How long a place stays taken of which its holder says no more, and how often that says it.
HELD_S, HOLD_EVERY_S = 15.0, 4.0
# When turns go on so soon, that is waited for; a longer wait is the runner's matter.
POSTPONED_WAIT_MAX_S = 30
_SQL = load_queries("sync")


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """At most ``requests`` in any ``seconds``, of which ``burst`` may come at once; ``places``: so many under way.

    A request that got no answer may be under way for ``place_s``.
    """

    requests: int
    seconds: float
    burst: int = 1
    places: int | None = None
    place_s: float = 130

    @property
    def every_s(self) -> float:
        """One more than ``requests`` takes longer than ``seconds``, also where only the first of them is late."""
        return (self.seconds / MARGIN + LATE_MAX_S) / (self.requests + 1 - self.burst)


class Turn:
    """A turn that was taken. It has to be used before ``lapses_at``, by the loop's clock."""

    def __init__(self, place_s: float, lapses_at: float) -> None:
        self._place_s = place_s
        self.lapses_at = lapses_at
        self.left_s = 0.0

    def keep_place(self) -> None:
        """No answer came, and the provider may still be at work on it: the place is free when that is surely over."""
        self.left_s = max(0.0, self.lapses_at + self._place_s - asyncio.get_running_loop().time())


class Limiter:
    """The limit of one account, whose name is ``key`` in all processes."""

    def __init__(self, database: Database, key: str, rate: Rate, rests: dict[str, float] | None = None) -> None:
        """``rests`` is shared by the limiters of a process: account -> until when it rests, by the loop's clock.

        PostgreSQL makes a rest known to other processes; in this one it holds from the moment in which it is known.
        """
        self._database = database
        self._key = key
        self._rate = rate
        self._rests = rests if rests is not None else {}
        # Of those in this process that wait for a place one looks, and the others wait for that.
        self._looking = asyncio.Lock()
        self._answers_s = deque[float](maxlen=ANSWERS_SEEN)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """Within it, one request may be sent. Raises Limited where turns are put off for longer than is waited for."""
        if self._rate.places is None:
            yield Turn(self._rate.place_s, await self._wait_for_turn())
            return
        async with self._looking:
            place = await self._take_place(self._rate.places)
        holding = asyncio.create_task(place.hold())
        left_s = 0.0
        try:
            turn = Turn(self._rate.place_s, await self._wait_for_turn())
            try:
                yield turn
            finally:
                left_s = turn.left_s
        except asyncio.CancelledError:
            left_s = HELD_S  # nobody hears the answer, which may be on its way
            raise
        finally:
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)
            await place.keep(left_s)

    async def renew(self, turn: Turn) -> None:
        """Wait for another turn if this one has lapsed. Raises Limited."""
        if asyncio.get_running_loop().time() > turn.lapses_at:
            turn.lapses_at = await self._wait_for_turn()

    @property
    def rest_s(self) -> float:
        """How long nothing may leave to the account, as far as this process knows. 0: it may."""
        return max(0.0, self._rests.get(self._key, 0.0) - asyncio.get_running_loop().time())

    def rest(self, seconds: float) -> None:
        """Let nothing leave this process to the account before that."""
        self._rests[self._key] = max(self._rests.get(self._key, 0.0), asyncio.get_running_loop().time() + seconds)

    async def postpone(self, seconds: float) -> None:
        """Nobody's turn comes before that, also of those who wait already: what an answer 429 means for all."""
        self.rest(seconds)
        await self._database.execute(_SQL["postpone_turns"], self._key, seconds)

    async def _wait_for_turn(self) -> float:
        """Answers when it lapses. One that was put off after it was taken, or that lapsed, is taken again."""
        loop = asyncio.get_running_loop()
        while True:
            asked_at = loop.time()
            values = (self._key, self._rate.every_s, self._rate.burst)
            wait_s: float = max(0.0, await self._database.fetchval(_SQL["take_turn"], *values))
            self._answers_s.append(loop.time() - asked_at)
            if wait_s > POSTPONED_WAIT_MAX_S and (until := await self._find_postponed()) is not None:
                raise Limited("No more requests may be sent to the account for now.", until)
            if wait_s or self.rest_s:
                await asyncio.sleep(max(wait_s, min(self.rest_s, REST_POLL_S)))
                if await self._find_postponed() is not None:
                    continue
            lapses_at = asked_at + wait_s + max(LATE_MAX_S, LATE_ANSWERS * min(self._answers_s))
            if not self.rest_s and loop.time() <= lapses_at:
                return lapses_at

    async def _find_postponed(self) -> datetime | None:
        until: datetime | None = await self._database.fetchval(_SQL["find_postponed"], self._key)
        return until

    async def _take_place(self, places: int) -> "_Place":
        while True:
            row = await self._database.fetchrow(_SQL["take_place"], self._key, places, HELD_S)
            if row is not None:
                return _Place(self._database, self._key, row["place"], row["taken_until"])
            await asyncio.sleep(PLACE_POLL_S)


class _Place:
    """One that was taken, until ``taken_until`` unless more is said."""

    def __init__(self, database: Database, key: str, number: int, taken_until: datetime) -> None:
        self._database = database
        self._key = key
        self._number = number
        self._taken_until: datetime | None = taken_until

    async def hold(self) -> None:
        while True:
            await asyncio.sleep(HOLD_EVERY_S)
            with suppress(*UNANSWERED, asyncpg.PostgresError):
                await self.keep(HELD_S)

    async def keep(self, seconds: float) -> None:
        """From now on for so long, 0 to give it back. Nothing happens where it was lost to another."""
        values = (self._key, self._number, self._taken_until, seconds)
        self._taken_until = await self._database.fetchval(_SQL["keep_place"], *values)
