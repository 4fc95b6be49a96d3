"""What an audience at Mailchimp holds, the rules of its members, and how answers show them."""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

import msgspec
import uuid_utils

from tools.fake_vendors import schemas
from tools.fake_vendors.hubspot_rules import EMAIL
from tools.fake_vendors.wire import Answer, Refused

TEXT_CHARACTERS_MAX = 255
_GLOSSARY = "https://mailchimp.com/developer/marketing/docs/errors/"


class Note(msgspec.Struct, kw_only=True):
    id: int
    note: str
    created_at: datetime
    updated_at: datetime


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """An event. ``is_syncing``: automations did not see it."""

    name: str
    properties: Mapping[str, str]
    occurred_at: datetime
    is_syncing: bool


class Member(msgspec.Struct, kw_only=True):
    """``tags`` are those that are set, with the time at which they were. ``refuses``: left by themselves."""

    email_address: str
    status: str
    contact_id: str
    last_changed: datetime
    created_at: datetime
    merge_fields: dict[str, Any] = {}
    language: str = ""
    vip: bool = False
    email_type: str = "html"
    tags: dict[str, datetime] = {}
    notes: dict[int, Note] = {}
    events: list[Happened] = []
    refuses: bool = False

    @property
    def id(self) -> str:
        return hash_email(self.email_address)


class MergeField(msgspec.Struct, frozen=True, kw_only=True):
    merge_id: int
    tag: str
    name: str
    type: str = "text"
    required: bool = False


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    url: str
    events: Mapping[str, bool]
    sources: Mapping[str, bool]
    signing_secret: str


class Audience(msgspec.Struct, kw_only=True):
    """A list. ``members`` by the hashes of their addresses; ``forgotten`` the hashes of those deleted for good."""

    id: str
    name: str
    double_optin: bool = False
    members: dict[str, Member] = {}
    forgotten: set[str] = set()
    merge_fields: dict[str, MergeField] = {}
    webhooks: dict[str, Webhook] = {}


def hash_email(email: str) -> str:
    return hashlib.md5(email.lower().encode(), usedforsecurity=False).hexdigest()


def refuse(status: int, title: str, detail: str, errors: Mapping[str, str] | None = None) -> NoReturn:
    raise Refused(make_problem(status, title, detail, errors))


def refuse_resource(detail: str, errors: Mapping[str, str] | None = None) -> NoReturn:
    refuse(400, "Invalid Resource", detail, errors)


def refuse_body(message: str) -> NoReturn:
    place = re.search(r"`\$\.?([^`]*)`", message)
    refuse_resource("The resource does not fit its schema.", {place[1] if place else "": message})


def refuse_missing() -> NoReturn:
    refuse(404, "Resource Not Found", "There is nothing here.")


def make_problem(status: int, title: str, detail: str, errors: Mapping[str, str] | None = None) -> Answer:
    body: dict[str, Any] = {
        "type": _GLOSSARY,
        "title": title,
        "status": status,
        "detail": detail,
        "instance": str(uuid_utils.uuid4()),
    }
    if errors:
        body["errors"] = [{"field": field, "message": message} for field, message in errors.items()]
    return Answer(status=status, body=body, headers={"content-type": "application/problem+json; charset=utf-8"})


def check_email(email: str, fake_domains: set[str]) -> None:
    if not EMAIL.fullmatch(email) or email.lower().rpartition("@")[2] in fake_domains:
        refuse_resource(f"{email} looks fake or invalid, please enter a real email address.")


def check_merge_fields(audience: Audience, values: Mapping[str, Any], held: Mapping[str, Any], skip: bool) -> None:
    """``held`` are those that the member has already; ``skip``: required ones may be missing."""
    wrong = {}
    for tag, value in values.items():
        definition = audience.merge_fields.get(tag)
        if definition is None:
            wrong[tag] = "There is no such merge field."
        elif (fault := _find_fault(definition.type, value)) is not None:
            wrong[tag] = fault
    if not skip:
        for tag, definition in audience.merge_fields.items():
            if definition.required and {**held, **values}.get(tag, "") == "":
                wrong[tag] = "A value is needed."
    if wrong:
        refuse_resource("Your merge fields were invalid.", wrong)


def _find_fault(kind: str, value: Any) -> str | None:
    if kind == "address":
        needed = {"addr1", "city", "state", "zip"}
        fits = value == "" or (isinstance(value, dict) and needed <= value.keys() <= needed | {"addr2", "country"})
        return None if fits else "An address needs addr1, city, state and zip."
    if kind == "number":
        fits = value == "" or isinstance(value, int | float) or re.fullmatch(r"-?\d+(\.\d+)?", str(value)) is not None
        return None if fits else "This is no number."
    if not isinstance(value, str):
        return "This is no text."
    if len(value) > TEXT_CHARACTERS_MAX:
        return f"This has {len(value)} characters; {TEXT_CHARACTERS_MAX} are the most."
    patterns = {
        "date": r"\d{4}-\d\d-\d\d(T.*)?|\d\d/\d\d/\d{4}",
        "birthday": r"\d\d/\d\d",
        "url": r"https?://\S+",
        "imageurl": r"https?://\S+",
        "zip": r"[0-9]{5}",
    }
    if value and kind in patterns and not re.fullmatch(patterns[kind], value):
        return f"This is no {kind}."
    return None


def to_iso(at: datetime) -> str:
    """To the second, as Mailchimp tells times."""
    return at.astimezone(UTC).isoformat(timespec="seconds")


def parse_time(text: str, field: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        refuse_resource("The resource does not fit its schema.", {field: f"{text!r} is no time in ISO 8601."})
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def show_member(audience: Audience, member: Member) -> dict[str, Any]:
    empty = dict.fromkeys(audience.merge_fields, "")
    return {
        "id": member.id,
        "email_address": member.email_address,
        "unique_email_id": member.contact_id[:10],
        "contact_id": member.contact_id,
        "email_type": member.email_type,
        "status": member.status,
        "merge_fields": empty | member.merge_fields,
        "vip": member.vip,
        "language": member.language,
        "timestamp_signup": to_iso(member.created_at),
        "last_changed": to_iso(member.last_changed),
        "tags_count": len(member.tags),
        "tags": show_tags(member, with_dates=False),
        "list_id": audience.id,
    }


def show_tags(member: Member, *, with_dates: bool) -> list[dict[str, Any]]:
    return [
        {"id": _number_tag(name), "name": name, **({"date_added": to_iso(at)} if with_dates else {})}
        for name, at in sorted(member.tags.items())
    ]


def _number_tag(name: str) -> int:
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)


def show_note(audience: Audience, member: Member, note: Note) -> dict[str, Any]:
    return {
        "id": note.id,
        "created_at": to_iso(note.created_at),
        "created_by": "API",
        "updated_at": to_iso(note.updated_at),
        "note": note.note,
        "list_id": audience.id,
        "email_id": member.id,
    }


def show_merge_field(audience: Audience, one: MergeField) -> dict[str, Any]:
    return {**msgspec.to_builtins(one), "list_id": audience.id}


def show_webhook(audience: Audience, one: Webhook) -> dict[str, Any]:
    shown = {"id": one.id, "url": one.url, "events": one.events, "sources": one.sources, "list_id": audience.id}
    return {key: dict(value) if isinstance(value, Mapping) else value for key, value in shown.items()}


def to_switches(switches: schemas.WebhookEvents | schemas.WebhookSources) -> dict[str, bool]:
    return {name: getattr(switches, name) for name in switches.__struct_fields__}
