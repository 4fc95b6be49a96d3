"""HubSpot as a provider: how the runner brings our records there."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import httpx2

from kith.clock import Clock
from kith.integrations.failures import Failure, Permanent
from kith.integrations.http import Caller, Reply
from kith.integrations.hubspot.activities import push_activities
from kith.integrations.hubspot.associations import push_associations
from kith.integrations.hubspot.client import (
    INPUTS_MAX,
    MODIFIED,
    HubSpotClient,
    ObjectKind,
    Property,
    to_milliseconds,
)
from kith.integrations.hubspot.engagements import KINDS
from kith.integrations.hubspot.failures import classify
from kith.integrations.hubspot.payloads import render_activity, render_association, render_record
from kith.integrations.hubspot.records import push_records
from kith.integrations.hubspot.removal import archive, remove_activities, remove_contacts
from kith.integrations.hubspot.settings import KEY_PROPERTY, HubSpotSettings, RecordEntity
from kith.integrations.hubspot.tokens import CredentialsDocument, Lock, Store, Tokens, keep_nothing, lock_nothing
from kith.integrations.hubspot.values import STAGES
from kith.integrations.inbound_port import FieldChanged, Inbound
from kith.integrations.limiter import Limiter
from kith.integrations.mapping import Kind, Kinds, find_kind
from kith.integrations.port import Account, Entity, Item, Job, Outcomes, Skipped, Unlinked
from kith.model.companies import Company
from kith.model.contacts import Contact

NO_KINDS: Kinds = {}
SHOWN_MAX = 10
# The types of ours that a property of a type of theirs takes; one that is left out takes any text.
TAKEN: Mapping[str, Sequence[str]] = {
    "date": ("DATE",),
    "datetime": ("DATETIME", "DATE"),
    "number": ("NUMBER", "CURRENCY"),
    "bool": ("BOOLEAN",),
}


class HubSpot:
    """One account."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        limiter: Limiter,
        clock: Clock,
        credentials: CredentialsDocument,
        settings: HubSpotSettings,
        *,
        url: str,
        store: Store = keep_nothing,
        lock: Lock = lock_nothing,
        kinds: Kinds = NO_KINDS,
    ) -> None:
        """``store`` and ``lock`` are for credentials that change: see Tokens. ``kinds`` are the types of our fields."""
        self._settings = settings
        self._kinds = kinds
        self._clock = clock
        self._zone: tzinfo = UTC
        version = settings.api_version
        tokens = Tokens(client, clock, credentials, f"{url.rstrip('/')}/oauth/{version}/token", store=store, lock=lock)
        caller = Caller(client, limiter, clock, url, tokens.get_headers, self._classify)
        self._client = HubSpotClient(caller, tokens, version)

    @property
    def entities(self) -> Sequence[Entity]:
        return self._settings.entities

    def get_items_max(self, entity: Entity) -> int:
        """A batch holds activities of one kind, and they come mixed: of so many, most batches are full."""
        return INPUTS_MAX * len(KINDS) if entity == "activity" else INPUTS_MAX

    async def connect(self) -> Account:
        """Its time zone is kept: the daily limit begins anew at its midnight, which is UTC's until it is known."""
        details = await self._client.read_account()
        try:
            self._zone = ZoneInfo(details.time_zone)
        except (ZoneInfoNotFoundError, ValueError):
            self._zone = UTC
        return Account(id=str(details.portal_id), name=f"HubSpot account {details.portal_id}")

    async def prepare(self) -> None:
        """The property that holds our ids, wherever it is missing. Raises Permanent where records could not be sent:
        a property that fields are mapped to is not there, or ours is there and not unique."""
        kinds: list[ObjectKind] = ["contacts"]
        if self._settings.companies:
            kinds.append("companies")
        if self._settings.activities:
            kinds.extend(KINDS.values())
        for kind in kinds:
            known = await self._client.list_properties(kind)
            self._check_fields(kind, known)
            if KEY_PROPERTY not in known:
                await self._client.create_key_property(kind)
            elif not known[KEY_PROPERTY].has_unique_value:
                raise Permanent(
                    f"HubSpot's property {KEY_PROPERTY} of {kind} is not unique, which cannot be changed: delete it "
                    "there, and it is made anew."
                )

    async def changed_since(self, at: datetime) -> AsyncIterator[Inbound]:
        fields = sorted(set(self._settings.contact_fields.values()))
        async for one in self._client.search_changed(round(at.timestamp() * 1000), fields):
            moment = datetime.fromtimestamp(to_milliseconds(one.properties.get(MODIFIED)) / 1000, UTC)
            for field in fields:
                value = one.properties.get(field)
                yield FieldChanged(external_id=one.id, field=field, value=value or None, at=moment)

    def render(self, item: Item) -> Mapping[str, Any] | Skipped:
        if item.record is None:
            return Skipped(reason="It is not here any more.")
        if item.entity == "association":
            return render_association(item)
        if isinstance(item.record, Contact | Company):
            return render_record(item.record, self._settings)
        return render_activity(item)

    def push(self, entity: Entity, jobs: Sequence[Job]) -> AsyncIterator[Outcomes]:
        if entity == "association":
            return push_associations(self._client, jobs)
        if entity == "activity":
            return push_activities(self._client, jobs)
        return push_records(self._client, "contacts" if entity == "contact" else "companies", jobs)

    async def remove(self, entity: Entity, items: Sequence[Item]) -> AsyncIterator[Outcomes]:
        """Associations go with their contact, or stay with it."""
        on_delete = self._settings.on_delete
        if entity == "association":
            yield [(item, Unlinked()) for item in items]
        elif entity == "contact":
            async for outcomes in remove_contacts(self._client, items, on_delete):
                yield outcomes
        elif entity == "company":
            async for outcomes in archive(self._client, "companies", items, on_delete):
                yield outcomes
        else:
            async for outcomes in remove_activities(self._client, items, on_delete):
                yield outcomes

    def _classify(self, reply: Reply) -> Failure | None:
        return classify(reply, self._clock.now(), self._zone)

    def _check_fields(self, kind: ObjectKind, known: Mapping[str, Property]) -> None:
        """Raises Permanent for a field that no record could be sent with."""
        if kind != "contacts" and kind != "companies":
            return
        entity: RecordEntity = "contact" if kind == "contacts" else "company"
        for ours, theirs in self._settings.get_fields(entity).items():
            if theirs not in known:
                raise Permanent(
                    f"HubSpot has no property {theirs!r} of {kind}, to which fields.{entity}.{ours} is sent. Make it "
                    "there, or map the field to another one, or to null."
                )
            misfit = find_misfit(known[theirs], ours, find_kind(self._kinds, entity, ours))
            if misfit is not None:
                sender = f"fields.{entity}.{ours}, which is sent to it,"
                raise Permanent(
                    f"HubSpot's property {theirs!r} of {kind} {misfit[0]}, and {sender} {misfit[1]} or to null."
                )


