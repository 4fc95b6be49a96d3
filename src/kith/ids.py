"""External ids: TypeIDs, a prefix and a UUID in base32 (https://github.com/jetify-com/typeid).

New ids are UUIDv7, so they sort by time; ids that derive from an Idempotency-Key are UUIDv8.
"""

import hashlib
import uuid
from datetime import UTC, datetime
from typing import Literal, get_args

import uuid_utils
from typeid import TypeID
from typeid.errors import TypeIDException

Prefix = Literal["ctc", "cmp", "tag", "lst", "prp", "act", "op", "int"]
# Of the number that a record is given: it fits a bigint.
NUMBER_DIGITS_MAX = 18
PREFIXES: frozenset[str] = frozenset(get_args(Prefix))


def new_id(prefix: Prefix, at: datetime) -> str:
    """A fresh id whose time part is ``at``, to the millisecond."""
    nanoseconds = round(at.timestamp() * 1000) * 1_000_000
    return str(TypeID.from_uuid(uuid_utils.uuid7(nanoseconds=nanoseconds), prefix))


def derive_id(prefix: Prefix, *parts: str) -> str:
    """The id that these parts always give: a UUIDv8 of their SHA-256."""
    digest = hashlib.sha256("\x00".join((prefix, *parts)).encode()).digest()
    return str(TypeID.from_uuid(uuid_utils.UUID(bytes=digest[:16], version=8), prefix))


def parse_id(text: str) -> tuple[str, uuid.UUID] | None:
    """(prefix, UUID) of a well-formed external id of this project, else None."""
    prefix, _, suffix = text.partition("_")
    if prefix not in PREFIXES or len(suffix) != 26 or suffix != suffix.lower():
        return None
    try:
        return prefix, uuid.UUID(int=TypeID.from_string(text).uuid.int)
    except TypeIDException:
        return None


def is_number(text: str) -> bool:
    """Whether the text names a record by its number, which may have zeros in front."""
    return text.isascii() and text.isdecimal() and len(text) <= NUMBER_DIGITS_MAX


def time_of(identifier: uuid.UUID) -> datetime | None:
    """The time in a UUIDv7, to the millisecond; None for the others, and where no clock can have said so."""
    if identifier.version != 7:
        return None
    try:
        return datetime.fromtimestamp((identifier.int >> 80) / 1000, UTC)
    except (ValueError, OverflowError, OSError):  # a time beyond the year 9999
        return None
