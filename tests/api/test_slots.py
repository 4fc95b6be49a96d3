"""Which properties an index serves, and that queries answer the same with it and without."""

import random
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from kith.model.workspaces import Workspace
from tests.api.definitions import define, list_fields, read
from tests.kit import Kit

Drain = Callable[[], Awaitable[None]]
VALUES: list[Any] = ["Alpha", "beta", "ALPHA", "İstanbul", "x" * 300, "x" * 299 + "y", None, "5"]
WHERES = [
    "level = alpha",
    "level in (ALPHA, Beta)",
    "level starts with 'al'",
    f"level = '{'X' * 300}'",
    f"level starts with '{'x' * 299}'",
    "level is null",
    "level != alpha",
    "NOT level contains 'a'",
]


async def ask(client: httpx2.AsyncClient, where: str, **more: Any) -> list[int]:
    answer = await client.post("/crm/query", json={"entity": "contact", "where": where, "sort": "id:asc"} | more)
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["data"]]


async def load_column(kit: Kit, workspace: Workspace, column: str) -> list[Any]:
    rows = await kit.engine.database.fetch(
        f"SELECT {column} FROM contacts WHERE workspace_id = $1 ORDER BY id", workspace.id
    )
    return [row[0] for row in rows]


async def test_an_index_is_taken_away_and_given_back_and_answers_stay_the_same(
    client: httpx2.AsyncClient, drain: Drain, kit: Kit, workspace: Workspace
) -> None:
    path = (await define(client, "level", "TEXT")).headers["location"]
    await drain()
    for value in VALUES:
        await client.post("/crm/contacts", json={"name": "x", "properties": {"level": value}})
    await client.delete("/crm/contacts/2")
    await drain()
    answers = []
    for indexed in (None, False, True):
        if indexed is not None:
            await client.patch(path, json={"isIndexed": indexed})
            await drain()
        assert (await read(client, path.removeprefix("/crm/")))["isIndexed"] is (indexed is not False)
        held = await load_column(kit, workspace, "text_1")
        assert (held == [None] * len(VALUES)) is (indexed is False)
        found = [await ask(client, where) for where in WHERES]
        found += [await ask(client, "", sort=sort) for sort in ("level:asc", "level:desc")]
        answers.append(found)
        await client.patch("/crm/contacts/1", json={"givenName": str(indexed)})
        await drain()
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0] == [1, 3] and answers[0][3] == [5]
    await client.post("/crm/contacts/2/restore")
    await drain()
    assert await ask(client, "level = beta") == [2]


async def test_a_slot_that_another_property_gets_has_nothing_of_the_first(
    client: httpx2.AsyncClient, drain: Drain, kit: Kit, workspace: Workspace
) -> None:
    first = (await define(client, "first", "NUMBER")).headers["location"]
    await drain()
    for n in (1, 2):
        await client.post("/crm/contacts", json={"name": "x", "properties": {"first": n, "second": n * 10}})
    await client.delete("/crm/contacts/2")
    await client.delete(first)
    second = (await define(client, "second", "NUMBER")).headers["location"]
    await drain()
    assert await load_column(kit, workspace, "number_1") == [10, 20]
    await client.patch(first, json={"status": "ACTIVE"})
    await drain()
    assert await load_column(kit, workspace, "number_2") == [1, 2]
    await client.patch(second, json={"type": "TEXT"})
    await drain()
    assert await load_column(kit, workspace, "number_1") == [None, None]
    assert await load_column(kit, workspace, "text_1") == ["10", "20"]
    await client.post("/crm/contacts/2/restore")
    await drain()
    assert (await ask(client, "first = 2"), await ask(client, "second = '20'")) == ([2], [2])


