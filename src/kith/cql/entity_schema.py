"""Schemas of the entities: their fields, types, columns and JSON form."""

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

from kith.model.companies import CompanyStatus
from kith.model.contacts import LifecycleStage, Module, Status

# What a text is normalised to: a domain, or without the space around it; phones are compared by E.164 too.
Form = Literal["", "domain", "trimmed", "phone"]

Kind = Literal["TEXT", "EMAIL", "ENUM", "NUMBER", "BOOLEAN", "DATE", "DATETIME", "SET", "JSON"]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """``column`` is the SQL of the value in a row called ``c``; ``key`` what it is sorted by, where it can be.

    ``source`` is how the row gets the column, where it is not the table's own. ``column`` is empty where the value
    lies in other tables or in the document of properties.

    In the language: ``options`` are the values of an ENUM and the members of a SET, where these are given (the empty
    tuple for tags and lists); ``searchable`` has words that a search finds.

    ``key`` of a text holds its sort key; ``is_lower``: the column itself is its folded text and its sort key, as it
    has small letters of ASCII only. ``finds_missing``: the index on ``key`` has the records without a value too.
    ``option_prefix`` marks a property's options in the index that all such properties share. ``only_shown``:
    records show it, and filters and orders cannot name it. ``e164``: the column with the E.164 form of a phone; that of
    a property lies among its folded forms.
    """

    name: str
    kind: Kind
    column: str = ""
    key: str | None = None
    nullable: bool = False
    source: str | None = None
    shown: bool = True
    label: str = ""
    options: tuple[str, ...] = ()
    searchable: bool = False
    is_lower: bool = False
    finds_missing: bool = False
    option_prefix: str | None = None
    only_shown: bool = False
    form: Form = ""
    e164: str = ""

    @property
    def phone(self) -> str:
        """The name under which a record in memory has the form in which its phone is compared."""
        return f"{self.name} e164"

    @property
    def filterable(self) -> bool:
        return self.kind != "JSON" and not self.only_shown

    @property
    def sortable(self) -> bool:
        return self.kind not in ("JSON", "SET") and not self.only_shown

    @property
    def stored(self) -> bool:
        """Whether ``column`` is one, and not made of others."""
        return self.column.startswith("c.")


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """``fields`` in the order in which a record shows them.

    ``source`` is what rows come from, one called ``c``, and ``guard`` what holds for its further tables. ``typed`` are
    the columns that a typeahead looks at first, ``recent`` how it orders the rest. ``links`` name what a record shows
    of others: its companies, its tags.
    """

    name: str
    source: str
    fields: tuple[Field, ...]
    guard: str = ""
    has_status: bool = False
    version: str = "c.version"
    successor: str = "NULL::text"
    typed: tuple[str, ...] = ()
    recent: str = "c.created_at DESC, c.id DESC"
    links: tuple[str, ...] = ()

    def find_field(self, name: str) -> Field | None:
        return _BY_NAME[self.name].get(name)


# A sort key that is the email itself, as nearly all are, is not stored twice.
EMAIL_KEY = "coalesce(c.email_key, c.email)"
_CONTACT_FIELDS = (
    Field(name="id", kind="NUMBER", label="ID", column="c.id"),
    Field(name="externalId", kind="TEXT", label="External ID", column="c.external_id", is_lower=True),
    Field(
        name="email",
        kind="EMAIL",
        label="Email",
        column="c.email",
        key=EMAIL_KEY,
        nullable=True,
        searchable=True,
        finds_missing=True,
    ),
    Field(
        name="name",
        kind="TEXT",
        label="Name",
        column="c.name",
        key="c.name_key",
        nullable=True,
        searchable=True,
        finds_missing=True,
    ),
    Field(name="givenName", kind="TEXT", label="Given name", column="c.given_name", nullable=True, searchable=True),
    Field(
        name="familyName",
        kind="TEXT",
        label="Family name",
        column="c.family_name",
        key="c.family_key",
        nullable=True,
        searchable=True,
    ),
    Field(
        name="phone",
        kind="TEXT",
        label="Phone",
        column="c.phone",
        form="phone",
        e164="c.phone_e164",
        nullable=True,
        searchable=True,
    ),
    Field(name="avatar", kind="TEXT", label="Avatar", column="c.avatar", nullable=True),
    Field(name="status", kind="ENUM", label="Status", column="c.status", options=get_args(Status)),
    Field(
        name="lifecycleStage",
        kind="ENUM",
        label="Lifecycle stage",
        column="c.lifecycle_stage",
        options=get_args(LifecycleStage),
    ),
    Field(
        name="isIdentified",
        kind="BOOLEAN",
        label="Is identified",
        column="(c.email IS NOT NULL OR c.phone IS NOT NULL)",
    ),
    Field(name="modules", kind="SET", label="Modules", column="c.modules", options=get_args(Module)),
    Field(name="properties", kind="JSON", label="Properties", column="c.properties"),
    Field(name="activityCount", kind="NUMBER", label="Activity count", column="c.activity_count"),
    Field(
        name="lastActivityAt",
        kind="DATETIME",
        label="Last activity at",
        column="c.last_activity_at",
        key="c.last_activity_at",
        nullable=True,
        finds_missing=True,
    ),
    Field(name="createdAt", kind="DATETIME", label="Created at", column="c.created_at", key="c.created_at"),
    Field(name="updatedAt", kind="DATETIME", label="Updated at", column="c.updated_at"),
    Field(name="version", kind="NUMBER", label="Version", column="c.version"),
    Field(name="mergedInto", kind="TEXT", label="Merged into", column="c.merged_into", nullable=True, only_shown=True),
    Field(name="tags", kind="SET", label="Tags", shown=False),
    Field(name="lists", kind="SET", label="Lists", shown=False),
)

