"""Merges one after another and at once: chains, races, retries, versions, and what is written down of them."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import httpx2
import pytest

from kith.engine.context.engine import Engine
from kith.model.workspaces import Workspace
from tests.kit import Kit, make_blind

Drain = Callable[[], Awaitable[None]]


async def make(client: httpx2.AsyncClient, name: str, **fields: Any) -> str:
    """Create a contact; its external id. Numbers are given in the order of the creates."""
    answer = await client.post("/crm/contacts", json={"name": name, **fields})
    external_id: str = answer.json()["data"]["externalId"]
    return external_id


async def merge(client: httpx2.AsyncClient, winner: str, loser: str | int, **headers: str) -> httpx2.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post(f"/crm/contacts/{winner}/merge", json={"loserId": loser}, headers=given)


async def get(client: httpx2.AsyncClient, contact: str) -> dict[str, Any]:
    answer = await client.get(f"/crm/contacts/{contact}")
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def to_refusal(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def make_laden(client: httpx2.AsyncClient, names: str, drain: Drain) -> list[str]:
    """Contacts with a tag, a company and an activity each, all of their own name."""
    ids = []
    for name in names:
        ids.append(await make(client, name, properties={name: name}))
        tag = (await client.post("/crm/tags", json={"key": name})).json()["data"]["externalId"]
        company = (await client.post("/crm/companies", json={"name": name})).json()["data"]["externalId"]
        path = f"/crm/contacts/{ids[-1]}"
        await client.post(f"{path}/tags", json={"tagId": tag})
        await client.post(f"{path}/companies", json={"companyId": company, "isPrimary": True})
        await client.post(f"{path}/activities", json={"type": "NOTE", "content": name})
    await drain()
    return ids


async def check_laden(client: httpx2.AsyncClient, contact: str, first: str, names: str) -> None:
    """That the contact has what all these had, and its own primary company."""
    data = await get(client, contact)
    assert (data["name"], data["activityCount"], data["properties"]) == (first, len(names), {n: n for n in names})
    assert {tag["key"] for tag in data["tags"]} == set(names)
    assert {company["name"] for company in data["companies"]} == set(names)
    assert [company["name"] for company in data["companies"] if company["isPrimary"]] == [first]
    rows = (await client.get(f"/crm/contacts/{contact}/activities?count=exact")).json()
    assert ({row["content"] for row in rows["data"]}, rows["meta"]["total"]) == (set(names), len(names))
    assert {row["contactId"] for row in rows["data"]} == {data["id"]}
    for kind in ("tags", "companies"):
        counts = [row["contactCount"] for row in (await client.get(f"/crm/{kind}")).json()["data"]]
        assert counts == [1] * len(names), kind


@pytest.mark.parametrize("together", [True, False])
async def test_a_chain_of_merges_resolves_to_its_end(client: httpx2.AsyncClient, drain: Drain, together: bool) -> None:
    names = "abcd"
    ids = await make_laden(client, names, drain)
    for loser, winner in pairwise(ids):
        assert (await merge(client, winner, loser)).status_code == 202
        if not together:
            await drain()
    for round_ in range(2):
        for number, contact in enumerate(ids, start=1):
            for form in (contact, str(number)):
                answer = await client.get(f"/crm/contacts/{form}")
                assert (answer.json()["data"]["externalId"], answer.status_code) == (ids[-1], 200)
                assert answer.headers["content-location"] == f"/crm/contacts/{ids[-1]}"
            logged = await client.post(
                f"/crm/contacts/{contact}/activities", json={"type": "CALL", "content": names[0]}
            )
            assert logged.json()["data"]["contactId"] == len(ids)
        await drain()
        assert (await get(client, ids[0]))["activityCount"] == len(names) * (round_ + 2)
    patched = await client.patch(f"/crm/contacts/{ids[0]}", json={"familyName": "End"})
    assert patched.headers["location"] == f"/crm/contacts/{ids[-1]}"
    await drain()
    assert (await get(client, ids[-1]))["familyName"] == "End"
    rows = (await client.get("/crm/contacts?status=MERGED&sortBy=name&sortOrder=asc")).json()
    assert ([row["name"] for row in rows["data"]], rows["meta"]["total"]) == (["a", "b", "c"], 3)
    again = await merge(client, ids[1], ids[0])
    assert to_refusal(again) == (400, "INVALID_REQUEST")
    assert again.json()["error"]["details"]["mergedInto"] == ids[-1]


@pytest.mark.parametrize("pattern", ["", "d", "rd", "dr", "drd"])
async def test_what_a_chain_moves_does_not_depend_on_its_batches(
    client: httpx2.AsyncClient, drain: Drain, pattern: str
) -> None:
    """``d`` drains after the first merge of a chain from its far end, ``r`` reverses the chain."""
    ids = await make_laden(client, "abc", drain)
    steps = [(ids[1], ids[0]), (ids[2], ids[1])] if "r" not in pattern else [(ids[1], ids[2]), (ids[0], ids[1])]
    for winner, loser in steps:
        assert (await merge(client, winner, loser)).status_code == 202
        if "d" in pattern:
            await drain()
    await drain()
    await check_laden(client, ids[0], "a" if "r" in pattern else "c", "abc")
    assert len({(await client.get(f"/crm/contacts/{one}")).text for one in ids}) == 1


async def test_many_into_one_in_one_batch_with_writes_between(client: httpx2.AsyncClient, drain: Drain) -> None:
    ids = await make_laden(client, "abcdefgh", drain)
    for number, loser in enumerate(ids[1:]):
        await client.patch(f"/crm/contacts/{loser}", json={"properties": {"n": number}})
        assert (await merge(client, ids[0], loser)).status_code == 202
        await client.patch(f"/crm/contacts/{loser}", json={"properties": {"n": None}})
    await drain()
    await check_laden(client, ids[0], "a", "abcdefgh")
    assert (await client.get("/crm/contacts?count=exact")).json()["meta"]["total"] == 1
    assert (await client.get("/crm/contacts?status=MERGED")).json()["meta"]["total"] == 7


async def test_merges_of_contacts_that_are_still_pending(client: httpx2.AsyncClient, drain: Drain) -> None:
    a, b, c = [await make(client, name, email=f"{name}@example.com") for name in "abc"]
    company = (await client.post("/crm/companies", json={"name": "new"})).json()["data"]["externalId"]
    for contact in (a, b):
        body = {"companyId": company, "isPrimary": True}
        assert (await client.post(f"/crm/contacts/{contact}/companies", json=body)).status_code == 202
    await client.post(f"/crm/contacts/{b}/activities", json={"type": "NOTE"})
    first = await merge(client, "a@example.com", b)
    second = await merge(client, c, a)
    assert [answer.status_code for answer in (first, second)] == [202, 202]
    pending = await client.get(f"/crm/contacts/{b}")
    assert (pending.status_code, pending.json()["data"]["externalId"]) == (202, c)
    assert [one["name"] for one in pending.json()["data"]["companies"]] == ["new"]
    await drain()
    data = await get(client, b)
    assert (data["id"], data["activityCount"], data["email"]) == (3, 1, "c@example.com")
    assert (await client.get("/crm/companies/1")).json()["data"]["contactCount"] == 1


async def test_merges_that_race_end_with_one_winner(client: httpx2.AsyncClient, drain: Drain) -> None:
    ids = await make_laden(client, "abc", drain)
    pairs = [(winner, loser) for winner in ids for loser in ids if winner != loser]
    answers = await asyncio.gather(*(merge(client, *pair) for pair in pairs))
    await drain()
    taken = [answer for answer in answers if answer.status_code == 202]
    assert len(taken) == 2
    for answer in answers:
        assert answer.status_code == 202 or to_refusal(answer) == (400, "INVALID_REQUEST")
    for answer in taken:
        assert (await client.get(answer.headers["operation-location"])).json()["data"]["status"] == "APPLIED"
    data = await get(client, ids[0])
    await check_laden(client, ids[0], data["name"], "abc")
    assert (await client.get("/crm/contacts")).json()["meta"]["total"] == 1


@pytest.mark.usefixtures("living_writer")
async def test_a_storm_of_merges_and_writes_loses_nothing(client: httpx2.AsyncClient, drain: Drain) -> None:
    ids = await make_laden(client, "abcdefghij", drain)
    chance = random.Random(7)

    async def act() -> tuple[str, httpx2.Response]:
        one, other = chance.sample(ids, 2)
        act = chance.choice(("merge", "log", "log", "patch", "tag", "untag"))
        path = f"/crm/contacts/{one}"
        match act:
            case "merge":
                return act, await merge(client, one, other)
            case "log":
                return act, await client.post(f"{path}/activities", json={"type": "NOTE", "content": "x"})
            case "patch":
                return act, await client.patch(path, json={"properties": {chance.choice("xyz"): chance.random()}})
            case "tag":
                return act, await client.post(f"{path}/tags", json={"tagId": chance.randint(1, 10)})
        return act, await client.delete(f"{path}/tags/{chance.randint(1, 10)}")

    outcomes = [outcome for _ in range(12) for outcome in await asyncio.gather(*(act() for _ in range(20)))]
    await drain()
    logged = 0
    for act_, answer in outcomes:
        assert answer.status_code == 202 or to_refusal(answer) in ((400, "INVALID_REQUEST"), (404, "NOT_FOUND"))
        if answer.status_code == 202:
            operation = (await client.get(answer.headers["operation-location"])).json()["data"]
            assert operation["error"] is None or operation["error"]["code"] in ("INVALID_REQUEST", "NOT_FOUND")
            logged += act_ == "log" and operation["status"] == "APPLIED"
    live = (await client.get("/crm/contacts?limit=100&count=exact")).json()["data"]
    assert {(await get(client, one))["externalId"] for one in ids} == {row["externalId"] for row in live}
    for row in live:
        rows = (await client.get(f"/crm/contacts/{row['id']}/activities?count=exact")).json()
        assert row["activityCount"] == rows["meta"]["total"]
    assert sum(row["activityCount"] for row in live) == logged + len(ids)
    for tag in (await client.get("/crm/tags")).json()["data"]:
        assert tag["contactCount"] == sum(tag["key"] in row["tags"] for row in live), tag["key"]


@pytest.mark.parametrize("crossed", [True, False])
async def test_a_race_that_only_the_writer_sees_ends_rejected(
    own_kit: Kit, monkeypatch: pytest.MonkeyPatch, crossed: bool
) -> None:
    async with own_kit.open_client(await own_kit.make_key(await own_kit.make_workspace())) as client:
        a, b, c = await make_laden(client, "abc", own_kit.drain)
        with monkeypatch.context() as blind:
            make_blind(blind, own_kit.engine, "find_record")
            answers = [await merge(client, a, b), await (merge(client, b, a) if crossed else merge(client, c, b))]
        await own_kit.drain()
        won, lost = [(await client.get(one.headers["operation-location"])).json()["data"] for one in answers]
        assert (won["status"], lost["status"], lost["error"]["code"]) == ("APPLIED", "REJECTED", "INVALID_REQUEST")
        assert lost["error"]["details"] == {"status": "MERGED", "mergedInto": a}
        assert (await get(client, b))["externalId"] == a
        assert (await get(client, c))["version"] == 1
        assert (await get(client, a))["activityCount"] == 2


@pytest.mark.parametrize("applied", [0, 1, 2])
async def test_a_refusal_names_the_end_of_the_chain(
    own_kit: Kit, monkeypatch: pytest.MonkeyPatch, applied: int
) -> None:
    async with own_kit.open_client(await own_kit.make_key(await own_kit.make_workspace())) as client:
        a, b, c, d = [await make(client, name) for name in "abcd"]
        await own_kit.drain()
        for number, (winner, loser) in enumerate(((b, a), (c, b)), start=1):
            await merge(client, winner, loser)
            if number == applied:
                await own_kit.drain()
        refused = await merge(client, d, a)
        assert refused.json()["error"]["details"]["mergedInto"] == c
        with monkeypatch.context() as blind:
            make_blind(blind, own_kit.engine, "find_record")
            answer = await merge(client, d, a)
        assert answer.status_code == (400 if applied else 202), "applied ones are seen without the overlay"
        if not applied:
            await own_kit.drain()
            operation = (await client.get(answer.headers["operation-location"])).json()["data"]
            assert (operation["status"], operation["error"]["details"]["mergedInto"]) == ("REJECTED", c)


async def test_a_merge_may_insist_on_the_winners_version(client: httpx2.AsyncClient, drain: Drain) -> None:
    a, b, c = [await make(client, name) for name in "abc"]
    await client.patch(f"/crm/contacts/{b}", json={"name": "B"})
    await drain()
    for version in ('"2"', '"0"'):
        refused = await merge(client, a, b, If_Match=version)
        assert to_refusal(refused) == (412, "VERSION_MISMATCH")
    assert to_refusal(await merge(client, a, b, If_Match="x")) == (400, "INVALID_REQUEST")
    assert (await merge(client, a, b, If_Match='"1"')).status_code == 202
    for _ in range(2):
        refused = await merge(client, a, c, If_Match='"1"')
        assert to_refusal(refused) == (412, "VERSION_MISMATCH")
        assert refused.json()["error"]["details"] == {"expected": 1, "actual": 2}
        await drain()
    assert (await merge(client, a, c, If_Match="*")).status_code == 202
    await drain()
    assert (await get(client, c))["version"] == 3


async def test_a_retry_with_its_key_merges_once(client: httpx2.AsyncClient, drain: Drain) -> None:
    a, b, c = await make_laden(client, "abc", drain)
    answers = list(await asyncio.gather(*(merge(client, a, b, Idempotency_Key="m") for _ in range(10))))
    await drain()
    answers.append(await merge(client, a, b, Idempotency_Key="m"))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["operation"]["id"] for answer in answers}) == 1
    assert len({json.dumps(answer.json()["data"]) for answer in answers}) == 1
    assert [answer.headers.get("idempotent-replayed") for answer in answers].count("true") == 10
    assert to_refusal(await merge(client, a, c, Idempotency_Key="m")) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert (await get(client, b))["version"] == 2
    assert to_refusal(await merge(client, a, b)) == (400, "INVALID_REQUEST")


@pytest.mark.usefixtures("living_writer")
async def test_waiting_answers_with_the_committed_winner(client: httpx2.AsyncClient) -> None:
    a, b = await make(client, "a"), await make(client, "b", email="b@example.com")
    answer = await merge(client, a, b, Prefer="wait=10")
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=10")
    assert answer.json()["operation"]["status"] == "APPLIED"
    assert answer.json()["data"] == await get(client, a)
    assert answer.json()["data"]["email"] == "b@example.com"
    patched = await client.patch(f"/crm/contacts/{b}", json={"name": "c"}, headers={"Prefer": "wait=10"})
    assert (patched.status_code, patched.json()["data"]) == (200, await get(client, a))


async def test_what_a_merge_moves_is_written_down(
    client: httpx2.AsyncClient, engine: Engine, workspace: Workspace, drain: Drain
) -> None:
    ids = await make_laden(client, "abc", drain)
    await client.post(f"/crm/contacts/{ids[0]}/activities", json={"type": "CALL"})
    for loser, winner in pairwise(ids):
        await merge(client, winner, loser)
    await drain()
    async with engine.database.acquire() as connection:
        fetched = await connection.fetch(
            "SELECT loser_id, winner_id, moved::text FROM merges WHERE workspace_id = $1 ORDER BY loser_id",
            workspace.id,
        )
    rows = [(row["loser_id"], row["winner_id"], json.loads(row["moved"])) for row in fetched]
    assert [(loser, winner) for loser, winner, _ in rows] == [(1, 2), (2, 3)]
    assert [moved["activities"] for *_, moved in rows] == [[1, 4], [1, 2, 4]]
    loser = rows[0][2]["loser"]
    assert (loser["name"], loser["status"], loser["version"], loser["properties"]) == ("a", "ACTIVE", 1, {"a": "a"})
    assert ([tag["number"] for tag in loser["tags"]], [one["number"] for one in loser["companies"]]) == ([1], [1])
    assert (loser["companies"][0]["is_primary"], loser["activity_count"]) == (True, 2)
    assert rows[0][2]["winner"]["activity_count"] == 1
    assert [tag["number"] for tag in rows[1][2]["loser"]["tags"]] == [1, 2]


async def test_memberships_of_static_lists_move(client: httpx2.AsyncClient, drain: Drain) -> None:
    a, b = await make(client, "a"), await make(client, "b")
    await drain()
    lists = []
    for name, members in (("both", [a, b]), ("theirs", [b]), ("ours", [a])):
        made = await client.post("/crm/lists", json={"name": name, "entityType": "CONTACT"})
        lists.append(made.headers["location"])
        added = await client.post(f"{lists[-1]}/members", json={"entityIds": members})
        assert added.status_code == 202, added.text
    await drain()
    await merge(client, a, b)
    await drain()
    for path in lists:
        members = (await client.get(f"{path}/members?count=exact")).json()
        assert ([row["externalId"] for row in members["data"]], members["meta"]["total"]) == ([a], 1)
        assert (await client.get(path)).json()["data"]["memberCount"] == 1


async def test_the_feed_tells_of_a_merge(
    client: httpx2.AsyncClient, engine: Engine, workspace: Workspace, drain: Drain
) -> None:
    a, b = await make(client, "a", properties={"x": 1}), await make(client, "b", phone="7", properties={"x": 2, "y": 3})
    await merge(client, a, b)
    await drain()
    async with engine.database.acquire() as connection:
        [event] = await connection.fetch(
            "SELECT data::text, sequence FROM events WHERE workspace_id = $1 AND type = 'contact.merged'", workspace.id
        )
    data = json.loads(event["data"])
    assert event["sequence"] == 3
    assert data["winner"] == {"id": 1, "externalId": a, "version": 2}
    assert data["loser"] == {"id": 2, "externalId": b, "version": 2}
    assert data["changes"] == {"phone": {"old": None, "new": "7"}, "properties.y": {"old": None, "new": 3}}


async def test_a_merge_that_would_hold_too_much_is_refused(client: httpx2.AsyncClient, drain: Drain) -> None:
    a = await make(client, "a", properties={f"a{number}": number for number in range(300)})
    b = await make(client, "b", properties={f"b{number}": number for number in range(201)})
    for _ in range(2):
        answer = await merge(client, a, b)
        assert to_refusal(answer) == (422, "INVALID_FIELD")
        assert "501 keys" in answer.json()["error"]["message"]
        await drain()
    await client.patch(f"/crm/contacts/{b}", json={"properties": {"b0": None}})
    assert (await merge(client, a, b)).status_code == 202
    await drain()
    assert len((await get(client, b))["properties"]) == 500


async def test_the_others_contacts_cannot_be_merged(
    client: httpx2.AsyncClient, other_client: httpx2.AsyncClient, drain: Drain
) -> None:
    a, b = await make(client, "a"), await make(client, "b")
    theirs = await make(other_client, "x")
    for _ in range(2):
        for winner, loser in ((a, b), (theirs, b), (a, theirs), (theirs, 2), ("2", theirs)):
            assert to_refusal(await merge(other_client, winner, loser)) == (404, "NOT_FOUND")
        assert to_refusal(await merge(client, a, theirs)) == (404, "NOT_FOUND")
        await drain()
    await merge(client, a, b)
    await drain()
    for contact in (a, b, "2"):
        assert (await other_client.get(f"/crm/contacts/{contact}")).status_code == 404
    assert (await other_client.get("/crm/contacts?status=MERGED")).json()["data"] == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "INVALID_REQUEST"),
        (b"2", 400, "INVALID_REQUEST"),
        (b"[2]", 400, "INVALID_REQUEST"),
        (b"{}", 422, "MISSING_FIELD"),
        (b'{"loserID":2}', 422, "VALIDATION_ERROR"),
        (b'{"loserId":2,"loserId":3}', 400, "INVALID_REQUEST"),
        (b'{"loserId":2,"winnerId":1}', 422, "INVALID_FIELD"),
        (b'{"loserId":1e999}', 422, "INVALID_FIELD"),
        (b'{"loserId":' + b"9" * 5000 + b"}", 422, "INVALID_FIELD"),
        (b'{"loserId":"\\ud800"}', 400, "INVALID_REQUEST"),
        (b'{"loserId":' + b"[" * 10_000 + b"]" * 10_000 + b"}", 400, "INVALID_REQUEST"),
        (b'{"loserId":"' + b"a" * 2_097_152 + b'"}', 413, "PAYLOAD_TOO_LARGE"),
    ],
)
async def test_a_hostile_body_is_refused_and_merges_nothing(
    client: httpx2.AsyncClient, drain: Drain, body: bytes, status: int, code: str
) -> None:
    a, b = await make(client, "a"), await make(client, "b")
    await drain()
    answer = await client.post(f"/crm/contacts/{a}/merge", content=body)
    assert to_refusal(answer) == (status, code), answer.text[:500]
    assert len(answer.content) < 2000
    await drain()
    assert (await get(client, b))["status"] == "ACTIVE"


@pytest.mark.parametrize("form", ["abc", "%00", "ctc_1", "1%2f2", "'%20OR%201=1--", "cmp_01jrfz3x8mfvv8t3n2m6k0q4sb"])
async def test_a_winner_that_is_none_is_refused(client: httpx2.AsyncClient, form: str) -> None:
    assert to_refusal(await merge(client, form, 1)) == (400, "INVALID_ID")
    assert (await client.get("/crm/contacts/1/merge")).status_code == 405


async def test_every_answer_of_a_merged_contact_names_the_last_of_its_chain(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    """In rows by status, of queries and of lists; all other contacts have null, pending ones too."""
    winners = {"first": None, "second": None, "third": None}
    ids = {name: await make(client, name) for name in winners}
    provisional = (await client.post("/crm/contacts", json={"name": "fourth"})).json()["data"]
    assert provisional["mergedInto"] is None
    await drain()
    merged = {"logic": "AND", "conditions": [{"field": "status", "operator": "in", "value": ["MERGED", "ACTIVE"]}]}
    made = {"name": "All", "entityType": "CONTACT", "isDynamic": True, "filterCriteria": merged}
    assert (await client.post("/crm/lists", json=made)).status_code == 202
    for winner, loser in (("second", "first"), ("third", "second")):
        answer = await merge(client, ids[winner], ids[loser])
        assert answer.json()["data"]["mergedInto"] is None
        await drain()
    expected = {"first": ids["third"], "second": ids["third"], "third": None, "fourth": None}
    for path, body in (
        ("/crm/contacts?status=MERGED", None),
        ("/crm/contacts", None),
        ("/crm/lists/1/members", None),
        ("/crm/query", {"entity": "contact", "where": "status in (MERGED, ACTIVE)"}),
        ("/crm/query", {"entity": "contact", "where": "status = MERGED", "select": ["name", "mergedInto"]}),
    ):
        answer = await (client.get(path) if body is None else client.post(path, json=body))
        rows = {row["name"]: row["mergedInto"] for row in answer.json()["data"]}
        assert rows
        assert rows == {name: into for name, into in expected.items() if name in rows}, (path, body)
    for name, contact in ids.items():
        shown = await get(client, contact)
        assert (shown["name"], shown["mergedInto"]) == ("third", None), name
    refused = await client.post("/crm/query", json={"entity": "contact", "where": "mergedInto = x"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "UNKNOWN_FIELD")
    assert "can be selected" in refused.json()["error"]["message"]


async def test_contacts_of_a_company_and_members_of_a_list_show_what_they_were_merged_into(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    contact = await make(client, "Ann")
    company = (await client.post("/crm/companies", json={"name": "Acme"})).json()["data"]["externalId"]
    await client.post(f"/crm/contacts/{contact}/companies", json={"companyId": company})
    await drain()
    (row,) = (await client.get(f"/crm/companies/{company}/contacts")).json()["data"]
    assert row["mergedInto"] is None
    assert "mergedInto" not in (await client.get(f"/crm/companies/{company}")).json()["data"]
