"""What Mailchimp tells: refusals, webhooks and members that changed; and what may be chosen for it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from kith.integrations.failures import Conflict, Failure, Limited, Missing, Permanent, Transient, Unauthorized
from kith.integrations.http import Reply
from kith.integrations.inbound_port import (
    Cleaned,
    EmailChanged,
    FieldChanged,
    Inbound,
    Removed,
    Subscribed,
    Unsubscribed,
)
from kith.integrations.mailchimp.failures import classify
from kith.integrations.mailchimp.hooks import read_hook
from kith.integrations.mailchimp.settings import MailchimpCredentials, MailchimpSettings
from tests.integrations.mailchimp_audience import LIST, NOON, Audience, opening

FIRED_AT = datetime(2026, 11, 22, 10, tzinfo=UTC)
ADA = "ada@example.com"


pytestmark = pytest.mark.usefixtures("no_waits")


def reply(status: int, title: str = "", detail: str = "", retry_after: str | None = None, **more: Any) -> Failure:
    body = {"title": title, "detail": detail, "status": status, "instance": "i-9", **more} if title or more else None
    headers = {"retry-after": retry_after} if retry_after else {}
    failure = classify(Reply(status=status, headers=headers, body=body), NOON)
    assert failure is not None
    return failure


@pytest.mark.parametrize(
    ("status", "title", "detail", "kind"),
    [
        (307, "", "", Transient),
        (400, "", "", Permanent),
        (400, "Invalid Resource", "ada@example.com looks fake or invalid.", Permanent),
        (400, "Member In Compliance State", "ada@example.com is in a compliance state.", Permanent),
        (400, "Member Exists", "", Conflict),
        (400, "Invalid Resource", "ada@example.com is already a list member in your account.", Conflict),
        (401, "API Key Invalid", "", Unauthorized),
        (403, "", "", Limited),
        (403, "Forbidden", "Too many simultaneous connections.", Limited),
        (403, "User Disabled", "This account has been deactivated.", Unauthorized),
        (404, "", "", Missing),
        (405, "Method Not Allowed", "", Permanent),
        (408, "", "", Transient),
        (426, "", "", Permanent),
        (429, "Too Many Requests", "", Limited),
        (500, "", "", Transient),
        (502, "", "", Transient),
    ],
)
def test_a_refusal_is_told_by_its_status_and_its_problem(
    status: int, title: str, detail: str, kind: type[Failure]
) -> None:
    failure = reply(status, title, detail)
    assert type(failure) is kind and failure.status == status
    assert title in failure.message and detail in failure.message


@pytest.mark.parametrize("status", [200, 204])
def test_an_answer_that_did_what_it_should_is_no_failure(status: int) -> None:
    assert classify(Reply(status=status, headers={}, body=None), NOON) is None


def test_a_refusal_says_which_fields_are_wrong() -> None:
    errors = [{"field": "FNAME", "message": "is no text"}, {"message": "Schema"}, "odd", {"field": 3}]
    failure = reply(400, "Invalid Resource", "Not valid.", errors=errors)
    expected = "Mailchimp answered 400 (Invalid Resource: Not valid.); FNAME: is no text; it: Schema"
    assert failure.message == expected and failure.reference == "i-9"
    assert reply(500).message == "Mailchimp answered 500"


@pytest.mark.parametrize(
    ("status", "retry_after", "seconds"),
    [
        (429, None, 2),
        (429, "7", 7),
        (429, "soon", 2),
        (429, "Sun, 22 Nov 2026 12:00:30 GMT", 30),
        (429, "Sun, 22 Nov 2026 11:00:00 GMT", 0),
        (429, "Sun, 22 Nov 2026 12:00:30", 2),
        (403, None, 10),
    ],
)
def test_a_limit_ends_when_it_says_or_soon(status: int, retry_after: str | None, seconds: int) -> None:
    failure = reply(status, retry_after=retry_after)
    assert isinstance(failure, Limited) and failure.until == NOON + timedelta(seconds=seconds)


def make_hook(type_: str, fired_at: str = "2026-11-22 10:00:00", **data: str) -> bytes:
    values = {"id": "8a25ff1d98", "list_id": LIST, "email": ADA, **data}
    merges = {f"data[merges][{name}]": text for name, text in values.items() if name.isupper()}
    plain = {f"data[{name}]": text for name, text in values.items() if not name.isupper()}
    nested = {"data[merges][GROUPINGS][0][name]": "Teams"}
    return urlencode({"type": type_, "fired_at": fired_at, **plain, **merges, **nested}).encode()


def make_field(field: str, value: str) -> FieldChanged:
    return FieldChanged(external_id=None, field=field, value=value, at=FIRED_AT, email=ADA)


@pytest.mark.parametrize(
    ("body", "changes"),
    [
        (
            make_hook("subscribe", EMAIL=ADA, FNAME="Ada", LNAME="", INTERESTS="a, b"),
            [
                Subscribed(external_id=None, email=ADA, at=FIRED_AT),
                make_field("FNAME", "Ada"),
                make_field("LNAME", ""),
            ],
        ),
        (make_hook("profile", FNAME="Zoë & Co"), [make_field("FNAME", "Zoë & Co")]),
        (
            make_hook("unsubscribe", action="unsub", reason="manual"),
            [Unsubscribed(external_id=None, email=ADA, at=FIRED_AT, reason="manual")],
        ),
        (
            make_hook("unsubscribe", action="delete", reason="manual"),
            [Removed(external_id=None, at=FIRED_AT, email=ADA)],
        ),
        (
            make_hook("upemail", old_email=ADA, new_email="eve@example.com", new_id="1"),
            [EmailChanged(old=ADA, new="eve@example.com", at=FIRED_AT)],
        ),
        (make_hook("cleaned", reason="hard"), [Cleaned(email=ADA, at=FIRED_AT, reason="hard")]),
        (make_hook("campaign", status="sent"), []),
    ],
)
def test_a_webhook_is_read_into_changes(body: bytes, changes: list[Inbound]) -> None:
    assert list(read_hook(body)) == changes


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"type=profile&fired_at=2026-11-22+10%3A00%3A00",
        make_hook("profile", "yesterday"),
        make_hook("profile", email=""),
        make_hook("upemail", old_email=ADA),
        urlencode({f"x{number}": "1" for number in range(2000)}).encode(),
    ],
)
def test_a_webhook_that_cannot_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_hook(body)


async def test_members_that_changed_are_told_page_by_page() -> None:
    audience = Audience()
    audience.page_max = 2
    statuses = ("unsubscribed", "cleaned", "archived", "subscribed", "transactional")
    audience.members = [
        {
            "id": f"h{number}",
            "contact_id": f"c{number}",
            "email_address": f"{number}@example.com",
            "status": status,
            "merge_fields": {"FNAME": "Ada", "LNAME": 5, "BIRTHDAY": "01/02"},
            "last_changed": "2026-11-22T10:00:00+00:00",
            "unsubscribe_reason": "N/A",
        }
        for number, status in enumerate(statuses)
    ]
    async with opening(audience) as open_mailchimp:
        changes = [change async for change in open_mailchimp().changed_since(NOON)]
    assert [query["offset"] for query in audience.queries] == ["0", "2", "4"]
    assert audience.queries[0]["since_last_changed"] == "2026-11-22T12:00:00+00:00"
    assert "members.merge_fields" in audience.queries[0]["fields"] and audience.queries[0]["count"] == "1000"
    told = [change for change in changes if not isinstance(change, FieldChanged | EmailChanged)]
    assert told == [
        Unsubscribed(external_id="c0", email="0@example.com", at=FIRED_AT, reason="N/A"),
        Cleaned(email="1@example.com", at=FIRED_AT, reason=None),
        Removed(external_id="c2", at=FIRED_AT, email="2@example.com"),
        Subscribed(external_id="c3", email="3@example.com", at=FIRED_AT),
    ]
    emails = [(one.external_id, one.new) for one in changes if isinstance(one, EmailChanged)]
    assert emails == [(f"c{number}", f"{number}@example.com") for number in (0, 1, 3, 4)]
    fields = [(one.external_id, one.field, one.value) for one in changes if isinstance(one, FieldChanged)]
    assert fields == [
        (f"c{n}", field, value) for n in (0, 1, 3, 4) for field, value in (("FNAME", "Ada"), ("LNAME", "5"))
    ]


async def test_an_answer_that_is_no_json_is_a_passing_failure() -> None:
    audience = Audience()
    audience.members = [{"id": "h", "status": "subscribed"}]
    async with opening(audience) as open_mailchimp:
        with pytest.raises(Transient, match="cannot be understood"):
            await anext(open_mailchimp().changed_since(NOON))


def test_settings_have_defaults_for_all_but_the_audience() -> None:
    settings = msgspec.convert({"listId": LIST}, MailchimpSettings)
    assert settings.contact_fields == {"givenName": "FNAME", "familyName": "LNAME", "phone": "PHONE"}
    assert (settings.status_if_new, settings.on_delete) == ("transactional", "ARCHIVE")
    assert settings.tags and settings.notes and settings.events


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"listId": "../x"}, "listId"),
        ({"listId": LIST, "status": "subscribed"}, "status"),
        ({"listId": LIST, "statusIfNew": "cleaned"}, "statusIfNew"),
        ({"listId": LIST, "fields": {"company": {}}}, "company"),
    ],
)
def test_settings_that_cannot_work_are_refused(chosen: dict[str, Any], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(chosen, MailchimpSettings)


def test_credentials_do_not_show_their_key() -> None:
    credentials = msgspec.convert({"apiKey": "secret-us6"}, MailchimpCredentials)
    assert credentials.api_key == "secret-us6" and "secret" not in repr(credentials)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"apiKey": "a b"}, MailchimpCredentials)
