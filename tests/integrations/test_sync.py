"""Records on their whole way: written by HTTP, applied, sent, and there."""

import hashlib
from typing import Any

import pytest

from kith.clock import SystemClock
from kith.integrations.accounts import get_integration
from kith.integrations.inbound import Intake
from kith.integrations.inbound_port import Forgotten
from tests.integrations.conftest import Shop


async def test_contacts_companies_and_activities_are_in_hubspot(shop: Shop) -> None:
    one = await shop.connect("HUBSPOT")
    contact = await shop.make("contacts", email="Ada@example.com", givenName="Ada", lifecycleStage="CUSTOMER")
    company = await shop.make("companies", name="Acme", domain="acme.com")
    await shop.make(f"contacts/{contact}/companies", companyId=company, isPrimary=True)
    for kind in ("NOTE", "CALL", "MEETING", "EMAIL", "TASK"):
        await shop.make(f"contacts/{contact}/activities", type=kind, content=f"A {kind}")
    await shop.settle()
    hubspot = shop.fake.hubspot
    assert await shop.list_failures(one) == []
    there = hubspot.find_contact("ada@example.com")
    assert there is not None and there.properties["firstname"] == "Ada"
    assert there.properties["lifecyclestage"] == "customer"
    assert len(hubspot.find_associated("contacts", there.id, "companies")) == 1
    for kind in ("notes", "calls", "meetings", "emails", "tasks"):
        assert len(hubspot.find_associated("contacts", there.id, kind)) == 1
    status = (await shop.client.get(f"/crm/contacts/{contact}/sync-status")).json()["data"]
    (row,) = status["integrations"]
    assert (row["provider"], row["externalId"], row["state"]) == ("HUBSPOT", there.id, "SYNCED")
    assert len(row["syncHash"]) == 64 and row["lastSyncedAt"]


async def test_activities_of_one_kind_go_together_however_they_were_logged(shop: Shop) -> None:
    await shop.connect("HUBSPOT")
    contact = await shop.make("contacts", email="ada@example.com")
    for n in range(120):
        kind = ("NOTE", "CALL", "MEETING", "EMAIL", "TASK")[n % 5]
        await shop.make(f"contacts/{contact}/activities", type=kind, content=f"No {n}")
    await shop.settle()
    for kind in ("notes", "calls", "meetings", "emails", "tasks"):
        assert len(shop.fake.list_requests("hubspot", "POST", f"/{kind}/batch/upsert")) == 1
        assert len(shop.fake.hubspot.objects[kind]) == 24


async def test_an_email_that_changes_changes_the_same_contact_in_hubspot(shop: Shop) -> None:
    await shop.connect("HUBSPOT")
    contact = await shop.make("contacts", email="old@example.com", name="Ada")
    await shop.settle()
    await shop.change(f"contacts/{contact}", email="new@example.com")
    await shop.settle()
    (there,) = shop.fake.hubspot.objects["contacts"].values()
    assert there.properties["email"] == "new@example.com"


async def test_a_merge_here_is_a_merge_in_hubspot(shop: Shop) -> None:
    await shop.connect("HUBSPOT")
    winner = await shop.make("contacts", email="a@example.com")
    loser = await shop.make("contacts", email="b@example.com")
    await shop.make(f"contacts/{loser}/activities", type="NOTE", content="of the loser")
    await shop.settle()
    assert (await shop.client.post(f"/crm/contacts/{winner}/merge", json={"loserId": loser})).status_code == 202
    await shop.settle()
    live = [one for one in shop.fake.hubspot.objects["contacts"].values() if not one.archived]
    (there,) = live
    assert len(shop.fake.hubspot.find_associated("contacts", there.id, "notes")) == 1
    sent = len(shop.fake.requests)
    await shop.client.post("/crm/integrations/1/sync")
    await shop.settle()
    assert [one.path for one in shop.fake.requests[sent:] if one.method != "GET"] == []


