"""Mailchimp's Marketing API 3.0, as far as one audience needs it: a method for each request, nothing else."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from kith.integrations.failures import Transient
from kith.integrations.http import Caller
from kith.integrations.mailchimp.payloads import hash_email

PAGE_MAX = 1000
T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)


class Root(msgspec.Struct, frozen=True, kw_only=True):
    login_id: str | int
    account_name: str | None = None


class Audience(msgspec.Struct, frozen=True, kw_only=True):
    double_optin: bool = False


class MergeField(msgspec.Struct, frozen=True, kw_only=True):
    tag: str
    type: str = "text"
    required: bool = False


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """``contact_id`` stays when the email changes, ``id`` is the hash of the email."""

    id: str
    contact_id: str | None = None
    status: str | None = None

    @property
    def external_id(self) -> str:
        return self.contact_id or self.id


class ChangedMember(Member, frozen=True, kw_only=True):
    email_address: str
    last_changed: datetime
    merge_fields: Mapping[str, Any] = {}
    unsubscribe_reason: str | None = None


class Note(msgspec.Struct, frozen=True, kw_only=True):
    id: int | str
    note: str = ""


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    url: str = ""


class MadeWebhook(msgspec.Struct, frozen=True, kw_only=True):
    signing_secret: str

    def __repr__(self) -> str:
        return "MadeWebhook()"


class _Page(msgspec.Struct, frozen=True, kw_only=True):
    total_items: int = 0


class MailchimpClient:
    """Members are named by their email. Raises Failure, Transient where an answer cannot be understood."""

    def __init__(self, caller: Caller, list_id: str) -> None:
        self._caller = caller
        self._list = f"/lists/{list_id}"

    async def get_root(self) -> Root:
        return _read(await self._caller.send("GET", "/", params={"fields": "login_id,account_name"}), Root)

    async def list_webhooks(self) -> list[Webhook]:
        answer = await self._caller.send("GET", f"{self._list}/webhooks")
        return _read(answer.get("webhooks", []), list[Webhook])

    async def make_webhook(self, url: str) -> str:
        """The secret by which its deliveries are signed, which is told this once. What we do ourselves is not told."""
        told = dict.fromkeys(("subscribe", "unsubscribe", "profile", "cleaned", "upemail"), True)
        body = {
            "url": url,
            "events": {**told, "campaign": False},
            "sources": {"user": True, "admin": True, "api": False},
        }
        made = _read(await self._caller.send("POST", f"{self._list}/webhooks", body, safe=False), MadeWebhook)
        return made.signing_secret

    async def delete_webhook(self, webhook_id: str) -> None:
        await self._caller.send("DELETE", f"{self._list}/webhooks/{webhook_id}")

    async def get_audience(self) -> Audience:
        return _read(await self._caller.send("GET", self._list, params={"fields": "id,double_optin"}), Audience)

    def list_merge_fields(self) -> AsyncIterator[MergeField]:
        return self._list_all(f"{self._list}/merge-fields", "merge_fields", MergeField, {})

    async def make_merge_field(self, tag: str, name: str) -> MergeField:
        """A field of the type text. Not safe: made twice, the second is refused."""
        body = {"tag": tag, "name": name, "type": "text"}
        return _read(await self._caller.send("POST", f"{self._list}/merge-fields", body, safe=False), MergeField)

    async def put_member(self, email: str, body: Mapping[str, Any]) -> Member:
        """Make or change the member who is known by this email, whatever email the body has."""
        return _read(await self._caller.send("PUT", self._name(email), body), Member)

    async def revive_member(self, email: str, status: str) -> Member:
        """Bring one back who is archived, which nothing else does."""
        return _read(await self._caller.send("PATCH", self._name(email), {"status": status}), Member)

    async def change_tags(self, email: str, tags: Sequence[Mapping[str, str]]) -> None:
        await self._caller.send("POST", f"{self._name(email)}/tags", {"tags": tags, "is_syncing": True})

    def list_notes(self, email: str) -> AsyncIterator[Note]:
        return self._list_all(f"{self._name(email)}/notes", "notes", Note, {})

    async def add_note(self, email: str, text: str) -> Note:
        return _read(await self._caller.send("POST", f"{self._name(email)}/notes", {"note": text}, safe=False), Note)

    async def add_event(self, email: str, event: Mapping[str, Any]) -> None:
        await self._caller.send("POST", f"{self._name(email)}/events", event, safe=False)

    async def archive(self, email: str) -> None:
        await self._caller.send("DELETE", self._name(email))

    async def erase(self, email: str) -> None:
        """For good: nobody can bring this address in again but the person."""
        await self._caller.send("POST", f"{self._name(email)}/actions/delete-permanent")

    def list_changed(self, since: datetime) -> AsyncIterator[ChangedMember]:
        """The latest first: who changes meanwhile comes to the front, so that some come twice and nobody is missed."""
        at = since.isoformat(timespec="seconds")
        params = {"since_last_changed": at, "sort_field": "last_changed", "sort_dir": "DESC"}
        return self._list_all(f"{self._list}/members", "members", ChangedMember, params)

    async def _list_all(self, path: str, name: str, kind: type[S], params: Mapping[str, str]) -> AsyncIterator[S]:
        fields = ",".join([*(f"{name}.{field}" for field in kind.__struct_fields__), "total_items"])
        offset = 0
        while True:
            paging = {"fields": fields, "count": str(PAGE_MAX), "offset": str(offset)}
            answer = await self._caller.send("GET", path, params={**params, **paging})
            page = _read(answer, _Page)
            items = _read(answer.get(name, []), list[Any])
            for item in items:
                yield _read(item, kind)
            offset += len(items)
            if not items or offset >= page.total_items:
                return

    def _name(self, email: str) -> str:
        return f"{self._list}/members/{hash_email(email)}"


def _read(answer: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise Transient(f"What Mailchimp answered cannot be understood ({error}).") from error
