"""Two API processes over one database, one log and one Redis: what one accepts, the other knows at once."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import asyncpg
import msgspec
import pytest

from kith.engine.accept.rebuild import rebuild_pending
from kith.engine.accept.submit import Written
from kith.engine.context.engine import open_engine
from kith.errors import Exposed, NotFound, Unavailable
from kith.settings import Settings
from tests.engine.acts import Acts, to_id
from tests.engine.test_foresight import read_until
from tests.engine.test_unacknowledged import KEY, until_it_waits
from tests.kit import SETTINGS, Kit, open_kit
from tests.postgres import connect
from tests.redis_server import RedisServer, running_redis


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One that a test may kill; it starts it again."""
    with running_redis(tmp_path_factory.mktemp("own")) as server:
        yield server


class Processes(NamedTuple):
    kit: Kit
    one: Acts
    other: Acts

    async def drain(self) -> None:
        """All is applied, and both have heard of it."""
        await self.kit.drain()
        await self.other.engine.progress.refresh()

    async def count_operations(self) -> Counter[str]:
        await self.drain()
        rows = await self.one.fetch("SELECT status, count(*) FROM operations WHERE workspace_id = $1 GROUP BY 1")
        return Counter(dict(rows))


@pytest.fixture
def settings(own_redis: RedisServer) -> Settings:
    return own_redis.make_settings(SETTINGS)


@pytest.fixture
async def processes(database_url: str, settings: Settings) -> AsyncIterator[Processes]:
    async with open_kit(database_url, settings) as kit, open_engine(settings, database_url) as engine:
        workspace = await kit.make_workspace()
        yield Processes(kit, Acts(kit.engine, workspace), Acts(engine, workspace))


def show(written: Written) -> dict[str, object]:
    return msgspec.json.decode(written.data, type=dict[str, object])


async def test_emails_that_processes_race_for_are_accepted_once_and_refused_at_once(processes: Processes) -> None:
    outcomes: Counter[str] = Counter()

    async def create(acts: Acts, n: int) -> None:
        try:
            written = await acts.create(email=f"{n}@example.com")
            assert not written.deferred
            outcomes["accepted"] += 1
        except Exposed as error:
            outcomes[error.code] += 1

    await asyncio.gather(*(create(acts, n) for n in range(40) for acts in (processes.one, processes.other) * 2))
    assert outcomes == {"accepted": 40, "CONTACT_EMAIL_EXISTS": 120}
    assert await processes.count_operations() == {"APPLIED": 40}


async def test_what_one_accepts_the_other_reads_changes_and_deletes(processes: Processes) -> None:
    one, other = processes.one, processes.other
    ref = to_id(await one.create(email="ada@example.com", name="Ada"))
    for name in (ref, "ada@example.com"):
        assert await other.get(name) == await one.get(name)
    changed = await other.update(ref, name="Eve", email="eve@example.com")
    assert (show(changed)["version"], changed.deferred) == (2, False)
    assert (await one.get("eve@example.com"))["name"] == "Eve"
    with pytest.raises(NotFound):
        await one.get("ada@example.com")
    await one.create(email="ada@example.com")
    assert (await one.get_operation(changed.operation.id)).status == "PENDING"
    await one.delete(ref)
    with pytest.raises(Exposed, match="DELETED"):
        await other.update(ref, name="Ada")
    assert await processes.count_operations() == {"APPLIED": 4}
    assert "pending" not in await other.get("ada@example.com")
    assert (await other.get_operation(changed.operation.id)).status == "APPLIED"


async def test_one_record_that_both_change_all_the_time_has_every_change(processes: Processes) -> None:
    ref = to_id(await processes.one.create(name="Ada"))

    async def change(acts: Acts, n: int) -> object:
        written = await acts.update(ref, name=f"Ada {n}")
        return show(written)["version"]

    changes = [change(acts, n) for n in range(15) for acts in (processes.one, processes.other)]
    versions = await asyncio.gather(*changes)
    assert await processes.count_operations() == {"APPLIED": 31}
    assert (await processes.other.get(ref))["version"] == 31
    assert sorted(versions) == list(range(2, 32)), "each was predicted from the one before"  # type: ignore[type-var]