async def test_options_of_a_property_that_selects_no_more_are_marked_no_more(
    client: httpx2.AsyncClient, drain: Drain, kit: Kit, workspace: Workspace
) -> None:
    colors = (await define(client, "colors", "MULTI_SELECT", options=["red", "blue"])).headers["location"]
    await define(client, "sizes", "MULTI_SELECT", options=["red", "blue"])
    await drain()
    await client.post("/crm/contacts", json={"name": "x", "properties": {"colors": ["red"], "sizes": ["blue"]}})
    await drain()
    assert await ask(client, "colors has any (red)") == [1] and await ask(client, "sizes has any (red)") == []
    await client.delete(colors)
    await drain()
    ((mark,),) = await load_column(kit, workspace, "options")
    assert mark.endswith(":blue")
    await client.patch("/crm/contacts/1", json={"properties": {"colors": ["blue", "green"]}})
    await client.patch(colors, json={"status": "ACTIVE"})
    await drain()
    assert await ask(client, "colors has any (red)") == []
    assert await ask(client, "colors has all (blue)") == [1]
    await client.patch("/crm/contacts/1", json={"properties": {"colors": None}})
    await drain()
    await client.patch(colors, json={"type": "TEXT"})
    await drain()
    assert await load_column(kit, workspace, "options") == [[mark]]


@pytest.mark.parametrize("more", [{}, {"type": "NUMBER"}])
async def test_an_index_that_there_is_not_is_refused(
    client: httpx2.AsyncClient, drain: Drain, more: dict[str, Any]
) -> None:
    for n in range(8):
        await define(client, f"n{n}", "NUMBER")
    path = (await define(client, "level", "NUMBER" if not more else "TEXT")).headers["location"]
    await drain()
    refused = await client.patch(path, json={"isIndexed": True} | more)
    assert refused.status_code == 422, refused.text
    assert list_fields(refused) == ["isIndexed"]


UNINDEXED = "no property of CONTACT_COMPANY has an index"
INDEXES = [
    ("CONTACT", "MULTI_SELECT", True, None),
    ("CONTACT", "MULTI_SELECT", False, "is always true for MULTI_SELECT of CONTACT"),
    ("CONTACT", "BOOLEAN", True, "there is no index for BOOLEAN"),
    ("CONTACT", "BOOLEAN", False, None),
    ("CONTACT_COMPANY", "MULTI_SELECT", True, UNINDEXED),
    ("CONTACT_COMPANY", "MULTI_SELECT", False, None),
    ("CONTACT_COMPANY", "NUMBER", True, UNINDEXED),
    ("CONTACT_COMPANY", "NUMBER", False, None),
    ("CONTACT_COMPANY", "BOOLEAN", True, UNINDEXED),
]


@pytest.mark.parametrize(("entity", "type_", "wanted", "words"), INDEXES)
async def test_an_index_that_cannot_be_chosen_is_refused_with_its_reason(
    client: httpx2.AsyncClient, drain: Drain, entity: str, type_: str, wanted: bool, words: str | None
) -> None:
    options = {"options": ["red"]} if type_ == "MULTI_SELECT" else {}
    path = (await define(client, "level", type_, entity=entity, **options)).headers["location"]
    await drain()
    indexed = (await read(client, path.removeprefix("/crm/")))["isIndexed"]
    answer = await client.patch(path, json={"isIndexed": wanted})
    if words is None:
        assert answer.status_code == 202, answer.text
        assert wanted is indexed
        return
    assert answer.status_code == 422, answer.text
    assert list_fields(answer) == ["isIndexed"]
    assert words in answer.json()["error"]["message"]
    assert indexed is not wanted


async def test_a_text_too_long_for_an_option_keeps_nobody_from_a_definition(
    client: httpx2.AsyncClient, drain: Drain, kit: Kit, workspace: Workspace
) -> None:
    long = random.Random(1).randbytes(4000).hex()
    await client.post("/crm/contacts", json={"name": "x", "properties": {"colors": [long, "red"]}})
    made = await define(client, "colors", "MULTI_SELECT", options=["red"])
    await drain()
    assert (await read(client, f"operations/{made.headers['operation-location'].split('/')[-1]}"))[
        "status"
    ] == "APPLIED"
    await client.patch("/crm/contacts/1", json={"name": "y"})
    await drain()
    assert (await read(client, "contacts/1"))["name"] == "y"
    assert await ask(client, "colors has any (red)") == [1]
    ((mark,),) = await load_column(kit, workspace, "options")
    assert mark.endswith(":red")
