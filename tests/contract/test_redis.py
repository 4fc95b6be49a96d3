"""What the overlay in Redis promises beyond the port: claims that are raced for, its keys, its trips, and its loss."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from kith.errors import StartError
from kith.model.activities import Activity
from kith.model.companies import Company
from kith.model.lists import List
from kith.model.properties import Option, Property, make_schema
from kith.model.records import CompanyLink, ListLink, Record, TagLink
from kith.model.tags import Tag
from kith.pending.counts import SharedCounts
from kith.pending.factory import make_prefix, open_pending
from kith.pending.redis import GRACE_SPARE_MS, LEASE_SPARE_MS, LIFE_MS, RedisPending
from kith.pending.redis_client import Trips, Unreachable
from kith.pending.seal import Seal
from kith.settings import Settings
from tests.contract.overlays import (
    ADA,
    AT,
    EMAIL,
    EVE,
    SECRET,
    accept,
    ask,
    find_holder,
    find_operation,
    find_record,
    make_contact,
    make_write,
)
from tests.redis_server import RedisServer, running_redis

APPEND_MS = Settings().append_timeout_ms
READ_MS = Settings().read_timeout_ms
SEAL = Seal(SECRET)


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One that a test may kill; it starts it again."""
    with running_redis(tmp_path_factory.mktemp("own")) as server:
        yield server


@pytest.fixture
def settings(redis: RedisServer) -> Settings:
    return redis.make_settings(Settings())


@asynccontextmanager
async def opened(settings: Settings, secret: bytes = SECRET) -> AsyncIterator[RedisPending]:
    async with open_pending(settings, secret) as (overlay, _):
        assert isinstance(overlay, RedisPending)
        yield overlay


@pytest.fixture
async def one(settings: Settings) -> AsyncIterator[RedisPending]:
    async with opened(settings) as overlay:
        yield overlay


