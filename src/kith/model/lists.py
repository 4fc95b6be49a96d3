"""Lists: the record, what clients may send of it, and its public form."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from kith.clock import to_iso
from kith.errors import Validation
from kith.model.forms import MemberId, Name, Text
from kith.model.patches import list_uncleared, make_changes
from kith.model.records import Record
from kith.model.values import (
    PROPERTY_DEPTH_MAX,
    check_json,
    compose_json,
    find_overflow,
    normalise_name,
    normalise_text,
)

EntityType = Literal["CONTACT", "COMPANY"]
ListStatus = Literal["ACTIVE", "BROKEN"]
MEMBERS_PER_CALL_MAX = 1000
# The kind of a list's members.
ENTITIES: Mapping[EntityType, Literal["contact", "company"]] = {"CONTACT": "contact", "COMPANY": "company"}


class List(Record, frozen=True, kw_only=True):
    """A list as the engine holds it. ``member_count`` counts its members that are not deleted.

    ``filter`` is the filter of a dynamic list as text, ``timezone`` where its days begin. One that is BROKEN, for the
    ``reason``, keeps its members until its filter can be evaluated again.
    ``text_conditions`` counts the conditions of the filter that look for a part of a text.
    """

    kind = "list"

    name: str
    description: str | None
    entity_type: EntityType
    is_dynamic: bool
    filter_criteria: dict[str, Any] | None
    member_count: int
    evaluated_at: datetime | None
    created_at: datetime
    updated_at: datetime
    version: int
    filter: str | None = None
    timezone: str = "UTC"
    status: ListStatus = "ACTIVE"
    reason: str | None = None
    text_conditions: int = 0

    @property
    def entity(self) -> Literal["contact", "company"]:
        """The kind of its members."""
        return ENTITIES[self.entity_type]


class ListInput(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of a create. A dynamic list has a filter; a static one has members that are added by hand."""

    name: Name
    entity_type: EntityType
    description: Text | None | UnsetType = UNSET
    is_dynamic: bool = False
    filter_criteria: dict[str, Any] | None | UnsetType = UNSET


class ListPatch(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of an update: what is left out stays. A list stays static or dynamic, and of its entity."""

    name: Name | UnsetType = UNSET
    description: Text | None | UnsetType = UNSET
    filter_criteria: dict[str, Any] | UnsetType = UNSET


class MembersInput(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Members by number or external id, at most 1,000."""

    entity_ids: Annotated[list[MemberId], Meta(extra_json_schema={"maxItems": MEMBERS_PER_CALL_MAX})]


def make_list_changes(fields: ListInput | ListPatch) -> dict[str, Any]:
    """The fields that were sent, normalised, by the record's names. Raises Validation with every wrong field."""
    texts: Mapping[str, Callable[[str], str | None]] = {"name": normalise_name, "description": normalise_text}
    plain = ["filter_criteria"]
    faults: list[tuple[str, str]] = []
    if isinstance(fields, ListPatch):
        faults += list_uncleared(fields, ("name", "filter_criteria"))
    else:
        plain += ["entity_type", "is_dynamic"]
    if isinstance(fields.filter_criteria, dict):
        faults += check_filter(fields.filter_criteria)
    changes = make_changes(fields, texts, plain=plain, faults=faults)
    if changes.get("filter_criteria") is not None:
        changes["filter_criteria"] = compose_json(changes["filter_criteria"])
    if isinstance(fields, ListInput):
        given = isinstance(fields.filter_criteria, dict)
        if fields.is_dynamic and not given:
            raise Validation([("filterCriteria", "is needed for a dynamic list.")], "MISSING_FIELD")
        if given and not fields.is_dynamic:
            raise Validation([("filterCriteria", "is for dynamic lists; leave it out, or send isDynamic: true.")])
    return changes


def check_filter(criteria: dict[str, Any]) -> list[tuple[str, str]]:
    """A fault of the filter as JSON: the query language looks at what it says when it is evaluated."""
    try:
        check_json(criteria, PROPERTY_DEPTH_MAX * 2)
        compose_json(criteria)
    except ValueError as error:
        return [("filterCriteria", str(error))]
    overflow = find_overflow(criteria)
    return [("filterCriteria", overflow)] if overflow else []


class ListView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A list as clients see it."""

    id: int | None
    external_id: str
    name: str
    description: str | None
    entity_type: EntityType
    is_dynamic: bool
    filter_criteria: dict[str, Any] | None
    filter: str | None
    status: ListStatus
    reason: str | None
    member_count: int
    evaluated_at: str | None
    created_at: str
    updated_at: str
    version: int
    pending: bool = False


def to_view(one: List, *, pending: bool) -> ListView:
    return ListView(
        id=one.number,
        external_id=one.external_id,
        name=one.name,
        description=one.description,
        entity_type=one.entity_type,
        is_dynamic=one.is_dynamic,
        filter_criteria=one.filter_criteria,
        filter=one.filter,
        status=one.status,
        reason=one.reason,
        member_count=one.member_count,
        evaluated_at=to_iso(one.evaluated_at) if one.evaluated_at else None,
        created_at=to_iso(one.created_at),
        updated_at=to_iso(one.updated_at),
        version=one.version,
        pending=pending,
    )
