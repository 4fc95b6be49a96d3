"""Two real ``kith api`` behind one Redis: races, retries and reads at either, also when one of them is killed."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import httpx2
import pytest

from tests.e2e.test_parts import read_line, start_part
from tests.kit import SETTINGS
from tests.redis_server import RedisServer
from tests.serving import run_kith


@pytest.fixture
def settings(database_url: str, redis: RedisServer) -> dict[str, str]:
    prefix = redis.make_settings(SETTINGS).redis_prefix
    return {"database_url": database_url, "redis_url": redis.url, "redis_prefix": prefix, "redis_timeout_ms": "2000"}


@pytest.fixture
def key(settings: dict[str, str]) -> str:
    return run_kith("init", "--json", **settings).stdout.split('"key":"')[1].split('"')[0]


@pytest.fixture
def apis(settings: dict[str, str], key: str) -> Iterator[list[str]]:
    """Where they listen."""
    with ExitStack() as stack:
        started = [stack.enter_context(start_part("api", "--port", "0", **settings)) for _ in range(2)]
        found = [re.search(r"http://\S+", read_line(api)) for api in started]
        yield [one[0] for one in found if one is not None]
        for api in started:
            api.terminate()
            assert api.wait(10) == 0


async def test_two_apis_are_as_one(apis: list[str], key: str, settings: dict[str, str]) -> None:
    outcomes: Counter[tuple[int, str | None]] = Counter()
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:

        async def create(url: str, n: int, **headers: str) -> httpx2.Response:
            body = {"email": f"{n}@example.com"}
            return await client.post(f"{url}/crm/contacts", json=body, headers=headers)

        answers = await asyncio.gather(*(create(url, n) for n in range(50) for url in apis))
        for answer in answers:
            outcomes[answer.status_code, answer.headers.get("x-kith-checks")] += 1
        assert outcomes == {(202, None): 50, (409, None): 50}
        reads = [await client.get(f"{url}/crm/contacts/{n}@example.com") for n in range(5) for url in apis]
        assert [(one.status_code, one.json().get("code")) for one in reads] == [(202, "PENDING")] * 10
        retried = await asyncio.gather(*(create(url, 99, **{"Idempotency-Key": "once"}) for url in apis * 5))
        assert (
            len({(one.status_code, one.json()["operation"]["position"], str(one.json()["data"])) for one in retried})
            == 1
        )
        with start_part("writer", **settings) as writer:
            assert read_line(writer)
            position = retried[0].json()["operation"]["position"]
            for url in apis:
                headers = {"X-Read-After": position, "Prefer": "wait=30"}
                page = await client.get(f"{url}/crm/contacts?status=ACTIVE", headers=headers)
                assert page.json()["meta"]["total"] == 51
                applied = await client.get(f"{url}/crm/contacts/0@example.com")
                assert (applied.status_code, "pending" in applied.json()["data"]) == (200, False)
                assert (await client.get(f"{url}/readyz")).json()["degraded"] == []


async def test_what_a_killed_api_has_accepted_is_known_to_the_other(
    apis: list[str], key: str, settings: dict[str, str]
) -> None:
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
        with start_part("api", "--port", "0", **settings) as third:
            found = re.search(r"http://\S+", read_line(third))
            assert found is not None
            made = await client.post(f"{found[0]}/crm/contacts", json={"email": "ada@example.com"})
            third.kill()
        assert made.status_code == 202
        for url in apis:
            assert (await client.post(f"{url}/crm/contacts", json={"email": "ada@example.com"})).status_code == 409
            read = await client.get(f"{url}/crm/contacts/ada@example.com")
            assert (read.status_code, read.json()["data"]) == (202, made.json()["data"])
