"""What the worker does by the clock: partitions made ahead, operations and log entries let go, and nothing else."""

from contextlib import AsyncExitStack
from datetime import timedelta

import asyncpg
import pytest

from kith.clock import FixedClock
from kith.engine.jobs.maintenance import analyze_grown, maintain, trim_log
from kith.errors import NotFound
from kith.ids import new_id
from kith.model.commands import CreateList
from kith.store.partitions import drop_operations, make_partitions
from tests.engine.acts import Acts, fetch_all, to_id
from tests.kit import SETTINGS, Kit
from tests.postgres import connect

PARTITIONS = (
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    " WHERE i.inhparent = $1::text::regclass ORDER BY 1"
)


@pytest.fixture
async def timed_acts(timed_kit: Kit) -> Acts:
    return Acts(timed_kit.engine, await timed_kit.make_workspace())


async def list_partitions(url: str, table: str) -> list[str]:
    return [name for (name,) in await fetch_all(url, PARTITIONS, table)]


async def test_partitions_are_made_a_week_and_two_months_ahead(timed_kit: Kit) -> None:
    days = [f"operations_202603{day:02}" for day in range(3, 12)]
    assert await list_partitions(timed_kit.url, "operations") == [*days, "operations_default"]
    months = ["events_20260301", "events_20260401", "events_20260501", "events_default"]
    assert await list_partitions(timed_kit.url, "events") == months


async def test_making_partitions_again_makes_those_that_are_missing(timed_kit: Kit, clock: FixedClock) -> None:
    async with connect(timed_kit.url) as connection:
        assert await make_partitions(connection, clock.now()) == []
        clock.advance(86_400 * 300)
        made = await make_partitions(connection, clock.now())
    assert "operations_20261229" in made
    assert "events_20270201" in made, "the year turns"


async def test_rows_go_to_the_partition_of_their_time(timed_kit: Kit, timed_acts: Acts) -> None:
    await timed_acts.create(name="Ada")
    await timed_kit.drain()
    for table, partition in (("operations", "operations_20260304"), ("events", "events_20260301")):
        rows = await fetch_all(timed_kit.url, f"SELECT tableoid::regclass::text FROM {table}")
        assert rows == [(partition,)]


async def test_without_partitions_the_writer_goes_on_and_the_rows_are_found(
    timed_kit: Kit, timed_acts: Acts, clock: FixedClock
) -> None:
    """A worker that was down for long: rows lie in the default partition, which is no reason to fail later."""
    clock.advance(86_400 * 100)
    written = await timed_acts.create(name="Ada")
    await timed_kit.drain()
    assert (await timed_acts.get_operation(written.operation.id)).status == "APPLIED"
    async with connect(timed_kit.url) as connection:
        made = await make_partitions(connection, clock.now())
    assert "operations_20260612" not in made
    assert "operations_20260613" in made
    assert (await timed_acts.get_operation(written.operation.id)).status == "APPLIED"


async def test_old_operations_go_by_whole_days(timed_kit: Kit, timed_acts: Acts, clock: FixedClock) -> None:
    old = await timed_acts.create(name="Ada")
    await timed_kit.drain()
    clock.advance(86_400 * 2)
    young = await timed_acts.create(name="Eve")
    await timed_kit.drain()
    clock.advance(86_400 * 6)
    async with connect(timed_kit.url) as connection:
        before = clock.now() - timedelta(days=SETTINGS.operation_retention_d)
        assert await drop_operations(connection, before) == ["operations_20260303", "operations_20260304"]
        assert await drop_operations(connection, before) == []
    with pytest.raises(NotFound, match="7 days"):
        await timed_acts.get_operation(old.operation.id)
    assert (await timed_acts.get_operation(young.operation.id)).status == "APPLIED"
    assert (await timed_acts.get(to_id(old)))["name"] == "Ada", "what it made stays"


async def test_old_operations_outside_of_all_days_go_too(timed_kit: Kit, timed_acts: Acts, clock: FixedClock) -> None:
    clock.advance(86_400 * 100)
    await timed_acts.create(name="Ada")
    await timed_kit.drain()
    clock.advance(86_400 * 8)
    await maintain(timed_kit.engine.database, clock, SETTINGS)
    assert await timed_acts.fetch("SELECT FROM operations WHERE workspace_id = $1") == []


async def test_dropping_a_day_gives_way_to_who_reads_it(
    timed_kit: Kit, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kith.store.partitions.LOCK_TIMEOUT", "10ms")
    clock.advance(86_400 * 30)
    async with connect(timed_kit.url) as reader, connect(timed_kit.url) as connection:
        transaction = reader.transaction()
        await transaction.start()
        await reader.execute("SELECT FROM operations")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await drop_operations(connection, clock.now())
        await transaction.rollback()
        assert len(await drop_operations(connection, clock.now())) == 9


async def age_log(url: str, hours: int) -> None:
    """As if every entry had been appended so long ago by the clock of the test, which stands in the past."""
    async with connect(url) as connection:
        await connection.execute(
            "UPDATE command_log SET appended_at = timestamptz '2026-03-04 05:06:07Z' - $1 * interval '1 hour'", hours
        )


async def test_the_log_is_trimmed_of_what_is_applied_and_old(
    timed_kit: Kit, timed_acts: Acts, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kith.engine.jobs.maintenance.TRIM_ENTRIES_MAX", 4)
    for n in range(10):
        await timed_acts.create(name=f"Ada {n}")
    database = timed_kit.engine.database
    await age_log(timed_kit.url, 25)
    assert await trim_log(database, clock, SETTINGS) == 0, "nothing is applied yet"
    await timed_kit.drain()
    await timed_acts.create(name="Eve")
    await age_log(timed_kit.url, 23)
    assert await trim_log(database, clock, SETTINGS) == 0, "nothing is old yet"
    await age_log(timed_kit.url, 25)
    assert await trim_log(database, clock, SETTINGS) == 10
    await timed_kit.drain()
    assert (await timed_acts.get("11"))["name"] == "Eve"


async def test_after_a_trim_positions_go_on(timed_kit: Kit, timed_acts: Acts, clock: FixedClock) -> None:
    await timed_acts.create(name="Ada")
    await timed_kit.drain()
    await age_log(timed_kit.url, 25)
    await trim_log(timed_kit.engine.database, clock, SETTINGS)
    written = await timed_acts.create(name="Eve")
    assert written.operation.number == 2
    await timed_kit.drain()
    assert (await timed_acts.get("2"))["name"] == "Eve"


async def test_a_table_that_has_grown_is_analyzed_once(own_kit: Kit, own_acts: Acts) -> None:
    database = own_kit.engine.database
    assert await analyze_grown(database) == []
    for n in range(60):
        made = CreateList(list_id=new_id("lst", own_kit.engine.clock.now()), name=f"{n}", entity_type="CONTACT")
        await own_acts.append(own_acts.make_envelope(name=f"{n}"), own_acts.make_envelope(made))
    await own_kit.drain()
    # Statistics are sent when a connection has been idle for a while, or is asked to.
    writing = own_kit.writer._database
    async with AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(writing.acquire()) for _ in writing._idle]
        for connection in idle:
            await connection.execute("SELECT pg_stat_force_next_flush()")
    assert sorted(await analyze_grown(database)) == ["contacts", "lists"]
    assert await analyze_grown(database) == []
