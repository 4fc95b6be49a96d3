"""How fast the writer applies creates, next to a bare insert of the same rows into the same table."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import asyncpg
import msgspec

from kith.engine.apply.rows import RowMaker
from kith.engine.context.engine import load_installation
from kith.ids import new_id
from kith.log.factory import open_log
from kith.model.codec import encode_envelope
from kith.model.commands import Command, CreateContact, Envelope
from kith.model.contacts import Contact, ContactInput, make_contact_changes
from kith.model.decide import Accepted, decide, touches
from kith.model.state import State
from kith.settings import Settings
from kith.store.batch import to_documents
from kith.store.database import Database
from kith.store.queries import load_queries
from tests.bench.figures import Figure
from tests.bench.installation import Installation, drain, find_heads
from tests.bench.people import make_person
from tests.engine.crowd import find_nothing_defined

ROUNDS = 5
BATCH = Settings().batch_commands_max
# Who is inserted by hand is nobody whom the writer makes, in the same workspace: its part of each index is as large.
BY_HAND_FROM = 500_000_000
INSERT = load_queries("contacts")["insert_contacts"]
APPENDED_AT_ONCE = 1000


def bench_apply(kith: Installation, creates: int, people_from: int = 50_000_000) -> Figure:
    """Creates applied a second by the writer, from a backlog ÷ rows inserted a second, in turns."""
    each = creates // ROUNDS
    applied_s = inserted_s = cpu_s = 0.0
    for n in range(ROUNDS):
        first = people_from + n * each
        inserted_s += time_insert(kith, first, each)
        seconds, used_s = time_apply(kith, first, each)
        applied_s += seconds
        cpu_s += used_s
    count = each * ROUNDS
    return Figure(
        name="apply: creates from a backlog ÷ bare INSERT",
        value=inserted_s / applied_s,
        target=0.5,
        parts={
            "applied/s": count / applied_s,
            "inserted/s": count / inserted_s,
            "creates": count,
            "applied µs each": applied_s * 1e6 / count,
            "inserted µs each": inserted_s * 1e6 / count,
            "writer's processor µs each": cpu_s * 1e6 / count,
        },
    )


def time_apply(kith: Installation, first: int, count: int) -> tuple[float, float]:
    """As ``time_backlog``, of creates."""
    at = now()
    return time_backlog(kith, [make_command(n, at) for n in range(first, first + count)])


def time_backlog(kith: Installation, commands: Sequence[Command]) -> tuple[float, float]:
    """(seconds from when the writer may go on to when the log is applied, its processor time)."""
    entries = [encode_envelope(make_envelope(kith.workspace.id, command)) for command in commands]
    kith.pause("writer")
    asyncio.run(append(kith, entries))
    heads = find_heads(kith)
    before = kith.measure_cpu_s()["writer"]
    began_s = time.monotonic()
    kith.resume("writer")
    _, drained_s = drain(kith, 0.005, heads)
    return drained_s - began_s, kith.measure_cpu_s()["writer"] - before


def time_insert(kith: Installation, first: int, count: int) -> float:
    """Seconds for the same rows, in batches as large as the writer's, each a transaction; texts made before."""
    maker = RowMaker(find_nothing_defined)
    for n in range(BY_HAND_FROM + first, BY_HAND_FROM + first + count):
        maker.add(kith.workspace.id, None, make_contact(n))
    rows = maker.rows["insert_contacts"]
    documents = [to_documents(rows[start : start + BATCH]) for start in range(0, count, BATCH)]
    return asyncio.run(insert(kith, documents))


async def insert(kith: Installation, documents: Sequence[str]) -> float:
    connection = await asyncpg.connect(kith.url)
    try:
        statement = await connection.prepare(INSERT)
        began_s = time.monotonic()
        for document in documents:
            await statement.fetch(kith.workspace.shard, document)
        return time.monotonic() - began_s
    finally:
        await connection.close()


async def append(kith: Installation, entries: Sequence[bytes]) -> None:
    """Put the entries on the log, in their order, as the API does."""
    database = await Database.open(kith.url, kith.settings, "reader", connections_max=2)
    workspace = kith.workspace
    try:
        partitions = (await load_installation(database)).partitions
        async with open_log(kith.settings, database, kith.url, partitions) as log:
            for start in range(0, len(entries), APPENDED_AT_ONCE):
                group = entries[start : start + APPENDED_AT_ONCE]
                await asyncio.gather(*(log.append(workspace.shard, workspace.id, entry) for entry in group))
    finally:
        await database.close()


def make_command(n: int, at: datetime) -> CreateContact:
    """What the API makes of a POST of person ``n``."""
    fields = msgspec.convert(msgspec.to_builtins(make_person(n)), ContactInput)
    return CreateContact(contact_id=new_id("ctc", at), **make_contact_changes(fields))


def make_envelope(workspace_id: int, command: Command) -> Envelope:
    at = now()
    return Envelope(operation_id=new_id("op", at), workspace_id=workspace_id, at=at, key_id=1, command=command)


def make_contact(n: int) -> Contact:
    """What the writer makes of it, with ``n`` for its number."""
    at = now()
    command = make_command(n, at)
    state = State({"contact": n})
    state.mark_absent(touches(command))
    decision = decide(state, command, at)
    assert isinstance(decision, Accepted)
    contact = decision.events[0].record
    assert isinstance(contact, Contact)
    return contact


def now() -> datetime:
    at = datetime.now(UTC)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
