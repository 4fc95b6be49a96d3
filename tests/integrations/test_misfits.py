"""A mapping that no record could be sent with is one problem of the integration, with the way out."""

from typing import Any

import pytest

from tests.integrations.conftest import Shop
from tools.fake_vendors.hubspot_rules import Property
from tools.fake_vendors.mailchimp_members import MergeField


async def find_problem(shop: Shop) -> str | None:
    """What the worker says of the integration once it has looked at it."""
    key = (shop.workspace.shard, shop.workspace.id, 1)
    for _ in range(2):  # whose account it is becomes known the first time
        row = await shop.runner._own(key)
        if row is not None:
            await shop.runner._serve(key, row)
    shown = (await shop.client.get("/crm/integrations/1")).json()["data"]
    assert shown["failedRecords"] == 0
    return shown["problem"]["message"] if shown["problem"] else None


async def define(shop: Shop, key: str, kind: str) -> None:
    options = {"options": [{"value": "a"}]} if "SELECT" in kind else {}
    await shop.make("properties", key=key, entity="CONTACT", type=kind, **options)
    await shop.kit.drain()


@pytest.mark.parametrize(
    ("theirs", "ours", "kind"),
    [
        ("date", "createdAt", None),
        ("date", "properties.it", "DATETIME"),
        ("number", "properties.it", "TEXT"),
        ("bool", "properties.it", "SELECT"),
        ("datetime", "lifecycleStage", None),
    ],
)
async def test_a_property_of_hubspot_that_takes_no_value_of_a_field(
    shop: Shop, theirs: str, ours: str, kind: str | None
) -> None:
    if kind is not None:
        await define(shop, "it", kind)
    shop.fake.hubspot.properties["contacts"]["theirs"] = Property(name="theirs", type=theirs)
    await shop.connect("HUBSPOT", fields={"contact": {ours: "theirs"}})
    await shop.make("contacts", email="a@example.com")
    await shop.kit.drain()
    problem = await find_problem(shop)
    assert problem is not None and f"fields.contact.{ours}" in problem and f"of the type {theirs}" in problem
    assert "Map the field to a property of another type, or to null." in problem


@pytest.mark.parametrize(
    ("ours", "kind", "field_type", "options", "misfit"),
    [
        (
            "properties.it",
            "SELECT",
            "select",
            ["x", "y"],
            "takes x, y, and fields.contact.properties.it, which is sent to",
        ),
        ("properties.it", "SELECT", "select", ["x", "a"], None),
        ("properties.it", "MULTI_SELECT", "select", ["a"], "Make it a property of multiple checkboxes there"),
        ("properties.it", "MULTI_SELECT", "checkbox", ["a"], None),
        ("properties.it", "MULTI_SELECT", "checkbox", ["x"], "is a. Add these options to it there"),
        ("properties.it", "BOOLEAN", "select", ["yes", "no"], "is true, false. Add these options to it there"),
        ("properties.it", "BOOLEAN", "select", ["true", "false"], None),
        ("properties.it", "TEXT", "select", ["x"], None),
        ("properties.it", "SELECT", "select", [], None),
        ("lifecycleStage", None, "select", ["hot", "cold"], "is SUBSCRIBER, LEAD, MARKETING_QUALIFIED,"),
        ("lifecycleStage", None, "select", ["LEAD", "CUSTOMER"], None),
        ("status", None, "radio", ["on", "off"], "is ACTIVE, ARCHIVED. Add these options to it there"),
    ],
)
async def test_an_enumeration_of_hubspot_that_has_none_of_the_options_of_a_field(
    shop: Shop, ours: str, kind: str | None, field_type: str, options: list[str], misfit: str | None
) -> None:
    if kind is not None:
        await define(shop, "it", kind)
    theirs = Property(name="theirs", type="enumeration", field_type=field_type, options=options)
    shop.fake.hubspot.properties["contacts"]["theirs"] = theirs
    await shop.connect("HUBSPOT", fields={"contact": {ours: "theirs"}})
    if misfit is not None:
        problem = await find_problem(shop)
        assert problem is not None and misfit in problem and problem.endswith("or to null.")
        return
    await shop.make("contacts", email="a@example.com")
    await shop.settle()
    shown = (await shop.client.get("/crm/integrations/1")).json()["data"]
    assert (shown["problem"], shown["pendingRecords"]) == (None, 0)


@pytest.mark.parametrize(
    ("theirs", "required", "fields", "words"),
    [
        ("date", False, {"createdAt": "THEIRS"}, "it takes DATE"),
        ("birthday", False, {"properties.it": "THEIRS"}, "Kith sends none of that type"),
        ("address", False, {"properties.it": "THEIRS"}, "Kith sends none of that type"),
        ("number", False, {"properties.it": "THEIRS"}, "it takes NUMBER or CURRENCY"),
        ("text", True, {}, "The audience requires the merge field THEIRS"),
    ],
)
async def test_a_merge_field_of_mailchimp_that_refuses_every_contact(
    shop: Shop, theirs: Any, required: bool, fields: dict[str, str], words: str
) -> None:
    await define(shop, "it", "TEXT")
    audience = min(shop.fake.mailchimp.lists.values(), key=lambda one: one.id)
    audience.merge_fields["THEIRS"] = MergeField(
        merge_id=99, tag="THEIRS", name="Theirs", type=theirs, required=required
    )
    await shop.connect("MAILCHIMP", fields={"contact": fields})
    await shop.make("contacts", email="a@example.com")
    await shop.kit.drain()
    problem = await find_problem(shop)
    assert problem is not None and words in problem and "Map" in problem


async def test_what_fits_goes_out_and_long_texts_are_cut_to_what_a_merge_field_takes(shop: Shop) -> None:
    await define(shop, "notes", "TEXTAREA")
    await define(shop, "seats", "NUMBER")
    await define(shop, "born", "DATE")
    await shop.connect(
        "MAILCHIMP",
        fields={"contact": {"properties.notes": "NOTES", "properties.seats": "SEATS", "properties.born": "BORN"}},
    )
    audience = min(shop.fake.mailchimp.lists.values(), key=lambda one: one.id)
    for tag, kind in (("SEATS", "number"), ("BORN", "date")):
        audience.merge_fields[tag] = MergeField(merge_id=len(tag) + 90, tag=tag, name=tag, type=kind)
    properties = {"notes": "x" * 300, "seats": 4, "born": "2000-01-31"}
    await shop.make("contacts", email="a@example.com", properties=properties)
    await shop.settle()
    member = shop.fake.mailchimp.find_member("a@example.com")
    assert member is not None
    assert (member.merge_fields["NOTES"], member.merge_fields["SEATS"]) == ("x" * 254 + "…", "4")
    assert member.merge_fields["BORN"] == "2000-01-31"
