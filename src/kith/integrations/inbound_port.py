"""The port of what providers tell: changes of contacts that others made there, in one form for all of them.

``external_id`` is the record's id there, as its link has it; where the provider does not tell it, ``email`` finds the
contact. ``at`` is when it happened there.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec


class FieldChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """``field`` is theirs, None is a value that was cleared."""

    external_id: str | None
    field: str
    value: str | None
    at: datetime
    email: str | None = None


class Removed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """It was deleted or archived there."""

    external_id: str | None
    at: datetime
    email: str | None = None


class Restored(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """It was brought back there."""

    external_id: str
    at: datetime


class Merged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Those of ``merged_ids`` went into ``external_id``, which may be an id that was not there before."""

    external_id: str
    merged_ids: Sequence[str]
    at: datetime


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
    """``old`` is None where it is told how things stand, which may be as before."""

    old: str | None
    new: str
    at: datetime
    external_id: str | None = None


class Cleaned(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Mail to the address does not arrive, for good; ``reason`` in the provider's words."""

    email: str
    at: datetime
    reason: str | None = None


Inbound = FieldChanged | Removed | Restored | Merged | Forgotten | Subscribed | Unsubscribed | EmailChanged | Cleaned
