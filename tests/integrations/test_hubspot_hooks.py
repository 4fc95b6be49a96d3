"""Deliveries of HubSpot's webhooks, as changes in the form of the port."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from kith.errors import InvalidRequest
from kith.integrations.hubspot.hooks import parse_delivery
from kith.integrations.inbound_port import Created, FieldChanged, Forgotten, Merged, Removed, Restored

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


def parse(*events: dict[str, Any], source_id: str | None = None) -> list[Any]:
    [delivery] = parse_delivery(msgspec.json.encode(events), source_id)
    assert delivery.portal_id == "62515"
    return list(delivery.changes)


@pytest.mark.parametrize(
    ("told", "change"),
    [
        (event("contact.creation"), Created(external_id="101", entity="contact", at=AT)),
        (event("company.deletion"), Removed(external_id="101", entity="company", at=AT)),
        (event("contact.restore"), Restored(external_id="101", entity="contact", at=AT)),
        (event("contact.privacyDeletion"), Forgotten(external_id="101", at=AT)),
        (
            event("contact.propertyChange", propertyName="phone", propertyValue="+491"),
            FieldChanged(external_id="101", entity="contact", field="phone", value="+491", at=AT),
        ),
        (
            event("object.propertyChange", objectTypeId="0-2", propertyName="name", propertyValue=""),
            FieldChanged(external_id="101", entity="company", field="name", value=None, at=AT),
        ),
        (
            event("contact.merge", primaryObjectId=101, mergedObjectIds=[102], newObjectId=900),
            Merged(external_id="900", merged_ids=("102", "101"), entity="contact", at=AT),
        ),
        (
            event("contact.merge", primaryObjectId=101, mergedObjectIds=[102], newObjectId=101),
            Merged(external_id="101", merged_ids=("102",), entity="contact", at=AT),
        ),
    ],
)
def test_an_event_becomes_a_change(told: dict[str, Any], change: Any) -> None:
    assert parse(told) == [change]


def test_what_is_of_no_interest_is_left_out() -> None:
    assert parse(event("contact.associationChange"), event("deal.creation"), event("object.creation"), event("x")) == []


def test_changes_of_a_record_come_in_order_and_its_creation_first() -> None:
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
    made = event("contact.creation", objectId=102, occurredAt=AT_MS + 5)
    told = [(one.external_id, type(one).__name__, getattr(one, "value", None)) for one in parse(*changed, made)]
    assert told == [
        ("102", "Created", None),
        ("102", "FieldChanged", "1"),
        ("102", "FieldChanged", "3"),
        ("101", "FieldChanged", "2"),
    ]


def test_an_event_that_comes_twice_is_one_change() -> None:
    assert len(parse(event("contact.deletion"), event("contact.deletion", attemptNumber=1))) == 1


@pytest.mark.parametrize(
    ("said", "source_id", "own"),
    [
        ({"changeSource": "INTEGRATION", "sourceId": "55"}, None, True),
        ({"changeSource": "INTEGRATION", "sourceId": "66"}, None, False),
        ({"changeSource": "INTEGRATION", "sourceId": "66"}, "66", True),
        ({"changeSource": "INTEGRATION", "sourceId": None}, None, True),
        ({"changeSource": "CRM_UI", "sourceId": "userId:9"}, None, False),
        ({"changeSource": "CRM_UI", "sourceId": None}, "55", False),
    ],
)
def test_what_we_have_made_is_known_for_ours(said: dict[str, Any], source_id: str | None, own: bool) -> None:
    assert parse(event("contact.deletion", **said), source_id=source_id)[0].own is own


def test_a_delivery_may_tell_of_several_accounts() -> None:
    body = msgspec.json.encode([event("contact.deletion", portalId=1), event("contact.deletion", portalId=2)])
    assert [delivery.portal_id for delivery in parse_delivery(body)] == ["1", "2"]


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[1]", b'[{"objectId": 1}]', b'[{"subscriptionType": "x", "occurredAt": -1}]']
)
def test_what_is_no_delivery_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not a delivery"):
        parse_delivery(body)
