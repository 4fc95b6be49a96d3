"""Render records for HubSpot. Pure: the same record gives the same payload, so its hash shows whether it changed.

HubSpot has no field for a whole name: a contact that has neither a given nor a family name gets it as the given one,
as where a name is to be split is a guess.
"""

from collections.abc import Mapping
from typing import Any

from kith.integrations.hubspot.engagements import KINDS, make_properties
from kith.integrations.hubspot.settings import KEY_PROPERTY, HubSpotSettings
from kith.integrations.hubspot.values import STAGES
from kith.integrations.mapping import map_record, to_text
from kith.integrations.port import Item, Skipped
from kith.model.activities import Activity
from kith.model.companies import Company
from kith.model.contacts import Contact, sort_companies

PRIMARY, PLAIN = "primary", "plain"


def render_record(record: Contact | Company, settings: HubSpotSettings) -> dict[str, Any]:
    """``properties``: every mapped one, "" where we have no value, and our external id."""
    fields = settings.get_fields("contact" if isinstance(record, Contact) else "company")
    properties = {theirs: to_text(value) for theirs, value in map_record(record, fields).items()}
    if isinstance(record, Contact):
        if (given := fields.get("givenName")) and not record.given_name and not record.family_name:
            properties[given] = to_text(record.name)
        if fields.get("lifecycleStage") == "lifecyclestage":
            properties["lifecyclestage"] = STAGES[record.lifecycle_stage]
    return {"properties": {**properties, KEY_PROPERTY: record.external_id}}


def render_association(item: Item) -> dict[str, Any] | Skipped:
    """``contact`` and ``companies`` by their ids there: id -> primary or plain."""
    assert isinstance(item.record, Contact)
    if item.contact is None:
        return Skipped(reason="The contact is not in HubSpot.")
    companies: dict[str, str] = {}
    for link in sort_companies(item.record):
        there = item.companies.get(link.number) if link.number is not None else None
        if there is not None:
            companies.setdefault(there.external_id, PRIMARY if link.is_primary else PLAIN)
    if not companies and item.link is None:
        return Skipped(reason="It has no company in HubSpot.")
    return {"contact": item.contact.external_id, "companies": companies}


def render_activity(item: Item) -> Mapping[str, Any] | Skipped:
    """``type`` is where engagements of its kind are, ``contact`` whom it is shown with, by the id there."""
    assert isinstance(item.record, Activity)
    if item.record.type not in KINDS:
        return Skipped(reason="It is not an engagement in HubSpot.")
    if item.contact is None:
        return Skipped(reason="Its contact is not in HubSpot.")
    properties = {**make_properties(item.record), KEY_PROPERTY: item.record.external_id}
    return {"type": KINDS[item.record.type], "contact": item.contact.external_id, "properties": properties}