async def test_members_notes_and_events_are_in_mailchimp_and_consent_is_never_touched(shop: Shop) -> None:
    await shop.connect("MAILCHIMP")
    contact = await shop.make("contacts", email="Ada@example.com", givenName="Ada", familyName="Byron")
    tag = await shop.make("tags", key="vip", name="VIP")
    await shop.client.post(f"/crm/contacts/{contact}/tags", json={"tagId": tag})
    await shop.make(f"contacts/{contact}/activities", type="CALL", content="About prices")
    await shop.settle()
    mailchimp = shop.fake.mailchimp
    member = mailchimp.find_member("ada@example.com")
    assert member is not None
    assert (member.merge_fields["FNAME"], sorted(member.tags), len(member.notes), len(member.events)) == (
        "Ada",
        ["VIP"],
        1,
        1,
    )
    mailchimp.unsubscribe("ada@example.com")
    await shop.change(f"contacts/{contact}", familyName="Lovelace")
    await shop.settle()
    member = mailchimp.find_member("ada@example.com")
    assert member is not None and member.status == "unsubscribed" and member.merge_fields["LNAME"] == "Lovelace"
    assert [one for one in shop.fake.list_requests("mailchimp", "PUT") if "status" in one.body] == []
    place = hashlib.md5(b"ada@example.com", usedforsecurity=False).hexdigest()
    assert any(place in one.path for one in shop.fake.list_requests("mailchimp", "PUT"))


async def test_a_tag_that_is_renamed_or_deleted_moves_along_in_mailchimp(shop: Shop) -> None:
    await shop.connect("MAILCHIMP")
    contact = await shop.make("contacts", email="a@example.com")
    tag = await shop.make("tags", key="vip", name="VIP")
    await shop.client.post(f"/crm/contacts/{contact}/tags", json={"tagId": tag})
    await shop.settle()
    await shop.change(f"tags/{tag}", name="Very important")
    await shop.settle()
    member = shop.fake.mailchimp.find_member("a@example.com")
    assert member is not None and sorted(member.tags) == ["Very important"]
    await shop.client.delete(f"/crm/tags/{tag}")
    await shop.settle()
    member = shop.fake.mailchimp.find_member("a@example.com")
    assert member is not None and list(member.tags) == []


async def test_what_an_integration_does_not_take_does_not_wait_to_be_sent(shop: Shop) -> None:
    await shop.connect("MAILCHIMP")
    hubspot = await shop.connect("HUBSPOT")
    contact = await shop.make("contacts", email="a@example.com")
    company = await shop.make("companies", name="Acme")
    await shop.make(f"contacts/{contact}/companies", companyId=company)
    await shop.settle(1)
    assert (await shop.client.get("/crm/integrations/1")).json()["data"]["pendingRecords"] == 0
    async with shop.open_session(2) as session:
        await session._read_feed()
    await shop.client.patch(f"/crm/integrations/{hubspot}", json={"settings": {"companies": False}})
    await shop.settle(2)
    assert (await shop.client.get("/crm/integrations/2")).json()["data"]["pendingRecords"] == 0
    assert (len(shop.fake.hubspot.objects["contacts"]), len(shop.fake.hubspot.objects["companies"])) == (1, 0)


@pytest.mark.parametrize(
    ("provider", "settings", "total"),
    [
        ("HUBSPOT", {}, 4),
        ("HUBSPOT", {"companies": False}, 2),
        ("HUBSPOT", {"activities": False}, 3),
        ("MAILCHIMP", {}, 2),
        ("MAILCHIMP", {"notes": False, "events": False}, 1),
    ],
)
async def test_a_full_sync_counts_what_it_looks_at(
    shop: Shop, provider: str, settings: dict[str, Any], total: int
) -> None:
    contact = await shop.make("contacts", email="a@example.com")
    company = await shop.make("companies", name="Acme")
    await shop.make(f"contacts/{contact}/companies", companyId=company)
    await shop.make(f"contacts/{contact}/activities", type="NOTE", content="Hello")
    await shop.kit.drain()
    one = await shop.connect(provider, **settings)
    await shop.client.post(f"/crm/integrations/{one}/sync")
    await shop.settle()
    sync = (await shop.client.get(f"/crm/integrations/{one}")).json()["data"]["sync"]
    assert (sync["total"], sync["queued"], sync["finishedAt"] is not None) == (total, total, True)


