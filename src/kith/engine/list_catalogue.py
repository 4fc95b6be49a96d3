"""The dynamic lists of workspaces, kept in memory: every command is held against those of its workspace."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from kith.engine.dynamic_lists import DynamicLists, ListRow
from kith.engine.schemas import SCHEMAS, Schemas
from kith.model.properties import Schema
from kith.model.state import Ref
from kith.store.database import Connection
from kith.store.queries import load_queries

KEPT_MAX = 5000
_LISTS = load_queries("lists")
# The numbers of a filter keep their digits.
_decode = msgspec.json.Decoder(ListRow, float_hook=Decimal).decode


class _Kept(NamedTuple):
    lists: DynamicLists
    stamp: int


class ListCatalogue:
    """The dynamic lists of workspaces, kept as ``Schemas`` keeps theirs: their definitions move the same stamp."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._kept: dict[int, _Kept] = {}

    def get(self, workspace_id: int) -> DynamicLists:
        """What was loaded."""
        return self._kept[workspace_id].lists

    def list_missing(self, workspace_ids: Iterable[int], stamp: int) -> list[int]:
        """Those that have to be loaded first."""
        return [one for one in sorted(workspace_ids) if one not in self._kept or self._kept[one].stamp != stamp]

    async def load(self, connection: Connection, shard: int, workspace_ids: Iterable[int], stamp: int) -> None:
        """Make sure of these workspaces' lists."""
        wanted = set(workspace_ids)
        missing = self.list_missing(wanted, stamp)
        # Those that are asked for most recently are at the end, and stay.
        self._kept.update((one, self._kept.pop(one)) for one in wanted if one in self._kept)
        while len(self._kept) > KEPT_MAX:
            del self._kept[next(one for one in self._kept if one not in wanted)]
        loaded = await load_dynamic_lists(connection, shard, missing, self._schemas, stamp)
        self._kept.update((workspace_id, _Kept(lists, stamp)) for workspace_id, lists in loaded.items())


async def load_dynamic_lists(
    connection: Connection, shard: int, workspace_ids: Sequence[int], schemas: Schemas, stamp: int
) -> dict[int, DynamicLists]:
    """By workspace; most have none."""
    rows: dict[int, list[ListRow]] = {}
    for row in await connection.fetch(_LISTS["load_dynamic_lists"], shard, workspace_ids):
        one = _decode(row["document"])
        rows.setdefault(one.workspace_id, []).append(one)
    refs = [(workspace, Ref("schema", "external_id", entity)) for workspace in rows for entity in SCHEMAS]
    defined = {
        (workspace, schema.external_id): schema
        for workspace, schema in (await schemas.load_records(connection, shard, refs, stamp) if refs else [])
        if isinstance(schema, Schema)
    }
    return {
        workspace: DynamicLists([defined[workspace, entity] for entity in SCHEMAS], rows[workspace])
        if workspace in rows
        else DynamicLists((), ())
        for workspace in workspace_ids
    }
