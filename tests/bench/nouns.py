"""Writes on what contacts are linked to, next to creates; and whether a contact may have a million activities."""

import asyncio
from statistics import median

from kith.cql.ast import After, And, Comparison, Query, Sort
from kith.engine.context.engine import open_engine
from kith.engine.read.query import make_cursor
from kith.store.database import Database
from tests.bench.client import Result
from tests.bench.figures import Figure
from tests.bench.installation import Installation, drain
from tests.bench.reads import CONTACTS, READS, compare

ROUNDS = 3
PAGE_ROUNDS = 5
CONNECTIONS = 64
CURSORS = 50
LINKED_READS = (READS["get"], [str(n) for n in range(1, CONTACTS + 1)])
BUSY = 1  # the number of the contact that has so many activities
ACTIVITY = {"type": "CALL", "content": "Discussed pricing and timeline", "properties": {"outcome": "interested"}}
FILL = """
INSERT INTO activities (shard, workspace_id, id, external_id, contact_id, type, module, content, properties,
  occurred_at, created_at)
SELECT $1, $2, 1000000000 + n, 'act_bench' || n, $3, CASE n % 3 WHEN 0 THEN 'CALL' ELSE 'NOTE' END, 'CRM', 'Talked',
  '{}', timestamptz '2024-01-01' + n * interval '1 minute', timestamptz '2024-01-01' + n * interval '1 minute'
FROM generate_series($4::bigint, $5::bigint) n
"""
PLACES = """
SELECT occurred_at::text AS key, id FROM activities
WHERE shard = $1 AND workspace_id = $2 AND contact_id = $3 AND id >= $4 ORDER BY id LIMIT $5
"""


def bench_nouns(kith: Installation, requests: int, seconds: float) -> list[Figure]:
    """What is accepted a second of each write ÷ creates accepted a second, in turns; each link is a new one.

    Then a get of the contacts, which have a company, a tag and an activity of each round, as in ``reads``.
    """
    kith.create_many(requests)
    drain(kith)
    rates: dict[str, list[float]] = {}
    for n in range(1, ROUNDS + 1):
        assert_accepted(kith.post("/crm/tags", {"key": f"bench-{n}"}))
        assert_accepted(kith.post("/crm/companies", {"name": f"Bench {n}"}))
        drain(kith)
        people = [f"/crm/contacts/{number}" for number in range(1, requests + 1)]
        results = {
            "create": kith.create_many(requests, connections=CONNECTIONS),
            "activity": kith.post_each([f"{one}/activities" for one in people], ACTIVITY),
            "tag": kith.post_each([f"{one}/tags" for one in people], {"tagId": n}),
            "associate": kith.post_each([f"{one}/companies" for one in people], {"companyId": n, "role": "CTO"}),
        }
        for name, result in results.items():
            assert_accepted(result)
            rates.setdefault(name, []).append(result.per_s)
        drain(kith)
    return [
        Figure(
            name=f"{name}: accepted at {CONNECTIONS} connections ÷ creates accepted",
            value=median(one / create for one, create in zip(rates[name], rates["create"], strict=True)),
            target=0.8,
            parts={f"{name}/s": median(rates[name]), "create/s": median(rates["create"]), "requests": requests},
        )
        for name in ("activity", "tag", "associate")
    ] + [
        compare(kith, f"get with {ROUNDS} companies and tags", *LINKED_READS, connections, seconds)
        for connections in (1, 32)
    ]


def assert_accepted(result: Result) -> None:
    assert set(result.statuses) == {"202"}, result.statuses


def bench_activities(kith: Installation, count: int, seconds: float) -> Figure:
    """A page from half way down a contact's activities ÷ its first page, in time over HTTP at 1 connection."""
    kith.create_many(1)
    drain(kith)
    cursors = asyncio.run(fill(kith, count))
    first = f"/crm/contacts/{BUSY}/activities?count=none"
    deep = [f"{first}&cursor={cursor}" for cursor in cursors]
    rounds = []
    for _ in range(1 + PAGE_ROUNDS):
        pair = [kith.load(*paths, connections=1, seconds=seconds) for paths in ([first], deep)]
        assert all(set(result.statuses) == {"200"} for result in pair), pair
        rounds.append(pair)
    del rounds[0]
    return Figure(
        name=f"activities: the page half way down {count:,} ÷ page 1 (time)",
        value=median(deep.typical_ms / first.typical_ms for first, deep in rounds),
        target=1.5,
        bound="most",
        parts={
            "page 1 ms": median(first.typical_ms for first, _ in rounds),
            "half way ms": median(deep.typical_ms for _, deep in rounds),
        },
    )


async def fill(kith: Installation, count: int) -> list[str]:
    """Give the contact so many activities; cursors from half way down."""
    workspace = kith.workspace
    database = await Database.open(kith.url, kith.settings, "writer", connections_max=1)
    async with database.acquire() as connection:
        for start in range(1, count + 1, 50_000):
            last = min(start + 49_999, count)
            await connection.execute(FILL, workspace.shard, workspace.id, BUSY, start, last, timeout=120)
        await connection.execute("VACUUM (ANALYZE) activities", timeout=120)
    await database.close()
    query = Query(("activity",), And((Comparison("contactId", "eq", BUSY),)), (Sort("occurredAt", True),), limit=20)
    async with open_engine(kith.settings, kith.url) as engine:
        middle = 1_000_000_000 + count // 2
        rows = await engine.database.fetch(PLACES, workspace.shard, workspace.id, BUSY, middle, CURSORS)
        return [make_cursor(engine, workspace, query, After((row["key"],), row["id"], "")) for row in rows]
