"""Redis as clients and operators see it: not at all while it is there, and what changes while it is not."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import httpx2
import msgspec
import pytest
from typer.testing import CliRunner

from kith.api.app import Application
from kith.cli.app import app
from kith.clock import FixedClock
from kith.engine.context.engine import open_engine
from tests.kit import SETTINGS, Kit, open_kit
from tests.redis_server import RedisServer, running_redis


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One that a test may kill; it starts it again."""
    with running_redis(tmp_path_factory.mktemp("own")) as server:
        yield server


@pytest.fixture
async def redis_kit(database_url: str, clock: FixedClock, own_redis: RedisServer) -> AsyncIterator[Kit]:
    async with open_kit(database_url, own_redis.make_settings(SETTINGS), clock) as opened:
        yield opened


async def test_without_redis_requests_are_served_and_say_what_was_not_checked(
    redis_kit: Kit, own_redis: RedisServer
) -> None:
    key = await redis_kit.make_key(await redis_kit.make_workspace(), rate_per_s=9)
    async with redis_kit.open_client(key) as client:

        async def send(method: str, path: str, **more: object) -> httpx2.Response:
            answer: httpx2.Response = await client.request(method, path, **more)  # type: ignore[arg-type]
            return answer

        answers = [await send("POST", "/crm/contacts", json={"email": "a@b.co"}), await send("GET", "/crm/contacts")]
        ready = (await client.get("/readyz")).json()
        assert (ready["status"], ready["degraded"]) == ("ready", [])
        own_redis.kill()
        answers += [
            await send("POST", "/crm/contacts", json={"email": "b@b.co"}),
            await send("GET", "/crm/contacts/a@b.co"),
            await send("POST", "/crm/contacts", json={"email": "a@b.co"}),
            await send("GET", "/crm/contacts"),
        ]
        state = await client.get("/readyz")
        metrics = (await client.get("/metrics")).text
    own_redis.start()
    assert [answer.status_code for answer in answers] == [202, 200, 202, 202, 409, 200]
    deferred = [answer.headers.get("x-kith-checks") for answer in answers]
    assert deferred == [None, None, "deferred", None, None, None]
    # The counts of Redis are gone with it; this process begins its own.
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["8", "7", "8", "7", "6", "5"]
    assert (state.status_code, state.json()["status"], state.json()["missing"]) == (200, "degraded", [])
    assert "Redis does not answer" in state.json()["degraded"][0]
    assert "kith_checks_deferred_total " in metrics


async def test_a_limit_holds_for_all_processes_together(redis_kit: Kit, own_redis: RedisServer) -> None:
    key = await redis_kit.make_key(await redis_kit.make_workspace(), rate_per_s=4)
    settings = redis_kit.engine.settings
    async with (
        open_engine(settings, redis_kit.url, redis_kit.engine.clock) as engine,
        redis_kit.open_client(key) as one,
        replace(redis_kit, engine=engine, app=Application(engine)).open_client(key, locked=False) as two,
    ):
        answers = [await client.get("/crm/nothing") for _ in range(3) for client in (one, two)]
    assert [answer.status_code for answer in answers] == [404] * 4 + [429] * 2
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["3", "2", "1", "0", "0", "0"]


def test_the_status_tells_of_redis(redis_kit: Kit, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITH_DATABASE_URL", redis_kit.url)
    for url, said in ((own_redis.url, "Redis answers."), ("redis://127.0.0.1:1", "Redis does not answer")):
        monkeypatch.setenv("KITH_REDIS_URL", url)
        assert said in CliRunner().invoke(app, ["status"]).stdout
        status = msgspec.json.decode(CliRunner().invoke(app, ["status", "--json"]).stdout)
        assert (status["redis"]["fault"] is None) == (url == own_redis.url)
