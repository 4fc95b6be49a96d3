"""Two workspaces of 50,000 contacts each, in one shard: where plans and pages have to prove themselves."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kith.engine.context import Engine
from kith.engine.rows import RowMaker
from kith.ids import derive_id
from kith.model.contacts import Contact
from kith.model.workspaces import Workspace
from kith.store import batch as store
from tests.conftest import PARTITIONS
from tests.kit import Kit, open_kit
from tests.postgres import connect

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
    """``contacts`` are those of ``workspace``; ``other`` has as many of its own that look the same."""

    kit: Kit
    workspace: Workspace
    other: Workspace
    contacts: list[Contact]

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


async def fill(url: str, workspace: Workspace) -> list[Contact]:
    """Save contacts as the writer does, with the totals and counters that belong to them."""
    chance = random.Random(5)
    contacts = [make_contact(workspace.id, number, chance) for number in range(1, CONTACTS + 1)]
    counter = store.CounterRow(workspace_id=workspace.id, next_contact_number=CONTACTS + 1)
    async with connect(url) as connection:
        for first in range(0, CONTACTS, BATCH):
            maker = RowMaker()
            for contact in contacts[first : first + BATCH]:
                maker.add(workspace.id, None, contact)
            rows = {name: store.to_documents(some) for name, some in maker.finish().items()}
            await store.save(connection, workspace.shard, rows)
        await store.save(connection, workspace.shard, {"save_counters": store.to_documents([counter])})
    return contacts


@asynccontextmanager
async def open_crowd(url: str) -> AsyncIterator[Crowd]:
    async with open_kit(url) as kit:
        made = [await kit.make_workspace() for _ in range(PARTITIONS + 1)]
        one, other = next(
            (one, other) for n, one in enumerate(made) for other in made[n + 1 :] if one.shard == other.shard
        )
        contacts = await fill(url, one)
        await fill(url, other)
        async with connect(url) as connection:
            await connection.execute("VACUUM ANALYZE contacts")
        yield Crowd(kit, one, other, contacts)
