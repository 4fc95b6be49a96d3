"""Commands of all nouns over few records, in batches of any size, give what the pure model gives one by one."""

import random
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
import pytest

from kith.engine.admin.replay import replay_check
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
    Envelope,
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
from kith.model.decide import Rejected
from kith.model.lists import List
from kith.model.records import Record
from kith.model.state import Ref, State, Survey
from kith.model.tags import Tag
from kith.store.batch import CounterRow, load_records
from tests.conversions import run
from tests.engine.acts import Acts
from tests.engine.crowd import EPOCH
from tests.kit import SETTINGS, Kit

R = TypeVar("R", bound=Record)
# A filter that the records of the script never fit: who is on the list does not follow from the model alone.
NOBODY = {"logic": "AND", "conditions": [{"field": "name", "operator": "eq", "value": "nobody"}]}
COMMANDS = 400
SEEDS = range(8)
EMAILS = [f"{n}@example.com" for n in range(6)]
DOMAINS = [f"{n}.example" for n in range(4)]
KEYS = ["vip", "new", "old", "gone"]
CLAIMS = [("email", one) for one in EMAILS] + [("domain", one) for one in DOMAINS] + [("tag_key", one) for one in KEYS]
RECENT = {"contact": 10, "company": 5, "tag": 5, "list": 4, "property": 8}
TABLES = {"contact": "contacts", "company": "companies", "tag": "tags", "list": "lists", "property": "properties"}


