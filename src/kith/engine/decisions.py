"""Deciding a batch: commands in their order on the loaded state, and the rows that come of it. No I/O."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Any, NamedTuple

import msgspec

from kith.model.commands import Envelope, to_resource, to_type
from kith.model.contacts import Contact, to_told, to_told_changes
from kith.model.decide import Decision, Rejected, decide, fold
from kith.model.events import REJECTED, TYPES, ContactCreated, Event
from kith.model.state import State, touches
from kith.store.batch import ContactKeys, ContactRow, CounterRow, EventRow, OperationRow, TotalRow, to_row


class Placed(NamedTuple):
    """A command and its position on the shard's log."""

    position: int
    envelope: Envelope


class Records(msgspec.Struct, kw_only=True):
    """The records that a batch has changed. ``releases``: rows whose email goes to another row of ``updates``."""

    inserts: list[ContactRow] = []
    updates: list[ContactRow] = []
    releases: list[ContactRow] = []
    totals: list[TotalRow] = []


def list_keys(batch: Iterable[Placed]) -> ContactKeys:
    """All that the batch touches."""
    contacts: set[tuple[int, str]] = set()
    emails: set[tuple[int, str]] = set()
    for _, envelope in batch:
        asked = touches(envelope.command)
        contacts.update((envelope.workspace_id, key) for key in asked.contacts)
        emails.update((envelope.workspace_id, key) for key in asked.emails)
    return ContactKeys(external_ids=list(contacts), emails=list(emails))


def list_operations(batch: Iterable[Placed]) -> tuple[list[tuple[int, str]], datetime, datetime]:
    """(workspace, operation) of each command, and the days [first, end) that their times span."""
    ids = [(envelope.workspace_id, envelope.operation_id) for _, envelope in batch]
    times = [envelope.at for _, envelope in batch]
    first = min(times).replace(hour=0, minute=0, second=0, microsecond=0)
    last = max(times).replace(hour=0, minute=0, second=0, microsecond=0)
    return ids, first, last + timedelta(days=1)


def decide_batch(
    batch: Sequence[Placed],
    contacts: Iterable[tuple[int, Contact]],
    counters: Mapping[int, CounterRow],
    known: set[tuple[int, str]],
    applied_at: datetime,
    before: "Decided | None" = None,
) -> "Decided":
    """Decide each command that is not ``known`` to be applied, and fold what it does.

    ``before`` is the batch in front of this one, where what was loaded may not have it yet: it knows better.
    """
    decided = Decided(contacts, counters, applied_at)
    if before is not None:
        decided.build_on(before, list_keys(batch))
        known = known | before.list_operations()
    for placed in batch:
        key = (placed.envelope.workspace_id, placed.envelope.operation_id)
        if key not in known:
            known.add(key)
            decided.apply(placed)
    return decided


