"""The fake of Mailchimp: what it keeps, what it refuses, and how many it serves at once."""

import asyncio
from typing import Any

import httpx2
import pytest

from kith.clock import FixedClock
from tools.fake_vendors.app import Fake
from tools.fake_vendors.mailchimp import USUAL_LIST
from tools.fake_vendors.mailchimp_members import hash_email

LIST = f"/lists/{USUAL_LIST}"


def at(email: str, behind: str = "") -> str:
    return f"{LIST}/members/{hash_email(email)}{behind}"


async def ask(client: httpx2.AsyncClient, status: int, method: str, path: str, body: Any = None, **params: str) -> Any:
    """The JSON of the answer, which has to have this status."""
    answer = await client.request(method, path, json=body, params=params)
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert answer.json().keys() >= {"type", "title", "status", "detail", "instance"}
    return answer.json() if answer.content else None


async def put(client: httpx2.AsyncClient, email: str, expected: int = 200, key: str | None = None, **more: Any) -> Any:
    body = {"email_address": email, "status_if_new": "subscribed", **more}
    return await ask(client, expected, "PUT", at(key or email), body)


async def test_the_account_is_told_to_whoever_has_a_key(mailchimp: httpx2.AsyncClient, fake: Fake) -> None:
    assert (await ask(mailchimp, 200, "GET", "/"))["login_id"]
    headers = httpx2.BasicAuth("anybody", fake.mailchimp.token)
    assert (await mailchimp.get("/ping", auth=headers)).status_code == 200
    refused = await mailchimp.get("/ping", headers={"Authorization": "Bearer other"})
    assert (refused.status_code, refused.json()["title"]) == (401, "API Key Invalid")
    assert (await ask(mailchimp, 200, "GET", LIST))["double_optin"] is False
    assert (await ask(mailchimp, 200, "GET", "/lists"))["lists"][0]["id"] == USUAL_LIST
    await ask(mailchimp, 404, "GET", "/lists/other")
    await ask(mailchimp, 405, "DELETE", LIST)


async def test_a_member_keeps_its_status_whatever_the_status_if_new(mailchimp: httpx2.AsyncClient, fake: Fake) -> None:
    made = await put(mailchimp, "A@b.co", merge_fields={"FNAME": "A"}, status_if_new="transactional")
    assert (made["status"], made["id"], made["email_address"]) == ("transactional", hash_email("a@b.co"), "A@b.co")
    again = await put(mailchimp, "A@b.co", merge_fields={"LNAME": "B"}, language="de", vip=True)
    assert (again["status"], again["language"], again["vip"]) == ("transactional", "de", True)
    assert (again["merge_fields"]["FNAME"], again["merge_fields"]["LNAME"]) == ("A", "B")
    assert fake.mailchimp.statuses_sent == []
    await put(mailchimp, "A@b.co", status="unsubscribed")
    assert fake.mailchimp.statuses_sent == [(USUAL_LIST, "A@b.co", "unsubscribed")]


async def test_who_left_cannot_be_subscribed_again(mailchimp: httpx2.AsyncClient, fake: Fake) -> None:
    await put(mailchimp, "a@b.co")
    fake.mailchimp.unsubscribe("a@b.co")
    assert (await put(mailchimp, "a@b.co"))["status"] == "unsubscribed"
    refused = await ask(mailchimp, 400, "PATCH", at("a@b.co"), {"status": "subscribed"})
    assert refused["title"] == "Member In Compliance State"


async def test_a_new_address_moves_the_member(mailchimp: httpx2.AsyncClient, fake: Fake) -> None:
    await put(mailchimp, "a@b.co")
    await ask(mailchimp, 204, "POST", at("a@b.co", "/tags"), {"tags": [{"name": "vip", "status": "active"}]})
    moved = await put(mailchimp, "c@d.co", key="a@b.co")
    assert (moved["id"], [tag["name"] for tag in moved["tags"]]) == (hash_email("c@d.co"), ["vip"])
    assert list(fake.mailchimp.members[USUAL_LIST]) == [hash_email("c@d.co")]
    await put(mailchimp, "a@b.co")
    taken = await put(mailchimp, "a@b.co", 400, key="c@d.co")
    assert (taken["title"], "already a list member" in taken["detail"]) == ("Invalid Resource", True)
    await put(mailchimp, "e@f.co", 400, key="x@y.co")


