"""Faults of a cluster under load: whatever is killed, nothing acknowledged is lost, doubled or half there."""

import asyncio
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import APIS, SERVERS, WRITERS, Cluster, running_cluster
from tests.faults.load import Load
from tests.faults.verify import verify

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

KILLS = int(os.environ.get("KITH_FAULT_KILLS", "5"))
SEED = int(os.environ.get("KITH_FAULT_SEED", "1"))
CLIENTS = 6


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with running_cluster(tmp_path) as running:
        yield running


def list_victims(chance: random.Random) -> list[str]:
    """Each kind once in five kills, in any order."""
    victims: list[str] = []
    while len(victims) < KILLS:
        kinds = [*SERVERS, chance.choice(WRITERS), chance.choice(APIS)]
        chance.shuffle(kinds)
        victims += kinds
    return victims[:KILLS]


async def test_nothing_acknowledged_is_lost_or_doubled_in_a_cluster(cluster: Cluster) -> None:
    chance = random.Random(SEED)
    load = Load(list(cluster.urls.values()), cluster.key, SEED)
    async with load.running(CLIENTS):
        for victim in list_victims(chance):
            await load.ledger.reach(len(load.ledger.acknowledged) + chance.randrange(20, 200))
            await asyncio.to_thread(cluster.kill, victim)
            await asyncio.to_thread(cluster.start, victim)
        await load.ledger.reach(len(load.ledger.acknowledged) + 200)
    assert load.ledger.conflicts > 0
    await verify(cluster, load.ledger)