class Decided:
    """What becomes of a batch, and the rows of it, made when they are asked for.

    ``_loaded`` is what each changed contact was before.
    """

    def __init__(
        self, contacts: Iterable[tuple[int, Contact]], counters: Mapping[int, CounterRow], applied_at: datetime
    ) -> None:
        self._states = {workspace: State(counter.next_contact_number) for workspace, counter in counters.items()}
        self._sequences = {workspace: counter.next_event_sequence for workspace, counter in counters.items()}
        self._next_sequences = dict(self._sequences)
        self._loaded: dict[tuple[int, str], Contact | None] = {}
        self._applied_at = applied_at
        self._outcomes: list[tuple[Placed, Decision]] = []
        for workspace, contact in contacts:
            self._states[workspace].know_contacts((contact,))

    def build_on(self, before: "Decided", keys: ContactKeys) -> None:
        """Take over what the batch in front has made of these keys, and go on counting where it ends."""
        for workspace, state in self._states.items():
            earlier, sequence = before.get_end(workspace)
            if earlier is not None:
                state.next_number = earlier.next_number
                state.know_from(
                    earlier,
                    {key for of, key in keys.external_ids if of == workspace},
                    {key for of, key in keys.emails if of == workspace},
                )
                self._sequences[workspace] = self._next_sequences[workspace] = sequence

    def get_end(self, workspace: int) -> tuple[State | None, int]:
        """(the state that the batch leaves, the sequence number of the next event); None where it is not in it."""
        return self._states.get(workspace), self._next_sequences.get(workspace, 0)

    def list_operations(self) -> set[tuple[int, str]]:
        """(workspace, operation) of each command that was decided."""
        return {(one.envelope.workspace_id, one.envelope.operation_id) for one, _ in self._outcomes}

    def apply(self, placed: Placed) -> None:
        """Decide the next command."""
        envelope = placed.envelope
        workspace = envelope.workspace_id
        state = self._states[workspace]
        state.know_absent(touches(envelope.command))
        decision = decide(state, envelope.command, envelope.at)
        if not isinstance(decision, Rejected):
            for event in decision.events:
                contact_id = event.contact.external_id
                self._loaded.setdefault((workspace, contact_id), state.peek_contact(contact_id))
                fold(state, event)
            self._next_sequences[workspace] += len(decision.events)
        else:
            self._next_sequences[workspace] += 1
        self._outcomes.append((placed, decision))

    def make_operations(self) -> list[OperationRow]:
        return [make_operation(placed, decision, self._applied_at) for placed, decision in self._outcomes]

    def make_events(self) -> list[EventRow]:
        """What the feed tells of, in order."""
        sequences = {workspace: count(first) for workspace, first in self._sequences.items()}
        return [
            EventRow(
                workspace_id=envelope.workspace_id,
                sequence=next(sequences[envelope.workspace_id]),
                type=event_type,
                resource=to_resource(envelope.command),
                operation_id=envelope.operation_id,
                at=envelope.at,
                data=data,
            )
            for (_, envelope), decision in self._outcomes
            for event_type, data in list_told(envelope, decision)
        ]

    def make_counters(self) -> list[CounterRow]:
        """What is handed out next."""
        return [
            CounterRow(
                workspace_id=workspace,
                next_contact_number=state.next_number or 1,
                next_event_sequence=self._next_sequences[workspace],
            )
            for workspace, state in self._states.items()
        ]

    def make_records(self) -> Records:
        """The rows of what changed: each contact once, as it is at the end."""
        records = Records()
        totals: Counter[tuple[int, str, str]] = Counter()
        freed: set[tuple[int, str]] = set()
        taken: set[tuple[int, str]] = set()
        for (workspace, contact_id), before in self._loaded.items():
            after = self._states[workspace].find_contact(contact_id)
            assert after is not None
            row = to_row(after, workspace)
            totals[workspace, after.status, after.lifecycle_stage] += 1
            if before is None:
                records.inserts.append(row)
                continue
            records.updates.append(row)
            totals[workspace, before.status, before.lifecycle_stage] -= 1
            if before.claimed_email != after.claimed_email:
                records.releases.append(row)
                freed.add((workspace, before.claimed_email or ""))
                taken.add((workspace, after.claimed_email or ""))
        if not {pair for pair in freed & taken if pair[1]}:
            records.releases = []
        records.totals = [
            TotalRow(workspace_id=workspace, entity="contact", status=status, stage=stage, count=number)
            for (workspace, status, stage), number in sorted(totals.items())
            if number
        ]
        return records


def make_operation(placed: Placed, decision: Decision, applied_at: datetime) -> OperationRow:
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
        fingerprint=idempotency.fingerprint if idempotency else None,
        answer=bytes(idempotency.answer).decode() if idempotency else None,
        created_at=envelope.at,
        applied_at=applied_at,
    )


def list_told(envelope: Envelope, decision: Decision) -> list[tuple[str, Any]]:
    """(type, data) of each event of a decision; a rejection is one too."""
    if isinstance(decision, Rejected):
        data = {"type": to_type(envelope.command), "code": decision.code, "message": decision.message}
        return [(REJECTED, data)]
    return [(TYPES[type(event)], make_event_data(event)) for event in decision.events]


def make_event_data(event: Event) -> dict[str, Any]:
    """What the feed tells: the whole record of a create, the old and new values of a change."""
    contact = event.contact
    if isinstance(event, ContactCreated):
        return {"contact": to_told(contact)}
    return {
        "id": contact.number,
        "externalId": contact.external_id,
        "version": contact.version,
        "changes": to_told_changes(event.changes),
    }
