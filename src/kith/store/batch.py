"""Loading what a batch of commands touches and saving what became of it: one round trip for each kind."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from kith.errors import ConflictingWriter
from kith.model.contacts import Contact, from_document
from kith.model.search import to_lexemes, to_name_key
from kith.store.database import Connection
from kith.store.queries import load_queries

_CONTACTS = load_queries("contacts")
_OPERATIONS = load_queries("operations")
_encoder = msgspec.json.Encoder(decimal_format="number")


class ContactRow(Contact, frozen=True, kw_only=True, gc=False):
    """A row of ``contacts``: the record, and the columns that are derived from it."""

    workspace_id: int
    name_key: str | None
    family_key: str | None
    words: str


class OperationRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A row of ``operations``: what became of a command."""

    workspace_id: int
    id: str
    type: str
    status: str
    position: int
    resource: str
    error: dict[str, Any] | None
    fingerprint: str | None
    answer: str | None
    created_at: datetime
    applied_at: datetime


class EventRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A row of ``events``."""

    workspace_id: int
    sequence: int
    type: str
    resource: str
    operation_id: str
    at: datetime
    data: Any


class TotalRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a batch adds to a kept count."""

    workspace_id: int
    entity: str
    status: str
    stage: str
    count: int


class CounterRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a workspace hands out next."""

    workspace_id: int
    next_contact_number: int
    next_event_sequence: int


class ContactKeys(msgspec.Struct, frozen=True):
    """Contacts to load, as (workspace, key) pairs."""

    external_ids: Sequence[tuple[int, str]] = ()
    numbers: Sequence[tuple[int, int]] = ()
    emails: Sequence[tuple[int, str]] = ()


def to_row(contact: Contact, workspace_id: int) -> ContactRow:
    assert contact.number is not None
    return ContactRow(
        **msgspec.structs.asdict(contact),
        workspace_id=workspace_id,
        name_key=to_name_key(contact.name),
        family_key=to_name_key(contact.family_name),
        words=to_lexemes(contact, workspace_id),
    )


def to_documents(rows: Iterable[msgspec.Struct | dict[str, Any]]) -> str:
    """The rows as one JSON array, for ``jsonb_to_recordset``."""
    return _encoder.encode(rows if isinstance(rows, list) else list(rows)).decode()


async def load_contacts(connection: Connection, shard: int, keys: ContactKeys) -> list[tuple[int, Contact]]:
    """The contacts that are there, as (workspace, contact); one may come more than once."""
    if not (keys.external_ids or keys.numbers or keys.emails):
        return []
    rows = await connection.fetch(
        _CONTACTS["load_contacts"],
        shard,
        [workspace for workspace, _ in keys.external_ids],
        [key for _, key in keys.external_ids],
        [workspace for workspace, _ in keys.numbers],
        [key for _, key in keys.numbers],
        [workspace for workspace, _ in keys.emails],
        [key for _, key in keys.emails],
    )
    return [(row["workspace_id"], from_document(row["document"])) for row in rows]


async def load_counters(connection: Connection, shard: int, workspace_ids: Sequence[int]) -> dict[int, CounterRow]:
    """What each workspace hands out next; one that never wrote begins at 1."""
    rows = await connection.fetch(_CONTACTS["load_counters"], shard, workspace_ids)
    found = {row["workspace_id"]: CounterRow(**dict(row)) for row in rows}
    for workspace_id in workspace_ids:
        found.setdefault(
            workspace_id, CounterRow(workspace_id=workspace_id, next_contact_number=1, next_event_sequence=1)
        )
    return found


async def load_known_operations(
    connection: Connection, shard: int, ids: Sequence[tuple[int, str]], first: datetime, end: datetime
) -> set[tuple[int, str]]:
    """Those of the (workspace, operation) pairs that are applied already; ``first`` ≤ created < ``end``."""
    rows = await connection.fetch(
        _OPERATIONS["load_operations"],
        shard,
        [workspace for workspace, _ in ids],
        [operation_id for _, operation_id in ids],
        first,
        end,
    )
    return {(row["workspace_id"], row["id"]) for row in rows}


async def move_cursor(connection: Connection, shard: int, expected: int, position: int) -> None:
    """Raises ConflictingWriter where the cursor is not where this writer left it."""
    if await connection.fetchrow(_OPERATIONS["move_cursor"], shard, expected, position) is None:
        raise ConflictingWriter(
            f"Another writer has moved the cursor of partition {shard} on from {expected}. Only one writer may own a"
            " partition; this one stops."
        )


async def save_rows(connection: Connection, shard: int, statement: str, rows: list[Any] | str) -> None:
    """Run a statement that takes rows as documents, or the documents made before; nothing where there are none."""
    documents = rows if isinstance(rows, str) else to_documents(rows)
    if documents != "[]":
        await connection.execute(statement, shard, documents)


async def warm_up(connection: Connection) -> None:
    """Plan every statement of a batch before the first command waits for it, by saving nothing."""
    nowhere, nobody, now = -1, [(-1, "")], datetime.now(UTC)
    async with connection.transaction():
        await load_contacts(connection, nowhere, ContactKeys(external_ids=nobody, emails=nobody))
        await load_counters(connection, nowhere, [-1])
        await load_known_operations(connection, nowhere, nobody, now, now)
        await connection.fetchrow(_OPERATIONS["move_cursor"], nowhere, 0, 0)
        for name in ("insert_contacts", "update_contacts", "save_counters", "add_totals"):
            await connection.execute(_CONTACTS[name], nowhere, "[]")
        for name in ("insert_operations", "insert_events"):
            await connection.execute(_OPERATIONS[name], nowhere, "[]")


async def insert_contacts(connection: Connection, shard: int, rows: list[ContactRow]) -> None:
    await save_rows(connection, shard, _CONTACTS["insert_contacts"], rows)


async def release_emails(connection: Connection, shard: int, rows: list[ContactRow]) -> None:
    await save_rows(connection, shard, _CONTACTS["release_emails"], rows)


async def update_contacts(connection: Connection, shard: int, rows: list[ContactRow]) -> None:
    await save_rows(connection, shard, _CONTACTS["update_contacts"], rows)


async def save_counters(connection: Connection, shard: int, rows: list[CounterRow]) -> None:
    await save_rows(connection, shard, _CONTACTS["save_counters"], rows)


async def add_totals(connection: Connection, shard: int, rows: list[TotalRow]) -> None:
    await save_rows(connection, shard, _CONTACTS["add_totals"], rows)


async def insert_operations(connection: Connection, shard: int, rows: list[OperationRow] | str) -> None:
    await save_rows(connection, shard, _OPERATIONS["insert_operations"], rows)


async def insert_events(connection: Connection, shard: int, rows: list[EventRow] | str) -> None:
    await save_rows(connection, shard, _OPERATIONS["insert_events"], rows)


async def count_dead_letters(connection: Connection, shard: int, first: int, end: int) -> int:
    """How many of the positions from ``first`` to before ``end`` were set aside."""
    return int(await connection.fetchval(_OPERATIONS["count_dead_letters"], shard, first, end))


async def insert_dead_letter(
    connection: Connection,
    shard: int,
    position: int,
    workspace_id: int,
    operation_id: str | None,
    entry: bytes,
    reason: str,
) -> None:
    """``reason`` may hold any text, also such as PostgreSQL does not take."""
    storable = reason.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
    await connection.execute(
        _OPERATIONS["insert_dead_letter"], shard, position, workspace_id, operation_id, entry, storable
    )
