"""What can be asked of each entity: fields, their types, where they are stored and how they are shown."""

from collections.abc import Mapping
from typing import Literal

import msgspec

Kind = Literal["TEXT", "EMAIL", "ENUM", "NUMBER", "BOOLEAN", "DATETIME", "SET", "JSON"]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """``column`` is the SQL of the value in a row called ``c``; ``key`` what it is sorted by, where it can be."""

    name: str
    kind: Kind
    column: str
    key: str | None = None
    nullable: bool = False

    @property
    def stored(self) -> bool:
        """Whether ``column`` is one, and not made of others."""
        return self.column.startswith("c.")


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """``fields`` in the order in which a record shows them."""

    name: str
    table: str
    fields: tuple[Field, ...]

    def find_field(self, name: str) -> Field | None:
        return _BY_NAME[self.name].get(name)


CONTACT = Entity(
    name="contact",
    table="contacts",
    fields=(
        Field(name="id", kind="NUMBER", column="c.id"),
        Field(name="externalId", kind="TEXT", column="c.external_id"),
        Field(name="email", kind="EMAIL", column="c.email", key="c.email", nullable=True),
        Field(name="name", kind="TEXT", column="c.name", key="c.name_key", nullable=True),
        Field(name="givenName", kind="TEXT", column="c.given_name", nullable=True),
        Field(name="familyName", kind="TEXT", column="c.family_name", nullable=True),
        Field(name="phone", kind="TEXT", column="c.phone", nullable=True),
        Field(name="avatar", kind="TEXT", column="c.avatar", nullable=True),
        Field(name="status", kind="ENUM", column="c.status"),
        Field(name="lifecycleStage", kind="ENUM", column="c.lifecycle_stage"),
        Field(name="isIdentified", kind="BOOLEAN", column="(c.email IS NOT NULL OR c.phone IS NOT NULL)"),
        Field(name="modules", kind="SET", column="c.modules"),
        Field(name="properties", kind="JSON", column="c.properties"),
        Field(name="activityCount", kind="NUMBER", column="c.activity_count"),
        Field(
            name="lastActivityAt", kind="DATETIME", column="c.last_activity_at", key="c.last_activity_at", nullable=True
        ),
        Field(name="createdAt", kind="DATETIME", column="c.created_at", key="c.created_at"),
        Field(name="updatedAt", kind="DATETIME", column="c.updated_at"),
        Field(name="version", kind="NUMBER", column="c.version"),
    ),
)

ENTITIES: Mapping[str, Entity] = {entity.name: entity for entity in (CONTACT,)}
_BY_NAME = {entity.name: {field.name: field for field in entity.fields} for entity in ENTITIES.values()}
