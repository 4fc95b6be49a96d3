"""Deliveries of HubSpot's webhooks, as changes in the form of the port."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from kith.errors import InvalidRequest
from kith.integrations.hubspot.hooks import parse_delivery
from kith.integrations.inbound_port import FieldChanged, Forgotten, Merged, Removed, Restored

AT = datetime(2026, 11, 22, 10, tzinfo=UTC)
AT_MS = int(AT.timestamp() * 1000)


def event(what: str, **more: Any) -> dict[str, Any]:
    return {
        "eventId": 1,
        "subscriptionId": 7,
        "portalId": 62515,
        "appId": 55,
        "occurredAt": AT_MS,
        "subscriptionType": what,
        "attemptNumber": 0,
        "objectId": 101,
        "changeSource": "CRM_UI",
        "sourceId": "userId:9",
        **more,
    }


def parse(*events: dict[str, Any]) -> list[Any]:
    [delivery] = parse_delivery(msgspec.json.encode(events))
    assert delivery.portal_id == "62515"
    return list(delivery.changes)


@pytest.mark.parametrize(
    ("told", "change"),
    [
        (event("contact.deletion"), Removed(external_id="101", at=AT)),
        (event("contact.restore"), Restored(external_id="101", at=AT)),
        (event("contact.privacyDeletion"), Forgotten(external_id="101", at=AT)),
        (
            event("contact.propertyChange", propertyName="phone", propertyValue="+491"),
            FieldChanged(external_id="101", field="phone", value="+491", at=AT),
        ),
        (
            event("object.propertyChange", objectTypeId="0-1", propertyName="firstname", propertyValue=""),
            FieldChanged(external_id="101", field="firstname", value=None, at=AT),
        ),
        (
            event("contact.merge", primaryObjectId=101, mergedObjectIds=[102], newObjectId=900),
            Merged(external_id="900", merged_ids=("102", "101"), at=AT),
        ),
        (
            event("contact.merge", primaryObjectId=101, mergedObjectIds=[102], newObjectId=101),
            Merged(external_id="101", merged_ids=("102",), at=AT),
        ),
    ],
)
def test_an_event_becomes_a_change(told: dict[str, Any], change: Any) -> None:
    assert parse(told) == [change]


def test_what_is_of_no_interest_is_left_out() -> None:
    told = [
        "contact.associationChange",
        "contact.creation",
        "company.deletion",
        "deal.deletion",
        "object.deletion",
        "x",
    ]
    assert parse(*(event(one) for one in told)) == []


def test_changes_of_a_record_come_in_order() -> None:
    changed = [
        event(
            "contact.propertyChange",
            eventId=n,
            objectId=of,
            occurredAt=AT_MS + n,
            propertyName="phone",
            propertyValue=str(n),
        )
        for n, of in ((3, 102), (2, 101), (1, 102))
    ]
    assert [(one.external_id, one.value) for one in parse(*changed)] == [("102", "1"), ("102", "3"), ("101", "2")]


def test_an_event_that_comes_twice_is_one_change() -> None:
    assert len(parse(event("contact.deletion"), event("contact.deletion", attemptNumber=1))) == 1


@pytest.mark.parametrize(
    ("said", "own"),
    [
        ({"changeSource": "INTEGRATION", "sourceId": "55"}, True),
        ({"changeSource": "INTEGRATION", "sourceId": "66"}, False),
        ({"changeSource": "INTEGRATION", "sourceId": None}, True),
        ({"changeSource": "CRM_UI", "sourceId": "userId:9"}, False),
        ({"changeSource": "CRM_UI", "sourceId": None}, False),
    ],
)
def test_what_we_have_made_is_known_for_ours_and_left_out(said: dict[str, Any], own: bool) -> None:
    assert (parse(event("contact.deletion", **said)) == []) is own


def test_a_delivery_may_tell_of_several_accounts() -> None:
    body = msgspec.json.encode([event("contact.deletion", portalId=1), event("contact.deletion", portalId=2)])
    assert [delivery.portal_id for delivery in parse_delivery(body)] == ["1", "2"]


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[1]", b'[{"objectId": 1}]', b'[{"subscriptionType": "x", "occurredAt": -1}]']
)
def test_what_is_no_delivery_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not a delivery"):
        parse_delivery(body)
