"""Properties: create, update, archive; and what their definitions ask of the values that records carry."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from kith.model.commands import ArchiveProperty, Command, CreateProperty, UpdateProperty
from kith.model.events import Event, EventType
from kith.model.properties import PROPERTIES_PER_ENTITY_MAX, Option, Property, Schema, make_schema, refuse_options
from kith.model.rules.decisions import (
    Accepted,
    Decision,
    Rejected,
    change_record,
    find_mismatch,
    next_number,
    not_found,
)
from kith.model.slots import FAMILIES, SLOTS, UNASKED, find_free_slot, fits_slot, has_index
from kith.model.state import State
from kith.model.system_properties import SYSTEM
from kith.model.typed_values import check_value, settle_time
from kith.model.values import same_json


def create_property(state: State, command: CreateProperty, at: datetime) -> Decision:
    schema = find_schema(state, command.entity)
    taken = schema.properties.get(command.key) or SYSTEM.get((command.entity, command.key))
    if taken is not None:
        return key_taken(taken)
    if refusal := find_full(schema):
        return refusal
    slot = find_free_slot(schema, command.property_type) if command.property_type in UNASKED else None
    one = Property(
        external_id=command.property_id,
        number=next_number(state, "property"),
        entity=command.entity,
        key=command.key,
        label=command.label or command.key,
        type=command.property_type,
        group=command.group,
        description=command.description,
        is_required=command.is_required,
        options=to_options(command.options),
        status="ACTIVE",
        created_at=at,
        updated_at=at,
        version=1,
        slot=slot,
    )
    one = msgspec.structs.replace(one, is_indexed=has_index(one))
    return Accepted((Event(type="property.created", record=one, also=(schema.replace(one),), converts=True),))


def update_property(state: State, command: UpdateProperty, at: datetime) -> Decision:
    schema = find_schema(state, command.entity)
    before = schema.find(command.property_id)
    if before is None:
        return not_found("property", command.property_id)
    if mismatch := find_mismatch(before, command.if_version):
        return mismatch
    changed = change_property(schema, before, command, at)
    if isinstance(changed, Rejected):
        return changed
    after, changes = changed
    if not changes:
        return Accepted(())
    if after.active and not before.active and (refusal := find_full(schema)):
        return refusal
    if asks_survey(before, after) and (refusal := refuse_misfits(state, before, after)):
        return refusal
    event = Event(
        type=to_event_type(before, after),
        record=after,
        changes=changes,
        also=(schema.replace(after),),
        converts=to_form(before) != to_form(after),
    )
    return Accepted((event,))


def archive_property(state: State, command: ArchiveProperty, at: datetime) -> Decision:
    changes = {"status": "ARCHIVED"}
    update = UpdateProperty(
        property_id=command.property_id, entity=command.entity, changes=changes, if_version=command.if_version
    )
    return update_property(state, update, at)


def change_property(
    schema: Schema, before: Property, command: UpdateProperty, at: datetime
) -> tuple[Property, dict[str, tuple[Any, Any]]] | Rejected:
    """The property as the command makes it, and what changes. A type that selects nothing loses its options."""
    fields = dict(command.changes)
    wanted = fields.pop("is_indexed", None)
    kind = fields.get("type", before.type)
    if "options" in fields:
        fields["options"] = to_options(fields["options"])
    if refusal := refuse_options(kind, fields.get("options", ())):
        return invalid(*refusal)
    if refuse_options(kind, before.options):
        fields["options"] = ()
    draft = msgspec.structs.replace(before, **fields)
    slot = choose_slot(schema, before, draft, wanted)
    if isinstance(slot, Rejected):
        return slot
    indexed = has_index(msgspec.structs.replace(draft, slot=slot))
    return change_record(before, fields | {"slot": slot, "is_indexed": indexed}, at)


def choose_slot(schema: Schema, before: Property, after: Property, wanted: bool | None) -> str | None | Rejected:
    """The slot that the property has from now on. ``wanted``: whether an index is asked for, None if nothing is."""
    if not after.active:
        return None
    if wanted is False:
        return refuse_shared(after) if has_index(msgspec.structs.replace(after, slot=None)) else None
    if fits_slot(before.slot, after.type):
        return before.slot
    had = before.slot is not None or not before.active or before.type != after.type
    if wanted is None and not (had and after.type in UNASKED):
        return None
    slot = find_free_slot(schema, after.type)
    if slot is None and wanted and not has_index(msgspec.structs.replace(after, slot=None)):
        return refuse_index(schema, after)
    return slot


def refuse_shared(one: Property) -> Rejected:
    return invalid("isIndexed", f"is always true for {one.type} of {one.entity}: all of them share one. Leave it out.")


def refuse_index(schema: Schema, one: Property) -> Rejected:
    if one.entity == "CONTACT_COMPANY":
        message = "cannot be true: no property of CONTACT_COMPANY has an index, whatever its type. Leave it out."
        return invalid("isIndexed", message)
    family = FAMILIES.get(one.type)
    if family is None:
        return invalid("isIndexed", f"cannot be true: there is no index for {one.type}. Leave it out.")
    users = sorted(other.key for other in schema.slotted if FAMILIES.get(other.type) == family)
    message = (
        f"cannot be true: all {SLOTS[family]} {family} indexes of {one.entity} are in use, by {', '.join(users)}."
        " Take it from one of them first, with isIndexed: false."
    )
    return invalid("isIndexed", message)


def to_form(one: Property) -> Any:
    """What the values that records hold, and the copies of them, depend on."""
    return (one.type, one.options, one.slot) if one.active else None


class Surveyed(NamedTuple):
    """A property as a command makes it. What did not fit ``before`` either is no misfit; None: every value must fit."""

    after: Property
    before: Property | None


def find_surveyed(state: State, command: Command) -> Surveyed | None:
    """The property where deciding needs to know whether what records hold fits what the command makes of it.

    None also where the state lacks what is defined.
    """
    if not isinstance(command, UpdateProperty) or not state.knows(("schema", command.entity)):
        return None
    schema = find_schema(state, command.entity)
    before = schema.find(command.property_id)
    changed = change_property(schema, before, command, before.updated_at) if before is not None else None
    if before is None or changed is None or isinstance(changed, Rejected):
        return None
    after = changed[0]
    return Surveyed(after, before if before.type == after.type else None) if asks_survey(before, after) else None


def asks_survey(before: Property, after: Property) -> bool:
    """Another type: only where every value fits. An option less: only where no value is that one."""
    dropped = {option.value for option in before.options} - {option.value for option in after.options}
    return before.type != after.type or bool(dropped)


def refuse_misfits(state: State, before: Property, after: Property) -> Rejected | None:
    survey = state.find_survey(after.identity)
    if not survey.misfits:
        return None
    examples = [{"record": path, "value": value, "message": message} for path, value, message in survey.examples]
    first = f"{survey.examples[0][0]} has {survey.examples[0][1]}" if survey.examples else ""
    if before.type != after.type:
        field = "type"
        message = (
            f"cannot become {after.type}: {survey.misfits:,} of {survey.values:,} values do not fit; {first}."
            " Change them first, or define another property."
        )
    else:
        field = "options"
        message = f"an option is in use by {survey.misfits:,} records; {first}. Send it with archived: true instead."
    return Rejected(
        "INVALID_FIELD",
        f"{field}: {message}",
        {"fields": [{"field": field, "message": message}], "count": survey.misfits, "examples": examples},
    )


def find_schema(state: State, entity: str) -> Schema:
    """The properties of an entity; none where none was ever defined."""
    return state.find(Schema, entity) or make_schema(entity, ())


def check_properties(
    state: State,
    entity: str,
    given: Mapping[str, Any],
    held: Mapping[str, Any] | None = None,
    timezone: str | None = None,
) -> dict[str, Any] | Rejected:
    """The values that are given, each in the form of its property, or the refusal with every fault.

    ``held`` is what the record has so far, None for one that is being made. A key that is not defined, or is archived,
    takes anything; a value that does not change is not looked at again. ``timezone`` is that of times without an
    offset, None where these are refused.
    """
    schema = state.find(Schema, entity)
    if schema is None or not schema.properties:
        return dict(given)
    normal = dict(given)
    faults: list[tuple[str, str, str]] = []
    before = held or {}
    for key, sent in given.items():
        definition = schema.properties.get(key)
        if definition is None or not definition.active:
            continue
        value = sent if timezone is None else settle_time(definition, sent, ZoneInfo(timezone))
        if same_json(before.get(key), value):
            normal[key] = value
            continue
        try:
            normal[key] = check_value(definition, value, before.get(key)) if value is not None else None
        except ValueError as error:
            faults.append(("INVALID_FIELD", key, str(error)))
            continue
        if normal[key] is None and definition.is_required and held is not None:
            faults.append(("INVALID_FIELD", key, "is required; it cannot be cleared."))
    if held is None:
        missing = [key for key in schema.required if normal.get(key) is None]
        faults += [("MISSING_FIELD", key, f"is required: {schema.properties[key].label}.") for key in missing]
    return refuse_values(faults) if faults else normal


def refuse_values(faults: list[tuple[str, str, str]]) -> Rejected:
    codes = {code for code, _, _ in faults}
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return Rejected(
        codes.pop() if len(codes) == 1 else "VALIDATION_ERROR",
        f"properties.{faults[0][1]}: {faults[0][2]}{more}",
        {"fields": [{"field": f"properties.{key}", "message": message} for _, key, message in faults]},
    )


def key_taken(by: Property) -> Rejected:
    way_out = ""
    if not by.active:
        way_out = f' It is archived; PATCH /crm/properties/{by.external_id} with {{"status": "ACTIVE"}} brings it back.'
    return Rejected(
        "PROPERTY_KEY_EXISTS",
        f"A property with the key {by.key} already exists for {by.entity}.{way_out}",
        {
            "field": "key",
            "value": by.key,
            "existingId": by.number,
            "existingExternalId": by.external_id,
            "status": by.status,
        },
    )


def find_full(schema: Schema) -> Rejected | None:
    if schema.count_active() < PROPERTIES_PER_ENTITY_MAX:
        return None
    return Rejected(
        "INVALID_REQUEST",
        f"{schema.external_id} has {PROPERTIES_PER_ENTITY_MAX} properties, which is the most. Archive one first.",
        {"limit": PROPERTIES_PER_ENTITY_MAX},
    )


def invalid(field: str, message: str) -> Rejected:
    return Rejected("INVALID_FIELD", f"{field}: {message}", {"fields": [{"field": field, "message": message}]})


def to_options(options: Any) -> tuple[Option, ...]:
    return msgspec.convert(options, tuple[Option, ...])


def to_event_type(before: Property, after: Property) -> EventType:
    if before.status == after.status:
        return "property.updated"
    return "property.restored" if after.active else "property.archived"
