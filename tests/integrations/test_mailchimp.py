"""Contacts at Mailchimp: what is sent of them, in which order, and what becomes of what is refused."""

from decimal import Decimal
from typing import Any

import httpx2
import pytest

from kith.integrations.failures import Conflict, Limited, Permanent, Transient, Unauthorized
from kith.integrations.mailchimp.payloads import hash_email
from kith.integrations.mailchimp.push import Mailchimp
from kith.integrations.port import Account, Begun, Failed, Item, Link, Linked, Outcome, Skipped, Unlinked
from kith.model.contacts import Contact
from kith.model.records import TagLink
from tests.integrations.mailchimp_audience import NOON, Audience, Open, Turns, make_job, problem, push

pytestmark = pytest.mark.usefixtures("no_waits")

EXISTS = ("Invalid Resource", "eve@new.example is already a list member. Use PUT to insert or update list members.")


def make_contact(number: int = 1, email: str | None = "ada@example.com", **fields: Any) -> Contact:
    values: dict[str, Any] = {
        "external_id": f"ctc_{number}",
        "number": number,
        "email": email,
        "status": "ACTIVE",
        "lifecycle_stage": "LEAD",
        "modules": (),
        "properties": {},
        "activity_count": 0,
        "created_at": NOON,
        "updated_at": NOON,
        "version": 1,
    }
    nothing = dict.fromkeys(
        ("name", "given_name", "family_name", "phone", "phone_e164", "avatar", "last_activity_at"), None
    )
    return Contact(**{**nothing, **values, **fields})


def make_tags(*names: str) -> tuple[TagLink, ...]:
    return tuple(
        TagLink(external_id=f"tag_{name}", number=None, key=name.lower(), name=name, color=None) for name in names
    )


def make_link(email: str, *tags: str, external_id: str = "c-old") -> Link:
    return Link(external_id=external_id, hash="", details={"email": email, "tags": list(tags)})


def make_item(contact: Contact, link: Link | None = None, **more: Any) -> Item:
    return Item(entity="contact", number=contact.number or 0, record=contact, link=link, **more)


async def remove(mailchimp: Mailchimp, *items: Item) -> list[Outcome]:
    return [outcome async for told in mailchimp.remove("contact", items) for _, outcome in told]


def to_path(email: str) -> str:
    return f"/members/{hash_email(email)}"


async def test_an_account_is_told_by_its_login(open_mailchimp: Open) -> None:
    assert await open_mailchimp().connect() == Account(id="77", name="Acme")


async def test_a_key_that_is_not_taken_is_unauthorized(audience: Audience, open_mailchimp: Open) -> None:
    audience.tell("GET", "/", problem(401, "API Key Invalid", "Your API key may be invalid."))
    with pytest.raises(Unauthorized, match="API Key Invalid: Your API key may be invalid") as refused:
        await open_mailchimp().connect()
    assert refused.value.reference == "i-1"


async def test_merge_fields_that_are_mapped_and_missing_are_made(audience: Audience, open_mailchimp: Open) -> None:
    fields = {"contact": {"properties.plan": "PLAN", "properties.language": "language", "phone": None}}
    audience.merge_fields, audience.page_max = ["FNAME", "ADDRESS", "LNAME"], 2
    await open_mailchimp(fields=fields).prepare()
    assert [body for method, _, body in audience.asked if method == "POST"] == [
        {"tag": "PLAN", "name": "plan", "type": "text"}
    ]


async def test_an_audience_that_is_not_there_is_named(audience: Audience, open_mailchimp: Open) -> None:
    audience.tell("GET", "a1b2c3", problem(404, "Resource Not Found"))
    with pytest.raises(Permanent, match="The audience a1b2c3 is not there"):
        await open_mailchimp().prepare()


@pytest.mark.parametrize(
    "answer", [problem(400, "Invalid Resource", "Too many fields."), httpx2.Response(200, json={"tag": "MMERGE4"})]
)
async def test_a_merge_field_that_cannot_be_made_is_named(
    audience: Audience, open_mailchimp: Open, answer: httpx2.Response
) -> None:
    audience.merge_fields = ["FNAME", "LNAME"]
    audience.tell("POST", "/merge-fields", answer)
    with pytest.raises(Permanent, match="no merge field PHONE"):
        await open_mailchimp().prepare()


async def test_a_contact_becomes_a_member(audience: Audience, open_mailchimp: Open) -> None:
    contact = make_contact(given_name="Ada", phone="0170 1", phone_e164="+491701", tags=make_tags("VIP", "Beta"))
    outcomes = await push(open_mailchimp(), make_item(contact))
    place = to_path("ada@example.com")
    assert audience.asked == [
        (
            "PUT",
            place,
            {
                "email_address": "ada@example.com",
                "status_if_new": "transactional",
                "merge_fields": {"FNAME": "Ada", "LNAME": "", "PHONE": "+491701"},
            },
        ),
        (
            "POST",
            f"{place}/tags",
            {
                "tags": [{"name": "Beta", "status": "active"}, {"name": "VIP", "status": "active"}],
                "is_syncing": True,
            },
        ),
    ]
    details = {"email": "ada@example.com", "tags": ["Beta", "VIP"]}
    assert outcomes == [Linked(external_id=f"c-{hash_email('ada@example.com')[:6]}", details=details)]


