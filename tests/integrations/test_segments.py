"""An integration with a segment sends whoever fits, and archives or leaves whoever stops fitting."""

import asyncio
from typing import Any

import pytest

from kith.engine.admin.workspaces import change_workspace
from kith.integrations.failures import Permanent
from tests.integrations.conftest import Shop

CUSTOMERS = {"segment": {"where": "lifecycleStage = CUSTOMER"}}


def list_there(shop: Shop) -> set[str]:
    """The emails of the contacts that HubSpot has and are not archived."""
    contacts = shop.fake.hubspot.objects["contacts"].values()
    return {one.properties["email"] for one in contacts if not one.archived}


async def make_contact(shop: Shop, name: str, stage: str = "LEAD", **more: Any) -> str:
    return await shop.make("contacts", email=f"{name}@example.com", lifecycleStage=stage, **more)


async def test_whoever_fits_is_sent_and_whoever_enters_later_with_companies_and_activities(shop: Shop) -> None:
    await shop.connect("HUBSPOT", CUSTOMERS)
    await make_contact(shop, "in", "CUSTOMER")
    later = await make_contact(shop, "later")
    company, other = await shop.make("companies", name="Acme"), await shop.make("companies", name="Other")
    await shop.make(f"contacts/{later}/companies", companyId=company)
    await shop.make(f"contacts/{later}/activities", type="NOTE", content="Hello")
    await shop.settle()
    assert list_there(shop) == {"in@example.com"}
    assert (shop.fake.hubspot.objects["companies"], shop.fake.hubspot.objects["notes"]) == ({}, {})
    await shop.change(f"contacts/{later}", lifecycleStage="CUSTOMER")
    await shop.settle()
    assert list_there(shop) == {"in@example.com", "later@example.com"}
    [acme] = shop.fake.hubspot.objects["companies"].values()
    assert acme.properties["kith_id"] == company != other
    there = shop.fake.hubspot.find_contact("later@example.com")
    assert there is not None
    assert shop.fake.hubspot.find_associated("contacts", there.id, "companies") == [acme.id]
    assert len(shop.fake.hubspot.objects["notes"]) == 1


@pytest.mark.parametrize("on_delete", ["ARCHIVE", "ERASE", "KEEP"])
@pytest.mark.parametrize(("when_leaving", "left"), [("archive", set()), ("keep", {"a@example.com"})])
async def test_whoever_leaves_is_archived_there_or_stays_by_choice(
    shop: Shop, when_leaving: str, left: set[str], on_delete: str
) -> None:
    await shop.connect("HUBSPOT", {**CUSTOMERS, "whenLeaving": when_leaving}, onDelete=on_delete)
    one = await make_contact(shop, "a", "CUSTOMER")
    await shop.settle()
    await shop.change(f"contacts/{one}", lifecycleStage="LEAD")
    await shop.settle()
    assert list_there(shop) == left
    sent = len(shop.fake.requests)
    await shop.change(f"contacts/{one}", name="Changed")
    await shop.make(f"contacts/{one}/activities", type="NOTE", content="Hello")
    await shop.settle()
    assert [request.path for request in shop.fake.requests[sent:] if "/batch/" in request.path] == []
    await shop.change(f"contacts/{one}", lifecycleStage="CUSTOMER")
    await shop.settle()
    assert list_there(shop) == {"a@example.com"}
    assert len(shop.fake.hubspot.objects["notes"]) == 1


async def test_a_list_is_a_segment_too_at_mailchimp_as_well(shop: Shop) -> None:
    one, two = await make_contact(shop, "a"), await make_contact(shop, "b")
    chosen = await shop.make("lists", name="Chosen", entityType="CONTACT")
    await shop.make(f"lists/{chosen}/members", entityIds=[one])
    await shop.kit.drain()
    await shop.connect("MAILCHIMP", {"segment": {"listId": 1}})
    shown = (await shop.client.get("/crm/integrations/1")).json()["data"]
    assert (shown["segment"], shown["whenLeaving"]) == ({"listId": 1}, "archive")
    assert (await shop.client.post("/crm/integrations/1/sync")).status_code == 200
    await shop.settle()
    assert shop.fake.mailchimp.find_member("a@example.com") is not None
    assert shop.fake.mailchimp.find_member("b@example.com") is None
    await shop.make(f"lists/{chosen}/members", entityIds=[two])
    await shop.make(f"lists/{chosen}/members/remove", entityIds=[one])
    await shop.settle()
    statuses = [shop.fake.mailchimp.find_member(f"{name}@example.com").status for name in "ab"]  # type: ignore[union-attr]
    assert statuses == ["archived", "transactional"]


