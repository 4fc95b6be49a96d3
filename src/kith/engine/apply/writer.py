"""The one way through: the writer takes batches from the log and applies each in one transaction.

Each shard has a task of its own, so that none waits for another. They share connections, by ``Turns``.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

import structlog

from kith.clock import Clock
from kith.engine.apply.batches import Batch, cut_batch, decode_entry, list_up_to
from kith.engine.apply.bulk_effects import BulkEffects
from kith.engine.apply.dead_letters import (
    Recorded,
    check_poison,
    is_passing,
    is_taken_id,
    keep_entry,
    load_retry_operations,
    reject,
)
from kith.engine.apply.decisions import Decided, decide_batch, list_keys, list_operations
from kith.engine.apply.operation_progress import EVERY_S, Tally
from kith.engine.apply.plans import Plan, Portion
from kith.engine.apply.slow_lists import SlowBatch, SlowLists
from kith.engine.apply.turns import Turns
from kith.engine.apply.value_conversion import survey_batch
from kith.engine.context.property_schemas import Schemas
from kith.engine.lists.dynamic_lists import DynamicLists
from kith.engine.lists.list_cache import ListCache
from kith.engine.lists.list_costs import ListCosts, ListTooSlow
from kith.errors import BrokenLog, ConflictingWriter, Internal
from kith.log.port import Entry, Log
from kith.model.commands import Envelope
from kith.settings import Settings
from kith.store import batch as store
from kith.store import broken_lists, dead_letters
from kith.store.database import Database
from kith.store.queries import load_queries

TRIES_ALONE_MAX = 3
RECONNECT_S = 0.25
# More than this in a batch is load: let the next one grow, as each costs a dozen round trips however small. Who waits
# for a 202 has the processor meanwhile: at 1,000 creates a second their median went from 4.8 to 3.7 ms on Kafka.
BUSY_COMMANDS = 1
GATHER_S = 0.01
READ_MIN = 16
_LOG = load_queries("log")
logger = structlog.get_logger(__name__)


class Writer:
    """Applies the log of the shards that it owns. One for each partition; the cursor refuses a second."""

    def __init__(
        self,
        database: Database,
        log: Log,
        clock: Clock,
        settings: Settings,
        tally_every_s: float = EVERY_S,
        recorded: Recorded | None = None,
    ) -> None:
        """``recorded`` is for a replay: what the log does not tell. Then no list has a budget."""
        self._database = database
        self._log = log
        self._clock = clock
        self._tally_every_s = tally_every_s
        self._batch_max = settings.batch_commands_max
        self._timeout_ms = settings.write_timeout_ms
        self._poll_s = settings.poll_ms / 1000
        self._read_max = settings.batch_commands_max
        self._turns = Turns(settings.pool_connections_max)
        self._heads: dict[int, int] = {}
        self._positions: dict[int, int] = {}
        self._schema_positions: dict[int, int] = {}
        self._running: dict[int, asyncio.Task[None]] = {}
        self._schemas = Schemas()
        self._lists = ListCache(self._schemas)
        self._costs = ListCosts(settings.list_budget_ms if recorded is None else None)
        self._slow = SlowLists(
            self._costs, settings.batch_commands_max, recorded.broken if recorded is not None else {}
        )
        # Shards whose batch makes a record with an id that another has: there ids are looked up.
        self._looking_up: set[int] = set()
        # By shard, what is made ready behind the batch that is being stored.
        self._ahead: dict[int, asyncio.Task[Portion]] = {}
        self._is_replay = recorded is not None
        self._not_tried = recorded.set_aside if recorded is not None else {}

    async def run(self, stop: asyncio.Event) -> None:
        """Apply what comes until told to stop; the batches at hand are finished.

        Raises ConflictingWriter, unless the log shares the shards out: then another writer has one by now, which is
        how they move.
        """
        heads: dict[int, int] | None = None
        news: asyncio.Task[dict[int, int] | None] | None = None
        try:
            while not stop.is_set():
                try:
                    await self._learn_heads(heads)
                    for shard, head in self._heads.items():
                        if shard not in self._running and self._positions[shard] < head:
                            self._running[shard] = asyncio.create_task(self._keep_up(shard, stop))
                    news = news or asyncio.create_task(self._log.wait(self._poll_s))
                    await asyncio.wait({news, *self._running.values()}, return_when=asyncio.FIRST_COMPLETED)
                    for shard in [shard for shard, running in self._running.items() if running.done()]:
                        self._running.pop(shard).result()
                    heads = self._heads
                    if news.done():
                        ended, news = news, None
                        heads = ended.result()
                except Exception as error:  # noqa: BLE001 - what does not pass is raised again
                    heads = None
                    self._bear(error)
                    await asyncio.sleep(RECONNECT_S)
            await asyncio.gather(*self._running.values())
        finally:
            tasks = [*self._running.values(), *([news] if news is not None else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._running.clear()
            await self._end_ahead()

    def _bear(self, error: Exception) -> None:
        """Log a failure that passes; raise any other."""
        if isinstance(error, ConflictingWriter) and self._log.is_shared_out:
            logger.warning("another writer has the partition by now; going on with the rest", error=str(error))
        elif is_passing(error):
            logger.warning("what the writer needs does not serve; trying again", error=str(error) or repr(error))
        else:
            raise error

    async def _keep_up(self, shard: int, stop: asyncio.Event) -> None:
        """Apply the log of a shard up to its end. Its failures hold up no other shard."""
        while not stop.is_set() and shard in self._heads:
            try:
                if shard not in self._positions:
                    await self._load_positions([shard])
                applied = await self._drain_shard(shard, stop)
                if applied > BUSY_COMMANDS and not stop.is_set():
                    await asyncio.sleep(GATHER_S)
                if self._positions[shard] >= self._heads.get(shard, 0):
                    return
            except Exception as error:  # noqa: BLE001 - what does not pass is raised again
                self._bear(error)
                self._positions.pop(shard, None)
                await asyncio.sleep(RECONNECT_S)

    async def warm_up(self) -> None:
        """Let the first command wait for nothing that can be done before it."""
        async with self._database.acquire() as connection:
            await store.warm_up(connection)

    async def drain(self, stop: asyncio.Event | None = None, heads: dict[int, int] | None = None) -> int:
        """Apply all that is on the log of its shards when it begins, or up to ``heads``; the number of entries."""
        await self._learn_heads(heads)
        behind = [shard for shard, head in self._heads.items() if self._positions[shard] < head]
        if len(behind) == 1:
            return await self._drain_shard(behind[0], stop)
        ended = await asyncio.gather(*(self._drain_shard(shard, stop) for shard in behind), return_exceptions=True)
        for one in ended:
            if isinstance(one, BaseException):
                raise one
        return sum(one for one in ended if isinstance(one, int))

    async def _drain_shard(self, shard: int, stop: asyncio.Event | None) -> int:
        """Apply the log of a shard up to where it is known to end by now; the number of entries.

        What comes meanwhile is for the next time: else batches under load would stay as small as the first.
        """
        applied, head = 0, self._heads.get(shard, 0)
        try:
            while self._positions[shard] < head and shard in self._heads and not (stop and stop.is_set()):
                applied += await self._apply_next(shard, head)
        finally:
            await self._end_ahead(shard)
        return applied

    async def _learn_heads(self, heads: dict[int, int] | None) -> None:
        """Take in where the log of each owned shard ends. Raises BrokenLog where it ends before what is applied."""
        heads = heads or await self._log.load_owned_heads()
        missing = [shard for shard in heads if shard not in self._positions and shard not in self._running]
        if missing:
            # Shards that came to it were another's until now.
            await self._load_positions(missing)
        for shard in self._positions.keys() - heads.keys():
            del self._positions[shard]
        positions = dict(self._positions)
        if any(position > heads[shard] for shard, position in positions.items()):
            # The cursors may have moved on since the heads were asked for.
            later = await self._log.load_heads()
            for shard, position in positions.items():
                if position > later[shard]:
                    raise BrokenLog(
                        f"Partition {shard} is applied up to {position}, and its log ends at {later[shard]}. Was it"
                        " made anew, or restored from an older copy? This writer stops rather than pass over what is"
                        " appended."
                    )
            heads = {shard: later[shard] for shard in heads}
        self._heads = heads

    async def load_positions(self) -> None:
        """Begin where the cursors stand: they are the truth."""
        self._positions.clear()
        await self._load_positions(None)

    async def _load_positions(self, shards: Sequence[int] | None) -> None:
        for row in await self._database.fetch(_LOG["load_cursors"]):
            if shards is None or row["shard"] in shards:
                self._positions[row["shard"]] = row["position"]
                self._schema_positions[row["shard"]] = row["schema_position"]

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

    async def _get_portion(self, shard: int) -> Portion:
        ready = self._ahead.pop(shard, None)
        return await (ready or self._make_ready(shard, self._positions[shard], None))

    def _forget_ahead(self, shard: int) -> None:
        """What was made ready stands on a batch that was not stored."""
        ready = self._ahead.pop(shard, None)
        if ready is not None:
            ready.cancel()

    async def _end_ahead(self, shard: int | None = None) -> None:
        """Nothing is made ready any more, for one shard or for all."""
        making = {one: ready for one, ready in self._ahead.items() if shard is None or one == shard}
        for one in making:
            self._forget_ahead(one)
        await asyncio.gather(*making.values(), return_exceptions=True)

    async def _make_ready(self, shard: int, after: int, before: Decided | None) -> Portion:
        """The portion behind a position, decided on top of ``before``, the batch that is being stored meanwhile."""
        limit = min(self._read_max, self._batch_max, self._slow.find_size(shard))
        entries = await self._log.read(shard, after, limit)
        if [entry.position for entry in entries] != list(range(after + 1, after + 1 + len(entries))) or not entries:
            raise BrokenLog(
                f"Partition {shard} is applied up to {after}, and its log does not go on at {after + 1}. Was it trimmed"
                " or restored in part? This writer stops rather than pass over writes that were acknowledged."
            )
        first = entries[:1]
        entries = self._list_tried(shard, entries)
        if not entries:
            return Portion(first, None)
        if before is not None and self._slow.find_broken(shard, entries[0].position):
            return Portion(entries, None)
        try:
            batch, lists = await self._cut(shard, entries)
            breaks = before is not None and self._slow.find_broken(shard, batch.first)
            if batch.alone or breaks:
                self._read_max = min(READ_MIN, self._batch_max)
                return Portion(list_up_to(batch.last, entries), None)
            plan = await self._make_plan(shard, batch, lists, before)
            used = list_up_to(plan.last, entries)
            # Where batches are short, entries would be read and decoded again for each of them.
            self._read_max = min(2 * len(used) + READ_MIN, self._batch_max)
            return Portion(used, plan)
        except Exception as error:
            if is_passing(error) or isinstance(error, Internal):
                raise
            return Portion(entries, None)

    def _list_tried(self, shard: int, entries: list[Entry]) -> list[Entry]:
        """The first entries, up to one that is not tried or that breaks a list."""
        if not self._is_replay:
            return entries
        for n, entry in enumerate(entries):
            place = (shard, entry.position)
            if place in self._not_tried or (n > 0 and self._slow.breaks_at(place)):
                return entries[:n]
        return entries

    async def _apply(self, shard: int, entries: Sequence[Entry], plan: Plan | None = None) -> None:
        """Apply the entries, in as many batches as they make."""
        while entries:
            entries = await self._apply_first(shard, entries, plan)
            plan = None

    async def _apply_first(self, shard: int, entries: Sequence[Entry], plan: Plan | None) -> Sequence[Entry]:
        """Apply the first batch of the entries, and answer the rest.

        Where they cannot be applied together, halve until the one that fails stands alone. Where it is a list that
        takes too long, try again with fewer commands, and for a single command without the list.
        """
        if (has_operation := self._not_tried.get((shard, entries[0].position))) is not None:
            await self._set_aside(shard, entries[0], "It was set aside before.", ends_operation=has_operation)
            return entries[1:]
        tries = 1 if len(entries) > 1 else TRIES_ALONE_MAX
        tried: set[int] = set()
        while True:
            try:
                plan = await self._apply_plan(shard, entries[: self._slow.find_size(shard)], plan)
                return entries[len(list_up_to(plan.last, entries)) :]
            except SlowBatch as error:
                plan = None
                self._forget_ahead(shard)
                self._slow.note_failed(shard, error, tried)
            except Exception as error:
                plan = None
                self._forget_ahead(shard)
                if isinstance(error, Internal) or is_passing(error):
                    raise
                if is_taken_id(error) and shard not in self._looking_up:
                    self._looking_up.add(shard)
                    continue
                logger.warning("a batch failed", shard=shard, entries=len(entries), error=repr(error))
                tries -= 1
                if tries == 0 and len(entries) == 1:
                    await self._set_aside(shard, entries[0], repr(error))
                    return ()
                if tries == 0:
                    middle = len(entries) // 2
                    await self._apply(shard, entries[:middle])
                    return entries[middle:]

    async def _apply_plan(self, shard: int, entries: Sequence[Entry], plan: Plan | None) -> Plan:
        """Apply the first batch of the entries in its turn. Raises SlowBatch where a list takes too long."""
        batch = lists = None
        if plan is None:
            batch, lists = await self._cut(shard, entries)
        async with self._turns.take(long=batch is not None and batch.alone):
            if plan is None:
                assert batch is not None and lists is not None
                plan = await self._make_plan(shard, batch, lists)
            try:
                slowest_s = await self._store(shard, plan)
            except ListTooSlow as error:
                raise SlowBatch(error, len(list_up_to(plan.last, entries))) from error
        self._looking_up.discard(shard)
        self._note_costs(shard, plan, slowest_s)
        return plan

    def _note_costs(self, shard: int, plan: Plan, slowest_s: float) -> None:
        """Take in what the lists of a batch took, which was stored."""
        changes = Counter(workspace_id for workspace_id, _ in plan.decided.list_operations())
        owners = [workspace_id for workspace_id, lists in plan.lists.items() if lists.rows]
        done = {one: changes[one] if plan.rows is None else 0 for one in owners}
        if self._slow.note_stored(shard, done, slowest_s):
            self._forget_ahead(shard)

    async def _cut(self, shard: int, entries: Sequence[Entry]) -> tuple[Batch, dict[int, DynamicLists]]:
        """The first of the entries, as many as make a batch, and the dynamic lists of their workspaces."""
        decoded = [(entry, decode_entry(entry)) for entry in entries]
        workspaces = {one.workspace_id for _, one in decoded if isinstance(one, Envelope)}
        stamp = self._schema_positions.get(shard, 0)
        if self._lists.list_missing(workspaces, stamp):
            async with self._database.acquire() as connection:
                await self._lists.load(connection, shard, workspaces, stamp)
        known = {one: self._lists.get(one) for one in workspaces}
        lists = self._slow.drop_broken(shard, entries[0].position, known)
        batch = cut_batch(decoded, lists.__getitem__)
        if not batch.alone:
            self._slow.note_unread(shard, lists)
        return batch, lists

    async def _make_plan(
        self, shard: int, batch: Batch, lists: Mapping[int, DynamicLists], before: Decided | None = None
    ) -> Plan:
        """Decide the batch on the committed state, with what ``before`` will have changed."""
        tally = Tally(self._database, shard, batch.placed[0], self._tally_every_s) if batch.alone else None
        try:
            return await self._decide(shard, batch, lists, before, tally)
        except BaseException:
            if tally is not None:
                await tally.end()
            raise

    async def _decide(
        self,
        shard: int,
        batch: Batch,
        lists: Mapping[int, DynamicLists],
        before: Decided | None,
        tally: Tally | None,
    ) -> Plan:
        placed = batch.placed
        async with self._database.acquire() as connection:
            ids = list_operations(placed) if placed else None
            counters, known = await store.load_batch_start(connection, shard, *ids) if ids else ({}, set())
            stamp = self._schema_positions.get(shard, 0)
            refs = list_keys(placed, with_fresh=shard in self._looking_up).to_refs()
            records = await self._schemas.load_records(connection, shard, refs, stamp)
            retry = placed[0].envelope if placed and placed[0].envelope.retry_of is not None else None
            if retry is not None:
                known = await load_retry_operations(connection, shard, retry, known)
            surveys = await survey_batch(connection, shard, placed, records, tally) if tally is not None else None
        now = self._clock.now()
        decided = await decide_batch(
            placed, records, counters, known, now, before, surveys, lists.__getitem__, self._costs
        )
        last = batch.last if decided.stopped_at is None else decided.stopped_at - 1
        poison = [(entry, reason) for entry, reason in batch.poison if entry.position <= last]
        broken = self._slow.find_broken(shard, batch.first) if before is None else {}
        rows = None if batch.has_aftermath or broken else await decided.make_rows()
        return Plan(last, decided, lists, broken, rows, poison, tally, retry)

    async def _store(self, shard: int, plan: Plan) -> float:
        """The one transaction of a batch; the seconds of the longest statement that evaluated a list.

        Raises ConflictingWriter where another writer was here, ListTooSlow.
        """
        try:
            return await self._commit(shard, plan)
        finally:
            if plan.tally is not None:
                await plan.tally.end()

    async def _commit(self, shard: int, plan: Plan) -> float:
        slowest_s = 0.0
        async with self._database.acquire() as connection, connection.transaction():
            before = self._positions.get(shard, 0)
            # A command that changes properties or filters stands alone; lists become BROKEN with the first command.
            schema_position = before + 1 if plan.decided.changes_schemas or plan.broken else None
            await store.move_cursor(connection, shard, before, plan.last, schema_position)
            rows = plan.rows
            if rows is None:
                await store.save(connection, shard, await plan.decided.make_record_rows())
                if plan.broken:
                    await broken_lists.break_lists(connection, shard, before + 1, plan.broken, self._clock.now())
                aftermath = BulkEffects(
                    *(connection, shard, plan.decided, plan.lists),
                    *(plan.tally, self._costs, plan.broken, self._timeout_ms),
                )
                await aftermath.run()
                slowest_s = aftermath.slowest_s
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
        self._positions[shard] = plan.last
        if schema_position is not None:
            self._schema_positions[shard] = schema_position
        for entry, reason in kept:
            await self._log.copy_dead_letter(shard, entry, reason)
        for (workspace_id, number), reason in plan.broken.items() if not self._is_replay else ():
            logger.warning("list_broken", shard=shard, workspace=workspace_id, list=number, reason=reason)
        return slowest_s

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
            await self._log.copy_dead_letter(shard, entry, reason)
            logger.error("an entry was set aside", shard=shard, position=entry.position, reason=reason)
