"""The rules of properties: definitions come, change and go, and every record is held to those that are active."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from kith.errors import CODES
from kith.model.commands import (
    ArchiveProperty,
    AssociateCompany,
    Command,
    CreateCompany,
    CreateContact,
    CreateProperty,
    DeleteContact,
    MergeContacts,
    RestoreContact,
    UpdateAssociation,
    UpdateContact,
    UpdateProperty,
)
from kith.model.contacts import Contact
from kith.model.decide import Accepted, Decision, Rejected, decide, fold, touches
from kith.model.events import Event
from kith.model.properties import PROPERTIES_PER_ENTITY_MAX, Option, Property, PropertyType, Schema, make_schema
from kith.model.records import Record
from kith.model.rules.properties import check_properties, find_schema, find_surveyed
from kith.model.state import State, Survey
from kith.model.typed_values import check_value, convert_value, fits
from kith.model.values import same_json
from kith.store.batch import CounterRow
from tests.conversions import run

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = ("a", "b")
OPTIONS = ("gold", "tin", "1", "true")
TYPES: tuple[PropertyType, ...] = get_args(PropertyType)

values = st.sampled_from(
    (None, "", "x", "1", " 12.50", 1, 2.5, True, "true", "gold", "tin", ["gold"], ["gold", "tin"], [], "2026-01-02", {})
)
held_values = st.dictionaries(st.sampled_from((*KEYS, "free")), values, max_size=3)
types = st.sampled_from((*TYPES, "NUMBER", "TEXT", "SELECT", "MULTI_SELECT"))
options = st.lists(
    st.builds(
        lambda value, archived: {"value": value, "label": value, "archived": archived},
        st.sampled_from(OPTIONS),
        st.booleans(),
    ),
    unique_by=lambda one: one["value"],
    max_size=4,
)
versions = st.sampled_from((None, None, None, 1, 2))
changes_of_property = st.fixed_dictionaries(
    {},
    optional={
        "type": types,
        "label": st.sampled_from("AB"),
        "is_required": st.sampled_from((False, False, True)),
        "options": options,
        "status": st.sampled_from(("ACTIVE", "ACTIVE", "ARCHIVED")),
    },
)


class PropertiesMachine(RuleBasedStateMachine):
    """Definitions for contacts, and contacts that hold values; surveys and conversions as the writer makes them."""

    properties = Bundle("properties")
    contacts = Bundle("contacts")

    def __init__(self) -> None:
        super().__init__()
        self.at = EPOCH
        self.state = State(CounterRow(workspace_id=1).numbers)
        self.known: list[tuple[str, str]] = []
        self.changes: Counter[str] = Counter()

    def list_of(self, kind: type[Record]) -> list[Any]:
        return [record for one in self.known if isinstance(record := self.state.peek(one), kind)]

    def new_id(self, kind: str) -> str:
        self.known.append((kind, f"{kind}_{len(self.known)}"))
        return self.known[-1][1]

    def run(self, command: Command) -> Decision:
        self.at += timedelta(seconds=1)
        decision, _ = run(self.state, self.list_of(Record), command, self.at)
        if isinstance(decision, Rejected):
            assert decision.code in CODES and decision.message
        else:
            self.changes.update(event.record.external_id for event in decision.events)
        return decision

    @rule(
        target=properties,
        key=st.sampled_from(KEYS),
        type_=types,
        given=options,
        required=st.sampled_from((False, False, True)),
    )
    def define(self, key: str, type_: PropertyType, given: list[dict[str, Any]], required: bool) -> Any:
        taken = key in find_schema(self.state, "CONTACT").properties if self.known else False
        property_id = self.new_id("property")
        given = given if "SELECT" in type_ else []
        decision = self.run(
            CreateProperty(
                property_id=property_id,
                entity="CONTACT",
                key=key,
                property_type=type_,
                options=given,
                is_required=required,
            )
        )
        assert (isinstance(decision, Rejected) and decision.code == "PROPERTY_KEY_EXISTS") == taken
        return property_id if isinstance(decision, Accepted) else multiple()

    @rule(property_id=properties, changes=changes_of_property, version=versions)
    def redefine(self, property_id: str, changes: dict[str, Any], version: int | None) -> None:
        before = self.state.find(Property, property_id)
        assert before is not None
        held = {one.external_id: one.properties.get(before.key) for one in self.list_of(Contact)}
        command = UpdateProperty(property_id=property_id, entity="CONTACT", changes=changes, if_version=version)
        decision = self.run(command)
        after = self.state.find(Property, property_id)
        assert after is not None
        assert (after.key, after.entity, after.number) == (before.key, before.entity, before.number)
        if isinstance(decision, Rejected):
            assert after == before
            return
        if after.type != before.type:
            assert all(value is None or fits(after, value) for value in held.values())
        gone = {one.value for one in before.options} - {one.value for one in after.options}
        if "SELECT" in after.type and after.type == before.type:
            used = [
                value if isinstance(value, list) else [value]
                for value in held.values()
                if value is not None and fits(before, value)
            ]
            assert not any(one in gone for some in used for one in some)
        if not after.active:
            assert held == {one.external_id: one.properties.get(before.key) for one in self.list_of(Contact)}

    @rule(property_id=properties, version=versions)
    def archive(self, property_id: str, version: int | None) -> None:
        decision = self.run(ArchiveProperty(property_id=property_id, entity="CONTACT", if_version=version))
        one = self.state.find(Property, property_id)
        assert isinstance(decision, Rejected) or (one is not None and not one.active)

    @rule(target=contacts, held=held_values)
    def create(self, held: dict[str, Any]) -> Any:
        contact_id = self.new_id("contact")
        decision = self.run(CreateContact(contact_id=contact_id, name="Ada", properties=held))
        if isinstance(decision, Rejected):
            assert decision.code in ("INVALID_FIELD", "MISSING_FIELD", "VALIDATION_ERROR")
            return multiple()
        contact = self.state.find(Contact, contact_id)
        assert contact is not None
        assert all(key in contact.properties for key in find_schema(self.state, "CONTACT").required)
        self.check_held(contact, held)
        return contact_id

    @rule(contact_id=contacts, held=held_values)
    def change(self, contact_id: str, held: dict[str, Any]) -> None:
        before = self.state.find_contact(contact_id)
        assert before is not None
        decision = self.run(UpdateContact(contact_id=contact_id, changes={"properties": held}))
        after = self.state.find_contact(contact_id)
        assert after is not None
        if isinstance(decision, Accepted):
            changed = {key: value for key, value in held.items() if not same_json(before.properties.get(key), value)}
            self.check_held(after, changed, before.properties)
            cleared = before.properties.keys() - after.properties.keys()
            assert not cleared & set(find_schema(self.state, "CONTACT").required)
        else:
            assert after == before

    @rule(contact_id=contacts)
    def delete_or_restore(self, contact_id: str) -> None:
        contact = self.state.find_contact(contact_id)
        assert contact is not None
        self.run(DeleteContact(contact_id=contact_id) if contact.live else RestoreContact(contact_id=contact_id))

    @rule(winner=contacts, loser=contacts)
    def merge(self, winner: str, loser: str) -> None:
        self.run(MergeContacts(contact_id=winner, loser_id=loser))

    def check_held(self, contact: Contact, given: dict[str, Any], before: dict[str, Any] | None = None) -> None:
        """What was given is held in the form of its property, or as it is where nothing is defined."""
        schema = find_schema(self.state, "CONTACT")
        for key, value in given.items():
            one = schema.properties.get(key)
            wanted = value
            if one is not None and one.active and value is not None:
                wanted = check_value(one, value, (before or {}).get(key))
            assert same_json(contact.properties.get(key), wanted)

    @invariant()
    def the_schema_has_each_property_once_as_it_is(self) -> None:
        held = self.list_of(Property)
        schema = self.state.peek(("schema", "CONTACT"))
        assert schema is None or isinstance(schema, Schema)
        assert len({one.key for one in held}) == len(held)
        assert (schema or make_schema("CONTACT", ())) == make_schema("CONTACT", held)

    @invariant()
    def a_version_counts_what_was_applied(self) -> None:
        for one in (*self.list_of(Property), *self.list_of(Contact)):
            if getattr(one, "status", "") != "MERGED" and not any(
                other.merged_into == one.external_id for other in self.list_of(Contact)
            ):
                assert one.version == self.changes[one.external_id]

    @invariant()
    def what_is_held_under_an_active_key_fits_once_and_for_all_or_does_not_fit_at_all(self) -> None:
        schema = self.state.peek(("schema", "CONTACT"))
        active = [one for one in schema.properties.values() if one.active] if isinstance(schema, Schema) else []
        for contact in self.list_of(Contact):
            assert None not in contact.properties.values()
            for one in active:
                value = contact.properties.get(one.key)
                if value is not None and fits(one, value):
                    assert same_json(convert_value(one, value), value), "a value that fits is in its form"

    @invariant()
    def only_what_selects_has_options(self) -> None:
        for one in self.list_of(Property):
            assert "SELECT" in one.type or one.options == ()


TestProperties = PropertiesMachine.TestCase


def make_property(n: int = 1, **more: Any) -> Property:
    fields = {
        "external_id": f"prp_{n}",
        "number": n,
        "entity": "CONTACT",
        "key": f"key_{n}",
        "label": "Key",
        "type": "NUMBER",
        "group": "CUSTOM",
        "description": None,
        "is_required": False,
        "options": (),
        "status": "ACTIVE",
        "created_at": EPOCH,
        "updated_at": EPOCH,
        "version": 1,
    }
    return Property(**(fields | more))


def make_state(*properties: Property, entity: str = "CONTACT") -> State:
    state = State(CounterRow(workspace_id=1).numbers)
    state.know((make_schema(entity, properties), *properties))
    return state


def apply(state: State, command: Command) -> Decision:
    state.mark_absent(touches(command))
    decision = decide(state, command, EPOCH)
    if isinstance(decision, Accepted):
        for event in decision.events:
            fold(state, event)
    return decision


def refuse(state: State, command: Command) -> Rejected:
    decision = apply(state, command)
    assert isinstance(decision, Rejected)
    return decision


def define(n: int, key: str | None = None, **more: Any) -> CreateProperty:
    fields = {"property_id": f"prp_{n}", "entity": "CONTACT", "key": key or f"key_{n}", "property_type": "NUMBER"}
    return CreateProperty(**(fields | more))


def test_an_entity_has_500_active_properties_and_any_number_of_archived_ones() -> None:
    full = [make_property(n) for n in range(PROPERTIES_PER_ENTITY_MAX)]
    archived = make_property(900, status="ARCHIVED")
    state = make_state(*full, archived)
    refused = refuse(state, define(901))
    assert (refused.code, refused.details) == ("INVALID_REQUEST", {"limit": PROPERTIES_PER_ENTITY_MAX})
    restore = UpdateProperty(property_id="prp_900", entity="CONTACT", changes={"status": "ACTIVE"})
    assert refuse(state, restore).code == "INVALID_REQUEST"
    assert isinstance(
        apply(state, UpdateProperty(property_id="prp_900", entity="CONTACT", changes={"label": "A"})), Accepted
    )
    state.know((make_schema("COMPANY", ()),))
    assert isinstance(apply(state, define(902, entity="COMPANY")), Accepted)
    assert isinstance(apply(state, ArchiveProperty(property_id="prp_7", entity="CONTACT")), Accepted)
    assert isinstance(apply(state, restore), Accepted)
    assert refuse(state, define(903)).code == "INVALID_REQUEST"


@pytest.mark.parametrize(("key", "entity"), [("email", "CONTACT"), ("domain", "COMPANY"), ("role", "CONTACT_COMPANY")])
def test_the_key_of_a_field_that_all_records_have_is_taken(key: str, entity: str) -> None:
    refused = refuse(make_state(entity=entity), define(1, key, entity=entity))
    assert refused.code == "PROPERTY_KEY_EXISTS"
    assert refused.details is not None
    assert refused.details["status"] == "ACTIVE"


def test_a_key_that_is_archived_is_taken_and_the_refusal_says_how_it_comes_back() -> None:
    state = make_state(make_property(1, key="mrr", status="ARCHIVED"))
    refused = refuse(state, define(2, "mrr"))
    assert "PATCH /crm/properties/prp_1" in refused.message
    assert refused.details is not None
    assert (refused.details["existingId"], refused.details["status"]) == (1, "ARCHIVED")


def test_a_property_is_changed_under_its_own_entity_only() -> None:
    state = make_state(make_property(1))
    state.know((make_schema("COMPANY", ()),))
    update = UpdateProperty(property_id="prp_1", entity="COMPANY", changes={"label": "A"})
    assert refuse(state, update).code == "NOT_FOUND"
    assert find_surveyed(state, update) is None


def test_what_changes_nothing_is_accepted_and_makes_no_event() -> None:
    one = make_property(1, type="SELECT", options=(Option(value="a", label="A"),))
    state = make_state(one)
    same = {"type": "SELECT", "label": "Key", "status": "ACTIVE", "options": [{"value": "a", "label": "A"}]}
    update = UpdateProperty(property_id="prp_1", entity="CONTACT", changes=same)
    assert find_surveyed(state, update) is None
    assert apply(state, update) == Accepted(())


@pytest.mark.parametrize(
    ("before", "changes", "event_type", "converts", "surveyed"),
    [
        ({}, {"label": "A"}, "property.updated", False, False),
        ({}, {"is_required": True}, "property.updated", False, False),
        ({}, {"status": "ARCHIVED"}, "property.archived", True, False),
        ({}, {"type": "TEXT"}, "property.updated", True, True),
        ({}, {"type": "TEXT", "status": "ARCHIVED"}, "property.archived", True, True),
        ({"status": "ARCHIVED"}, {"type": "TEXT"}, "property.updated", False, True),
        ({"status": "ARCHIVED"}, {"status": "ACTIVE"}, "property.restored", True, False),
        ({"status": "ARCHIVED"}, {"status": "ACTIVE", "type": "TEXT"}, "property.restored", True, True),
        ({"type": "SELECT"}, {"options": [{"value": "a", "label": "a"}]}, "property.updated", True, False),
    ],
)
def test_what_a_change_asks_for(
    before: dict[str, Any], changes: dict[str, Any], event_type: str, converts: bool, surveyed: bool
) -> None:
    state = make_state(make_property(1, **before))
    update = UpdateProperty(property_id="prp_1", entity="CONTACT", changes=changes)
    assert (find_surveyed(state, update) is not None) == surveyed
    if surveyed:
        with pytest.raises(AssertionError, match="not surveyed"):
            decide(state, update, EPOCH)
        state.set_survey(("property", "prp_1"), Survey())
    decision = decide(state, update, EPOCH)
    assert isinstance(decision, Accepted)
    [event] = decision.events
    assert isinstance(event, Event)
    assert (event.type, event.converts) == (event_type, converts)


def test_options_come_and_are_archived_freely_and_go_only_when_nothing_holds_them() -> None:
    options = tuple(Option(value=one, label=one) for one in "abc")
    state = make_state(make_property(1, type="SELECT", options=options))
    archived = [{"value": "a", "label": "a", "archived": True}, *({"value": one, "label": one} for one in "bcd")]
    update = UpdateProperty(property_id="prp_1", entity="CONTACT", changes={"options": archived})
    assert find_surveyed(state, update) is None
    assert isinstance(apply(state, update), Accepted)
    dropping = UpdateProperty(property_id="prp_1", entity="CONTACT", changes={"options": archived[1:]})
    surveyed = find_surveyed(state, dropping)
    assert surveyed is not None
    assert surveyed.before == state.find(Property, "prp_1"), "what fits no option now stands in no way"
    state.set_survey(("property", "prp_1"), Survey(values=4, misfits=2, examples=(("/crm/contacts/1", '"a"', "no"),)))
    refused = refuse(state, dropping)
    assert refused.details is not None
    assert (refused.code, refused.details["count"], refused.details["fields"][0]["field"]) == (
        "INVALID_FIELD",
        2,
        "options",
    )
    assert "archived: true" in refused.message


def test_a_type_that_selects_nothing_takes_no_options_and_loses_those_there_are() -> None:
    state = make_state(make_property(1, type="SELECT", options=(Option(value="a", label="A"),)), make_property(2))
    given = UpdateProperty(property_id="prp_2", entity="CONTACT", changes={"options": [{"value": "a", "label": "A"}]})
    assert refuse(state, given).code == "INVALID_FIELD"
    state.set_survey(("property", "prp_1"), Survey())
    assert isinstance(
        apply(state, UpdateProperty(property_id="prp_1", entity="CONTACT", changes={"type": "TEXT"})), Accepted
    )
    one = state.find(Property, "prp_1")
    assert one is not None
    assert (one.type, one.options, one.version) == ("TEXT", (), 2)


REQUIRED = make_property(1, key="mrr", is_required=True)
TIER = make_property(
    2,
    key="tier",
    type="SELECT",
    options=(Option(value="gold", label="G"), Option(value="tin", label="T", archived=True)),
)
OLD = make_property(3, key="old", status="ARCHIVED", is_required=True)


@pytest.mark.parametrize(
    ("given", "held", "wanted"),
    [
        ({"mrr": "12", "free": {"x": [1]}, "old": "any"}, None, {"mrr": 12, "free": {"x": [1]}, "old": "any"}),
        ({"mrr": "12"}, {"mrr": 5}, {"mrr": 12}),
        ({"mrr": "many"}, {"mrr": "many"}, {"mrr": "many"}),
        ({"tier": "tin"}, {"tier": "tin"}, {"tier": "tin"}),
        ({"tier": None}, {"tier": "gold"}, {"tier": None}),
        ({"mrr": None}, {}, {"mrr": None}),
        ({}, {}, {}),
    ],
)
def test_values_are_held_to_what_is_defined(given: dict[str, Any], held: dict[str, Any] | None, wanted: Any) -> None:
    assert check_properties(make_state(REQUIRED, TIER, OLD), "CONTACT", given, held) == wanted


@pytest.mark.parametrize(
    ("given", "held", "code", "fields"),
    [
        ({}, None, "MISSING_FIELD", ["mrr"]),
        ({"mrr": None}, None, "MISSING_FIELD", ["mrr"]),
        ({"mrr": ""}, None, "MISSING_FIELD", ["mrr"]),
        ({"mrr": None}, {"mrr": 5}, "INVALID_FIELD", ["mrr"]),
        ({"mrr": "many", "tier": "lead"}, {}, "INVALID_FIELD", ["mrr", "tier"]),
        ({"mrr": 1, "tier": "tin"}, None, "INVALID_FIELD", ["tier"]),
        ({"tier": "tin"}, {"tier": "gold"}, "INVALID_FIELD", ["tier"]),
        ({"tier": "lead"}, None, "VALIDATION_ERROR", ["tier", "mrr"]),
    ],
)
def test_every_wrong_value_is_named(
    given: dict[str, Any], held: dict[str, Any] | None, code: str, fields: list[str]
) -> None:
    refused = check_properties(make_state(REQUIRED, TIER, OLD), "CONTACT", given, held)
    assert isinstance(refused, Rejected)
    assert refused.code == code
    assert refused.details is not None
    assert [fault["field"] for fault in refused.details["fields"]] == [f"properties.{field}" for field in fields]


def test_a_link_is_held_to_the_properties_of_links() -> None:
    state = make_state(
        make_property(1, entity="CONTACT_COMPANY", key="since", type="DATE", is_required=True), entity="CONTACT_COMPANY"
    )
    for command in (CreateContact(contact_id="ada", name="Ada"), CreateCompany(company_id="acme", name="Acme")):
        assert isinstance(apply(state, command), Accepted)
    ids = {"contact_id": "ada", "company_id": "acme"}
    assert refuse(state, AssociateCompany(**ids)).code == "MISSING_FIELD"
    assert refuse(state, AssociateCompany(**ids, properties={"since": "now"})).code == "INVALID_FIELD"
    assert isinstance(apply(state, AssociateCompany(**ids, properties={"since": "2026-01-02"})), Accepted)
    assert refuse(state, UpdateAssociation(**ids, changes={"properties": {"since": None}})).code == "INVALID_FIELD"