async def test_who_is_archived_stays_so_without_a_status(mailchimp: httpx2.AsyncClient) -> None:
    await put(mailchimp, "a@b.co")
    await ask(mailchimp, 204, "DELETE", at("a@b.co"))
    assert (await ask(mailchimp, 200, "GET", at("a@b.co")))["status"] == "archived"
    assert (await put(mailchimp, "a@b.co"))["status"] == "archived"
    assert (await ask(mailchimp, 200, "PATCH", at("a@b.co"), {"status": "subscribed"}))["status"] == "subscribed"


async def test_who_was_deleted_for_good_never_comes_back(mailchimp: httpx2.AsyncClient) -> None:
    await put(mailchimp, "a@b.co")
    await put(mailchimp, "c@d.co")
    await ask(mailchimp, 204, "POST", at("a@b.co", "/actions/delete-permanent"))
    await ask(mailchimp, 404, "GET", at("a@b.co"))
    await put(mailchimp, "A@b.co", 400)
    await put(mailchimp, "a@b.co", 400, key="c@d.co")
    await ask(mailchimp, 404, "POST", at("a@b.co", "/actions/delete-permanent"))


@pytest.mark.parametrize(
    "more",
    [
        {"status_if_new": None},
        {"status_if_new": "archived"},
        {"email_address": "nobody"},
        {"email_address": "a@fake.invalid"},
        {"merge_fields": {"COLOUR": "red"}},
        {"merge_fields": {"FNAME": None}},
        {"merge_fields": {"FNAME": 1}},
        {"merge_fields": {"FNAME": "a" * 256}},
        {"merge_fields": {"ADDRESS": "Ulm"}},
        {"merge_fields": {"BIRTHDAY": "1990-01-01"}},
        {"tags": ["vip"]},
        {"vip": "yes"},
    ],
)
async def test_a_member_that_does_not_fit_is_refused(
    mailchimp: httpx2.AsyncClient, fake: Fake, more: dict[str, Any]
) -> None:
    email = more.get("email_address", "a@b.co")
    body = {"email_address": email, "status_if_new": "pending", **more}
    refused = await ask(mailchimp, 400, "PUT", at(email), {key: value for key, value in body.items() if value})
    assert refused["title"] == "Invalid Resource"
    assert fake.mailchimp.members == {USUAL_LIST: {}}


async def test_merge_fields_are_made_and_may_be_needed(mailchimp: httpx2.AsyncClient) -> None:
    body = {"name": "Plan", "tag": "PLAN", "type": "text", "required": True}
    assert (await ask(mailchimp, 200, "POST", f"{LIST}/merge-fields", body))["tag"] == "PLAN"
    await ask(mailchimp, 400, "POST", f"{LIST}/merge-fields", body)
    await ask(mailchimp, 400, "POST", f"{LIST}/merge-fields", {**body, "tag": "MUCH_TOO_LONG"})
    assert (await ask(mailchimp, 200, "GET", f"{LIST}/merge-fields", count="100"))["total_items"] == 6
    refused = await put(mailchimp, "a@b.co", 400)
    assert refused["errors"] == [{"field": "PLAN", "message": "A value is needed."}]
    member = {"email_address": "a@b.co", "status_if_new": "subscribed"}
    await ask(mailchimp, 200, "PUT", at("a@b.co"), member, skip_merge_validation="true")
    await put(mailchimp, "a@b.co", merge_fields={"PLAN": "free"})


async def test_members_are_read_by_when_they_changed(mailchimp: httpx2.AsyncClient, vendor_clock: FixedClock) -> None:
    for email in ("a@b.co", "c@d.co", "e@f.co"):
        await put(mailchimp, email)
        vendor_clock.advance(1)
    since = {"since_last_changed": "2026-11-22T10:00:00+00:00"}
    page = await ask(mailchimp, 200, "GET", f"{LIST}/members", **since, count="1", offset="1")
    assert ([one["email_address"] for one in page["members"]], page["total_items"]) == (["e@f.co"], 2)
    await ask(mailchimp, 400, "GET", f"{LIST}/members", since_last_changed="yesterday")
    await ask(mailchimp, 400, "GET", f"{LIST}/members", since="2026-11-22")