async def test_a_second_full_sync_sends_nothing(shop: Shop) -> None:
    await shop.connect("HUBSPOT")
    await shop.connect("MAILCHIMP")
    for n in range(30):
        contact = await shop.make("contacts", email=f"{n}@example.com", name=f"No {n}")
        await shop.make(f"contacts/{contact}/activities", type="NOTE", content=f"Note {n}")
    for number in (1, 2):
        await shop.settle(number)
    sent = len(shop.fake.requests)
    for number in (1, 2):
        started = await shop.client.post(f"/crm/integrations/{number}/sync")
        assert started.json()["data"]["sync"]["total"] >= 60
        await shop.settle(number)
        shown = (await shop.client.get(f"/crm/integrations/{number}")).json()["data"]
        assert shown["sync"]["finishedAt"] and shown["pendingRecords"] == 0 and shown["syncedAt"]
    assert [one.path for one in shop.fake.requests[sent:] if one.method != "GET"] == []


async def test_another_mapping_sends_again_what_changes_by_it_and_once(shop: Shop) -> None:
    one = await shop.connect("HUBSPOT")
    await shop.client.post("/crm/properties", json={"key": "city", "entity": "CONTACT", "type": "TEXT"})
    await shop.make("contacts", email="a@example.com", properties={"city": "London"})
    await shop.settle()
    settings = {"fields": {"contact": {"properties.city": "city"}}}
    await shop.client.patch(f"/crm/integrations/{one}", json={"settings": settings})
    await shop.settle()
    (there,) = shop.fake.hubspot.objects["contacts"].values()
    assert there.properties["city"] == "London"
    sent = len(shop.fake.requests)
    await shop.client.patch(f"/crm/integrations/{one}", json={"settings": settings})
    await shop.settle()
    assert [one.path for one in shop.fake.requests[sent:] if one.method != "GET"] == []


async def test_what_is_wrong_with_a_record_is_told_and_it_goes_out_when_it_is_retried(shop: Shop) -> None:
    await shop.client.post("/crm/properties", json={"key": "stage", "entity": "CONTACT", "type": "TEXT"})
    await shop.kit.drain()
    fields = {"properties.stage": "lifecyclestage", "lifecycleStage": None}
    one = await shop.connect("HUBSPOT", fields={"contact": fields})
    for n in range(3):
        await shop.make("contacts", email=f"{n}@example.com", properties={"stage": "lead" if n != 1 else "nonsense"})
    await shop.settle()
    (failure,) = await shop.list_failures(one)
    assert (failure["entity"], failure["recordId"]) == ("contact", 2) and "nonsense" in failure["message"]
    assert len(shop.fake.hubspot.objects["contacts"]) == 2
    await shop.client.patch("/crm/contacts/2", json={"properties": {"stage": "customer"}})
    await shop.settle()
    assert await shop.list_failures(one) == [] and len(shop.fake.hubspot.objects["contacts"]) == 3


async def test_metrics_tell_what_waits_and_what_failed(shop: Shop) -> None:
    await shop.connect("HUBSPOT")
    await shop.make("contacts", email="a@example.com")
    shop.fake.hubspot.tokens.clear()
    await shop.kit.drain()
    text = (await shop.client.get("/metrics")).text
    assert 'kith_sync_records{provider="HUBSPOT",state="pending"} 0.0' in text
    assert 'kith_sync_paused{provider="HUBSPOT"} 0.0' in text


async def test_what_a_provider_does_not_take_does_not_wait_for_it(shop: Shop) -> None:
    await shop.connect("MAILCHIMP")
    contact = await shop.make("contacts", email="a@example.com")
    company = await shop.make("companies", name="Acme")
    await shop.make(f"contacts/{contact}/companies", companyId=company)
    await shop.settle()
    await shop.client.delete(f"/crm/companies/{company}")
    await shop.settle()
    assert (await shop.client.get("/crm/integrations/1")).json()["data"]["pendingRecords"] == 0


async def test_what_is_turned_off_does_not_wait_for_ever(shop: Shop) -> None:
    one = await shop.connect("HUBSPOT")
    contact = await shop.make("contacts", email="a@example.com")
    await shop.settle()
    await shop.make(f"contacts/{contact}/activities", type="NOTE", content="Later")
    await shop.kit.drain()
    async with shop.open_session() as session:
        await session._read_feed()
    shown = (await shop.client.get(f"/crm/integrations/{one}")).json()["data"]
    assert shown["pendingRecords"] == 1
    for activities, sent in ((False, 0), (True, 1)):
        await shop.client.patch(f"/crm/integrations/{one}", json={"settings": {"activities": activities}})
        await shop.settle()
        shown = (await shop.client.get(f"/crm/integrations/{one}")).json()["data"]
        assert (shown["pendingRecords"], len(shop.fake.hubspot.objects["notes"])) == (0, sent)


