"""Apply changes from providers: deletions and unsubscribes win, fields have an owner.

Every change of a record is a command on the log like any other. A delivery that comes again changes nothing: values
are compared, and what is logged has an Idempotency-Key of its own.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
import structlog

from kith.clock import to_iso
from kith.engine.accept.activities import log_event
from kith.engine.accept.contacts import delete_contact, update_contact
from kith.engine.accept.submit import WriteRequest
from kith.engine.context.engine import Engine
from kith.engine.read.records import get_record
from kith.errors import Exposed, InvalidId, NotFound, Unavailable
from kith.integrations.accounts import Integration
from kith.integrations.field_ownership import FieldTimes, Heard, to_milliseconds
from kith.integrations.inbound_port import (
    Cleaned,
    EmailChanged,
    FieldChanged,
    Forgotten,
    Inbound,
    Merged,
    Removed,
    Restored,
    Subscribed,
    Unsubscribed,
)
from kith.integrations.mapping import PROPERTY_PREFIX, WRITABLE, Owner, read_text
from kith.integrations.outbox import hash_suppressed
from kith.integrations.providers import PROVIDERS
from kith.model.actors import Actor
from kith.model.contacts import Contact, ContactPatch
from kith.model.properties import Schema
from kith.model.records import Record
from kith.model.state import Ref
from kith.model.typed_values import convert_value
from kith.model.values import same_json
from kith.model.workspaces import Workspace
from kith.store.queries import load_queries

NOBODY = 0  # the key of commands that no key sent
_SQL = load_queries("sync")
logger = structlog.get_logger(__name__)


class _Contact(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The part of a contact that is compared. Times are ISO 8601."""

    id: int | None
    external_id: str
    email: str | None
    name: str | None
    given_name: str | None
    family_name: str | None
    phone: str | None
    lifecycle_stage: str
    properties: dict[str, Any]
    status: str
    created_at: datetime
    updated_at: datetime


_decode_contact = msgspec.json.Decoder(_Contact, float_hook=Decimal).decode


