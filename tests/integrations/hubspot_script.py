"""A HubSpot that answers by a script, and holds everything that is sent against schemas of what it takes."""

import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs

import httpx2
import msgspec
from msgspec import Meta

from kith.clock import FixedClock
from kith.integrations.http import open_client
from kith.integrations.hubspot.push import HubSpot
from kith.integrations.hubspot.settings import HubSpotSettings
from kith.integrations.limiter import Turn
from kith.integrations.mapping import make_hash
from kith.integrations.port import Item, Job, Link, Outcome, Outcomes, Skipped
from kith.model.activities import Activity
from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.records import CompanyLink

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
URL = "https://hubspot.example"
VERSION = "2026-09"
OBJECTS = f"/crm/objects/{VERSION}"
ASSOCIATIONS = f"/crm/associations/{VERSION}"
PROPERTIES = f"/crm/properties/{VERSION}"
TOKEN = f"POST /oauth/{VERSION}/token"

Id = Annotated[str, Meta(pattern=r"^\d+$")]


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body, or a part of one, that has nothing but what the contract names."""


class UpsertInput(Strict):
    id: str
    idProperty: Literal["email", "kith_id"]
    properties: dict[str, str]
    objectWriteTraceId: str


class UpdateInput(Strict):
    id: Id
    properties: dict[str, str]
    objectWriteTraceId: str


class Named(Strict):
    id: Id


class AssociationType(Strict):
    associationCategory: Literal["HUBSPOT_DEFINED"]
    associationTypeId: int


class AssociationInput(Strict, rename={"start": "from"}):
    start: Named
    to: Named
    types: Annotated[list[AssociationType], Meta(min_length=1)]


class DissociationInput(Strict, rename={"start": "from"}):
    start: Named
    to: Annotated[list[Named], Meta(min_length=1)]


class Upserts(Strict):
    inputs: Annotated[list[UpsertInput], Meta(min_length=1, max_length=100)]


class Updates(Strict):
    inputs: Annotated[list[UpdateInput], Meta(min_length=1, max_length=100)]


class Archives(Strict):
    inputs: Annotated[list[Named], Meta(min_length=1, max_length=100)]


class AssociationInputs(Strict):
    inputs: Annotated[list[AssociationInput], Meta(min_length=1, max_length=100)]


class Dissociations(Strict):
    inputs: Annotated[list[DissociationInput], Meta(min_length=1, max_length=100)]


class Merge(Strict):
    primaryObjectId: Id
    objectIdToMerge: Id


class Erasure(Strict):
    objectId: Id


class PropertyGroup(Strict):
    name: str
    label: str


class KeyProperty(Strict):
    name: Literal["kith_id"]
    label: str
    description: str
    groupName: str
    type: Literal["string"]
    fieldType: Literal["text"]
    hasUniqueValue: Literal[True]


SCHEMAS: Mapping[str, Any] = {
    rf"POST {OBJECTS}/\w+/batch/upsert": Upserts,
    rf"POST {OBJECTS}/\w+/batch/update": Updates,
    rf"POST {OBJECTS}/\w+/batch/archive": Archives,
    rf"POST {OBJECTS}/contacts/merge": Merge,
    rf"POST {OBJECTS}/contacts/gdpr-delete": Erasure,
    rf"POST {ASSOCIATIONS}/\w+/\w+/batch/(create|labels/archive)": AssociationInputs,
    rf"POST {ASSOCIATIONS}/\w+/\w+/batch/archive": Dissociations,
    rf"POST {PROPERTIES}/\w+/groups": PropertyGroup,
    rf"POST {PROPERTIES}/\w+": KeyProperty,
}
Answer = tuple[int, Any] | Exception
Reply = Answer | Callable[[Any], Answer]


class Script:
    """What it answers, by method and path: one reply after the other, the last again and again."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []
        self.tokens: list[str] = []
        self.waits: list[float] = []
        self._replies: dict[str, deque[Reply]] = {}

    def on(self, call: str, *replies: Reply) -> "Script":
        self._replies[call] = deque(replies)
        return self

    def bodies(self, call: str) -> list[Any]:
        return [body for sent, body in self.sent if sent == call]

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.raw_path.decode()
        call = f"{request.method} {path}"
        body = self._check(call, request)
        self.sent.append((call, body))
        replies = self._replies.get(call)
        assert replies, f"nobody expects {call} {body}"
        reply = replies.popleft() if len(replies) > 1 else replies[0]
        answer = reply(body) if callable(reply) else reply
        if isinstance(answer, Exception):
            raise answer
        status, content = answer
        if isinstance(content, str):
            return httpx2.Response(status, text=content)
        return httpx2.Response(status, content=b"" if content is None else msgspec.json.encode(content))

    def _check(self, call: str, request: httpx2.Request) -> Any:
        if call == TOKEN:
            return parse_qs(request.content.decode())
        assert request.headers["authorization"].startswith("Bearer ")
        self.tokens.append(request.headers["authorization"].removeprefix("Bearer "))
        if request.method == "GET":
            assert not request.content
            return None
        schema = next(schema for pattern, schema in SCHEMAS.items() if re.fullmatch(pattern, call))
        checked = msgspec.json.decode(request.content, type=schema)
        if isinstance(checked, Upserts | Updates | Archives):
            ids = [one.id.lower() for one in checked.inputs]
            assert len(set(ids)) == len(ids), "an id is twice in a batch"
        if isinstance(checked, Upserts) and not call.endswith(("contacts/batch/upsert", "companies/batch/upsert")):
            assert all(one.properties["hs_timestamp"] for one in checked.inputs)
            assert all(len(value) <= 65_536 for one in checked.inputs for value in one.properties.values())
        return msgspec.json.decode(request.content)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """It is its own limiter, which lets everything through."""
        yield Turn(0, 0)

    rest_s = 0.0

    def rest(self, seconds: float) -> None:
        pass

    async def postpone(self, seconds: float) -> None:
        self.waits.append(seconds)


