"""Convert deliveries of HubSpot's webhooks to changes in the form of the port. Pure.

A delivery is an array of events, which come in any order, and may come again.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from kith.errors import InvalidRequest
from kith.integrations.inbound_port import FieldChanged, Forgotten, Inbound, Merged, Removed, Restored

_CONTACT = ("contact", "0-1")  # in subscriptions of old, and as a type of object
_BY_US = "INTEGRATION"
Milliseconds = Annotated[int, msgspec.Meta(ge=0, lt=253_402_300_800_000)]  # since 1970, until the year 9999


class Event(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``app_id`` is the app that is told, which is ours; ``source_id`` the one that made the change."""

    subscription_type: str
    object_id: int | str | None = None
    occurred_at: Milliseconds = 0
    event_id: int | str | None = None
    portal_id: int | None = None
    app_id: int | str | None = None
    object_type_id: str | None = None
    property_name: str | None = None
    property_value: Any = None
    change_source: str | None = None
    source_id: int | str | None = None
    attempt_number: int = 0
    primary_object_id: int | str | None = None
    merged_object_ids: tuple[int | str, ...] = ()
    new_object_id: int | str | None = None


_decode = msgspec.json.Decoder(list[Event], float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """The changes in an account: those of a record in the order in which they happened."""

    portal_id: str
    changes: tuple[Inbound, ...]


def parse_delivery(body: bytes) -> list[Delivery]:
    """One for each account that it tells of. Raises InvalidRequest where it is no delivery.

    What the app made that is told is ours, and left out; where it is not said which app it was, what any app made.
    """
    try:
        events = _decode(body)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"This is not a delivery of HubSpot's: {error}.") from None
    accounts: dict[str, dict[Event, None]] = {}
    for event in events:
        accounts.setdefault(str(event.portal_id or ""), {})[_without_attempt(event)] = None
    return [
        Delivery(portal_id=portal_id, changes=tuple(_list_changes(list(told)))) for portal_id, told in accounts.items()
    ]


def _without_attempt(event: Event) -> Event:
    value = event.property_value
    text = value if value is None or isinstance(value, str) else _encode(value).decode()
    return msgspec.structs.replace(event, attempt_number=0, property_value=text)


def _list_changes(events: list[Event]) -> Iterator[Inbound]:
    first = {str(event.object_id): place for place, event in reversed(list(enumerate(events)))}
    for event in sorted(events, key=lambda one: (first[str(one.object_id)], one.occurred_at)):
        change = None if _is_own(event) else _to_change(event)
        if change is not None:
            yield change


def _to_change(event: Event) -> Inbound | None:
    """None for what is of no interest here: other objects, creations, and associations."""
    subject, _, what = event.subscription_type.partition(".")
    subject = (event.object_type_id or "") if subject == "object" else subject
    if subject not in _CONTACT or event.object_id is None:
        return None
    external_id, at = str(event.object_id), datetime.fromtimestamp(event.occurred_at / 1000, UTC)
    if what == "propertyChange" and event.property_name:
        return FieldChanged(
            external_id=external_id, field=event.property_name, value=event.property_value or None, at=at
        )
    if what == "merge":
        return _to_merge(event, at)
    make: Mapping[str, type[Forgotten | Removed | Restored]] = {
        "privacyDeletion": Forgotten,
        "deletion": Removed,
        "restore": Restored,
    }
    return make[what](external_id=external_id, at=at) if what in make else None


def _to_merge(event: Event, at: datetime) -> Merged:
    """Of the two and the one that is left, which may be neither: those that are not left went into it."""
    left = str(event.new_object_id or event.primary_object_id or event.object_id)
    gone = dict.fromkeys(str(one) for one in (*event.merged_object_ids, event.primary_object_id) if one is not None)
    gone.pop(left, None)
    return Merged(external_id=left, merged_ids=tuple(gone), at=at)


def _is_own(event: Event) -> bool:
    if event.source_id is not None and event.app_id is not None:
        return str(event.source_id) == str(event.app_id)
    return event.change_source == _BY_US
