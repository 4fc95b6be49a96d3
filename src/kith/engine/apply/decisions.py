"""Deciding a batch: commands in their order on the loaded state, and the rows that come of it. No I/O."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from time import perf_counter
from typing import Any, NamedTuple

import msgspec

from kith.engine.apply.rows import RowMaker
from kith.engine.context.property_schemas import SCHEMAS
from kith.engine.lists.affected_records import Reach, find_reach
from kith.engine.lists.dynamic_lists import DynamicLists
from kith.engine.lists.list_costs import ListCosts
from kith.model.commands import Envelope, to_resource, to_type
from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.decide import Accepted, Decision, Rejected, decide, fold, touches
from kith.model.events import REJECTED, Event
from kith.model.lists import List
from kith.model.names import resolve
from kith.model.properties import Property, Schema
from kith.model.records import Claim, Identity, Record
from kith.model.serialization import make_event_data
from kith.model.state import Ref, State, Survey
from kith.store.batch import (
    CLAIMED_BY,
    CounterRow,
    EventRow,
    OperationRow,
    make_counter,
    to_documents,
    to_event_documents,
)


class LoggedCommand(NamedTuple):
    """A command and its position on the shard's log."""

    position: int
    envelope: Envelope


# (type, data) of an event.
EventFacts = tuple[str, Any]
# After so many commands the loop has a turn: it keeps PostgreSQL busy with the batch in front.
STRIDE = 20
# What the rows of contacts and companies are made with, whatever the commands are about.
_SCHEMAS: Sequence[Identity] = [("schema", entity) for entity in SCHEMAS]


class Keys(NamedTuple):
    """What a batch touches: (workspace, identity) and (workspace, claim)."""

    records: set[tuple[int, Identity]]
    claims: set[tuple[int, Claim]]

    def to_refs(self) -> list[tuple[int, Ref]]:
        records = [(workspace, Ref(kind, "external_id", value)) for workspace, (kind, value) in self.records]
        claims = [(workspace, Ref(CLAIMED_BY[name], name, value)) for workspace, (name, value) in self.claims]
        return records + claims


def list_keys(batch: Iterable[LoggedCommand], *, with_fresh: bool = False) -> Keys:
    """All that the batch touches. ``with_fresh``: also the ids of what it makes, which should be nobody's."""
    keys = Keys(set(), set())
    for _, envelope in batch:
        asked = touches(envelope.command)
        workspace = envelope.workspace_id
        keys.records.update((workspace, schema) for schema in _SCHEMAS)
        wanted = asked.records | asked.fresh if with_fresh else asked.records
        keys.records.update((workspace, identity) for identity in wanted)
        keys.claims.update((workspace, claim) for claim in asked.claims)
    return keys


def list_operations(batch: Iterable[LoggedCommand]) -> tuple[list[tuple[int, str]], datetime, datetime]:
    """(workspace, operation) of each command, and the days [first, end) that their times span."""
    ids = [(envelope.workspace_id, envelope.operation_id) for _, envelope in batch]
    times = [envelope.made_at for _, envelope in batch]
    first = min(times).replace(hour=0, minute=0, second=0, microsecond=0)
    last = max(times).replace(hour=0, minute=0, second=0, microsecond=0)
    return ids, first, last + timedelta(days=1)


async def decide_batch(
    batch: Sequence[LoggedCommand],
    records: Iterable[tuple[int, Record]],
    counters: Mapping[int, CounterRow],
    known: set[tuple[int, str]],
    applied_at: datetime,
    before: "Decided | None",
    surveys: Mapping[tuple[int, Identity], Survey] | None,
    find_lists: Callable[[int], DynamicLists],
    costs: ListCosts | None = None,
) -> "Decided":
    """Decide each command that is not ``known`` to be applied, and fold what it does.

    ``before`` is the batch in front of this one, where what was loaded may not have it yet: it knows better.
    ``surveys`` are of the properties that the batch changes, as it leaves them; ``find_lists`` knows the dynamic lists.
    The batch ends where the lists of a workspace have taken too long, by ``costs``.
    """
    costs = costs or ListCosts(None)
    decided = Decided(records, counters, applied_at, surveys or {}, find_lists, costs)
    if before is not None:
        decided.build_on(before, list_keys(batch))
        known = known | before.list_operations()
    for n, placed in enumerate(batch, 1):
        if n % STRIDE == 0:
            await asyncio.sleep(0)
        if n > 1 and costs.is_overdrawn(placed.envelope.workspace_id):
            decided.stopped_at = placed.position
            break
        key = (placed.envelope.workspace_id, placed.envelope.operation_id)
        if key not in known:
            known.add(key)
            if not decided.apply(placed):
                decided.stopped_at = placed.position
                break
    return decided


