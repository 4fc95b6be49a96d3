"""What a provider was asked for, and what it tells by itself."""

import asyncio

import pytest

from kith.integrations.accounts import Integration, from_row
from kith.integrations.failures import Permanent
from kith.integrations.port import Provider
from kith.integrations.reconcile import reconcile
from tests.integrations.conftest import PUBLIC, Shop
from tools.fake_vendors.deliveries import make_mailchimp_delivery
from tools.fake_vendors.mailchimp import USUAL_LIST
from tools.fake_vendors.wire import Asked


async def ask_back(shop: Shop) -> int:
    """As the runner does once a day: of all that changed within a day."""
    key = (shop.workspace.shard, shop.workspace.id, 1)
    await shop.kit.engine.database.execute("UPDATE integrations SET reconciled_at = reconciled_at - interval '1 day'")
    row = await shop.runner._own(key)
    assert row is not None
    async with shop.runner._open_provider(from_row(row)) as provider:
        taken = await reconcile(shop.kit.engine, from_row(row), provider)
    await shop.kit.drain()
    return taken


@pytest.mark.parametrize(("owner", "phone"), [("THEIRS", "+12025550199"), ("OURS", "+12025550123")])
async def test_a_change_in_hubspot_that_no_webhook_told_of_is_found(shop: Shop, owner: str, phone: str) -> None:
    await shop.connect("HUBSPOT", ownership={"phone": owner})
    await shop.make("contacts", email="a@example.com", phone="+12025550123")
    await shop.settle()
    (there,) = shop.fake.hubspot.objects["contacts"].values()
    there.properties["phone"] = "+12025550199"
    there.updated_at = shop.kit.engine.clock.now()
    assert await ask_back(shop) == (owner == "THEIRS")
    assert (await shop.client.get("/crm/contacts/1")).json()["data"]["phone"] == phone
    await shop.settle()
    assert there.properties["phone"] == phone
    assert await ask_back(shop) == 0


@pytest.mark.parametrize("owner", ["OURS", "THEIRS"])
@pytest.mark.parametrize("provider", ["HUBSPOT", "MAILCHIMP"])
async def test_what_we_have_sent_is_no_change_however_it_is_written_there(
    shop: Shop, provider: str, owner: str
) -> None:
    company = {"HUBSPOT": "company", "MAILCHIMP": "COMPANY"}[provider]
    await shop.connect(
        provider,
        fields={"contact": {"company.name": company}},
        ownership=dict.fromkeys(("givenName", "phone"), owner),
    )
    contact = await shop.make("contacts", email="a@example.com", name="Prince", phone="+1 (202) 555-0123")
    await shop.make(f"contacts/{contact}/companies", companyId=await shop.make("companies", name="Acme"))
    await shop.settle()
    before = (await shop.client.get(f"/crm/contacts/{contact}")).json()["data"]
    assert await ask_back(shop) == 0
    assert await shop.kit.engine.database.fetchval("SELECT count(*) FROM sync_jobs") == 0
    assert (await shop.client.get(f"/crm/contacts/{contact}")).json()["data"] == before


async def test_an_unsubscribe_that_no_webhook_told_of_is_found_once(shop: Shop) -> None:
    await shop.connect("MAILCHIMP")
    for name in ("a", "b"):
        await shop.make("contacts", email=f"{name}@example.com")
    await shop.settle()
    shop.fake.mailchimp.unsubscribe("a@example.com")
    assert await ask_back(shop) == 1
    assert await ask_back(shop) == 0
    told = [
        [one["content"] for one in (await shop.client.get(f"/crm/contacts/{n}/activities")).json()["data"]]
        for n in (1, 2)
    ]
    assert told == [["Unsubscribed at MAILCHIMP"], []]


async def test_an_asking_that_fails_is_tried_again_later_and_keeps_nothing_from_being_sent(shop: Shop) -> None:
    await shop.connect("HUBSPOT")
    async with shop.open_session():
        pass
    await shop.kit.engine.database.execute("UPDATE integrations SET reconciled_at = reconciled_at - interval '1 day'")
    asked = []

    async def ask(_one: Integration, _provider: Provider) -> int:
        asked.append(1)
        raise Permanent("400", status=400)

    shop.runner._reconcile = ask
    stop = asyncio.Event()
    running = asyncio.create_task(shop.runner.run(stop))
    async with asyncio.timeout(20):
        while not asked:
            await asyncio.sleep(0)
        for n in range(1, 4):
            await shop.make("contacts", email=f"{n}@example.com")
            await shop.kit.drain()
            while len(shop.fake.hubspot.objects["contacts"]) < n:
                await asyncio.sleep(0)
    stop.set()
    await running
    assert len(asked) == 1


async def test_mailchimp_is_told_where_to_tell_and_its_signature_is_known(shop: Shop) -> None:
    one = await shop.connect("MAILCHIMP")
    await shop.make("contacts", email="a@example.com")
    for _ in range(2):
        await shop.settle()
    (hook,) = shop.fake.mailchimp.lists[USUAL_LIST].webhooks.values()
    path = f"/hooks/{shop.workspace.id}/{one}"
    assert hook.url == PUBLIC + path
    told = make_mailchimp_delivery(
        hook.signing_secret, "unsubscribe", USUAL_LIST, "a@example.com", shop.kit.engine.clock.now(), action="unsub"
    )
    answer = await shop.client.post(path, content=told.body, headers=told.headers)
    assert (answer.status_code, answer.json()) == (200, {"taken": 1}), answer.text


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize(("owner", "left"), [("OURS", "a@example.com"), ("THEIRS", "b@example.com")])
async def test_a_member_whose_email_changes_there_stays_the_one_member(
    shop: Shop, owner: str, left: str, is_told: bool
) -> None:
    one = await shop.connect("MAILCHIMP", ownership={"email": owner})
    await shop.make("contacts", email="a@example.com")
    for _ in range(2):
        await shop.settle()
    audience = shop.fake.mailchimp.lists[USUAL_LIST]
    (hook,) = audience.webhooks.values()
    (member,) = audience.members.values()
    moved = Asked(
        service="mailchimp",
        method="PATCH",
        path=f"/lists/{USUAL_LIST}/members/{member.id}",
        headers={"authorization": f"Bearer {shop.fake.mailchimp.token}", "content-type": "application/json"},
        body=b'{"email_address": "b@example.com"}',
    )
    assert shop.fake.mailchimp.answer(moved).status == 200
    told = make_mailchimp_delivery(
        hook.signing_secret,
        "upemail",
        USUAL_LIST,
        "b@example.com",
        shop.kit.engine.clock.now(),
        old_email="a@example.com",
        new_email="b@example.com",
    )
    if is_told:
        answer = await shop.client.post(f"/hooks/{shop.workspace.id}/{one}", content=told.body, headers=told.headers)
        assert answer.status_code == 200, answer.text
    assert await ask_back(shop) == (owner == "THEIRS" and not is_told)
    await shop.settle()
    assert [one.email_address for one in audience.members.values()] == [left]
    assert await shop.list_failures(one) == []
    assert (await shop.client.get("/crm/contacts/1")).json()["data"]["email"] == left
