"""The dynamic lists of workspaces, kept in memory: every command is held against those of its workspace."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from kith.engine.context.property_schemas import SCHEMAS, Schemas
from kith.engine.lists.dynamic_lists import DynamicLists, ListRow, make_lists
from kith.model.properties import Schema
from kith.model.state import Ref
from kith.store.batch import to_documents
from kith.store.database import Connection
from kith.store.queries import load_queries

KEPT_MAX = 5000
_LISTS = load_queries("lists")
# The numbers of a filter keep their digits.
_decode = msgspec.json.Decoder(ListRow, float_hook=Decimal).decode


class Understood(NamedTuple):
    """The lists of a workspace, the schemas that their filters were read with, and the stamp of both."""

    lists: DynamicLists
    schemas: Sequence[Schema]
    stamp: int


NO_LISTS = DynamicLists((), {})


class ListCache:
    """The dynamic lists of workspaces, kept as ``Schemas`` keeps theirs: their definitions move the same stamp."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._kept: dict[int, Understood] = {}

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
        self._kept |= await load_dynamic_lists(connection, shard, missing, self._schemas, stamp, self._kept)


async def load_dynamic_lists(
    connection: Connection,
    shard: int,
    workspace_ids: Sequence[int],
    schemas: Schemas,
    stamp: int,
    before: Mapping[int, Understood] = {},
) -> dict[int, Understood]:
    """By workspace; most have none. Of those that ``before`` has, only what changed since is read and understood."""
    earlier = {(id_, row.number): row for id_ in workspace_ids if id_ in before for row in before[id_].lists.rows}
    known = to_documents(
        {"workspace_id": id_, "number": row.number, "version": row.version, "status": row.status}
        for (id_, _), row in earlier.items()
    )
    rows: dict[int, list[ListRow]] = {}
    for found in await connection.fetch(_LISTS["load_dynamic_lists"], shard, workspace_ids, known):
        document, id_ = found["document"], found["workspace_id"]
        rows.setdefault(id_, []).append(_decode(document) if document is not None else earlier[id_, found["number"]])
    refs = [(id_, Ref("schema", "external_id", entity)) for id_ in rows for entity in SCHEMAS]
    defined = {
        (id_, schema.external_id): schema
        for id_, schema in (await schemas.load_records(connection, shard, refs, stamp) if refs else [])
        if isinstance(schema, Schema)
    }
    made = {}
    for id_ in workspace_ids:
        own = [defined[id_, entity] for entity in SCHEMAS] if id_ in rows else []
        same = before[id_].lists if id_ in before and before[id_].schemas == own else None
        made[id_] = Understood(make_lists(own, rows[id_], same) if id_ in rows else NO_LISTS, own, stamp)
    return made
