"""Status of integrations: the counterparts of a contact, and the records that were not taken."""

from typing import Annotated, Any

import asyncpg
import msgspec

from kith.clock import to_iso
from kith.engine.context.engine import Engine
from kith.engine.read.records import Found, get_record
from kith.ids import NUMBER_DIGITS_MAX
from kith.integrations.accounts import Integration
from kith.integrations.port import Entity
from kith.model.workspaces import Workspace
from kith.store.database import UNANSWERED
from kith.store.queries import load_queries

_SQL = load_queries("sync")


class FailedRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A record that could not be brought there. ``record_id`` is its number; of an association, the contact's."""

    entity: Entity
    record_id: int
    attempts: int
    message: str
    status: int | None
    reference: str | None
    failed_at: str


class FailedRecords(msgspec.Struct, frozen=True, kw_only=True):
    """How many records were retried or discarded."""

    records: int


class FailedSelection(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Which of them: all that are of ``entity``, or one; all of them where nothing is said."""

    entity: Entity | None = None
    record_id: Annotated[int, msgspec.Meta(ge=1, lt=10**NUMBER_DIGITS_MAX)] | None = None


class SyncCount(msgspec.Struct, frozen=True, kw_only=True):
    """Of a provider, in all workspaces: records that wait, that failed, and integrations that have a problem."""

    provider: str
    pending: int
    failed: int
    paused: int


async def count_sync(engine: Engine) -> list[SyncCount]:
    """Empty while PostgreSQL does not answer."""
    try:
        rows = await engine.database.fetch(_SQL["count_sync"])
    except (*UNANSWERED, asyncpg.PostgresError):
        return []
    return [SyncCount(**dict(row)) for row in rows]


async def get_sync_status(engine: Engine, workspace: Workspace, ref: str) -> Found:
    """The contact at each integration that has it, or is to have it. Raises InvalidId, NotFound."""
    found = await get_record(engine, workspace, "contact", ref)
    contact = msgspec.json.decode(found.data, type=dict[str, Any])
    rows = []
    if contact["id"] is not None:
        rows = await engine.database.fetch(_SQL["list_status"], workspace.shard, workspace.id, contact["id"])
    shown = {
        "contactId": contact["id"],
        "externalId": contact["externalId"],
        "integrations": [
            {
                "integrationId": row["id"],
                "integrationName": row["name"],
                "provider": row["provider"],
                "externalId": row["external_id"],
                "lastSyncedAt": to_iso(row["synced_at"]) if row["synced_at"] else None,
                "syncHash": row["hash"],
                "state": find_state(row["integration_status"], row["state"], row["job_status"]),
                "lastError": msgspec.json.decode(row["failure"])["message"] if row["failure"] else None,
            }
            for row in rows
        ],
    }
    return msgspec.structs.replace(
        found, data=msgspec.json.encode(shown), version=None, location=f"{found.location}/sync-status"
    )


def find_state(integration: str, link: str | None, job: str | None) -> str:
    if link == "REMOVED":
        return "REMOVED"
    if job == "DEAD":
        return "FAILED"
    if job is None and link == "SYNCED":
        return "SYNCED"
    return "PAUSED" if integration == "PAUSED" else "PENDING"


async def list_failed(engine: Engine, one: Integration, limit: int) -> list[FailedRecord]:
    """Those that wait for a person, in the order in which they were to be sent."""
    rows = await engine.database.fetch(_SQL["list_dead"], *one.key, limit)
    return [
        FailedRecord(
            entity=row["entity"],
            record_id=row["record_id"],
            attempts=row["attempts"],
            failed_at=failure["at"],
            **{name: failure[name] for name in ("message", "status", "reference")},
        )
        for row in rows
        for failure in [msgspec.json.decode(row["failure"])]
    ]


async def retry_failed(engine: Engine, one: Integration, wanted: FailedSelection) -> FailedRecords:
    """They are sent again, as they are by then."""
    status = await engine.database.execute(
        _SQL["retry_dead"], *one.key, engine.clock.now(), wanted.entity, wanted.record_id
    )
    return FailedRecords(records=int(status.split()[-1]))


async def discard_failed(engine: Engine, one: Integration, wanted: FailedSelection) -> FailedRecords:
    """They are let go until they change again."""
    status = await engine.database.execute(_SQL["discard_dead"], *one.key, wanted.entity, wanted.record_id)
    return FailedRecords(records=int(status.split()[-1]))
