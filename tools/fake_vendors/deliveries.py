"""Webhooks as HubSpot and Mailchimp send them: a body, and headers with its signature."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from kith.integrations.signatures import (
    HUBSPOT_SIGNATURE,
    HUBSPOT_TIMESTAMP,
    MAILCHIMP_SIGNATURE,
    sign_hubspot,
    sign_mailchimp,
)
from tools.fake_vendors.mailchimp_members import hash_email


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be posted."""

    body: bytes
    headers: Mapping[str, str]


def make_hubspot_event(
    kind: str, object_id: str, at: datetime, *, event_id: int = 1, portal_id: int = 12345678, **more: Any
) -> dict[str, Any]:
    """``kind`` such as contact.propertyChange; ``more`` as propertyName, propertyValue, changeSource, attemptNumber."""
    return {
        "eventId": event_id,
        "subscriptionId": 1,
        "portalId": portal_id,
        "appId": 1,
        "occurredAt": _to_milliseconds(at),
        "subscriptionType": kind,
        "attemptNumber": 0,
        "objectId": int(object_id),
        "changeSource": "CRM_UI",
        **more,
    }


def make_hubspot_delivery(secret: str, uri: str, events: Sequence[Mapping[str, Any]], at: datetime) -> Delivery:
    """To be posted to ``uri``, the whole public one, at that time."""
    body, sent_ms = msgspec.json.encode(events), _to_milliseconds(at)
    headers = {
        "content-type": "application/json",
        HUBSPOT_SIGNATURE: sign_hubspot(secret, "POST", uri, body, sent_ms),
        HUBSPOT_TIMESTAMP: str(sent_ms),
    }
    return Delivery(body=body, headers=headers)


def make_mailchimp_delivery(
    secret: str,
    kind: str,
    list_id: str,
    email: str,
    at: datetime,
    *,
    merges: Mapping[str, str] | None = None,
    **more: str,
) -> Delivery:
    """``kind`` such as unsubscribe; ``more`` is what else stands in the data, as new_email, old_email or reason."""
    data = {"id": hash_email(email)[:10], "list_id": list_id, "email": email, **more}
    fields = {
        "type": kind,
        "fired_at": at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        **{f"data[{name}]": value for name, value in data.items()},
        **{f"data[merges][{tag}]": value for tag, value in (merges or {}).items()},
    }
    body = urlencode(fields).encode()
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        MAILCHIMP_SIGNATURE: sign_mailchimp(secret, body, int(at.timestamp())),
    }
    return Delivery(body=body, headers=headers)


def _to_milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)