async def test_a_member_without_a_contact_id_is_known_by_its_hash(audience: Audience, open_mailchimp: Open) -> None:
    audience.tell("PUT", "", httpx2.Response(200, json={"id": "9" * 32}))
    (outcome,) = await push(open_mailchimp(), make_item(make_contact()))
    assert isinstance(outcome, Linked) and outcome.external_id == "9" * 32


async def test_values_of_all_kinds_are_sent_as_texts(open_mailchimp: Open) -> None:
    settings = {f"properties.{name}": f"F{number}" for number, name in enumerate("abcdef")}
    chosen = {**settings, "createdAt": "SINCE", "properties.lang": "language"}
    mailchimp = open_mailchimp(fields={"contact": chosen})
    properties = {"a": True, "b": 3, "c": Decimal("1.50"), "lang": "de"}
    payload = mailchimp.render(make_item(make_contact(properties={**properties, "d": ["x", 2], "e": {"k": 1}})))
    assert isinstance(payload, dict)
    assert payload["language"] == "de"
    assert payload["merge_fields"] == {
        "FNAME": "",
        "LNAME": "",
        "PHONE": "",
        "SINCE": "2026-11-22T12:00:00.000Z",
        "F0": "true",
        "F1": "3",
        "F2": "1.50",
        "F3": "x, 2",
        "F4": '{"k":1}',
        "F5": "",
    }


async def test_a_contact_without_an_email_is_skipped(open_mailchimp: Open) -> None:
    assert isinstance(open_mailchimp().render(make_item(make_contact(email=None))), Skipped)


@pytest.mark.parametrize(("double_optin", "status"), [(True, "pending"), (False, "subscribed")])
async def test_nobody_is_subscribed_without_confirming_where_that_is_asked(
    audience: Audience, open_mailchimp: Open, double_optin: bool, status: str
) -> None:
    audience.double_optin = double_optin
    mailchimp = open_mailchimp(statusIfNew="subscribed")
    await push(mailchimp, make_item(make_contact()))
    await push(mailchimp, make_item(make_contact()))
    puts = [body["status_if_new"] for method, _, body in audience.asked if method == "PUT"]
    assert puts == [status, status]
    assert audience.list_asked().count(("GET", "")) == 1


async def test_only_tags_that_changed_are_sent(audience: Audience, open_mailchimp: Open) -> None:
    email = "ada@example.com"
    contact = make_contact(tags=make_tags("VIP", "New"))
    await push(open_mailchimp(), make_item(contact, make_link(email, "VIP", "Old")))
    assert audience.asked[1][2]["tags"] == [{"name": "New", "status": "active"}, {"name": "Old", "status": "inactive"}]
    await push(open_mailchimp(), make_item(contact, make_link(email, "New", "VIP")))
    assert len(audience.asked) == 3


async def test_tags_stay_as_they_are_where_they_are_off(audience: Audience, open_mailchimp: Open) -> None:
    item = make_item(make_contact(tags=make_tags("VIP")), make_link("ada@example.com", "Old"))
    (outcome,) = await push(open_mailchimp(tags=False), item)
    assert len(audience.asked) == 1
    assert isinstance(outcome, Linked) and outcome.details == {"email": "ada@example.com", "tags": ["Old"]}


async def test_a_member_moves_with_the_email(audience: Audience, open_mailchimp: Open) -> None:
    item = make_item(make_contact(email="eve@new.example"), make_link("eve@old.example", "VIP"))
    (outcome,) = await push(open_mailchimp(), item)
    assert audience.list_asked() == [
        ("PUT", to_path("eve@old.example")),
        ("POST", to_path("eve@new.example") + "/tags"),
    ]
    assert audience.asked[0][2]["email_address"] == "eve@new.example"
    assert isinstance(outcome, Linked) and outcome.details == {"email": "eve@new.example", "tags": []}


async def test_where_the_new_email_is_a_member_the_old_one_is_archived(
    audience: Audience, open_mailchimp: Open
) -> None:
    audience.tell("PUT", hash_email("eve@old.example"), problem(400, *EXISTS))
    contact = make_contact(email="eve@new.example", tags=make_tags("VIP"))
    (outcome,) = await push(open_mailchimp(), make_item(contact, make_link("eve@old.example", "VIP")))
    old, new = to_path("eve@old.example"), to_path("eve@new.example")
    assert audience.list_asked() == [("PUT", old), ("DELETE", old), ("PUT", new), ("POST", f"{new}/tags")]
    assert isinstance(outcome, Linked) and outcome.details["email"] == "eve@new.example"


