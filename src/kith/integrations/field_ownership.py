"""Decide whose value of a contact's field counts: ours, theirs, or the latest.

Each field is compared by its own times: when the provider last changed it (kept in the contact's link) and when it
last changed here (from the events). The contact's ``updated_at`` would not do: the first of two changes in one
delivery moves it, and the second would look older.
"""

from datetime import UTC, datetime

import msgspec

from kith.engine.context import Engine
from kith.engine.operations import find_operation
from kith.integrations.accounts import Integration
from kith.model.commands import PATHS
from kith.model.workspaces import Workspace
from kith.store.queries import load_queries

_SQL = load_queries("sync")


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's last change of a field: when (milliseconds since 1970), and the operation that took it, if any."""

    at: int
    operation: str | None = None


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

    async def save_heard(self, number: int | None, field: str, at: datetime, operation: str | None) -> None:
        if number is None:
            return
        document = msgspec.json.encode({field: Heard(at=to_milliseconds(at), operation=operation)}).decode()
        await self._engine.database.execute(_SQL["save_heard"], *self._integration.key, number, document)

    async def find_changed_at(self, external_id: str, field: str, heard: Heard | None) -> datetime | None:
        """When the field last changed here by an applied update; None where no update has changed it.

        A change that came from this provider counts from when it happened there.
        """
        shard, workspace_id = self._workspace.shard, self._workspace.id
        resource = f"{PATHS['contact']}{external_id}"
        row = await self._engine.database.fetchrow(_SQL["find_last_change"], shard, workspace_id, resource, field)
        if row is None:
            return None
        if heard is not None and row["operation_id"] == heard.operation:
            return datetime.fromtimestamp(heard.at / 1000, UTC)
        at: datetime = row["at"]
        return at

    async def is_pending(self, operation: str | None) -> bool:
        """Whether the operation is accepted and not yet applied."""
        if operation is None:
            return False
        found = await find_operation(self._engine, self._workspace, operation)
        return found is not None and found.status == "PENDING"


def to_milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)
