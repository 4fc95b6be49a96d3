"""Definitions among commands of all nouns, in batches of any size: values are held to them as the model says."""

import random
from collections.abc import Callable
from typing import Any, get_args

import msgspec
import pytest

from kith.model.commands import (
    ArchiveProperty,
    Command,
    CreateCompany,
    CreateProperty,
    UpdateAssociation,
    UpdateProperty,
)
from kith.model.contacts import Contact
from kith.model.properties import Property, PropertyType
from kith.model.state import Survey
from kith.store.batch import CounterRow
from tests.engine.acts import Acts
from tests.engine.test_random_nouns import COMMANDS, Script, check_batches, make_envelope
from tests.kit import Kit

SEEDS = range(10)
ENTITIES = ("CONTACT", "CONTACT", "COMPANY", "CONTACT_COMPANY")
KEYS = "abc"
UNDEFINED = 60  # so many records are made before anything is defined
VALUES: tuple[Any, ...] = (
    *(None, None, "", "x", "1", "1", " 12.50", 1, 1, 2.5, True, "true", " TRUE ", "gold", "tin", ["gold"]),
    *(["gold", "tin"], [], "2026-01-02", "2026-01-02T23:30:00-05:00", "Ada@Example.com", "+49 30 1234", {"x": 1}),
)
TYPES: tuple[PropertyType, ...] = (
    *get_args(PropertyType),
    *["NUMBER", "TEXT", "SELECT", "MULTI_SELECT", "BOOLEAN"] * 3,
)
OPTIONS = ("gold", "tin", "1", "true")


class DefiningScript(Script):
    """Few keys, for which definitions come and go, and values of every form."""

    def list_acts(self) -> list[Callable[[], Command]]:
        return [
            *[self.make_contact, self.associate, self.change_contact, self.change_association] * 5,
            *[self.make_company, self.change_company, self.redefine, self.redefine, self.archive, self.define] * 3,
            *[self.make_tag, self.assign, self.merge, self.delete, self.restore, self.make_list, self.change_members],
        ]

    def pick_properties(self) -> dict[str, Any]:
        return {key: self.chance.choice(VALUES) for key in KEYS if self.chance.random() < 0.4}

    def make_company(self) -> Command:
        made = super().make_company()
        assert isinstance(made, CreateCompany)
        return msgspec.structs.replace(made, properties=self.pick_properties())

    def change_association(self) -> Command:
        """Of those that are there, if there are any."""
        contacts = [one for one in self.list_records() if isinstance(one, Contact) and one.live]
        links = [(one.external_id, link.external_id) for one in contacts for link in one.companies]
        if not links or self.chance.random() < 0.3:
            return super().change_association()
        contact_id, company_id = self.chance.choice(links)
        changes = {"properties": self.pick_properties()}
        return UpdateAssociation(contact_id=contact_id, company_id=company_id, changes=changes)

    def pick_options(self) -> list[dict[str, Any]]:
        chosen = self.chance.sample(OPTIONS, self.chance.randrange(1, len(OPTIONS) + 1))
        return [{"value": one, "label": one, "archived": self.chance.random() < 0.2} for one in chosen]

    def define(self) -> Command:
        if self.made < UNDEFINED:
            return self.make_contact()
        type_ = self.chance.choice(TYPES)
        return CreateProperty(
            property_id=self.add("property"),
            entity=self.chance.choice(ENTITIES),  # type: ignore[arg-type]
            key=self.chance.choice(KEYS),
            property_type=type_,
            is_required=self.chance.random() < 0.05,
            options=self.pick_options() if "SELECT" in type_ else [],
        )

    def pick_property(self) -> dict[str, Any]:
        """A property and its entity, seldom another entity."""
        property_id = self.pick("property")
        one = self.state.peek(("property", property_id))
        entity = one.entity if isinstance(one, Property) and self.chance.random() < 0.95 else "CONTACT"
        return {"property_id": property_id, "entity": entity}

    def redefine(self) -> Command:
        named, type_ = self.pick_property(), self.chance.choice(TYPES)
        one = self.state.peek(("property", named["property_id"]))
        changes: dict[str, Any] = self.chance.choice(
            (
                {"type": type_},
                {"type": type_},
                {"type": type_} | ({"options": self.pick_options()} if "SELECT" in type_ else {}),
                {"options": self.pick_options()},
                {"is_required": self.chance.random() < 0.1},
                {"is_required": False},
                {"label": self.chance.choice("AB")},
            )
        )
        if isinstance(one, Property) and not one.active and self.chance.random() < 0.8:
            changes = {"status": "ACTIVE"} | (changes if self.chance.random() < 0.2 else {})
        return UpdateProperty(**named, changes=changes, if_version=self.chance.choice((None, None, None, None, 1)))

    def archive(self) -> Command:
        return ArchiveProperty(**self.pick_property())


def to_result(survey: Survey | None) -> dict[str, Any] | None:
    """What an operation tells of a conversion."""
    if survey is None:
        return None
    examples = [{"record": path, "value": value, "message": message} for path, value, message in survey.examples]
    return {**msgspec.structs.asdict(survey), "examples": examples}


@pytest.mark.parametrize("seed", SEEDS)
async def test_batches_with_definitions_give_what_the_model_gives(
    own_kit: Kit, own_acts: Acts, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kith.engine.apply.value_conversion.WINDOW_RECORDS", 1 + 3 * seed)
    script = DefiningScript(random.Random(seed))
    await check_batches(own_kit, own_acts, script)
    results = await own_acts.fetch(
        "SELECT CASE WHEN type LIKE '%Property' THEN result::text END FROM operations WHERE workspace_id = $1"
        " ORDER BY position"
    )
    told = [msgspec.json.decode(text) if text else None for (text,) in results]
    assert told == [to_result(survey) for survey in script.conversions]
    events = await own_acts.fetch(
        "SELECT data -> 'result' FROM events WHERE workspace_id = $1 AND type LIKE 'property.%' ORDER BY sequence"
    )
    assert [msgspec.json.decode(text) for (text,) in events if text] == [one for one in told if one is not None]


def test_the_definitions_meet_every_kind_of_refusal_and_conversion() -> None:
    """The check itself: values are converted, kept as misfits and taken away, and each rule refuses something."""
    codes: set[tuple[str, str | None]] = set()
    surveys: list[Survey] = []
    for seed in SEEDS:
        script = DefiningScript(random.Random(seed))
        assert script.state.numbers == CounterRow(workspace_id=1).numbers
        envelopes = script.run(COMMANDS, make_envelope)
        codes |= {(type(one.command).__name__, code) for one, code in zip(envelopes, script.codes, strict=True)}
        surveys += [survey for survey in script.conversions if survey is not None]
    assert {code for kind, code in codes if kind == "CreateProperty"} == {None, "PROPERTY_KEY_EXISTS"}
    assert {code for kind, code in codes if kind == "UpdateProperty"} == {
        None,
        "NOT_FOUND",
        "VERSION_MISMATCH",
        "INVALID_FIELD",
    }
    for kind in ("CreateContact", "CreateCompany", "AssociateCompany"):
        assert {code for one, code in codes if one == kind} >= {None, "INVALID_FIELD", "MISSING_FIELD"}
    for kind in ("UpdateContact", "UpdateCompany", "UpdateAssociation"):
        assert (kind, "INVALID_FIELD") in codes
    assert sum(survey.converted for survey in surveys) > 40
    assert sum(survey.misfits for survey in surveys) > 100
    assert any(survey.misfits > len(survey.examples) for survey in surveys)
