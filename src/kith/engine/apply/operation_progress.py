"""Progress of commands about all records: written while a batch is applied, and read by operations."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterable, Mapping
from time import perf_counter
from typing import Literal, NamedTuple

import structlog

from kith.engine.apply.decisions import LoggedCommand
from kith.store.database import Database
from kith.store.queries import load_queries

# Whose ids are walked; associations go by those of their contacts.
Walk = Literal["contact", "company"]
EVERY_S = 1.0
# What is told is an aid: the batch waits no longer for it, and after a failure leaves it for a while.
WRITE_TIMEOUT_S = 1.0
RETRY_S = 10.0
_SQL = load_queries("tallies")
_LAST_IDS = load_queries("lists")["load_last_ids"]
logger = structlog.get_logger(__name__)


class Figure(NamedTuple):
    """Records that were looked at, and that will have been; one that is looked at twice counts twice."""

    done: int
    total: int


class Tally:
    """That of one command.

    What it does comes in walks over all ids of an entity: values are surveyed, a slot is cleared, values are converted,
    lists are evaluated. ``done`` and ``total`` are those of all walks, the ones that are expected included, so neither
    ever shrinks. It writes by another connection than the batch's, whose transaction nobody sees into, and at most once
    in ``every_s``: what is done sooner costs nothing. No failure of it reaches the batch.
    """

    def __init__(self, database: Database, shard: int, placed: LoggedCommand, every_s: float = EVERY_S) -> None:
        self._database = database
        self._shard = shard
        self._placed = placed
        self._every_s = every_s
        self._due_s = perf_counter() + every_s
        self._behind: Counter[Walk] = Counter()
        self._ahead: Counter[Walk] = Counter()
        self._at: tuple[Walk, int] | None = None
        self._last_ids: Mapping[str, int] | None = None
        self._tried = False

    def expect(self, walks: Iterable[Walk]) -> None:
        """These at least are ahead."""
        self._ahead |= Counter(walks)

    def begin(self, walk: Walk) -> None:
        """The next walk, expected or not; that before it is over."""
        if self._at is not None:
            self._behind[self._at[0]] += 1
        self._ahead -= Counter([walk])
        self._at = (walk, 0)

    async def reach(self, number: int) -> None:
        """The walk has come to this id, which may lie behind the last."""
        assert self._at is not None
        self._at = (self._at[0], number)
        if perf_counter() >= self._due_s:
            self._tried = True
            told = await self._try(self._save())
            self._due_s = perf_counter() + (self._every_s if told else RETRY_S)

    async def end(self) -> None:
        """The command is applied, or has to be tried again: nothing is told of it any more."""
        if self._tried:
            await self._try(self._database.execute(_SQL["delete_tally"], *self._key))

    def count(self, last_ids: Mapping[str, int]) -> Figure:
        """With the last id of each entity."""
        done = sum(last_ids[walk] * times for walk, times in self._behind.items())
        total = done + sum(last_ids[walk] * times for walk, times in self._ahead.items())
        if self._at is not None:
            walk, number = self._at
            done, total = done + min(number, last_ids[walk]), total + last_ids[walk]
        return Figure(done, total)

    @property
    def _key(self) -> tuple[int, int, str]:
        envelope = self._placed.envelope
        return self._shard, envelope.workspace_id, envelope.operation_id

    async def _save(self) -> None:
        async with self._database.acquire() as connection:
            if self._last_ids is None:
                # They stay what they are: nothing else is applied in the meantime.
                row = await connection.fetchrow(_LAST_IDS, self._shard, self._placed.envelope.workspace_id)
                assert row is not None
                self._last_ids = dict(row)
            figure = self.count(self._last_ids)
            await connection.execute(_SQL["save_tally"], *self._key, self._placed.position, *figure)

    async def _try(self, writing: Awaitable[object]) -> bool:
        """Whether it succeeded, in time."""
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await writing
        except Exception as error:  # noqa: BLE001 - the batch goes on, whatever it is
            logger.warning("progress cannot be told", operation=self._key[2], error=repr(error))
            return False
        return True


async def find_figure(database: Database, shard: int, workspace_id: int, operation_id: str) -> Figure | None:
    """What is told of an operation that has not ended."""
    row = await database.fetchrow(_SQL["find_tally"], shard, workspace_id, operation_id)
    return Figure(row["done"], row["total"]) if row is not None else None
