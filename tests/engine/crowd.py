"""Two workspaces of 50,000 contacts each, in one shard: where plans and pages have to prove themselves."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kith.engine.apply.rows import RowMaker
from kith.engine.context.engine import Engine
from kith.ids import derive_id
from kith.model.contacts import Contact
from kith.model.properties import Schema, make_schema
from kith.model.records import Record
from kith.model.workspaces import Workspace
from kith.store import batch as store
from kith.store.database import Connection
from tests.kit import Kit, open_kit
from tests.postgres import connect

FindSchema = Callable[[int, str], Schema]
Fill = Callable[[Connection, Workspace], Awaitable[list[Contact]]]
CONTACTS = 50_000
BATCH = 5_000
GIVEN = (
    "Ada",
    "Alan",
    "Barbara",
    "Chloé",
    "Dennis",
    "Edsger",
    "Frances",
    "Grace",
    "Jean-Luc",
    "Łukasz",
    "Niklaus",
    "Óscar",
)
FAMILY = (
    "Allen",
    "Dijkstra",
    "Hopper",
    "Liskov",
    "Lovelace",
    "Müller",
    "O'Neil",
    "Perlis",
    "Ritchie",
    "Turing",
    "Wirth",
)
STAGES = ("SUBSCRIBER", "LEAD", "LEAD", "LEAD", "OPPORTUNITY", "CUSTOMER", "EVANGELIST")
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Crowd:
    """``contacts`` are those of ``workspace``; ``other`` has as many of its own that look the same.

    ``tables`` are those that hold them, and what comes with them.
    """

    kit: Kit
    workspace: Workspace
    other: Workspace
    contacts: list[Contact]
    tables: Sequence[str]

    @property
    def engine(self) -> Engine:
        return self.kit.engine

    @property
    def live(self) -> list[Contact]:
        return [contact for contact in self.contacts if contact.live]


def make_contact(workspace_id: int, number: int, chance: random.Random) -> Contact:
    """Many share a name and a moment; some lack a name, an email, a phone or any activity."""
    given, family = chance.choice(GIVEN), chance.choice(FAMILY)
    name = f"{given} {family}" if chance.random() < 0.85 else None
    status = chance.choices(("ACTIVE", "ARCHIVED", "DELETED", "MERGED"), (90, 4, 3, 3))[0]
    created_at = EPOCH + timedelta(minutes=chance.randrange(20_000))
    active_at = created_at + timedelta(hours=chance.randrange(500)) if chance.random() < 0.5 else None
    return Contact(
        external_id=derive_id("ctc", str(workspace_id), str(number)),
        number=number,
        email=f"{given[0].lower()}.{number}@example{number % 50}.com" if chance.random() < 0.8 else None,
        name=name,
        given_name=given if name else None,
        family_name=family if name else None,
        phone=f"+49 30 {number:06}" if chance.random() < 0.3 else None,
        phone_e164=None,
        avatar=None,
        status=status,  # type: ignore[arg-type]
        lifecycle_stage=chance.choice(STAGES),  # type: ignore[arg-type]
        modules=("CRM", "EMAIL") if chance.random() < 0.05 else ("CRM",),
        properties={"mrr": number % 1000, "plan": "pro"},
        activity_count=1 if active_at else 0,
        last_activity_at=active_at,
        created_at=created_at,
        updated_at=created_at,
        version=1,
    )


def find_nothing_defined(_: int, entity: str) -> Schema:
    """The schema where nothing is defined."""
    return make_schema(entity, ())


async def save(
    connection: Connection,
    workspace: Workspace,
    records: Sequence[Record],
    find_schema: FindSchema = find_nothing_defined,
) -> None:
    """As the writer does it, batch by batch."""
    for first in range(0, len(records), BATCH):
        maker = RowMaker(find_schema)
        for record in records[first : first + BATCH]:
            maker.add(workspace.id, None, record)
        rows = {name: store.to_documents(some) for name, some in maker.finish().items()}
        await store.save(connection, workspace.shard, rows)
        if first == 0:
            # As the worker does where tables grow fast: what is linked to is looked up by its number.
            await connection.execute("ANALYZE tags, lists, companies")


async def save_counter(connection: Connection, workspace: Workspace, number: int) -> None:
    """The number that the next contact gets."""
    counter = store.CounterRow(workspace_id=workspace.id, next_contact_number=number)
    await store.save(connection, workspace.shard, {"save_counters": store.to_documents([counter])})


async def fill(connection: Connection, workspace: Workspace) -> list[Contact]:
    chance = random.Random(5)
    contacts = [make_contact(workspace.id, number, chance) for number in range(1, CONTACTS + 1)]
    await save(connection, workspace, contacts)
    await save_counter(connection, workspace, CONTACTS + 1)
    return contacts


@asynccontextmanager
async def open_crowd(url: str, fill: Fill = fill, tables: Sequence[str] = ("contacts",)) -> AsyncIterator[Crowd]:
    """Of what ``fill`` saves in a workspace, with the totals and counters that belong to it."""
    async with open_kit(url) as kit:
        one, other = await kit.make_neighbours()
        async with connect(url) as connection:
            contacts = await fill(connection, one)
            await fill(connection, other)
            await connection.execute(f"VACUUM ANALYZE {', '.join(tables)}")
        yield Crowd(kit, one, other, contacts, tables)
