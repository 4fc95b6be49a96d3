"""Vocabulary of a workspace's queries: the fields of the schema, custom fields, and relations."""

from collections.abc import Iterable, Mapping
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from kith.cql.entity_schema import COMPANY, CONTACT, Entity, Field, Form, Kind
from kith.model.derived import LINK, PROPERTIES

CustomType = Literal[
    "TEXT", "TEXTAREA", "PHONE", "URL", "EMAIL", "NUMBER", "CURRENCY", "BOOLEAN", "DATE", "DATETIME", "SELECT",
    "MULTI_SELECT",
]  # fmt: skip
EntityName = Literal["contact", "company"]
KINDS: Mapping[CustomType, Kind] = {
    "TEXT": "TEXT",
    "TEXTAREA": "TEXT",
    "PHONE": "TEXT",
    "URL": "TEXT",
    "EMAIL": "EMAIL",
    "NUMBER": "NUMBER",
    "CURRENCY": "NUMBER",
    "BOOLEAN": "BOOLEAN",
    "DATE": "DATE",
    "DATETIME": "DATETIME",
    "SELECT": "ENUM",
    "MULTI_SELECT": "SET",
}
FORMS: Mapping[CustomType, Form] = {"PHONE": "phone", "URL": "trimmed"}
# By kind, the positive operators; each has a negated form. On a SET, contains is has_any of one.
OPERATORS: Mapping[Kind, tuple[str, ...]] = {
    "TEXT": ("eq", "in", "contains", "starts_with", "ends_with", "is_null"),
    "EMAIL": ("eq", "in", "contains", "starts_with", "ends_with", "is_null"),
    "ENUM": ("eq", "in", "is_null"),
    "NUMBER": ("eq", "gt", "gte", "lt", "lte", "in", "between", "is_null"),
    "BOOLEAN": ("eq", "is_null"),
    "DATE": ("eq", "gt", "gte", "lt", "lte", "between", "is_null"),
    "DATETIME": ("eq", "gt", "gte", "lt", "lte", "between", "is_null"),
    "SET": ("has_any", "has_all", "contains", "is_null"),
    "JSON": (),
}
_LINK_FIELDS = (
    Field(name="role", kind="TEXT", label="Role", column="a.role", nullable=True),
    Field(name="isPrimary", kind="BOOLEAN", label="Is primary", column="a.is_primary"),
)
_ENTITIES: Mapping[EntityName, Entity] = {"contact": CONTACT, "company": COMPANY}
_PLURALS = {"contact": "contacts", "company": "companies"}
OTHERS: Mapping[EntityName, EntityName] = {"contact": "company", "company": "contact"}


class CustomField(msgspec.Struct, frozen=True):
    """A property as it is defined. ``options`` are the values of SELECT and MULTI_SELECT, in order.

    ``slot`` is the indexed column that has a copy of its values, where one has; ``number`` is the property's id.
    """

    key: str
    type: CustomType
    label: str = ""
    options: tuple[str, ...] = ()
    archived: bool = False
    number: int = 0
    slot: str = ""


class CustomFields(msgspec.Struct, frozen=True):
    """All that a workspace has defined: of contacts, of companies, and of the link between the two."""

    contact: tuple[CustomField, ...] = ()
    company: tuple[CustomField, ...] = ()
    link: tuple[CustomField, ...] = ()


NOTHING_DEFINED = CustomFields()


