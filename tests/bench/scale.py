"""Whether reads stay as fast when there are a hundred times as many contacts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from statistics import median
from urllib.parse import quote

from kith.cql.ast import After, Query, Sort
from kith.engine.apply.rows import RowMaker
from kith.engine.context.engine import open_engine
from kith.engine.read.listings import ContactListing, make_condition
from kith.engine.read.query import make_cursor
from kith.ids import new_id
from kith.model.contacts import Contact
from kith.store.batch import make_counter, save, to_documents
from kith.store.database import Connection, Database
from tests.bench.client import Result
from tests.bench.figures import Figure
from tests.bench.installation import Installation
from tests.bench.lists import make_filter, make_lists
from tests.bench.people import Chance, make_person
from tests.bench.queries import LIST, MRR, PLAN, TAG, bench_queries, find_schema, link
from tests.bench.reads import PAGE, list_typed

ROUNDS = 5
CURSORS = 50
GETS = 500
LOADED_AT_ONCE = 2000
SAVED = ("insert_contacts", "insert_taggings", "insert_members")
FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)
SPAN = timedelta(days=700)
COUNT_UP = """
INSERT INTO totals (shard, workspace_id, entity, status, stage, count)
  SELECT shard, workspace_id, 'contact', status, lifecycle_stage, count(*) FROM contacts GROUP BY 1, 2, 4, 5;
