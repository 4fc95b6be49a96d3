"""Tags: the record, what clients may send of it, and its public form."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from kith.clock import to_iso
from kith.model.forms import Name, Text
from kith.model.patches import list_uncleared, make_changes
from kith.model.records import Claim, Record, TagLink
from kith.model.values import normalise_name, normalise_text

_KEY = re.compile(r"[a-z0-9_-]{1,64}")
_COLOR = re.compile(r"#(?:[0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})")
Color = Annotated[str, Meta(extra_json_schema={"pattern": f"^{_COLOR.pattern}$"})]


class Tag(Record, frozen=True, kw_only=True):
    """A tag as the engine holds it. ``contact_count`` counts the live contacts that carry it."""

    kind = "tag"

    key: str
    name: str
    description: str | None
    color: str | None
    contact_count: int
    created_at: datetime
    updated_at: datetime
    version: int

    @property
    def values(self) -> tuple[Claim, ...]:
        return (("tag_key", self.key),)


class TagInput(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of a create. ``name`` defaults to the key."""

    key: Annotated[str, Meta(extra_json_schema={"pattern": f"^{_KEY.pattern}$"})]
    name: Name | None | UnsetType = UNSET
    description: Text | None | UnsetType = UNSET
    color: Color | None | UnsetType = UNSET


class TagPatch(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of an update: what is left out stays, null clears. A tag keeps its key."""

    name: Name | UnsetType = UNSET
    description: Text | None | UnsetType = UNSET
    color: Color | None | UnsetType = UNSET


def normalise_key(text: str) -> str:
    if not _KEY.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not a key: 1 to 64 of a-z, 0-9, hyphen and underscore.")
    return text


def normalise_color(text: str) -> str | None:
    if not text:
        return None
    if not _COLOR.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a color such as #FFD700 or #FD0.")
    return text


TEXTS: Mapping[str, Callable[[str], str | None]] = {
    "name": normalise_name,
    "description": normalise_text,
    "color": normalise_color,
}


def make_tag_changes(fields: TagInput | TagPatch) -> dict[str, Any]:
    """The fields that were sent, normalised, by the record's names. Raises Validation with every wrong field."""
    if isinstance(fields, TagPatch):
        return make_changes(fields, TEXTS, faults=list_uncleared(fields, ("name",)))
    return make_changes(fields, {"key": normalise_key, **TEXTS})


class TagView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A tag as clients see it."""

    id: int | None
    external_id: str
    key: str
    name: str
    description: str | None
    color: str | None
    contact_count: int
    created_at: str
    updated_at: str
    version: int
    pending: bool = False


def to_view(tag: Tag, *, pending: bool) -> TagView:
    return TagView(
        id=tag.number,
        external_id=tag.external_id,
        key=tag.key,
        name=tag.name,
        description=tag.description,
        color=tag.color,
        contact_count=tag.contact_count,
        created_at=to_iso(tag.created_at),
        updated_at=to_iso(tag.updated_at),
        version=tag.version,
        pending=pending,
    )


def to_link(tag: Tag) -> TagLink:
    """The tag as a record carries it."""
    return TagLink(external_id=tag.external_id, number=tag.number, key=tag.key, name=tag.name, color=tag.color)
