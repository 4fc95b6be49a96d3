"""Contacts and activities as members of an audience, with their notes and events."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, NamedTuple

import httpx2

from kith.clock import Clock
from kith.integrations.failures import Conflict, Failure, Limited, Missing, Permanent, Transient, Unauthorized
from kith.integrations.http import Caller, NotTaken
from kith.integrations.inbound_port import Inbound
from kith.integrations.limiter import Limiter
from kith.integrations.mailchimp.changes import list_changes
from kith.integrations.mailchimp.client import MailchimpClient, MergeField
from kith.integrations.mailchimp.failures import classify
from kith.integrations.mailchimp.lanes import Told, run_lanes
from kith.integrations.mailchimp.payloads import (
    NOTED,
    make_event,
    make_member,
    make_member_body,
    make_note,
    make_reference,
    make_tag_changes,
)
from kith.integrations.mailchimp.settings import LANGUAGE, MailchimpCredentials, MailchimpSettings, StatusIfNew
from kith.integrations.mapping import Kinds, find_kind
from kith.integrations.port import (
    Account,
    Begun,
    Entity,
    Failed,
    Item,
    Job,
    Link,
    Linked,
    Outcome,
    Outcomes,
    Skipped,
    Unlinked,
)
from kith.model.activities import Activity
from kith.model.contacts import Contact

# As many as the limit has places, unless it is set.
BESIDE_MAX = 8
ITEMS_MAX = 64
ARCHIVED = "archived"
NO_KINDS: Kinds = {}
# The types of ours that a merge field of a type of theirs takes; one that is left out takes any text.
TAKEN: Mapping[str, Sequence[str]] = {
    "number": ("NUMBER", "CURRENCY"),
    "date": ("DATE",),
    "birthday": (),
    "address": (),
    "url": ("URL",),
    "imageurl": ("URL",),
}
Tags = Mapping[str, Sequence[str]]  # email -> the tags that we have set there


class Hook(NamedTuple):
    """Where changes are to be told, and what keeps the secret by which that is signed."""

    url: str
    store: Callable[[str], Awaitable[None]]


class Mailchimp:
    """One audience of an account, as a ``Provider``."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        limiter: Limiter,
        clock: Clock,
        credentials: MailchimpCredentials,
        settings: MailchimpSettings,
        url: str,
        hook: Hook | None = None,
        kinds: Kinds = NO_KINDS,
    ) -> None:
        """``hook``: where it is to tell what changes there, if nobody has set that up. ``kinds``: our fields' types."""
        self._kinds = kinds
        self._hook = hook if credentials.webhook_secret is None else None

        async def get_headers() -> Mapping[str, str]:
            return {"Authorization": f"Bearer {credentials.api_key}"}

        caller = Caller(client, limiter, clock, url, get_headers, lambda reply: classify(reply, clock.now()))
        self._client = MailchimpClient(caller, settings.list_id)
        self._settings = settings
        self._fields = settings.contact_fields
        self._status_if_new: StatusIfNew | None = None

    @property
    def entities(self) -> Sequence[Entity]:
        return self._settings.entities

    def get_items_max(self, _entity: Entity) -> int:
        return ITEMS_MAX

    async def connect(self) -> Account:
        root = await self._client.get_root()
        return Account(id=str(root.login_id), name=root.account_name)

    async def prepare(self) -> None:
        """Make the merge fields that are mapped and missing.

        Raises Permanent where the audience is missing, or a merge field would refuse every record.
        """
        await self._read_audience()
        there = {field.tag.upper(): field async for field in self._client.list_merge_fields()}
        for field in there.values():
            self._check_merge_field(field)
        for ours, theirs in self._fields.items():
            if theirs not in there and theirs != LANGUAGE:
                await self._make_merge_field(theirs, ours.removeprefix("properties."))
        if self._hook is not None:
            await self._make_webhook(self._hook)

    def _check_merge_field(self, field: MergeField) -> None:
        tag = field.tag.upper()
        ours = next((name for name, theirs in self._fields.items() if theirs == tag), None)
        if ours is None:
            if field.required:
                raise Permanent(
                    f"The audience requires the merge field {tag}, and no field is sent to it: Mailchimp would refuse "
                    "every contact. Map a field to it in fields.contact, or make it optional in Mailchimp."
                )
            return
        taken, ours_is = TAKEN.get(field.type), find_kind(self._kinds, "contact", ours).type
        if taken is not None and ours_is not in taken:
            takes = f"it takes {' or '.join(taken)}" if taken else "Kith sends none of that type"
            raise Permanent(
                f"The merge field {tag} is of the type {field.type}, and fields.contact.{ours}, which is sent to it, "
                f"is {ours_is}: {takes}. Map the field to another merge field, or to null."
            )

    def render(self, item: Item) -> Mapping[str, Any] | Skipped:
        if isinstance(item.record, Contact):
            return self._render_contact(item.record)
        if isinstance(item.record, Activity):
            return self._render_activity(item.record, item.contact)
        return Skipped(reason="Mailchimp takes contacts and activities only.")

    def push(self, entity: Entity, jobs: Sequence[Job]) -> AsyncIterator[Outcomes]:
        return self._push_contacts(jobs) if entity == "contact" else self._push_activities(jobs)

    def remove(self, entity: Entity, items: Sequence[Item]) -> AsyncIterator[Outcomes]:
        handle = self._remove_contact if entity == "contact" else self._leave_activity
        return run_lanes([[item] for item in items], lambda item: _tell(item, handle(item)), BESIDE_MAX)

    def _render_contact(self, contact: Contact) -> Mapping[str, Any] | Skipped:
        if not contact.email:
            return Skipped(reason="The contact has no email, by which Mailchimp knows its members.")
        return make_member(contact, contact.email, self._fields, with_tags=self._settings.tags)

    def _render_activity(self, activity: Activity, contact: Link | None) -> Mapping[str, Any] | Skipped:
        if contact is None:
            return Skipped(reason="Its contact is not a member of the audience.")
        payload: dict[str, Any] = {}
        if self._settings.notes and activity.type in NOTED:
            payload["note"] = make_note(activity)
        if self._settings.events:
            payload["event"] = make_event(activity)
        return payload or Skipped(reason="The integration's settings have it neither as a note nor as an event.")

    async def changed_since(self, at: datetime) -> AsyncIterator[Inbound]:
        """What happened to members there since then, the latest first; some of it may be told of twice."""
        fields = set(self._fields.values())
        async for member in self._client.list_changed(at):
            for change in list_changes(member, fields):
                yield change

    async def _make_webhook(self, hook: Hook) -> None:
        """In place of one for the same address, whose secret nobody knows."""
        for one in await self._client.list_webhooks():
            if one.url == hook.url:
                await self._client.delete_webhook(one.id)
        await hook.store(await self._client.make_webhook(hook.url))
        self._hook = None

    async def _read_audience(self) -> None:
        """Where people confirm that they want mail, nobody is subscribed without."""
        try:
            audience = await self._client.get_audience()
        except Missing as failure:
            message = f"The audience {self._settings.list_id} is not there. Its id is in the audience's settings."
            raise Permanent(message, status=failure.status, reference=failure.reference) from failure
        chosen = self._settings.status_if_new
        self._status_if_new = "pending" if chosen == "subscribed" and audience.double_optin else chosen

    async def _make_merge_field(self, tag: str, name: str) -> None:
        try:
            made = await self._client.make_merge_field(tag, name)
        except Permanent as failure:
            message = f"The audience has no merge field {tag}, and it cannot be made: {failure.message}"
            raise Permanent(message, status=failure.status, reference=failure.reference) from failure
        if made.tag != tag:
            raise Permanent(f"The audience has no merge field {tag}: Mailchimp has made {made.tag} instead.")

    async def _push_contacts(self, jobs: Sequence[Job]) -> AsyncGenerator[Outcomes, None]:
        if self._settings.status_if_new == "subscribed" and self._status_if_new is None:
            await self._read_audience()
        arriving = {job.payload["email"] for job in jobs}
        links = [job.item.link for job in jobs if job.item.link is not None]
        tags = {link.details["email"]: link.details.get("tags", ()) for link in links}

        def handle(job: Job) -> AsyncGenerator[Told, None]:
            return _tell(job.item, self._push_contact(job, arriving, tags))

        async with aclosing(run_lanes([[job] for job in jobs], handle, BESIDE_MAX)) as told:
            async for outcomes in told:
                yield outcomes

    async def _push_contact(self, job: Job, arriving: Collection[str], tags: Tags) -> AsyncGenerator[Outcome, None]:
        """A member whose email changed moves along with it, unless another contact comes to have the email it had."""
        payload, link = job.payload, job.item.link
        email: str = payload["email"]
        old: str = link.details["email"] if link else email
        place = email if old in arriving else old
        body = make_member_body(payload, self._status_if_new or self._settings.status_if_new)
        try:
            member = await self._client.put_member(place, body)
        except (Conflict, Missing):
            if place == email:
                raise
            # Somebody with the new email was a member before.
            await _allow_gone(self._client.archive(place))
            place = email
            member = await self._client.put_member(email, body)
        if link is None and member.status == ARCHIVED:
            member = await self._client.revive_member(email, self._find_revived())
        before = tags.get(place, ())
        after = payload.get("tags", before)
        if changes := make_tag_changes(before, after):
            try:
                await self._client.change_tags(email, changes)
            except Failure:
                yield Begun(external_id=member.external_id, details={"email": email, "tags": list(before)})
                raise
        yield Linked(external_id=member.external_id, details={"email": email, "tags": list(after)})

    def _find_revived(self) -> str:
        """Who was archived may have unsubscribed before that: nobody is subscribed again without having been asked."""
        status = self._status_if_new or self._settings.status_if_new
        return "pending" if status == "subscribed" else status

    def _push_activities(self, jobs: Sequence[Job]) -> AsyncGenerator[Outcomes, None]:
        lanes = _group(jobs, lambda job: job.item.contact.external_id if job.item.contact else "")
        return run_lanes(lanes, lambda job: _tell(job.item, self._push_activity(job)), BESIDE_MAX)

    async def _push_activity(self, job: Job) -> AsyncGenerator[Outcome, None]:
        """The note, then the event. That this is about to be sent is stored first: nothing tells whether it arrived."""
        item, activity = job.item, job.item.record
        assert isinstance(activity, Activity) and item.contact is not None
        email: str = item.contact.details["email"]
        external_id = item.link.external_id if item.link else activity.external_id
        details = dict(item.link.details) if item.link else {}
        if "note" in job.payload and external_id == activity.external_id:
            external_id = await self._add_note(email, job.payload["note"], make_reference(activity), begun=item.begun)
        if details.get("event") == "sending":
            details = {"event": "unclear"}
        elif "event" in job.payload and "event" not in details:
            yield Begun(external_id=external_id, details={"event": "sending"})
            try:
                await self._client.add_event(email, job.payload["event"])
            except Failure as failure:
                if not _may_have_arrived(failure):
                    yield Begun(external_id=external_id, details={})
                raise
            details = {"event": "sent"}
        yield Linked(external_id=external_id, details=details)

    async def _add_note(self, email: str, text: str, reference: str, *, begun: bool) -> str:
        """Its id. One that may be there is looked for before it is sent again."""
        found = await self._find_note(email, reference) if begun else None
        if found is not None:
            return found
        try:
            return str((await self._client.add_note(email, text)).id)
        except Transient as failure:
            found = await self._find_note(email, reference) if _may_have_arrived(failure) else None
            if found is None:
                raise
            return found

    async def _find_note(self, email: str, reference: str) -> str | None:
        async for note in self._client.list_notes(email):
            # What a person wrote comes after the first line.
            if reference in note.note.partition("\n")[0]:
                return str(note.id)
        return None

    async def _remove_contact(self, item: Item) -> AsyncGenerator[Outcome, None]:
        assert item.link is not None
        email: str = item.link.details["email"]
        merged = isinstance(item.record, Contact) and item.record.status == "MERGED"
        if merged:
            if not _is_same_member(item.link, item.winner):
                await _allow_gone(self._client.archive(email))
        elif item.left or self._settings.on_delete == "ARCHIVE":
            await _allow_gone(self._client.archive(email))
        elif self._settings.on_delete == "ERASE":
            await _allow_gone(self._client.erase(email))
        yield Unlinked()

    async def _leave_activity(self, item: Item) -> AsyncGenerator[Outcome, None]:
        """Notes and events go with their member."""
        yield Unlinked()


async def _tell(item: Item, outcomes: AsyncGenerator[Outcome, None]) -> AsyncGenerator[Told, None]:
    """A failure that is about the item alone is its outcome."""
    try:
        async for outcome in outcomes:
            yield item, outcome
    except (Unauthorized, Limited):
        raise
    except Failure as failure:
        yield item, Failed(failure=failure)


async def _allow_gone(request: Any) -> None:
    """Who is archived already is not found, or cannot be archived once more."""
    try:
        await request
    except Permanent as failure:
        if failure.status not in {404, 405}:
            raise


def _may_have_arrived(failure: Failure) -> bool:
    return isinstance(failure, Transient) and not isinstance(failure, NotTaken)


def _is_same_member(loser: Link, winner: Link | None) -> bool:
    """The winner may have the loser's email now, and with that the member."""
    if winner is None:
        return False
    return winner.external_id == loser.external_id or winner.details.get("email") == loser.details["email"]


def _group(jobs: Iterable[Job], key: Callable[[Job], str]) -> list[list[Job]]:
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(key(job), []).append(job)
    return list(groups.values())