@pytest.fixture
async def other(settings: Settings) -> AsyncIterator[RedisPending]:
    async with opened(settings) as overlay:
        yield overlay


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The scripts of each round trip that begins."""
    begun: list[list[str]] = []
    send_batch = Trips._send_batch

    async def note(self: Trips, batch: list[tuple[str]]) -> list[object]:
        begun.append([one[0] for one in batch])
        return await send_batch(self, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(Trips, "_send_batch", note)
    return begun


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


async def take(overlay: RedisPending, operation_id: str) -> bool:
    """Claim an email where it is found free; what came meanwhile refuses it."""
    holder = ("contact", f"ctc_{operation_id}")
    with overlay.reading() as seen:
        free = not seen.find_holder(1, EMAIL)[0]
        return free and await overlay.claim(make_write(operation_id, records={}, holders={EMAIL: holder}), seen)


async def test_an_email_that_processes_race_for_is_taken_once(one: RedisPending, other: RedisPending) -> None:
    taken = await asyncio.gather(*(take(overlay, f"op_{n}") for n, overlay in enumerate([one, other] * 5)))
    assert taken.count(True) == 1
    assert await find_holder(one) == await find_holder(other) == (True, ("contact", f"ctc_op_{taken.index(True)}"))
    assert len(one) + len(other) == 1


async def test_who_is_refused_knows_why_without_asking_again(
    one: RedisPending, other: RedisPending, trips: list[list[str]]
) -> None:
    await accept(one, make_write(), 1)
    with other.reading() as seen:
        assert seen.find_holder(1, EMAIL) == (False, None)
        trips.clear()
        assert not await other.claim(make_write("op_2", records={EVE: make_contact(EVE)}, holders={EMAIL: EVE}), seen)
        assert seen.find_holder(1, EMAIL) == (True, ADA)
        assert seen.find_record(1, ADA) == (True, make_contact(ADA))
        assert not await seen.refresh(0)
    assert trips == [["claim"]]


async def test_a_write_is_one_trip_before_the_log_and_one_behind_and_a_read_is_one(
    one: RedisPending, trips: list[list[str]]
) -> None:
    await find_record(one)
    trips.clear()
    write = make_write()
    with one.reading() as seen:
        seen.find_record(1, ADA)
        seen.find_holder(1, EMAIL)
        assert await one.claim(write, seen)
    assert trips == [["claim"]]
    await one.acknowledge("op_1", 1)
    assert trips == [["claim"], ["acknowledge"]]
    await find_record(one)
    assert trips == [["claim"], ["acknowledge"], ["look"]]


async def test_what_comes_while_a_trip_is_on_its_way_shares_the_next(one: RedisPending, trips: list[list[str]]) -> None:
    await find_record(one)
    trips.clear()
    await asyncio.gather(*(find_record(one, workspace_id=n) for n in range(1, 41)))
    assert [len(trip) for trip in trips] in ([40], [1, 39])


async def test_writes_of_one_process_build_on_each_other_without_being_refused(
    one: RedisPending, trips: list[list[str]]
) -> None:
    """Each is predicted from the one before, which is still on its way to Redis."""
    await find_record(one)
    trips.clear()

    async def change(n: int) -> bool:
        with one.reading() as seen:
            _, before = seen.find_record(1, ADA)
            version = before.version + 1 if before is not None else 1  # type: ignore[attr-defined]
            return await one.claim(make_write(f"op_{n}", records={ADA: make_contact(ADA, version)}, holders={}), seen)

    assert await asyncio.gather(*(change(n) for n in range(20))) == [True] * 20
    assert len(trips) <= 2
    assert await find_record(one) == (True, make_contact(ADA, 20))


async def test_what_is_on_its_way_to_the_log_is_not_overtaken_by_another_process(
    one: RedisPending, other: RedisPending
) -> None:
    await accept(one, make_write())
    with other.reading() as seen:
        await ask(seen, lambda seen: seen.find_record(1, ADA))
        building = make_write("op_2", records={ADA: make_contact(ADA, 2)}, holders={})
        assert not await other.claim(building, seen)
        await one.acknowledge("op_1", 1)
        while not await other.claim(building, seen):
            assert len(other) == 0
        assert not seen.deferred
    await other.acknowledge("op_2", 2)
    assert await find_record(one, acknowledged=True) == (True, make_contact(ADA, 2))


async def test_the_same_operation_of_two_processes_is_taken_once(one: RedisPending, other: RedisPending) -> None:
    await accept(one, make_write())
    with other.reading() as seen:
        assert not await other.claim(make_write(), seen)
        assert seen.find_operation(1, "op_1") is not None
    assert len(other) == 0


async def test_a_repetition_that_is_given_up_on_its_way_leaves_its_write_in_doubt(
    one: RedisPending, other: RedisPending
) -> None:
    write = make_write(fingerprint="f1")
    await accept(one, write)
    one.doubt("op_1", b"entry")
    repeating = asyncio.create_task(one.claim(write, None))
    await asyncio.sleep(0)
    repeating.cancel()
    await asyncio.gather(repeating, return_exceptions=True)
    # Whoever waited for it would wait for ever.
    assert one.find_operation(1, "op_1") is None
    assert await find_operation(other) is None
    assert one.find_doubted(1, "op_1") == other.find_doubted(1, "op_1") == (write, b"entry")
    await one.claim(write, None)
    await one.acknowledge("op_1", 1)
    found = await find_operation(other)
    assert found is not None
    assert found[1] == 1


async def test_keys_are_those_of_a_workspace_and_do_not_stay(
    redis: RedisServer, settings: Settings, one: RedisPending
) -> None:
    await accept(one, make_write("op_1", workspace_id=7))
    prefix = f"{make_prefix(settings, SEAL)}:{{7}}:"
    expected = ["c:email:ada@example.com", "n", "o:op_1", "r:contact:ctc_ada"]
    assert redis.list_keys(settings) == [prefix + name for name in expected]
    with redis.open_client() as client:
        lives = {name: client.pttl(prefix + name) for name in expected}
        assert 0 < lives["o:op_1"] <= APPEND_MS + LEASE_SPARE_MS, "until it is on the log it has a short lease"
        assert all(0 < life <= LIFE_MS for life in lives.values())
        await one.acknowledge("op_1", 1)
        assert client.pttl(f"{prefix}o:op_1") > APPEND_MS + LEASE_SPARE_MS
        one.drop_applied(0, 1)
        await find_record(one)
        assert 0 < client.pttl(f"{prefix}o:op_1") <= READ_MS + APPEND_MS + GRACE_SPARE_MS


async def test_writes_that_are_gone_leave_the_sets_of_their_records(
    redis: RedisServer, settings: Settings, one: RedisPending
) -> None:
    key = f"{make_prefix(settings, SEAL)}:{{1}}:r:contact:ctc_ada"
    with redis.open_client() as client:
        for n in range(1, 30):
            await accept(one, make_write(f"op_{n}", records={ADA: make_contact(ADA, n)}, holders={}), n)
            one.drop_applied(0, n)
            await find_record(one, EVE)
            client.delete(f"{make_prefix(settings, SEAL)}:{{1}}:o:op_{n}")
        assert client.zcard(key) <= 2


async def test_records_of_every_kind_come_back_as_they_were(one: RedisPending, other: RedisPending) -> None:
    times = {"created_at": datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC), "updated_at": AT, "version": 3}
    tag = TagLink(external_id="tag_1", number=1, key="vip", name="VIP", color=None)
    company = CompanyLink(
        external_id="cmp_1",
        number=None,
        name="Acme",
        domain=None,
        live=True,
        role="CTO",
        is_primary=True,
        properties={"since": Decimal("1.50")},
    )
    property_ = Property(
        external_id="prp_1",
        number=4,
        entity="CONTACT",
        key="plan",
        label="Plan",
        type="SELECT",
        group="CUSTOM",
        description=None,
        is_required=True,
        options=(Option(value="a", label="A"),),
        status="ACTIVE",
        slot="text_1",
        **times,
    )
    records: list[Record] = [
        msgspec.structs.replace(
            make_contact(ADA),
            companies=(company,),
            tags=(tag,),
            lists=(ListLink(external_id="lst_1", number=9),),
            properties={"n": Decimal("0.10"), "deep": {"a": [1, "x", None]}},
        ),
        property_,
        make_schema("CONTACT", [property_]),
    ]
    records += [make_any(kind) for kind in (Activity, Company, List, Tag)]
    for record in records:
        write = make_write(f"op_{record.kind}", records={record.identity: record}, holders={})
        await accept(one, write)
        assert await find_record(other, record.identity) == (True, record)


def make_any(kind: type[Record]) -> Record:
    """A record with something in every field that has to have something."""
    samples = {"datetime": AT, "int": 3, "str": "x", "bool": False, "dict": {}, "tuple": (), "Literal": "ACTIVE"}
    fields = {}
    for field in msgspec.structs.fields(kind):
        if field.required:
            name = str(field.type).replace("<class '", "").removeprefix("datetime.").removeprefix("typing.")
            choices = getattr(field.type, "__args__", ())
            literal = choices[0] if name.startswith("Literal") else None
            fields[field.name] = (
                None
                if type(None) in choices
                else literal or next(sample for prefix, sample in samples.items() if name.startswith(prefix))
            )
    return kind(**fields)


async def test_what_another_version_has_written_is_not_foreseen(
    redis: RedisServer, settings: Settings, one: RedisPending, other: RedisPending
) -> None:
    await accept(one, make_write(), 1)
    with redis.open_client() as client:
        key = f"{make_prefix(settings, SEAL)}:{{1}}:o:op_1"
        client.hset(key, mapping={"head": b"\x93\x01", "r:contact:ctc_ada": b'{"new": "form"}'})
    assert await find_record(other) == (False, None)
    assert await find_operation(other) is None


async def test_a_flush_costs_the_foresight_of_others_only(
    own_redis: RedisServer,
) -> None:
    settings = own_redis.make_settings(Settings())
    async with opened(settings) as one, opened(settings) as other:
        await accept(one, make_write(), 1)
        own_redis.flush()
        assert await find_record(one) == (True, make_contact(ADA))
        assert await find_record(other) == (False, None)
        seen = await accept(one, make_write("op_2", records={ADA: make_contact(ADA, 2)}, holders={}), 2)
        assert not seen.deferred
        assert await find_record(other, acknowledged=True) == (True, make_contact(ADA, 2))
        assert await one.find_fault() is await other.find_fault() is None


async def test_a_write_that_a_flush_has_overtaken_is_there_again_when_it_is_acknowledged(
    own_redis: RedisServer,
) -> None:
    settings = own_redis.make_settings(Settings())
    async with opened(settings) as one, opened(settings) as other:
        await accept(one, make_write())
        own_redis.flush()
        await one.acknowledge("op_1", 1)
        await find_record(one, EVE)
        assert await find_record(other, acknowledged=True) == (True, make_contact(ADA))


@pytest.mark.parametrize("loss", ["killed", "paused"])
async def test_without_redis_nothing_waits_twice_and_what_is_known_comes_back(
    own_redis: RedisServer, loss: str
) -> None:
    settings = msgspec.structs.replace(own_redis.make_settings(Settings()), redis_timeout_ms=200)
    async with opened(settings) as one, opened(settings) as other:
        await accept(one, make_write(), 1)
        if loss == "killed":
            own_redis.kill()
        else:
            own_redis.pause()
        assert await find_record(one) == (True, make_contact(ADA)), "its own writes are known"
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for n in range(2, 50):
            seen = await accept(one, make_write(f"op_{n}", records={ADA: make_contact(ADA, n)}, holders={}), n)
            assert seen.deferred
        assert loop.time() - begun < 5
        assert "Redis does not answer" in (await one.find_fault() or "")
        if loss == "killed":
            own_redis.start()
        else:
            own_redis.resume()
        await until(lambda: one._trips.fault is None)
        await find_record(one, EVE)
        await find_record(other)
        await until(lambda: other._trips.fault is None)
        assert await find_record(other, acknowledged=True) == (True, make_contact(ADA, 49))
        assert not (await accept(other, make_write("op_50", records={EVE: None}, holders={}), 50)).deferred


async def test_a_redis_that_is_down_at_the_start_is_waited_for_by_nobody(own_redis: RedisServer) -> None:
    settings = own_redis.make_settings(Settings())
    own_redis.kill()
    async with opened(settings) as one:
        assert (await accept(one, make_write(), 1)).deferred
        own_redis.start()
        await until(lambda: one._trips.fault is None)
        assert not (await accept(one, make_write("op_2", records={}, holders={}), 2)).deferred


async def test_counts_are_shared_and_left_to_each_process_without_redis(own_redis: RedisServer) -> None:
    settings = own_redis.make_settings(Settings())
    trips = [Trips(settings.redis_url, settings.redis_timeout_ms) for _ in range(2)]
    counts = [SharedCounts(one, settings.redis_prefix) for one in trips]
    counted = await asyncio.gather(*(counts[n % 2].count("default:1", 5) for n in range(20)))
    assert sorted(one or 0 for one in counted) == list(range(1, 21))
    assert await counts[0].count("default:1", 6) == await counts[1].count("batch:1", 5) == 1
    with own_redis.open_client() as client:
        assert all(0 < client.pttl(key) <= 10_000 for key in own_redis.list_keys(settings))
    own_redis.kill()
    assert await counts[0].count("default:1", 5) is None
    own_redis.start()
    for one in trips:
        await one.close()


async def test_what_is_no_url_of_a_redis_is_refused_at_the_start() -> None:
    with pytest.raises(StartError, match="KITH_REDIS_URL"):
        Trips("http://example.com", 100)


async def test_a_server_that_refuses_scripts_is_as_one_that_is_away(own_redis: RedisServer) -> None:
    with own_redis.open_client() as client:
        client.config_set("maxmemory", "1")
        trips = Trips(own_redis.url, 1000)
        with pytest.raises(Unreachable, match="maxmemory"):
            await trips.call("count", ["full"], 1000)
        client.config_set("maxmemory", "0")
    await until(lambda: trips.fault is None)
    assert await trips.call("count", ["full"], 1000) == 1
    await trips.close()


async def test_a_failure_of_any_kind_does_not_end_the_looking_for_redis(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kith.pending.redis_client.PROBE_S", 0)
    load_scripts, failures = Trips._load_scripts, [RuntimeError("no reply of Redis"), ValueError("nor is this")]

    async def fail_first(self: Trips) -> None:
        if failures:
            raise failures.pop()
        await load_scripts(self)

    monkeypatch.setattr(Trips, "_load_scripts", fail_first)
    trips = Trips(own_redis.url, 1000)
    with pytest.raises(Unreachable, match="nor is this"):
        await trips.call("count", ["one"], 1000)
    await until(lambda: trips.fault is None or (trips._probing is not None and trips._probing.done()))
    assert await trips.call("count", ["one"], 1000) == 1
    await trips.close()
