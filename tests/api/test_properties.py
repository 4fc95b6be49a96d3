"""Properties: definitions, their keys, limits and scopes, over HTTP."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from kith.model.workspaces import Workspace
from tests.api.definitions import MRR, define, find_code, list_fields, read
from tests.kit import Kit

Drain = Callable[[], Awaitable[None]]
Json = dict[str, Any]


async def test_a_property_is_made_read_changed_archived_and_brought_back(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    made = await client.post("/crm/properties", json=MRR)
    one = made.json()["data"]
    assert (made.status_code, one["id"], one["pending"], one["isSystem"], one["status"]) == (
        202,
        None,
        True,
        False,
        "ACTIVE",
    )
    assert one.items() >= MRR.items()
    assert one["externalId"].startswith("prp_") and made.headers["location"] == f"/crm/properties/{one['externalId']}"
    pending = await client.get(made.headers["location"])
    assert (pending.status_code, pending.json()["code"]) == (202, "PENDING")
    await drain()
    kept = await read(client, f"properties/{one['externalId']}")
    assert kept == {name: value for name, value in one.items() if name != "pending"} | {"id": kept["id"]}
    assert await read(client, f"properties/{kept['id']}") == kept
    path = f"/crm/properties/{kept['id']}"
    changed = await client.patch(path, json={"label": "MRR", "description": None})
    assert changed.json()["data"]["label"] == "MRR"
    assert find_code(await client.patch(path, json={"label": "x"}, headers={"If-Match": '"1"'})) == (
        412,
        "VERSION_MISMATCH",
    )
    archived = await client.delete(path)
    assert (archived.status_code, archived.json()["data"]["status"]) == (202, "ARCHIVED")
    await drain()
    assert "mrr" not in [row["key"] for row in await read(client, "properties")]
    listed = {row["key"]: row["status"] for row in await read(client, "properties", archived="true")}
    assert listed["mrr"] == "ARCHIVED"
    assert (await client.delete(path)).status_code == 202
    assert (await client.patch(path, json={"status": "ACTIVE"})).json()["data"]["status"] == "ACTIVE"
    await drain()
    after = await read(client, path.removeprefix("/crm/"))
    assert (after["status"], after["label"], after["description"], after["version"]) == ("ACTIVE", "MRR", None, 4)


async def test_a_label_defaults_to_the_key_and_options_may_be_just_their_values(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    options = ["gold", {"value": "silver", "label": "Silver!"}, {"value": "tin", "archived": True}]
    await define(client, "tier", "SELECT", options=options)
    await drain()
    [one] = await read(client, "properties", isSystem="false")
    assert (one["label"], one["group"], one["isRequired"], one["description"]) == ("tier", "CUSTOM", False, None)
    assert one["options"] == [
        {"value": "gold", "label": "gold", "archived": False},
        {"value": "silver", "label": "Silver!", "archived": False},
        {"value": "tin", "label": "tin", "archived": True},
    ]


async def test_the_list_is_filtered_by_entity_group_and_kind(client: httpx2.AsyncClient, drain: Drain) -> None:
    await define(client, "mrr", "NUMBER")
    await define(client, "twitter", "URL", group="SOCIAL")
    await define(client, "arr", "NUMBER", entity="COMPANY")
    await define(client, "since", "DATE", entity="CONTACT_COMPANY")
    await drain()

    async def list_keys(**query: Any) -> list[str]:
        return [row["key"] for row in await read(client, "properties", sortBy="key", sortOrder="asc", **query)]

    assert await list_keys(isSystem="false") == ["arr", "mrr", "since", "twitter"]
    assert await list_keys(entity="CONTACT", group="CUSTOM") == ["mrr"]
    assert await list_keys(entity="CONTACT", isSystem="false") == ["mrr", "twitter"]
    assert await list_keys(entity="CONTACT_COMPANY") == ["isPrimary", "role", "since"]
    assert {"domain", "industry", "arr"} <= set(await list_keys(entity="COMPANY"))
    assert {"email", "lifecycleStage", "createdAt", "mergedInto"} <= set(
        await list_keys(entity="CONTACT", isSystem="true")
    )
    everything = (await client.get("/crm/properties")).json()
    assert everything["meta"]["total"] == len(everything["data"]) > 20
    first = (await client.get("/crm/properties", params={"limit": 20})).json()
    rest = (await client.get("/crm/properties", params={"limit": 1000, "cursor": first["meta"]["nextCursor"]})).json()
    assert first["data"] + rest["data"] == everything["data"]
    for query in ({"entity": "TAG"}, {"group": "NONE"}, {"isSystem": "maybe"}, {"limit": "1001"}):
        assert find_code(await client.get("/crm/properties", params=query)) == (400, "INVALID_REQUEST")


async def test_system_properties_are_read_and_never_changed(client: httpx2.AsyncClient) -> None:
    email = next(row for row in await read(client, "properties", entity="CONTACT") if row["key"] == "email")
    assert (email["isSystem"], email["type"], email["group"]) == (True, "EMAIL", "CONTACT_INFO")
    for name in (email["id"], email["externalId"]):
        assert await read(client, f"properties/{name}") == email
        for answer in (
            await client.patch(f"/crm/properties/{name}", json={"label": "Mail"}),
            await client.delete(f"/crm/properties/{name}"),
        ):
            assert find_code(answer) == (400, "INVALID_REQUEST")
    taken = await client.post("/crm/properties", json={"key": "email", "entity": "CONTACT", "type": "EMAIL"})
    assert find_code(taken) == (409, "PROPERTY_KEY_EXISTS")
    assert taken.json()["error"]["details"]["existingId"] == email["id"]


async def test_a_key_is_taken_once_for_each_entity_pending_archived_or_not(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    made = await define(client, "mrr", "NUMBER")
    external_id = made.json()["data"]["externalId"]
    early = await client.post("/crm/properties", json=MRR)
    assert find_code(early) == (409, "PROPERTY_KEY_EXISTS")
    await define(client, "mrr", "NUMBER", entity="COMPANY")
    await drain()
    await client.delete(f"/crm/properties/{external_id}")
    await drain()
    late = await client.post("/crm/properties", json=MRR)
    details = late.json()["error"]["details"]
    assert find_code(late) == (409, "PROPERTY_KEY_EXISTS")
    assert (
        details.items()
        >= {
            "field": "key",
            "value": "mrr",
            "existingExternalId": external_id,
            "status": "ARCHIVED",
        }.items()
    )


@pytest.mark.parametrize(
    ("wrong", "fields"),
    [
        ({"key": "MRR"}, ["key"]),
        ({"key": "1st"}, ["key"]),
        ({"key": "x" * 65}, ["key"]),
        ({"label": ""}, ["label"]),
        ({"type": "INTEGER"}, ["type"]),
        ({"entity": "TAG"}, ["entity"]),
        ({"group": "OTHER"}, ["group"]),
        ({"options": ["a"]}, ["options"]),
        ({"type": "SELECT", "options": ["a", "a", " "]}, ["options[1]", "options[2]"]),
        ({"type": "SELECT", "options": [{"value": "a", "color": "red"}]}, ["options[0].color"]),
        ({"type": "SELECT", "options": [f"o{n}" for n in range(1001)]}, ["options"]),
        ({"requird": True}, ["requird"]),
    ],
)
async def test_a_definition_that_is_wrong_names_what(
    client: httpx2.AsyncClient, wrong: Json, fields: list[str]
) -> None:
    answer = await client.post("/crm/properties", json=MRR | wrong)
    assert answer.status_code == 422, answer.text
    assert list_fields(answer) == fields


async def test_what_a_definition_needs_is_named(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/crm/properties", json={"label": "x"})
    assert find_code(answer) == (422, "MISSING_FIELD")
    assert sorted(list_fields(answer)) == ["entity", "key", "type"]
    for id_ in ("999999", "prp_01jrfz3x8mfvv8t3n2m6k0q4sb"):
        assert find_code(await client.get(f"/crm/properties/{id_}")) == (404, "NOT_FOUND")
        assert find_code(await client.patch(f"/crm/properties/{id_}", json={"label": "x"})) == (404, "NOT_FOUND")
    assert find_code(await client.get("/crm/properties/mrr")) == (400, "INVALID_ID")


async def test_only_keys_with_crm_admin_change_properties(kit: Kit, workspace: Workspace) -> None:
    key = await kit.make_key(workspace, ("crm:read", "crm:write"))
    async with kit.open_client(key) as writer:
        assert find_code(await writer.post("/crm/properties", json=MRR)) == (403, "FORBIDDEN")
        assert find_code(await writer.patch("/crm/properties/1", json={"label": "x"})) == (403, "FORBIDDEN")
        assert find_code(await writer.delete("/crm/properties/1")) == (403, "FORBIDDEN")
        assert (await writer.get("/crm/properties/1")).status_code == 200


async def test_a_strict_workspace_takes_only_what_is_defined(
    kit: Kit, client: httpx2.AsyncClient, drain: Drain
) -> None:
    workspace = await kit.make_workspace("strict")
    async with kit.engine.database.acquire() as connection:
        await connection.execute(
            """UPDATE workspaces SET settings = '{"strictProperties": true}' WHERE id = $1""", workspace.id
        )
    async with kit.open_client(await kit.make_key(workspace)) as strict:
        body = {"name": "x", "properties": {"mrr": 5, "gone": None}}
        refused = await strict.post("/crm/contacts", json=body)
        assert (find_code(refused), list_fields(refused)) == ((422, "INVALID_FIELD"), ["properties.mrr"])
        made = await define(strict, "mrr", "NUMBER")
        assert (await strict.post("/crm/contacts", json=body)).status_code == 202, "defined, though not yet applied"
        await drain()
        assert list_fields(await strict.patch("/crm/contacts/1", json={"properties": {"x": 1}})) == ["properties.x"]
        assert list_fields(await strict.post("/crm/companies", json={"name": "x", "properties": {"mrr": 1}})) == [
            "properties.mrr"
        ]
        await strict.delete(made.headers["location"])
        assert (await strict.post("/crm/contacts", json=body)).status_code == 202, "archived, and still defined"
    assert (await client.post("/crm/contacts", json=body)).status_code == 202


async def test_an_entity_has_500_active_properties_at_most(client: httpx2.AsyncClient, drain: Drain) -> None:
    for number in range(500):
        await define(client, f"p{number}", "TEXT")
    await drain()
    full = await client.post("/crm/properties", json=MRR)
    assert (find_code(full), full.json()["error"]["details"]["limit"]) == ((422, "QUOTA_EXCEEDED"), 500)
    await define(client, "mrr", "NUMBER", entity="COMPANY")
    [last] = (await client.get("/crm/properties", params={"limit": 1, "isSystem": "false"})).json()["data"]
    await client.delete(f"/crm/properties/{last['id']}")
    assert (await client.post("/crm/properties", json=MRR)).status_code == 202
    assert find_code(await client.patch(f"/crm/properties/{last['id']}", json={"status": "ACTIVE"})) == (
        422,
        "QUOTA_EXCEEDED",
    )


async def test_another_workspace_sees_neither_definition_nor_check(
    kit: Kit, client: httpx2.AsyncClient, drain: Drain
) -> None:
    made = await define(client, "mrr", "NUMBER")
    await drain()
    async with kit.open_client(await kit.make_key(await kit.make_workspace())) as other:
        number = (await client.get(made.headers["location"])).json()["data"]["id"]
        for name in (number, made.headers["location"].rpartition("/")[2]):
            assert find_code(await other.get(f"/crm/properties/{name}")) == (404, "NOT_FOUND")
            assert find_code(await other.delete(f"/crm/properties/{name}")) == (404, "NOT_FOUND")
        assert await read(other, "properties", isSystem="false") == []
        assert (await other.post("/crm/contacts", json={"name": "x", "properties": {"mrr": "many"}})).status_code == 202
        assert (await other.post("/crm/properties", json=MRR)).status_code == 202
