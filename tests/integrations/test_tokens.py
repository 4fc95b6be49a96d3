"""Tokens that run out: got anew by one process, kept encrypted, and known to all others."""

import asyncio

import pytest

from kith.integrations.accounts import from_row
from kith.integrations.credential_store import Vault
from kith.store.queries import load_queries
from tests.integrations.conftest import Shop

_SQL = load_queries("integrations")


async def connect(shop: Shop) -> None:
    hubspot = shop.fake.hubspot
    credentials = {
        "clientId": hubspot.client_id,
        "clientSecret": hubspot.client_secret,
        "refreshToken": min(hubspot.refresh_tokens),
    }
    body = {"provider": "HUBSPOT", "name": "OAuth", "credentials": credentials}
    assert (await shop.client.post("/crm/integrations", json=body)).status_code == 201


async def test_several_processes_get_one_token(shop: Shop) -> None:
    await connect(shop)
    key = (shop.workspace.shard, shop.workspace.id, 1)
    row = await shop.runner._own(key)
    assert row is not None

    async def probe() -> str:
        async with shop.runner._open_provider(from_row(row)) as provider:
            return (await provider.connect()).id

    assert set(await asyncio.gather(*(probe() for _ in range(8)))) == {str(shop.fake.hubspot.portal_id)}
    assert len(shop.fake.list_requests("hubspot", "POST", "/token")) == 1


async def test_a_token_that_was_got_is_kept_encrypted(shop: Shop) -> None:
    await connect(shop)
    await shop.make("contacts", email="a@example.com")
    await shop.settle()
    row = await shop.kit.engine.database.fetchrow("SELECT external_id, credentials FROM integrations")
    assert row is not None
    kept = Vault.from_settings(shop.kit.engine.settings).unseal(row["external_id"], row["credentials"])
    assert kept["accessToken"] in shop.fake.hubspot.tokens
    assert kept["accessToken"].encode() not in row["credentials"]
    await shop.make("contacts", email="b@example.com")
    await shop.settle()
    assert len(shop.fake.list_requests("hubspot", "POST", "/token")) == 1


async def test_a_token_that_is_taken_back_is_got_anew_once(shop: Shop) -> None:
    await connect(shop)
    await shop.make("contacts", email="a@example.com")
    await shop.settle()
    shop.fake.hubspot.tokens.clear()
    await shop.make("contacts", email="b@example.com")
    await shop.settle()
    assert len(shop.fake.hubspot.objects["contacts"]) == 2
    assert len(shop.fake.list_requests("hubspot", "POST", "/token")) == 2


async def test_credentials_that_are_refused_pause_the_integration_until_there_are_others(shop: Shop) -> None:
    one = await shop.connect("HUBSPOT")
    await shop.make("contacts", email="a@example.com")
    good = shop.fake.hubspot.tokens.copy()
    shop.fake.hubspot.tokens.clear()
    await shop.kit.drain()
    stop = asyncio.Event()
    running = asyncio.create_task(shop.runner.run(stop))
    async with asyncio.timeout(20):
        while True:
            shown = (await shop.client.get(f"/crm/integrations/{one}")).json()["data"]
            if shown["status"] == "PAUSED":
                break
            await asyncio.sleep(0)
    assert shown["problem"]["code"] == "UNAUTHORIZED"
    shop.fake.hubspot.tokens.update(good)
    await shop.client.post(f"/crm/integrations/{one}/resume")
    async with asyncio.timeout(20):
        while not shop.fake.hubspot.objects["contacts"]:
            await asyncio.sleep(0)
    stop.set()
    await running


@pytest.mark.parametrize("keys", ["", "nonsense"])
async def test_a_worker_without_the_key_says_so(shop: Shop, keys: str) -> None:
    if keys:
        with pytest.raises(Exception, match="kith secrets new"):
            Vault(keys)
    else:
        assert not Vault(keys).is_open
