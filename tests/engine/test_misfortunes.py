"""Misfortunes that are nobody's fault, and limits that keep one client's from becoming everybody's."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import asyncpg
import msgspec
import pytest

from kith.clock import FixedClock
from kith.engine.accept.operations import wait_until_readable
from kith.engine.apply import writer as apply
from kith.engine.apply.decisions import Decided
from kith.errors import BrokenLog, Exposed, NotFound, PoisonedLog, Unavailable
from kith.log.postgres import PostgresLog
from kith.model.search import QUERY_TERMS_MAX, list_terms
from tests.engine.acts import Acts
from tests.kit import SETTINGS, Kit, open_kit
from tests.postgres import connect

KEY = {"idempotency_key": "once", "fingerprint": b"1"}
CONTACTS = "SELECT count(*) FROM contacts WHERE workspace_id = $1"


async def execute(kit: Kit, *statements: str) -> None:
    async with connect(kit.url) as connection:
        for statement in statements:
            await connection.execute(statement)


async def test_a_schema_that_does_not_fit_is_no_fault_of_the_commands(own_kit: Kit, own_acts: Acts) -> None:
    written = [await own_acts.create(name=f"Ada {n}") for n in range(5)]
    await execute(own_kit, "ALTER TABLE totals RENAME count TO counted")
    with pytest.raises(asyncpg.UndefinedColumnError):
        await own_kit.writer.drain()
    await execute(own_kit, "ALTER TABLE totals RENAME counted TO count")
    await own_kit.drain()
    assert {(await own_acts.get_operation(one.operation.id)).status for one in written} == {"APPLIED"}


@pytest.mark.parametrize(
    ("code", "error"),
    [("53100", asyncpg.DiskFullError), ("40P01", asyncpg.DeadlockDetectedError)],
    ids=["a full disk", "a deadlock"],
)
async def test_what_postgresql_cannot_do_just_now_is_no_fault_of_the_commands(
    own_kit: Kit, own_acts: Acts, code: str, error: type[Exception]
) -> None:
    written = [await own_acts.create(name=f"Ada {n}") for n in range(5)]
    await execute(own_kit, *fail_on("contacts", code))
    with pytest.raises(error):
        await own_kit.writer.drain()
    await execute(own_kit, "DROP FUNCTION fail CASCADE")
    await own_kit.drain()
    assert {(await own_acts.get_operation(one.operation.id)).status for one in written} == {"APPLIED"}


async def test_a_log_whose_disk_is_full_refuses_writes_and_takes_them_when_there_is_room(
    own_kit: Kit, own_acts: Acts
) -> None:
    await execute(own_kit, *fail_on("command_log", "53100"))
    with pytest.raises(Unavailable):
        await own_acts.create(email="ada@example.com")
    await execute(own_kit, "DROP FUNCTION fail CASCADE")
    await own_acts.create(email="ada@example.com")
    await own_kit.drain()
    assert await own_acts.fetch(CONTACTS) == [(1,)]


def fail_on(table: str, code: str) -> tuple[str, str]:
    """Statements that have every insert into the table fail as PostgreSQL itself would."""
    body = f"BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '{code}'; END"
    return (
        f"CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $${body}$$",
        f"CREATE TRIGGER fail BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION fail()",
    )


async def test_when_everything_is_poison_the_writer_stops(
    own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty entries are set aside; then the fault is taken to be the program's, and the rest is kept."""

    def fail(*_: Any) -> Decided:
        raise ValueError("a wrong build")

    for n in range(25):
        await own_acts.create(name=f"Ada {n}")
    monkeypatch.setattr(apply, "decide_batch", fail)
    for _ in range(2):
        with pytest.raises(PoisonedLog, match="a wrong build"):
            await own_kit.writer.drain()
    monkeypatch.undo()
    await own_kit.drain()
    assert await own_acts.fetch(CONTACTS) == [(5,)]


