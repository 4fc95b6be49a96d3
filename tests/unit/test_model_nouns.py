"""The rules of all nouns together, over any sequence of commands: what holds after each, whatever came before."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import hypothesis.strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from kith.errors import CODES
from kith.model.activities import Activity
from kith.model.commands import (
    AddMembers,
    AssignTag,
    AssociateCompany,
    Command,
    CreateCompany,
    CreateContact,
    CreateList,
    CreateTag,
    DeleteCompany,
    DeleteContact,
    DeleteList,
    DeleteTag,
    LogActivity,
    MergeContacts,
    RemoveAssociation,
    RemoveMembers,
    RemoveTag,
    RestoreCompany,
    RestoreContact,
    UpdateAssociation,
    UpdateCompany,
    UpdateContact,
    UpdateList,
    UpdateTag,
)
from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.decide import Accepted, Decision, Rejected, decide, fold, touches
from kith.model.events import Event
from kith.model.lists import List
from kith.model.records import Claim, Identity, Record
from kith.model.rules.merge import FILLED
from kith.model.state import State
from kith.model.tags import Tag

R = TypeVar("R", bound=Record)
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = ("contact", "company", "tag", "activity", "list")
EMAILS = ("ada@example.com", "eve@example.com", "mia@example.com")
DOMAINS = ("acme.example", "umbrella.example")
KEYS = ("vip", "new")
CLAIMS: list[Claim] = [
    *(("email", email) for email in EMAILS),
    *(("domain", domain) for domain in DOMAINS),
    *(("tag_key", key) for key in KEYS),
]
LINKING = {"association.created", "association.updated", "association.removed", "tag.assigned", "tag.removed"}
LINKING |= {"list.entered", "list.left"}

names = st.sampled_from((None, "Ada", "Eve"))
properties = st.dictionaries(st.sampled_from(("mrr", "plan")), st.sampled_from((None, 1, "x")), max_size=2)
statuses = st.sampled_from(("ACTIVE", "ARCHIVED"))
entities = st.sampled_from(("contact", "contact", "company"))
versions = st.sampled_from((None, None, None, 1, 2))
contact_fields = st.fixed_dictionaries(
    {}, optional={"email": st.none() | st.sampled_from(EMAILS), "name": names, "properties": properties}
)
company_fields = st.fixed_dictionaries(
    {}, optional={"domain": st.none() | st.sampled_from(DOMAINS), "name": names, "properties": properties}
)
link_fields = st.fixed_dictionaries(
    {}, optional={"role": st.sampled_from((None, "CEO")), "is_primary": st.booleans(), "properties": properties}
)


class NounsMachine(RuleBasedStateMachine):
    """Any commands on a workspace of which everything is loaded."""

    contacts = Bundle("contacts")
    companies = Bundle("companies")
    tags = Bundle("tags")
    lists = Bundle("lists")

    def __init__(self) -> None:
        super().__init__()
        self.at = EPOCH
        self.state = State(dict.fromkeys(KINDS, 1))
        for claim in CLAIMS:
            self.state.set_holder(claim, None)
        self.known: list[Identity] = []
        self.events: list[Event] = []
        self.changes: Counter[Identity] = Counter()
        self.changed_at: dict[Identity, datetime] = {}
        self.given: dict[str, list[int | None]] = {kind: [] for kind in KINDS}
        self.logged: list[tuple[str, datetime]] = []
        self.merged: dict[str, str] = {}

    def list_of(self, kind: type[R]) -> list[R]:
        found = (self.state.peek(identity) for identity in self.known)
        return [record for record in found if isinstance(record, kind)]

    def new_id(self, kind: str) -> str:
        identity = (kind, f"{kind}_{len(self.known)}")
        self.known.append(identity)
        return identity[1]

    def get_contact(self, contact_id: str) -> Contact | None:
        return self.state.find_contact(contact_id)

    def run(self, command: Command) -> Decision:
        """Decide twice, which must come out equal and change nothing; then fold."""
        self.at += timedelta(seconds=1)
        self.state.mark_absent(touches(command))
        before = self.take_snapshot()
        decision = decide(self.state, command, self.at)
        assert decide(self.state, command, self.at) == decision
        assert self.take_snapshot() == before
        if isinstance(decision, Rejected):
            assert decision.code in CODES
            assert decision.message
        else:
            for event in decision.events:
                self.follow(event)
        return decision

    def take_snapshot(self) -> tuple[list[Record | None], list[Record | None], dict[str, int]]:
        records = [self.state.peek(identity) for identity in self.known]
        return records, [self.state.find_holder(claim) for claim in CLAIMS], dict(self.state.numbers or {})

    def follow(self, event: Event) -> None:
        """Fold the event; note which records it changes of themselves."""
        before = {record.identity: self.state.peek(record.identity) for record in (event.record, *event.also)}
        fold(self.state, event)
        self.events.append(event)
        if event.makes_record:
            assert before[event.record.identity] is None
            self.given[event.record.kind].append(event.record.number)
        own: tuple[Record, ...] = (event.record,)
        if event.type in LINKING:
            own = ()
        elif event.type == "contact.merged":
            own = (event.record, *event.also)
        for record in own:
            self.changes[record.identity] += 1
            self.changed_at[record.identity] = self.at

    @rule(target=contacts, given=contact_fields)
    def create_contact(self, given: dict[str, Any]) -> Any:
        contact_id = self.new_id("contact")
        decision = self.run(CreateContact(contact_id=contact_id, **given))
        return contact_id if isinstance(decision, Accepted) else multiple()

    @rule(contact_id=contacts, changes=contact_fields, status=st.none() | statuses, version=versions)
    def change_contact(self, contact_id: str, changes: dict[str, Any], status: str | None, version: int | None) -> None:
        changes = {**changes, **({"status": status} if status else {})}
        self.run(UpdateContact(contact_id=contact_id, changes=changes, if_version=version))

    @rule(contact_id=contacts, version=versions)
    def delete_contact(self, contact_id: str, version: int | None) -> None:
        self.run(DeleteContact(contact_id=contact_id, if_version=version))

    @rule(contact_id=contacts, version=versions)
    def restore_contact(self, contact_id: str, version: int | None) -> None:
        self.run(RestoreContact(contact_id=contact_id, if_version=version))

    @rule(target=companies, given=company_fields)
    def create_company(self, given: dict[str, Any]) -> Any:
        company_id = self.new_id("company")
        decision = self.run(CreateCompany(company_id=company_id, **given))
        return company_id if isinstance(decision, Accepted) else multiple()

    @rule(company_id=companies, changes=company_fields, status=st.none() | statuses, version=versions)
    def change_company(self, company_id: str, changes: dict[str, Any], status: str | None, version: int | None) -> None:
        changes = {**changes, **({"status": status} if status else {})}
        self.run(UpdateCompany(company_id=company_id, changes=changes, if_version=version))

    @rule(company_id=companies, version=versions)
    def delete_company(self, company_id: str, version: int | None) -> None:
        self.run(DeleteCompany(company_id=company_id, if_version=version))

    @rule(company_id=companies, version=versions)
    def restore_company(self, company_id: str, version: int | None) -> None:
        self.run(RestoreCompany(company_id=company_id, if_version=version))

    @rule(target=tags, key=st.sampled_from(KEYS), name=names)
    def create_tag(self, key: str, name: str | None) -> Any:
        tag_id = self.new_id("tag")
        decision = self.run(CreateTag(tag_id=tag_id, key=key, name=name))
        return tag_id if isinstance(decision, Accepted) else multiple()

    @rule(tag_id=tags, name=st.sampled_from(("Seen", "Heard")), version=versions)
    def change_tag(self, tag_id: str, name: str, version: int | None) -> None:
        self.run(UpdateTag(tag_id=tag_id, changes={"name": name}, if_version=version))

    @rule(tag_id=tags, version=versions)
    def delete_tag(self, tag_id: str, version: int | None) -> None:
        decision = self.run(DeleteTag(tag_id=tag_id, if_version=version))
        assert isinstance(decision, Rejected) or self.state.find(Tag, tag_id) is None

    @rule(contact_id=contacts, company_id=companies, given=link_fields)
    def associate(self, contact_id: str, company_id: str, given: dict[str, Any]) -> None:
        before = self.get_contact(contact_id)
        assert before is not None
        decision = self.run(AssociateCompany(contact_id=contact_id, company_id=company_id, **given))
        company = self.state.find(Company, company_id)
        assert company is not None
        if not before.live or not company.live:
            assert isinstance(decision, Rejected)
            assert decision.code == "INVALID_REQUEST"
        elif company_id in {link.external_id for link in before.companies}:
            assert isinstance(decision, Rejected)
            assert decision.code == "ALREADY_ASSOCIATED"
        else:
            after = self.get_contact(contact_id)
            assert after is not None
            assert after.companies[-1].is_primary == given.get("is_primary", False)
            assert None not in after.companies[-1].properties.values()

    @rule(contact_id=contacts, company_id=companies, changes=link_fields)
    def change_association(self, contact_id: str, company_id: str, changes: dict[str, Any]) -> None:
        before = self.get_contact(contact_id)
        decision = self.run(UpdateAssociation(contact_id=contact_id, company_id=company_id, changes=changes))
        after = self.get_contact(contact_id)
        assert before is not None and after is not None
        assert [link.external_id for link in after.companies] == [link.external_id for link in before.companies]
        if isinstance(decision, Accepted):
            link = next(link for link in after.companies if link.external_id == company_id)
            assert all(getattr(link, field) == changes[field] for field in changes.keys() - {"properties"})

    @rule(contact_id=contacts, company_id=companies)
    def remove_association(self, contact_id: str, company_id: str) -> None:
        decision = self.run(RemoveAssociation(contact_id=contact_id, company_id=company_id))
        after = self.get_contact(contact_id)
        assert after is not None
        assert isinstance(decision, Rejected) or company_id not in {link.external_id for link in after.companies}

    @rule(entity=entities, contact_id=contacts, company_id=companies, tag_id=tags)
    def assign(self, entity: Any, contact_id: str, company_id: str, tag_id: str) -> None:
        record_id = contact_id if entity == "contact" else company_id
        decision = self.run(AssignTag(entity=entity, record_id=record_id, tag_id=tag_id))
        record = self.get_contact(contact_id) if entity == "contact" else self.state.find(Company, company_id)
        assert record is not None
        assert isinstance(decision, Accepted) == (record.live and self.state.find(Tag, tag_id) is not None)

    @rule(entity=entities, contact_id=contacts, company_id=companies, tag_id=tags)
    def unassign(self, entity: Any, contact_id: str, company_id: str, tag_id: str) -> None:
        record_id = contact_id if entity == "contact" else company_id
        self.run(RemoveTag(entity=entity, record_id=record_id, tag_id=tag_id))

    @rule(
        target=lists,
        entity_type=st.sampled_from(("CONTACT", "CONTACT", "COMPANY")),
        dynamic=st.just(False) | st.booleans(),
    )
    def create_list(self, entity_type: Any, dynamic: bool) -> str:
        list_id = self.new_id("list")
        command = CreateList(list_id=list_id, name="Some", entity_type=entity_type, is_dynamic=dynamic)
        assert isinstance(self.run(command), Accepted)
        return list_id

    @rule(list_id=lists, name=st.sampled_from(("Some", "Others")), version=versions)
    def change_list(self, list_id: str, name: str, version: int | None) -> None:
        self.run(UpdateList(list_id=list_id, changes={"name": name}, if_version=version))

    @rule(list_id=lists, version=versions)
    def delete_list(self, list_id: str, version: int | None) -> None:
        decision = self.run(DeleteList(list_id=list_id, if_version=version))
        assert isinstance(decision, Rejected) or self.state.find(List, list_id) is None

    @rule(
        list_id=lists,
        contact_ids=st.lists(contacts, min_size=1, max_size=3),
        company_ids=st.lists(companies, min_size=1, max_size=3),
        joining=st.sampled_from((True, True, False)),
    )
    def change_members(self, list_id: str, contact_ids: list[str], company_ids: list[str], joining: bool) -> None:
        held = self.state.find(List, list_id)
        entity = held.entity if held is not None else "contact"
        named = contact_ids if entity == "contact" else company_ids
        change = AddMembers if joining else RemoveMembers
        decision = self.run(change(list_id=list_id, entity=entity, record_ids=named))
        contacts, companies = map(self.get_contact, contact_ids), (self.state.find(Company, one) for one in company_ids)
        records: list[Contact | Company | None] = [*(contacts if entity == "contact" else companies)]
        able = (
            held is not None and not held.is_dynamic and all(record is not None and record.live for record in records)
        )
        assert isinstance(decision, Accepted) == able
        if able:
            on = [list_id in {link.external_id for link in record.lists} for record in records if record is not None]
            assert on == [joining] * len(named)

    @rule(contact_id=contacts, days=st.none() | st.integers(min_value=-3, max_value=3))
    def log(self, contact_id: str, days: int | None) -> None:
        contact = self.get_contact(contact_id)
        assert contact is not None
        occurred_at = EPOCH + timedelta(days=days) if days is not None else None
        activity_id = self.new_id("activity")
        command = LogActivity(
            activity_id=activity_id, contact_id=contact_id, activity_type="CALL", occurred_at=occurred_at
        )
        decision = self.run(command)
        assert isinstance(decision, Accepted) == contact.live
        if contact.live:
            activity = self.state.find(Activity, activity_id)
            assert activity is not None
            assert (activity.contact_id, activity.contact_number) == (contact.external_id, contact.number)
            self.logged.append((contact.external_id, occurred_at or self.at))

    @rule(contact_id=contacts, loser_id=contacts, version=versions)
    def merge(self, contact_id: str, loser_id: str, version: int | None) -> None:
        winner, loser = self.state.find(Contact, contact_id), self.state.find(Contact, loser_id)
        assert winner is not None and loser is not None
        decision = self.run(MergeContacts(contact_id=contact_id, loser_id=loser_id, if_version=version))
        if contact_id == loser_id or not winner.live or not loser.live:
            assert isinstance(decision, Rejected)
            assert decision.code == "INVALID_REQUEST"
        elif version not in (None, winner.version):
            assert isinstance(decision, Rejected)
            assert decision.code == "VERSION_MISMATCH"
        else:
            assert isinstance(decision, Accepted)
            self.merged[loser_id] = contact_id
            self.check_merged(winner, loser)

    def check_merged(self, winner: Contact, loser: Contact) -> None:
        """The winner keeps what it has, and has what only the loser had."""
        after = self.state.find(Contact, winner.external_id)
        assert after is not None
        for field in FILLED:
            kept = getattr(winner, field)
            assert getattr(after, field) == (kept if kept is not None else getattr(loser, field))
        assert after.properties == {**loser.properties, **winner.properties}
        for links in ("companies", "tags", "lists"):
            ids = {link.external_id for side in (winner, loser) for link in getattr(side, links)}
            assert {link.external_id for link in getattr(after, links)} == ids
        primary = [link.external_id for side in (winner, loser) for link in side.companies if link.is_primary]
        assert [link.external_id for link in after.companies if link.is_primary] == primary[:1]
        gone = self.state.find(Contact, loser.external_id)
        assert gone is not None
        assert (gone.status, gone.companies, gone.tags, gone.lists) == ("MERGED", (), (), ())
        assert (gone.activity_count, gone.last_activity_at) == (0, None)

    def follow_merges(self, contact_id: str) -> str:
        """The contact that it went into, by the merges that were accepted."""
        seen = set()
        while contact_id in self.merged:
            assert contact_id not in seen
            seen.add(contact_id)
            contact_id = self.merged[contact_id]
        return contact_id

    @invariant()
    def each_value_has_one_live_holder_whom_the_state_knows(self) -> None:
        holders: dict[Claim, Identity] = {}
        for record in self.list_of(Record):
            for claim in record.claims:
                assert claim not in holders
                holders[claim] = record.identity
        for claim in CLAIMS:
            holder = self.state.find_holder(claim)
            assert (holder.identity if holder else None) == holders.get(claim)

    @invariant()
    def a_contact_has_each_company_and_tag_once_and_one_primary_company_at_most(self) -> None:
        for contact in self.list_of(Contact):
            assert max(Counter(link.external_id for link in contact.companies).values(), default=0) <= 1
            assert sum(link.is_primary for link in contact.companies) <= 1
        for record in (*self.list_of(Contact), *self.list_of(Company)):
            assert max(Counter(tag.external_id for tag in record.tags).values(), default=0) <= 1
            assert max(Counter(link.external_id for link in record.lists).values(), default=0) <= 1
            numbers = [tag.number or 0 for tag in record.tags]
            assert numbers == sorted(numbers)

    @invariant()
    def a_version_counts_what_changed_of_the_record_itself(self) -> None:
        for record in (*self.list_of(Contact), *self.list_of(Company), *self.list_of(Tag), *self.list_of(List)):
            assert record.version == self.changes[record.identity]
            assert record.updated_at == self.changed_at[record.identity]

    @invariant()
    def what_was_logged_is_counted_once_where_it_went(self) -> None:
        times: dict[str, list[datetime]] = {}
        for contact_id, at in self.logged:
            times.setdefault(self.follow_merges(contact_id), []).append(at)
        for contact in self.list_of(Contact):
            logged = times.get(contact.external_id, [])
            assert contact.activity_count == len(logged)
            assert contact.last_activity_at == max(logged, default=None)

    @invariant()
    def who_was_merged_leads_to_one_that_was_not(self) -> None:
        for contact in self.list_of(Contact):
            assert (contact.status == "MERGED") == (contact.external_id in self.merged)
            assert contact.merged_into == self.merged.get(contact.external_id)
            last = self.state.find_contact(contact.external_id)
            assert last is not None
            assert last.status != "MERGED"
            assert last.external_id == self.follow_merges(contact.external_id)

    @invariant()
    def numbers_are_given_in_order_without_gaps(self) -> None:
        for kind, numbers in self.given.items():
            assert numbers == list(range(1, len(numbers) + 1))
            assert self.state.numbers is not None
            assert self.state.numbers[kind] == len(numbers) + 1

    def teardown(self) -> None:
        """The events folded into nothing give the same state."""
        again = State(dict.fromkeys(KINDS, 1))
        for claim in CLAIMS:
            again.set_holder(claim, None)
        for event in self.events:
            fold(again, event)
        assert [again.peek(identity) for identity in self.known] == [self.state.peek(one) for one in self.known]
        assert [again.find_holder(one) for one in CLAIMS] == [self.state.find_holder(one) for one in CLAIMS]
        assert again.numbers == self.state.numbers


TestNouns = NounsMachine.TestCase


def test_a_merge_that_fills_an_email_hands_it_over() -> None:
    state = State(dict.fromkeys(KINDS, 1))
    for claim in CLAIMS:
        state.set_holder(claim, None)
    for command in (
        CreateContact(contact_id="winner", name="Ada"),
        CreateContact(contact_id="loser", email=EMAILS[0]),
        MergeContacts(contact_id="winner", loser_id="loser"),
    ):
        state.mark_absent(touches(command))
        decision = decide(state, command, EPOCH)
        assert isinstance(decision, Accepted)
        for event in decision.events:
            fold(state, event)
    holder = state.find_holder(("email", EMAILS[0]))
    assert holder is not None
    assert holder.external_id == "winner"
    refused = decide(state, UpdateContact(contact_id="loser", changes={"email": EMAILS[0]}), EPOCH)
    assert refused == Accepted(()), "the loser is the winner now, which has the email"


def test_a_company_keeps_its_links_while_it_is_deleted() -> None:
    state = State(dict.fromkeys(KINDS, 1))
    for command in (
        CreateContact(contact_id="ada", name="Ada"),
        CreateCompany(company_id="acme", name="Acme"),
        AssociateCompany(contact_id="ada", company_id="acme"),
        DeleteCompany(company_id="acme"),
        RestoreCompany(company_id="acme"),
        UpdateAssociation(contact_id="ada", company_id="acme", changes={"role": "CEO"}),
    ):
        state.mark_absent(touches(command))
        decision = decide(state, command, EPOCH)
        assert isinstance(decision, Accepted)
        for event in decision.events:
            fold(state, event)
    ada = state.find(Contact, "ada")
    assert ada is not None
    assert [link.role for link in ada.companies] == ["CEO"]
