"""Writes as the tests of the engine make them: through the verbs, or past them, straight on the log."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from kith.engine.accept.contacts import (
    create_contact,
    delete_contact,
    merge_contacts,
    restore_contact,
    update_contact,
)
from kith.engine.accept.operations import Operation, get_operation
from kith.engine.accept.properties import create_property, update_property
from kith.engine.accept.submit import WriteRequest, Written
from kith.engine.context.engine import Engine
from kith.engine.read.records import get_record
from kith.ids import new_id
from kith.model.codec import encode_envelope
from kith.model.commands import Command, CreateContact, Envelope
from kith.model.contacts import ContactInput, ContactPatch
from kith.model.properties import PropertyInput, PropertyPatch, PropertyType
from kith.model.workspaces import Workspace
from tests.postgres import connect


@dataclass
class Acts:
    """What one API key of a workspace does. Contacts are named by any form that a path takes."""

    engine: Engine
    workspace: Workspace
    key_id: int = 1
    _request: WriteRequest = field(init=False)

    def __post_init__(self) -> None:
        self._request = WriteRequest(workspace=self.workspace, key_id=self.key_id)

    def make_request(self, **more: Any) -> WriteRequest:
        return msgspec.structs.replace(self._request, **more)

    async def create(self, request: WriteRequest | None = None, **fields: Any) -> Written:
        return await create_contact(self.engine, request or self._request, ContactInput(**fields))

    async def update(self, ref: str, request: WriteRequest | None = None, **fields: Any) -> Written:
        return await update_contact(self.engine, request or self._request, ref, ContactPatch(**fields))

    async def delete(self, ref: str) -> Written:
        return await delete_contact(self.engine, self._request, ref)

    async def restore(self, ref: str) -> Written:
        return await restore_contact(self.engine, self._request, ref)

    async def merge(self, ref: str, loser: str) -> Written:
        return await merge_contacts(self.engine, self._request, ref, loser)

    async def define(self, key: str, type_: PropertyType, request: WriteRequest | None = None, **more: Any) -> Written:
        """A property of contacts, unless told otherwise."""
        fields = PropertyInput(**({"entity": "CONTACT", "key": key, "type": type_} | more))
        return await create_property(self.engine, request or self._request, fields)

    async def redefine(self, ref: str, **fields: Any) -> Written:
        return await update_property(self.engine, self._request, ref, PropertyPatch(**fields))

    async def get_property(self, ref: str) -> dict[str, Any]:
        found = await get_record(self.engine, self.workspace, "property", ref)
        return msgspec.json.decode(found.data, type=dict[str, Any])

    async def get(self, ref: str) -> dict[str, Any]:
        found = await get_record(self.engine, self.workspace, "contact", ref)
        return msgspec.json.decode(found.data, type=dict[str, Any])

    async def get_operation(self, operation_id: str) -> Operation:
        return await get_operation(self.engine, self.workspace, operation_id)

    def make_envelope(self, command: Command | None = None, **fields: Any) -> Envelope:
        """A command that nobody has foreseen; a create of a contact with these fields unless one is given."""
        at = self.engine.clock.now()
        return Envelope(
            operation_id=new_id("op", at),
            workspace_id=self.workspace.id,
            at=at,
            key_id=self.key_id,
            command=command or CreateContact(contact_id=new_id("ctc", at), **fields),
        )

    async def append(self, *entries: Envelope | bytes) -> list[int]:
        """Put entries on the log as another process would: this one's overlay does not know of them."""
        return [
            await self.engine.log.append(
                self.workspace.shard,
                self.workspace.id,
                entry if isinstance(entry, bytes) else encode_envelope(entry),
            )
            for entry in entries
        ]

    async def fetch(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of this workspace: the SQL's $1 is its number."""
        async with self.engine.database.acquire() as connection:
            return [tuple(row) for row in await connection.fetch(sql, self.workspace.id, *values)]


def to_id(written: Written) -> str:
    """The external id of the contact that was written."""
    return written.location.rpartition("/")[2]


async def fetch_all(url: str, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    async with connect(url) as connection:
        return [tuple(row) for row in await connection.fetch(sql, *values)]