class Reached(NamedTuple):
    """A command that was applied, and how far it reaches."""

    envelope: Envelope
    reach: Reach


class Decided:
    """What becomes of a batch, and the rows of it, made when they are asked for.

    ``stopped_at`` is the position of the first command that has to wait until those before it are stored, if any.
    ``_loaded`` is what each changed record was before; ``_following`` are events of lists, behind those of the command
    that they follow from: None for an event that is stored already, whose number no other may have.
    """

    stopped_at: int | None = None

    def __init__(
        self,
        records: Iterable[tuple[int, Record]],
        counters: Mapping[int, CounterRow],
        applied_at: datetime,
        surveys: Mapping[tuple[int, Identity], Survey],
        find_lists: Callable[[int], DynamicLists],
        costs: ListCosts | None = None,
    ) -> None:
        self._costs = costs or ListCosts(None)
        self._states = {workspace: State(counter.numbers) for workspace, counter in counters.items()}
        self._sequences = {workspace: counter.next_event_sequence for workspace, counter in counters.items()}
        self._next_sequences = dict(self._sequences)
        self._bytes = {workspace: counter.history_bytes for workspace, counter in counters.items()}
        self._loaded: dict[tuple[int, Identity], Record | None] = {}
        self._applied_at = applied_at
        self._find_lists = find_lists
        self._outcomes: list[tuple[LoggedCommand, Decision]] = []
        self._results: dict[tuple[int, str], dict[str, Any]] = {}
        self._following: dict[tuple[int, str], list[EventFacts | None]] = {}
        self._reached: dict[int, list[Reached]] = {}
        self._reach: dict[int, Reach] = {}
        self._maker = RowMaker(partial(find_schema, self._states))
        for workspace, record in records:
            self._states[workspace].know((record,))
        for (workspace, identity), survey in surveys.items():
            self._states[workspace].set_survey(identity, survey)

    def build_on(self, before: "Decided", keys: Keys) -> None:
        """Take over what the batch in front has made of these keys, and go on counting where it ends."""
        for workspace, state in self._states.items():
            earlier, sequence = before.get_end(workspace)
            if earlier is not None:
                state.numbers = dict(earlier.numbers or {})
                state.take_over(
                    earlier,
                    [identity for of, identity in keys.records if of == workspace],
                    [claim for of, claim in keys.claims if of == workspace],
                )
                self._sequences[workspace] = self._next_sequences[workspace] = sequence
                self._bytes[workspace] = before.get_bytes(workspace)

    def get_end(self, workspace: int) -> tuple[State | None, int]:
        """(the state that the batch leaves, the sequence number of the next event); None where it is not in it."""
        return self._states.get(workspace), self._next_sequences.get(workspace, 0)

    def get_bytes(self, workspace: int) -> int:
        """The bytes of the workspace's events, with those whose rows are made."""
        return self._bytes[workspace]

    def add_bytes(self, sizes: Mapping[int, int]) -> None:
        """Count events of these workspaces whose rows are made."""
        for workspace, size in sizes.items():
            self._bytes[workspace] += size

    def list_operations(self) -> set[tuple[int, str]]:
        """(workspace, operation) of each command that was decided."""
        return {(one.envelope.workspace_id, one.envelope.operation_id) for one, _ in self._outcomes}

    def apply(self, placed: LoggedCommand) -> bool:
        """Decide the next command; False, and nothing is done, where it has to wait until those before it are stored.

        Lists that look beyond their records are evaluated when a batch is stored. That tells what each command did to
        them only where no two commands reach the same record.
        """
        envelope = placed.envelope
        workspace = envelope.workspace_id
        state = self._states[workspace]
        state.mark_absent(touches(envelope.command))
        command = resolve(state, envelope.command)
        if isinstance(command, Rejected):
            decision: Decision = command
        else:
            if command is not envelope.command:
                envelope = msgspec.structs.replace(envelope, command=command)
                placed = LoggedCommand(placed.position, envelope)
            decision = decide(state, command, envelope.at)
        if not isinstance(decision, Rejected):
            if not self._reach_on(envelope, state, decision.events):
                return False
            events: list[Event] = []
            for event in decision.events:
                events += self._fold(workspace, envelope.at, state, event)
            decision = Accepted(tuple(events))
            self._next_sequences[workspace] += len(events)
        else:
            self._next_sequences[workspace] += 1
        self._outcomes.append((placed, decision))
        return True

    def _reach_on(self, envelope: Envelope, state: State, events: Sequence[Event]) -> bool:
        """Whether the command reaches no record that those before it did."""
        workspace = envelope.workspace_id
        lists = self._find_lists(workspace)
        if not lists.has_wide:
            return True
        reach, reached = find_reach(state, events), self._reach.get(workspace)
        if reached is not None and not reach.is_apart(reached, lists):
            return False
        self._reach[workspace] = reach.union(reached) if reached is not None else reach
        self._reached.setdefault(workspace, []).append(Reached(envelope, reach))
        return True

    def _fold(self, workspace: int, at: datetime, state: State, event: Event) -> list[Event]:
        """The event, and those of the dynamic lists that what it changes enters or leaves by it."""
        records = (event.record, *event.also)
        before = {record.identity: state.peek(record.identity) for record in records}
        for identity, record in before.items():
            self._loaded.setdefault((workspace, identity), record)
        if event.type == "contact.merged":
            self._note_merge(workspace, at, state, event.record, *event.also)
        fold(state, event)
        events = [event]
        lists = self._find_lists(workspace)
        began_s = perf_counter() if lists.has_near else 0
        watched = lists.has_near and self._costs.is_watched(workspace)
        charge = partial(self._charge, workspace) if watched else None
        for identity, was in before.items():
            became = state.peek(identity)
            if isinstance(became, (Contact, Company)):
                assert was is None or isinstance(was, (Contact, Company))
                following = lists.follow(was, became, at, charge, anew=event.type == "contact.merged")
                if following:
                    # Each has the record as all of them leave it.
                    fold(state, following[-1])
                events += following
        if lists.has_near:
            if not watched:
                self._costs.charge(workspace, None, (perf_counter() - began_s) * 1000)
            self._costs.credit(workspace, changes=1)
        return events

    def _charge(self, workspace: int, number: int, took_s: float) -> None:
        self._costs.charge(workspace, number, took_s * 1000)

    def list_reached(self) -> dict[int, list[Reached]]:
        """The commands of workspaces that have lists which look beyond their records, with how far they reach."""
        return self._reached

    def note_following(self, envelope: Envelope, events: Sequence[EventFacts | None]) -> None:
        """Events that follow from a command."""
        self._following.setdefault((envelope.workspace_id, envelope.operation_id), []).extend(events)
        self._next_sequences[envelope.workspace_id] += len(events)

    def list_accepted(self) -> list[tuple[Envelope, tuple[Event, ...]]]:
        """The commands that changed something, with what they did."""
        return [
            (placed.envelope, decision.events)
            for placed, decision in self._outcomes
            if not isinstance(decision, Rejected) and decision.events
        ]

    def make_following(self, envelope: Envelope, events: Sequence[EventFacts]) -> list[EventRow]:
        """The rows of events that follow from a command, to be stored before the command's own events.

        The command has to be the only one: how many events follow from each of several is known at the end.
        """
        assert len(self._outcomes) == 1
        first = self._next_sequences[envelope.workspace_id]
        self.note_following(envelope, [None] * len(events))
        return [make_event(envelope, sequence, told) for sequence, told in enumerate(events, first)]

    @property
    def changes_schemas(self) -> bool:
        """Whether properties or the filters of lists changed, or what a filter names is gone."""
        return any(
            kind == "property"
            or (kind == "list" and self._is_defined(workspace, kind, external_id))
            or (kind in ("tag", "list") and self._is_gone_from_filters(workspace, (kind, external_id)))
            for workspace, (kind, external_id) in self._loaded
        )

    def _is_gone_from_filters(self, workspace: int, identity: Identity) -> bool:
        gone = self._states[workspace].peek(identity) is None
        return gone and bool(self._find_lists(workspace).list_reading(f"{identity[0]}s"))

    def _is_defined(self, workspace: int, kind: str, external_id: str) -> bool:
        """Whether the list's definition changed, and not just who is on it."""
        before, after = self._loaded[workspace, (kind, external_id)], self._states[workspace].peek((kind, external_id))
        assert (before is None or isinstance(before, List)) and (after is None or isinstance(after, List))
        return bool(to_definition(before) != to_definition(after))

    def get_schema(self, workspace: int, entity: str) -> Schema:
        """As the batch leaves it."""
        return find_schema(self._states, workspace, entity)

    def list_conversions(self) -> list[tuple[Envelope, Property | None, Property]]:
        """Properties before and after, into whose form what records hold is to be brought, and by which command."""
        return [
            (placed.envelope, self._find_loaded(placed.envelope, event.record), event.record)
            for placed, decision in self._outcomes
            if not isinstance(decision, Rejected)
            for event in decision.events
            if event.converts and isinstance(event.record, Property)
        ]

    def _find_loaded(self, envelope: Envelope, one: Property) -> Property | None:
        before = self._loaded[envelope.workspace_id, one.identity]
        assert before is None or isinstance(before, Property)
        return before

    def note_result(self, envelope: Envelope, result: dict[str, Any]) -> None:
        """What a command found out: told by its operation, and by its event."""
        self._results[envelope.workspace_id, envelope.operation_id] = result

    def _find_result(self, envelope: Envelope) -> dict[str, Any] | None:
        return self._results.get((envelope.workspace_id, envelope.operation_id))

    def _note_merge(self, workspace: int, at: datetime, state: State, loser: Record, winner: Record) -> None:
        sides = [state.peek(side.identity) for side in (loser, winner)]
        assert isinstance(sides[0], Contact) and isinstance(sides[1], Contact)
        self._maker.add_merge(workspace, at, sides[0], sides[1])

    async def make_rows(self) -> dict[str, str]:
        """The documents of each statement of ``SAVES`` that the batch needs."""
        rows = await self.make_record_rows()
        await asyncio.sleep(0)
        return rows | self.make_outcome_rows()

    async def make_record_rows(self) -> dict[str, str]:
        """Those of records and their links: each record once, as it is at the end."""
        for n, ((workspace, identity), before) in enumerate(self._loaded.items(), 1):
            if n % STRIDE == 0:
                await asyncio.sleep(0)
            self._maker.add(workspace, before, self._states[workspace].peek(identity))
        return {name: to_documents(some) for name, some in self._maker.finish().items() if some}

    def make_outcome_rows(self) -> dict[str, str]:
        """Those of operations, events and counters."""
        operations = [
            make_operation(placed, decision, self._applied_at, self._find_result(placed.envelope))
            for placed, decision in self._outcomes
        ]
        events, sizes = to_event_documents(self._make_events())
        self.add_bytes(sizes)
        counters = [
            make_counter(workspace, state.numbers or {}, self._next_sequences[workspace], self._bytes[workspace])
            for workspace, state in self._states.items()
        ]
        return {
            "insert_events": events,
            "insert_operations": to_documents(operations),
            "save_counters": to_documents(counters),
        }

    def _make_events(self) -> list[EventRow]:
        """What the feed tells of, in order."""
        sequences = {workspace: count(first) for workspace, first in self._sequences.items()}
        numbered = [
            (envelope, next(sequences[envelope.workspace_id]), told)
            for (_, envelope), decision in self._outcomes
            for told in self._list_told(envelope, decision)
        ]
        return [make_event(envelope, sequence, told) for envelope, sequence, told in numbered if told is not None]

    def _list_told(self, envelope: Envelope, decision: Decision) -> Iterator[EventFacts | None]:
        yield from list_told(envelope, decision, self._find_result(envelope))
        yield from self._following.get((envelope.workspace_id, envelope.operation_id), ())