async def test_an_email_that_another_contact_takes_over_keeps_its_member(
    audience: Audience, open_mailchimp: Open
) -> None:
    ada = make_item(make_contact(1, "ada@example.com", tags=make_tags("A")), make_link("eve@example.com", "A"))
    eve = make_item(make_contact(2, "eve@example.com", tags=make_tags("E")), make_link("ada@example.com", "E"))
    await push(open_mailchimp(), ada, eve)
    puts = {path: body["email_address"] for method, path, body in audience.asked if method == "PUT"}
    assert puts == {to_path(email): email for email in ("ada@example.com", "eve@example.com")}
    tags = {path: body["tags"] for _, path, body in audience.asked if path.endswith("/tags")}
    assert tags[to_path("ada@example.com") + "/tags"] == [
        {"name": "A", "status": "active"},
        {"name": "E", "status": "inactive"},
    ]


async def test_a_member_whose_tags_fail_is_known_all_the_same(audience: Audience, open_mailchimp: Open) -> None:
    audience.tell("POST", "/tags", *(httpx2.Response(502, text="<html>") for _ in range(3)))
    item = make_item(make_contact(tags=make_tags("VIP")))
    begun, failed = await push(open_mailchimp(), item)
    assert isinstance(begun, Begun) and begun.details == {"email": "ada@example.com", "tags": []}
    assert isinstance(failed, Failed) and isinstance(failed.failure, Transient)


async def test_a_limit_is_raised_when_what_is_there_was_told(audience: Audience, open_mailchimp: Open) -> None:
    turns = Turns()
    audience.tell("POST", "/tags", httpx2.Response(429, headers={"Retry-After": "60"}))
    mailchimp = open_mailchimp(turns)
    job = make_job(mailchimp, make_item(make_contact(tags=make_tags("A"))))
    outcomes = mailchimp.push("contact", [job])
    ((_, told),) = await anext(outcomes)
    assert isinstance(told, Begun)
    with pytest.raises(Limited) as limited:
        await anext(outcomes)
    assert (limited.value.until - NOON).total_seconds() == 60 and turns.postponed == [60]


async def test_a_contact_that_is_refused_stops_no_other(audience: Audience, open_mailchimp: Open) -> None:
    audience.tell("PUT", hash_email("b@example.com"), problem(400, "Invalid Resource", "Looks fake or invalid."))
    items = [make_item(make_contact(number, f"{name}@example.com")) for number, name in enumerate("abc")]
    outcomes = await push(open_mailchimp(), *items)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Failed", "Linked", "Linked"]


async def test_a_key_that_is_revoked_ends_the_push(audience: Audience, open_mailchimp: Open) -> None:
    audience.tell("PUT", "", problem(403, "User Disabled", "This account has been deactivated."))
    items = [make_item(make_contact(number, f"{number}@example.com")) for number in range(30)]
    with pytest.raises(Unauthorized):
        await push(open_mailchimp(), *items)
    assert len(audience.asked) < 30


async def test_eight_members_at_most_are_sent_at_a_time(audience: Audience, open_mailchimp: Open) -> None:
    items = [make_item(make_contact(number, f"{number}@example.com")) for number in range(30)]
    assert len(await push(open_mailchimp(), *items)) == 30
    assert audience.under_way_max == 8


@pytest.mark.parametrize(
    ("chosen", "asked"),
    [("ARCHIVE", [("DELETE", "")]), ("ERASE", [("POST", "/actions/delete-permanent")]), ("KEEP", [])],
)
@pytest.mark.parametrize("status", [204, 404, 405])
async def test_a_deleted_contact_is_taken_out_as_chosen(
    audience: Audience, open_mailchimp: Open, chosen: str, asked: list[tuple[str, str]], status: int
) -> None:
    for method in ("DELETE", "POST"):
        audience.tell(method, "", httpx2.Response(status))
    item = make_item(make_contact(email=None, status="DELETED"), make_link("ada@example.com"))
    assert await remove(open_mailchimp(onDelete=chosen), item) == [Unlinked()]
    assert audience.list_asked() == [(method, to_path("ada@example.com") + end) for method, end in asked]


@pytest.mark.parametrize(
    ("winner", "archived"),
    [
        (None, True),
        (make_link("eve@example.com", external_id="c-eve"), True),
        (make_link("ada@example.com", external_id="c-ada"), False),
        (make_link("eve@example.com", external_id="c-old"), False),
    ],
)
async def test_a_merged_contact_is_archived_unless_the_winner_has_its_member(
    audience: Audience, open_mailchimp: Open, winner: Link | None, archived: bool
) -> None:
    item = make_item(make_contact(status="MERGED"), make_link("ada@example.com"), winner=winner)
    assert await remove(open_mailchimp(onDelete="KEEP"), item) == [Unlinked()]
    assert bool(audience.asked) is archived


async def test_what_cannot_be_taken_out_is_told(audience: Audience, open_mailchimp: Open) -> None:
    audience.tell("DELETE", "", problem(400, *EXISTS))
    (outcome,) = await remove(open_mailchimp(), make_item(make_contact(status="DELETED"), make_link("a@example.com")))
    assert isinstance(outcome, Failed) and isinstance(outcome.failure, Conflict)
