"""Values of properties: held to their type whenever they are written, and converted where they came before it."""

from collections.abc import Awaitable, Callable
from typing import Any, get_args

import httpx2
import pytest

from kith.model.properties import PropertyType
from tests.api.definitions import MRR, define, find_code, list_fields, read
from tests.kit import Kit

Drain = Callable[[], Awaitable[None]]
TYPES = get_args(PropertyType)
# (type, value, as it is kept); None where it is refused.
VALUES: list[tuple[str, Any, Any]] = [
    ("TEXT", "Straße 5 — 日本", "Straße 5 — 日本"),
    ("TEXT", "x" * 1000, "x" * 1000),
    ("TEXT", "x" * 1001, None),
    ("TEXT", 5, None),
    ("TEXT", ["a"], None),
    ("TEXTAREA", "x" * 65_536, "x" * 65_536),
    ("NUMBER", 4999, 4999),
    ("NUMBER", -0.5, -0.5),
    ("NUMBER", "4999", 4999),
    ("NUMBER", " 12.50 ", 12.5),
    ("NUMBER", "1e3", 1000),
    ("NUMBER", "1,000", None),
    ("NUMBER", "1_000", None),
    ("NUMBER", "NaN", None),
    ("NUMBER", "1e999", None),
    ("NUMBER", "٣", None),
    ("NUMBER", True, None),
    ("CURRENCY", "49.90", 49.9),
    ("CURRENCY", "€ 5", None),
    ("BOOLEAN", True, True),
    ("BOOLEAN", "true", None),
    ("BOOLEAN", 1, None),
    ("DATE", "2026-02-28", "2026-02-28"),
    ("DATE", "2026-02-29", None),
    ("DATE", "20260228", None),
    ("DATE", "2026-W01-1", None),
    ("DATE", "2026-02-28T00:00:00Z", None),
    ("DATETIME", "2026-02-28T10:00:00+02:00", "2026-02-28T08:00:00.000Z"),
    ("DATETIME", "2026-02-28t10:00:00.123456z", "2026-02-28T10:00:00.123Z"),
    ("DATETIME", "2026-02-28T10:00:00", "2026-02-28T10:00:00.000Z"),
    ("DATETIME", "2026-02-28T10:00:00+02", "2026-02-28T08:00:00.000Z"),
    ("DATETIME", "2026-02-28T10:00:00-0230", "2026-02-28T12:30:00.000Z"),
    ("DATETIME", "2026-02-28 10:00+02:00", "2026-02-28T08:00:00.000Z"),
    ("DATETIME", "20260228T100000Z", "2026-02-28T10:00:00.000Z"),
    ("DATETIME", 1772272800000, None),
    ("DATETIME", "1772272800000", None),
    ("DATETIME", "2026-02-28T10:00:00+02:00:30", None),
    ("DATETIME", "0001-01-01T00:00:00+14:00", None),
    ("DATETIME", "2026-02-28", None),
    ("EMAIL", " Ada@Example.COM", "ada@example.com"),
    ("EMAIL", "ada", None),
    ("PHONE", "+1 (555) 010-0199 ext. 7", "+1 (555) 010-0199 ext. 7"),
    ("PHONE", "call me", None),
    ("PHONE", "12", None),
    ("URL", "https://example.com/a?b=c#d", "https://example.com/a?b=c#d"),
    ("URL", "example.com", None),
    ("URL", "javascript:alert(1)", None),
    ("URL", "https://a b.com", None),
    ("URL", "http://[::1", None),
    ("SELECT", "gold", "gold"),
    ("SELECT", "Gold", None),
    ("SELECT", "tin", None),
    ("SELECT", 5, None),
    ("MULTI_SELECT", ["silver", "gold", "silver"], ["silver", "gold"]),
    ("MULTI_SELECT", "gold", None),
    ("MULTI_SELECT", ["gold", "tin"], None),
    ("MULTI_SELECT", [["gold"]], None),
]


@pytest.fixture
async def typed(client: httpx2.AsyncClient, drain: Drain) -> httpx2.AsyncClient:
    """A client with a property of each type, called a_ and the type, and contact 1."""
    for type_ in TYPES:
        options = ["gold", "silver", {"value": "tin", "archived": True}] if "SELECT" in type_ else []
        await define(client, f"a_{type_.lower()}", type_, options=options)
    await client.post("/crm/contacts", json={"email": "ada@example.com"})
    await drain()
    return client


