"""Activities: what happened with a contact. They are logged once, and never change."""

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from kith.clock import to_iso, to_milliseconds
from kith.errors import Validation
from kith.model.forms import Moment, Properties
from kith.model.records import Record
from kith.model.text import compose
from kith.model.times import read_instant, to_kept
from kith.model.values import check_storable, find_overflow, normalise_properties

ActivityType = Literal["NOTE", "CALL", "MEETING", "EMAIL", "TASK", "PAGE_VIEW", "CUSTOM_EVENT"]
LoggedType = Literal["NOTE", "CALL", "MEETING", "EMAIL", "TASK"]
ActivityModule = Literal["CRM", "SUPPORT", "INTEGRATION"]
CONTENT_CHARACTERS_MAX = 65_536
# Properties of activities that are times.
TIMES = frozenset(("dueDate", "startTime", "endTime", "remindAt"))
Content = Annotated[str, Meta(extra_json_schema={"maxLength": CONTENT_CHARACTERS_MAX})]


class Activity(Record, frozen=True, kw_only=True):
    """An activity as the engine holds it; it belongs to a contact, named by external id and number."""

    kind = "activity"

    contact_id: str
    contact_number: int | None
    type: ActivityType
    module: ActivityModule
    content: str | None
    properties: dict[str, Any]
    occurred_at: datetime
    created_at: datetime


class ActivityInput(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body with which a person or a program logs an activity."""

    type: LoggedType
    content: Content | None | UnsetType = UNSET
    properties: Properties | None | UnsetType = UNSET
    module: ActivityModule | UnsetType = UNSET
    occurred_at: Moment | None | UnsetType = UNSET


def make_activity(fields: ActivityInput, zone: tzinfo) -> dict[str, Any]:
    """What was sent, normalised, by the command's names; times without an offset are in the zone.

    Raises Validation with every wrong field.
    """
    made: dict[str, Any] = {"activity_type": fields.type}
    faults: list[tuple[str, str]] = []
    if fields.module is not UNSET:
        made["module"] = fields.module
    if fields.content is not UNSET and fields.content is not None:
        try:
            made["content"] = check_content(fields.content)
        except ValueError as error:
            faults.append(("content", str(error)))
    if fields.properties:
        properties, wrong = normalise_properties(fields.properties)
        faults += wrong
        if not faults and (overflow := find_overflow(properties)):
            faults.append(("properties", overflow))
        made["properties"] = properties = {key: value for key, value in properties.items() if value is not None}
        for key in sorted(TIMES & properties.keys()):
            try:
                if (at := to_time(properties.pop(key), zone)) is not None:
                    properties[key] = at
            except ValueError as error:
                faults.append((f"properties.{key}", str(error)))
    if fields.occurred_at is not UNSET and fields.occurred_at is not None:
        try:
            made["occurred_at"] = parse_moment(fields.occurred_at, zone)
        except ValueError as error:
            faults.append(("occurredAt", str(error)))
    if faults:
        raise Validation(faults)
    return made


def check_content(text: str) -> str | None:
    text = compose(text)
    if len(text) > CONTENT_CHARACTERS_MAX:
        raise ValueError(f"holds {len(text)} characters; at most {CONTENT_CHARACTERS_MAX} are allowed.")
    check_storable(text)
    return text or None


def parse_moment(text: str, zone: tzinfo) -> datetime:
    """A time in UTC, to the millisecond; without an offset it is in the zone. Raises ValueError."""
    try:
        if (at := read_instant(text, zone)) is None:
            raise ValueError
        return to_milliseconds(at.astimezone(UTC))
    except (ValueError, OverflowError):
        message = f"{text[:40]!r} is not an ISO 8601 time such as 2026-04-10T10:30:00Z."
        raise ValueError(message) from None


def to_time(value: Any, zone: tzinfo) -> str | None:
    """A property that is a time, or a day for its first moment, as it is kept; None for an empty text.

    Raises ValueError, also for a number: it does not say whether it counts seconds or milliseconds.
    """
    if value == "":
        return None
    try:
        if isinstance(value, str):
            return to_kept(value, zone, or_day=True)
    except ValueError:
        pass
    shown = repr(value[:40]) if isinstance(value, str) else "a value of another type"
    raise ValueError(f"must be an ISO 8601 time such as 2026-04-10T10:30:00Z; {shown} is not.")


class ActivityView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An activity as clients see it."""

    id: int | None
    external_id: str
    contact_id: int | None
    type: ActivityType
    module: ActivityModule
    content: str | None
    properties: Mapping[str, Any]
    occurred_at: str
    created_at: str
    pending: bool = False


def to_view(activity: Activity, *, pending: bool) -> ActivityView:
    return ActivityView(
        id=activity.number,
        external_id=activity.external_id,
        contact_id=activity.contact_number,
        type=activity.type,
        module=activity.module,
        content=activity.content,
        properties=activity.properties,
        occurred_at=to_iso(activity.occurred_at),
        created_at=to_iso(activity.created_at),
        pending=pending,
    )
