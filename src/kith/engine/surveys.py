"""The values that records hold under a property's key: surveyed before its type changes, converted when it does."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from kith.model.properties import Property
from kith.model.rules.properties import Surveyed
from kith.model.state import Survey
from kith.model.typed_values import convert_value, fits, show_value
from kith.model.values import same_json
from kith.store.batch import to_documents
from kith.store.database import Connection
from kith.store.queries import load_queries

WINDOW_RECORDS = 10_000
EXAMPLES_MAX = 5
_SQL = load_queries("properties")
_decode = msgspec.json.Decoder(list[tuple[list[int], Any]], float_hook=Decimal).decode


class _Holder(NamedTuple):
    """Who holds the values of an entity's properties: the statements' name, how one is named, its path."""

    name: str
    ids: int
    path: str


_HOLDERS: Mapping[str, _Holder] = {
    "CONTACT": _Holder("contact", 1, "/crm/contacts/{}"),
    "COMPANY": _Holder("company", 1, "/crm/companies/{}"),
    "CONTACT_COMPANY": _Holder("association", 2, "/crm/contacts/{}/companies/{}"),
}


async def survey_values(connection: Connection, shard: int, workspace_id: int, surveyed: Surveyed) -> Survey:
    """How the values under the property's key fit it. Changes nothing."""
    return await _walk(connection, shard, workspace_id, surveyed, converting=False)


async def convert_values(connection: Connection, shard: int, workspace_id: int, one: Property) -> Survey:
    """Bring the values that fit into the property's form; what does not fit stays as it is, and is told of."""
    return await _walk(connection, shard, workspace_id, Surveyed(one, None), converting=True)


async def _walk(
    connection: Connection, shard: int, workspace_id: int, surveyed: Surveyed, *, converting: bool
) -> Survey:
    """All records of the entity, window by window in the order of their ids, deleted ones too: they may come back."""
    one, before = surveyed
    holder = _HOLDERS[one.entity]
    after = [0] * holder.ids
    values = converted = misfits = 0
    examples: list[tuple[str, str, str]] = []
    while True:
        row = await connection.fetchrow(
            _SQL[f"load_{holder.name}_values"], shard, workspace_id, one.key, WINDOW_RECORDS, *after
        )
        assert row is not None
        if row["last"] is None or row["last"][0] is None:
            return Survey(values=values, converted=converted, misfits=misfits, examples=tuple(examples))
        after = row["last"]
        changed: list[tuple[list[int], Any]] = []
        for ids, value in _decode(row["held"]):
            values += 1
            try:
                normal = convert_value(one, value)
            except ValueError as error:
                if before is not None and not fits(before, value):
                    continue
                misfits += 1
                if len(examples) < EXAMPLES_MAX:
                    examples.append((holder.path.format(*ids), show_value(value), str(error)))
                continue
            if not same_json(normal, value):
                changed.append((ids, normal))
        converted += len(changed)
        if converting and changed:
            statement = _SQL[f"save_{holder.name}_values"]
            await connection.execute(statement, shard, workspace_id, one.key, to_documents(changed))