@asynccontextmanager
async def open_hubspot(
    script: Script, *, credentials: Mapping[str, Any] | None = None, **settings: Any
) -> AsyncIterator[HubSpot]:
    async with open_client(5, httpx2.MockTransport(script.answer)) as client:
        chosen = msgspec.convert(settings, HubSpotSettings)
        limiter: Any = script
        yield HubSpot(client, limiter, FixedClock(NOW), credentials or {"accessToken": "pat-1"}, chosen, url=URL)


def give(ids: Mapping[str, str]) -> Callable[[Any], Answer]:
    """Every input is taken: our external id -> the id there."""

    def answer(body: Any) -> Answer:
        results = [
            {
                "id": ids[one["objectWriteTraceId"]],
                "new": True,
                "properties": {**one["properties"], "hs_lastmodifieddate": None},
                "createdAt": "2026-11-22T10:00:00Z",
                "updatedAt": "2026-11-22T10:00:00Z",
                "archived": False,
            }
            for one in body["inputs"]
        ]
        return 200, {"status": "COMPLETE", "results": results[::-1], "startedAt": "", "completedAt": ""}

    return answer


def refuse(message: str, category: str = "VALIDATION_ERROR", **more: Any) -> dict[str, Any]:
    return {"status": "error", "message": message, "category": category, "correlationId": "c-1", **more}


def make_contact(number: int, **fields: Any) -> Contact:
    given: dict[str, Any] = {
        "external_id": f"ctc_{number}",
        "number": number,
        "email": None,
        "name": None,
        "given_name": None,
        "family_name": None,
        "phone": None,
        "phone_e164": None,
        "avatar": None,
        "status": "ACTIVE",
        "lifecycle_stage": "LEAD",
        "modules": ("CRM",),
        "properties": {},
        "activity_count": 0,
        "last_activity_at": None,
        "created_at": NOW,
        "updated_at": NOW,
        "version": 1,
    }
    return Contact(**given | fields)


def make_company(number: int, **fields: Any) -> Company:
    given: dict[str, Any] = {
        "external_id": f"cmp_{number}",
        "number": number,
        **dict.fromkeys(("name", "domain", "industry", "size", "plan", "spend", "website", "phone", "phone_e164")),
        "status": "ACTIVE",
        "properties": {},
        "contact_count": 0,
        "created_at": NOW,
        "updated_at": NOW,
        "version": 1,
    }
    return Company(**given | fields)


def make_company_link(number: int, *, primary: bool = False, live: bool = True) -> CompanyLink:
    return CompanyLink(
        external_id=f"cmp_{number}",
        number=number,
        name=None,
        domain=None,
        live=live,
        role=None,
        is_primary=primary,
        properties={},
    )


def make_activity(number: int, kind: Any, content: str | None = None, **properties: Any) -> Activity:
    return Activity(
        external_id=f"act_{number}",
        number=number,
        contact_id="ctc_1",
        contact_number=1,
        type=kind,
        module="CRM",
        content=content,
        properties=properties,
        occurred_at=NOW,
        created_at=NOW,
    )


def link(external_id: str, **details: Any) -> Link:
    return Link(external_id=external_id, hash="old", details=details)


def item(record: Any, entity: Any = "contact", **more: Any) -> Item:
    return Item(entity=entity, number=record.number, record=record, **more)


def make_jobs(hubspot: HubSpot, *items: Item) -> list[Job]:
    jobs = []
    for one in items:
        payload = hubspot.render(one)
        assert not isinstance(payload, Skipped)
        jobs.append(Job(item=one, payload=payload, hash=make_hash(payload)))
    return jobs


async def push(hubspot: HubSpot, *items: Item) -> list[list[tuple[int, Outcome]]]:
    """What became of them, by their numbers, as it was told."""
    return [_number(told) async for told in hubspot.push(items[0].entity, make_jobs(hubspot, *items))]


async def remove(hubspot: HubSpot, *items: Item) -> list[list[tuple[int, Outcome]]]:
    return [_number(told) async for told in hubspot.remove(items[0].entity, items)]


async def collect(stream: AsyncIterator[Outcomes], told: list[list[tuple[int, Outcome]]]) -> None:
    """Into ``told``, which has what was told before the stream broke, if it does."""
    async for outcomes in stream:
        numbered = _number(outcomes)
        told.append(numbered)


def _number(told: Outcomes) -> list[tuple[int, Outcome]]:
    assert told, "outcomes of nothing"
    return [(one.number, outcome) for one, outcome in told]
