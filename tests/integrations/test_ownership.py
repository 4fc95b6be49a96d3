"""Who sends for an integration: one worker that lives, and another as soon as that one is gone."""

import asyncio
from typing import Any

import asyncpg
import pytest

from kith.integrations import runner
from kith.integrations.limiter import Limiter, Rate
from kith.integrations.outbox import Lost, Outbox
from kith.integrations.runner import OWNED_S
from kith.store.queries import load_queries
from tests.integrations.conftest import Shop
from tests.kit import Kit

_SQL = load_queries("integrations")


class Office:
    """An integration, and workers that want it."""

    def __init__(self, kit: Kit, key: tuple[int, int, int]) -> None:
        self.kit, self.key = kit, key

    async def connect(self) -> "asyncpg.Connection[Any]":
        return await asyncpg.connect(self.kit.url)

    async def own(self, name: str) -> "asyncpg.Record | None":
        found = await self.kit.engine.database.fetch(_SQL["list_active"], name)
        owned = await self.kit.engine.database.fetchrow(_SQL["own_integration"], *self.key, name, float(OWNED_S))
        assert bool(found) == (owned is not None), "a worker looks for what it may own, and for nothing else"
        return owned

    async def own_outbox(self, name: str) -> Outbox:
        owned = await self.own(name)
        assert owned is not None
        return Outbox(self.kit.engine.database, self.key, name, owned["epoch"])


@pytest.fixture
async def office(own_kit: Kit) -> Office:
    workspace = await own_kit.make_workspace()
    values = (workspace.shard, workspace.id, "int_x", "HUBSPOT", "Notebook", b"", "{}", own_kit.engine.clock.now(), b"")
    values = (*values, None, "archive")
    number = await own_kit.engine.database.fetchval(_SQL["insert_integration"], *values)
    return Office(own_kit, (workspace.shard, workspace.id, number))


async def test_what_a_worker_owns_is_nobody_elses_as_long_as_it_lives(office: Office) -> None:
    life = await office.connect()
    await life.execute(_SQL["show_life"], "first")
    assert await office.own("first") is not None
    assert await office.own("second") is None
    assert await office.own("first") is not None
    await life.close()


async def test_another_takes_over_at_once_when_a_worker_dies_and_what_that_sent_last_is_not_saved(
    office: Office,
) -> None:
    life = await office.connect()
    await life.execute(_SQL["show_life"], "first")
    outbox = await office.own_outbox("first")
    life.terminate()
    watching = await office.connect()
    await watching.execute(_SQL["show_life"], "first")  # returns when the session is over that had the lock
    await watching.close()
    assert await office.own("second") is not None
    with pytest.raises(Lost):
        async with outbox.saving():
            pass


async def test_one_that_hangs_loses_what_it_owns_after_a_while_though_it_has_its_connection(office: Office) -> None:
    life = await office.connect()
    await life.execute(_SQL["show_life"], "first")
    outbox = await office.own_outbox("first")
    await office.kit.engine.database.execute("UPDATE integrations SET owned_until = clock_timestamp()")
    assert await office.own("second") is not None
    with pytest.raises(Lost):
        await outbox.look(0)
    await life.close()


async def test_a_worker_that_has_to_connect_anew_is_never_taken_for_dead(office: Office) -> None:
    old, new = await office.connect(), await office.connect()
    await old.execute(_SQL["show_life"], "first")
    assert await office.own("first") is not None
    coming_back = asyncio.create_task(new.execute(_SQL["show_life"], "first"))
    old.terminate()
    await coming_back
    assert await office.own("second") is None
    await new.close()


async def test_a_worker_that_rests_for_hours_lets_go_of_an_integration_that_somebody_changes(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "LOOK_S", 0.05)
    one = await shop.connect("HUBSPOT")
    async with shop.open_session():
        pass
    key = (shop.workspace.shard, shop.workspace.id, 1)
    await Limiter(
        shop.kit.engine.database, f"HUBSPOT:{shop.fake.hubspot.portal_id}", Rate(requests=80, seconds=10)
    ).postpone(7200)
    serving = asyncio.create_task(shop.runner._serve(key, await shop.runner._own(key)))
    done, _ = await asyncio.wait([serving], timeout=0.2)
    assert not done
    assert (await shop.client.post(f"/crm/integrations/{one}/pause")).status_code == 200
    await serving


async def test_a_rest_that_somebody_has_ended_is_not_begun_again(office: Office) -> None:
    owned = await office.own("first")
    assert owned is not None
    database, until = office.kit.engine.database, office.kit.engine.clock.now()
    for epoch, rests_until in ((owned["epoch"] - 1, None), (owned["epoch"], until)):
        await database.execute(_SQL["rest_integration"], *office.key, until, epoch)
        assert await database.fetchval("SELECT rests_until FROM integrations") == rests_until