CONTACT = Entity(
    name="contact",
    source="contacts c",
    fields=_CONTACT_FIELDS,
    has_status=True,
    successor="c.merged_into",
    typed=(EMAIL_KEY, "c.name_key", "c.family_key"),
    recent="c.last_activity_at DESC NULLS LAST, c.created_at DESC, c.id DESC",
    links=("companies", "tags"),
)

CONTACT_OF_COMPANY = Entity(
    name="contact_of_company",
    source="associations a JOIN contacts c"
    " ON c.shard = a.shard AND c.workspace_id = a.workspace_id AND c.id = a.contact_id",
    guard="a.shard = $1 AND a.workspace_id = $2",
    fields=(
        Field(name="id", kind="NUMBER", column="c.id", key="a.contact_id"),
        *_CONTACT_FIELDS[1:],
        Field(name="role", kind="TEXT", column="c.role", source="a.role"),
        Field(name="isPrimary", kind="BOOLEAN", column="c.is_primary", source="a.is_primary"),
        Field(name="companyId", kind="NUMBER", column="a.company_id", shown=False),
    ),
    has_status=True,
    links=("tags",),
)

_COMPANY_FIELDS = (
    Field(name="id", kind="NUMBER", label="ID", column="c.id"),
    Field(name="externalId", kind="TEXT", label="External ID", column="c.external_id", is_lower=True),
    Field(
        name="name",
        kind="TEXT",
        label="Name",
        column="c.name",
        key="c.name_key",
        nullable=True,
        searchable=True,
        finds_missing=True,
    ),
    Field(
        name="domain",
        kind="TEXT",
        label="Domain",
        column="c.domain",
        form="domain",
        key="c.domain",
        nullable=True,
        searchable=True,
        is_lower=True,
        finds_missing=True,
    ),
    Field(
        name="industry",
        kind="TEXT",
        label="Industry",
        column="c.industry",
        key="c.industry_key",
        nullable=True,
    ),
    Field(
        name="size",
        kind="TEXT",
        label="Size",
        column="c.size",
        key="c.size_key",
        nullable=True,
    ),
    Field(name="plan", kind="TEXT", label="Plan", column="c.plan", nullable=True),
    Field(name="spend", kind="NUMBER", label="Spend", column="c.spend", nullable=True),
    Field(name="website", kind="TEXT", label="Website", column="c.website", nullable=True),
    Field(
        name="phone",
        kind="TEXT",
        label="Phone",
        column="c.phone",
        form="phone",
        e164="c.phone_e164",
        nullable=True,
        searchable=True,
    ),
    Field(name="status", kind="ENUM", label="Status", column="c.status", options=get_args(CompanyStatus)),
    Field(name="contactCount", kind="NUMBER", label="Contact count", column="c.contact_count"),
    Field(name="properties", kind="JSON", label="Properties", column="c.properties"),
    Field(name="createdAt", kind="DATETIME", label="Created at", column="c.created_at", key="c.created_at"),
    Field(name="updatedAt", kind="DATETIME", label="Updated at", column="c.updated_at"),
    Field(name="version", kind="NUMBER", label="Version", column="c.version"),
    Field(name="tags", kind="SET", label="Tags", shown=False),
    Field(name="lists", kind="SET", label="Lists", shown=False),
)

COMPANY = Entity(
    name="company",
    source="companies c",
    fields=_COMPANY_FIELDS,
    has_status=True,
    typed=("c.domain", "c.name_key"),
    links=("tags",),
)


def _make_members(entity: Entity, table: str) -> Entity:
    """The members of lists that are of an entity."""
    return Entity(
        name=f"{entity.name}_of_list",
        source=f"list_members m JOIN {table} c"
        " ON c.shard = m.shard AND c.workspace_id = m.workspace_id AND c.id = m.record_id",
        guard=f"m.shard = $1 AND m.workspace_id = $2 AND m.entity = '{entity.name}'",
        fields=(
            Field(name="id", kind="NUMBER", column="c.id", key="m.record_id"),
            *(
                msgspec.structs.replace(field, key="m.created_at") if field.name == "createdAt" else field
                for field in entity.fields[1:]
            ),
            Field(name="listId", kind="NUMBER", column="m.list_id", shown=False),
        ),
        has_status=True,
        links=("tags",),
    )


