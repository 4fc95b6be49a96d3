"""The port of what providers tell: changes that were made there, in one form for all of them.

``external_id`` is the record's id there, as its link has it; where the provider does not tell it, ``email`` finds the
contact. ``at`` is when it happened there.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

InboundEntity = Literal["contact", "company"]


class Created(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A record was made there; ``own``: by us."""

    external_id: str
    entity: InboundEntity
    at: datetime
    own: bool = False


class FieldChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """``field`` is theirs, None is a value that was cleared. ``own``: we have sent it, and it only comes back."""

    external_id: str | None
    entity: InboundEntity
    field: str
    value: str | None
    at: datetime
    own: bool = False
    email: str | None = None


class Removed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """It was deleted or archived there; ``own``: by us."""

    external_id: str | None
    entity: InboundEntity
    at: datetime
    own: bool = False
    email: str | None = None


class Restored(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """It was brought back there."""

    external_id: str
    entity: InboundEntity
    at: datetime
    own: bool = False


class Merged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Those of ``merged_ids`` went into ``external_id``, which may be an id that was not there before."""

    external_id: str
    merged_ids: Sequence[str]
    entity: InboundEntity
    at: datetime
    own: bool = False


class Forgotten(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The person asked there to be erased by privacy law."""

    external_id: str
    at: datetime


class Subscribed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The person agreed there to be written to."""

    external_id: str | None
    email: str
    at: datetime


class Unsubscribed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The person does not want to be written to any more; ``reason`` in the provider's words."""

    external_id: str | None
    email: str
    at: datetime
    reason: str | None = None


class EmailChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    old: str
    new: str
    at: datetime


class Cleaned(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Mail to the address does not arrive, for good; ``reason`` in the provider's words."""

    email: str
    at: datetime
    reason: str | None = None


Inbound = (
    Created
    | FieldChanged
    | Removed
    | Restored
    | Merged
    | Forgotten
    | Subscribed
    | Unsubscribed
    | EmailChanged
    | Cleaned
)