async def test_tags_are_set_and_taken_off(mailchimp: httpx2.AsyncClient, fake: Fake) -> None:
    await put(mailchimp, "a@b.co")
    path = at("a@b.co", "/tags")
    tags = [{"name": "vip", "status": "active"}, {"name": "old", "status": "active"}]
    await ask(mailchimp, 204, "POST", path, {"tags": tags, "is_syncing": True})
    await ask(mailchimp, 204, "POST", path, {"tags": [{"name": "old", "status": "inactive"}]})
    assert [tag["name"] for tag in (await ask(mailchimp, 200, "GET", path))["tags"]] == ["vip"]
    await ask(mailchimp, 400, "POST", path, {"tags": [{"name": "old", "status": "gone"}]})
    await ask(mailchimp, 404, "POST", at("c@d.co", "/tags"), {"tags": tags})
    member = fake.mailchimp.find_member("a@b.co")
    assert member is not None
    assert list(member.tags) == ["vip"]


async def test_notes_are_written_changed_and_deleted(mailchimp: httpx2.AsyncClient) -> None:
    await put(mailchimp, "a@b.co")
    path = at("a@b.co", "/notes")
    ids = [(await ask(mailchimp, 200, "POST", path, {"note": f"Note {n}"}))["id"] for n in range(3)]
    await ask(mailchimp, 200, "PATCH", f"{path}/{ids[0]}", {"note": "Changed"})
    await ask(mailchimp, 204, "DELETE", f"{path}/{ids[1]}")
    await ask(mailchimp, 404, "DELETE", f"{path}/{ids[1]}")
    await ask(mailchimp, 400, "POST", path, {"note": "a" * 1001})
    page = await ask(mailchimp, 200, "GET", path, count="1", offset="1")
    assert ([note["note"] for note in page["notes"]], page["total_items"]) == (["Changed"], 2)


async def test_events_are_added_and_told(mailchimp: httpx2.AsyncClient, fake: Fake) -> None:
    await put(mailchimp, "a@b.co")
    path = at("a@b.co", "/events")
    event = {"name": "call_logged", "properties": {"id": "1"}, "occurred_at": "2026-11-20T10:00:00+00:00"}
    await ask(mailchimp, 204, "POST", path, {**event, "is_syncing": True})
    wrong = ({"name": "Call logged"}, {"name": "a" * 31}, {"properties": {"id": 1}}, {"occurred_at": "soon"}, {"id": 1})
    for more in wrong:
        await ask(mailchimp, 400, "POST", path, {**event, **more})
    assert (await ask(mailchimp, 200, "GET", path))["events"] == [event]
    member = fake.mailchimp.find_member("a@b.co")
    assert member is not None
    assert [one.is_syncing for one in member.events] == [True]


async def test_the_secret_of_a_webhook_is_told_once(mailchimp: httpx2.AsyncClient, fake: Fake) -> None:
    sources = {"user": True, "admin": True, "api": False}
    body = {"url": "https://kith.example/hook", "events": {"subscribe": True}, "sources": sources}
    made = await ask(mailchimp, 200, "POST", f"{LIST}/webhooks", body)
    listed = (await ask(mailchimp, 200, "GET", f"{LIST}/webhooks"))["webhooks"][0]
    assert made == {**listed, "signing_secret": fake.mailchimp.lists[USUAL_LIST].webhooks[made["id"]].signing_secret}
    assert (listed["sources"], listed["events"]["unsubscribe"]) == (sources, False)
    await ask(mailchimp, 400, "POST", f"{LIST}/webhooks", body)
    await ask(mailchimp, 400, "POST", f"{LIST}/webhooks", {**body, "url": "kith.example", "secret": "x"})
    await ask(mailchimp, 204, "DELETE", f"{LIST}/webhooks/{made['id']}")


async def test_an_eleventh_request_at_once_is_refused(mailchimp: httpx2.AsyncClient, fake: Fake) -> None:
    fake.latency_s = 0.02
    answers = await asyncio.gather(*(mailchimp.get("/ping") for _ in range(11)))
    assert sorted(answer.status_code for answer in answers) == [200] * 10 + [429]
    fake.mailchimp.simultaneous_max = None
    assert {answer.status_code for answer in await asyncio.gather(*(mailchimp.get("/ping") for _ in range(20)))} == {
        200
    }
    assert fake.under_way["mailchimp"] == 0
