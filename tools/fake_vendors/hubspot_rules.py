"""What HubSpot takes as a value: the properties that every account has, and the checks of what is written to them."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

import msgspec
import uuid_utils

from tools.fake_vendors.wire import Answer, Refused

OBJECT_TYPE_IDS: Mapping[str, str] = {
    "contacts": "0-1",
    "companies": "0-2",
    "notes": "0-46",
    "meetings": "0-47",
    "calls": "0-48",
    "emails": "0-49",
    "tasks": "0-27",
}
ENGAGEMENTS = ("notes", "calls", "meetings", "emails", "tasks")
TEXT_CHARACTERS_MAX = 65_536
EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_MILLISECONDS = re.compile(r"[0-9]{1,15}")
_ISO = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d))?")
# Types with the fields of forms that show them.
FIELD_TYPES: Mapping[str, Sequence[str]] = {
    "string": ("text", "textarea", "html", "file", "phonenumber"),
    "number": ("number",),
    "bool": ("booleancheckbox",),
    "enumeration": ("select", "radio", "checkbox", "booleancheckbox"),
    "date": ("date",),
    "datetime": ("date",),
    "phone_number": ("phonenumber",),
}


class Property(msgspec.Struct, frozen=True, kw_only=True):
    """A property of a type of objects. ``options`` are the values of an enumeration."""

    name: str
    type: str = "string"
    label: str = ""
    group_name: str = ""
    field_type: str = "text"
    description: str = ""
    options: Sequence[str] = ()
    pattern: str | None = None
    has_unique_value: bool = False
    read_only: bool = False
    hubspot_defined: bool = True


class Wrong(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a value."""

    name: str
    code: str
    message: str


def refuse(
    status: int,
    category: str,
    message: str,
    *,
    errors: Sequence[Mapping[str, Any]] = (),
    context: Mapping[str, Sequence[str]] | None = None,
) -> NoReturn:
    raise Refused(Answer(status=status, body=make_error(category, message, errors=errors, context=context)))


def make_error(
    category: str,
    message: str,
    *,
    errors: Sequence[Mapping[str, Any]] = (),
    context: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "status": "error",
        "message": message,
        "correlationId": str(uuid_utils.uuid4()),
        "category": category,
    }
    if errors:
        body["errors"] = list(errors)
    if context:
        body["context"] = dict(context)
    return body


def refuse_body(message: str) -> NoReturn:
    refuse(400, "VALIDATION_ERROR", message)


def refuse_missing(what: str, identifier: str) -> NoReturn:
    refuse(404, "OBJECT_NOT_FOUND", f"There are no {what} with the id {identifier}.", context={"ids": [identifier]})


def refuse_values(wrong: Sequence[Wrong]) -> NoReturn:
    refuse(
        400,
        "VALIDATION_ERROR",
        "Property values are not valid: " + "; ".join(f"{one.name}: {one.message}" for one in wrong),
        errors=[
            {
                "message": one.message,
                "code": one.code,
                "in": "properties",
                "context": {"propertyName": [one.name]},
            }
            for one in wrong
        ],
    )


def check_values(known: Mapping[str, Property], values: Mapping[str, str]) -> None:
    """Refuses them all with whatever is wrong with any of them. ``""`` clears, so that it always fits."""
    wrong = []
    for name, value in values.items():
        definition = known.get(name)
        if definition is None:
            wrong.append(Wrong(name=name, code="PROPERTY_DOESNT_EXIST", message=f"there is no property {name!r}"))
        elif definition.read_only:
            wrong.append(Wrong(name=name, code="READ_ONLY_VALUE", message="cannot be written"))
        elif value and (found := find_fault(definition, value)):
            wrong.append(Wrong(name=name, code=found[0], message=found[1]))
    if wrong:
        refuse_values(wrong)


def find_fault(definition: Property, value: str) -> tuple[str, str] | None:
    """The code and the message of what is wrong with the value."""
    kind = definition.type
    if kind != "string" and value != value.strip():
        return "LEADING_TRAILING_WHITESPACE", "has whitespace around it"
    if definition.name == "email" and not EMAIL.fullmatch(value):
        return "INVALID_EMAIL", f"{value!r} is no email address"
    if kind == "string" and len(value) > TEXT_CHARACTERS_MAX:
        return "PROPERTY_VALUE_TOO_LONG", f"has {len(value)} characters; {TEXT_CHARACTERS_MAX} are the most"
    if kind == "enumeration" and not _is_option(definition, value):
        return "INVALID_OPTION", f"{value!r} is not among the options {', '.join(definition.options)}"
    if kind == "bool" and value not in ("true", "false"):
        return "INVALID_BOOLEAN", f"{value!r} is neither true nor false"
    if kind == "number" and not _is_number(value):
        return "INVALID_NUMBER", f"{value!r} is no number"
    if kind in ("date", "datetime") and to_milliseconds(value) is None:
        return "INVALID_DATE", f"{value!r} is neither ISO 8601 in a known zone nor milliseconds since the epoch"
    if kind == "date" and (to_milliseconds(value) or 0) % 86_400_000:
        return "INVALID_DATE", f"{value!r} is not midnight in UTC"
    return None