async def test_an_email_may_go_from_one_who_is_deleted_to_another(shop: Shop) -> None:
    for provider in ("HUBSPOT", "MAILCHIMP"):
        await shop.connect(provider)
    first = await shop.make("contacts", email="a@example.com", givenName="First")
    for number in (1, 2):
        await shop.settle(number)
    await shop.client.delete(f"/crm/contacts/{first}")
    await shop.kit.drain()
    await shop.make("contacts", email="a@example.com", givenName="Second")
    for number in (1, 2):
        await shop.settle(number)
    there = shop.fake.hubspot.find_contact("a@example.com")
    assert there is not None and not there.archived and there.properties["firstname"] == "Second"
    member = shop.fake.mailchimp.find_member("a@example.com")
    assert member is not None and (member.merge_fields["FNAME"], member.status) == ("Second", "transactional")


async def test_a_new_contact_with_the_email_of_a_merged_one_does_not_take_over_the_winner(shop: Shop) -> None:
    one = await shop.connect("HUBSPOT")
    winner = await shop.make("contacts", email="winner@example.com", givenName="Winner")
    loser = await shop.make("contacts", email="loser@example.com", givenName="Loser")
    await shop.settle()
    assert (await shop.client.post(f"/crm/contacts/{winner}/merge", json={"loserId": loser})).status_code == 202
    await shop.settle()
    new = await shop.make("contacts", email="loser@example.com", givenName="New")
    await shop.settle()
    there = shop.fake.hubspot.find_contact("winner@example.com")
    assert there is not None
    assert (there.properties["kith_id"], there.properties["firstname"]) == (winner, "Winner")
    [failure] = await shop.list_failures(one)
    assert (failure["recordId"], failure["status"]) == (3, 409)
    assert new in failure["message"] and winner in failure["message"] and there.id in failure["message"]


async def test_a_phone_number_with_an_extension_goes_as_it_was_given(shop: Shop) -> None:
    for provider in ("HUBSPOT", "MAILCHIMP"):
        await shop.connect(provider)
    phones = {
        "a@example.com": "+1 650 253 7777 ext. 12",
        "b@example.com": "+1 650 253 7777",
        "c@example.com": "call me",
    }
    for email, phone in phones.items():
        await shop.make("contacts", email=email, phone=phone)
    for number in (1, 2):
        await shop.settle(number)
    for email, phone in {**phones, "b@example.com": "+16502537777"}.items():
        there, member = shop.fake.hubspot.find_contact(email), shop.fake.mailchimp.find_member(email)
        assert there is not None and member is not None
        assert (there.properties["phone"], member.merge_fields["PHONE"]) == (phone, phone)


async def test_who_was_archived_is_asked_before_being_subscribed_again(shop: Shop) -> None:
    await shop.connect("MAILCHIMP", statusIfNew="subscribed")
    contact = await shop.make("contacts", email="a@example.com")
    await shop.settle()
    for act, status in (("DELETE", "archived"), ("POST", "pending")):
        path = f"/crm/contacts/{contact}" + ("/restore" if act == "POST" else "")
        assert (await shop.client.request(act, path)).status_code == 202
        await shop.settle()
        member = shop.fake.mailchimp.find_member("a@example.com")
        assert member is not None and member.status == status


async def test_who_asks_one_to_be_forgotten_is_taken_out_of_the_other_too(shop: Shop) -> None:
    one = await shop.connect("HUBSPOT")
    await shop.connect("MAILCHIMP")
    await shop.make("contacts", email="a@example.com")
    for number in (1, 2):
        await shop.settle(number)
    there = shop.fake.hubspot.find_contact("a@example.com")
    assert there is not None
    integration = await get_integration(shop.kit.engine, shop.workspace, one)
    asked = Forgotten(external_id=there.id, at=SystemClock().now())
    assert await Intake(shop.kit.engine, shop.workspace, integration).take([asked]) == 1
    await shop.settle(2)
    member = shop.fake.mailchimp.find_member("a@example.com")
    assert member is not None and member.status == "archived"
    sent = len(shop.fake.requests)
    await shop.make("contacts", email="a@example.com")
    for number in (1, 2):
        await shop.settle(number)
    assert [one.path for one in shop.fake.requests[sent:] if one.method != "GET"] == []