async def test_what_was_foreseen_on_a_write_that_is_refused_falls_with_it(processes: Processes) -> None:
    """Many changes at once, each foreseen on the one before, the first on what the other process has changed since."""
    ref = to_id(await processes.one.create(name="Ada"))
    await processes.drain()
    await processes.one.update(ref, name="Eve")
    written = await asyncio.gather(*(processes.other.update(ref, name=f"Ada {n}") for n in range(15)))
    assert [show(one)["version"] for one in written] == list(range(3, 18))
    assert not any(one.deferred for one in written)
    assert await processes.count_operations() == {"APPLIED": 17}


async def test_a_repeated_write_that_is_given_up_on_its_way_leaves_the_first_one_alone(processes: Processes) -> None:
    one, other = processes.one, processes.other
    written = await one.create(name="Ada")
    found = one.engine.pending.find_operation(one.workspace.id, written.operation.id)
    assert found is not None
    with other.engine.pending.reading() as seen:
        claiming = asyncio.create_task(other.engine.pending.claim(found[0], seen))
        await asyncio.sleep(0)
        claiming.cancel()
        await asyncio.gather(claiming, return_exceptions=True)
    # A trip of its own, behind whatever the claim has sent.
    assert (await other.get_operation(written.operation.id)).status == "PENDING"
    assert (await other.get(to_id(written)))["name"] == "Ada"


async def test_what_one_has_acknowledged_the_other_never_reads_as_missing_or_older(processes: Processes) -> None:
    """Readers at both beside writers at both and the applying writer, heard of at different times."""
    versions: dict[str, int] = {}
    done = asyncio.Event()
    chance = random.Random(13)
    both = (processes.one, processes.other)

    async def create_and_change(n: int) -> None:
        for turn in range(4):
            ref = to_id(await both[n % 2].create(email=f"{n}-{turn}@example.com"))
            await both[turn % 2].update(ref, email=f"{ref}@example.com")
            versions[ref] = 2
            for at in range(4):
                written = await both[(n + at) % 2].update(ref, name=f"Ada {at}")
                versions[ref] = msgspec.json.decode(written.data)["version"]

    async with processes.kit.living_writer():
        ref = to_id(await processes.one.create(name="first"))
        await processes.other.update(ref, email=f"{ref}@example.com")
        versions[ref] = 2
        reading = [asyncio.create_task(read_until(both[n % 2], versions, done, chance)) for n in range(4)]
        await asyncio.gather(*(create_and_change(n) for n in range(4)))
        done.set()
        assert sum(await asyncio.gather(*reading)) > 50
    assert await processes.count_operations() == {"APPLIED": 2 + 4 * 4 * 6}
    assert set(versions.values()) == {2, 6}


async def test_a_version_that_two_processes_wait_for_is_changed_once(processes: Processes) -> None:
    ref = to_id(await processes.one.create(name="Ada"))
    await processes.drain()
    codes: Counter[str] = Counter()

    async def change(acts: Acts) -> None:
        try:
            await acts.update(ref, acts.make_request(if_version=1), name="Eve")
            codes["accepted"] += 1
        except Exposed as error:
            codes[error.code] += 1

    await asyncio.gather(*(change(acts) for acts in (processes.one, processes.other) * 5))
    assert codes == {"accepted": 1, "VERSION_MISMATCH": 9}
    assert await processes.count_operations() == {"APPLIED": 2}


async def test_a_definition_is_foreseen_by_the_other_process(processes: Processes) -> None:
    await processes.one.define("plan", "NUMBER")
    with pytest.raises(Exposed) as refused:
        await processes.other.create(name="Ada", properties={"plan": "much"})
    assert refused.value.code == "INVALID_FIELD"
    with pytest.raises(Exposed) as refused:
        await processes.other.define("plan", "TEXT")
    assert refused.value.code == "PROPERTY_KEY_EXISTS"


