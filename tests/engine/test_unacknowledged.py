"""Between a write's prediction and its place on the log: others foresee it, but nobody is told of it."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from kith.engine.accept.operations import find_operation, wait_until_readable
from kith.errors import Exposed, NotFound, Unavailable
from tests.engine.acts import Acts, to_id
from tests.kit import Kit
from tests.postgres import connect

WAITING = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
KEY = {"idempotency_key": "once", "fingerprint": b"1"}


@pytest.fixture
async def held(own_kit: Kit) -> AsyncIterator[asyncpg.Connection]:
    """Appends do not get through until ``ROLLBACK``: another connection holds the head of the log."""
    async with connect(own_kit.url) as holder:
        await holder.execute("BEGIN")
        await holder.execute("SELECT FROM log_head FOR UPDATE")
        yield holder


async def until_it_waits(holder: asyncpg.Connection) -> None:
    while not await holder.fetchval(WAITING):
        await asyncio.sleep(0)


async def test_a_retry_is_not_answered_before_its_first_request_is_on_the_log(
    own_kit: Kit, own_acts: Acts, held: asyncpg.Connection
) -> None:
    request = own_acts.make_request(**KEY)
    first = asyncio.create_task(own_acts.create(request, email="ada@example.com"))
    await until_it_waits(held)
    retries = [asyncio.create_task(own_acts.create(request, email="ada@example.com")) for _ in range(3)]
    assert not (await asyncio.wait({first, *retries}, timeout=0.1))[0]
    await held.execute("ROLLBACK")
    written = await asyncio.gather(first, *retries)
    assert {one.operation.position for one in written} == {written[0].operation.position}
    assert [one.replayed for one in written] == [False, True, True, True]
    await own_kit.drain()
    assert await own_acts.fetch("SELECT count(*) FROM contacts WHERE workspace_id = $1") == [(1,)]


async def test_a_retry_of_a_write_that_does_not_reach_the_log_is_refused_as_well(
    own_acts: Acts, held: asyncpg.Connection
) -> None:
    request = own_acts.make_request(**KEY)
    first = asyncio.create_task(own_acts.create(request, email="ada@example.com"))
    await until_it_waits(held)
    retry = asyncio.create_task(own_acts.create(request, email="ada@example.com"))
    outcomes = await asyncio.gather(first, retry, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
    assert len(own_acts.engine.pending) == 0


async def test_nobody_is_shown_a_write_that_may_not_reach_the_log(own_acts: Acts, held: asyncpg.Connection) -> None:
    engine, workspace = own_acts.engine, own_acts.workspace
    creating = asyncio.create_task(own_acts.create(email="ada@example.com"))
    await until_it_waits(held)
    (write,) = [found for found in list_writes(own_acts) if found]
    asking = asyncio.create_task(find_operation(engine, workspace, write))
    reading = asyncio.create_task(wait_until_readable(engine, workspace, write, 1))
    for ref in (to_resource_id(own_acts, write), "ada@example.com"):
        with pytest.raises(NotFound):
            await own_acts.get(ref)
    with pytest.raises(Exposed, match="already exists"):
        await own_acts.create(email="ada@example.com")
    with pytest.raises(Unavailable):
        await creating
    assert await asking is None
    with pytest.raises(Exposed, match="does not have"):
        await reading


async def test_waits_end_when_the_process_stops(own_acts: Acts) -> None:
    written = await own_acts.create(email="ada@example.com")
    waiting = asyncio.create_task(own_acts.update(to_id(written), own_acts.make_request(wait_s=30), name="Ada"))
    while len(own_acts.engine.pending) < 2:
        await asyncio.sleep(0)
    own_acts.engine.progress.end_waits()
    assert not (await waiting).waited
    with pytest.raises(Exposed) as refused:
        await wait_until_readable(own_acts.engine, own_acts.workspace, written.operation.position, 30)
    assert refused.value.code == "READ_AFTER_TIMEOUT"


def list_writes(acts: Acts) -> list[str]:
    """The operations that are foreseen, whether acknowledged or not."""
    return list(acts.engine.pending._writes)  # type: ignore[attr-defined]


def to_resource_id(acts: Acts, operation_id: str) -> str:
    found = acts.engine.pending.find_operation(acts.workspace.id, operation_id)
    assert found is not None
    return found[0].resource.rpartition("/")[2]