def find_misfit(theirs: Property, ours: str, kind: Kind) -> tuple[str, str] | None:
    """What their property is, and what our field is and what to do, where no value of ours can be written to it."""
    wanted = TAKEN.get(theirs.type)
    if wanted is not None and kind.type not in wanted:
        takes = f"HubSpot takes {' or '.join(wanted)} there"
        return f"is of the type {theirs.type}", f"is {kind.type}. {takes}. Map the field to a property of another type,"
    if theirs.type != "enumeration":
        return None
    if kind.type == "MULTI_SELECT" and theirs.field_type != "checkbox":
        way_out = "Make it a property of multiple checkboxes there, or map the field to another one,"
        return "takes one option", f"is {kind.type}. {way_out}"
    values = STAGES.values() if (ours, theirs.name) == ("lifecycleStage", "lifecyclestage") else kind.values
    options = {one.value for one in theirs.options}
    if values and options and options.isdisjoint(values):
        way_out = "Add these options to it there, or map the field to another property,"
        return f"takes {shorten(sorted(options))}", f"is {shorten([*values])}. {way_out}"
    return None


def shorten(options: Sequence[str]) -> str:
    more = f" and {len(options) - SHOWN_MAX} more" if len(options) > SHOWN_MAX else ""
    return ", ".join(options[:SHOWN_MAX]) + more
