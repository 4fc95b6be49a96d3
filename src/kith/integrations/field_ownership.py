"""Decide whose value of a contact's field counts: ours, theirs, or the latest.

Each field is compared by its own times: when the provider last changed it (kept in the contact's link) and when it
last changed here (from the events). The contact's ``updated_at`` would not do: the first of two changes in one
delivery moves it, and the second would look older.
"""

import hashlib
from datetime import datetime
from typing import Any

import msgspec

from kith.engine.accept.operations import find_operation
from kith.engine.context.engine import Engine
from kith.integrations.accounts import Integration
from kith.model.commands import PATHS
from kith.model.workspaces import Workspace
from kith.store.queries import load_queries

TOLD_MAX = 20
_SQL = load_queries("sync")


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's last change of a field: when (milliseconds since 1970), and the operation that took it, if any.

    ``told``: digests of the values that were told of that moment, as a delivery may come again.
    """

    at: int
    operation: str | None = None
    told: tuple[str, ...] = ()

    def has_told(self, value: Any, at: datetime) -> bool:
        return to_milliseconds(at) == self.at and _digest(value) in self.told


class FieldTimes:
    """When the fields of one contact last changed, there and here."""

    def __init__(self, engine: Engine, workspace: Workspace, integration: Integration) -> None:
        self._engine = engine
        self._workspace = workspace
        self._integration = integration

    async def load_heard(self, number: int | None) -> dict[str, Heard]:
        """By our field. Empty for a contact without a link."""
        if number is None:
            return {}
        document = await self._engine.database.fetchval(_SQL["find_heard"], *self._integration.key, number)
        return msgspec.json.decode(document, type=dict[str, Heard]) if document else {}

    async def save_heard(
        self, number: int | None, field: str, value: Any, at: datetime, operation: str | None = None
    ) -> None:
        """Without an operation, the value was there already: who wrote it, and a later time, stay."""
        if number is None:
            return
        known = (await self.load_heard(number)).get(field)
        moment = to_milliseconds(at)
        if known is not None and known.at > moment:
            return
        before = known.told if known is not None and known.at == moment else ()
        told = (*before, _digest(value))[-TOLD_MAX:]
        heard = Heard(at=moment, operation=operation or (known.operation if known is not None else None), told=told)
        document = msgspec.json.encode({field: heard}).decode()
        await self._engine.database.execute(_SQL["save_heard"], *self._integration.key, number, document)

    async def is_later(
        self, external_id: str, field: str, heard: Heard | None, at: datetime, made_at: datetime
    ) -> bool:
        """Whether a change there, not older than the one that is ``heard``, came after the last applied one here.

        Of two changes there at the same time the one that is told later counts.
        """
        shard, workspace_id = self._workspace.shard, self._workspace.id
        resource = f"{PATHS['contact']}{external_id}"
        row = await self._engine.database.fetchrow(_SQL["find_last_change"], shard, workspace_id, resource, field)
        if row is None:
            return at > made_at
        return (heard is not None and row["operation_id"] == heard.operation) or bool(at > row["at"])

    async def is_pending(self, operation: str | None) -> bool:
        """Whether the operation is accepted and not yet applied."""
        if operation is None:
            return False
        found = await find_operation(self._engine, self._workspace, operation)
        return found is not None and found.status == "PENDING"


def _digest(value: Any) -> str:
    return hashlib.sha256(str(value).encode()).hexdigest()[:16]


def to_milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)