CONTACT_OF_LIST = _make_members(CONTACT, "contacts")
COMPANY_OF_LIST = _make_members(COMPANY, "companies")

LIST = Entity(
    name="list",
    source="lists c",
    fields=(
        Field(name="id", kind="NUMBER", column="c.id"),
        Field(name="externalId", kind="TEXT", column="c.external_id", is_lower=True),
        Field(name="name", kind="TEXT", column="c.name", key="c.name_key"),
        Field(name="description", kind="TEXT", column="c.description", nullable=True),
        Field(name="entityType", kind="ENUM", column="c.entity_type"),
        Field(name="isDynamic", kind="BOOLEAN", column="c.is_dynamic"),
        Field(name="filterCriteria", kind="JSON", column="c.filter_criteria", nullable=True),
        Field(name="filter", kind="TEXT", column="c.filter", nullable=True),
        Field(name="status", kind="ENUM", column="c.status"),
        Field(name="reason", kind="TEXT", column="c.reason", nullable=True),
        Field(name="memberCount", kind="NUMBER", column="c.member_count"),
        Field(name="evaluatedAt", kind="DATETIME", column="c.evaluated_at", nullable=True),
        Field(name="createdAt", kind="DATETIME", column="c.created_at", key="c.created_at"),
        Field(name="updatedAt", kind="DATETIME", column="c.updated_at"),
        Field(name="version", kind="NUMBER", column="c.version"),
    ),
)

TAG = Entity(
    name="tag",
    source="tags c",
    fields=(
        Field(name="id", kind="NUMBER", column="c.id"),
        Field(name="externalId", kind="TEXT", column="c.external_id", is_lower=True),
        Field(name="key", kind="TEXT", column="c.key", key="c.key"),
        Field(name="name", kind="TEXT", column="c.name", key="c.name_key"),
        Field(name="description", kind="TEXT", column="c.description", nullable=True),
        Field(name="color", kind="TEXT", column="c.color", nullable=True),
        Field(name="contactCount", kind="NUMBER", column="c.contact_count"),
        Field(name="createdAt", kind="DATETIME", column="c.created_at", key="c.created_at"),
        Field(name="updatedAt", kind="DATETIME", column="c.updated_at"),
        Field(name="version", kind="NUMBER", column="c.version"),
    ),
)

ACTIVITY = Entity(
    name="activity",
    source="activities c",
    fields=(
        Field(name="id", kind="NUMBER", column="c.id"),
        Field(name="externalId", kind="TEXT", column="c.external_id", is_lower=True),
        Field(name="contactId", kind="NUMBER", column="c.contact_id"),
        Field(name="type", kind="ENUM", column="c.type"),
        Field(name="module", kind="ENUM", column="c.module"),
        Field(name="content", kind="TEXT", column="c.content", nullable=True),
        Field(name="properties", kind="JSON", column="c.properties"),
        Field(name="occurredAt", kind="DATETIME", column="c.occurred_at", key="c.occurred_at"),
        Field(name="createdAt", kind="DATETIME", column="c.created_at"),
    ),
    version="NULL::int",
)

PROPERTY = Entity(
    name="property",
    source="all_properties c",
    fields=(
        Field(name="id", kind="NUMBER", column="c.id"),
        Field(name="externalId", kind="TEXT", column="c.external_id", is_lower=True),
        Field(name="key", kind="TEXT", column="c.key", key="c.key"),
        Field(name="entity", kind="ENUM", column="c.entity"),
        Field(name="label", kind="TEXT", column="c.label"),
        Field(name="type", kind="ENUM", column="c.type"),
        Field(name="group", kind="ENUM", column="c.property_group"),
        Field(name="description", kind="TEXT", column="c.description", nullable=True),
        Field(name="isRequired", kind="BOOLEAN", column="c.is_required"),
        Field(name="isSystem", kind="BOOLEAN", column="c.is_system"),
        Field(name="isIndexed", kind="BOOLEAN", column="c.is_indexed"),
        Field(name="options", kind="JSON", column="c.options"),
        Field(name="status", kind="ENUM", column="c.status"),
        Field(name="createdAt", kind="DATETIME", column="c.created_at", key="c.created_at"),
        Field(name="updatedAt", kind="DATETIME", column="c.updated_at"),
        Field(name="version", kind="NUMBER", column="c.version"),
    ),
)

ENTITIES: Mapping[str, Entity] = {
    entity.name: entity
    for entity in (
        CONTACT,
        CONTACT_OF_COMPANY,
        CONTACT_OF_LIST,
        COMPANY,
        COMPANY_OF_LIST,
        TAG,
        LIST,
        PROPERTY,
        ACTIVITY,
    )
}
_BY_NAME = {entity.name: {field.name: field for field in entity.fields} for entity in ENTITIES.values()}
