"""Faults of a cluster under load: whatever is killed, nothing acknowledged is lost, doubled or half there."""

import asyncio
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import APIS, REMOTE, SERVERS, WRITERS, Cluster, running_cluster
from tests.faults.load import Load
from tests.faults.verify import verify

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

FAULTS = int(os.environ.get("KITH_TEST_KILLS", "11"))
SEED = int(os.environ.get("KITH_TEST_SEED", "1"))
# Seconds in which something is paused, longer than a writer may be silent and keep its partitions, or shut down.
PAUSE_MAX_S, OUTAGE_S = (8, 30) if FAULTS > 11 else (1, 2)
CLIENTS = 6


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with running_cluster(tmp_path) as running:
        yield running


def list_faults(cluster: Cluster, chance: random.Random) -> list[tuple[str, str]]:
    """(what is done, to what): each kind once before any comes again, in any order."""
    faults: list[tuple[str, str]] = []
    while len(faults) < FAULTS:
        kinds = [("kill", name) for name in (*SERVERS, chance.choice(WRITERS), chance.choice(APIS))]
        kinds += [("pause", name) for name in ("kafka", chance.choice(WRITERS), chance.choice(APIS))]
        kinds += [("shut down", "postgres"), ("flush", "redis")]
        if cluster.cable is not None:
            kinds.append(("cut off", REMOTE))
        chance.shuffle(kinds)
        faults += kinds
    return faults[:FAULTS]


async def do_fault(cluster: Cluster, load: Load, chance: random.Random, fault: str, name: str) -> None:
    """To its end: what was taken away is back."""
    match fault:
        case "kill":
            await asyncio.to_thread(cluster.kill, name)
            await asyncio.to_thread(cluster.start, name)
        case "pause":
            cluster.pause(name)
            await load.ledger.reach_for(chance.uniform(0.1, PAUSE_MAX_S))
            cluster.resume(name)
        case "cut off":
            assert cluster.cable is not None
            cluster.cable.pull()
            await load.ledger.reach_for(chance.uniform(0.1, PAUSE_MAX_S))
            cluster.cable.plug()
        case "shut down":
            await asyncio.to_thread(cluster.shut_down_postgres)
            await load.ledger.reach_for(OUTAGE_S)
            await asyncio.to_thread(cluster.start, name)
        case "flush":
            cluster.redis.flush()


async def test_nothing_acknowledged_is_lost_or_doubled_in_a_cluster(cluster: Cluster) -> None:
    chance = random.Random(SEED)
    load = Load(list(cluster.urls.values()), cluster.key, SEED)
    async with load.running(CLIENTS):
        for fault, name in list_faults(cluster, chance):
            await load.ledger.reach(len(load.ledger.acknowledged) + chance.randrange(20, 200))
            await do_fault(cluster, load, chance, fault, name)
        await load.ledger.reach(len(load.ledger.acknowledged) + 200)
    ledger = load.ledger
    print(
        f"{len(ledger.acknowledged):,} acknowledged, {ledger.deferred:,} of them deferred; {ledger.landed:,} landed on"
        f" another; answers {dict(sorted(ledger.answers.items()))}"
    )
    assert ledger.conflicts > 0
    assert ledger.landed > 0
    assert {status for status in ledger.answers if status >= 500} <= {503}
    await verify(cluster, load.ledger)