def find_schema(states: Mapping[int, State], workspace: int, entity: str) -> Schema:
    """No method: what makes the rows of a batch must not hold the batch, or garbage of both is left for long."""
    schema = states[workspace].peek(("schema", entity))
    assert isinstance(schema, Schema)
    return schema


def to_definition(one: List | None) -> Any:
    """What who is on a list depends on, and what is told of it; None where it is not dynamic."""
    if one is None or not one.is_dynamic:
        return None
    return one.filter_criteria, one.timezone, one.name, one.status


def make_operation(
    placed: LoggedCommand, decision: Decision, applied_at: datetime, result: dict[str, Any] | None = None
) -> OperationRow:
    envelope = placed.envelope
    error: dict[str, Any] | None = None
    if isinstance(decision, Rejected):
        error = {"code": decision.code, "message": decision.message, "details": decision.details}
    idempotency = envelope.idempotency
    return OperationRow(
        workspace_id=envelope.workspace_id,
        id=envelope.operation_id,
        type=to_type(envelope.command),
        status="REJECTED" if error else "APPLIED",
        position=placed.position,
        resource=to_resource(envelope.command),
        error=error,
        result=result,
        fingerprint=idempotency.fingerprint if idempotency else None,
        answer=bytes(idempotency.answer).decode() if idempotency else None,
        actor=envelope.actor,
        created_at=envelope.made_at,
        applied_at=applied_at,
    )


def make_event(envelope: Envelope, sequence: int, told: EventFacts) -> EventRow:
    return EventRow(
        workspace_id=envelope.workspace_id,
        sequence=sequence,
        type=told[0],
        resource=to_resource(envelope.command),
        operation_id=envelope.operation_id,
        at=envelope.at,
        actor=envelope.actor,
        data=told[1],
    )


def list_told(envelope: Envelope, decision: Decision, result: dict[str, Any] | None) -> list[EventFacts]:
    """What is told of each event of a decision, with what came of it; a rejection is one too."""
    if isinstance(decision, Rejected):
        data = {"type": to_type(envelope.command), "code": decision.code, "message": decision.message}
        return [(REJECTED, data)]
    more = {"result": result} if result is not None else {}
    return [(event.type, make_event_data(event) | more) for event in decision.events]
