"""Properties: definitions of what records carry beside their own fields, and what clients may send of them."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from kith.clock import to_iso
from kith.model.forms import NAME_PATTERN, Name, Text
from kith.model.patches import get_public_names, list_uncleared, make_changes
from kith.model.records import Record
from kith.model.values import normalise_name, normalise_text

PropertyEntity = Literal["CONTACT", "COMPANY", "CONTACT_COMPANY"]
PropertyType = Literal[
    "TEXT",
    "NUMBER",
    "BOOLEAN",
    "DATE",
    "DATETIME",
    "EMAIL",
    "PHONE",
    "URL",
    "SELECT",
    "MULTI_SELECT",
    "CURRENCY",
    "TEXTAREA",
]
PropertyGroup = Literal["BASIC", "CONTACT_INFO", "SOCIAL", "COMPANY_INFO", "CUSTOM"]
PropertyStatus = Literal["ACTIVE", "ARCHIVED"]
SELECTING: tuple[PropertyType, ...] = ("SELECT", "MULTI_SELECT")
PROPERTIES_PER_ENTITY_MAX = 500
OPTIONS_MAX = 1000
OPTION_CHARACTERS_MAX = 100
_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """A value that can be selected; one that is archived stays where it is, but is not taken any more."""

    value: str
    label: str
    archived: bool = False


class Property(Record, frozen=True, kw_only=True):
    """A definition as the engine holds it. It keeps its entity and its key, archived or not.

    ``slot`` is the indexed column of its entity's table that has a copy of its values, where one has.
    """

    kind = "property"

    entity: PropertyEntity
    key: str
    label: str
    type: PropertyType
    group: PropertyGroup
    description: str | None
    is_required: bool
    options: tuple[Option, ...]
    status: PropertyStatus
    created_at: datetime
    updated_at: datetime
    version: int
    is_system: bool = False
    is_indexed: bool = False
    slot: str | None = None

    @property
    def active(self) -> bool:
        return self.status == "ACTIVE"

    def find_option(self, value: str) -> Option | None:
        return next((option for option in self.options if option.value == value), None)


class Schema(Record, frozen=True, kw_only=True):
    """All properties that are defined for an entity, by key. Its external id is the entity, and it has no number.

    ``required`` are keys; ``slotted`` have a slot, ``marked`` are those of type MULTI_SELECT that an index serves.
    """

    kind = "schema"

    properties: dict[str, Property]
    required: tuple[str, ...] = ()
    slotted: tuple[Property, ...] = ()
    marked: tuple[Property, ...] = ()

    def find(self, property_id: str) -> Property | None:
        return next((one for one in self.properties.values() if one.external_id == property_id), None)

    def count_active(self) -> int:
        return sum(one.active for one in self.properties.values())

    def replace(self, changed: Property) -> "Schema":
        """With the property as it is now."""
        return make_schema(self.external_id, [*(self.properties | {changed.key: changed}).values()])


def make_schema(entity: str, properties: Iterable[Property]) -> Schema:
    by_key = {one.key: one for one in properties}
    active = [one for _, one in sorted(by_key.items()) if one.active]
    return Schema(
        external_id=entity,
        number=None,
        properties=by_key,
        required=tuple(one.key for one in active if one.is_required),
        slotted=tuple(one for one in active if one.slot is not None),
        marked=tuple(one for one in active if one.type == "MULTI_SELECT" and entity != "CONTACT_COMPANY"),
    )


OptionValue = Annotated[str, Meta(extra_json_schema={"pattern": NAME_PATTERN, "maxLength": OPTION_CHARACTERS_MAX})]
OptionLabel = Annotated[str, Meta(extra_json_schema={"maxLength": OPTION_CHARACTERS_MAX})]


class OptionInput(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A value that can be selected. The label defaults to the value."""

    value: OptionValue
    label: OptionLabel | None = None
    archived: bool = False


Options = Annotated[list[OptionValue | OptionInput], Meta(extra_json_schema={"maxItems": OPTIONS_MAX})]


