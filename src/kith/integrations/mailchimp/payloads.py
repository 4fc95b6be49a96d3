"""Render records for Mailchimp. Pure."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kith.integrations.mailchimp.settings import LANGUAGE
from kith.integrations.mapping import Fields, map_record, to_text
from kith.model.activities import Activity
from kith.model.contacts import Contact

NOTE_CHARACTERS_MAX = 1000
MERGE_CHARACTERS_MAX = 255
# A person reads the name of what happened in a member's history.
EVENT_NAMES: Mapping[str, str] = {
    "NOTE": "note_added",
    "CALL": "call_logged",
    "MEETING": "meeting_held",
    "EMAIL": "email_logged",
    "TASK": "task_added",
    "PAGE_VIEW": "page_viewed",
    "CUSTOM_EVENT": "custom_event",
}
# What only programs have seen fills no notes.
NOTED = ("NOTE", "CALL", "MEETING", "EMAIL", "TASK")
EVENT_PROPERTIES_MAX = 20
# Items of a list in a merge field, which people read.
BETWEEN = ", "
EVENT_TEXT_CHARACTERS_MAX = 100


def hash_email(email: str) -> str:
    """The name of a member in paths."""
    return hashlib.md5(email.lower().encode(), usedforsecurity=False).hexdigest()


def make_member(contact: Contact, email: str, fields: Fields, *, with_tags: bool) -> dict[str, Any]:
    """All that is sent of a contact. An empty text clears a merge field; a language cannot be cleared."""
    values = make_merge_fields(contact, fields)
    language = values.pop(LANGUAGE, "")
    payload: dict[str, Any] = {"email": email, "merge_fields": values}
    if language:
        payload["language"] = language
    if with_tags:
        payload["tags"] = sorted({tag.name for tag in contact.tags})
    return payload


def make_merge_fields(contact: Contact, fields: Fields) -> dict[str, str]:
    """With the language, which is none, where that is mapped. Texts are cut to what a merge field takes."""
    return {
        theirs: _cut(to_text(value, BETWEEN), MERGE_CHARACTERS_MAX)
        for theirs, value in map_record(contact, fields).items()
    }


def make_member_body(payload: Mapping[str, Any], status_if_new: str) -> dict[str, Any]:
    """Never with a status: it would undo that a person has unsubscribed."""
    body = {"email_address": payload["email"], "status_if_new": status_if_new, "merge_fields": payload["merge_fields"]}
    return {**body, "language": payload["language"]} if "language" in payload else body


def make_tag_changes(before: Iterable[str], after: Iterable[str]) -> list[dict[str, str]]:
    """From the tags that we have set to those that should be; tags that others have set are not ours to take off."""
    old, new = set(before), set(after)
    added = [{"name": name, "status": "active"} for name in sorted(new - old)]
    return added + [{"name": name, "status": "inactive"} for name in sorted(old - new)]


def make_reference(activity: Activity) -> str:
    """By which a note is known again whose id did not arrive."""
    return f"[kith:{activity.external_id}]"


def make_note(activity: Activity) -> str:
    """What a person reads: its kind, time and reference in the first line, so that no cut takes them away."""
    at = activity.occurred_at.strftime("%Y-%m-%d %H:%M UTC")
    lines = [f"{activity.type.capitalize()}, {at} {make_reference(activity)}"]
    if activity.content:
        lines.append(activity.content)
    lines += [f"{name}: {text}" for name, text in _list_scalars(activity.properties)]
    return _cut("\n".join(lines), NOTE_CHARACTERS_MAX)


def _cut(text: str, characters_max: int) -> str:
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"


def make_event(activity: Activity) -> dict[str, Any]:
    """Synced, not fresh: it starts no automation."""
    known = {"activity_id": activity.external_id, "type": activity.type}
    return {
        "name": EVENT_NAMES[activity.type],
        "properties": {**dict(_list_scalars(activity.properties)), **known},
        "occurred_at": activity.occurred_at.isoformat(timespec="seconds"),
        "is_syncing": True,
    }


def _list_scalars(properties: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Short values only, the first by name."""
    texts = [(name, to_text(value)) for name, value in sorted(properties.items()) if not isinstance(value, list | dict)]
    return [(name, text) for name, text in texts if 0 < len(text) <= EVENT_TEXT_CHARACTERS_MAX][:EVENT_PROPERTIES_MAX]
