"""Convert HubSpot's answers, and the errors within a batch, to failures."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta, tzinfo
from email.utils import parsedate_to_datetime
from typing import Any

from kith.integrations.failures import Conflict, Failure, Limited, Missing, Permanent, Transient, Unauthorized
from kith.integrations.http import Reply

MESSAGE_CHARACTERS_MAX = 500
_TRANSIENT = (408, 423, 477)
_PATIENCE_S: Mapping[str, float] = {"TEN_SECONDLY_ROLLING": 10, "SECONDLY": 1}
_EXISTING = re.compile(r"Existing ID:\s*(\d+)", re.IGNORECASE)
# What a batch's faults say is wrong, beside the faults of the record itself.
_FAULTS_IN_PASSING = ("RATE_LIMIT", "RATE_LIMITS", "INTERNAL_ERROR", "SERVER_ERROR", "TIMEOUT")


def classify(reply: Reply, now: datetime, zone: tzinfo = UTC) -> Failure | None:
    """``zone`` is the account's: at its midnight the daily limit begins anew."""
    if 200 <= reply.status < 300:
        return None
    told = reply.body if isinstance(reply.body, dict) else {}
    status, reference = reply.status, _read_text(told, "correlationId")
    message = _make_message(told) or f"HubSpot answered {status}."
    if status == 429:
        return Limited(message, _find_end(reply, told, now, zone), status=status)
    if status in (401, 403):
        return Unauthorized(message, status=status, reference=reference)
    if status in _TRANSIENT or status >= 500:
        return Transient(message, status=status, reference=reference)
    return _make_permanent(message, told, status, reference)


def classify_fault(fault: Mapping[str, Any]) -> Failure:
    """Of one of the ``errors`` of a batch whose other records were taken."""
    message = _make_message(fault) or "HubSpot refused it and did not say why."
    if _read_text(fault, "category") in _FAULTS_IN_PASSING:
        return Transient(message, status=207)
    return _make_permanent(message, fault, 207, _read_text(fault, "correlationId"))


def list_named(fault: Mapping[str, Any]) -> set[str]:
    """Every text in the fault's context: among them is whom it is about, by trace id, id or unique value."""
    context = fault.get("context")
    values = context.values() if isinstance(context, dict) else ()
    return {str(one) for value in values for one in (value if isinstance(value, list) else [value])}


def _make_permanent(message: str, told: Mapping[str, Any], status: int, reference: str | None) -> Permanent:
    category = _read_text(told, "category")
    if status == 409 or category == "CONFLICT" or "CONFLICTING_UNIQUE_VALUE" in message:
        existing = _EXISTING.search(message)
        return Conflict(message, existing[1] if existing else None, status=status, reference=reference)
    if status == 404 or category == "OBJECT_NOT_FOUND":
        return Missing(message, status=status, reference=reference)
    return Permanent(message, status=status, reference=reference)


def _make_message(told: Mapping[str, Any]) -> str:
    """What it says, and what of its details that does not say yet."""
    message = _read_text(told, "message") or ""
    details = told.get("errors")
    for detail in details if isinstance(details, Sequence) and not isinstance(details, str) else ():
        more = _read_text(detail, "message") if isinstance(detail, dict) else None
        if more and more not in message:
            message = f"{message} {more}".strip()
    return message[:MESSAGE_CHARACTERS_MAX]


def _find_end(reply: Reply, told: Mapping[str, Any], now: datetime, zone: tzinfo) -> datetime:
    after = reply.headers.get("retry-after", "")
    with suppress(ValueError, OverflowError):
        return now + timedelta(seconds=float(after))
    with suppress(ValueError, TypeError):
        return max(parsedate_to_datetime(after).astimezone(UTC), now)
    policy = _read_text(told, "policyName")
    if policy == "DAILY":
        tomorrow = now.astimezone(zone).date() + timedelta(days=1)
        return datetime.combine(tomorrow, time(), zone).astimezone(UTC)
    if policy is None and "secondly limit" in _make_message(told) and "ten" not in _make_message(told):
        policy = "SECONDLY"
    return now + timedelta(seconds=_PATIENCE_S.get(policy or "", 10))


def _read_text(told: Mapping[str, Any], name: str) -> str | None:
    value = told.get(name)
    return value if isinstance(value, str) else None