class PropertyInput(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of a create. The label defaults to the key; an option may be just its value."""

    key: Annotated[str, Meta(extra_json_schema={"pattern": f"^{_KEY.pattern}$"})]
    entity: PropertyEntity
    type: PropertyType
    label: Name | None | UnsetType = UNSET
    group: PropertyGroup | None | UnsetType = UNSET
    description: Text | None | UnsetType = UNSET
    is_required: bool | None | UnsetType = UNSET
    options: Options | None | UnsetType = UNSET


class PropertyPatch(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of an update: what is left out stays. ``options`` are all options there shall be, in their order."""

    label: Name | UnsetType = UNSET
    type: PropertyType | UnsetType = UNSET
    group: PropertyGroup | UnsetType = UNSET
    description: Text | None | UnsetType = UNSET
    is_required: bool | UnsetType = UNSET
    options: Options | UnsetType = UNSET
    status: PropertyStatus | UnsetType = UNSET
    is_indexed: bool | UnsetType = UNSET


def normalise_key(text: str) -> str:
    if not _KEY.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not a key: a lower-case letter, then up to 63 of a-z, 0-9 and underscore.")
    return text


TEXTS: Mapping[str, Callable[[str], str | None]] = {"label": normalise_name, "description": normalise_text}


def make_property_changes(fields: PropertyInput | PropertyPatch) -> dict[str, Any]:
    """The fields that were sent, normalised, by the record's names. Raises Validation with every wrong field."""
    plain = ["type", "group", "is_required"]
    texts = dict(TEXTS)
    faults: list[tuple[str, str]] = []
    if isinstance(fields, PropertyInput):
        texts["key"] = normalise_key
        plain.append("entity")
    else:
        plain += ["status", "is_indexed"]
        nullable = {"description"}
        faults += list_uncleared(fields, [name for name in get_public_names(type(fields)) if name not in nullable])
    options: list[dict[str, Any]] | None = None
    if isinstance(fields.options, list):
        options, wrong = make_options(fields.options)
        faults += wrong
        if fields.type is not UNSET and (refusal := refuse_options(fields.type, options)):
            faults.append(refusal)
    changes = make_changes(fields, texts, plain=plain, faults=faults)
    return changes if options is None else changes | {"options": options}


def refuse_options(type_: PropertyType, options: Sequence[Any]) -> tuple[str, str] | None:
    """The fault of options on a type that has none."""
    if options and type_ not in SELECTING:
        return "options", f"are for SELECT and MULTI_SELECT; a property of type {type_} has none."
    return None


def make_options(given: Sequence[str | OptionInput]) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """(the options as builtins, every fault of them)."""
    if len(given) > OPTIONS_MAX:
        return [], [("options", f"has {len(given):,} options; at most {OPTIONS_MAX:,} are allowed.")]
    options: list[dict[str, Any]] = []
    faults: list[tuple[str, str]] = []
    seen: set[str] = set()
    for index, one in enumerate(given):
        option = OptionInput(value=one) if isinstance(one, str) else one
        try:
            value = normalise_text(option.value, OPTION_CHARACTERS_MAX)
            if value is None:
                raise ValueError("an option's value cannot be empty.")
            if value in seen:
                raise ValueError(f"{value!r} is there twice.")
            seen.add(value)
            label = normalise_text(option.label or "", OPTION_CHARACTERS_MAX) or value
        except ValueError as error:
            faults.append((f"options[{index}]", str(error)))
            continue
        options.append({"value": value, "label": label, "archived": option.archived})
    return options, faults


class PropertyView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A property as clients see it."""

    id: int | None
    external_id: str
    key: str
    entity: PropertyEntity
    label: str
    type: PropertyType
    group: PropertyGroup
    description: str | None
    is_required: bool
    is_system: bool
    is_indexed: bool
    options: tuple[Option, ...]
    status: PropertyStatus
    created_at: str
    updated_at: str
    version: int
    pending: bool = False


def to_view(one: Property, *, pending: bool) -> PropertyView:
    return PropertyView(
        id=one.number,
        external_id=one.external_id,
        key=one.key,
        entity=one.entity,
        label=one.label,
        type=one.type,
        group=one.group,
        description=one.description,
        is_required=one.is_required,
        is_system=one.is_system,
        is_indexed=one.is_indexed,
        options=one.options,
        status=one.status,
        created_at=to_iso(one.created_at),
        updated_at=to_iso(one.updated_at),
        version=one.version,
        pending=pending,
    )