def _is_option(definition: Property, value: str) -> bool:
    if definition.pattern is not None:
        return re.fullmatch(definition.pattern, value) is not None
    chosen = value.split(";") if definition.field_type == "checkbox" else [value]
    return all(one in definition.options for one in chosen)


def _is_number(value: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", value, re.ASCII) is not None


def to_milliseconds(value: str) -> int | None:
    """Of a time as it is sent, None where it is none."""
    if _MILLISECONDS.fullmatch(value):
        return int(value)
    if not _ISO.fullmatch(value):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _define(kind: str, *names: str) -> list[Property]:
    return [Property(name=name, type=kind, field_type=FIELD_TYPES[kind][0]) for name in names]


def _enumerate(name: str, *options: str) -> Property:
    return Property(name=name, type="enumeration", field_type="select", options=options)


def _read_only(kind: str, *names: str) -> list[Property]:
    return [Property(name=name, type=kind, read_only=True) for name in names]


_STAGES = _enumerate(
    "lifecyclestage",
    "subscriber",
    "lead",
    "marketingqualifiedlead",
    "salesqualifiedlead",
    "opportunity",
    "customer",
    "evangelist",
    "other",
)
_OF_ALL = [
    *_read_only("number", "hs_object_id"),
    *_define("string", "hubspot_owner_id"),
]
_OF_ENGAGEMENTS = [
    *_OF_ALL,
    *_read_only("datetime", "hs_createdate", "hs_lastmodifieddate"),
    *_define("datetime", "hs_timestamp"),
    *_define("string", "hs_attachment_ids"),
]
_PLACE = ("website", "city", "country", "state", "zip", "address", "phone")
KNOWN: Mapping[str, Sequence[Property]] = {
    "contacts": [
        *_OF_ALL,
        *_read_only("datetime", "createdate", "lastmodifieddate"),
        *_define(
            "string", "email", "firstname", "lastname", "jobtitle", "company", "mobilephone", "salutation", *_PLACE
        ),
        _STAGES,
    ],
    "companies": [
        *_OF_ALL,
        *_read_only("datetime", "createdate", "hs_lastmodifieddate"),
        *_define("string", "name", "domain", "description", *_PLACE),
        *_define("number", "numberofemployees", "annualrevenue"),
        # Its options are about 150 words such as COMPUTER_SOFTWARE; here whatever looks like one will do.
        Property(name="industry", type="enumeration", field_type="select", pattern="[A-Z][A-Z0-9_]*"),
        _STAGES,
    ],
    "notes": [*_OF_ENGAGEMENTS, *_define("string", "hs_note_body")],
    "calls": [
        *_OF_ENGAGEMENTS,
        *_define("string", "hs_call_title", "hs_call_body", "hs_call_to_number", "hs_call_from_number"),
        *_define("string", "hs_call_disposition"),
        *_define("number", "hs_call_duration"),
        _enumerate("hs_call_direction", "INBOUND", "OUTBOUND"),
        _enumerate(
            "hs_call_status",
            "BUSY",
            "CALLING_CRM_USER",
            "CANCELED",
            "COMPLETED",
            "CONNECTING",
            "FAILED",
            "IN_PROGRESS",
            "NO_ANSWER",
            "QUEUED",
            "RINGING",
        ),
    ],
    "meetings": [
        *_OF_ENGAGEMENTS,
        *_define("string", "hs_meeting_title", "hs_meeting_body", "hs_meeting_location"),
        *_define("datetime", "hs_meeting_start_time", "hs_meeting_end_time"),
        _enumerate("hs_meeting_outcome", "SCHEDULED", "COMPLETED", "RESCHEDULED", "NO_SHOW", "CANCELED"),
    ],
    "emails": [
        *_OF_ENGAGEMENTS,
        *_define("string", "hs_email_subject", "hs_email_text", "hs_email_html", "hs_email_headers"),
        _enumerate("hs_email_direction", "EMAIL", "INCOMING_EMAIL", "FORWARDED_EMAIL"),
        _enumerate("hs_email_status", "BOUNCED", "FAILED", "SCHEDULED", "SENDING", "SENT"),
    ],
    "tasks": [
        *_OF_ENGAGEMENTS,
        *_define("string", "hs_task_subject", "hs_task_body", "hs_task_reminders"),
        _enumerate("hs_task_status", "NOT_STARTED", "COMPLETED"),
        _enumerate("hs_task_priority", "LOW", "MEDIUM", "HIGH"),
        _enumerate("hs_task_type", "TO" + "DO", "CALL", "EMAIL"),
    ],
}
