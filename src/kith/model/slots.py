"""Slots: the indexed columns that have copies of properties' values, so that queries on them need not scan.

A workspace shares out the slots of each family among its properties; which one a property has is part of its
definition. Of texts the slot has the sort key, of phone numbers that of their E.164; numbers and times as they are.
The options of all MULTI_SELECT properties lie in one column that one index serves.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

from kith.model.properties import OPTION_CHARACTERS_MAX, Property, PropertyType, Schema
from kith.model.text import to_sort_key
from kith.model.typed_values import find_day, find_instant
from kith.model.values import to_phone

Family = Literal["text", "number", "time"]
SLOTS: Mapping[Family, int] = {"text": 12, "number": 8, "time": 4}
FAMILIES: Mapping[PropertyType, Family] = {
    "TEXT": "text",
    "TEXTAREA": "text",
    "EMAIL": "text",
    "PHONE": "text",
    "URL": "text",
    "SELECT": "text",
    "NUMBER": "number",
    "CURRENCY": "number",
    "DATE": "time",
    "DATETIME": "time",
}
# Long texts are seldom looked for whole: they get a slot only when somebody asks for it.
UNASKED = frozenset(FAMILIES) - {"TEXTAREA"}
COLUMNS = tuple(f"{family}_{n}" for family, count in SLOTS.items() for n in range(1, count + 1))


def find_free_slot(schema: Schema, type_: PropertyType) -> str | None:
    """The first slot for the type that no property of the entity has; None where there is none."""
    family = FAMILIES.get(type_)
    if family is None or schema.external_id == "CONTACT_COMPANY":
        return None
    taken = {one.slot for one in schema.properties.values()}
    names = (f"{family}_{n}" for n in range(1, SLOTS[family] + 1))
    return next((name for name in names if name not in taken), None)


def fits_slot(slot: str | None, type_: PropertyType) -> bool:
    return slot is not None and slot.partition("_")[0] == FAMILIES.get(type_)


def has_index(one: Property) -> bool:
    """Whether an index serves queries on it."""
    return one.active and (one.slot is not None or (one.type == "MULTI_SELECT" and one.entity != "CONTACT_COMPANY"))


def to_slots(schema: Schema, properties: Mapping[str, Any]) -> dict[str, Any] | None:
    """The copies by column; None where there is nothing to copy."""
    if not schema.slotted or not properties:
        return None
    slots: dict[str, Any] = {}
    for one in schema.slotted:
        value = properties.get(one.key)
        if value is not None and (copy := to_copy(one, value)) is not None:
            assert one.slot is not None
            slots[one.slot] = copy
    return slots or None


def to_copy(one: Property, value: Any) -> Any:
    """The value as its slot has it; None where it is not of the property's type."""
    match FAMILIES.get(one.type):
        case "text":
            if not isinstance(value, str):
                return None
            return to_sort_key(to_phone(value) if one.type == "PHONE" else value) or None
        case "number":
            return value if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool) else None
        case "time":
            return to_instant(one, value)
    return None


def to_instant(one: Property, value: Any) -> str | None:
    """A time, or the first moment of a day in UTC, in the form in which times are kept."""
    if one.type == "DATE":
        return f"{value}T00:00:00.000Z" if find_day(value) is not None else None
    return value if find_instant(value) is not None else None


def to_options(schema: Schema, workspace_id: int, properties: Mapping[str, Any]) -> list[str] | None:
    """What the shared index has of the record, in order; None where that is nothing."""
    if not schema.marked or not properties:
        return None
    marks = {mark for one in schema.marked for mark in to_marks(one, workspace_id, properties.get(one.key))}
    return sorted(marks) or None


def to_marks(one: Property, workspace_id: int, value: Any) -> list[str]:
    """The options of one property, each with the workspace and the property in front.

    A text that is too long to be one is left out: values may be older than the property, and no index takes it.
    """
    if not isinstance(value, list):
        return []
    options = [option for option in value if isinstance(option, str) and len(option) <= OPTION_CHARACTERS_MAX]
    return [f"{to_prefix(one, workspace_id)}{option}" for option in options]


def to_prefix(one: Property, workspace_id: int) -> str:
    return f"{workspace_id}:{one.number}:"
