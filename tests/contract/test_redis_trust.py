"""Whoever can write to Redis writes into no workspace: a value counts only where the installation put it itself."""

from collections.abc import AsyncIterator

import pytest

from kith.pending.encoding import encode_doubt, encode_head, encode_position, seal_moves, to_suffix
from kith.pending.factory import make_prefix, open_pending
from kith.pending.port import PendingWrite
from kith.pending.redis import RedisPending
from kith.pending.seal import Seal
from kith.settings import Settings
from tests.contract.overlays import (
    ADA,
    EMAIL,
    EVE,
    SECRET,
    accept,
    find_holder,
    find_operation,
    find_record,
    make_contact,
    make_write,
)
from tests.redis_server import RedisServer

SEAL = Seal(SECRET)
STRANGER = Seal(b"a secret that somebody made up")


@pytest.fixture
def settings(redis: RedisServer) -> Settings:
    return redis.make_settings(Settings())


@pytest.fixture
async def overlay(settings: Settings) -> AsyncIterator[RedisPending]:
    async with open_pending(settings, SECRET) as (opened, _):
        assert isinstance(opened, RedisPending)
        yield opened


def name(settings: Settings, key: str, workspace_id: int = 1) -> str:
    return f"{make_prefix(settings, SEAL)}:{{{workspace_id}}}:{key}"


def plant(redis: RedisServer, settings: Settings, write: PendingWrite, seal: Seal, position: bytes) -> None:
    """What an acknowledged write looks like, in the keys of workspace 1 and operation op_1."""
    fields = {"head": encode_head(seal, write), "position": position}
    moves = {to_suffix(key): value for key, value in seal_moves(seal, write).items()}
    with redis.open_client() as client:
        client.hset(name(settings, "o:op_1"), mapping=fields | moves)
        for suffix in moves:
            client.zadd(name(settings, suffix), {"op_1": 7})


DOUBTS = {
    "another workspace": (SEAL, make_write(workspace_id=2, fingerprint="f")),
    "another shard": (SEAL, make_write(shard=3, fingerprint="f")),
    "another operation": (SEAL, make_write("op_2", fingerprint="f")),
    "a stranger": (STRANGER, make_write(fingerprint="f")),
}


@pytest.mark.parametrize("whose", DOUBTS)
async def test_a_doubt_that_is_not_of_its_key_is_never_appended(
    redis: RedisServer, settings: Settings, overlay: RedisPending, whose: str
) -> None:
    with redis.open_client() as client:
        client.set(name(settings, "d:op_1"), encode_doubt(*DOUBTS[whose], b"entry"))
        assert await find_operation(overlay) is None
        assert [overlay.find_doubted(workspace, f"op_{n}") for workspace in (1, 2) for n in (1, 2)] == [None] * 4
        client.set(name(settings, "d:op_1"), encode_doubt(SEAL, make_write(), b"entry"))
    assert await find_operation(overlay) is None
    assert overlay.find_doubted(1, "op_1") == (make_write(), b"entry")


@pytest.mark.parametrize("change", ["seal", "workspace", "operation", "position", "cut"])
async def test_a_write_that_somebody_put_into_redis_is_not_believed(
    redis: RedisServer, settings: Settings, overlay: RedisPending, change: str
) -> None:
    write = make_write()
    seal, position = SEAL, encode_position(SEAL, 1, "op_1", 7)
    if change == "seal":
        seal, position = STRANGER, encode_position(STRANGER, 1, "op_1", 7)
    elif change == "workspace":
        write = make_write(workspace_id=2)
    elif change == "operation":
        write = make_write("op_2")
    elif change == "position":
        position = b"7"
    plant(redis, settings, write, seal, position)
    if change == "cut":
        with redis.open_client() as client:
            client.hset(name(settings, "o:op_1"), mapping={"head": b"", "r:contact:ctc_ada": b"", "c:email:x": b"\xff"})
            client.zadd(name(settings, "c:email:ada@example.com"), {b"\xff\xfe": 8})
            client.hset(name(settings, "o:").encode() + b"\xff\xfe", "head", b"\xff")
    assert await find_record(overlay) == (False, None)
    assert (await find_holder(overlay))[0] is False
    assert await find_operation(overlay) is None
    assert await overlay.wait_acknowledged(1, "op_1") is None
    # It is in nobody's way either.
    own = make_write("op_9", records={ADA: make_contact(ADA, 9)}, holders={EMAIL: ADA})
    seen = await accept(overlay, own, 9)
    assert not seen.deferred
    assert await find_record(overlay, acknowledged=True) == (True, make_contact(ADA, 9))


async def test_a_genuine_write_is_not_believed_after_it_was_applied(
    redis: RedisServer, settings: Settings, overlay: RedisPending
) -> None:
    plant(redis, settings, make_write(), SEAL, encode_position(SEAL, 1, "op_1", 7))
    assert await find_record(overlay) == (True, make_contact(ADA))
    overlay.drop_applied(0, 7)
    with redis.open_client() as client:
        client.zadd(name(settings, "r:contact:ctc_ada"), {"op_1": 1_000_000})
    assert await find_record(overlay) == (False, None)


async def test_two_installations_on_one_redis_do_not_meet(settings: Settings, overlay: RedisPending) -> None:
    async with open_pending(settings, b"the secret of another installation") as (other, _):
        await accept(overlay, make_write(), 1)
        assert await find_record(other) == (False, None)
        assert await find_holder(other) == (False, None)
        await accept(other, make_write("op_2", records={EVE: make_contact(EVE)}, holders={EMAIL: EVE}), 1)
        assert await find_holder(overlay) == (True, ADA)
        assert await find_holder(other) == (True, EVE)


def test_a_seal_fits_one_place_only() -> None:
    sealed = SEAL.close(1, "op_1", "head", b"x")
    assert SEAL.open(1, "op_1", "head", sealed) == b"x"
    others = [(2, "op_1", "head"), (1, "op_2", "head"), (1, "op_1", "position"), (1, "op_1", "")]
    for place in others:
        with pytest.raises(ValueError, match="not sealed"):
            SEAL.open(*place, sealed)
    for broken in (b"", sealed[:15], sealed[:-1], sealed + b"y", bytes(16)):
        with pytest.raises(ValueError, match="not sealed"):
            SEAL.open(1, "op_1", "head", broken)
    assert Seal(SECRET).installation == SEAL.installation != STRANGER.installation
