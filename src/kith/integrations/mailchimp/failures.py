"""Convert Mailchimp's errors to failures. Their bodies are problem details (RFC 9457), a page of HTML, or nothing."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from kith.integrations.failures import Conflict, Failure, Limited, Missing, Permanent, Transient, Unauthorized
from kith.integrations.http import Reply

PATIENCE_S = 2
# Who has asked too much for a while is refused by what stands before the API, which says less.
FORBIDDEN_PATIENCE_S = 10
FIELDS_SHOWN_MAX = 3
_THROTTLED = ("too many", "throttl", "rate limit", "simultaneous")


def classify(reply: Reply, now: datetime) -> Failure | None:
    """By the status first: the body may be missing."""
    if reply.status < 300:
        return None
    problem: Mapping[str, Any] = reply.body if isinstance(reply.body, dict) else {}
    message, reference = _make_message(reply.status, problem), _read_text(problem, "instance")
    if reply.status == 429 or (reply.status == 403 and _is_throttled(problem)):
        patience_s = PATIENCE_S if reply.status == 429 else FORBIDDEN_PATIENCE_S
        until = now + _read_retry_after(reply.headers.get("retry-after"), patience_s, now)
        return Limited(message, until, status=reply.status)
    if reply.status == 400 and _is_member_already(problem):
        return Conflict(message, None, status=reply.status, reference=reference)
    kind: type[Failure] = Permanent
    if reply.status in {401, 403}:
        kind = Unauthorized
    elif reply.status == 404:
        kind = Missing
    elif reply.status == 408 or reply.status >= 500 or reply.status < 400:
        kind = Transient
    return kind(message, status=reply.status, reference=reference)


def _is_throttled(problem: Mapping[str, Any]) -> bool:
    """A refusal that says nothing is one too."""
    told = f"{_read_text(problem, 'title') or ''} {_read_text(problem, 'detail') or ''}".strip().lower()
    return not told or any(word in told for word in _THROTTLED)


def _is_member_already(problem: Mapping[str, Any]) -> bool:
    return problem.get("title") == "Member Exists" or "already a list member" in (_read_text(problem, "detail") or "")


def _read_retry_after(text: str | None, default_s: int, now: datetime) -> timedelta:
    """Seconds or a date, as HTTP has it."""
    if text and text.strip().isdecimal():
        return timedelta(seconds=min(int(text), 86_400))
    try:
        return max(parsedate_to_datetime(text) - now, timedelta()) if text else timedelta(seconds=default_s)
    except (ValueError, TypeError):
        return timedelta(seconds=default_s)


def _make_message(status: int, problem: Mapping[str, Any]) -> str:
    """The title, the detail, and what is wrong with the first fields."""
    told = ": ".join(text for text in (_read_text(problem, "title"), _read_text(problem, "detail")) if text)
    errors = problem.get("errors")
    faults = [
        f"{_read_text(error, 'field') or 'it'}: {_read_text(error, 'message') or 'is not taken'}"
        for error in (errors if isinstance(errors, list) else [])[:FIELDS_SHOWN_MAX]
        if isinstance(error, dict)
    ]
    message = f"Mailchimp answered {status}" + (f" ({told})" if told else "")
    return f"{message}; {'; '.join(faults)}" if faults else message


def _read_text(problem: Mapping[str, Any], name: str) -> str | None:
    text = problem.get(name)
    return text[:500] if isinstance(text, str) and text else None
