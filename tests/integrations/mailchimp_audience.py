"""An audience at Mailchimp that stands in for it: it holds every request against a schema, and answers as told."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import httpx2
import msgspec

from kith.clock import FixedClock
from kith.integrations.http import open_client
from kith.integrations.mailchimp.payloads import hash_email
from kith.integrations.mailchimp.push import Mailchimp
from kith.integrations.mailchimp.settings import MailchimpCredentials, MailchimpSettings
from kith.integrations.mapping import make_hash
from kith.integrations.port import Item, Job, Outcome, Skipped

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
URL = "https://mailchimp.example/3.0"
LIST = "a1b2c3"
MEMBER = re.compile(rf"/3\.0/lists/{LIST}/members/[0-9a-f]{{32}}")
OffsetTime = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d$")]
EventName = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{1,29}$")]


class Strict(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    pass


class MemberBody(Strict):
    """There is no status in it, whatever happens."""

    email_address: str
    status_if_new: Literal["subscribed", "unsubscribed", "pending", "transactional"]
    merge_fields: dict[str, str]
    language: str = "en"


class TagBody(Strict):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    status: Literal["active", "inactive"]


class TagsBody(Strict):
    tags: Annotated[list[TagBody], msgspec.Meta(min_length=1)]
    is_syncing: bool


class NoteBody(Strict):
    note: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class EventBody(Strict):
    name: EventName
    properties: dict[str, str]
    occurred_at: OffsetTime
    is_syncing: bool


class MergeFieldBody(Strict):
    tag: Annotated[str, msgspec.Meta(pattern="^[A-Z][A-Z0-9_]{0,9}$")]
    name: Annotated[str, msgspec.Meta(min_length=1)]
    type: Literal["text"]


# Every request that may be sent; None where it has no body.
SCHEMAS: Mapping[tuple[str, str], type[Strict] | None] = {
    ("GET", r"/3\.0/"): None,
    ("GET", rf"/3\.0/lists/{LIST}"): None,
    ("GET", rf"/3\.0/lists/{LIST}/merge-fields"): None,
    ("POST", rf"/3\.0/lists/{LIST}/merge-fields"): MergeFieldBody,
    ("GET", rf"/3\.0/lists/{LIST}/members"): None,
    ("PUT", MEMBER.pattern): MemberBody,
    ("DELETE", MEMBER.pattern): None,
    ("POST", MEMBER.pattern + "/tags"): TagsBody,
    ("GET", MEMBER.pattern + "/notes"): None,
    ("POST", MEMBER.pattern + "/notes"): NoteBody,
    ("POST", MEMBER.pattern + "/events"): EventBody,
    ("POST", MEMBER.pattern + "/actions/delete-permanent"): None,
}


def problem(status: int, title: str = "", detail: str = "", **more: Any) -> httpx2.Response:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, "instance": "i-1", **more}
    return httpx2.Response(status, json=body, headers={"content-type": "application/problem+json"})


class Audience:
    """``asked`` is what came, in order; ``script`` has answers that come before the usual ones."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.queries: list[Mapping[str, str]] = []
        self.merge_fields = ["FNAME", "LNAME", "PHONE"]
        self.double_optin = False
        self.notes: list[dict[str, Any]] = []
        self.members: list[dict[str, Any]] = []
        self.page_max = 1000
        self.under_way = self.under_way_max = 0
        self._script: list[tuple[str, str, httpx2.Response | Exception]] = []

    def tell(self, method: str, end: str, *answers: httpx2.Response | Exception) -> None:
        """The next requests whose path ends so are answered so."""
        self._script += [(method, end, answer) for answer in answers]

    def list_asked(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path, _ in self.asked]

    async def handle(self, request: httpx2.Request) -> httpx2.Response:
        assert request.headers["authorization"] == "Bearer secret-us6"
        method, path = request.method, request.url.path
        schema = next(kind for (verb, form), kind in SCHEMAS.items() if verb == method and re.fullmatch(form, path))
        body = msgspec.json.decode(request.content) if request.content else None
        assert (body is None) is (schema is None)
        if schema is not None:
            msgspec.convert(body, schema)
        self.asked.append((method, path.removeprefix(f"/3.0/lists/{LIST}"), body))
        self.queries.append(dict(request.url.params))
        self.under_way += 1
        self.under_way_max = max(self.under_way, self.under_way_max)
        for _ in range(20):
            await asyncio.sleep(0)
        self.under_way -= 1
        for entry in self._script:
            if entry[0] == method and path.endswith(entry[1]):
                self._script.remove(entry)
                if isinstance(entry[2], Exception):
                    raise entry[2]
                return entry[2]
        return self._answer(method, path, body)

    def _answer(self, method: str, path: str, body: Any) -> httpx2.Response:
        if path == "/3.0/":
            return httpx2.Response(200, json={"login_id": "77", "account_name": "Acme", "role": "owner"})
        if method == "PUT":
            id_ = hash_email(body["email_address"])
            return httpx2.Response(200, json={"id": id_, "contact_id": f"c-{id_[:6]}", "status": "transactional"})
        if method == "POST" and path.endswith("/merge-fields"):
            return httpx2.Response(200, json={"merge_id": 9, **body})
        if method == "POST" and path.endswith("/notes"):
            self.notes.append({"id": 100 + len(self.notes), **body})
            return httpx2.Response(200, json=self.notes[-1])
        if method == "GET" and path.endswith("/merge-fields"):
            return self._page("merge_fields", [{"tag": tag} for tag in self.merge_fields])
        if method == "GET" and path.endswith("/notes"):
            return self._page("notes", self.notes)
        if method == "GET" and path.endswith("/members"):
            return self._page("members", self.members)
        if method == "GET":
            return httpx2.Response(200, json={"id": LIST, "double_optin": self.double_optin})
        return httpx2.Response(204)

    def _page(self, name: str, items: list[dict[str, Any]]) -> httpx2.Response:
        query = self.queries[-1]
        start, count = int(query["offset"]), min(int(query["count"]), self.page_max)
        return httpx2.Response(200, json={name: items[start : start + count], "total_items": len(items)})


