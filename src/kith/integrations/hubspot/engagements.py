"""Activities as HubSpot's engagements: which kind, which properties. Pure.

What a program logs with an activity is known by the names below, in whatever case its values are; what is not there,
or is nothing that HubSpot knows, is left out or takes the default that stands here:

- all: ``hs_timestamp`` is when it occurred. A text goes into the body as HTML that shows it as it is.
- CALL: ``title`` or ``subject``, ``direction`` (inbound, outbound), ``duration``, ``status`` (COMPLETED), ``toNumber``,
  ``fromNumber``, and ``outcome``: one of those that every account has from the start, or else a line of the body.
- MEETING: ``title`` or ``subject``, ``startTime`` (when it occurred), ``endTime`` or ``duration``, ``location``, and
  ``outcome``: one of theirs, or else a line of the body.
- EMAIL: ``subject`` or ``title``, ``direction`` (outbound), ``status`` (SENT), ``html``; the content is its text.
- TASK: ``title`` or ``subject`` (the first line of the content, or "Task"), ``dueDate`` (when it occurred), ``status``
  (done or COMPLETED, else NOT_STARTED), ``priority``, ``taskType`` (CALL or EMAIL, else
  just something to be done).
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

from kith.clock import to_iso
from kith.integrations.hubspot.values import parse_duration_ms, parse_time, to_rich_text
from kith.integrations.mapping import to_text
from kith.model.activities import Activity

EngagementKind = Literal["notes", "calls", "meetings", "emails", "tasks"]
KINDS: Mapping[str, EngagementKind] = {
    "NOTE": "notes",
    "CALL": "calls",
    "MEETING": "meetings",
    "EMAIL": "emails",
    "TASK": "tasks",
}
TITLE_CHARACTERS_MAX = 255
# In two parts, as in one it would be taken for what is left unfinished here.
TO_BE_DONE = "TO" + "DO"
_CALL_STATUSES = {"BUSY", "CANCELED", "COMPLETED", "FAILED", "IN_PROGRESS", "NO_ANSWER", "QUEUED", "RINGING"}
# The outcomes of calls have ids; these are of the ones that come with an account.
_CALL_OUTCOMES = {
    "BUSY": "9d9162e7-6cf3-4944-bf63-4dff82258764",
    "CONNECTED": "f240bbac-87c9-4f6e-bf70-924b57d47db7",
    "LEFT_LIVE_MESSAGE": "a4c4c377-d246-4b32-a13b-75a56a4cd0ff",
    "LEFT_VOICEMAIL": "b2cf5968-551e-4856-9783-52b3da59a7d0",
    "NO_ANSWER": "73a0d17f-1163-4015-bdd5-ec830791da20",
    "WRONG_NUMBER": "17b47fee-58de-441e-a44c-c6300d46f273",
}
_MEETING_OUTCOMES = {"SCHEDULED", "COMPLETED", "RESCHEDULED", "NO_SHOW", "CANCELED"}
_EMAIL_DIRECTIONS = {
    "INBOUND": "INCOMING_EMAIL",
    "INCOMING": "INCOMING_EMAIL",
    "INCOMING_EMAIL": "INCOMING_EMAIL",
    "FORWARDED": "FORWARDED_EMAIL",
    "FORWARDED_EMAIL": "FORWARDED_EMAIL",
}
_EMAIL_STATUSES = {"BOUNCED", "FAILED", "SCHEDULED", "SENDING", "SENT"}
_DIRECTIONS = {"INBOUND": "INBOUND", "INCOMING": "INBOUND", "OUTBOUND": "OUTBOUND", "OUTGOING": "OUTBOUND"}
_DONE = {"COMPLETED", "COMPLETE", "DONE"}


def make_properties(activity: Activity) -> dict[str, str]:
    """What is there to say of it, by their names. Nothing is empty, as an engagement is made once and never cleared."""
    make = {"NOTE": _make_note, "CALL": _make_call, "MEETING": _make_meeting, "EMAIL": _make_email, "TASK": _make_task}
    made = {"hs_timestamp": to_iso(activity.occurred_at), **make[activity.type](activity)}
    return {name: value for name, value in made.items() if value}


def _make_note(activity: Activity) -> dict[str, str]:
    return {"hs_note_body": to_rich_text(activity.content or "")}


def _make_call(activity: Activity) -> dict[str, str]:
    said = activity.properties
    outcome = _CALL_OUTCOMES.get(_read_word(said, "outcome"), "")
    duration_ms = parse_duration_ms(said.get("duration"))
    return {
        "hs_call_title": _read_title(said),
        "hs_call_body": _make_body(activity, told=bool(outcome)),
        "hs_call_direction": _DIRECTIONS.get(_read_word(said, "direction"), ""),
        "hs_call_duration": "" if duration_ms is None else str(duration_ms),
        "hs_call_status": _choose(_read_word(said, "status"), _CALL_STATUSES, "COMPLETED"),
        "hs_call_disposition": outcome,
        "hs_call_to_number": to_text(said.get("toNumber")),
        "hs_call_from_number": to_text(said.get("fromNumber")),
    }


def _make_meeting(activity: Activity) -> dict[str, str]:
    said = activity.properties
    outcome = _choose(_read_word(said, "outcome"), _MEETING_OUTCOMES, "")
    start = parse_time(said.get("startTime")) or activity.occurred_at
    end = parse_time(said.get("endTime"))
    duration_ms = parse_duration_ms(said.get("duration"))
    if end is None and duration_ms is not None:
        end = start + timedelta(milliseconds=duration_ms)
    return {
        "hs_meeting_title": _read_title(said),
        "hs_meeting_body": _make_body(activity, told=bool(outcome)),
        "hs_meeting_start_time": to_iso(start),
        "hs_meeting_end_time": to_iso(end) if end else "",
        "hs_meeting_outcome": outcome,
        "hs_meeting_location": to_text(said.get("location")),
    }


def _make_email(activity: Activity) -> dict[str, str]:
    said = activity.properties
    return {
        "hs_email_subject": _read_title(said),
        "hs_email_direction": _EMAIL_DIRECTIONS.get(_read_word(said, "direction"), "EMAIL"),
        "hs_email_status": _choose(_read_word(said, "status"), _EMAIL_STATUSES, "SENT"),
        "hs_email_text": activity.content or "",
        "hs_email_html": to_text(said.get("html")),
    }


def _make_task(activity: Activity) -> dict[str, str]:
    said = activity.properties
    first_line = (activity.content or "").strip().partition("\n")[0].strip()
    return {
        "hs_timestamp": to_iso(parse_time(said.get("dueDate")) or activity.occurred_at),
        "hs_task_subject": _read_title(said) or first_line[:TITLE_CHARACTERS_MAX] or "Task",
        "hs_task_body": to_rich_text(activity.content or ""),
        "hs_task_status": "COMPLETED" if _read_word(said, "status") in _DONE else "NOT_STARTED",
        "hs_task_priority": _choose(_read_word(said, "priority"), {"LOW", "MEDIUM", "HIGH"}, ""),
        "hs_task_type": _choose(_read_word(said, "taskType"), {"CALL", "EMAIL"}, TO_BE_DONE),
    }


def _make_body(activity: Activity, *, told: bool) -> str:
    """The content; before it the outcome, where that is not ``told`` otherwise."""
    outcome = to_text(activity.properties.get("outcome"))
    lines = [f"Outcome: {outcome}"] if outcome and not told else []
    return to_rich_text("\n".join([*lines, activity.content or ""]).strip())


def _read_title(said: Mapping[str, Any]) -> str:
    return to_text(said.get("title") or said.get("subject"))[:TITLE_CHARACTERS_MAX]


def _read_word(said: Mapping[str, Any], name: str) -> str:
    """As their enums are written: "no answer" is NO_ANSWER."""
    return to_text(said.get(name)).strip().upper().replace(" ", "_").replace("-", "_")


def _choose(word: str, known: set[str], default: str) -> str:
    return word if word in known else default
