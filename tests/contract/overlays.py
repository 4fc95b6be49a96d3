"""Writes for the tests of the overlay, and what a process sees of it once it has asked the others."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from kith.model.contacts import Contact
from kith.model.records import Claim, Identity, Record
from kith.pending.port import Pending, PendingWrite, Snapshot

AT = datetime(2026, 1, 1, tzinfo=UTC)
ADA: Identity = ("contact", "ctc_ada")
EVE: Identity = ("contact", "ctc_eve")
EMAIL: Claim = ("email", "ada@example.com")
SECRET = b"the secret of this installation"
Found = TypeVar("Found")


def make_contact(identity: Identity, version: int = 1) -> Contact:
    texts = dict.fromkeys(("email", "name", "given_name", "family_name", "phone", "phone_e164", "avatar"))
    fields: dict[str, Any] = {**texts, "last_activity_at": None, "external_id": identity[1], "number": None}
    return Contact(
        **fields,
        status="ACTIVE",
        lifecycle_stage="LEAD",
        modules=("CRM",),
        properties={"age": 7},
        activity_count=0,
        created_at=AT,
        updated_at=AT,
        version=version,
    )


def make_write(operation_id: str = "op_1", *, workspace_id: int = 1, **more: Any) -> PendingWrite:
    """A write of shard 0 that makes Ada, unless told otherwise."""
    write = PendingWrite(
        operation_id=operation_id,
        type="CreateContact",
        shard=0,
        workspace_id=workspace_id,
        resource="/crm/contacts/ctc_ada",
        created_at=AT,
        fingerprint=None,
        answer=b'{"name":"Ada"}',
        records={ADA: make_contact(ADA)},
        holders={EMAIL: ADA},
    )
    return msgspec.structs.replace(write, **more)


async def ask(seen: Snapshot, look: Callable[[Snapshot], Found]) -> Found:
    """What it finds once the other processes were asked."""
    found = look(seen)
    while await seen.refresh(0):
        found = look(seen)
    return found


async def find_record(
    overlay: Pending, identity: Identity = ADA, *, workspace_id: int = 1, acknowledged: bool = False
) -> tuple[bool, Record | None]:
    with overlay.reading() as seen:
        return await ask(seen, lambda seen: seen.find_record(workspace_id, identity, acknowledged=acknowledged))


async def find_holder(
    overlay: Pending, claim: Claim = EMAIL, *, workspace_id: int = 1, acknowledged: bool = False
) -> tuple[bool, Identity | None]:
    with overlay.reading() as seen:
        return await ask(seen, lambda seen: seen.find_holder(workspace_id, claim, acknowledged=acknowledged))


async def find_operation(
    overlay: Pending, operation_id: str = "op_1", *, workspace_id: int = 1
) -> tuple[PendingWrite, int | None] | None:
    with overlay.reading() as seen:
        return await ask(seen, lambda seen: seen.find_operation(workspace_id, operation_id))


async def accept(overlay: Pending, write: PendingWrite, position: int | None = None) -> Snapshot:
    """Foresee a write as a request does that asks first, and settle it where it has a position."""
    with overlay.reading() as seen:
        for identity in write.records:
            await ask(seen, lambda seen, one=identity: seen.find_record(write.workspace_id, one))  # type: ignore[misc]
        for claim in write.holders:
            await ask(seen, lambda seen, one=claim: seen.find_holder(write.workspace_id, one))  # type: ignore[misc]
        assert await overlay.claim(write, seen)
    if position is not None:
        await overlay.acknowledge(write.operation_id, position)
    return seen
