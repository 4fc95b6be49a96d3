"""System properties: the fields that every record of an entity has, listed beside those that are defined."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import get_args

from kith.ids import derive_id
from kith.model.companies import CompanyStatus
from kith.model.contacts import LifecycleStage, Module, Status
from kith.model.properties import Option, Property, PropertyEntity, PropertyGroup, PropertyType

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
# What is defined by hand is numbered from here on; below is room for the fields that will come.
FIRST_CUSTOM_NUMBER = 1000

_Row = tuple[str, str, PropertyType, PropertyGroup]
# (key, label, type, group). A row's place is its number: new ones go to the end of their entity's room.
_CONTACT: Sequence[_Row] = (
    ("email", "Email", "EMAIL", "CONTACT_INFO"),
    ("name", "Name", "TEXT", "BASIC"),
    ("givenName", "Given name", "TEXT", "BASIC"),
    ("familyName", "Family name", "TEXT", "BASIC"),
    ("phone", "Phone", "PHONE", "CONTACT_INFO"),
    ("avatar", "Avatar", "URL", "SOCIAL"),
    ("status", "Status", "SELECT", "BASIC"),
    ("lifecycleStage", "Lifecycle stage", "SELECT", "BASIC"),
    ("isIdentified", "Is identified", "BOOLEAN", "BASIC"),
    ("modules", "Modules", "MULTI_SELECT", "BASIC"),
    ("activityCount", "Activity count", "NUMBER", "BASIC"),
    ("lastActivityAt", "Last activity", "DATETIME", "BASIC"),
    ("createdAt", "Created", "DATETIME", "BASIC"),
    ("updatedAt", "Updated", "DATETIME", "BASIC"),
    ("mergedInto", "Merged into", "TEXT", "BASIC"),
)
_COMPANY: Sequence[_Row] = (
    ("name", "Name", "TEXT", "COMPANY_INFO"),
    ("domain", "Domain", "TEXT", "COMPANY_INFO"),
    ("industry", "Industry", "TEXT", "COMPANY_INFO"),
    ("size", "Size", "TEXT", "COMPANY_INFO"),
    ("plan", "Plan", "TEXT", "COMPANY_INFO"),
    ("spend", "Spend", "CURRENCY", "COMPANY_INFO"),
    ("website", "Website", "TEXT", "COMPANY_INFO"),
    ("phone", "Phone", "PHONE", "COMPANY_INFO"),
    ("status", "Status", "SELECT", "BASIC"),
    ("contactCount", "Contact count", "NUMBER", "BASIC"),
    ("createdAt", "Created", "DATETIME", "BASIC"),
    ("updatedAt", "Updated", "DATETIME", "BASIC"),
)
_ASSOCIATION: Sequence[_Row] = (
    ("role", "Role", "TEXT", "BASIC"),
    ("isPrimary", "Is primary", "BOOLEAN", "BASIC"),
)
_ROWS: Sequence[tuple[PropertyEntity, int, Sequence[_Row]]] = (
    ("CONTACT", 1, _CONTACT),
    ("COMPANY", 101, _COMPANY),
    ("CONTACT_COMPANY", 201, _ASSOCIATION),
)
_CHOICES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("CONTACT", "status"): get_args(Status),
    ("CONTACT", "lifecycleStage"): get_args(LifecycleStage),
    ("CONTACT", "modules"): get_args(Module),
    ("COMPANY", "status"): get_args(CompanyStatus),
}
_INDEXED = frozenset(
    (
        ("CONTACT", "email"),
        ("CONTACT", "name"),
        ("CONTACT", "status"),
        ("CONTACT", "lastActivityAt"),
        ("CONTACT", "createdAt"),
        ("COMPANY", "name"),
        ("COMPANY", "domain"),
        ("COMPANY", "industry"),
        ("COMPANY", "size"),
        ("COMPANY", "status"),
        ("COMPANY", "createdAt"),
    )
)


def _make(entity: PropertyEntity, number: int, row: _Row) -> Property:
    key, label, type_, group = row
    return Property(
        external_id=derive_id("prp", entity, key),
        number=number,
        entity=entity,
        key=key,
        label=label,
        type=type_,
        group=group,
        description=None,
        is_required=False,
        options=tuple(Option(value=value, label=to_label(value)) for value in _CHOICES.get((entity, key), ())),
        status="ACTIVE",
        created_at=SINCE,
        updated_at=SINCE,
        version=1,
        is_system=True,
        is_indexed=(entity, key) in _INDEXED,
    )


def to_label(value: str) -> str:
    """MARKETING_QUALIFIED is Marketing qualified."""
    return value.replace("_", " ").capitalize()


SYSTEM: Mapping[tuple[str, str], Property] = {
    (entity, row[0]): _make(entity, first + index, row)
    for entity, first, rows in _ROWS
    for index, row in enumerate(rows)
}