UPDATE counters SET next_contact_number = (SELECT max(id) + 1 FROM contacts);
"""
MIDDLE = """
SELECT created_at::text AS key, id FROM contacts
WHERE shard = $1 AND workspace_id = $2 AND status IN ('ACTIVE', 'ARCHIVED') AND id > $3 ORDER BY id LIMIT $4
"""


def bench_scale(kiths: Mapping[int, Installation], seconds: float) -> list[Figure]:
    """Time over HTTP at 1 connection with many contacts ÷ that with few, for each read, in turns; by how many."""
    few = min(kiths)
    typed = list_searches(few)
    reads: dict[str, Callable[[Installation, int], list[str]]] = {
        "page 1": lambda _kith, _size: [PAGE],
        "typeahead": lambda _kith, _size: [f"{PAGE}/search?q={query}" for query in typed],
        "get": lambda _kith, size: [f"{PAGE}/{1 + Chance(n).roll(size)}" for n in range(GETS)],
        "deep cursor": lambda kith, size: [f"{PAGE}?cursor={cursor}" for cursor, _ in find_deep(kith, size)],
    }
    return [
        compare(name, {size: (kith, make_paths(kith, size)) for size, kith in kiths.items()}, seconds)
        for name, make_paths in reads.items()
    ] + bench_queries(kiths, seconds)


def list_searches(size: int) -> list[str]:
    """What is typed to find some of the first so many people."""
    return list_typed(range(0, size, size // 50))


def compare(name: str, asked: dict[int, tuple[Installation, list[str]]], seconds: float) -> Figure:
    """The middle of the ratios of the rounds; the first round warms up."""
    few, *_, many = asked
    rounds: list[dict[int, Result]] = []
    for _ in range(1 + ROUNDS):
        rounds.append(
            {size: kith.load(*paths, connections=1, seconds=seconds) for size, (kith, paths) in asked.items()}
        )
        assert all(set(result.statuses) == {"200"} for result in rounds[-1].values()), rounds[-1]
    del rounds[0]
    parts = {f"ms each at {size:,}": median(one[size].typical_ms for one in rounds) for size in asked}
    parts |= {f"p99 ms at {size:,}": median(one[size].p99_ms for one in rounds) for size in asked}
    return Figure(
        name=f"{name} at {many:,} contacts ÷ at {few:,} (time)",
        value=median(one[many].typical_ms / one[few].typical_ms for one in rounds),
        target=1.5,
        bound="most",
        parts=parts,
    )


def fill(kith: Installation, size: int, lists: int) -> None:
    """As many contacts as if they had come one by one over two years, with what the writer keeps beside them.

    There are so many dynamic lists too, made before the contacts, which are not on them.
    """
    asyncio.run(save_definitions(kith))
    make_lists(kith, [make_filter(n) for n in range(lists)])
    asyncio.run(save_contacts(kith, size))


async def save_definitions(kith: Installation) -> None:
    """Two properties with a slot, a tag and a list."""
    workspace = kith.workspace
    maker = RowMaker(find_schema)
    for record in (MRR, PLAN, TAG, LIST):
        maker.add(workspace.id, None, record)
    # Numbers go on behind theirs.
    maker.rows["save_counters"] = [make_counter(workspace.id, {"tag": 2, "list": 2, "property": 1002}, 1, 0)]
    async with connected(kith) as connection:
        await save(connection, workspace.shard, {name: to_documents(rows) for name, rows in maker.rows.items()})


async def save_contacts(kith: Installation, size: int) -> None:
    workspace = kith.workspace
    async with connected(kith) as connection:
        for start in range(0, size, LOADED_AT_ONCE):
            numbers = range(start, min(start + LOADED_AT_ONCE, size))
            maker = RowMaker(find_schema)
            for n in numbers:
                maker.add(workspace.id, None, link(make_contact(n, size), n))
            saved = {name: to_documents(maker.rows[name]) for name in SAVED}
            await save(connection, workspace.shard, saved)
        await connection.execute(COUNT_UP)
        for table in ("contacts", "taggings", "list_members"):
            await connection.execute(f"VACUUM (ANALYZE) {table}")
        await connection.execute("CHECKPOINT")


@asynccontextmanager
async def connected(kith: Installation) -> AsyncIterator[Connection]:
    """As the writer is."""
    database = await Database.open(kith.url, kith.settings, "writer", connections_max=1)
    try:
        async with database.acquire() as connection:
            yield connection
    finally:
        await database.close()


def make_contact(n: int, size: int) -> Contact:
    """Contact ``n + 1``: a few are archived or deleted, a third have been active since they came."""
    chance = Chance(n)
    at = FIRST_DAY + SPAN * ((n + chance.roll(1000) / 1000) / size)
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    active_at = at + (FIRST_DAY + SPAN - at) * (chance.roll(10_000) / 10_000) if chance.roll(3) == 0 else None
    person = make_person(n)
    return Contact(
        external_id=new_id("ctc", at),
        number=n + 1,
        email=person.email,
        name=person.name,
        given_name=person.given_name,
        family_name=person.family_name,
        phone=person.phone,
        phone_e164=person.phone,
        avatar=None,
        lifecycle_stage=person.lifecycle_stage,
        properties=person.properties,
        status=chance.pick(("ACTIVE",) * 96 + ("ARCHIVED", "ARCHIVED", "DELETED", "MERGED"), 1),
        modules=("CRM",),
        activity_count=chance.roll(40) if active_at else 0,
        last_activity_at=active_at,
        created_at=at,
        updated_at=active_at or at,
        version=1 + chance.roll(4),
    )


def find_deep(kith: Installation, size: int) -> list[tuple[str, str]]:
    """Places about half way down the list: (a cursor such as a client gets there page by page, the place by hand)."""
    return asyncio.run(load_deep(kith, size))


async def load_deep(kith: Installation, size: int) -> list[tuple[str, str]]:
    workspace = kith.workspace
    where = make_condition(ContactListing(), workspace)
    query = Query(("contact",), where, (Sort("createdAt", True),), limit=20)
    async with open_engine(kith.settings, kith.url) as engine:
        rows = await engine.database.fetch(MIDDLE, workspace.shard, workspace.id, size // 2, CURSORS)
        return [
            (
                make_cursor(engine, workspace, query, After((row["key"],), row["id"], "")),
                f"{quote(row['key'], safe='')}/{row['id']}",
            )
            for row in rows
        ]
