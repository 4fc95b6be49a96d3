"""Keys are trusted for a moment, and no longer."""

import asyncio
from datetime import UTC, datetime

import pytest

from kith.clock import FixedClock
from kith.engine.context import key_cache
from kith.engine.context.key_cache import KeyCache
from kith.model.workspaces import Workspace
from kith.store.access import FoundKey

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
KEY = FoundKey(
    workspace=Workspace(1, 2, "w"),
    key_id=7,
    kind="server",
    scopes=frozenset({"crm:read"}),
    tier="growth",
    rate_per_s=None,
    batch_per_s=None,
    expires_at=None,
    revoked=False,
)


class Rows:
    """A stand-in for the table of keys that counts the look-ups."""

    def __init__(self) -> None:
        self.found: dict[bytes, FoundKey] = {b"known": KEY}
        self.look_ups = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def find_key(self, key_hash: bytes) -> FoundKey | None:
        self.look_ups += 1
        await self.gate.wait()
        return self.found.get(key_hash)


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOON)


@pytest.fixture
def cache(rows: Rows, clock: FixedClock) -> KeyCache:
    return KeyCache(rows.find_key, clock, trust_ms=2000)


async def test_a_known_key_is_looked_up_once_in_two_seconds(cache: KeyCache, rows: Rows, clock: FixedClock) -> None:
    for seconds in (0, 1, 0.999):
        clock.advance(seconds)
        kept = await cache.look_up(b"known")
        assert kept.caller is not None
        assert kept.caller.key_id == 7
    assert rows.look_ups == 1
    clock.advance(0.001)
    await cache.look_up(b"known")
    assert rows.look_ups == 2


async def test_a_revoked_key_is_seen_after_two_seconds(cache: KeyCache, rows: Rows, clock: FixedClock) -> None:
    assert not (await cache.look_up(b"known")).revoked
    clock.advance(2)
    rows.found[b"known"] = FoundKey(**{name: getattr(KEY, name) for name in KEY.__struct_fields__} | {"revoked": True})
    assert (await cache.look_up(b"known")).revoked


async def test_an_unknown_key_is_remembered_only_briefly(cache: KeyCache, rows: Rows, clock: FixedClock) -> None:
    assert (await cache.look_up(b"new")).caller is None
    clock.advance(0.499)
    assert (await cache.look_up(b"new")).caller is None
    assert rows.look_ups == 1
    rows.found[b"new"] = KEY
    clock.advance(0.001)
    assert (await cache.look_up(b"new")).caller is not None


async def test_a_clock_that_is_set_back_makes_nothing_last_longer(
    cache: KeyCache, rows: Rows, clock: FixedClock
) -> None:
    await cache.look_up(b"known")
    clock.advance(-3600)
    await cache.look_up(b"known")
    assert rows.look_ups == 2


async def test_requests_that_come_together_share_one_look_up(cache: KeyCache, rows: Rows) -> None:
    rows.gate.clear()
    asking = [asyncio.create_task(cache.look_up(b"known")) for _ in range(50)]
    await asyncio.sleep(0)
    asking[0].cancel()
    await asyncio.sleep(0)
    rows.gate.set()
    kept = await asyncio.gather(*asking, return_exceptions=True)
    assert rows.look_ups == 1
    assert isinstance(kept[0], asyncio.CancelledError)
    assert all(not isinstance(one, BaseException) and one.caller is not None for one in kept[1:])


async def test_a_look_up_that_fails_is_tried_again_by_the_next_request(clock: FixedClock) -> None:
    answers = iter([OSError("down"), KEY])

    async def find_key(_: bytes) -> FoundKey | None:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    cache = KeyCache(find_key, clock, trust_ms=2000)
    with pytest.raises(OSError, match="down"):
        await cache.look_up(b"known")
    assert (await cache.look_up(b"known")).caller is not None


async def test_a_flood_of_made_up_keys_does_not_push_out_the_known_ones(
    cache: KeyCache, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_cache, "KEPT_MAX", 10)
    await cache.look_up(b"known")
    for number in range(50):
        await cache.look_up(b"%d" % number)
    before = rows.look_ups
    await cache.look_up(b"known")
    await cache.look_up(b"49")
    assert rows.look_ups == before
    await cache.look_up(b"0")
    assert rows.look_ups == before + 1


@pytest.mark.parametrize(
    ("tier", "own", "rates"),
    [
        ("starter", (None, None), (100, 5)),
        ("growth", (None, None), (500, 20)),
        ("scale", (None, None), (2000, 100)),
        ("enterprise", (None, None), (0, 0)),
        ("enterprise", (7000, 300), (7000, 300)),
        ("growth", (0, 0), (0, 0)),
    ],
)
def test_a_tier_gives_its_rates_where_the_key_has_none_of_its_own(
    tier: str, own: tuple[int | None, int | None], rates: tuple[int, int]
) -> None:
    values = {name: getattr(KEY, name) for name in KEY.__struct_fields__}
    key = FoundKey(**values | {"tier": tier, "rate_per_s": own[0], "batch_per_s": own[1]})
    caller = key_cache.to_caller(key)
    assert (caller.rate_per_s, caller.batch_per_s) == rates