async def test_retries_at_both_processes_get_the_one_answer(processes: Processes) -> None:
    request = processes.one.make_request(**KEY)
    retries = [acts.create(request, email="ada@example.com") for acts in (processes.one, processes.other) * 5]
    written = [*await asyncio.gather(*retries), await processes.other.create(request, email="ada@example.com")]
    assert len({(one.data, one.operation.id, one.operation.position) for one in written}) == 1
    assert [one.replayed for one in written].count(False) == 1
    with pytest.raises(Exposed) as reused:
        await processes.other.create(processes.one.make_request(idempotency_key="once", fingerprint=b"2"), name="Eve")
    assert reused.value.code == "IDEMPOTENCY_KEY_REUSED"
    assert await processes.count_operations() == {"APPLIED": 1}
    assert (await processes.other.create(request, email="ada@example.com")).operation.status == "APPLIED"


@pytest.fixture
async def held(processes: Processes) -> AsyncIterator[asyncpg.Connection]:
    """Appends do not get through until ``ROLLBACK``: another connection holds the head of the log."""
    async with connect(processes.kit.url) as holder:
        await holder.execute("BEGIN")
        await holder.execute("SELECT FROM log_head FOR UPDATE")
        yield holder


async def test_what_is_on_its_way_to_the_log_is_taken_but_not_shown_elsewhere(
    processes: Processes, held: asyncpg.Connection
) -> None:
    request = processes.one.make_request(**KEY)
    creating = asyncio.create_task(processes.one.create(request, email="ada@example.com"))
    await until_it_waits(held)
    with pytest.raises(NotFound):
        await processes.other.get("ada@example.com")
    with pytest.raises(Exposed, match="already exists"):
        await processes.other.create(email="ada@example.com")
    retry = asyncio.create_task(processes.other.create(request, email="ada@example.com"))
    assert not (await asyncio.wait({creating, retry}, timeout=0.1))[0]
    await held.execute("ROLLBACK")
    first, again = await creating, await retry
    assert (again.data, again.operation.position, again.replayed) == (first.data, first.operation.position, True)
    assert (await processes.other.get("ada@example.com"))["pending"]


async def test_a_write_on_what_is_on_its_way_stands_behind_it(processes: Processes, held: asyncpg.Connection) -> None:
    creating = asyncio.create_task(processes.one.create(email="ada@example.com"))
    await until_it_waits(held)
    changing = asyncio.create_task(processes.other.update("ada@example.com", name="Ada"))
    await asyncio.wait({changing}, timeout=0.05)
    await held.execute("ROLLBACK")
    first, second = await creating, await changing
    assert first.operation.number < second.operation.number
    assert await processes.count_operations() == {"APPLIED": 2}


async def test_an_email_whose_write_did_not_reach_the_log_is_free_elsewhere(
    processes: Processes, held: asyncpg.Connection
) -> None:
    with pytest.raises(Unavailable):
        await processes.one.create(email="ada@example.com")
    await held.execute("ROLLBACK")
    assert not (await processes.other.create(email="ada@example.com")).deferred


async def test_a_retry_elsewhere_of_what_the_log_did_not_answer_is_the_same_write(
    processes: Processes, held: asyncpg.Connection
) -> None:
    request = processes.one.make_request(**KEY)
    with pytest.raises(Unavailable):
        await processes.one.create(request, email="ada@example.com")
    await held.execute("ROLLBACK")
    retry = await processes.other.create(request, email="ada@example.com")
    assert retry.replayed
    assert await processes.count_operations() == {"APPLIED": 1}


