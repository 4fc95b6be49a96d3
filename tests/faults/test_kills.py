"""Kills at any moment under load: nothing acknowledged is lost, doubled or half there."""

import asyncio
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.kills import PARTS, kill_everything, kill_part
from tests.faults.load import Load
from tests.faults.verify import verify
from tests.serving import Served, start

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]

KILLS = int(os.environ.get("KITH_TEST_KILLS", "6"))
SEED = int(os.environ.get("KITH_TEST_SEED", "1"))
CLIENTS = 6
EVERYTHING = "everything"


class Restartable:
    """A ``kith serve`` that is killed and started again in the same folder; ``served`` is its present life."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.served: Served = start(folder)

    def kill(self, victim: str, chance: random.Random) -> bool:
        """Whether the victim was there. Everything is started again; of parts the supervisor takes care."""
        if victim != EVERYTHING:
            return kill_part(self.served, victim)
        kill_everything(self.served, chance)
        self._close()
        self.served = start(self._folder)
        return True

    def end(self) -> None:
        if self.served.process.poll() is None:
            self.served.stop()
        self._close()

    def _close(self) -> None:
        assert self.served.process.stdout is not None
        self.served.process.stdout.close()


@pytest.fixture
def restartable(tmp_path: Path) -> Iterator[Restartable]:
    running = Restartable(tmp_path)
    yield running
    running.end()


def list_victims(chance: random.Random) -> list[str]:
    """Each at least once in six kills, in any order."""
    victims: list[str] = []
    while len(victims) < KILLS:
        kinds = [*PARTS, EVERYTHING, chance.choice(("api", "writer", "postgres"))]
        chance.shuffle(kinds)
        victims += kinds
    return victims[:KILLS]


async def test_nothing_acknowledged_is_lost_or_doubled_whatever_is_killed(restartable: Restartable) -> None:
    chance = random.Random(SEED)
    load = Load([restartable.served.url], restartable.served.key, SEED)
    moment = 0
    async with load.running(CLIENTS):
        for victim in list_victims(chance):
            moment = len(load.ledger.acknowledged) + chance.randrange(20, 300)
            await load.ledger.reach(moment)
            while not await asyncio.to_thread(restartable.kill, victim, chance):
                # Not yet back from the kill before: let others do something first.
                await load.ledger.reach(len(load.ledger.acknowledged) + 1)
            load.move(restartable.served.url)
        await load.ledger.reach(len(load.ledger.acknowledged) + 200)
    assert load.ledger.conflicts > 0
    await verify(restartable.served, load.ledger)
