"""HubSpot's API, as much of it as is used: paths, bodies and answers. Every call raises Failure."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import msgspec

from kith.integrations.failures import Conflict, Transient, Unauthorized
from kith.integrations.http import Caller
from kith.integrations.hubspot.engagements import EngagementKind
from kith.integrations.hubspot.failures import classify_fault
from kith.integrations.hubspot.settings import KEY_PROPERTY
from kith.integrations.hubspot.tokens import Tokens

INPUTS_MAX = 100
SEARCH_MAX, SEARCHED_MAX = 200, 10_000
MODIFIED = "lastmodifieddate"
ObjectKind = Literal["contacts", "companies"] | EngagementKind
CONTACT_TO_COMPANY, CONTACT_TO_PRIMARY_COMPANY = 279, 1
TO_CONTACT: Mapping[ObjectKind, int] = {"notes": 202, "calls": 194, "meetings": 200, "emails": 198, "tasks": 204}
GROUP = "kith"
T = TypeVar("T")


class Input(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A record of a batch. ``id`` is its id there, or its value of ``id_property``."""

    id: str
    properties: Mapping[str, str]
    id_property: str | None = None
    object_write_trace_id: str


class Pair(msgspec.Struct, frozen=True):
    """Two records, with the types of association that they are to have, or to lose."""

    from_id: str
    to_id: str
    types: tuple[int, ...] = ()