async def test_redis_that_is_killed_in_the_middle_costs_foresight_and_no_write(
    processes: Processes, own_redis: RedisServer
) -> None:
    """Before, without, and after it: every answer is kept, and a lost race is told by the writer."""
    outcomes: Counter[str] = Counter()
    deferred: list[bool] = []

    async def create(acts: Acts, n: int) -> None:
        try:
            deferred.append((await acts.create(email=f"{n}@example.com")).deferred)
            outcomes["accepted"] += 1
        except Exposed as error:
            outcomes[error.code] += 1

    async def race(first: int) -> None:
        both = (processes.one, processes.other)
        await asyncio.gather(*(create(acts, n) for n in range(first, first + 10) for acts in both))

    await race(0)
    assert outcomes == {"accepted": 10, "CONTACT_EMAIL_EXISTS": 10}
    await create(processes.one, 99)
    running = asyncio.create_task(race(100))
    await asyncio.sleep(0)
    own_redis.kill()
    await running
    await race(200)
    assert deferred[-10:] == [True] * 10
    assert "pending" in await processes.one.get("99@example.com"), "what this process has accepted is known to it"
    with pytest.raises(NotFound):
        await processes.other.get("missing@example.com")
    own_redis.start()
    for acts in (processes.one, processes.other):
        while await acts.engine.pending.find_fault() is not None:
            await asyncio.sleep(0)
    deferred.clear()
    before = outcomes.copy()
    await race(300)
    assert deferred == [False] * 10
    assert outcomes - before == {"accepted": 10, "CONTACT_EMAIL_EXISTS": 10}
    statuses = await processes.count_operations()
    assert statuses["APPLIED"] == 41
    assert statuses.total() == outcomes["accepted"]
    rejected = "SELECT DISTINCT error->>'code' FROM operations WHERE workspace_id = $1 AND status = 'REJECTED'"
    assert await processes.one.fetch(rejected) == [("CONTACT_EMAIL_EXISTS",)]


async def test_a_flush_in_the_middle_loses_no_write(processes: Processes, own_redis: RedisServer) -> None:
    async def create(acts: Acts, n: int) -> bool:
        return not (await acts.create(email=f"{n}@{id(acts)}.example.com")).deferred

    writing = [asyncio.create_task(create(acts, n)) for n in range(30) for acts in (processes.one, processes.other)]
    while not any(one.done() for one in writing):
        await asyncio.sleep(0)
    own_redis.flush()
    assert all(await asyncio.gather(*writing))
    assert await processes.count_operations() == {"APPLIED": 60}


@pytest.mark.parametrize(
    ("applied", "lost"), [(False, None), (True, None), (True, "all"), (True, "before the last merge")]
)
async def test_what_the_other_process_has_merged_takes_writes(
    processes: Processes, own_redis: RedisServer, lost: str | None, applied: bool
) -> None:
    one, other = processes.one, processes.other
    loser, middle, winner = [to_id(await one.create(email=f"{n}@example.com")) for n in range(3)]
    if applied:
        await processes.drain()
    await one.merge(middle, loser)
    if lost == "before the last merge":
        own_redis.flush()
    await one.merge(winner, middle)
    if lost == "all":
        own_redis.flush()
    for n, ref in enumerate((loser, middle, winner) * 2):
        await (other, one)[n % 2].update(ref, name=f"Ada {n}")
    if lost is None:
        with pytest.raises(Exposed, match=f"MERGED into {winner}"):
            await other.delete(loser)
    assert await processes.count_operations() == {"APPLIED": 5 + 6}
    assert {(await acts.get(ref))["name"] for ref in (loser, middle, winner) for acts in (one, other)} == {"Ada 5"}


async def test_a_process_that_starts_brings_back_what_redis_has_lost(
    processes: Processes, own_redis: RedisServer, settings: Settings
) -> None:
    ref = to_id(await processes.one.create(email="ada@example.com"))
    own_redis.flush()
    async with open_engine(settings, processes.kit.url) as engine:
        assert await rebuild_pending(engine) == 1
        third = Acts(engine, processes.one.workspace)
        assert (await third.get(ref))["pending"]
        with pytest.raises(Exposed, match="already exists"):
            await processes.other.create(email="ada@example.com")
