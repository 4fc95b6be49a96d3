"""The log is in Kafka, and PostgreSQL is gone for a while: what can be accepted is, and applied when it is back."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from kith.settings import Settings
from kith.store.embedded import EmbeddedPostgres
from tests.kafka import Broker
from tests.kit import SETTINGS, Kit, open_kit
from tests.postgres import start_server
from tests.redis_server import RedisServer

PARTITIONS = 4


class Deployed(NamedTuple):
    kit: Kit
    client: httpx2.AsyncClient
    data: Path
    servers: list[EmbeddedPostgres]

    def stop_postgres(self) -> None:
        self.servers.pop().stop()

    async def start_postgres(self) -> None:
        self.servers.append(EmbeddedPostgres.start(self.data, durable=False))
        await self.kit.drain()

    async def create(self, **fields: str) -> str:
        """The external id of a contact that is applied."""
        made = await self.client.post("/crm/contacts", json=fields)
        assert made.status_code == 202
        await self.kit.drain()
        return str(made.json()["data"]["externalId"])


@pytest.fixture(params=["memory", "redis"])
def settings(request: pytest.FixtureRequest, kafka: Broker) -> Settings:
    """Keys are looked up for each request, as far as that can be."""
    settings = kafka.make_settings(Settings(poll_ms=100, append_timeout_ms=SETTINGS.append_timeout_ms, key_cache_ms=0))
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis")
        return server.make_settings(settings)
    return settings


@pytest.fixture
async def deployed(tmp_path: Path, settings: Settings) -> AsyncIterator[Deployed]:
    cluster = await start_server(tmp_path, 18, PARTITIONS)
    url = await cluster.make_database()
    servers = [cluster.server]
    try:
        async with open_kit(url, settings) as kit:
            key = await kit.make_key(await kit.make_workspace())
            async with kit.open_client(key) as client:
                yield Deployed(kit, client, tmp_path, servers)
    finally:
        for server in servers:
            server.stop()


async def test_what_is_made_meanwhile_is_accepted_foreseen_and_applied_in_the_end(deployed: Deployed) -> None:
    client = deployed.client
    await deployed.create(email="old@example.com")
    deployed.stop_postgres()
    made = await client.post("/crm/contacts", json={"email": "ada@example.com"})
    assert (made.status_code, made.headers["X-Kith-Checks"]) == (202, "deferred")
    contact = made.json()["data"]["externalId"]
    assert made.json()["data"]["email"] == "ada@example.com"
    changed = await client.patch(f"/crm/contacts/{contact}", json={"name": "Ada"})
    assert (changed.status_code, changed.json()["data"]["name"]) == (202, "Ada")
    noted = await client.post(f"/crm/contacts/{contact}/activities", json={"type": "NOTE", "content": "Called"})
    assert noted.status_code == 202
    taken = await client.post("/crm/contacts", json={"email": "ada@example.com"})
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "CONTACT_EMAIL_EXISTS")
    unforeseen = await client.post("/crm/contacts", json={"email": "old@example.com"})
    assert (unforeseen.status_code, unforeseen.headers["X-Kith-Checks"]) == (202, "deferred")
    await deployed.start_postgres()
    shown = await client.get(f"/crm/contacts/{contact}")
    assert (shown.status_code, shown.json()["data"]["name"]) == (200, "Ada")
    ended = (await client.get(unforeseen.headers["Operation-Location"])).json()["data"]
    assert (ended["status"], ended["error"]["code"]) == ("REJECTED", "CONTACT_EMAIL_EXISTS")
    again = await client.post("/crm/contacts", json={"email": "new@example.com"})
    assert (again.status_code, "X-Kith-Checks" in again.headers) == (202, False)


async def test_what_depends_on_what_only_postgresql_has_is_refused_for_now(deployed: Deployed) -> None:
    contact = await deployed.create(email="old@example.com")
    deployed.stop_postgres()
    for answer in (
        await deployed.client.patch(f"/crm/contacts/{contact}", json={"name": "Ada"}),
        await deployed.client.patch("/crm/contacts/1", json={"name": "Ada"}),
        await deployed.client.delete("/crm/contacts/old@example.com"),
        await deployed.client.post(f"/crm/contacts/{contact}/activities", json={"type": "NOTE", "content": "Called"}),
        await deployed.client.get(f"/crm/contacts/{contact}"),
        await deployed.client.get("/crm/contacts"),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE"), answer.text
        assert int(answer.headers["Retry-After"]) > 0
    await deployed.start_postgres()
    assert (await deployed.client.patch(f"/crm/contacts/{contact}", json={"name": "Ada"})).status_code == 202


async def test_a_repeated_request_meanwhile_is_the_same_write(deployed: Deployed) -> None:
    await deployed.create(name="first")
    deployed.stop_postgres()
    headers = {"Idempotency-Key": "one", "Prefer": "wait=0.1"}
    made = await deployed.client.post("/crm/contacts", json={"name": "Ada"}, headers=headers)
    repeated = await deployed.client.post("/crm/contacts", json={"name": "Ada"}, headers=headers)
    assert [made.status_code, repeated.status_code] == [202, 202], repeated.text
    assert repeated.headers["Idempotent-Replayed"] == "true"
    assert made.json()["operation"]["id"] == repeated.json()["operation"]["id"]
    other = await deployed.client.post("/crm/contacts", json={"name": "Eve"}, headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    await deployed.start_postgres()
    listed = (await deployed.client.get("/crm/contacts")).json()["data"]
    assert sorted(one["name"] for one in listed) == ["Ada", "first"]


async def test_a_key_that_was_never_looked_up_waits_for_postgresql(deployed: Deployed) -> None:
    key = await deployed.kit.make_key(await deployed.kit.make_workspace())
    deployed.stop_postgres()
    async with deployed.kit.open_client(key) as client:
        assert (await client.post("/crm/contacts", json={"name": "Ada"})).status_code == 503
    await deployed.start_postgres()
