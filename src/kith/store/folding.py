"""Bring the columns that follow from stored text to this program's form, once, after the migration that adds them.

Only text that is not ASCII, domains in IDNA, and phone numbers in properties or with more than digits have other forms
than earlier programs stored.
"""

from typing import Any

import msgspec

from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.derived import derive_company_text, derive_contact_text, fold_link
from kith.model.properties import Property, Schema, make_schema
from kith.model.slots import to_options, to_slots
from kith.model.state import Ref
from kith.model.text import to_sort_key
from kith.store.batch import load_records, to_documents
from kith.store.database import Connection
from kith.store.queries import load_queries

WINDOW_RECORDS = 1000
_SQL = load_queries("folding")
_SCHEMAS = load_queries("properties")["load_schemas"]
_decode_properties = msgspec.json.Decoder(list[Property]).decode


async def is_folded(connection: Connection) -> bool:
    """Whether all stored text has this program's form."""
    return (await connection.fetchval(_SQL["is_folded"])) is not False


async def fold_stored_text(connection: Connection) -> None:
    """In windows, each by itself: what was interrupted begins again."""
    if await is_folded(connection):
        return
    for row in await connection.fetch(_SQL["list_workspaces"]):
        shard, workspace_id = row["shard"], row["id"]
        await _fold_records(connection, shard, workspace_id, "contact", "CONTACT")
        await _fold_records(connection, shard, workspace_id, "company", "COMPANY")
        await _fold_associations(connection, shard, workspace_id)
        names = await connection.fetch(_SQL["list_names"], shard, workspace_id)
        for kind in ("tag", "list"):
            keys = [{"number": one["id"], "name_key": to_sort_key(one["name"])} for one in names if one["kind"] == kind]
            await connection.execute(_SQL[f"fold_{kind}s"], shard, workspace_id, to_documents(keys))
    await connection.execute(_SQL["mark_folded"])


async def _fold_records(connection: Connection, shard: int, workspace_id: int, kind: str, entity: str) -> None:
    schema = await _load_schema(connection, shard, workspace_id, entity)
    table = "contacts" if kind == "contact" else "companies"
    after = 0
    while True:
        rows = await connection.fetch(_SQL[f"list_{table}"], shard, workspace_id, after, WINDOW_RECORDS)
        if not rows:
            return
        numbers = {row["id"] for row in rows}
        after = max(numbers)
        records = await load_records(connection, shard, [(workspace_id, Ref(kind, "number", one)) for one in numbers])
        # A contact that was merged comes with its winner.
        folded = {
            record.number: derive_row(record, workspace_id, schema)
            for _, record in records
            if record.number in numbers and isinstance(record, Contact | Company)
        }
        await connection.execute(_SQL[f"fold_{table}"], shard, workspace_id, to_documents(folded.values()))


def derive_row(record: Contact | Company, workspace_id: int, schema: Schema) -> dict[str, Any]:
    """The columns of a record that follow from its texts."""
    derived = (
        derive_contact_text(record, workspace_id)
        if isinstance(record, Contact)
        else derive_company_text(record, workspace_id)
    )
    return derived | {
        "number": record.number,
        "slots": to_slots(schema, record.properties),
        "options": to_options(schema, workspace_id, record.properties),
    }


async def _load_schema(connection: Connection, shard: int, workspace_id: int, entity: str) -> Schema:
    rows = await connection.fetch(_SCHEMAS, shard, [workspace_id], [entity])
    return make_schema(entity, _decode_properties(rows[0]["documents"]) if rows else ())


async def _fold_associations(connection: Connection, shard: int, workspace_id: int) -> None:
    after = (0, 0)
    while rows := await connection.fetch(_SQL["list_associations"], shard, workspace_id, *after, WINDOW_RECORDS):
        after = (rows[-1]["contact_id"], rows[-1]["company_id"])
        folded = [
            {
                "contact": row["contact_id"],
                "company": row["company_id"],
                "folded": fold_link(row["role"], msgspec.json.decode(row["properties"])),
            }
            for row in rows
        ]
        await connection.execute(_SQL["fold_associations"], shard, workspace_id, to_documents(folded))
