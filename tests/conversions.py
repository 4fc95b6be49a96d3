"""What the writer does to the values that records hold when a property changes, done to a state of the model."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from kith.engine.apply.value_conversion import EXAMPLES_MAX
from kith.model.commands import Command
from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.decide import Decision, Rejected, decide, fold, touches
from kith.model.properties import Property
from kith.model.records import Identity, Record
from kith.model.rules.decisions import replace_link
from kith.model.rules.properties import find_surveyed
from kith.model.state import State, Survey
from kith.model.typed_values import convert_value, fits, show_value
from kith.model.values import same_json


class Held(NamedTuple):
    """The properties that a record holds, or its link to a company, and the path under which they are seen."""

    identity: Identity
    company_id: str | None
    path: str
    properties: dict[str, Any]


def run(state: State, records: Iterable[Record], command: Command, at: datetime) -> tuple[Decision, list[Survey]]:
    """Decide and fold as the writer does, with a survey before and conversions after; what came of these.

    ``records`` are all that there are.
    """
    held = list(records)
    state.mark_absent(touches(command))
    if (surveyed := find_surveyed(state, command)) is not None:
        state.set_survey(surveyed.after.identity, _walk(None, held, *surveyed))
    decision = decide(state, command, at)
    conversions = []
    if not isinstance(decision, Rejected):
        for event in decision.events:
            fold(state, event)
            if event.converts and isinstance(event.record, Property) and event.record.active:
                conversions.append(_walk(state, held, event.record))
    return decision, conversions


def list_held(records: Iterable[Record], entity: str) -> Iterator[Held]:
    """All that hold properties of the entity, in the order in which the database walks them."""
    kind = Company if entity == "COMPANY" else Contact
    for record in sorted((one for one in records if isinstance(one, kind)), key=lambda one: one.number or 0):
        path = f"/crm/{'companies' if entity == 'COMPANY' else 'contacts'}/{record.number}"
        if entity != "CONTACT_COMPANY":
            yield Held(record.identity, None, path, record.properties)
        elif isinstance(record, Contact):
            for link in sorted(record.companies, key=lambda one: one.number or 0):
                yield Held(record.identity, link.external_id, f"{path}/companies/{link.number}", link.properties)


def put_properties(state: State, held: Held, properties: dict[str, Any]) -> None:
    record = state.peek(held.identity)
    assert isinstance(record, (Contact, Company))
    if held.company_id is None:
        state.put(msgspec.structs.replace(record, properties=properties))
    else:
        assert isinstance(record, Contact)
        link = next(one for one in record.companies if one.external_id == held.company_id)
        changed = msgspec.structs.replace(link, properties=properties)
        links = replace_link(record.companies, lambda one: one.external_id == held.company_id, changed)
        state.put(msgspec.structs.replace(record, companies=links))


def _walk(state: State | None, records: list[Record], one: Property, before: Property | None = None) -> Survey:
    """The survey; where there is a state, it has the values converted. What did not fit ``before`` is no misfit."""
    values = converted = misfits = 0
    examples: list[tuple[str, str, str]] = []
    for held in list_held(records, one.entity):
        if one.key not in held.properties:
            continue
        values += 1
        value = held.properties[one.key]
        try:
            normal = convert_value(one, value)
        except ValueError as error:
            if before is not None and not fits(before, value):
                continue
            misfits += 1
            examples.append((held.path, show_value(value), str(error)))
            continue
        if not same_json(normal, value):
            converted += 1
            if state is not None:
                others = {key: kept for key, kept in held.properties.items() if key != one.key}
                put_properties(state, held, others if normal is None else others | {one.key: normal})
    return Survey(values=values, converted=converted, misfits=misfits, examples=tuple(examples[:EXAMPLES_MAX]))