@pytest.mark.parametrize("position", [2, 3], ids=["a gap", "a missing end"])
async def test_a_log_that_lacks_entries_stops_the_writer(own_kit: Kit, own_acts: Acts, position: int) -> None:
    for n in range(3):
        await own_acts.create(name=f"Ada {n}")
    await execute(own_kit, f"DELETE FROM command_log WHERE position = {position}")
    with pytest.raises(BrokenLog, match=r"does not go on"):
        await own_kit.writer.drain()


async def test_a_write_that_may_be_on_the_log_is_settled_by_its_retry_also_past_midnight(
    timed_kit: Kit, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts = Acts(timed_kit.engine, await timed_kit.make_workspace())
    append = PostgresLog.append

    async def lose_the_answer(*arguments: Any) -> int:
        await append(*arguments)
        raise Unavailable("no answer came")

    clock.advance(86_399.9 - (clock.now() - clock.now().replace(hour=0, minute=0, second=0)).total_seconds())
    monkeypatch.setattr(PostgresLog, "append", lose_the_answer)
    with pytest.raises(Unavailable):
        await acts.create(acts.make_request(**KEY), name="Ada")
    monkeypatch.undo()
    clock.advance(1)
    with pytest.raises(Exposed) as reused:
        await acts.create(acts.make_request(idempotency_key="once", fingerprint=b"2"), name="Eve")
    assert reused.value.code == "IDEMPOTENCY_KEY_REUSED"
    retry = await acts.create(acts.make_request(**KEY), name="Ada")
    assert retry.replayed
    await timed_kit.drain()
    assert await acts.fetch(CONTACTS) == [(1,)]
    assert (await acts.get_operation(retry.operation.id)).status == "APPLIED"


async def test_who_waits_gets_the_committed_record_whoever_else_reads(own_kit: Kit, own_acts: Acts) -> None:
    async with own_kit.living_writer():
        with own_acts.engine.pending.reading():
            written = await own_acts.create(own_acts.make_request(wait_s=30), name="Ada")
    assert written.waited
    assert "pending" not in msgspec.json.decode(written.data)


async def test_writes_are_refused_when_too_many_wait_for_the_writer(database_url: str) -> None:
    async with open_kit(database_url, msgspec.structs.replace(SETTINGS, pending_writes_max=2)) as kit:
        acts = Acts(kit.engine, await kit.make_workspace())
        for n in range(2):
            await acts.create(name=f"Ada {n}")
        with pytest.raises(Unavailable, match="2 writes wait"):
            await acts.create(name="Eve")
        await kit.drain()
        await acts.create(name="Eve")


async def test_an_operation_from_beyond_the_calendar_is_not_found(own_acts: Acts) -> None:
    with pytest.raises(NotFound):
        await own_acts.get_operation("op_7zzzzzzzzze008000000000c1s")


async def test_waiting_for_what_never_comes_leaves_nothing_behind(own_acts: Acts) -> None:
    for _ in range(3):
        with pytest.raises(Exposed):
            await wait_until_readable(own_acts.engine, own_acts.workspace, f"{own_acts.workspace.shard}-999", 0.001)
    assert not any(own_acts.engine.progress._waiting.values())


async def test_an_email_whose_letters_fold_into_many_is_stored(own_kit: Kit, own_acts: Acts) -> None:
    written = await own_acts.create(email="ﷺ" * 20 + "@example.com")
    await own_kit.drain()
    assert (await own_acts.get_operation(written.operation.id)).status == "APPLIED"


async def test_numbers_count_as_they_are_shown(own_acts: Acts) -> None:
    """A number with an exponent is short on the wire and long in an answer."""
    with pytest.raises(Exposed) as refused:
        await own_acts.create(name="Ada", properties={"numbers": [Decimal("1e100")] * 3000})
    assert refused.value.code == "INVALID_FIELD"


@pytest.mark.parametrize("query", ["a." * 200, "a-b c-d " * 20, " ".join("abcdefghijklmnop")])
def test_a_query_looks_for_ten_words_at_most(query: str) -> None:
    def count(terms: Iterable[list[tuple[str, ...]]]) -> int:
        return sum(len(alternatives[-1]) for alternatives in terms)

    assert 0 < count(list_terms(query)) <= QUERY_TERMS_MAX
