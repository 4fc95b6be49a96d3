"""Integrations as accounts: connected, changed, paused, tested and taken away by people with crm:admin.

They are no commands on the log: what they hold is a secret, and they say where data goes, not what it is.
"""

import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import asyncpg
import msgspec
from msgspec import UNSET, Meta, UnsetType

from kith.clock import to_iso
from kith.engine.accept.submit import WriteRequest
from kith.engine.context.engine import Engine
from kith.errors import Exposed, InvalidId, InvalidRequest, NotFound, Validation
from kith.ids import NUMBER_DIGITS_MAX, derive_id, new_id, parse_id
from kith.integrations.credential_store import Vault
from kith.integrations.port import Account, ProviderName
from kith.integrations.providers import PROVIDERS, check_credentials, check_settings
from kith.integrations.segments import Segment, SegmentInput, change_segment, drop_segment, make_segment
from kith.model.forms import NAME_PATTERN
from kith.model.quotas import check_single
from kith.model.workspaces import Workspace
from kith.store.database import Connection, Database
from kith.store.queries import load_queries
from kith.store.workspaces import lock_control

Status = Literal["ACTIVE", "PAUSED"]
WhenLeaving = Literal["archive", "keep"]
NAME_CHARACTERS_MAX = 200
AccountName = Annotated[str, Meta(extra_json_schema={"pattern": NAME_PATTERN, "maxLength": NAME_CHARACTERS_MAX})]
_SQL = load_queries("integrations")


