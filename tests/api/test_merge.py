"""Merging contacts over HTTP: what the winner takes over, how the loser answers, and what is refused."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from tests.kit import Kit, make_blind

Drain = Callable[[], Awaitable[None]]

NOBODY = "ctc_01jrfz3x8mfvv8t3n2m6k0q4sb"


async def make(client: httpx2.AsyncClient, **fields: Any) -> str:
    """Create a contact; its external id. Numbers are given in the order of the creates."""
    answer = await client.post("/crm/contacts", json=fields or {"name": "Somebody"})
    assert answer.status_code == 202, answer.text
    external_id: str = answer.json()["data"]["externalId"]
    return external_id


async def make_other(client: httpx2.AsyncClient, path: str, **fields: Any) -> str:
    """Create a company or a tag; its external id."""
    external_id: str = (await client.post(path, json=fields)).json()["data"]["externalId"]
    return external_id


async def merge(client: httpx2.AsyncClient, winner: str | int, loser: str | int) -> httpx2.Response:
    answer = await client.post(f"/crm/contacts/{winner}/merge", json={"loserId": loser})
    assert answer.status_code == 202, answer.text
    return answer


async def get(client: httpx2.AsyncClient, path: str) -> dict[str, Any]:
    answer = await client.get(path if path.startswith("/") else f"/crm/contacts/{path}")
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def to_refusal(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_merge_is_accepted_and_answers_with_the_winner(client: httpx2.AsyncClient, drain: Drain) -> None:
    winner, loser = await make(client, name="Ann"), await make(client, email="ann@example.com")
    answer = await merge(client, winner, loser)
    data, operation = answer.json()["data"], answer.json()["operation"]
    assert (data["externalId"], data["email"], data["pending"]) == (winner, "ann@example.com", True)
    assert operation["status"] == "PENDING"
    assert answer.headers["location"] == f"/crm/contacts/{winner}"
    assert answer.headers["operation-location"] == f"/crm/operations/{operation['id']}"
    assert (await client.get(f"/crm/contacts/{winner}")).json() == {"data": data, "code": "PENDING"}
    await drain()
    expected = {**data, "id": 1}
    del expected["pending"]
    assert await get(client, winner) == expected
    told = (await client.get(answer.headers["operation-location"])).json()["data"]
    assert (told["status"], told["type"], told["error"]) == ("APPLIED", "MergeContacts", None)


async def test_the_winner_keeps_its_values_and_empty_ones_are_filled(client: httpx2.AsyncClient, drain: Drain) -> None:
    winner = await make(client, name="Ann", givenName="Ann", properties={"plan": "pro", "zero": 0, "no": False})
    loser = await make(
        client,
        name="Bea Brown",
        givenName="Bea",
        familyName="Brown",
        phone="+1 415 555 0123",
        avatar="https://example.com/b.png",
        lifecycleStage="CUSTOMER",
        properties={"plan": "free", "mrr": 12.50, "zero": 1, "no": True, "é": {"a": [1]}},
    )
    await drain()
    before = await get(client, winner)
    pending = (await merge(client, 1, 2)).json()["data"]
    await drain()
    after = await get(client, winner)
    assert pending == after | {"pending": True}
    assert (after["name"], after["givenName"], after["familyName"]) == ("Ann", "Ann", "Brown")
    assert (after["phone"], after["avatar"]) == ("+1 415 555 0123", "https://example.com/b.png")
    assert (after["lifecycleStage"], after["status"], after["isIdentified"]) == ("LEAD", "ACTIVE", True)
    assert after["properties"] == {"plan": "pro", "zero": 0, "no": False, "mrr": 12.5, "é": {"a": [1]}}
    assert (after["id"], after["createdAt"], after["version"]) == (1, before["createdAt"], before["version"] + 1)
    assert after["updatedAt"] >= before["updatedAt"]
    for search in ("ann", "brown", "4155550123", "+14155550123"):
        rows = (await client.get("/crm/contacts", params={"search": search})).json()["data"]
        assert [row["externalId"] for row in rows] == [winner], search
    assert (await client.get("/crm/contacts?search=bea")).json()["data"] == []
    assert await get(client, loser) == after


async def test_an_email_is_taken_over_where_the_winner_has_none(client: httpx2.AsyncClient, drain: Drain) -> None:
    winner, loser = await make(client, name="Ann"), await make(client, email="ann@example.com")
    await drain()
    await merge(client, winner, loser)
    for _ in range(2):
        assert (await get(client, "ANN@example.com"))["externalId"] == winner
        taken = await client.post("/crm/contacts", json={"email": "ann@example.com"})
        assert to_refusal(taken) == (409, "CONTACT_EMAIL_EXISTS")
        assert taken.json()["error"]["details"]["existingExternalId"] == winner
        await drain()
    again = await client.patch(f"/crm/contacts/{loser}", json={"email": "ann@example.com"})
    assert again.status_code == 202, "it is the winner's own"


async def test_an_email_of_the_loser_is_free_where_the_winner_has_its_own(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    winner, loser = await make(client, email="ann@example.com"), await make(client, email="bea@example.com")
    await drain()
    await merge(client, winner, loser)
    assert (await client.get("/crm/contacts/bea@example.com")).status_code == 404
    third = await make(client, email="bea@example.com")
    await drain()
    assert (await get(client, "bea@example.com"))["externalId"] == third
    assert (await get(client, winner))["email"] == "ann@example.com"
    assert (await get(client, loser))["externalId"] == winner


async def test_emails_that_go_round_in_one_batch_end_where_they_belong(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    a, b = await make(client, email="a@example.com"), await make(client, email="b@example.com")
    await drain()
    await client.patch(f"/crm/contacts/{a}", json={"email": None, "name": "A"})
    await merge(client, a, b)
    await client.patch(f"/crm/contacts/{b}", json={"email": "c@example.com"})
    c = await make(client, email="b@example.com")
    await drain()
    assert (await get(client, "c@example.com"))["externalId"] == a
    assert (await get(client, "b@example.com"))["externalId"] == c
    assert (await client.get("/crm/contacts/a@example.com")).status_code == 404


async def test_the_modules_of_both_are_the_winners(own_kit: Kit) -> None:
    workspace = await own_kit.make_workspace()
    async with own_kit.open_client(await own_kit.make_key(workspace)) as client:
        winner, loser = await make(client, name="Ann"), await make(client, name="Bea")
        await own_kit.drain()
        async with own_kit.engine.database.acquire() as connection:  # no endpoint sets modules in this version
            set_modules = "UPDATE contacts SET modules = $3 WHERE workspace_id = $1 AND external_id = $2"
            await connection.execute(set_modules, workspace.id, loser, ["SUPPORT", "CRM", "EMAIL"])
        await merge(client, winner, loser)
        await own_kit.drain()
        assert (await get(client, winner))["modules"] == ["CRM", "SUPPORT", "EMAIL"]
        rows = (await client.get("/crm/contacts?module=EMAIL")).json()["data"]
        assert [row["externalId"] for row in rows] == [winner]


async def test_tags_move_and_are_counted_once(client: httpx2.AsyncClient, drain: Drain) -> None:
    winner, loser = await make(client, name="Ann"), await make(client, name="Bea")
    tags = {key: await make_other(client, "/crm/tags", key=key) for key in ("both", "theirs", "ours", "none")}
    for contact, keys in ((winner, ("ours", "both")), (loser, ("theirs", "both"))):
        for key in keys:
            await client.post(f"/crm/contacts/{contact}/tags", json={"tagId": tags[key]})
    await drain()
    assert (await get(client, f"/crm/tags/{tags['both']}"))["contactCount"] == 2
    pending = (await merge(client, winner, loser)).json()["data"]
    assert [tag["key"] for tag in pending["tags"]] == ["both", "theirs", "ours"]
    await drain()
    assert (await get(client, winner))["tags"] == pending["tags"]
    counts = {key: (await get(client, f"/crm/tags/{tag}"))["contactCount"] for key, tag in tags.items()}
    assert counts == {"both": 1, "theirs": 1, "ours": 1, "none": 0}
    removed = await client.delete(f"/crm/contacts/{loser}/tags/{tags['theirs']}")
    assert removed.status_code == 202
    await client.delete(f"/crm/tags/{tags['both']}")
    await drain()
    assert [tag["key"] for tag in (await get(client, winner))["tags"]] == ["ours"]


async def associate(client: httpx2.AsyncClient, contact: str, company: str, **fields: Any) -> None:
    answer = await client.post(f"/crm/contacts/{contact}/companies", json={"companyId": company, **fields})
    assert answer.status_code == 202, answer.text


async def list_links(client: httpx2.AsyncClient, contact: str) -> list[tuple[Any, ...]]:
    rows = (await client.get(f"/crm/contacts/{contact}/companies")).json()["data"]
    return [(row["name"], row["role"], row["isPrimary"], row["properties"]) for row in rows]


async def test_companies_move_and_of_one_that_both_have_empty_values_are_filled(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    winner, loser = await make(client, name="Ann"), await make(client, name="Bea")
    both, same, theirs = [await make_other(client, "/crm/companies", name=name) for name in ("Both", "Same", "Theirs")]
    await associate(client, winner, both, properties={"a": 1})
    await associate(client, winner, same, role="CTO")
    await associate(client, loser, both, role="Buyer", properties={"a": 2, "b": 3})
    await associate(client, loser, same, role="CEO")
    await associate(client, loser, theirs, role="Owner", properties={"c": None, "d": "x"})
    await drain()
    pending = (await merge(client, winner, loser)).json()["data"]
    await drain()
    assert await list_links(client, winner) == [
        ("Both", "Buyer", False, {"a": 1, "b": 3}),
        ("Same", "CTO", False, {}),
        ("Theirs", "Owner", False, {"d": "x"}),
    ]
    assert (await get(client, winner))["companies"] == pending["companies"]
    for company in (both, same, theirs):
        assert (await get(client, f"/crm/companies/{company}"))["contactCount"] == 1
        rows = (await client.get(f"/crm/companies/{company}/contacts")).json()
        assert ([row["externalId"] for row in rows["data"]], rows["meta"]["total"]) == ([winner], 1)
    assert await list_links(client, loser) == await list_links(client, winner)


@pytest.mark.parametrize(
    ("winners", "losers", "primary"),
    [
        ("A", "B", "A"),
        (None, "B", "B"),
        ("A", None, "A"),
        (None, None, None),
        (None, "A", "A"),
        ("B", "A", "B"),
        ("A", "A", "A"),
    ],
)
@pytest.mark.parametrize("batches", [1, 2])
async def test_the_winners_primary_company_stays_else_the_losers(
    client: httpx2.AsyncClient, drain: Drain, winners: str | None, losers: str | None, primary: str | None, batches: int
) -> None:
    winner, loser = await make(client, name="Ann"), await make(client, name="Bea")
    companies = {name: await make_other(client, "/crm/companies", name=name) for name in ("A", "B")}
    for contact, chosen in ((winner, winners), (loser, losers)):
        for name in {"A", chosen} - {None}:
            await associate(client, contact, companies[str(name)], isPrimary=name == chosen)
    if batches == 2:
        await drain()
    await merge(client, winner, loser)
    await drain()
    links = await list_links(client, winner)
    assert [name for name, _, is_primary, _ in links if is_primary] == ([primary] if primary else [])
    assert primary is None or links[0][0] == primary
    assert {name for name, *_ in links} == {"A", winners, losers} - {None}


async def test_activities_move_and_what_is_counted_of_them(client: httpx2.AsyncClient, drain: Drain) -> None:
    winner, loser = await make(client, name="Ann"), await make(client, name="Bea")
    logged = []
    for contact, day in ((winner, 2), (loser, 3), (loser, 1)):
        body = {"type": "NOTE", "content": str(day), "occurredAt": f"2026-04-0{day}T00:00:00Z"}
        logged.append((await client.post(f"/crm/contacts/{contact}/activities", json=body)).headers["location"])
        await drain()
    pending = (await merge(client, winner, loser)).json()["data"]
    late = await client.post(
        f"/crm/contacts/{loser}/activities", json={"type": "CALL", "occurredAt": "2026-01-01T00:00Z"}
    )
    assert (late.status_code, late.json()["data"]["contactId"]) == (202, 1)
    await drain()
    after = await get(client, winner)
    assert (pending["activityCount"], after["activityCount"]) == (3, 4)
    assert pending["lastActivityAt"] == after["lastActivityAt"] == "2026-04-03T00:00:00.000Z"
    for contact in (winner, loser, "1", "2"):
        answer = (await client.get(f"/crm/contacts/{contact}/activities?count=exact")).json()
        assert ([row["content"] for row in answer["data"]], answer["meta"]["total"]) == (["3", "2", "1", None], 4)
        assert {row["contactId"] for row in answer["data"]} == {1}
    for location in logged:
        assert (await get(client, location))["contactId"] == 1


async def test_the_loser_reads_as_the_winner(client: httpx2.AsyncClient, drain: Drain) -> None:
    winner, loser = await make(client, name="Ann"), await make(client, name="Bea")
    await drain()
    await merge(client, winner, loser)
    for _ in range(2):
        expected = await client.get(f"/crm/contacts/{winner}")
        for form in (loser, "2"):
            answer = await client.get(f"/crm/contacts/{form}")
            assert (answer.status_code, answer.json()) == (200, expected.json())
            assert answer.headers["content-location"] == f"/crm/contacts/{winner}"
            assert answer.headers["etag"] == '"2"'
            for path in ("summary", "sync-status", "companies"):
                seen, wanted = [await client.get(f"/crm/contacts/{one}/{path}") for one in (form, winner)]
                assert (seen.status_code, seen.json()) == (200, wanted.json())
        await drain()


async def test_lists_show_the_loser_only_when_asked_for_merged_ones(client: httpx2.AsyncClient, drain: Drain) -> None:
    winner, loser = await make(client, name="Ann"), await make(client, name="Bea", email="bea@example.com")
    await drain()
    await merge(client, winner, loser)
    await drain()
    for query, expected in (
        ("", [winner]),
        ("status=ACTIVE", [winner]),
        ("status=MERGED", [loser]),
        ("status=DELETED", []),
        ("status=MERGED&lifecycleStage=LEAD", [loser]),
        ("search=bea", [winner]),
        ("status=MERGED&search=bea", [loser]),
    ):
        for count in ("default", "exact"):
            answer = (await client.get(f"/crm/contacts?{query}&count={count}".replace("?&", "?"))).json()
            assert [row["externalId"] for row in answer["data"]] == expected, query
            assert answer["meta"]["total"] == len(expected), query
    row = (await client.get("/crm/contacts?status=MERGED")).json()["data"][0]
    assert (row["status"], row["name"], row["tags"], row["activityCount"]) == ("MERGED", "Bea", [], 0)
    found = (await client.get("/crm/contacts/search?q=bea")).json()["data"]
    assert [row["externalId"] for row in found] == [winner]


@pytest.mark.parametrize("applied", [True, False])
async def test_a_write_to_the_loser_lands_on_the_winner(
    client: httpx2.AsyncClient, drain: Drain, applied: bool
) -> None:
    winner, loser = await make(client, name="Ann"), await make(client, name="Bea")
    tag = await make_other(client, "/crm/tags", key="vip")
    company = await make_other(client, "/crm/companies", name="Acme")
    await drain()
    await merge(client, winner, loser)
    if applied:
        await drain()
    home = f"/crm/contacts/{winner}"
    for method, path, body, location in (
        ("PATCH", "", {"name": "Cleo", "properties": {"a": 1}}, home),
        ("POST", "/tags", {"tagId": tag}, home),
        ("POST", "/companies", {"companyId": company, "role": "CTO"}, home),
        ("PATCH", f"/companies/{company}", {"isPrimary": True}, home),
        ("POST", "/activities", {"type": "NOTE"}, None),
    ):
        answer = await client.request(method, f"/crm/contacts/{loser}{path}", json=body)
        assert answer.status_code == 202, answer.text
        assert location in (None, answer.headers["location"])
        if applied:
            await drain()
    seen = await get(client, loser)
    await drain()
    after = await get(client, winner)
    assert {**seen, "pending": True} == {**after, "pending": True} | {"tags": seen["tags"]}
    assert (after["name"], after["properties"], after["activityCount"], after["version"]) == ("Cleo", {"a": 1}, 1, 3)
    assert [tag["key"] for tag in after["tags"]] == ["vip"]
    assert await list_links(client, loser) == [("Acme", "CTO", True, {})]
    merged = (await client.get("/crm/contacts?status=MERGED")).json()["data"]
    assert [(row["name"], row["version"]) for row in merged] == [("Bea", 2)]


@pytest.mark.parametrize("applied", [True, False])
async def test_a_merged_contact_is_not_deleted_or_restored_and_the_refusal_names_the_winner(
    client: httpx2.AsyncClient, drain: Drain, applied: bool
) -> None:
    winner, loser = await make(client, email="ann@example.com"), await make(client, name="Bea")
    await drain()
    await merge(client, winner, loser)
    if applied:
        await drain()
    for _ in range(2):
        for ref in (loser, "2"):
            deleted = await client.delete(f"/crm/contacts/{ref}", headers={"If-Match": '"2"'})
            restored = await client.post(f"/crm/contacts/{ref}/restore")
            for answer in (deleted, restored):
                assert to_refusal(answer) == (400, "INVALID_REQUEST")
                assert answer.json()["error"]["details"] == {"status": "MERGED", "mergedInto": winner}
                assert winner in answer.json()["error"]["message"]
        await client.delete(f"/crm/contacts/{winner}")
    await drain()
    assert (await get(client, loser))["status"] == "DELETED"
    assert (await client.post(f"/crm/contacts/{winner}/restore")).status_code == 202
    await drain()
    assert (await get(client, "ann@example.com"))["externalId"] == winner


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("waits", [True, False])
async def test_a_write_on_a_merged_contact_names_the_one_that_it_lands_on(
    client: httpx2.AsyncClient, drain: Drain, living_writer: None, applied: bool, waits: bool
) -> None:
    winner, loser = await make(client, email="ann@example.com"), await make(client, name="Bea")
    tag = await make_other(client, "/crm/tags", key="vip")
    company = await make_other(client, "/crm/companies", name="Acme")
    await drain()
    await merge(client, winner, loser)
    if applied:
        await drain()
    headers = {"Prefer": "wait=10"} if waits else {}
    for ref in (loser, "2", winner):
        path = f"/crm/contacts/{ref}"
        for method, where, body in (
            ("PATCH", path, {"givenName": ref}),
            ("POST", f"{path}/tags", {"tagId": tag}),
            ("POST", f"{path}/activities", {"type": "NOTE"}),
            ("POST", f"{path}/companies", {"companyId": company}),
            ("DELETE", f"{path}/companies/{company}", None),
        ):
            answer = await client.request(method, where, json=body, headers=headers)
            assert answer.status_code in (200, 201, 202), answer.text
            landed = f"/crm/contacts/{winner}" if ref != winner else None
            assert answer.headers.get("content-location") == landed


async def test_writes_that_did_not_know_of_the_merge_land_on_the_winner(
    own_kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with own_kit.open_client(await own_kit.make_key(await own_kit.make_workspace())) as client:
        winner, loser = await make(client, name="Ann"), await make(client, name="Bea")
        tag = await make_other(client, "/crm/tags", key="vip")
        await own_kit.drain()
        await merge(client, winner, loser)
        with monkeypatch.context() as blind:
            make_blind(blind, own_kit.engine, "find_record")
            activity = await client.post(f"/crm/contacts/{loser}/activities", json={"type": "NOTE"})
            patched = await client.patch(f"/crm/contacts/{loser}", json={"givenName": "Bea"})
            await client.post(f"/crm/contacts/{loser}/tags", json={"tagId": tag})
            unaware = [
                await client.delete(f"/crm/contacts/{loser}"),
                await client.post(f"/crm/contacts/{loser}/merge", json={"loserId": winner}),
            ]
        assert patched.headers["location"] == f"/crm/contacts/{loser}"
        await own_kit.drain()
        after = await get(client, winner)
        assert (after["activityCount"], after["givenName"], [one["key"] for one in after["tags"]]) == (
            1,
            "Bea",
            ["vip"],
        )
        assert (await get(client, activity.headers["location"]))["contactId"] == 1
        assert (await get(client, f"/crm/tags/{tag}"))["contactCount"] == 1
        for answer in unaware:
            ended = (await client.get(answer.headers["operation-location"])).json()["data"]
            assert (ended["status"], ended["error"]["code"]) == ("REJECTED", "INVALID_REQUEST")
            assert ended["error"]["details"] == {"status": "MERGED", "mergedInto": winner}


async def test_what_cannot_be_merged_is_refused(client: httpx2.AsyncClient, drain: Drain) -> None:
    ann, bea, gone = [await make(client, email=f"{name}@example.com") for name in ("ann", "bea", "gone")]
    cleo = await make(client, name="Cleo")
    await drain()
    await merge(client, ann, bea)
    await client.delete(f"/crm/contacts/{gone}")
    for _ in range(2):
        for winner, loser in (
            (ann, ann),
            (ann, 1),
            ("ann@example.com", "1"),
            (ann, bea),
            (bea, ann),
            (bea, bea),
            (bea, cleo),
            (cleo, bea),
            (gone, cleo),
            (cleo, gone),
            (gone, gone),
        ):
            answer = await client.post(f"/crm/contacts/{winner}/merge", json={"loserId": loser})
            assert to_refusal(answer) == (400, "INVALID_REQUEST"), (winner, loser)
        merged = await client.post(f"/crm/contacts/{cleo}/merge", json={"loserId": bea})
        assert merged.json()["error"]["details"] == {"status": "MERGED", "mergedInto": ann}
        assert ann in merged.json()["error"]["message"]
        await drain()
    assert (await get(client, ann))["version"] == 2
    assert (await get(client, cleo))["version"] == 1


@pytest.mark.parametrize(
    ("loser", "status", "code"),
    [
        (7, 404, "NOT_FOUND"),
        ("7", 404, "NOT_FOUND"),
        (10**30, 404, "NOT_FOUND"),
        ("9" * 5000, 404, "NOT_FOUND"),
        (NOBODY, 404, "NOT_FOUND"),
        (0, 400, "INVALID_ID"),
        (-1, 400, "INVALID_ID"),
        ("", 400, "INVALID_ID"),
        ("abc", 400, "INVALID_ID"),
        ("ctc_1", 400, "INVALID_ID"),
        ("CTC_01JRFZ3X8MFVV8T3N2M6K0Q4SB", 400, "INVALID_ID"),
        ("cmp_01jrfz3x8mfvv8t3n2m6k0q4sb", 400, "INVALID_ID"),
        ("ann@example.com", 400, "INVALID_ID"),
        ("\N{FULLWIDTH DIGIT ONE}", 400, "INVALID_ID"),
        ("1' OR '1'='1", 400, "INVALID_ID"),
        ("x" * 10_000, 400, "INVALID_ID"),
        ("1\u0000", 422, "INVALID_FIELD"),
        (True, 422, "INVALID_FIELD"),
        (None, 422, "INVALID_FIELD"),
        (1.5, 422, "INVALID_FIELD"),
        ([2], 422, "INVALID_FIELD"),
        ({"id": 2}, 422, "INVALID_FIELD"),
    ],
)
async def test_a_loser_that_is_none_is_refused(
    client: httpx2.AsyncClient, drain: Drain, loser: Any, status: int, code: str
) -> None:
    winner = await make(client, email="ann@example.com")
    for _ in range(2):
        answer = await client.post(f"/crm/contacts/{winner}/merge", json={"loserId": loser})
        assert to_refusal(answer) == (status, code), answer.text[:500]
        assert len(answer.content) < 2000
        await drain()
