"""Writes while the writer is behind: slowed, then refused, and taken again when it has caught up. Reads go on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import msgspec
import pytest

from kith.engine.accept.rebuild import rebuild_pending
from kith.engine.context.engine import open_engine
from kith.model.workspaces import Workspace
from kith.settings import Settings
from kith.store.database import Database
from tests.kit import Kit, open_kit

SLOW, MAX = 2, 4


@pytest.fixture
def settings(make_log_settings: Callable[[], Settings]) -> Settings:
    return msgspec.structs.replace(make_log_settings(), lag_slow=SLOW, lag_max=MAX, appends_max=3)


@pytest.fixture
async def strained(database_url: str, settings: Settings) -> AsyncIterator[Kit]:
    """A Kith that refuses writes soon, begun as a process is."""
    async with open_kit(database_url, settings) as kit:
        await rebuild_pending(kit.engine)
        yield kit


@pytest.fixture
def slept(strained: Kit, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For how long writes were held back."""
    seconds: list[float] = []

    async def sleep(delay_s: float) -> None:
        seconds.append(delay_s)

    monkeypatch.setattr(strained.engine.pressure, "_sleep", sleep)
    return seconds


@pytest.fixture
async def own(strained: Kit) -> Workspace:
    return await strained.make_workspace()


@pytest.fixture
async def own_client(strained: Kit, own: Workspace) -> AsyncIterator[httpx2.AsyncClient]:
    async with strained.open_client(await strained.make_key(own)) as opened:
        yield opened


async def fill(client: httpx2.AsyncClient, count: int = MAX) -> None:
    for n in range(count):
        answer = await client.post("/crm/contacts", json={"name": f"Ada {n}"}, headers={"Idempotency-Key": f"{n}"})
        assert answer.status_code == 202


async def test_writes_are_slowed_then_refused_and_taken_again_when_the_writer_has_caught_up(
    strained: Kit, own_client: httpx2.AsyncClient, slept: list[float]
) -> None:
    await fill(own_client)
    assert len(slept) == MAX - SLOW - 1
    refused = await own_client.post("/crm/contacts", json={"name": "Eve"})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["details"]["lag"]) == (503, "LOG_BEHIND", MAX)
    assert refused.headers["retry-after"] == str(error["details"]["retryAfter"])
    assert 1 <= error["details"]["retryAfter"] <= 60
    assert "Reads go on" in error["message"]
    await strained.drain()
    assert (await own_client.post("/crm/contacts", json={"name": "Eve"})).status_code == 202


@pytest.mark.usefixtures("slept")
async def test_reads_and_repeated_requests_are_answered_while_writes_are_refused(
    strained: Kit, own: Workspace, own_client: httpx2.AsyncClient
) -> None:
    await fill(own_client)
    again = await own_client.post("/crm/contacts", json={"name": "Ada 0"}, headers={"Idempotency-Key": "0"})
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    assert (await own_client.get("/crm/contacts")).status_code == 200
    assert (await own_client.get(again.headers["location"])).status_code == 202
    assert (await own_client.get(again.headers["operation-location"])).json()["data"]["status"] == "PENDING"
    other = await strained.make_workspace()
    while other.shard == own.shard:
        other = await strained.make_workspace()
    async with strained.open_client(await strained.make_key(other)) as client:
        assert (await client.post("/crm/contacts", json={"name": "Eve"})).status_code == 202


@pytest.mark.usefixtures("slept")
async def test_readiness_and_metrics_tell_of_it(strained: Kit, own: Workspace, own_client: httpx2.AsyncClient) -> None:
    async with strained.open_client() as stranger:
        await fill(own_client, MAX - 1)
        assert (await stranger.get("/readyz")).json()["degraded"] == []
        await own_client.post("/crm/contacts", json={"name": "Ada"})
        ready = await stranger.get("/readyz")
        (line,) = ready.json()["degraded"]
        assert f"4 commands behind on partition {own.shard}: writes to it are refused until no more than 3" in line
        assert f'kith_log_lag_commands{{shard="{own.shard}"}} 4.0' in (await stranger.get("/metrics")).text
        await strained.drain()
        assert (await stranger.get("/readyz")).json()["degraded"] == []


@pytest.mark.usefixtures("slept")
async def test_a_refused_write_reaches_neither_the_database_nor_the_log(
    strained: Kit, own_client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(own_client)

    async def fail(*_: Any) -> Any:
        raise AssertionError("a round trip")

    for verb in ("fetch", "fetchrow", "fetchval"):
        monkeypatch.setattr(Database, verb, fail)
    monkeypatch.setattr(type(strained.engine.log), "append", fail)
    assert (await own_client.post("/crm/contacts", json={"name": "Eve"})).status_code == 503


@pytest.mark.usefixtures("slept")
async def test_a_process_that_starts_behind_a_long_log_refuses_at_once(
    strained: Kit, own: Workspace, own_client: httpx2.AsyncClient, settings: Settings
) -> None:
    await fill(own_client)
    async with open_engine(settings, strained.url) as again:
        await rebuild_pending(again)
        assert again.pressure.list_refused() == {own.shard: MAX}


async def test_writes_that_wait_for_the_log_are_bounded(
    strained: Kit, own_client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, arrived, go = type(strained.engine.log).append, asyncio.Semaphore(0), asyncio.Event()

    async def append_later(*given: Any) -> int:
        arrived.release()
        await go.wait()
        position: int = await append(*given)
        return position

    monkeypatch.setattr(type(strained.engine.log), "append", append_later)
    async with asyncio.TaskGroup() as group:
        sent = [group.create_task(own_client.post("/crm/contacts", json={"name": f"Ada {n}"})) for n in range(3)]
        for _ in sent:
            await arrived.acquire()
        refused = await own_client.post("/crm/contacts", json={"name": "Eve"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "LOG_BEHIND")
        assert refused.headers["retry-after"] == "1"
        go.set()
    assert [task.result().status_code for task in sent] == [202] * 3
    await strained.drain()
    assert (await own_client.post("/crm/contacts", json={"name": "Eve"})).status_code == 202
