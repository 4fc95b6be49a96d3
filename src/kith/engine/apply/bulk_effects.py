"""Bulk effects of commands: changes beyond the decided rows, made in the writer's transaction after those rows.

Values are brought into the form of a property; dynamic lists are evaluated, whole or for the records that changed. It
is told of by events that follow the command's own, and by its operation.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from time import perf_counter
from typing import Any, NamedTuple

import asyncpg

from kith.clock import to_iso
from kith.cql.compile import Candidates
from kith.cql.conditions import list_named
from kith.engine.apply.decisions import Decided, EventFacts, Reached
from kith.engine.apply.operation_progress import Tally
from kith.engine.apply.value_conversion import convert_values, list_walks
from kith.engine.context.property_schemas import SCHEMAS
from kith.engine.context.schema_cache import Vocabularies, make_vocabularies
from kith.engine.lists.dynamic_lists import ANY_TIME, DynamicList, DynamicLists, ListRow, understand
from kith.engine.lists.evaluation import (
    WINDOW_FIRST,
    WINDOW_MAX,
    WINDOW_RELATED,
    Change,
    evaluate_list,
    load_last_id,
    size_window,
)
from kith.engine.lists.list_costs import ListCosts, ListTooSlow, Verdicts
from kith.engine.read.filter_references import find_named
from kith.model.commands import (
    Command,
    CreateList,
    DeleteList,
    DeleteTag,
    Envelope,
    EvaluateList,
    OnProperty,
    UpdateList,
)
from kith.model.lists import List
from kith.model.properties import Property
from kith.model.state import Survey
from kith.store import batch as store
from kith.store.database import Connection, get_lock_timeout_ms
from kith.store.queries import load_queries

_LISTS = load_queries("lists")


def stands_alone(command: Command, lists: DynamicLists) -> bool:
    """Whether all that was accepted before a command must be stored before it is decided: it is about all records."""
    match command:
        case OnProperty() | EvaluateList():
            return True
        case CreateList():
            return command.is_dynamic
        case UpdateList():
            # What is told of who enters and leaves has the list's name.
            return "filter_criteria" in command.changes or ("name" in command.changes and lists.has(command.list_id))
        case DeleteTag():
            return bool(lists.list_reading("tags"))
        case DeleteList():
            return lists.has(command.list_id) or bool(lists.list_reading("lists"))
    return False


def evaluates(command: Command) -> bool:
    """Whether the list that the command makes, changes or names is evaluated."""
    match command:
        case EvaluateList():
            return True
        case CreateList():
            return command.is_dynamic
        case UpdateList():
            return "filter_criteria" in command.changes
    return False


class _Following(NamedTuple):
    """What follows from a command for whole lists: which can be evaluated and which cannot, and those to evaluate."""

    envelope: Envelope
    marks: list[dict[str, Any]]
    lists: list[DynamicList]


class BulkEffects:
    """That of one batch. ``slowest_s`` is what the longest statement that evaluated a list took.

    ``broken`` are lists that this batch breaks: they are not evaluated, also where one of its commands makes them.
    Raises ListTooSlow where a list takes too long, and the transaction is lost then.
    """

    slowest_s = 0.0

    def __init__(
        self,
        connection: Connection,
        shard: int,
        decided: Decided,
        lists: Mapping[int, DynamicLists],
        tally: Tally | None,
        costs: ListCosts,
        broken: Verdicts,
        timeout_ms: int,
    ) -> None:
        """``timeout_ms`` is that of all other statements of the transaction."""
        self._connection = connection
        self._shard = shard
        self._decided = decided
        self._lists = lists
        self._tally = tally
        self._costs = costs
        self._broken = broken
        self._timeout_ms = timeout_ms
        self._alone = len(decided.list_operations()) <= 1

    async def run(self) -> None:
        conversions = self._decided.list_conversions()
        following = [
            self._find_following(envelope, [event.record for event in events])
            for envelope, events in self._decided.list_accepted()
        ]
        if self._tally is not None:
            walks = [walk for _, before, one in conversions for walk in list_walks(before, one)]
            self._tally.expect(walks + [one.row.entity for some in following for one in some.lists])
        for envelope, before, one in conversions:
            survey = await convert_values(
                self._connection, self._shard, envelope.workspace_id, before, one, self._tally
            )
            if one.active:
                self._decided.note_result(envelope, to_result(survey))
        for some in following:
            await self._follow(some)
        for workspace_id, reached in self._decided.list_reached().items():
            if not self._lists[workspace_id].has_wide:
                continue
            async with self._limited(workspace_id):
                for wide in self._lists[workspace_id].list_wide():
                    await self._evaluate_reached(wide, reached)

    @asynccontextmanager
    async def _limited(self, workspace_id: int) -> AsyncIterator[None]:
        """Statements within are ended when they take longer than the workspace's lists may."""
        if not self._costs.is_limited:
            yield
            return
        limit = self._costs.make_limit(workspace_id, alone=self._alone)
        began_s = perf_counter()
        await self._limit_statements(limit.statement_ms, limit.lock_ms)
        self._costs.note_idle(perf_counter() - began_s)
        yield
        await self._limit_statements(self._timeout_ms, get_lock_timeout_ms(self._timeout_ms))

    async def _limit_statements(self, statement_ms: int, lock_ms: int) -> None:
        await self._connection.fetchrow(_LISTS["limit_statements"], str(statement_ms), str(lock_ms))

    async def _evaluate(self, one: DynamicList, at: datetime, which: Candidates) -> list[Change]:
        """As ``evaluate_list``, paid for by the workspace."""
        began_s = perf_counter()
        try:
            return await evaluate_list(self._connection, self._shard, one, at, which)
        finally:
            took_s = perf_counter() - began_s
            self.slowest_s = max(self.slowest_s, took_s)
            self._costs.charge_statement(one.row.workspace_id, one.row.number, took_s)

    async def _evaluate_reached(self, one: DynamicList, reached: Sequence[Reached]) -> None:
        """Who enters and leaves by what the commands of the batch did; no record is reached by two of them."""
        kind = one.row.entity
        by_record = {
            number: envelope
            for envelope, reach in reached
            for number in (reach.contacts if kind == "contact" else reach.companies)
        }
        for at, numbers in group_by_time(one, by_record).items():
            try:
                changes = await self._evaluate(one, at, Candidates(records=tuple(numbers)))
            except asyncpg.QueryCanceledError as error:
                raise ListTooSlow(one.row.workspace_id, one.row.number, surely=False) from error
            for change in changes:
                self._decided.note_following(by_record[change.record], [tell(one, change)])
            await self._count(one, changes)
        for envelope, reach in reached:
            if spreads := reach.list_spreads(one.reads):
                await self._evaluate_whole(envelope, one, tuple(sorted(spreads)))

    def _find_following(self, envelope: Envelope, records: Sequence[Any]) -> _Following:
        """What follows from one command for whole lists."""
        lists = self._lists[envelope.workspace_id]
        following = _Following(envelope, [], [])
        match envelope.command:
            case OnProperty():
                for record in records:
                    if isinstance(record, Property):
                        self._define(record, lists, following)
            case CreateList() | UpdateList() | EvaluateList():
                for record in records:
                    if isinstance(record, List) and record.is_dynamic and evaluates(envelope.command):
                        self._define_list(record, following)
            case DeleteTag():
                following.lists.extend(lists.list_reading("tags"))
            case DeleteList():
                following.lists.extend(lists.list_reading("lists"))
        return following

    def _define(self, one: Property, lists: DynamicLists, following: _Following) -> None:
        """A property changed under filters: they are evaluated anew, or say that they cannot be."""
        zones = {
            zone: self._make_vocabularies(following.envelope.workspace_id, zone)
            for zone in sorted({row.timezone for row in lists.rows})
        }
        for row in lists.rows:
            made, held = understand(row, zones[row.timezone]), lists.find(row)
            if row.status == "BROKEN" and held is not None:
                # What broke it has nothing to do with properties: a new filter mends it.
                continue
            if isinstance(made, str):
                following.marks.append({"number": row.number, "status": "BROKEN", "reason": made})
                continue
            # A name may have come to mean another property than it did.
            same = held is not None and made.tree == held.tree
            if row.status == "ACTIVE" and same and not lists.reads_property(row, one.entity, one.key):
                continue
            if row.status != "ACTIVE":
                following.marks.append({"number": row.number, "status": "ACTIVE", "reason": None})
            following.lists.append(made)

    def _define_list(self, held: List, following: _Following) -> None:
        """The list that the command makes, changes or names."""
        assert held.number is not None
        if held.filter_criteria is None:
            return
        workspace_id = following.envelope.workspace_id
        row = ListRow(
            workspace_id=workspace_id,
            number=held.number,
            external_id=held.external_id,
            name=held.name,
            entity=held.entity,
            filter_criteria=held.filter_criteria,
            timezone=held.timezone,
            status=held.status,
            version=held.version,
        )
        made = understand(row, self._make_vocabularies(workspace_id, held.timezone))
        if isinstance(made, str):
            following.marks.append({"number": held.number, "status": "BROKEN", "reason": made})
        else:
            following.lists.append(made)

    async def _follow(self, following: _Following) -> None:
        envelope, marks, lists = following
        broken = {one.row.number: reason for one in lists if (reason := await self._find_gone(envelope, one))}
        workspace_id = envelope.workspace_id
        # Those that take too long are BROKEN already, and stay it.
        marks = [
            one for one in marks if one["number"] not in broken and (workspace_id, one["number"]) not in self._broken
        ]
        marks += [{"number": number, "status": "BROKEN", "reason": reason} for number, reason in broken.items()]
        if marks:
            documents = store.to_documents(marks)
            await self._connection.execute(_LISTS["mark_lists"], self._shard, envelope.workspace_id, documents)
        for one in lists:
            reason = broken.get(one.row.number) or self._broken.get((workspace_id, one.row.number))
            if reason:
                if evaluates(envelope.command):
                    self._decided.note_result(envelope, {"status": "BROKEN", "reason": reason})
                continue
            async with self._limited(envelope.workspace_id):
                added, removed = await self._evaluate_whole(envelope, one)
            if evaluates(envelope.command):
                await self._note_evaluated(envelope, one, added, removed)

    async def _find_gone(self, envelope: Envelope, one: DynamicList) -> str | None:
        """Why the list cannot be evaluated, where its filter names a tag or a list that is not there any more."""
        if isinstance(envelope.command, EvaluateList):
            return None  # a list whose filter names what is gone is BROKEN since then, and not evaluated
        names = [(field, name) for field in ("tags", "lists") for name in list_named(one.tree, field)]
        if not names:
            return None
        found = await find_named(self._connection, self._shard, envelope.workspace_id, one.tree)
        for field, name in names:
            if name not in getattr(found, field):
                return (
                    f"The filter names the {field[:-1]} {name}, which is deleted. Set a filter that does not name it:"
                    f" PATCH /crm/lists/{one.row.external_id} with filterCriteria."
                )
        return None

    async def _note_evaluated(self, envelope: Envelope, one: DynamicList, added: int, removed: int) -> None:
        count = await self._connection.fetchval(
            _LISTS["find_member_count"], self._shard, envelope.workspace_id, one.row.number
        )
        result = {"memberCount": count, "added": added, "removed": removed, "evaluatedAt": to_iso(envelope.at)}
        self._decided.note_result(envelope, result)

    async def _evaluate_whole(
        self, envelope: Envelope, one: DynamicList, related: tuple[int, ...] = ()
    ) -> tuple[int, int]:
        """(how many entered, how many left) of all records, in windows. The time for all may grow with their number.

        Of the records that are ``related`` to some, if any are given.
        """
        workspace_id, number = one.row.workspace_id, one.row.number
        last = await load_last_id(self._connection, self._shard, one)
        added = removed = after = 0
        # Who is related is found by an index, and mostly few are.
        size = WINDOW_RELATED if related else WINDOW_FIRST
        if self._tally is not None:
            self._tally.begin(one.row.entity)
        while after <= last:
            began_s, which = perf_counter(), Candidates(after=after, until=after + size, related=related)
            try:
                async with self._connection.transaction():
                    changes = await self._evaluate(one, envelope.at, which)
            except asyncpg.QueryCanceledError as error:
                # The records here are much larger than those before.
                if size == 1:
                    raise ListTooSlow(workspace_id, number, surely=False) from error
            else:
                self._costs.credit(workspace_id, records=0 if related else min(size, last - after))
                await self._save(envelope, one, changes, at_once=not related)
                come = sum(change.entered for change in changes)
                added, removed, after = added + come, removed + len(changes) - come, after + size
                if self._tally is not None:
                    await self._tally.reach(after)
            if after <= last and self._costs.is_overdrawn(workspace_id):
                raise ListTooSlow(workspace_id, number, surely=True)
            size = size_window(size, perf_counter() - began_s, WINDOW_RELATED if related else WINDOW_MAX)
        return added, removed

    async def _save(self, envelope: Envelope, one: DynamicList, changes: Sequence[Change], *, at_once: bool) -> None:
        """``at_once``: the events may be more than memory holds, and the command stands alone."""
        if not changes:
            return
        told = [tell(one, change) for change in changes]
        if at_once:
            documents, sizes = store.to_event_documents(self._decided.make_following(envelope, told))
            self._decided.add_bytes(sizes)
            await store.save(self._connection, self._shard, {"insert_events": documents})
        else:
            self._decided.note_following(envelope, told)
        await self._count(one, changes)

    async def _count(self, one: DynamicList, changes: Sequence[Change]) -> None:
        count = sum((1 if change.entered else -1) for change in changes if change.live)
        if count:
            counted = {"workspace_id": one.row.workspace_id, "number": one.row.number, "count": count}
            await store.save(self._connection, self._shard, {"add_list_counts": store.to_documents([counted])})

    def _make_vocabularies(self, workspace_id: int, timezone: str) -> Vocabularies:
        """Of what is defined when the batch is applied."""
        return make_vocabularies([self._decided.get_schema(workspace_id, entity) for entity in SCHEMAS], timezone)


def group_by_time(one: DynamicList, by_record: Mapping[int, Envelope]) -> dict[datetime, list[int]]:
    """The records by the time as of which they are looked at: that of their command, where it matters to the filter."""
    grouped: dict[datetime, list[int]] = {}
    for number, envelope in by_record.items():
        grouped.setdefault(envelope.at if one.relative else ANY_TIME, []).append(number)
    return grouped


def tell(one: DynamicList, change: Change) -> EventFacts:
    data = {"id": change.record, "externalId": change.external_id, "lists": [one.told]}
    return ("list.entered" if change.entered else "list.left"), data


def to_result(survey: Survey) -> dict[str, Any]:
    """What came of a conversion."""
    return {
        "values": survey.values,
        "converted": survey.converted,
        "misfits": survey.misfits,
        "examples": [{"record": path, "value": value, "message": message} for path, value, message in survey.examples],
    }