class Intake:
    """Takes in what is told of one integration."""

    def __init__(
        self, engine: Engine, workspace: Workspace, integration: Integration, *, scanning: bool = False
    ) -> None:
        """``scanning``: it is told how things stand, not that they have just come to be so."""
        self._scanning = scanning
        self._engine = engine
        self._workspace = workspace
        self._integration = integration
        kind = PROVIDERS[integration.provider]
        settings: Any = msgspec.convert(integration.settings, kind.settings)
        self._render: Callable[[Contact], Mapping[str, str]] = lambda contact: kind.render(contact, settings)
        self._ours = {theirs: ours for ours, theirs in settings.contact_fields.items()}
        self._owners: Mapping[str, Owner] = settings.ownership
        self._to_ours = kind.to_ours
        self._between = kind.between
        self._times = FieldTimes(engine, workspace, integration)

    async def take(self, changes: Iterable[Inbound]) -> int:
        """How many of them had an effect. One that cannot be taken is logged, and keeps no other from it.

        Raises Unavailable where nothing can be taken for now, so that the provider delivers again.
        """
        taken = 0
        for change in changes:
            try:
                taken += await self._take_one(change)
            except Unavailable:
                raise
            except Exposed as error:
                logger.warning(
                    "a change was not taken",
                    integration=self._integration.external_id,
                    change=type(change).__name__,
                    # Its message quotes values, which are people's.
                    code=error.code,
                )
        return taken

    async def _take_one(self, change: Inbound) -> bool:
        match change:
            case FieldChanged():
                return await self._take_field(change)
            case EmailChanged():
                return await self._take_email(change)
            case Removed():
                return await self._take_removed(change)
            case Restored():
                return await self._take_restored(change)
            case Forgotten():
                return await self._forget(change)
            case Merged():
                return await self._take_merged(change)
            case Unsubscribed() | Subscribed() | Cleaned():
                return await self._take_consent(change)

    async def _take_field(self, change: FieldChanged) -> bool:
        ours = self._ours.get(change.field)
        contact = await self._find_contact(change.external_id, change.email)
        if ours is None or contact is None or contact.status not in ("ACTIVE", "ARCHIVED"):
            return False
        value = await self._read(ours, self._to_ours(change.field, change.value))
        if same(read_value(contact, ours), value) or await self._is_as_sent(contact, change):
            if not self._scanning and self._get_owner(ours) != "OURS":
                await self._times.save_heard(contact.id, ours, value, change.at)
            return False
        return await self._settle(contact, ours, value, change.at)

    async def _read(self, ours: str, text: str | None) -> Any:
        """Their text as a value of our field: by its property's type, where it is one. None for no value."""
        if text is None or not ours.startswith(PROPERTY_PREFIX):
            return text
        schema = await self._load_one(Ref("schema", "external_id", "CONTACT"))
        key = ours.removeprefix(PROPERTY_PREFIX)
        definition = schema.properties.get(key) if isinstance(schema, Schema) else None
        if definition is None or not definition.active:
            return text
        value = read_text(definition.type, text, self._between)
        try:
            return convert_value(definition, value)
        except ValueError:
            return value  # the write refuses it, with the reason

    async def _is_as_sent(self, contact: _Contact, change: FieldChanged) -> bool:
        """Some values are sent in another form than they have here, and some are made of other fields."""
        if contact.id is None:
            return False
        one = await self._load_one(Ref("contact", "number", contact.id))
        return isinstance(one, Contact) and self._render(one).get(change.field) == (change.value or "")

    async def _load_one(self, ref: Ref) -> Record | None:
        """The committed record that is named itself, without what comes with it."""
        found = await self._engine.loader.load(self._workspace.shard, self._workspace.id, [ref])
        return next((one for one in found if one.kind == ref.kind and ref.value in (one.number, one.external_id)), None)

    async def _take_email(self, change: EmailChanged) -> bool:
        contact = await self._find_contact(change.external_id, change.old) or await self._find_contact(None, change.new)
        if contact is None:
            return False
        key = (*self._integration.key, "contact", contact.id)
        moved = await self._engine.database.fetchval(_SQL["move_link"], *key, change.new)
        if contact.email == change.new.lower() or (change.old is None and moved is None):
            if change.old is not None and self._get_owner("email") != "OURS":
                await self._times.save_heard(contact.id, "email", change.new, change.at)
            return False
        return await self._settle(contact, "email", change.new, change.at)

    async def _settle(self, contact: _Contact, ours: str, value: Any, at: datetime) -> bool:
        """Take their value or send ours over it, by who owns the field; whether theirs was taken.

        A change that is older than one of the same field that was taken before is ignored, and so is one that was told
        before. A scan tells how things stand, so that it may tell a value again.
        """
        owner = self._get_owner(ours)
        heard = (await self._times.load_heard(contact.id)).get(ours) if owner != "OURS" else None
        if heard is not None and (to_milliseconds(at) < heard.at or (not self._scanning and heard.has_told(value, at))):
            return False
        if owner == "OURS" or (owner == "LATEST" and not await self._is_later(contact, ours, heard, at)):
            await self._send_again(contact)
            return False
        operation = await self._write(contact, ours, value)
        if operation is not None:
            await self._times.save_heard(contact.id, ours, value, at, operation)
        return operation is not None

    def _get_owner(self, ours: str) -> Owner:
        return self._owners.get(ours, "OURS")

    async def _is_later(self, contact: _Contact, ours: str, heard: Heard | None, at: datetime) -> bool:
        """Whether they changed the field after it last changed here, pending writes included."""
        if at > contact.updated_at:
            return True
        committed = await self._load_one(Ref("contact", "external_id", contact.external_id))
        known = committed if isinstance(committed, Contact) else None
        if known is None or read_field(known, ours) != read_value(contact, ours):
            return heard is not None and await self._times.is_pending(heard.operation)
        return await self._times.is_later(contact.external_id, ours, heard, at, contact.created_at)

    async def _write(self, contact: _Contact, ours: str, value: Any) -> str | None:
        """The id of the operation; None where such a field cannot be written."""
        if ours.startswith(PROPERTY_PREFIX):
            patch = ContactPatch(properties={ours.removeprefix(PROPERTY_PREFIX): value})
        elif ours in WRITABLE:
            if value is None and ours == "lifecycleStage":
                return None  # a contact has always one
            patch = msgspec.convert({ours: value}, ContactPatch)
        else:
            return None
        written = await update_contact(self._engine, self._make_request(), contact.external_id, patch)
        return written.operation.id

    async def _take_removed(self, change: Removed) -> bool:
        """It stays deleted there, whatever changes here."""
        if change.external_id is not None:
            return await self._mark(change.external_id, "REMOVED") is not None
        contact = await self._find_contact(None, change.email)
        if contact is None or contact.id is None:
            return False
        await self._engine.database.execute(_SQL["mark_removed"], *self._integration.key, "contact", contact.id)
        return True

    async def _take_restored(self, change: Restored) -> bool:
        number = await self._mark(change.external_id, "SYNCED")
        if number is None:
            return False
        await self._queue(number)
        return True

    async def _forget(self, change: Forgotten) -> bool:
        """The person asked to be erased: nothing is sent there again, and the contact is deleted here."""
        contact = await self._find_contact(change.external_id, None)
        if contact is None:
            return False
        if contact.email is not None:
            reason = f"Asked for at {self._integration.name}."
            await self._engine.database.execute(
                _SQL["suppress"],
                self._workspace.shard,
                self._workspace.id,
                hash_suppressed(contact.email),
                reason,
                self._engine.clock.now(),
            )
        await self._mark(change.external_id, "REMOVED")
        await delete_contact(self._engine, self._make_request(), contact.external_id)
        return True

    async def _take_merged(self, change: Merged) -> bool:
        """The contact that is left there is that of the first of ours that went into it; the others stay away."""
        numbers = [await self._find_number(one) for one in (change.external_id, *change.merged_ids)]
        known = [number for number in numbers if number is not None]
        if not known:
            return False
        first, *others = dict.fromkeys(known)
        database, key = self._engine.database, self._integration.key
        for number in others:
            await database.execute(_SQL["mark_removed"], *key, "contact", number)
        await database.execute(_SQL["relink"], *key, "contact", first, change.external_id)
        return True

    async def _take_consent(self, change: Unsubscribed | Subscribed | Cleaned) -> bool:
        """It is written into the contact's timeline. Nothing that is sent ever changes it there."""
        contact = await self._find_contact(getattr(change, "external_id", None), change.email)
        if contact is None or contact.id is None or not await self._is_news(contact.id, change):
            return False
        if isinstance(change, Subscribed):
            await self._bring_back(contact.id)
        words = {Unsubscribed: "Unsubscribed", Subscribed: "Subscribed", Cleaned: "Cleaned"}[type(change)]
        digest = hashlib.sha256(
            f"{self._integration.external_id} {words} {change.email} {to_iso(change.at)}".encode()
        ).hexdigest()
        properties = {
            "event": words.upper(),
            "integration": self._integration.external_id,
            "reason": getattr(change, "reason", None),
        }
        await log_event(
            self._engine,
            self._make_request(digest),
            contact.external_id,
            f"{words} at {self._integration.name}",
            {name: value for name, value in properties.items() if value},
            change.at,
        )
        return True

    async def _bring_back(self, number: int) -> None:
        """Who was deleted there, and is there again of their own will, is sent there again."""
        key = self._integration.key
        if await self._engine.database.fetchval(_SQL["mark_back"], *key, "contact", number) is not None:
            await self._queue(number)

    async def _is_news(self, number: int, change: Unsubscribed | Subscribed | Cleaned) -> bool:
        """Whether it was not known before. Where nothing was, a scan finds most people as they always were."""
        consent = type(change).__name__.upper()
        row = await self._engine.database.fetchrow(
            _SQL["save_consent"], *self._integration.key, "contact", number, consent
        )
        if row is None:
            return (
                await self._engine.database.fetchval(_SQL["has_link"], *self._integration.key, "contact", number)
                is None
            )
        return not (self._scanning and row["was"] is None and isinstance(change, Subscribed))

    def _make_request(self, key: str | None = None) -> WriteRequest:
        return WriteRequest(
            workspace=self._workspace,
            key_id=NOBODY,
            actor=Actor("integration", str(self._integration.number), self._integration.name),
            idempotency_key=key,
            fingerprint=key.encode() if key else b"",
        )

    async def _find_contact(self, external_id: str | None, email: str | None) -> _Contact | None:
        """By its link, else by email, with the writes on it that are pending."""
        number = await self._find_number(external_id) if external_id is not None else None
        ref = str(number) if number is not None else email
        if ref is None:
            return None
        try:
            found = await get_record(self._engine, self._workspace, "contact", ref)
        except (NotFound, InvalidId):
            return None
        return _decode_contact(found.data)

    async def _find_number(self, external_id: str) -> int | None:
        row = await self._engine.database.fetchrow(_SQL["find_linked"], *self._integration.key, "contact", external_id)
        return row["record_id"] if row is not None else None

    async def _mark(self, external_id: str, state: str) -> int | None:
        number: int | None = await self._engine.database.fetchval(
            _SQL["mark_linked"], *self._integration.key, "contact", external_id, state
        )
        return number

    async def _send_again(self, contact: _Contact) -> None:
        """What was changed there is ours: it is sent over it."""
        if contact.id is None:
            return
        await self._engine.database.execute(_SQL["forget_hash"], *self._integration.key, "contact", contact.id)
        await self._queue(contact.id)

    async def _queue(self, number: int) -> None:
        now = self._engine.clock.now()
        sequence = self._integration.feed_sequence
        await self._engine.database.execute(
            _SQL["save_jobs"], *self._integration.key, ["contact"], [number], [sequence], now
        )