class Script:
    """Any commands, each decided by the model; most are on the few records that came last and are live."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.ids = {kind: [f"{kind}_never"] for kind in TABLES}
        self.made = 0
        self.codes: list[str | None] = []
        self.conversions: list[Survey | None] = []
        self.state = State(CounterRow(workspace_id=1).numbers)
        for claim in CLAIMS:
            self.state.set_holder(claim, None)

    def run(self, count: int, make_envelope: Callable[[Command], Envelope]) -> list[Envelope]:
        """So many commands; ``codes`` are those of their rejections, None for what was applied."""
        acts = self.list_acts()
        return [self.decide(make_envelope(self.chance.choice(acts)())) for _ in range(count)]

    def list_acts(self) -> list[Callable[[], Command]]:
        """What may come next, as often as it is likely."""
        return [
            *[self.make_contact, self.change_contact, self.assign, self.associate] * 3,
            *[self.log, self.merge, self.change_association, self.unassign, self.make_tag] * 2,
            *[self.make_company, self.change_company, self.change_tag, self.delete, self.restore] * 2,
            *[self.make_list, self.change_list, *[self.change_members] * 4],
        ]

    def decide(self, envelope: Envelope) -> Envelope:
        decision, conversions = run(self.state, self.list_records(), envelope.command, envelope.at)
        self.codes.append(decision.code if isinstance(decision, Rejected) else None)
        self.conversions.append(conversions[0] if conversions else None)
        return envelope

    def list_records(self) -> list[Record]:
        """All that there are, a kind after the other."""
        named = [(kind, external_id) for kind, ids in self.ids.items() for external_id in ids]
        return [record for identity in named if (record := self.state.peek(identity))]

    def pick(self, kind: str) -> str:
        there = [one for one in self.ids[kind] if self.is_live(kind, one)]
        some = there if there and self.chance.random() < 0.8 else self.ids[kind]
        return self.chance.choice((*some[-RECENT[kind] :], some[0]))

    def is_live(self, kind: str, external_id: str) -> bool:
        record = self.state.peek((kind, external_id))
        return record is not None and record.live

    def add(self, kind: str) -> str:
        self.made += 1
        self.ids[kind].append(f"{kind}_{self.made}")
        return self.ids[kind][-1]

    def pick_version(self) -> int | None:
        return self.chance.choice((None, None, None, 1, 2))

    def pick_properties(self) -> dict[str, Any]:
        return {self.chance.choice("ab"): self.chance.choice((1, 2.5, "x", None))}

    def make_contact(self) -> Command:
        email, name = self.chance.choice((*EMAILS, None, None)), self.chance.choice((None, "Mia", "Mia"))
        return CreateContact(contact_id=self.add("contact"), name=name, email=email, properties=self.pick_properties())

    def change_contact(self) -> Command:
        changes: dict[str, Any] = self.chance.choice(
            (
                {"email": self.chance.choice((*EMAILS, None))},
                {"status": self.chance.choice(("ACTIVE", "ARCHIVED"))},
                {"given_name": self.chance.choice((None, "Ada", "Eve")), "properties": self.pick_properties()},
            )
        )
        return UpdateContact(contact_id=self.pick("contact"), changes=changes, if_version=self.pick_version())

    def make_company(self) -> Command:
        domain, name = self.chance.choice((*DOMAINS, None)), self.chance.choice((None, "Acme"))
        return CreateCompany(company_id=self.add("company"), name=name, domain=domain)

    def change_company(self) -> Command:
        changes: dict[str, Any] = self.chance.choice(
            (
                {"domain": self.chance.choice((*DOMAINS, None))},
                {"status": self.chance.choice(("ACTIVE", "ARCHIVED"))},
                {"name": self.chance.choice((None, "Acme", "Umbrella")), "properties": self.pick_properties()},
            )
        )
        return UpdateCompany(company_id=self.pick("company"), changes=changes, if_version=self.pick_version())

    def make_tag(self) -> Command:
        return CreateTag(tag_id=self.add("tag"), key=self.chance.choice(KEYS))

    def change_tag(self) -> Command:
        changes = {"name": self.chance.choice(("Seen", "Heard")), "color": self.chance.choice((None, "#FD0"))}
        return UpdateTag(tag_id=self.pick("tag"), changes=changes, if_version=self.pick_version())

    def log(self) -> Command:
        self.made += 1
        occurred_at = self.chance.choice((None, EPOCH.replace(day=self.chance.randrange(1, 28))))
        return LogActivity(
            activity_id=f"act_{self.made}",
            contact_id=self.pick("contact"),
            activity_type="NOTE",
            content="Called.",
            occurred_at=occurred_at,
        )

    def merge(self) -> Command:
        version = self.chance.choice((None, None, None, 2))
        return MergeContacts(contact_id=self.pick("contact"), loser_id=self.pick("contact"), if_version=version)

    def associate(self) -> Command:
        return AssociateCompany(
            contact_id=self.pick("contact"),
            company_id=self.pick("company"),
            role=self.chance.choice((None, "CEO")),
            is_primary=self.chance.random() < 0.5,
            properties=self.pick_properties(),
        )

    def change_association(self) -> Command:
        ids = {"contact_id": self.pick("contact"), "company_id": self.pick("company")}
        if self.chance.random() < 0.4:
            return RemoveAssociation(**ids)
        changes: dict[str, Any] = self.chance.choice(
            (
                {"is_primary": self.chance.random() < 0.7},
                {"role": self.chance.choice((None, "CTO"))},
                {"properties": self.pick_properties()},
            )
        )
        return UpdateAssociation(**ids, changes=changes)

    def assign(self) -> Command:
        entity = self.chance.choice(("contact", "contact", "company"))
        return AssignTag(entity=entity, record_id=self.pick(entity), tag_id=self.pick("tag"))  # type: ignore[arg-type]

    def unassign(self) -> Command:
        entity = self.chance.choice(("contact", "contact", "company"))
        return RemoveTag(entity=entity, record_id=self.pick(entity), tag_id=self.pick("tag"))  # type: ignore[arg-type]

    def make_list(self) -> Command:
        entity_type = self.chance.choice(("CONTACT", "CONTACT", "COMPANY"))
        dynamic = self.chance.random() < 0.1
        return CreateList(
            list_id=self.add("list"),
            name="Some",
            entity_type=entity_type,
            is_dynamic=dynamic,
            filter_criteria=NOBODY if dynamic else None,
        )

    def change_list(self) -> Command:
        changes = self.chance.choice(({"name": "Others"}, {"description": "All"}, {"filter_criteria": NOBODY}))
        return UpdateList(list_id=self.pick("list"), changes=changes, if_version=self.pick_version())

    def change_members(self) -> Command:
        list_id = self.pick("list")
        held = self.state.peek(("list", list_id))
        entity = held.entity if isinstance(held, List) else "contact"
        record_ids = [self.pick(entity) for _ in range(self.chance.randrange(1, 4))]
        change = AddMembers if self.chance.random() < 0.7 else RemoveMembers
        return change(list_id=list_id, entity=entity, record_ids=record_ids)

    def delete(self) -> Command:
        match self.chance.choice(("contact", "contact", "contact", "company", "company", "tag", "list")):
            case "contact":
                return DeleteContact(contact_id=self.pick("contact"), if_version=self.pick_version())
            case "company":
                return DeleteCompany(company_id=self.pick("company"), if_version=self.pick_version())
            case "list":
                return DeleteList(list_id=self.pick("list"), if_version=self.pick_version())
        return DeleteTag(tag_id=self.pick("tag"), if_version=self.pick_version())

    def restore(self) -> Command:
        if self.chance.random() < 0.6:
            return RestoreContact(contact_id=self.pick("contact"), if_version=self.pick_version())
        return RestoreCompany(company_id=self.pick("company"), if_version=self.pick_version())


def list_records(script: Script) -> list[Record]:
    """What the model has at the end, as the database should have it."""
    records = script.list_records()
    return [to_stored(script.state, record, records) for record in records]


def to_stored(state: State, record: Record, records: list[Record]) -> Record:
    """What depends on others as it is: the tags that are there, the last in a chain of merges, the counts."""
    contacts = [one for one in records if isinstance(one, Contact) and one.live]
    match record:
        case Contact():
            into = state.find_contact(record.external_id)
            assert into is not None
            record = to_plain(record, state)
            return msgspec.structs.replace(record, merged_into=into.external_id if record.merged_into else None)
        case Company():
            count = sum(link.external_id == record.external_id for one in contacts for link in one.companies)
            return msgspec.structs.replace(to_plain(record, state), contact_count=count)
        case Tag():
            count = sum(link.external_id == record.external_id for one in contacts for link in one.tags)
            return msgspec.structs.replace(record, contact_count=count)
        case List():
            able = [one for one in records if isinstance(one, (Contact, Company)) and one.live]
            count = sum(link.external_id == record.external_id for one in able for link in one.lists)
            return msgspec.structs.replace(record, member_count=count)
    return record


def to_plain(record: R, state: State | None = None) -> R:
    """Of what it is linked to only that, and what the link itself holds; where there is a state, if it is there."""
    fields: dict[str, Any] = {}
    if isinstance(record, Contact):
        links = sorted(record.companies, key=lambda link: link.number or 0)
        plain = [msgspec.structs.replace(link, name=None, domain=None, live=True) for link in links]
        fields["companies"] = tuple(plain)
    if isinstance(record, (Contact, Company)):
        there = [tag for tag in record.tags if state is None or state.peek(("tag", tag.external_id))]
        fields["tags"] = tuple(msgspec.structs.replace(tag, name="", color=None) for tag in there)
        on = [one for one in record.lists if state is None or state.peek(("list", one.external_id))]
        fields["lists"] = tuple(sorted(on, key=lambda one: one.number or 0))
    return msgspec.structs.replace(record, **fields)


async def load_all(acts: Acts) -> list[Record]:
    """Every record as the database has it, a kind after the other, in the order of their numbers."""
    loaded: list[Record] = []
    for kind, table in TABLES.items():
        numbers = await acts.fetch(f"SELECT id FROM {table} WHERE workspace_id = $1 ORDER BY id")
        refs = [(acts.workspace.id, Ref(kind, "number", number)) for (number,) in numbers]
        async with acts.engine.database.acquire() as connection:
            found = await load_records(connection, acts.workspace.shard, refs)
        by_number: Mapping[int | None, Record] = {record.number: record for _, record in found}
        loaded += [to_plain(by_number[number]) for (number,) in numbers]
    return loaded


async def check_batches(kit: Kit, acts: Acts, script: Script) -> None:
    """All that the script does, in batches of any size, ends as it has ended there, and so does its replay."""
    chance = script.chance
    envelopes = script.run(COMMANDS, acts.make_envelope)
    assert 0.35 < script.codes.count(None) / COMMANDS < 0.9, "commands are applied, and commands are refused"
    waiting = list(envelopes)
    while waiting:
        count = chance.randrange(1, 120)
        await acts.append(*waiting[:count])
        del waiting[:count]
        kit.writer._batch_max = chance.randrange(1, 60)
        await kit.drain()
    ended = dict(await acts.fetch("SELECT id, error ->> 'code' FROM operations WHERE workspace_id = $1"))
    differing = [
        (n, envelope.command, code, ended[envelope.operation_id])
        for n, (envelope, code) in enumerate(zip(envelopes, script.codes, strict=True))
        if ended[envelope.operation_id] != code
    ]
    assert not differing, f"{len(differing)} commands ended otherwise, the first: {differing[0]}"
    assert await load_all(acts) == list_records(script)
    report = await replay_check(kit.url, SETTINGS)
    assert (report.entries, report.differences) == (COMMANDS, [])


@pytest.mark.parametrize("seed", SEEDS)
async def test_batches_of_all_nouns_give_what_the_model_gives(own_kit: Kit, own_acts: Acts, seed: int) -> None:
    await check_batches(own_kit, own_acts, Script(random.Random(seed)))


def make_envelope(command: Command) -> Envelope:
    return Envelope(operation_id="op", workspace_id=1, at=EPOCH, key_id=1, command=command)


def test_the_commands_meet_every_kind_of_refusal() -> None:
    """The check itself: what is compared is not all the same."""
    codes: set[str | None] = set()
    kinds: set[str] = set()
    for seed in SEEDS:
        script = Script(random.Random(seed))
        kinds |= {type(envelope.command).__name__ for envelope in script.run(COMMANDS, make_envelope)}
        codes |= set(script.codes)
    assert len(kinds) == 23
    assert codes == {
        None,
        "NOT_FOUND",
        "MISSING_FIELD",
        "INVALID_REQUEST",
        "VERSION_MISMATCH",
        "CONTACT_EMAIL_EXISTS",
        "COMPANY_DOMAIN_EXISTS",
        "TAG_KEY_EXISTS",
        "ALREADY_ASSOCIATED",
    }