async def test_values_are_held_to_their_type_whenever_they_are_written(typed: httpx2.AsyncClient, drain: Drain) -> None:
    for type_, value, kept in VALUES:
        key = f"a_{type_.lower()}"
        answer = await typed.patch("/crm/contacts/1", json={"properties": {key: value}})
        if kept is None:
            assert (answer.status_code, list_fields(answer)) == (422, [f"properties.{key}"]), (type_, value)
        else:
            assert answer.status_code == 202, answer.text
            assert answer.json()["data"]["properties"][key] == kept, (type_, value)
            await drain()
            assert (await read(typed, "contacts/1"))["properties"][key] == kept, (type_, value)
    cleared = await typed.patch(
        "/crm/contacts/1", json={"properties": {"a_text": "", "a_email": " ", "a_number": None}}
    )
    assert not {"a_text", "a_email", "a_number"} & cleared.json()["data"]["properties"].keys()


async def test_every_wrong_value_is_named_at_once(typed: httpx2.AsyncClient) -> None:
    properties = {"a_number": "many", "a_boolean": "yes", "a_text": "fine", "a_select": "lead", "free": [1]}
    made = await typed.post("/crm/contacts", json={"name": "Bob", "properties": properties})
    assert find_code(made) == (422, "INVALID_FIELD")
    assert list_fields(made) == ["properties.a_number", "properties.a_boolean", "properties.a_select"]
    assert "gold, silver" in made.text and "tin" not in made.text


async def test_numbers_keep_all_their_digits(typed: httpx2.AsyncClient, drain: Drain) -> None:
    digits = "12345678901234567890.123456789012345678901"
    await typed.patch("/crm/contacts/1", json={"properties": {"a_currency": digits}})
    await drain()
    assert f'"a_currency":{digits}' in (await typed.get("/crm/contacts/1")).text.replace(" ", "")


