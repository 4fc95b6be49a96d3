"""The one way through: the writer takes batches from the log and applies each in one transaction."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import asyncpg
import structlog

from kith.clock import Clock
from kith.engine.aftermath import Aftermath
from kith.engine.batches import Batch, cut_batch, decode_entry, list_up_to
from kith.engine.decisions import Decided, decide_batch, list_keys, list_operations
from kith.engine.list_catalogue import ListCatalogue
from kith.engine.poison import check_poison, keep_entry, know_retry, reject
from kith.engine.schemas import Schemas
from kith.engine.surveys import survey_batch
from kith.engine.tally import EVERY_S, Tally
from kith.errors import BrokenLog, ConflictingWriter, Internal, Unavailable
from kith.log.port import Entry, Log
from kith.model.commands import Envelope
from kith.settings import Settings
from kith.store import batch as store
from kith.store import dead_letters
from kith.store.database import UNANSWERED, Database
from kith.store.queries import load_queries

TRIES_ALONE_MAX = 3
RECONNECT_S = 0.25
# More than this in a batch is load: let the next one grow, as each costs a dozen round trips however small. Who waits
# for a 202 has the processor meanwhile: at 1,000 creates a second their median went from 4.8 to 3.7 ms on Kafka.
BUSY_COMMANDS = 1
GATHER_S = 0.01
READ_MIN = 16
# What PostgreSQL may hold against an entry itself: its values, a constraint, a size. All else is the state of things.
ENTRYS_FAULT = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
_LOG = load_queries("log")
logger = structlog.get_logger(__name__)


class _Plan(NamedTuple):
    """What a batch will store, decided before its transaction begins.

    ``rows`` are None where they are made within it, as the batch has an aftermath; ``tally`` is that of a command that
    stands alone, and so does a ``retry``.
    """

    last: int
    decided: Decided
    rows: Mapping[str, str] | None
    poison: list[tuple[Entry, str]]
    tally: Tally | None
    retry: Envelope | None


class _Portion(NamedTuple):
    """Entries of the log and their plan; None where that failed, and is tried again when their turn comes."""

    entries: list[Entry]
    plan: _Plan | None


class Writer:
    """Applies the log of the shards that it owns. One for each partition; the cursor refuses a second."""

    def __init__(
        self,
        database: Database,
        log: Log,
        clock: Clock,
        settings: Settings,
        tally_every_s: float = EVERY_S,
        set_aside: Mapping[tuple[int, int], bool] | None = None,
    ) -> None:
        """``set_aside``: (shard, position) of what is not to be tried, and whether the entry's operation is ended.

        It tells a replay what came of entries whose cause may be gone by now.
        """
        self._database = database
        self._log = log
        self._clock = clock
        self._tally_every_s = tally_every_s
        self._batch_max = settings.batch_commands_max
        self._poll_s = settings.poll_ms / 1000
        self._read_max = settings.batch_commands_max
        self._positions: dict[int, int] = {}
        self._schema_positions: dict[int, int] = {}
        self._schemas = Schemas()
        self._lists = ListCatalogue(self._schemas)
        # By shard, what is made ready behind the batch that is being stored.
        self._ahead: dict[int, asyncio.Task[_Portion]] = {}
        self._not_tried = set_aside or {}

    async def run(self, stop: asyncio.Event) -> None:
        """Apply what comes until told to stop; the batch at hand is finished.

        Raises ConflictingWriter, unless the log shares the shards out: then another writer has one by now, which is
        how they move.
        """
        heads: dict[int, int] | None = None
        while not stop.is_set():
            try:
                applied = await self.drain(stop, heads)
                if applied > BUSY_COMMANDS and not stop.is_set():
                    await asyncio.sleep(GATHER_S)
                heads = await self._log.wait(self._poll_s)
            except Exception as error:
                heads = None
                if isinstance(error, ConflictingWriter) and self._log.is_shared_out:
                    logger.warning("another writer has the partition by now; going on with the rest", error=str(error))
                elif is_passing(error):
                    logger.warning(
                        "what the writer needs does not serve; trying again", error=str(error) or repr(error)
                    )
                else:
                    raise
                self._positions.clear()
                await asyncio.sleep(RECONNECT_S)

    async def warm_up(self) -> None:
        """Let the first command wait for nothing that can be done before it."""
        async with self._database.acquire() as connection:
            await store.warm_up(connection)

    async def drain(self, stop: asyncio.Event | None = None, heads: dict[int, int] | None = None) -> int:
        """Apply all that is on the log of its shards when it begins, in turns; the number of entries.

        ``heads`` are where the log of each ends, where that is known.
        """
        heads = heads or await self._log.load_owned_heads()
        if heads.keys() - self._positions.keys():
            # Shards that came to it were another's until now.
            await self.load_positions()
        self._positions = {shard: self._positions.get(shard, 0) for shard in heads}
        if any(position > heads[shard] for shard, position in self._positions.items()):
            # The cursors may have moved on since the heads were asked for.
            heads = await self._load_heads_again(heads)
        applied = 0
        behind = list(heads)
        try:
            while behind := [shard for shard in behind if self._positions[shard] < heads[shard]]:
                for shard in behind:
                    if stop and stop.is_set():
                        return applied
                    applied += await self._apply_next(shard, heads[shard])
        finally:
            await self._end_ahead()
        return applied

    async def _load_heads_again(self, heads: dict[int, int]) -> dict[int, int]:
        """Raises BrokenLog where the log ends before what is applied: what is appended there would be passed over."""
        later = await self._log.load_heads()
        for shard, position in self._positions.items():
            if position > later[shard]:
                raise BrokenLog(
                    f"Partition {shard} is applied up to {position}, and its log ends at {later[shard]}. Was it made"
                    " anew, or restored from an older copy? This writer stops rather than pass over what is appended."
                )
        return {shard: later[shard] for shard in heads}

    async def load_positions(self) -> None:
        """Begin where the cursors stand: they are the truth."""
        rows = await self._database.fetch(_LOG["load_cursors"])
        self._positions = {row["shard"]: row["position"] for row in rows}
        self._schema_positions = {row["shard"]: row["schema_position"] for row in rows}

    async def _apply_next(self, shard: int, head: int) -> int:
        """Apply the next portion, and make the one behind it ready while PostgreSQL stores."""
        entries, plan = await self._get_portion(shard)
        last = entries[-1].position
        if plan is not None and plan.rows is not None and last < head:
            ready = asyncio.create_task(self._make_ready(shard, last, plan.decided))
            ready.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._ahead[shard] = ready
        try:
            await self._apply(shard, entries, plan)
        finally:
            if self._positions.get(shard) != last:
                self._forget_ahead(shard)
        return len(entries)

    async def _get_portion(self, shard: int) -> _Portion:
        ready = self._ahead.pop(shard, None)
        return await (ready or self._make_ready(shard, self._positions.get(shard, 0), None))

    def _forget_ahead(self, shard: int) -> None:
        """What was made ready stands on a batch that was not stored."""
        ready = self._ahead.pop(shard, None)
        if ready is not None:
            ready.cancel()

    async def _end_ahead(self) -> None:
        """Nothing is made ready any more."""
        making = list(self._ahead.values())
        for shard in list(self._ahead):
            self._forget_ahead(shard)
        await asyncio.gather(*making, return_exceptions=True)

    async def _make_ready(self, shard: int, after: int, before: Decided | None) -> _Portion:
        """The portion behind a position, decided on top of ``before``, the batch that is being stored meanwhile."""
        entries = await self._log.read(shard, after, min(self._read_max, self._batch_max))
        if [entry.position for entry in entries] != list(range(after + 1, after + 1 + len(entries))) or not entries:
            raise BrokenLog(
                f"Partition {shard} is applied up to {after}, and its log does not go on at {after + 1}. Was it trimmed"
                " or restored in part? This writer stops rather than pass over writes that were acknowledged."
            )
        first = entries[:1]
        entries = self._list_tried(shard, entries)
        if not entries:
            return _Portion(first, None)
        try:
            batch = await self._cut(shard, entries)
            if before is not None and batch.alone:
                return _Portion(list_up_to(batch.last, entries), None)
            plan = await self._make_plan(shard, batch, before)
            used = list_up_to(plan.last, entries)
            # Where batches are short, entries would be read and decoded again for each of them.
            self._read_max = min(2 * len(used) + READ_MIN, self._batch_max)
            return _Portion(used, plan)
        except Exception as error:
            if is_passing(error) or isinstance(error, Internal):
                raise
            return _Portion(entries, None)

    def _list_tried(self, shard: int, entries: list[Entry]) -> list[Entry]:
        """The first entries, up to one that is not tried."""
        ends = (n for n, entry in enumerate(entries) if (shard, entry.position) in self._not_tried)
        return entries[: next(ends, len(entries))] if self._not_tried else entries

    async def _apply(self, shard: int, entries: Sequence[Entry], plan: _Plan | None = None) -> None:
        """Apply the entries, in as many batches as they make."""
        while entries:
            entries = await self._apply_first(shard, entries, plan)
            plan = None

    async def _apply_first(self, shard: int, entries: Sequence[Entry], plan: _Plan | None) -> Sequence[Entry]:
        """Apply the first batch of the entries, and answer the rest.

        Where they cannot be applied together, halve until the one that fails stands alone.
        """
        if (has_operation := self._not_tried.get((shard, entries[0].position))) is not None:
            await self._set_aside(shard, entries[0], "It was set aside before.", ends_operation=has_operation)
            return entries[1:]
        tries = 1 if len(entries) > 1 else TRIES_ALONE_MAX
        for remaining in range(tries - 1, -1, -1):
            try:
                plan = plan or await self._make_plan(shard, await self._cut(shard, entries))
                await self._store(shard, plan)
                break
            except Exception as error:
                plan = None
                self._forget_ahead(shard)
                if isinstance(error, Internal) or is_passing(error):
                    raise
                logger.warning("a batch failed", shard=shard, entries=len(entries), error=repr(error))
                if remaining == 0 and len(entries) == 1:
                    await self._set_aside(shard, entries[0], repr(error))
                    return ()
        else:
            middle = len(entries) // 2
            await self._apply(shard, entries[:middle])
            return entries[middle:]
        return entries[len(list_up_to(plan.last, entries)) :]

    async def _cut(self, shard: int, entries: Sequence[Entry]) -> Batch:
        """The first of the entries, as many as make a batch."""
        decoded = [(entry, decode_entry(entry)) for entry in entries]
        workspaces = {one.workspace_id for _, one in decoded if isinstance(one, Envelope)}
        stamp = self._schema_positions.get(shard, 0)
        if self._lists.list_missing(workspaces, stamp):
            async with self._database.acquire() as connection:
                await self._lists.load(connection, shard, workspaces, stamp)
        return cut_batch(decoded, self._lists.get)

    async def _make_plan(self, shard: int, batch: Batch, before: Decided | None = None) -> _Plan:
        """Decide the batch on the committed state, with what ``before`` will have changed."""
        tally = Tally(self._database, shard, batch.placed[0], self._tally_every_s) if batch.alone else None
        try:
            return await self._decide(shard, batch, before, tally)
        except BaseException:
            if tally is not None:
                await tally.end()
            raise

    async def _decide(self, shard: int, batch: Batch, before: Decided | None, tally: Tally | None) -> _Plan:
        placed = batch.placed
        async with self._database.acquire() as connection:
            ids = list_operations(placed) if placed else None
            counters, known = await store.load_beginning(connection, shard, *ids) if ids else ({}, set())
            stamp = self._schema_positions.get(shard, 0)
            records = await self._schemas.load_records(connection, shard, list_keys(placed).to_refs(), stamp)
            retry = placed[0].envelope if placed and placed[0].envelope.retry_of is not None else None
            if retry is not None:
                known = await know_retry(connection, shard, retry, known)
            surveys = await survey_batch(connection, shard, placed, records, tally) if tally is not None else None
        now = self._clock.now()
        decided = await decide_batch(placed, records, counters, known, now, before, surveys, self._lists.get)
        last = batch.last if decided.stopped_at is None else decided.stopped_at - 1
        poison = [(entry, reason) for entry, reason in batch.poison if entry.position <= last]
        rows = None if batch.has_aftermath else await decided.make_rows()
        return _Plan(last, decided, rows, poison, tally, retry)

    async def _store(self, shard: int, plan: _Plan) -> None:
        """The one transaction of a batch. Raises ConflictingWriter where another writer was here."""
        try:
            await self._commit(shard, plan)
        finally:
            if plan.tally is not None:
                await plan.tally.end()

    async def _commit(self, shard: int, plan: _Plan) -> None:
        async with self._database.acquire() as connection, connection.transaction():
            changes_schemas = plan.decided.changes_schemas
            before = self._positions.get(shard, 0)
            await store.move_cursor(connection, shard, before, plan.last, changes_schemas=changes_schemas)
            rows = plan.rows
            if rows is None:
                await store.save(connection, shard, await plan.decided.make_record_rows())
                await Aftermath(connection, shard, plan.decided, self._lists.get, plan.tally).run()
                rows = plan.decided.make_outcome_rows()
            if plan.retry is not None and plan.decided.list_operations():
                await dead_letters.delete_rejection(connection, shard, plan.retry)
            await store.save(connection, shard, rows)
            if plan.retry is not None:
                await dead_letters.settle_by_operation(connection, shard, plan.last, plan.retry)
            now = self._clock.now()
            kept = [one for one in plan.poison if await keep_entry(connection, shard, *one, now)]
            for entry, reason in kept:
                logger.error("an entry cannot be decoded", shard=shard, position=entry.position, reason=reason)
        for entry, reason in kept:
            await self._log.bury(shard, entry, reason)
        self._positions[shard] = plan.last
        if changes_schemas:
            self._schema_positions[shard] = plan.last

    async def _set_aside(self, shard: int, entry: Entry, reason: str, *, ends_operation: bool = True) -> None:
        """Keep the entry with its reason, end its operation as REJECTED, and go on behind it. Raises PoisonedLog."""
        if (shard, entry.position) not in self._not_tried:
            async with self._database.acquire() as connection:
                await check_poison(connection, shard, entry, reason)
        for keep in (reject, keep_entry) if ends_operation else (keep_entry,):
            try:
                async with self._database.acquire() as connection, connection.transaction():
                    await store.move_cursor(connection, shard, self._positions.get(shard, 0), entry.position)
                    kept = await keep(connection, shard, entry, reason, self._clock.now())
                break
            except Exception as error:
                if keep is keep_entry or isinstance(error, Internal) or is_passing(error):
                    raise
                # Not even that can be stored; the entry alone always can.
                logger.warning("an operation cannot be ended", shard=shard, position=entry.position, error=repr(error))
        self._positions[shard] = entry.position
        if kept:
            await self._log.bury(shard, entry, reason)
            logger.error("an entry was set aside", shard=shard, position=entry.position, reason=reason)


def is_passing(error: Exception) -> bool:
    """Whether a failure says nothing about the command that it hit: then it is tried again, for ever.

    A missing column or privilege, a full disk, a broken index or a lock are no reason to set aside what was accepted.
    """
    if isinstance(error, asyncpg.PostgresError):
        return not isinstance(error, ENTRYS_FAULT)
    return isinstance(error, (*UNANSWERED, MemoryError, Unavailable))