def read_value(contact: _Contact, ours: str) -> Any:
    """Our value of a field that can be written; None of any other."""
    if ours.startswith(PROPERTY_PREFIX):
        return contact.properties.get(ours.removeprefix(PROPERTY_PREFIX))
    return getattr(contact, _ATTRIBUTES[ours]) if ours in WRITABLE else None


def read_field(contact: Contact, ours: str) -> Any:
    """The same of a committed contact."""
    if ours.startswith(PROPERTY_PREFIX):
        return contact.properties.get(ours.removeprefix(PROPERTY_PREFIX))
    return getattr(contact, _ATTRIBUTES[ours]) if ours in WRITABLE else None


def same(ours: Any, theirs: Any) -> bool:
    """Whether the values are the same; a text of theirs also as what it says of a number or boolean of ours."""
    if ours is None or theirs is None:
        return ours in (None, "") and theirs in (None, "")
    if not isinstance(theirs, str) or isinstance(ours, str):
        return same_json(ours, theirs)
    if isinstance(ours, bool):
        return str(ours).lower() == theirs.lower()
    if isinstance(ours, int | float | Decimal):
        try:
            return Decimal(theirs) == Decimal(str(ours))
        except InvalidOperation:
            return False
    return str(ours) == theirs


_ATTRIBUTES = dict(zip(_Contact.__struct_encode_fields__, _Contact.__struct_fields__, strict=True))