class Written(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A record as an answer shows it."""

    id: str
    properties: Mapping[str, Any] = {}
    object_write_trace_id: str | None = None


class BatchAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``errors`` are the faults of those that were refused, where the others were taken."""

    results: tuple[Written, ...] = ()
    errors: tuple[Mapping[str, Any], ...] = ()


class AccountDetails(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    portal_id: int
    time_zone: str = "UTC"


class Option(msgspec.Struct, frozen=True):
    value: str


class Property(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``type``: string, number, bool, date, datetime or enumeration. Of an enumeration, a checkbox takes several."""

    name: str
    type: str = "string"
    field_type: str = ""
    options: tuple[Option, ...] = ()
    has_unique_value: bool = False


class _Properties(msgspec.Struct, frozen=True):
    results: tuple[Property, ...]


class _Faults(msgspec.Struct, frozen=True):
    errors: tuple[Mapping[str, Any], ...] = ()


class _Next(msgspec.Struct, frozen=True):
    after: str


class _Paging(msgspec.Struct, frozen=True):
    next: _Next


class _Found(msgspec.Struct, frozen=True):
    results: tuple[Written, ...]
    paging: _Paging | None = None


class HubSpotClient:
    """The calls of one account."""

    def __init__(self, caller: Caller, tokens: Tokens, version: str) -> None:
        self._caller = caller
        self._tokens = tokens
        self._version = version

    async def read_account(self) -> AccountDetails:
        return _read(await self._send("GET", f"/account-info/{self._version}/details"), AccountDetails)

    async def list_properties(self, kind: ObjectKind) -> dict[str, Property]:
        answer = _read(await self._send("GET", f"/crm/properties/{self._version}/{kind}"), _Properties)
        return {one.name: one for one in answer.results}

    async def create_key_property(self, kind: ObjectKind) -> None:
        """With a group of its own; where they are there already, nothing happens."""
        path = f"/crm/properties/{self._version}/{kind}"
        body = {
            "name": KEY_PROPERTY,
            "label": "Kith ID",
            "description": "The record's external id in Kith. It is how Kith finds it again.",
            "groupName": GROUP,
            "type": "string",
            "fieldType": "text",
            "hasUniqueValue": True,
        }
        for place, content in ((f"{path}/groups", {"name": GROUP, "label": "Kith"}), (path, body)):
            try:
                await self._send("POST", place, content)
            except Conflict:
                continue

    async def read_object(self, kind: ObjectKind, key: str, id_property: str | None = None) -> Written:
        """By its id, or its value of a unique property; with our external id. Raises Missing."""
        params = {"properties": KEY_PROPERTY, **({"idProperty": id_property} if id_property else {})}
        return _read(await self._send("GET", f"{self._at(kind)}/{quote(key, safe='')}", params=params), Written)

    async def search_changed(self, since_ms: int, properties: Sequence[str]) -> AsyncIterator[Written]:
        """Contacts that changed since then, those first whose change is oldest. More than 10,000 are not shown by one
        search: it goes on with another from the last one's time on."""
        while True:
            after, last_ms, count = "0", since_ms, 0
            while after:
                body = {
                    "filterGroups": [
                        {"filters": [{"propertyName": MODIFIED, "operator": "GTE", "value": str(since_ms)}]}
                    ],
                    "properties": [*properties, MODIFIED],
                    "limit": SEARCH_MAX,
                    "after": after,
                    "sorts": [MODIFIED],
                }
                page = _read(await self._send("POST", f"{self._at('contacts')}/search", body), _Found)
                for one in page.results:
                    yield one
                    last_ms = max(last_ms, to_milliseconds(one.properties.get(MODIFIED)))
                count += len(page.results)
                after = page.paging.next.after if page.paging and count < SEARCHED_MAX else ""
            if count < SEARCHED_MAX or last_ms <= since_ms:
                return
            since_ms = last_ms

    async def upsert(self, kind: ObjectKind, inputs: Sequence[Input]) -> BatchAnswer:
        return _read(await self._send("POST", f"{self._at(kind)}/batch/upsert", {"inputs": inputs}), BatchAnswer)

    async def update(self, kind: ObjectKind, inputs: Sequence[Input]) -> BatchAnswer:
        return _read(await self._send("POST", f"{self._at(kind)}/batch/update", {"inputs": inputs}), BatchAnswer)

    async def archive(self, kind: ObjectKind, ids: Sequence[str]) -> None:
        await self._send("POST", f"{self._at(kind)}/batch/archive", {"inputs": [{"id": one} for one in ids]})

    async def merge_contacts(self, winner_id: str, loser_id: str) -> Written:
        """The one that is left, whose id may be a new one. Sent twice, it fails."""
        body = {"primaryObjectId": winner_id, "objectIdToMerge": loser_id}
        return _read(await self._send("POST", f"{self._at('contacts')}/merge", body, safe=False), Written)

    async def erase_contact(self, contact_id: str) -> None:
        """By its id only: of an email that is not there, the address would be locked out for good."""
        await self._send("POST", f"{self._at('contacts')}/gdpr-delete", {"objectId": contact_id})

    async def associate(self, start: ObjectKind, end: ObjectKind, pairs: Sequence[Pair]) -> None:
        """Raises Failure if one of them was refused: who that was, the answer does not tell for sure."""
        answer = await self._send("POST", f"{self._between(start, end)}/create", {"inputs": _label(pairs)})
        if errors := _read(answer or {}, _Faults).errors:
            raise classify_fault(errors[0])

    async def dissociate(self, start: ObjectKind, end: ObjectKind, pairs: Sequence[Pair]) -> None:
        """Whatever their types are."""
        inputs = [{"from": {"id": pair.from_id}, "to": [{"id": pair.to_id}]} for pair in pairs]
        await self._send("POST", f"{self._between(start, end)}/archive", {"inputs": inputs})

    async def unlabel(self, start: ObjectKind, end: ObjectKind, pairs: Sequence[Pair]) -> None:
        """Take these types off; the others stay."""
        await self._send("POST", f"{self._between(start, end)}/labels/archive", {"inputs": _label(pairs)})

    def _at(self, kind: ObjectKind) -> str:
        return f"/crm/objects/{self._version}/{kind}"

    def _between(self, start: ObjectKind, end: ObjectKind) -> str:
        return f"/crm/associations/{self._version}/{start}/{end}/batch"

    async def _send(
        self, method: str, path: str, body: Any = None, *, params: Mapping[str, str] | None = None, safe: bool = True
    ) -> Any:
        token = self._tokens.held
        try:
            return await self._caller.send(method, path, body, params=params, safe=safe)
        except Unauthorized as failure:
            if failure.status != 401 or not self._tokens.refuse(token):
                raise
        return await self._caller.send(method, path, body, params=params, safe=safe)


def to_milliseconds(value: Any) -> int:
    """Of a time as HubSpot shows it, ISO 8601 or milliseconds; 0 where it is none."""
    text = str(value or "")
    if text.isdecimal():
        return int(text)
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return 0


def _label(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    return [
        {
            "from": {"id": pair.from_id},
            "to": {"id": pair.to_id},
            "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": one} for one in pair.types],
        }
        for pair in pairs
    ]


def _read(answer: Any, form: type[T]) -> T:
    """Raises Transient for what is no answer of HubSpot's, such as the page of a proxy."""
    try:
        return msgspec.convert(answer, form)
    except msgspec.ValidationError as error:
        raise Transient(f"HubSpot's answer cannot be understood: {error}.") from error
