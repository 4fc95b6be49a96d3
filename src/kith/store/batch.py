"""Loading what a batch of commands touches and saving what became of it: one round trip for each kind."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from kith.errors import ConflictingWriter
from kith.model.actors import Actor
from kith.model.records import Record
from kith.model.serialization import from_document
from kith.model.state import Ref
from kith.model.system_properties import FIRST_CUSTOM_NUMBER
from kith.store.database import Connection
from kith.store.queries import load_queries

_BATCH = load_queries("batch")
_OPERATIONS = load_queries("operations")
NOTHING = "[]"
_encoder = msgspec.json.Encoder(decimal_format="number")

# How the records of a kind are loaded, and by which claim.
_LOADS: Mapping[str, tuple[str, str | None]] = {
    "contact": (load_queries("contacts")["load_contacts"], "email"),
    "company": (load_queries("companies")["load_companies"], "domain"),
    "tag": (load_queries("tags")["load_tags"], "tag_key"),
    "activity": (load_queries("activities")["load_activities"], None),
    "list": (load_queries("lists")["load_lists"], None),
    "property": (load_queries("properties")["load_properties"], None),
}
KINDS = ("contact", "company", "tag", "activity", "list", "property")
CLAIMED_BY = {claim: kind for kind, (_, claim) in _LOADS.items() if claim is not None}

# The statements that save a batch, in their order: what gives something free goes before what takes it.
SAVES: Mapping[str, str] = {
    name: load_queries(file)[name]
    for file, name in (
        ("contacts", "release_emails"),
        ("contacts", "update_contacts"),
        ("contacts", "insert_contacts"),
        ("companies", "release_domains"),
        ("companies", "update_companies"),
        ("companies", "insert_companies"),
        ("tags", "delete_tags"),
        ("tags", "update_tags"),
        ("tags", "insert_tags"),
        ("lists", "delete_lists"),
        ("lists", "update_lists"),
        ("lists", "insert_lists"),
        ("associations", "delete_associations"),
        ("associations", "save_associations"),
        ("tags", "delete_taggings"),
        ("tags", "insert_taggings"),
        ("lists", "delete_members"),
        ("lists", "insert_members"),
        ("lists", "add_list_counts"),
        ("companies", "add_company_counts"),
        ("tags", "add_tag_counts"),
        ("properties", "update_properties"),
        ("properties", "insert_properties"),
        ("activities", "insert_activities"),
        ("activities", "save_merges"),
        ("activities", "move_activities"),
        ("contacts", "redirect_merged"),
    )
}
# What follows them in one statement, in the order of its parameters.
OUTCOME = ("insert_events", "insert_operations", "add_totals", "save_counters")


class OperationRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A row of ``operations``: what became of a command."""

    workspace_id: int
    id: str
    type: str
    status: str
    position: int
    resource: str
    error: dict[str, Any] | None
    result: dict[str, Any] | None
    fingerprint: str | None
    answer: str | None
    actor: Actor | None
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
    actor: Actor | None
    data: Any


class CounterRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a workspace hands out next."""

    workspace_id: int
    next_contact_number: int = 1
    next_company_number: int = 1
    next_tag_number: int = 1
    next_activity_number: int = 1
    next_list_number: int = 1
    next_property_number: int = FIRST_CUSTOM_NUMBER
    next_event_sequence: int = 1
    history_bytes: int = 0

    @property
    def numbers(self) -> dict[str, int]:
        """The next number of each kind of record."""
        return {kind: getattr(self, f"next_{kind}_number") for kind in KINDS}


def make_counter(
    workspace_id: int, numbers: Mapping[str, int], next_event_sequence: int, history_bytes: int
) -> CounterRow:
    fields = {f"next_{kind}_number": number for kind, number in numbers.items()}
    return CounterRow(
        workspace_id=workspace_id, next_event_sequence=next_event_sequence, history_bytes=history_bytes, **fields
    )


def to_documents(rows: Iterable[msgspec.Struct | dict[str, Any] | tuple[Any, ...]]) -> str:
    """The rows as one JSON array, for ``jsonb_to_recordset``."""
    return _encoder.encode(rows if isinstance(rows, list) else list(rows)).decode()


def to_event_documents(events: Iterable[EventRow]) -> tuple[str, Counter[int]]:
    """(the rows as one JSON array, how many bytes those of each workspace have)."""
    encoded = [(event.workspace_id, _encoder.encode(event)) for event in events]
    sizes: Counter[int] = Counter()
    for workspace_id, document in encoded:
        sizes[workspace_id] += len(document)
    return f"[{b','.join([document for _, document in encoded]).decode()}]", sizes


async def load_records(connection: Connection, shard: int, refs: Iterable[tuple[int, Ref]]) -> list[tuple[int, Record]]:
    """The records that are there, as (workspace, record), and those that deciding on them needs too.

    One may come more than once. Refs are (workspace, ref); a statement for each kind among them.
    """
    by_kind: dict[str, dict[str, list[tuple[int, Any]]]] = {}
    for workspace_id, ref in refs:
        by_kind.setdefault(ref.kind, {}).setdefault(ref.by, []).append((workspace_id, ref.value))
    found = []
    for kind, named in sorted(by_kind.items()):
        statement, claim = _LOADS[kind]
        values: list[Any] = []
        for by in ("external_id", "number", claim):
            if by is None:
                continue
            pairs = named.get(by, ())
            values += ([workspace_id for workspace_id, _ in pairs], [value for _, value in pairs])
        rows = await connection.fetch(statement, shard, *values)
        found += [(row["workspace_id"], from_document(kind, row["document"])) for row in rows]
    return found


class BatchStart(NamedTuple):
    """What each workspace of a batch hands out next, and which (workspace, operation) of it are applied already."""

    counters: dict[int, CounterRow]
    known: set[tuple[int, str]]


async def load_batch_start(
    connection: Connection, shard: int, ids: Sequence[tuple[int, str]], first: datetime, end: datetime
) -> BatchStart:
    """For the (workspace, operation) of a batch; ``first`` ≤ created < ``end``. One that never wrote begins at 1."""
    workspaces = sorted({workspace for workspace, _ in ids})
    rows = await connection.fetch(
        _BATCH["load_batch_start"],
        shard,
        workspaces,
        [workspace for workspace, _ in ids],
        [operation_id for _, operation_id in ids],
        first,
        end,
    )
    found = BatchStart({workspace: CounterRow(workspace_id=workspace) for workspace in workspaces}, set())
    for row in rows:
        workspace, operation_id = row["workspace_id"], row["operation_id"]
        if operation_id is not None:
            found.known.add((workspace, operation_id))
        else:
            found.counters[workspace] = CounterRow(
                **{name: value for name, value in row.items() if name != "operation_id"}
            )
    return found


async def move_cursor(
    connection: Connection, shard: int, expected: int, position: int, schema_position: int | None = None
) -> None:
    """Move the cursor on. ``schema_position`` is given where properties or lists change.

    Raises ConflictingWriter where the cursor is not where this writer left it.
    """
    moved = await connection.fetchrow(_OPERATIONS["move_cursor"], shard, expected, position, schema_position)
    if moved is None:
        raise ConflictingWriter(
            f"Another writer has moved the cursor of partition {shard} on from {expected}. Only one writer may own a"
            " partition; this one stops."
        )


async def save(connection: Connection, shard: int, rows: Mapping[str, str]) -> None:
    """Run the statements of ``SAVES`` that there are documents for, in their order, and that of ``OUTCOME``."""
    for name, statement in SAVES.items():
        if (documents := rows.get(name, NOTHING)) != NOTHING:
            await connection.execute(statement, shard, documents)
    outcome = [rows.get(name, NOTHING) for name in OUTCOME]
    if any(documents != NOTHING for documents in outcome):
        await connection.execute(_BATCH["save_outcome"], shard, *outcome)


async def warm_up(connection: Connection) -> None:
    """Plan every statement of a batch before the first command waits for it, by saving nothing."""
    nowhere, nobody, now = -1, [(-1, "")], datetime.now(UTC)
    async with connection.transaction():
        await load_records(connection, nowhere, [(-1, Ref(kind, "external_id", "")) for kind in _LOADS])
        await load_batch_start(connection, nowhere, nobody, now, now)
        await connection.fetchrow(_OPERATIONS["move_cursor"], nowhere, 0, 0, None)
        for statement in SAVES.values():
            await connection.execute(statement, nowhere, NOTHING)
        await connection.execute(_BATCH["save_outcome"], nowhere, *[NOTHING for _ in OUTCOME])