async def test_an_archived_option_stays_where_it_is_and_is_not_taken_any_more(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    made = await define(client, "tiers", "MULTI_SELECT", options=["gold", "tin"])
    await client.post("/crm/contacts", json={"name": "Ada", "properties": {"tiers": ["tin"]}})
    await drain()
    options = ["gold", {"value": "tin", "archived": True}]
    assert (await client.patch(made.headers["location"], json={"options": options})).status_code == 202
    await drain()
    kept = await client.patch("/crm/contacts/1", json={"properties": {"tiers": ["tin", "gold"]}})
    assert (kept.status_code, kept.json()["data"]["properties"]) == (202, {"tiers": ["tin", "gold"]})
    other = await client.post("/crm/contacts", json={"name": "Bob", "properties": {"tiers": ["tin"]}})
    assert find_code(other) == (422, "INVALID_FIELD")


async def test_what_is_required_is_asked_of_creates_and_cannot_be_cleared(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    await client.post("/crm/contacts", json={"email": "early@example.com"})
    await define(client, "plan", "TEXT", isRequired=True)
    # Foreseen before it is applied.
    early = await client.post("/crm/contacts", json={"email": "ada@example.com"})
    assert (find_code(early), list_fields(early)) == ((422, "MISSING_FIELD"), ["properties.plan"])
    await drain()
    for properties in ({}, {"plan": None}, {"plan": ""}):
        answer = await client.post("/crm/contacts", json={"email": "ada@example.com", "properties": properties})
        assert (find_code(answer), list_fields(answer)) == ((422, "MISSING_FIELD"), ["properties.plan"])
    made = await client.post("/crm/contacts", json={"email": "ada@example.com", "properties": {"plan": "pro"}})
    assert made.status_code == 202
    for empty in (None, ""):
        cleared = await client.patch("/crm/contacts/ada@example.com", json={"properties": {"plan": empty}})
        assert (find_code(cleared), list_fields(cleared)) == ((422, "INVALID_FIELD"), ["properties.plan"])
    # Who was there before may stay without.
    assert (await client.patch("/crm/contacts/early@example.com", json={"name": "Early"})).status_code == 202
    company = await client.post("/crm/companies", json={"name": "Acme"})
    assert company.status_code == 202


async def test_companies_and_associations_are_held_to_theirs(client: httpx2.AsyncClient, drain: Drain) -> None:
    await define(client, "arr", "NUMBER", entity="COMPANY", isRequired=True)
    await define(client, "since", "DATE", entity="CONTACT_COMPANY", isRequired=True)
    await drain()
    assert list_fields(await client.post("/crm/companies", json={"name": "Acme"})) == ["properties.arr"]
    wrong = await client.post("/crm/companies", json={"name": "Acme", "properties": {"arr": "much"}})
    assert list_fields(wrong) == ["properties.arr"]
    made = await client.post("/crm/companies", json={"name": "Acme", "properties": {"arr": "5000000"}})
    assert made.json()["data"]["properties"] == {"arr": 5000000}
    await client.post("/crm/contacts", json={"name": "Ada", "properties": {"arr": "anything"}})
    await drain()
    assert list_fields(await client.patch("/crm/companies/1", json={"properties": {"arr": None}})) == ["properties.arr"]
    link = {"companyId": 1, "properties": {"since": "yesterday"}}
    assert list_fields(await client.post("/crm/contacts/1/companies", json=link)) == ["properties.since"]
    assert list_fields(await client.post("/crm/contacts/1/companies", json={"companyId": 1})) == ["properties.since"]
    link["properties"] = {"since": "2026-01-01"}
    assert (await client.post("/crm/contacts/1/companies", json=link)).status_code == 202
    await drain()
    path = "/crm/contacts/1/companies/1"
    assert list_fields(await client.patch(path, json={"properties": {"since": 5}})) == ["properties.since"]
    assert (await client.patch(path, json={"properties": {"since": "2026-02-01"}})).status_code == 202


async def test_values_that_came_before_their_definition_are_converted_where_they_fit(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    for value in ("4999", 12, " 7.50 ", "a lot", None, {"usd": 1}):
        await client.post("/crm/contacts", json={"name": "x", "properties": {"mrr": value, "other": "1"}})
    await client.post("/crm/contacts", json={"name": "deleted", "properties": {"mrr": "8"}})
    await drain()
    await client.delete("/crm/contacts/7")
    before = await read(client, "contacts/1")
    made = await client.post("/crm/properties", json=MRR)
    await drain()
    operation = await read(client, made.headers["operation-location"].removeprefix("/crm/"))
    assert operation["status"] == "APPLIED"
    assert operation["result"] == {
        "values": 6,
        "converted": 3,
        "misfits": 2,
        "examples": [
            {"record": "/crm/contacts/4", "value": '"a lot"', "message": operation["result"]["examples"][0]["message"]},
            {
                "record": "/crm/contacts/6",
                "value": '{"usd":1}',
                "message": operation["result"]["examples"][1]["message"],
            },
        ],
    }
    kept = [(await read(client, f"contacts/{number}"))["properties"] for number in range(1, 8)]
    assert [properties.get("mrr") for properties in kept] == [4999, 12, 7.5, "a lot", None, {"usd": 1}, 8]
    assert {properties["other"] for properties in kept[:6]} == {"1"}
    after = await read(client, "contacts/1")
    assert (after["version"], after["updatedAt"]) == (before["version"], before["updatedAt"])
    # A misfit does not stand in the way of what is written beside it, nor of being sent back as it is.
    assert (await client.patch("/crm/contacts/4", json={"properties": {"mrr": "a lot", "x": 1}})).status_code == 202


async def test_a_write_that_waits_tells_what_was_converted(client: httpx2.AsyncClient, kit: Kit) -> None:
    async with kit.living_writer():
        wait = {"Prefer": "wait=10"}
        await client.post("/crm/contacts", json={"name": "x", "properties": {"mrr": "1"}}, headers=wait)
        made = await client.post("/crm/properties", json=MRR, headers=wait)
    assert made.status_code == 201, made.text
    assert "pending" not in made.json()["data"]
    located = await client.get(made.headers["operation-location"])
    assert located.json()["data"]["result"]["converted"] == 1


async def test_a_type_changes_only_where_every_value_fits(client: httpx2.AsyncClient, drain: Drain) -> None:
    made = await define(client, "score", "TEXT")
    path = made.headers["location"]
    for value in ("1", "2.5", "none"):
        await client.post("/crm/contacts", json={"name": "x", "properties": {"score": value}})
    await drain()
    refused = await client.patch(path, json={"type": "NUMBER"})
    error = refused.json()["error"]
    assert (find_code(refused), list_fields(refused), error["details"]["count"]) == (
        (422, "INVALID_FIELD"),
        ["type"],
        1,
    )
    assert error["details"]["examples"][0].items() >= {"record": "/crm/contacts/3", "value": '"none"'}.items()
    await client.patch("/crm/contacts/3", json={"properties": {"score": None}})
    await drain()
    assert (await client.patch(path, json={"type": "NUMBER"})).status_code == 202
    # From now on, before it is applied, its values are numbers.
    assert list_fields(await client.patch("/crm/contacts/3", json={"properties": {"score": "x"}})) == [
        "properties.score"
    ]
    await drain()
    assert [(await read(client, f"contacts/{n}"))["properties"].get("score") for n in (1, 2, 3)] == [1, 2.5, None]
    assert (await client.patch(path, json={"type": "TEXT"})).status_code == 202
    await drain()
    assert (await read(client, "contacts/2"))["properties"]["score"] == "2.5"


async def test_a_type_is_held_against_all_that_was_accepted_before(client: httpx2.AsyncClient, kit: Kit) -> None:
    async with kit.living_writer():
        made = await define(client, "score", "TEXT")
        person = {"email": "ada@example.com", "properties": {"score": "none"}}
        assert (await client.post("/crm/contacts", json=person)).status_code == 202
        assert find_code(await client.patch(made.headers["location"], json={"type": "NUMBER"})) == (
            422,
            "INVALID_FIELD",
        )
        mended = await client.patch("/crm/contacts/ada@example.com", json={"properties": {"score": "7"}})
        assert mended.status_code == 202
        assert (await client.patch(made.headers["location"], json={"type": "NUMBER"})).status_code == 202


async def test_a_type_that_no_longer_fits_when_its_turn_comes_is_rejected(
    client: httpx2.AsyncClient, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kith.engine.accept.properties.APPLIED_WAIT_S", 0)
    made = await define(client, "score", "TEXT")
    await drain()
    await client.post("/crm/contacts", json={"name": "x", "properties": {"score": "none"}})
    changing = await client.patch(made.headers["location"], json={"type": "NUMBER"})
    assert changing.status_code == 202, "nothing that is committed stands in its way"
    await drain()
    operation = await read(client, changing.headers["operation-location"].removeprefix("/crm/"))
    assert (operation["status"], operation["error"]["code"]) == ("REJECTED", "INVALID_FIELD")
    assert (await read(client, made.headers["location"].removeprefix("/crm/")))["type"] == "TEXT"


async def test_an_option_in_use_can_only_be_archived(client: httpx2.AsyncClient, drain: Drain) -> None:
    made = await define(client, "tier", "SELECT", options=["gold", "tin", "lead"])
    path = made.headers["location"]
    await client.post("/crm/contacts", json={"name": "x", "properties": {"tier": "tin"}})
    await drain()
    refused = await client.patch(path, json={"options": ["gold"]})
    assert (find_code(refused), list_fields(refused)) == ((422, "INVALID_FIELD"), ["options"])
    assert refused.json()["error"]["details"]["count"] == 1
    unused = await client.patch(path, json={"options": ["new", "gold", {"value": "tin", "archived": True}]})
    assert unused.status_code == 202, unused.text
    await drain()
    assert [one["value"] for one in (await read(client, path.removeprefix("/crm/")))["options"]] == [
        "new",
        "gold",
        "tin",
    ]
    text = await client.patch(path, json={"type": "TEXT"})
    assert (text.status_code, text.json()["data"]["options"]) == (202, [])
    assert list_fields(await client.patch(path, json={"options": ["a"]})) == ["options"]


async def test_what_fits_no_option_stands_in_the_way_of_none_that_is_unused(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    """It was there before the definition, and no option of it was ever in use."""
    made = await client.post("/crm/contacts", json={"name": "x", "properties": {"tier": "bronze"}})
    await drain()
    tier = (await define(client, "tier", "SELECT", options=["gold", "tin"])).headers["location"]
    await drain()
    dropped = await client.patch(tier, json={"options": ["gold"]})
    assert dropped.status_code == 202, dropped.text
    await drain()
    assert [one["value"] for one in (await read(client, tier.removeprefix("/crm/")))["options"]] == ["gold"]
    assert (await read(client, made.headers["location"].removeprefix("/crm/")))["properties"] == {"tier": "bronze"}
    refused = await client.patch(tier, json={"type": "MULTI_SELECT"})
    assert list_fields(refused) == ["type"], "another type wants every value to fit"


async def test_an_archived_property_takes_anything_until_it_is_back(client: httpx2.AsyncClient, drain: Drain) -> None:
    made = await define(client, "mrr", "NUMBER", isRequired=True)
    await drain()
    await client.delete(made.headers["location"])
    assert (await client.post("/crm/contacts", json={"name": "x", "properties": {"mrr": "12"}})).status_code == 202
    assert (await client.post("/crm/contacts", json={"name": "x", "properties": {"mrr": "many"}})).status_code == 202
    await drain()
    back = await client.patch(made.headers["location"], json={"status": "ACTIVE"})
    await drain()
    operation = await read(client, back.headers["operation-location"].removeprefix("/crm/"))
    assert (operation["result"]["converted"], operation["result"]["misfits"]) == (1, 1)
    assert (await read(client, "contacts/1"))["properties"] == {"mrr": 12}
    assert find_code(await client.post("/crm/contacts", json={"name": "x"})) == (422, "MISSING_FIELD")
