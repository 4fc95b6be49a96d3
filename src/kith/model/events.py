"""Events: what happened, in the past tense, with the old and the new value of all that changed."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from kith.model.records import Record

EventType = Literal[
    "contact.created",
    "contact.updated",
    "contact.deleted",
    "contact.restored",
    "contact.merged",
    "company.created",
    "company.updated",
    "company.deleted",
    "company.restored",
    "association.created",
    "association.updated",
    "association.removed",
    "tag.created",
    "tag.updated",
    "tag.deleted",
    "tag.assigned",
    "tag.removed",
    "activity.created",
    "list.created",
    "list.updated",
    "list.deleted",
    "list.evaluated",
    "list.entered",
    "list.left",
    "property.created",
    "property.updated",
    "property.archived",
    "property.restored",
]
REJECTED = "operation.rejected"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """``record`` is what it is about, as it is afterwards, and ``also`` are other records that it changes.

    ``changes`` maps a field to (old, new); ``told`` is what the feed tells where that is not the record or its changes.
    ``removed``: the record is there no more. ``converts``: the values that records hold under a property's key, and the
    copies of them, are brought into its form with it.
    """

    type: EventType
    record: Record
    changes: Mapping[str, tuple[Any, Any]] = {}
    also: tuple[Record, ...] = ()
    told: Mapping[str, Any] | None = None
    removed: bool = False
    converts: bool = False

    @property
    def makes_record(self) -> bool:
        return self.type == f"{self.record.kind}.created"