class Vocabulary(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The names that a filter on some entity may use. Equal only to itself, so it is a cheap key of a cache.

    ``fields`` by canonical name; ``names`` also by bare key of a property; ``archived`` are names of properties that no
    filter may use. ``relations`` lead to the vocabulary of the other side, which has the link's fields too.
    ``only_shown`` are names of what a record shows and no filter may use; ``phones`` the fields that are phone numbers.
    ``parts`` are the vocabularies of several entities, each by itself.
    """

    entities: tuple[EntityName, ...]
    zone: ZoneInfo
    fields: Mapping[str, Field]
    names: Mapping[str, Field]
    archived: frozenset[str]
    relations: Mapping[str, "Vocabulary"]
    counts_activities: bool
    only_shown: frozenset[str] = frozenset()
    phones: tuple[Field, ...] = ()
    parts: tuple["Vocabulary", ...] = ()

    @property
    def noun(self) -> str:
        plurals = [_PLURALS[entity] for entity in self.entities]
        return plurals[0] if len(plurals) == 1 else f"both {' and '.join(plurals)}"


def make_vocabulary(
    entities: Iterable[EntityName], custom: CustomFields = NOTHING_DEFINED, timezone: str = "UTC"
) -> Vocabulary:
    """The vocabulary of one entity, or of several: what all of them have, of the same kind.

    To be made once for each state of a workspace's definitions, and kept.
    """
    zone = ZoneInfo(timezone)
    vocabularies = [_make_one(entity, custom, zone) for entity in dict.fromkeys(entities)]
    first = vocabularies[0]
    for other in vocabularies[1:]:
        first = _share(first, other)
    return first


def _make_one(entity: EntityName, custom: CustomFields, zone: ZoneInfo) -> Vocabulary:
    other = OTHERS[entity]
    beyond = _make(other, [*_list_system(other), *_LINK_FIELDS], custom, zone, with_link=True)
    return _make(entity, _list_system(entity), custom, zone, relations={other: beyond})


def _make(
    entity: EntityName,
    system: list[Field],
    custom: CustomFields,
    zone: ZoneInfo,
    *,
    with_link: bool = False,
    relations: Mapping[str, Vocabulary] = {},
) -> Vocabulary:
    own = custom.contact if entity == "contact" else custom.company
    properties = [(PROPERTIES, field) for field in own]
    if with_link:
        properties += [(LINK, field) for field in custom.link]
    fields = {field.name: field for field in system}
    fields |= {prefix + field.key: _to_field(prefix, field) for prefix, field in properties if not field.archived}
    # A key that looks like the way to another field is only found by its whole name.
    ways = (PROPERTIES, LINK, *(f"{name}." for name in relations))
    names = dict(fields)
    archived: set[str] = set()
    for prefix, field in properties:
        bare = None if field.key.startswith(ways) else field.key
        if field.archived:
            archived.update((prefix + field.key, bare or prefix + field.key))
        elif bare is not None:
            names.setdefault(bare, fields[prefix + field.key])
    return Vocabulary(
        entities=(entity,),
        zone=zone,
        fields=fields,
        names=names,
        archived=frozenset(archived - names.keys()),
        relations=relations,
        counts_activities=entity == "contact" and not with_link,
        only_shown=frozenset(field.name for field in _ENTITIES[entity].fields if not field.filterable),
        phones=_list_phones(fields),
    )


def _list_phones(fields: Mapping[str, Field]) -> tuple[Field, ...]:
    return tuple(field for field in fields.values() if field.form == "phone")


def _list_system(entity: EntityName) -> list[Field]:
    return [field for field in _ENTITIES[entity].fields if field.filterable]


def _to_field(prefix: str, custom: CustomField) -> Field:
    kind = KINDS[custom.type]
    slot = f"c.{custom.slot}" if custom.slot else ""
    return Field(
        name=prefix + custom.key,
        kind=kind,
        # A number or a time stands in its slot as it is, a text by its beginning only.
        column=slot if kind in ("NUMBER", "DATE", "DATETIME") else "",
        key=slot or None,
        option_prefix=str(custom.number) if kind == "SET" and prefix == PROPERTIES and custom.number else None,
        nullable=True,
        label=custom.label or custom.key,
        form=FORMS.get(custom.type, ""),
        options=custom.options,
    )


def _share(one: Vocabulary, other: Vocabulary) -> Vocabulary:
    """What both have. An enum takes the values of either: where a record cannot have one, it is not found by it."""
    fields = {
        name: _unite(field, other.fields[name])
        for name, field in one.fields.items()
        if name in other.fields and other.fields[name].kind == field.kind
    }
    names = {
        name: fields[field.name]
        for name, field in one.names.items()
        if field.name in fields and name in other.names and other.names[name].name == field.name
    }
    return Vocabulary(
        entities=(*one.entities, *other.entities),
        zone=one.zone,
        fields=fields,
        names=names,
        archived=one.archived & other.archived,
        relations={},
        counts_activities=False,
        only_shown=one.only_shown & other.only_shown,
        phones=_list_phones(fields),
        parts=(*(one.parts or (one,)), other),
    )


def _unite(one: Field, other: Field) -> Field:
    options = tuple(dict.fromkeys((*one.options, *other.options)))
    return msgspec.structs.replace(one, options=options, searchable=one.searchable and other.searchable)
