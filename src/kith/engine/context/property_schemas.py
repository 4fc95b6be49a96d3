"""The properties that workspaces have defined, kept in memory: every write with properties is held against them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, get_args

import msgspec

from kith.model.properties import Property, PropertyEntity, Schema, make_schema
from kith.model.records import Record
from kith.model.state import Ref
from kith.store.batch import load_records
from kith.store.database import Connection
from kith.store.queries import load_queries

# What each workspace has one of: of contacts, of companies, and of the link between the two.
SCHEMAS: Sequence[PropertyEntity] = get_args(PropertyEntity)
KEPT_MAX = 5000
_SQL = load_queries("properties")
_decode = msgspec.json.Decoder(list[Property]).decode


class _Kept(NamedTuple):
    schema: Schema
    stamp: int


class Schemas:
    """The schemas read lately, each with a stamp: the position of the last command that changed any on its shard.

    One with an older stamp than is asked for is read again.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int, str], _Kept] = {}

    def find(self, workspace_id: int, entity: str, stamp: int) -> Schema | None:
        kept = self._kept.get((workspace_id, entity))
        return kept.schema if kept is not None and kept.stamp == stamp else None

    async def load_records(
        self, connection: Connection, shard: int, refs: Iterable[tuple[int, Ref]], stamp: int
    ) -> list[tuple[int, Record]]:
        """As ``store.batch.load_records``, with the schemas among the refs; ``stamp`` was known before this began."""
        schemas: dict[tuple[int, str], Schema | None] = {}
        rest = []
        for workspace, ref in refs:
            if ref.kind == "schema":
                schemas[workspace, str(ref.value)] = self.find(workspace, str(ref.value), stamp)
            else:
                rest.append((workspace, ref))
        records = await load_records(connection, shard, rest)
        if missing := [key for key, schema in schemas.items() if schema is None]:
            schemas |= await self._read(connection, shard, missing, stamp)
        return records + [(key[0], schema) for key, schema in schemas.items() if schema is not None]

    async def _read(
        self, connection: Connection, shard: int, keys: Sequence[tuple[int, str]], stamp: int
    ) -> dict[tuple[int, str], Schema]:
        workspaces, entities = [key[0] for key in keys], [key[1] for key in keys]
        rows = await connection.fetch(_SQL["load_schemas"], shard, workspaces, entities)
        found = {(row["workspace_id"], row["entity"]): _decode(row["documents"]) for row in rows}
        while len(self._kept) > KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        schemas = {key: make_schema(key[1], found.get(key, ())) for key in keys}
        self._kept.update((key, _Kept(schema, stamp)) for key, schema in schemas.items())
        return schemas