class IntegrationInput(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body that connects an account."""

    provider: ProviderName
    name: AccountName
    credentials: dict[str, Any]
    settings: dict[str, Any] | UnsetType = UNSET
    segment: SegmentInput | None | UnsetType = UNSET
    when_leaving: WhenLeaving | UnsetType = UNSET


class IntegrationPatch(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body that changes one: what is left out stays. Credentials and settings are given whole."""

    name: AccountName | UnsetType = UNSET
    credentials: dict[str, Any] | UnsetType = UNSET
    settings: dict[str, Any] | UnsetType = UNSET
    segment: SegmentInput | None | UnsetType = UNSET
    when_leaving: WhenLeaving | UnsetType = UNSET


class Integration(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ``integrations``; the credentials are as they are kept, ``fingerprint`` is of what connected it."""

    shard: int
    workspace_id: int
    number: int
    external_id: str
    provider: ProviderName
    name: str
    status: Status
    problem: dict[str, Any] | None
    credentials: bytes
    settings: dict[str, Any]
    segment: Segment | None
    when_leaving: WhenLeaving
    account: Account | None
    feed_sequence: int
    sync: dict[str, Any] | None
    rests_until: datetime | None
    synced_at: datetime | None
    reconciled_at: datetime
    created_at: datetime
    updated_at: datetime
    version: int
    epoch: int
    fingerprint: bytes
    pending: int
    dead: int

    @property
    def key(self) -> tuple[int, int, int]:
        return self.shard, self.workspace_id, self.number

    @property
    def maps_company(self) -> bool:
        """Whether contacts carry fields of their company, so that they change with it."""
        return any(ours.startswith("company.") for ours in self.settings.get("fields", {}).get("contact", {}))

    @property
    def location(self) -> str:
        return f"/crm/integrations/{self.external_id}"

    @property
    def webhook_path(self) -> str:
        return f"/hooks/{self.workspace_id}/{self.external_id}"


class IntegrationView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An integration as clients see it: never its credentials.

    Nothing is sent before ``rests_until``, which may have passed; ``webhook_path``: where the provider is to deliver.
    """

    id: int
    external_id: str
    provider: ProviderName
    name: str
    status: Status
    problem: dict[str, Any] | None
    settings: dict[str, Any]
    segment: dict[str, Any] | None
    when_leaving: WhenLeaving
    account: Account | None
    sync: dict[str, Any] | None
    synced_at: str | None
    rests_until: str | None
    webhook_path: str
    pending_records: int
    failed_records: int
    created_at: str
    updated_at: str
    version: int


def from_row(row: asyncpg.Record) -> Integration:
    return Integration(
        shard=row["shard"],
        workspace_id=row["workspace_id"],
        number=row["id"],
        problem=_decode(row["problem"]),
        settings=_decode(row["settings"]),
        segment=msgspec.json.decode(row["segment"], type=Segment) if row["segment"] else None,
        account=msgspec.json.decode(row["account"], type=Account) if row["account"] else None,
        sync=_decode(row["sync"]),
        **{name: row[name] for name in _PLAIN},
    )


_PLAIN = (
    "external_id",
    "provider",
    "name",
    "status",
    "credentials",
    "when_leaving",
    "feed_sequence",
    "rests_until",
    "synced_at",
    "reconciled_at",
    "created_at",
    "updated_at",
    "version",
    "epoch",
    "fingerprint",
    "pending",
    "dead",
)


def _decode(document: str | None) -> Any:
    return msgspec.json.decode(document) if document is not None else None


def to_view(one: Integration) -> IntegrationView:
    return IntegrationView(
        id=one.number,
        external_id=one.external_id,
        provider=one.provider,
        name=one.name,
        status=one.status,
        problem=one.problem,
        settings=one.settings,
        segment=one.segment.show() if one.segment is not None else None,
        when_leaving=one.when_leaving,
        account=one.account,
        sync=_to_progress(one),
        synced_at=to_iso(one.synced_at) if one.synced_at else None,
        rests_until=to_iso(one.rests_until) if one.rests_until else None,
        webhook_path=one.webhook_path,
        pending_records=one.pending,
        failed_records=one.dead,
        created_at=to_iso(one.created_at),
        updated_at=to_iso(one.updated_at),
        version=one.version,
    )


def _to_progress(one: Integration) -> dict[str, Any] | None:
    """How far a full sync is: ``queued`` of ``total`` records were looked at, and of those ``pending`` wait."""
    if one.sync is None:
        return None
    shown = {name: one.sync.get(name) for name in ("startedAt", "finishedAt", "total", "queued")}
    return {**shown, "done": max(0, one.sync["queued"] - one.pending)}


async def list_integrations(engine: Engine, workspace: Workspace) -> list[Integration]:
    rows = await engine.database.fetch(_SQL["list_integrations"], workspace.shard, workspace.id)
    return [from_row(row) for row in rows]


async def get_integration(engine: Engine, workspace: Workspace, text: str) -> Integration:
    """By number or external id. Raises InvalidId, NotFound."""
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= NUMBER_DIGITS_MAX else None
    parsed = parse_id(text)
    if number is None and (parsed is None or parsed[0] != "int"):
        raise InvalidId(f"{text[:80]!r} is not an integration's number or external id (int_…).")
    row = await engine.database.fetchrow(
        _SQL["find_integration"], workspace.shard, workspace.id, number, text if number is None else None
    )
    if row is None:
        raise NotFound(f"No integration {text[:80]} is in this workspace.")
    return from_row(row)


async def create_integration(
    engine: Engine, request: WriteRequest, fields: IntegrationInput
) -> tuple[Integration, bool]:
    """And whether the request is a replay. It sends what changes from now on; ``start_sync`` sends all there is.

    Raises Validation, SECRETS_UNAVAILABLE, IDEMPOTENCY_KEY_REUSED.
    """
    workspace = request.workspace
    now = engine.clock.now()
    external_id = new_id("int", now)
    if request.idempotency_key is not None:
        external_id = derive_id("int", str(request.key_id), request.idempotency_key)
        if (made := await find_made(engine, request, external_id)) is not None:
            return made, True
    name = check_name(fields.name)
    settings = await check_settings(engine, workspace, fields.provider, fields.settings or {})
    check_credentials(fields.provider, fields.credentials)
    sealed = Vault.from_settings(engine.settings).seal(external_id, fields.credentials)
    made, inserted = None, False
    while made is None:
        known = await list_known(engine.database, workspace)
        check_new(workspace, external_id, known)
        segment = None
        if fields.segment:
            segment = await make_segment(engine, request, name, fields.segment, str(len(known)))
        async with engine.database.acquire() as connection, connection.transaction():
            await lock_control(connection)
            check_new(workspace, external_id, await list_known(connection, workspace))
            values = (external_id, fields.provider, name, sealed, _encode(settings), now, request.fingerprint)
            chosen = (_encode_segment(segment), fields.when_leaving if fields.when_leaving is not UNSET else "archive")
            key = (workspace.shard, workspace.id)
            inserted = await connection.fetchval(_SQL["insert_integration"], *key, *values, *chosen) is not None
            await connection.execute(_SQL["tell_changed"])
        made = await find_made(engine, request, external_id)
    return made, not inserted


async def list_known(database: Database | Connection, workspace: Workspace) -> dict[str, str]:
    """External id -> status, of all that ever were."""
    rows = await database.fetch(_SQL["list_external_ids"], workspace.shard, workspace.id)
    return {row["external_id"]: row["status"] for row in rows}


def check_new(workspace: Workspace, external_id: str, known: Mapping[str, str]) -> None:
    """Raises IDEMPOTENCY_KEY_REUSED, QUOTA_EXCEEDED."""
    if known.get(external_id) == "DELETED":
        message = "This Idempotency-Key has connected an integration that is deleted by now. Take another."
        raise Exposed("IDEMPOTENCY_KEY_REUSED", message, {"integration": external_id})
    used = sum(status != "DELETED" for status in known.values())
    check_single(workspace, "integrations", used, used + (external_id not in known))


async def find_made(engine: Engine, request: WriteRequest, external_id: str) -> Integration | None:
    """What the same Idempotency-Key has made before. Raises IDEMPOTENCY_KEY_REUSED where that was another request."""
    try:
        made = await get_integration(engine, request.workspace, external_id)
    except NotFound:
        return None
    if made.fingerprint != request.fingerprint:
        message = f"This Idempotency-Key was used before, for the integration {made.name!r}. Take another."
        raise Exposed("IDEMPOTENCY_KEY_REUSED", message, {"integration": made.external_id})
    return made


async def update_integration(engine: Engine, request: WriteRequest, text: str, fields: IntegrationPatch) -> Integration:
    """Where another mapping gives other values, records go out again. Raises Validation, VERSION_MISMATCH."""
    one = await get_integration(engine, request.workspace, text)
    settings = credentials = None
    if fields.settings is not UNSET:
        settings = await check_settings(engine, request.workspace, one.provider, fields.settings)
    if fields.credentials is not UNSET:
        check_credentials(one.provider, fields.credentials)
        credentials = Vault.from_settings(engine.settings).seal(one.external_id, fields.credentials)
    name = check_name(fields.name) if fields.name is not UNSET else None
    segment, leaving = one.segment, one.when_leaving
    if fields.segment is not UNSET:
        check_version(one, request)
        segment = await change_segment(
            engine, request, name or one.name, one.segment, fields.segment, one.external_id, str(one.version)
        )
    if fields.when_leaving is not UNSET:
        leaving = fields.when_leaving
    looks_again = (settings or one.settings, segment, leaving) != (one.settings, one.segment, one.when_leaving)
    sync = await make_sync(engine, one, settings or one.settings) if looks_again else None
    chosen = (_encode_segment(segment), leaving)
    return await _change(engine, request, one, name, settings, credentials, sync=sync, segment=chosen)


async def set_status(engine: Engine, request: WriteRequest, text: str, status: Status) -> Integration:
    """Pause it or go on. What changes meanwhile is sent afterwards."""
    one = await get_integration(engine, request.workspace, text)
    return await _change(engine, request, one, status=status)


async def _change(
    engine: Engine,
    request: WriteRequest,
    one: Integration,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,
    credentials: bytes | None = None,
    status: Status | None = None,
    *,
    sync: Mapping[str, Any] | None = None,
    segment: tuple[str | None, WhenLeaving] | None = None,
) -> Integration:
    """What is None stays as it is by then: a worker may pause it, or get another token. Raises VERSION_MISMATCH."""
    document_of_segment, leaving = segment or (_encode_segment(one.segment), one.when_leaving)
    document = _encode(settings) if settings is not None else None
    async with engine.database.acquire() as connection, connection.transaction():
        values = (request.if_version, name, document, credentials, status, engine.clock.now())
        chosen = (document_of_segment, leaving)
        version = await connection.fetchval(_SQL["update_integration"], *one.key, *values, *chosen)
        if version is not None and sync is not None:
            await connection.execute(_SQL["begin_sync"], *one.key, _encode(sync))
        await connection.execute(_SQL["tell_changed"])
    there = await get_integration(engine, request.workspace, one.external_id)
    if version is None:
        raise make_mismatch(there)
    return there


async def delete_integration(engine: Engine, request: WriteRequest, text: str) -> Integration:
    """What is there stays there. Its credentials go at once, what else is known of it in a round of the worker."""
    one = await get_integration(engine, request.workspace, text)
    async with engine.database.acquire() as connection, connection.transaction():
        values = (request.if_version, engine.clock.now())
        version = await connection.fetchval(_SQL["delete_integration"], *one.key, *values)
        await connection.execute(_SQL["tell_changed"])
    if version is None:
        raise make_mismatch(await get_integration(engine, request.workspace, one.external_id))
    await drop_segment(engine, request, one.segment)
    return one


async def start_sync(engine: Engine, request: WriteRequest, text: str) -> Integration:
    """Look at every record again, and send what is not there as it is here. InvalidRequest if it is paused."""
    one = await get_integration(engine, request.workspace, text)
    check_version(one, request)
    if one.status != "ACTIVE":
        raise InvalidRequest("The integration is paused. Resume it first.", {"status": one.status})
    sync = await make_sync(engine, one, one.settings)
    async with engine.database.acquire() as connection, connection.transaction():
        await connection.execute(_SQL["begin_sync"], *one.key, _encode(sync))
        await connection.execute(_SQL["tell_changed"])
    return await get_integration(engine, request.workspace, one.external_id)


async def make_sync(engine: Engine, one: Integration, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A full sync at its beginning, of what the settings take."""
    entities = PROVIDERS[one.provider].list_entities(settings)
    total = await engine.database.fetchval(_SQL["count_syncable"], one.shard, one.workspace_id, entities)
    return {
        "startedAt": to_iso(engine.clock.now()),
        "finishedAt": None,
        "entity": entities[0],
        "after": 0,
        "queued": 0,
        "total": total,
    }


def check_version(one: Integration, request: WriteRequest) -> None:
    """Raises VERSION_MISMATCH."""
    if request.if_version is not None and request.if_version != one.version:
        raise make_mismatch(one)


async def rotate_credentials(connection: Connection, vault: Vault) -> int:
    """Encrypt all of every workspace by the newest key; how many. Raises StartError where one cannot be read."""
    rows = await connection.fetch(_SQL["list_all_credentials"])
    async with connection.transaction():
        for row in rows:
            key = (row["shard"], row["workspace_id"], row["id"])
            kept = await connection.fetchval(_SQL["load_credentials_to_change"], *key)
            if kept:  # else it was deleted meanwhile
                await connection.execute(_SQL["save_credentials"], *key, vault.rotate(kept))
    return len(rows)


def check_name(text: str) -> str:
    name = unicodedata.normalize("NFC", text.strip())
    if not name or len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        message = f"must be a name of 1 to {NAME_CHARACTERS_MAX} characters."
        raise Validation([("name", message)])
    return name


def make_mismatch(one: Integration) -> Exposed:
    message = f"The integration is not at this version any more; it is at {one.version}. Read it again."
    return Exposed("VERSION_MISMATCH", message, {"version": one.version})


def _encode_segment(segment: Segment | None) -> str | None:
    return _encode(segment) if segment is not None else None


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()