class Turns:
    """A limiter that never makes anybody wait."""

    def __init__(self) -> None:
        self.postponed: list[float] = []
        self.kept = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["Turns"]:
        yield self

    def keep_place(self) -> None:
        self.kept += 1

    rest_s = 0.0

    def rest(self, seconds: float) -> None:
        pass

    async def postpone(self, seconds: float) -> None:
        self.postponed.append(seconds)


Open = Callable[..., Mailchimp]


@asynccontextmanager
async def opening(audience: Audience) -> AsyncIterator[Open]:
    """Makes a ``Mailchimp`` with the settings that are given."""
    async with open_client(5, transport=httpx2.MockTransport(audience.handle)) as client:

        def open_mailchimp(turns: Turns | None = None, **settings: Any) -> Mailchimp:
            return Mailchimp(
                client,
                turns or Turns(),  # type: ignore[arg-type]
                FixedClock(NOON),
                MailchimpCredentials(api_key="secret-us6"),
                msgspec.convert({"listId": LIST, **settings}, MailchimpSettings),
                URL,
            )

        yield open_mailchimp


def make_job(mailchimp: Mailchimp, item: Item) -> Job:
    payload = mailchimp.render(item)
    assert not isinstance(payload, Skipped)
    return Job(item=item, payload=payload, hash=make_hash(payload))


async def push(mailchimp: Mailchimp, *items: Item) -> list[Outcome]:
    """All of one entity."""
    jobs = [make_job(mailchimp, item) for item in items]
    return [outcome async for told in mailchimp.push(items[0].entity, jobs) for _, outcome in told]
