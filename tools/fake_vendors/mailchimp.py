"""Mailchimp: who may come in, audiences and their members, and which call goes where."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import uuid_utils

from kith.clock import Clock
from tools.fake_vendors import schemas
from tools.fake_vendors.faults import Kind, make_bare
from tools.fake_vendors.mailchimp_members import (
    Audience,
    Happened,
    Member,
    MergeField,
    Note,
    Webhook,
    check_email,
    check_merge_fields,
    hash_email,
    make_problem,
    parse_time,
    refuse,
    refuse_body,
    refuse_missing,
    refuse_resource,
    show_member,
    show_merge_field,
    show_note,
    show_tags,
    show_webhook,
    to_iso,
    to_switches,
)
from tools.fake_vendors.wire import Answer, Asked, Refused, find_route, make_route, read_body

PREFIX = "/mailchimp/3.0"
USUAL_LIST = "a1b2c3d4e5"
USUAL_FIELDS = {"FNAME": "text", "LNAME": "text", "ADDRESS": "address", "PHONE": "phone", "BIRTHDAY": "birthday"}
COUNT, COUNT_MAX = 10, 1000
PAGING = ("count", "offset", "fields", "exclude_fields")
SORTING = ("sort_field", "sort_dir")


class Mailchimp:
    """One account. Everything that does not begin with an underscore may be looked at and changed by a test.

    ``statuses_sent`` has every ``status`` that came in the body of a PUT or PATCH, as (list, address, status).
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_id = 1
        self.token = "fake-mailchimp-key-us6"  # noqa: S105 - made up
        self.tokens = {self.token}
        self.simultaneous_max: int | None = 10
        self.lists: dict[str, Audience] = {}
        self.fake_domains = {"fake.invalid"}
        self.statuses_sent: list[tuple[str, str, str]] = []
        self.add_list("Friends", list_id=USUAL_LIST)
        one, members = "/lists/{list}", "/lists/{list}/members"
        member = f"{members}/{{hash}}"
        self._routes = [
            make_route("GET", "/", self._tell_account, "fields", "exclude_fields"),
            make_route("GET", "/ping", lambda _: Answer(status=200, body={"health_status": "Fine."})),
            make_route("GET", "/lists", self._list_lists, *PAGING),
            make_route("GET", one, self._read_list, "fields", "exclude_fields"),
            make_route("GET", f"{one}/merge-fields", self._list_fields, *PAGING, "type", "required"),
            make_route("POST", f"{one}/merge-fields", self._create_field),
            make_route("GET", f"{one}/webhooks", self._list_webhooks),
            make_route("POST", f"{one}/webhooks", self._create_webhook),
            make_route("DELETE", f"{one}/webhooks/{{id}}", self._delete_webhook),
            make_route("GET", members, self._list_members, *PAGING, *SORTING, "since_last_changed", "status"),
            make_route("PUT", member, self._put_member, "skip_merge_validation"),
            make_route("PATCH", member, self._patch_member, "skip_merge_validation"),
            make_route("GET", member, self._read_member, "fields", "exclude_fields"),
            make_route("DELETE", member, self._archive_member),
            make_route("POST", f"{member}/actions/delete-permanent", self._forget_member),
            make_route("GET", f"{member}/tags", self._list_tags, *PAGING),
            make_route("POST", f"{member}/tags", self._set_tags),
            make_route("GET", f"{member}/events", self._list_events, *PAGING),
            make_route("POST", f"{member}/events", self._add_event),
            make_route("GET", f"{member}/notes", self._list_notes, *PAGING, *SORTING),
            make_route("POST", f"{member}/notes", self._add_note),
            make_route("GET", f"{member}/notes/{{id}}", self._read_note, "fields", "exclude_fields"),
            make_route("PATCH", f"{member}/notes/{{id}}", self._change_note),
            make_route("DELETE", f"{member}/notes/{{id}}", self._delete_note),
        ]

    def add_list(self, name: str, *, list_id: str | None = None, double_optin: bool = False) -> Audience:
        audience = Audience(id=list_id or uuid_utils.uuid4().hex[:10], name=name, double_optin=double_optin)
        for number, (tag, kind) in enumerate(USUAL_FIELDS.items(), 1):
            audience.merge_fields[tag] = MergeField(merge_id=number, tag=tag, name=tag.capitalize(), type=kind)
        self.lists[audience.id] = audience
        return audience

    @property
    def members(self) -> dict[str, dict[str, Member]]:
        """List -> hash of the address -> member; archived ones are there too."""
        return {key: audience.members for key, audience in self.lists.items()}

    def find_member(self, email: str, list_id: str = USUAL_LIST) -> Member | None:
        return self.lists[list_id].members.get(hash_email(email))

    def unsubscribe(self, email: str, list_id: str = USUAL_LIST) -> None:
        """As the person does: they cannot be subscribed through the API any more."""
        member = self.lists[list_id].members[hash_email(email)]
        member.status, member.refuses, member.last_changed = "unsubscribed", True, self._clock.now()

    def answer(self, asked: Asked) -> Answer:
        try:
            self._check_token(asked)
            found = find_route(self._routes, asked)
            if found == 405:
                refuse(405, "Method Not Allowed", f"{asked.method} is not possible here.")
            if isinstance(found, int):
                refuse_missing()
            route, parts = found
            if unknown := sorted(asked.query.keys() - route.query):
                refuse_resource("A parameter is not known.", {unknown[0]: "There is no such parameter here."})
            return route.handler(asked, *parts)
        except Refused as refused:
            return refused.answer

    def fail(self, kind: Kind) -> Answer:
        """The answer of a fault that is no timeout."""
        bare = make_bare(kind)
        if bare is not None:
            return bare
        if kind == "unauthorized":
            return make_problem(401, "API Key Invalid", "The key is not taken.")
        limited = self.refuse_crowd()
        return msgspec.structs.replace(limited, headers={**limited.headers, "retry-after": "1"})

    def refuse_crowd(self) -> Answer:
        return make_problem(429, "Too Many Requests", "More requests are under way than are allowed.")

    def _check_token(self, asked: Asked) -> None:
        scheme, _, given = asked.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                given = base64.b64decode(given, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                given = ""
        if scheme.lower() not in ("basic", "bearer") or given not in self.tokens:
            missing = not scheme
            refuse(401, "API Key Missing" if missing else "API Key Invalid", "There is no key that is taken.")

    def _get_list(self, list_id: str) -> Audience:
        if list_id not in self.lists:
            refuse_missing()
        return self.lists[list_id]

    def _get_member(self, list_id: str, key: str) -> tuple[Audience, Member]:
        audience = self._get_list(list_id)
        if key not in audience.members:
            refuse_missing()
        return audience, audience.members[key]

    def _take_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _tell_account(self, asked: Asked) -> Answer:
        body = {"account_id": "0123456789abcdef01234567", "login_id": "4242", "account_name": "Fake account"}
        return Answer(status=200, body={**body, "email": "owner@example.com", "total_subscribers": self._count()})

    def _count(self) -> int:
        return sum(len(audience.members) for audience in self.lists.values())

    def _list_lists(self, asked: Asked) -> Answer:
        return _answer_page(asked, "lists", [_show_list(audience) for audience in self.lists.values()], {})

    def _read_list(self, asked: Asked, list_id: str) -> Answer:
        return Answer(status=200, body=_show_list(self._get_list(list_id)))

    def _list_fields(self, asked: Asked, list_id: str) -> Answer:
        audience = self._get_list(list_id)
        rows = [show_merge_field(audience, one) for one in audience.merge_fields.values()]
        return _answer_page(asked, "merge_fields", rows, {"list_id": list_id})

    def _create_field(self, asked: Asked, list_id: str) -> Answer:
        audience = self._get_list(list_id)
        body = read_body(asked, schemas.MergeField, refuse_body)
        number = max((one.merge_id for one in audience.merge_fields.values()), default=0) + 1
        tag = f"MMERGE{number}" if isinstance(body.tag, msgspec.UnsetType) else body.tag
        if tag in audience.merge_fields or tag == "EMAIL":
            refuse_resource("The merge field is there already.", {"tag": f"There is a merge field {tag} already."})
        if body.type in ("radio", "dropdown") and not body.options.get("choices"):
            refuse_resource("The merge field has no choices.", {"options.choices": "Choices are needed."})
        made = MergeField(merge_id=number, tag=tag, name=body.name, type=body.type, required=body.required)
        audience.merge_fields[tag] = made
        return Answer(status=200, body=show_merge_field(audience, made))

    def _list_webhooks(self, asked: Asked, list_id: str) -> Answer:
        audience = self._get_list(list_id)
        rows = [show_webhook(audience, one) for one in audience.webhooks.values()]
        return Answer(status=200, body={"webhooks": rows, "list_id": list_id, "total_items": len(rows)})

    def _create_webhook(self, asked: Asked, list_id: str) -> Answer:
        audience = self._get_list(list_id)
        body = read_body(asked, schemas.Webhook, refuse_body)
        if any(one.url == body.url for one in audience.webhooks.values()):
            refuse_resource("There is a webhook with this URL already.", {"url": "This is taken."})
        made = Webhook(
            id=uuid_utils.uuid4().hex[:10],
            url=body.url,
            events=to_switches(body.events),
            sources=to_switches(body.sources),
            signing_secret=f"secret-{uuid_utils.uuid4().hex}",
        )
        audience.webhooks[made.id] = made
        return Answer(status=200, body={**show_webhook(audience, made), "signing_secret": made.signing_secret})

    def _delete_webhook(self, asked: Asked, list_id: str, webhook_id: str) -> Answer:
        if self._get_list(list_id).webhooks.pop(webhook_id, None) is None:
            refuse_missing()
        return Answer(status=204)

    def _list_members(self, asked: Asked, list_id: str) -> Answer:
        audience = self._get_list(list_id)
        members = list(audience.members.values())
        if "since_last_changed" in asked.query:
            since = parse_time(asked.query["since_last_changed"], "since_last_changed")
            members = [one for one in members if one.last_changed.replace(microsecond=0) > since]
        if "status" in asked.query:
            members = [one for one in members if one.status == asked.query["status"]]
        if asked.query.get("sort_field") == "last_changed":
            members.sort(key=lambda one: one.last_changed, reverse=asked.query.get("sort_dir") == "DESC")
        rows = [show_member(audience, member) for member in members]
        return _answer_page(asked, "members", rows, {"list_id": list_id})

    def _put_member(self, asked: Asked, list_id: str, key: str) -> Answer:
        audience = self._get_list(list_id)
        body = read_body(asked, schemas.PutMember, refuse_body)
        if key in audience.members:
            return self._change_member(asked, audience, audience.members[key], body)
        new_key = hash_email(body.email_address)
        if key != new_key:
            refuse_resource("The hash is not that of the address.", {"email_address": f"Its hash is {new_key}."})
        self._check_new(audience, body.email_address)
        fields = {} if isinstance(body.merge_fields, msgspec.UnsetType) else body.merge_fields
        check_merge_fields(audience, fields, {}, _skips(asked))
        now = self._clock.now()
        status = body.status_if_new if isinstance(body.status, msgspec.UnsetType) else body.status
        member = Member(
            email_address=body.email_address,
            status=status,
            contact_id=uuid_utils.uuid4().hex,
            last_changed=now,
            created_at=now,
        )
        self._write(audience, member, body)
        audience.members[key] = member
        return Answer(status=200, body=show_member(audience, member))

    def _patch_member(self, asked: Asked, list_id: str, key: str) -> Answer:
        audience, member = self._get_member(list_id, key)
        return self._change_member(asked, audience, member, read_body(asked, schemas.ChangedMember, refuse_body))

    def _change_member(self, asked: Asked, audience: Audience, member: Member, body: schemas.ChangedMember) -> Answer:
        """Checks everything before it changes anything. Who is archived stays so unless a ``status`` changes that."""
        moves = not isinstance(body.email_address, msgspec.UnsetType) and hash_email(body.email_address) != member.id
        if moves:
            assert isinstance(body.email_address, str)
            self._check_new(audience, body.email_address)
            if hash_email(body.email_address) in audience.members:
                refuse(400, "Invalid Resource", f"{body.email_address} is already a list member.")
        fields = {} if isinstance(body.merge_fields, msgspec.UnsetType) else body.merge_fields
        check_merge_fields(audience, fields, member.merge_fields, _skips(asked))
        if body.status in ("subscribed", "pending") and (
            member.status == "cleaned" or (member.refuses and body.status == "subscribed")
        ):
            refuse(400, "Member In Compliance State", f"{member.email_address} cannot be subscribed.")
        del audience.members[member.id]
        if isinstance(body.email_address, str):
            member.email_address = body.email_address
        self._write(audience, member, body)
        audience.members[member.id] = member
        return Answer(status=200, body=show_member(audience, member))

    def _check_new(self, audience: Audience, email: str) -> None:
        check_email(email, self.fake_domains)
        if hash_email(email) in audience.forgotten:
            refuse(400, "Forgotten Email Not Subscribed", f"{email} was permanently deleted and cannot be re-imported.")

    def _write(self, audience: Audience, member: Member, body: schemas.ChangedMember) -> None:
        if not isinstance(body.status, msgspec.UnsetType):
            self.statuses_sent.append((audience.id, member.email_address, body.status))
            member.status = body.status
        if not isinstance(body.merge_fields, msgspec.UnsetType):
            member.merge_fields = {**member.merge_fields, **body.merge_fields}
        for name in ("language", "vip", "email_type"):
            value = getattr(body, name)
            if not isinstance(value, msgspec.UnsetType):
                setattr(member, name, value)
        member.last_changed = self._clock.now()

    def _read_member(self, asked: Asked, list_id: str, key: str) -> Answer:
        return Answer(status=200, body=show_member(*self._get_member(list_id, key)))

    def _archive_member(self, asked: Asked, list_id: str, key: str) -> Answer:
        _, member = self._get_member(list_id, key)
        if member.status == "archived":
            refuse_missing()
        member.status, member.last_changed = "archived", self._clock.now()
        return Answer(status=204)

    def _forget_member(self, asked: Asked, list_id: str, key: str) -> Answer:
        audience, member = self._get_member(list_id, key)
        audience.forgotten.add(member.id)
        del audience.members[member.id]
        return Answer(status=204)

    def _list_tags(self, asked: Asked, list_id: str, key: str) -> Answer:
        _, member = self._get_member(list_id, key)
        return _answer_page(asked, "tags", show_tags(member, with_dates=True), {})

    def _set_tags(self, asked: Asked, list_id: str, key: str) -> Answer:
        _, member = self._get_member(list_id, key)
        body = read_body(asked, schemas.Tags, refuse_body)
        for tag in body.tags:
            if tag.status == "active":
                member.tags.setdefault(tag.name, self._clock.now())
            else:
                member.tags.pop(tag.name, None)
        member.last_changed = self._clock.now()
        return Answer(status=204)

    def _list_events(self, asked: Asked, list_id: str, key: str) -> Answer:
        _, member = self._get_member(list_id, key)
        rows = [
            {"occurred_at": to_iso(one.occurred_at), "name": one.name, "properties": dict(one.properties)}
            for one in reversed(member.events)
        ]
        return _answer_page(asked, "events", rows, {})

    def _add_event(self, asked: Asked, list_id: str, key: str) -> Answer:
        _, member = self._get_member(list_id, key)
        body = read_body(asked, schemas.Event, refuse_body)
        at = self._clock.now()
        if isinstance(body.occurred_at, str):
            at = parse_time(body.occurred_at, "occurred_at")
        member.events.append(
            Happened(name=body.name, properties=body.properties, occurred_at=at, is_syncing=body.is_syncing)
        )
        return Answer(status=204)

    def _list_notes(self, asked: Asked, list_id: str, key: str) -> Answer:
        audience, member = self._get_member(list_id, key)
        notes = sorted(member.notes.values(), key=lambda note: note.id, reverse=asked.query.get("sort_dir") != "ASC")
        rows = [show_note(audience, member, note) for note in notes]
        return _answer_page(asked, "notes", rows, {"email_id": member.id, "list_id": list_id})

    def _add_note(self, asked: Asked, list_id: str, key: str) -> Answer:
        audience, member = self._get_member(list_id, key)
        body = read_body(asked, schemas.Note, refuse_body)
        now = self._clock.now()
        note = Note(id=self._take_id(), note=body.note, created_at=now, updated_at=now)
        member.notes[note.id] = note
        return Answer(status=200, body=show_note(audience, member, note))

    def _read_note(self, asked: Asked, list_id: str, key: str, note_id: str) -> Answer:
        return Answer(status=200, body=show_note(*self._get_note(list_id, key, note_id)))

    def _change_note(self, asked: Asked, list_id: str, key: str, note_id: str) -> Answer:
        audience, member, note = self._get_note(list_id, key, note_id)
        note.note, note.updated_at = read_body(asked, schemas.Note, refuse_body).note, self._clock.now()
        return Answer(status=200, body=show_note(audience, member, note))

    def _delete_note(self, asked: Asked, list_id: str, key: str, note_id: str) -> Answer:
        _, member, note = self._get_note(list_id, key, note_id)
        del member.notes[note.id]
        return Answer(status=204)

    def _get_note(self, list_id: str, key: str, note_id: str) -> tuple[Audience, Member, Note]:
        audience, member = self._get_member(list_id, key)
        note = member.notes.get(int(note_id) if note_id.isdecimal() else 0)
        if note is None:
            refuse_missing()
        return audience, member, note


def _show_list(audience: Audience) -> dict[str, Any]:
    subscribed = sum(1 for member in audience.members.values() if member.status == "subscribed")
    return {
        "id": audience.id,
        "name": audience.name,
        "double_optin": audience.double_optin,
        "stats": {"member_count": subscribed},
    }


def _answer_page(asked: Asked, name: str, rows: Sequence[Any], more: Mapping[str, Any]) -> Answer:
    count, offset = (_to_number(asked, key, usual) for key, usual in (("count", COUNT), ("offset", 0)))
    page = rows[offset : offset + min(count, COUNT_MAX)]
    return Answer(status=200, body={name: page, **more, "total_items": len(rows)})


def _to_number(asked: Asked, name: str, usual: int) -> int:
    text = asked.query.get(name, str(usual))
    if not text.isdecimal():
        refuse_resource("A parameter is no number.", {name: f"{text!r} is no number."})
    return int(text)


def _skips(asked: Asked) -> bool:
    return asked.query.get("skip_merge_validation") == "true"
