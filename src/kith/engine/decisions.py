"""Deciding a batch: commands in their order on the loaded state, and the rows that come of it. No I/O."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
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
    counters: list[CounterRow] = []


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
    batch: Iterable[Placed],
    contacts: Iterable[tuple[int, Contact]],
    counters: Mapping[int, CounterRow],
    known: set[tuple[int, str]],
    applied_at: datetime,
) -> "Decided":
    """Decide each command that is not ``known`` to be applied, and fold what it does."""
    decided = Decided(contacts, counters, applied_at)
    for placed in batch:
        key = (placed.envelope.workspace_id, placed.envelope.operation_id)
        if key not in known:
            known.add(key)
            decided.apply(placed)
    return decided


class Decided:
    """What becomes of a batch: its operations and events, and the state from which its records are made.

    ``_loaded`` is what each changed contact was before.
    """

    def __init__(
        self, contacts: Iterable[tuple[int, Contact]], counters: Mapping[int, CounterRow], applied_at: datetime
    ) -> None:
        self._states = {workspace: State(counter.next_contact_number) for workspace, counter in counters.items()}
        self._sequences = {workspace: counter.next_event_sequence for workspace, counter in counters.items()}
        self._loaded: dict[tuple[int, str], Contact | None] = {}
        self._applied_at = applied_at
        self.operations: list[OperationRow] = []
        self.events: list[EventRow] = []
        for workspace, contact in contacts:
            self._states[workspace].know_contacts((contact,))

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
                self._add_event(envelope, TYPES[type(event)], make_event_data(event))
        else:
            self._add_event(
                envelope,
                REJECTED,
                {"type": to_type(envelope.command), "code": decision.code, "message": decision.message},
            )
        self.operations.append(make_operation(placed, decision, self._applied_at))

    def _add_event(self, envelope: Envelope, event_type: str, data: Any) -> None:
        workspace = envelope.workspace_id
        self.events.append(
            EventRow(
                workspace_id=workspace,
                sequence=self._sequences[workspace],
                type=event_type,
                resource=to_resource(envelope.command),
                operation_id=envelope.operation_id,
                at=envelope.at,
                data=data,
            )
        )
        self._sequences[workspace] += 1

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
            TotalRow(workspace_id=workspace, entity="contact", status=status, stage=stage, count=count)
            for (workspace, status, stage), count in sorted(totals.items())
            if count
        ]
        records.counters = [
            CounterRow(
                workspace_id=workspace,
                next_contact_number=state.next_number or 1,
                next_event_sequence=self._sequences[workspace],
            )
            for workspace, state in self._states.items()
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
