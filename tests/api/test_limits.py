"""Rate limits over HTTP: by tier, by second, by key, and told on every answer."""

import asyncio

import httpx2
import pytest

from kith.clock import FixedClock
from tests.kit import Kit

SECOND = 1772600767  # 2026-03-04T05:06:07Z, where the clock stands


@pytest.mark.parametrize(("tier", "limit"), [("starter", 100), ("growth", 500), ("scale", 2000)])
async def test_a_tier_allows_so_many_requests_a_second(
    timed_kit: Kit, clock: FixedClock, tier: str, limit: int
) -> None:
    key = await timed_kit.make_key(await timed_kit.make_workspace(), tier=tier, rate_per_s=None)
    async with timed_kit.open_client(key) as client:
        for turn in range(2):
            answers = [await client.get("/crm/nothing") for _ in range(limit)]
            assert {answer.status_code for answer in answers} == {404}
            assert [int(answer.headers["x-ratelimit-remaining"]) for answer in answers] == list(range(limit))[::-1]
            refused = await client.get("/crm/nothing")
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "RATE_LIMITED")
            assert refused.json()["error"]["details"] == {"retryAfter": 1}
            assert refused.headers["retry-after"] == "1"
            assert refused.headers["x-ratelimit-limit"] == str(limit)
            assert refused.headers["x-ratelimit-remaining"] == "0"
            assert refused.headers["x-ratelimit-reset"] == str(SECOND + turn + 1)
            clock.advance(1)


async def test_every_answer_to_a_valid_key_tells_its_limit(timed_kit: Kit) -> None:
    key = await timed_kit.make_key(await timed_kit.make_workspace(), ["crm:write"], rate_per_s=50)
    async with timed_kit.open_client(key) as client:
        answers = [
            await client.post("/crm/contacts", json={"name": "A"}),
            await client.post("/crm/contacts", content=b"{"),
            await client.post("/crm/contacts", json={"nmae": "A"}),
            await client.post("/crm/properties", json={}),
            await client.get("/crm/nothing"),
            await client.put("/crm/contacts"),
            await client.delete("/crm/contacts/x"),
            await client.patch("/crm/contacts/9", json={}),
        ]
    assert [answer.status_code for answer in answers] == [202, 400, 422, 403, 404, 405, 400, 404]
    for used, answer in enumerate(answers, 1):
        assert answer.headers["x-ratelimit-limit"] == "50"
        assert answer.headers["x-ratelimit-remaining"] == str(50 - used)
        assert answer.headers["x-ratelimit-reset"] == str(SECOND + 1)
        assert answer.headers["ratelimit-policy"] == '"default";q=50;w=1'
        assert answer.headers["ratelimit"] == f'"default";r={50 - used};t=1'


async def test_a_key_without_limit_is_never_refused(timed_kit: Kit) -> None:
    key = await timed_kit.make_key(await timed_kit.make_workspace(), tier="enterprise", rate_per_s=0)
    async with timed_kit.open_client(key) as client:
        for _ in range(300):
            answer = await client.get("/crm/nothing")
            assert answer.status_code == 404
            assert answer.headers["x-ratelimit-limit"] == "1000000"
            assert answer.headers["x-ratelimit-remaining"] == "1000000"


async def test_each_key_has_a_limit_of_its_own(timed_kit: Kit) -> None:
    workspace = await timed_kit.make_workspace()
    for _ in range(2):
        async with timed_kit.open_client(await timed_kit.make_key(workspace, rate_per_s=2)) as client:
            statuses = [(await client.get("/crm/nothing")).status_code for _ in range(3)]
        assert statuses == [404, 404, 429]


async def test_requests_that_come_together_are_counted_one_by_one(timed_kit: Kit) -> None:
    key = await timed_kit.make_key(await timed_kit.make_workspace(), rate_per_s=10)
    async with timed_kit.open_client(key) as client:
        answers: list[httpx2.Response] = await asyncio.gather(*(client.get("/crm/nothing") for _ in range(25)))
    assert sorted(answer.status_code for answer in answers) == [404] * 10 + [429] * 15


async def test_a_refused_write_writes_nothing(timed_kit: Kit, clock: FixedClock) -> None:
    key = await timed_kit.make_key(await timed_kit.make_workspace(), rate_per_s=1)
    async with timed_kit.open_client(key) as client:
        assert (await client.get("/crm/nothing")).status_code == 404
        assert (await client.post("/crm/contacts", json={"name": "A"})).status_code == 429
        await timed_kit.drain()
        clock.advance(1)
        assert (await client.get("/crm/contacts")).json()["data"] == []
