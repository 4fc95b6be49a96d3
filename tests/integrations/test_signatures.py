"""Signatures of webhooks: both vendors' vectors, and whatever is not quite right."""

from datetime import UTC, datetime
from urllib.parse import parse_qs

import msgspec
import pytest

from kith.integrations.signatures import decode_uri, sign_hubspot, sign_mailchimp, verify_hubspot, verify_mailchimp
from tools.fake_vendors.deliveries import make_hubspot_delivery, make_hubspot_event, make_mailchimp_delivery

URI, STAMP_MS, HUBSPOT = "https://x.example/hook", 1_700_000_000_000, "Sb4IcjuBIsLc8m0GgQ7LymIp/6y0U0vTeGK281jfmbI="
FORM = b"type=subscribe&fired_at=2026-11-22+10%3A00%3A00&data%5Bid%5D=8a25ff1d98"
STAMP_S, MAILCHIMP = 1_718_000_000, "101d6aafdc2914b30c000fa57400df29ce24ce3ca21704b9f70089ba2eefeafa"


def check_hubspot(**changes: object) -> bool:
    given = {"signature": HUBSPOT, "timestamp": str(STAMP_MS), "now": STAMP_MS / 1000, "body": b"{}", "uri": URI}
    given |= changes
    return verify_hubspot("secret", "POST", **given)  # type: ignore[arg-type]


def check_mailchimp(signature: str | None, now: float = STAMP_S, body: bytes = FORM) -> bool:
    return verify_mailchimp("whsec", body, signature=signature, now=now)


def test_both_are_signed_as_the_vendors_sign() -> None:
    assert sign_hubspot("secret", "POST", URI, b"{}", STAMP_MS) == HUBSPOT
    assert sign_mailchimp("whsec", FORM, STAMP_S) == f"t={STAMP_S},v1={MAILCHIMP}"


def test_what_hubspot_signed_is_taken_for_five_minutes_in_both_directions() -> None:
    at = STAMP_MS / 1000
    assert check_hubspot()
    assert check_hubspot(now=at + 300)
    assert check_hubspot(now=at - 300)
    assert not check_hubspot(now=at + 300.1)
    assert not check_hubspot(now=at - 300.1)


@pytest.mark.parametrize(
    "changes",
    [
        {"body": b"{ }"},
        {"uri": URI + "?a=1"},
        {"timestamp": str(STAMP_MS + 1)},
        {"timestamp": None},
        {"timestamp": "soon"},
        {"timestamp": "-1"},
        {"timestamp": "9" * 400},
        {"signature": None},
        {"signature": ""},
        {"signature": "größe"},
        {"signature": HUBSPOT.lower()},
    ],
)
def test_what_hubspot_did_not_sign_is_not_taken(changes: dict[str, object]) -> None:
    assert not check_hubspot(**changes)


def test_hubspot_signs_a_uri_of_which_some_characters_are_decoded() -> None:
    assert decode_uri("https://x.example/a%3Ab?to=%2Fhome%3f%40&x=%26%25%23%20") == (
        "https://x.example/a:b?to=/home?@&x=%26%25%23%20"
    )
    signature = sign_hubspot("secret", "POST", URI + "?mail=a@b.co", b"{}", STAMP_MS)
    assert check_hubspot(uri=URI + "?mail=a%40b.co", signature=signature)


def test_what_mailchimp_signed_is_taken_for_five_minutes_in_both_directions() -> None:
    header = f"t={STAMP_S},v1={MAILCHIMP}"
    assert check_mailchimp(header)
    assert check_mailchimp(header, now=STAMP_S + 300)
    assert check_mailchimp(header, now=STAMP_S - 300)
    assert not check_mailchimp(header, now=STAMP_S + 301)
    assert not check_mailchimp(header, now=STAMP_S - 301)
    assert not check_mailchimp(header, body=FORM + b"&")
    assert check_mailchimp(f"t={STAMP_S}, v1={'0' * 64}, v1={MAILCHIMP}")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        MAILCHIMP,
        f"v1={MAILCHIMP}",
        f"t={STAMP_S}",
        f"t={STAMP_S},v1=",
        f"t={STAMP_S},v0={MAILCHIMP}",
        f"t={STAMP_S + 1},v1={MAILCHIMP}",
        f"t={STAMP_S},t={STAMP_S},v1={MAILCHIMP}",
        f"t=٣,v1={MAILCHIMP}",
        f"t={STAMP_S},v1=größe",
    ],
)
def test_what_mailchimp_did_not_sign_is_not_taken(header: str | None) -> None:
    assert not check_mailchimp(header)


def test_what_the_fake_delivers_is_signed() -> None:
    at = datetime(2026, 11, 22, 10, tzinfo=UTC)
    event = make_hubspot_event("contact.propertyChange", "101", at, propertyName="email", propertyValue="a@b.co")
    sent = make_hubspot_delivery("secret", URI, [event], at)
    assert msgspec.json.decode(sent.body)[0]["objectId"] == 101
    signature, timestamp = (sent.headers[f"x-hubspot-{name}"] for name in ("signature-v3", "request-timestamp"))
    assert check_hubspot(body=sent.body, signature=signature, timestamp=timestamp, now=at.timestamp())
    form = make_mailchimp_delivery("whsec", "profile", "a1", "a@b.co", at, merges={"FNAME": "Ä"})
    fields = parse_qs(form.body.decode())
    assert (fields["fired_at"], fields["data[merges][FNAME]"]) == (["2026-11-22 10:00:00"], ["Ä"])
    assert check_mailchimp(form.headers["x-mailchimp-signature"], now=at.timestamp(), body=form.body)
