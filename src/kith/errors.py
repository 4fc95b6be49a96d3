"""Every error of the project, in one tree: exposed to clients, or internal.

An exposed error carries a stable code; ``CODES`` gives each code its HTTP status and its meaning, and
``docs/errors.md`` is held against it by a test.
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

CODES: Mapping[str, tuple[int, str]] = {
    "INVALID_REQUEST": (400, "The request cannot be understood, or asks for what is not possible."),
    "INVALID_ID": (400, "An id that is neither a number, an external id, nor another form that this place takes."),
    "INVALID_CURSOR": (400, "A cursor that was not issued for this query, or was changed."),
    "QUERY_SYNTAX": (400, "The query cannot be read; details say where, and what was expected there."),
    "UNKNOWN_FIELD": (400, "The query names a field or a relation that is not there; details say where."),
    "OPERATOR_NOT_ALLOWED": (
        400,
        "The query uses an operator that the field does not take; details list those it does.",
    ),
    "INVALID_VALUE": (400, "The query compares a field with a value that it cannot have; details say where."),
    "QUERY_TOO_COMPLEX": (400, "The query is beyond a limit; details have the limit and what was given."),
    "UNAUTHORIZED": (401, "No API key was sent."),
    "INVALID_API_KEY": (401, "The API key is not known."),
    "EXPIRED_API_KEY": (401, "The API key has expired."),
    "REVOKED_API_KEY": (401, "The API key was revoked."),
    "INVALID_SIGNATURE": (401, "A webhook's delivery is not signed with the integration's secret, or too old."),
    "FORBIDDEN": (403, "The API key is of another kind, or lacks the scope."),
    "NOT_FOUND": (404, "Nothing is there in this workspace."),
    "METHOD_NOT_ALLOWED": (405, "The path exists, but not with this method."),
    "REQUEST_TIMEOUT": (408, "The head or the body did not arrive within the time that it has."),
    "CONTACT_EMAIL_EXISTS": (409, "A contact with this email already exists."),
    "COMPANY_DOMAIN_EXISTS": (409, "A company with this domain already exists."),
    "TAG_KEY_EXISTS": (409, "A tag with this key already exists."),
    "PROPERTY_KEY_EXISTS": (409, "A property with this key already exists for this entity, archived ones included."),
    "EXTERNAL_ID_EXISTS": (409, "A record with this external id already exists, deleted ones included."),
    "ALREADY_ASSOCIATED": (409, "The contact is already associated with the company."),
    "VERSION_MISMATCH": (412, "The record has moved on since the version that If-Match names."),
    "PAYLOAD_TOO_LARGE": (413, "The body is larger than the limit."),
    "UNSUPPORTED_MEDIA_TYPE": (415, "The body is not sent as JSON."),
    "VALIDATION_ERROR": (422, "Several fields are wrong in different ways; details.fields lists them."),
    "MISSING_FIELD": (422, "A field that is needed was left out; details.fields names it."),
    "INVALID_FIELD": (422, "A field has a value that it cannot take, or is not known; details.fields lists them."),
    "IDEMPOTENCY_KEY_REUSED": (422, "The Idempotency-Key was used before with another request."),
    "QUOTA_EXCEEDED": (
        422,
        "The write would exceed a quota of the workspace; details have the limit and the value.",
    ),
    "PROVIDER_REFUSED": (422, "HubSpot or Mailchimp does not take the credentials or settings; the message says why."),
    "QUERY_TOO_EXPENSIVE": (422, "A query would cost more than the key may ask for; details say how much."),
    "RATE_LIMITED": (429, "The key's rate limit is used up; details.retryAfter says for how many seconds."),
    "HEADERS_TOO_LARGE": (431, "The path and the headers together are larger than the limit, or too many."),
    "INTERNAL": (500, "Something failed here; the log has the correlation id."),
    "PROVIDER_UNAVAILABLE": (502, "HubSpot or Mailchimp does not answer as it should; try again later."),
    "LOG_BEHIND": (503, "The writer is too far behind to take more writes; Retry-After says when to try again."),
    "SERVICE_UNAVAILABLE": (503, "A part that this needs is down; Retry-After says when to try again."),
    "SECRETS_UNAVAILABLE": (503, "Credentials cannot be kept or read; KITH_SECRET_KEYS has no key that fits."),
    "QUERY_TIMEOUT": (504, "The query took longer than the statement timeout."),
    "READ_AFTER_TIMEOUT": (504, "The write that X-Read-After names was not applied within the wait."),
}


def to_reason(error: BaseException) -> str:
    """An error of the system or a library as a reason inside a sentence, without numbers and names of exceptions."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = str(error) or re.sub("(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
    if number := re.search(r"\[Errno (\d+)\]", text):  # also of several errors in one
        file = getattr(error, "filename", None)
        return os.strerror(int(number[1])).lower() + (f": {file}" if file is not None else "")
    return re.sub(r"^\[(Errno -\d+|SSL.*?)\] | \(_ssl\.c:\d+\)$", "", text)


class KithError(Exception):
    """Everything that this project raises on purpose."""


class Exposed(KithError):
    """An error that a client sees: ``code`` decides the status, ``headers`` go out with the answer."""

    def __init__(
        self,
        code: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = CODES[code][0]
        self.message = message
        self.details = dict(details) if details else None
        self.headers = dict(headers) if headers else {}


class InvalidRequest(Exposed):
    def __init__(self, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__("INVALID_REQUEST", message, details)


class InvalidId(Exposed):
    def __init__(self, message: str) -> None:
        super().__init__("INVALID_ID", message)


class NotFound(Exposed):
    def __init__(self, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__("NOT_FOUND", message, details)


class Validation(Exposed):
    """422 with every wrong field: ``fields`` are (field, message) in the order they were found."""

    def __init__(self, fields: Sequence[tuple[str, str]], code: str = "INVALID_FIELD") -> None:
        more = f" (and {len(fields) - 1} more)" if len(fields) > 1 else ""
        super().__init__(
            code,
            f"{fields[0][0]}: {fields[0][1]}{more}",
            {"fields": [{"field": field, "message": message} for field, message in fields]},
        )


class Unavailable(Exposed):
    """503: a part is down. ``retry_after_s`` goes out as Retry-After."""

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(
            "SERVICE_UNAVAILABLE", message, {"retryAfter": retry_after_s}, {"Retry-After": str(retry_after_s)}
        )


class LogBehind(Exposed):
    """503: more writes wait than there may be. ``retry_after_s`` goes out as Retry-After."""

    def __init__(self, message: str, retry_after_s: int, details: Mapping[str, Any] | None = None) -> None:
        told = {**(details or {}), "retryAfter": retry_after_s}
        super().__init__("LOG_BEHIND", message, told, {"Retry-After": str(retry_after_s)})


class Internal(KithError):
    """An error for operators and developers; a client only ever sees 500 INTERNAL or 503."""


class StartError(Internal):
    """A process cannot start: one line that names the way out."""


class NotYet(StartError):
    """Something that is needed is not there yet: who can wait for it, waits."""


class BrokenLog(Internal):
    """Entries of the log are missing that were never applied: going on would lose what was acknowledged."""


class NewerLog(Internal):
    """An entry of the log was written by a newer version: it is not for this program to judge."""


class PoisonedLog(Internal):
    """So many entries in a row cannot be applied that the fault is not theirs."""


class ConflictingWriter(Internal):
    """The cursor moved under this writer: another writer owns the partition."""