async def test_another_segment_brings_some_there_and_takes_others_away(shop: Shop) -> None:
    one = await shop.connect("HUBSPOT", CUSTOMERS)
    await make_contact(shop, "a", "CUSTOMER")
    await make_contact(shop, "b", "EVANGELIST")
    await shop.settle()
    body = {"segment": {"where": "lifecycleStage = EVANGELIST"}}
    assert (await shop.client.patch(f"/crm/integrations/{one}", json=body)).status_code == 200
    await shop.settle()
    assert list_there(shop) == {"b@example.com"}
    changed = await shop.client.patch(f"/crm/integrations/{one}", json={"segment": None})
    assert changed.json()["data"]["segment"] is None
    await shop.settle()
    assert list_there(shop) == {"a@example.com", "b@example.com"}
    assert (await shop.client.get("/crm/lists")).json()["data"] == []


async def test_a_segment_whose_list_is_deleted_archives_nobody_and_is_a_problem(shop: Shop) -> None:
    await shop.connect("HUBSPOT", CUSTOMERS)
    one = await make_contact(shop, "a", "CUSTOMER")
    await shop.settle()
    assert (await shop.client.delete("/crm/lists/1")).status_code == 202
    await shop.change(f"contacts/{one}", name="Changed")
    with pytest.raises(Permanent, match="was deleted"):
        await shop.settle()
    assert list_there(shop) == {"a@example.com"}


@pytest.mark.parametrize(
    ("segment", "status", "field"),
    [
        ({}, 422, "segment"),
        ({"where": "status = ACTIVE", "listId": 1}, 422, "segment"),
        ({"where": " "}, 422, "segment.where"),
        ({"listId": 99}, 422, "segment.listId"),
        ({"listId": 1}, 422, "segment.listId"),
        ({"where": "stage = CUSTOMER"}, 400, None),
        ({"were": "status = ACTIVE"}, 422, "segment.were"),
        ({"filter": "status = ACTIVE"}, 422, "segment.filter"),
    ],
)
async def test_a_segment_that_cannot_be_is_refused_by_name(
    shop: Shop, segment: dict[str, Any], status: int, field: str | None
) -> None:
    await shop.make("lists", name="Of companies", entityType="COMPANY")
    await shop.kit.drain()
    body = {"provider": "HUBSPOT", "name": "x", "credentials": {"accessToken": "x"}, "segment": segment}
    refused = await shop.client.post("/crm/integrations", json=body)
    assert refused.status_code == status, refused.text
    if field is not None:
        assert refused.json()["error"]["details"]["fields"][0]["field"] == field
    await shop.connect("HUBSPOT", CUSTOMERS)
    [held] = (await shop.client.get("/crm/integrations")).json()["data"]
    refused = await shop.client.patch(f"/crm/integrations/{held['id']}", json={"segment": segment})
    assert refused.status_code == status, "nor does a change take it"
    if field == "segment.filter":
        assert "Fields are where, listId." in refused.json()["error"]["message"]


async def test_what_ends_before_the_segment_is_saved_leaves_no_list_once_it_comes_again(shop: Shop) -> None:
    await shop.connect("HUBSPOT")
    body = {"provider": "HUBSPOT", "name": "x", "credentials": {"accessToken": "x"}, **CUSTOMERS}
    database = shop.kit.engine.database
    for method, path, sent in (("POST", "", body), ("PATCH", "/1", CUSTOMERS)):
        await database.execute("ALTER TABLE integrations ADD CONSTRAINT ended CHECK (segment IS NULL) NOT VALID")
        assert (await shop.client.request(method, f"/crm/integrations{path}", json=sent)).status_code == 500
        await database.execute("ALTER TABLE integrations DROP CONSTRAINT ended")
        assert (await shop.client.request(method, f"/crm/integrations{path}", json=sent)).is_success
    await shop.kit.drain()
    assert len((await shop.client.get("/crm/lists")).json()["data"]) == 2


async def test_integrations_that_are_the_same_have_a_list_each_and_what_is_refused_has_none(shop: Shop) -> None:
    body = {"provider": "HUBSPOT", "name": "x", "credentials": {"accessToken": "x"}, **CUSTOMERS}
    answers = await asyncio.gather(*(shop.client.post("/crm/integrations", json=body) for _ in range(3)))
    assert [answer.status_code for answer in answers] == [201] * 3
    await shop.kit.drain()
    assert len((await shop.client.get("/crm/lists")).json()["data"]) == 3
    assert (await shop.client.patch("/crm/integrations/1", json={"segment": None})).status_code == 200
    assert (await shop.client.patch("/crm/integrations/1", json=CUSTOMERS)).status_code == 200
    async with shop.kit.engine.database.acquire() as connection:
        await change_workspace(connection, shop.workspace.name, quotas={"integrations": 3})
    async with shop.kit.open_client(await shop.kit.make_key(shop.workspace)) as client:
        assert (await client.post("/crm/integrations", json=body)).status_code == 422
    await shop.kit.drain()
    assert len((await shop.client.get("/crm/lists")).json()["data"]) == 3
