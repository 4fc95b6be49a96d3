"""The rules of contacts, over any sequence of commands: what holds after each of them, whatever came before."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from kith.model.commands import Command, CreateContact, DeleteContact, RestoreContact, UpdateContact
from kith.model.contacts import Contact, make_name
from kith.model.decide import Accepted, Decision, Rejected, decide, fold, touches
from kith.model.events import Event
from kith.model.records import Record
from kith.model.serialization import to_json
from kith.model.state import State
from kith.model.values import same_json

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
EMAILS = ("ada@example.com", "eve@example.com", "mia@example.com")
emails = st.sampled_from(EMAILS)
texts = st.sampled_from((None, "Ada", "Eve", "Ada Lovelace"))
phones = st.sampled_from(((None, None), ("030 1", None), ("+49 30 123456", "+4930123456")))
stages = st.sampled_from(("LEAD", "CUSTOMER"))
values = st.sampled_from((None, True, 1, 1.0, Decimal("1.50"), "x", ["x"], {"a": 1}))
properties = st.dictionaries(st.sampled_from(("mrr", "plan")), values, max_size=2)
fields = st.fixed_dictionaries(
    {},
    optional={
        "email": st.none() | emails,
        "name": texts,
        "given_name": texts,
        "family_name": texts,
        "phones": phones,
        "lifecycle_stage": stages,
        "properties": properties,
    },
)
versions = st.none() | st.integers(min_value=-1, max_value=1)


def take_phones(given: dict[str, Any]) -> dict[str, Any]:
    """The two fields of a phone come together, as the edge makes them."""
    given = dict(given)
    if "phones" in given:
        given["phone"], given["phone_e164"] = given.pop("phones")
    return given


def list_told(contact: Contact) -> dict[str, Any]:
    """The record as a reader of events keeps it: what changes may name, flat."""
    told = msgspec.structs.asdict(contact)
    for field in ("version", "updated_at", "properties"):
        del told[field]
    return {**told, **{f"properties.{key}": value for key, value in contact.properties.items()}}


class ContactsMachine(RuleBasedStateMachine):
    """Any commands on a workspace of which everything is loaded."""

    made = Bundle("made")

    def __init__(self) -> None:
        super().__init__()
        self.state = State({"contact": 1})
        self.state.mark_absent(touches(CreateContact(contact_id="ctc_absent")))
        for email in EMAILS:
            self.state.set_holder(("email", email), None)
        self.ids: list[str] = []
        self.events: list[Event] = []
        self.changes: dict[str, int] = {}
        self.told: dict[str, dict[str, Any]] = {}
        self.at = EPOCH

    def get(self, contact_id: str) -> Contact:
        contact = self.state.find_contact(contact_id)
        assert contact is not None
        return contact

    def peek(self, contact_id: str) -> Contact | None:
        contact = self.state.peek(("contact", contact_id))
        assert contact is None or isinstance(contact, Contact)
        return contact

    def find_holder(self, email: str | None) -> Record | None:
        return self.state.find_holder(("email", email)) if email else None

    def list_contacts(self) -> list[Contact]:
        return [contact for contact_id in self.ids if (contact := self.peek(contact_id))]

    def run(self, command: Command) -> Decision:
        """Decide twice, which must come out equal and change nothing; then fold."""
        self.at += timedelta(seconds=1)
        before = self.list_contacts()
        decision = decide(self.state, command, self.at)
        assert decide(self.state, command, self.at) == decision
        assert self.list_contacts() == before
        if isinstance(decision, Accepted):
            for event in decision.events:
                self.follow(event)
        return decision

    def follow(self, event: Event) -> None:
        """Fold the event, and hold what it tells against what a reader of all events knows."""
        contact = event.record
        assert isinstance(contact, Contact)
        contact_id = contact.external_id
        fold(self.state, event)
        self.events.append(event)
        self.changes[contact_id] = self.changes.get(contact_id, 0) + 1
        if event.makes_record:
            assert contact_id not in self.told
            self.told[contact_id] = list_told(contact)
            return
        told = self.told[contact_id]
        assert event.changes, "an event in which nothing changed"
        for field, (old, new) in event.changes.items():
            assert same_json(told.get(field), old), f"{field} was {told.get(field)!r}, the event says {old!r}"
            assert not same_json(old, new)
            if new is None and field.startswith("properties."):
                del told[field]
            else:
                told[field] = new
        assert contact.updated_at == self.at

    @rule(target=made, given=fields)
    def create(self, given: dict[str, Any]) -> str:
        contact_id = f"ctc_{len(self.ids)}"
        given = {field: value for field, value in take_phones(given).items() if value is not None}
        self.state.mark_absent(touches(CreateContact(contact_id=contact_id)))
        holder = self.find_holder(given.get("email"))
        decision = self.run(CreateContact(contact_id=contact_id, **given))
        self.ids.append(contact_id)
        if not any(given.get(field) for field in ("email", "phone", "name", "given_name", "family_name")):
            assert isinstance(decision, Rejected)
            assert decision.code == "MISSING_FIELD"
        elif holder:
            assert isinstance(decision, Rejected)
            assert decision.code == "CONTACT_EMAIL_EXISTS"
            assert decision.details
            assert decision.details["existingExternalId"] == holder.external_id
        else:
            contact = self.get(contact_id)
            assert (contact.version, contact.status, contact.modules) == (1, "ACTIVE", ("CRM",))
            assert contact.created_at == contact.updated_at == self.at
            assert contact.name == (given.get("name") or make_name(given.get("given_name"), given.get("family_name")))
            assert None not in contact.properties.values()
        return contact_id

    @rule(contact_id=made, given=fields, status=st.sampled_from((None, "ACTIVE", "ARCHIVED")), off=versions)
    def update(self, contact_id: str, given: dict[str, Any], status: str | None, off: int | None) -> None:
        changes = {**take_phones(given), **({"status": status} if status else {})}
        before = self.peek(contact_id)
        holder = self.find_holder(changes.get("email"))
        command = UpdateContact(contact_id=contact_id, changes=changes, if_version=to_version(before, off))
        decision = self.run(command)
        if self.is_refused_early(decision, before, off):
            return
        assert before is not None
        if not before.live:
            assert isinstance(decision, Rejected)
            assert decision.code == "INVALID_REQUEST"
        elif holder and holder.external_id != contact_id:
            assert isinstance(decision, Rejected)
            assert decision.code == "CONTACT_EMAIL_EXISTS"
        else:
            assert isinstance(decision, Accepted)
            self.check_updated(before, changes, decision)

    def check_updated(self, before: Contact, changes: dict[str, Any], decision: Accepted) -> None:
        after = self.get(before.external_id)
        if not decision.events:
            assert after == before
        else:
            (event,) = decision.events
            assert event.type == "contact.updated"
            assert after.version == before.version + 1
        for field, value in changes.items():
            if field == "properties":
                for key, item in value.items():
                    assert same_json(after.properties.get(key), item)
            else:
                assert getattr(after, field) == value
        untouched = before.properties.keys() - changes.get("properties", {}).keys()
        assert all(same_json(after.properties[key], before.properties[key]) for key in untouched)
        if "name" not in changes:
            was_made = before.name == make_name(before.given_name, before.family_name)
            asked = "given_name" in changes or "family_name" in changes
            made = make_name(after.given_name, after.family_name)
            assert after.name == (made if was_made and asked else before.name)

    @rule(contact_id=made, off=versions)
    def delete(self, contact_id: str, off: int | None) -> None:
        before = self.peek(contact_id)
        decision = self.run(DeleteContact(contact_id=contact_id, if_version=to_version(before, off)))
        if self.is_refused_early(decision, before, off):
            return
        assert before is not None
        assert isinstance(decision, Accepted)
        assert len(decision.events) == (before.status != "DELETED")
        assert self.get(contact_id).status == "DELETED"

    @rule(contact_id=made, off=versions)
    def restore(self, contact_id: str, off: int | None) -> None:
        before = self.peek(contact_id)
        holder = self.find_holder(before.email if before else None)
        decision = self.run(RestoreContact(contact_id=contact_id, if_version=to_version(before, off)))
        if self.is_refused_early(decision, before, off):
            return
        assert before is not None
        if before.status != "DELETED":
            assert isinstance(decision, Rejected)
            assert decision.code == "INVALID_REQUEST"
        elif holder:
            assert isinstance(decision, Rejected)
            assert decision.code == "CONTACT_EMAIL_EXISTS"
        else:
            after = self.get(contact_id)
            assert after.status == "ACTIVE"
            assert after == msgspec.structs.replace(
                before, status="ACTIVE", version=before.version + 1, updated_at=self.at
            )

    def is_refused_early(self, decision: Decision, before: Contact | None, off: int | None) -> bool:
        """Whether the record is not there, or not at the version that was named: nothing else counts then."""
        if before is None:
            assert isinstance(decision, Rejected)
            assert decision.code == "NOT_FOUND"
            return True
        mismatch = off is not None and off != 0
        is_version = isinstance(decision, Rejected) and decision.code == "VERSION_MISMATCH"
        assert is_version == mismatch
        return mismatch

    @invariant()
    def each_email_has_one_live_owner_whom_the_state_knows(self) -> None:
        owners: dict[str, str] = {}
        for contact in self.list_contacts():
            if contact.live and contact.email:
                assert contact.email not in owners
                owners[contact.email] = contact.external_id
        for email in EMAILS:
            holder = self.find_holder(email)
            assert (holder.external_id if holder else None) == owners.get(email)

    @invariant()
    def a_version_is_the_number_of_its_changes(self) -> None:
        for contact in self.list_contacts():
            assert contact.version == self.changes[contact.external_id]

    @invariant()
    def numbers_are_given_in_order_without_gaps(self) -> None:
        numbers = [contact.number for contact in self.list_contacts()]
        assert numbers == list(range(1, len(numbers) + 1))

    @invariant()
    def the_events_tell_all_that_there_is(self) -> None:
        for contact in self.list_contacts():
            assert same_json(list_told(contact), self.told[contact.external_id])

    @invariant()
    def who_can_be_reached_is_identified(self) -> None:
        for contact in self.list_contacts():
            shown = msgspec.json.decode(to_json(contact, pending=False))
            assert shown["isIdentified"] == bool(contact.email or contact.phone)

    def teardown(self) -> None:
        """The events folded into nothing give the same records."""
        again = State({"contact": 1})
        for event in self.events:
            fold(again, event)
        assert [again.peek(contact.identity) for contact in self.list_contacts()] == self.list_contacts()
        assert again.numbers == self.state.numbers


def to_version(contact: Contact | None, off: int | None) -> int | None:
    """A version that is the contact's, or off by one."""
    return None if off is None else (contact.version if contact else 1) + off


TestContacts = ContactsMachine.TestCase


def test_asking_for_what_was_not_loaded_fails_loudly() -> None:
    state = State()
    with pytest.raises(AssertionError, match="was not loaded"):
        decide(state, UpdateContact(contact_id="ctc_1", changes={"name": "Ada"}), EPOCH)
    with pytest.raises(AssertionError, match="was not loaded"):
        decide(state, CreateContact(contact_id="ctc_1", email="ada@example.com"), EPOCH)


def test_a_prediction_gives_no_number() -> None:
    state = State()
    command = CreateContact(contact_id="ctc_1", name="Ada")
    state.mark_absent(touches(command))
    decision = decide(state, command, EPOCH)
    assert isinstance(decision, Accepted)
    fold(state, decision.events[0])
    assert decision.events[0].record.number is None
    assert state.numbers is None
