"""Dynamic lists whose filters look beyond their records: exact after each command, and yet many commands a batch."""

import random
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest

from kith.engine.admin.replay import replay_check
from kith.engine.apply import bulk_effects as aftermath
from kith.model.commands import DeleteContact
from kith.model.workspaces import Workspace
from tests.api.test_dynamic_lists import CRITERIA, act, list_members, make_list, one
from tests.engine.acts import Acts
from tests.engine.test_batches import apply_counting
from tests.kit import Kit

Json = dict[str, Any]
CALLS: Json = {"type": "activity", "activityType": "CALL", "operator": "gte", "value": 1}
CALLED: Json = {"logic": "AND", "conditions": [CALLS]}
CALLED_LATELY: Json = {"logic": "AND", "conditions": [CALLS | {"since": "-7d"}]}


@pytest.fixture
async def own_workspace(own_kit: Kit) -> Workspace:
    return await own_kit.make_workspace()


@pytest.fixture
async def own_client(own_kit: Kit, own_workspace: Workspace) -> AsyncIterator[httpx2.AsyncClient]:
    async with own_kit.open_client(await own_kit.make_key(own_workspace)) as opened:
        yield opened


async def understand(client: httpx2.AsyncClient, entity: str, where: str) -> Json:
    """The filter as JSON."""
    answer = await client.post("/crm/query", json={"entity": entity.lower(), "where": where, "explain": True})
    assert answer.status_code == 200, answer.text
    criteria: Json = answer.json()["data"]["ast"]
    return criteria


async def list_told(kit: Kit, workspace: Workspace) -> list[tuple[str, str]]:
    """(type, resource or record) of all events, in order; no number is left out."""
    rows = await kit.engine.database.fetch(
        "SELECT type, sequence, data -> 'id' AS id FROM events WHERE workspace_id = $1 ORDER BY sequence", workspace.id
    )
    assert [row["sequence"] for row in rows] == [*range(1, len(rows) + 1)]
    return [(row["type"], row["id"]) for row in rows]


async def test_commands_on_other_records_share_a_batch(own_kit: Kit, own_client: httpx2.AsyncClient) -> None:
    for criteria in (one("company.industry", "neq", "SaaS"), CALLED):
        await make_list(own_client, criteria)
    await make_list(own_client, one("contactCount", "gte", 1), "COMPANY")
    await own_kit.drain()
    counted = []
    for count in (2, 40):
        for _ in range(count):
            await own_client.post("/crm/contacts", json={"name": "Ada"})
        counted.append(len(await apply_counting(own_kit)))
    assert counted[0] == counted[1]
    for number in range(1, 41):
        await own_client.post(f"/crm/contacts/{number}/activities", json={"type": "CALL"})
    assert len(await apply_counting(own_kit)) <= counted[0] + 2


async def test_each_command_is_followed_by_what_it_did_to_the_lists(
    own_kit: Kit, own_client: httpx2.AsyncClient, own_workspace: Workspace
) -> None:
    await make_list(own_client, CALLED_LATELY)
    for _ in range(2):
        await own_client.post("/crm/contacts", json={"name": "Ada"})
    await own_kit.drain()
    before = len(await list_told(own_kit, own_workspace))
    for body in ({"type": "CALL"}, {"type": "CALL", "occurredAt": "2001-01-01T00:00:00Z"}):
        for number in (1, 2):
            await own_client.post(f"/crm/contacts/{number}/activities", json=body)
    await own_client.delete("/crm/contacts/1")
    await own_kit.drain()
    told = [event for event in (await list_told(own_kit, own_workspace))[before:] if event[0] != "activity.created"]
    assert told == [("list.entered", "1"), ("list.entered", "2"), ("contact.deleted", "1"), ("list.left", "1")]


async def test_one_who_comes_and_goes_between_two_looks_is_told_of(
    own_kit: Kit, own_client: httpx2.AsyncClient, own_workspace: Workspace
) -> None:
    await make_list(own_client, one("company.industry", "eq", "SaaS"))
    await own_client.post("/crm/companies", json={"name": "Acme", "industry": "SaaS"})
    await own_client.post("/crm/contacts", json={"name": "Ada"})
    await own_kit.drain()
    before = len(await list_told(own_kit, own_workspace))
    await own_client.post("/crm/contacts/1/companies", json={"companyId": 1})
    await own_client.patch("/crm/companies/1", json={"industry": "Toys"})
    await own_client.patch("/crm/companies/1", json={"industry": "SaaS"})
    await own_client.delete("/crm/contacts/1/companies/1")
    await own_kit.drain()
    told = [kind for kind, _ in (await list_told(own_kit, own_workspace))[before:]]
    assert told == [
        *("association.created", "list.entered"),
        *("company.updated", "list.left"),
        *("company.updated", "list.entered"),
        *("association.removed", "list.left"),
    ]


CHANGES: list[tuple[str, str, tuple[str, str, Json | None]]] = [
    ("company.industry = SaaS", "industry = SaaS", ("PATCH", "", {"industry": "SaaS"})),
    ("company.name = Acme", "name = Acme", ("DELETE", "", None)),
    ("company.tags has any (vip)", "tags has any (vip)", ("POST", "/tags", {"tagId": 1})),
]


@pytest.mark.parametrize("turned", [False, True], ids=["contacts first", "companies first"])
@pytest.mark.parametrize(("of_contacts", "of_companies", "change"), CHANGES, ids=["update", "delete", "tag"])
async def test_one_change_moves_members_of_lists_of_both_kinds(
    own_kit: Kit,
    own_client: httpx2.AsyncClient,
    own_workspace: Workspace,
    of_contacts: str,
    of_companies: str,
    change: tuple[str, str, Json | None],
    turned: bool,
) -> None:
    await own_client.post("/crm/tags", json={"key": "vip"})
    await own_kit.drain()
    lists = [("CONTACT", of_contacts), ("COMPANY", f"contactCount >= 1 AND {of_companies}"), ("CONTACT", of_contacts)]
    for entity, where in reversed(lists[:2]) if turned else lists:
        await make_list(own_client, await understand(own_client, entity, where), entity)
    await own_client.post("/crm/contacts", json={"name": "Ada"})
    await own_client.post("/crm/companies", json={"name": "Acme"})
    await own_kit.drain()
    await own_client.post("/crm/contacts/1/companies", json={"companyId": 1})
    await own_kit.drain()
    before = len(await list_told(own_kit, own_workspace))
    method, path, body = change
    await own_client.request(method, f"/crm/companies/1{path}", json=body)
    await own_kit.drain()
    told = [kind for kind, _ in (await list_told(own_kit, own_workspace))[before:]]
    assert told[0] in ("company.updated", "company.deleted", "tag.assigned")
    assert told[1:] == ["list.left" if method == "DELETE" else "list.entered"] * (2 if turned else 3)


COUNTED = [
    *("company.contactCount >= 2", "company.contactCount = 1", "company.contactCount != 2"),
    *("NOT company.contactCount = 2", "company(tags has any (vip) AND contactCount >= 2)"),
]


async def test_all_contacts_of_a_company_enter_and_leave_by_how_many_they_are(
    own_kit: Kit, own_client: httpx2.AsyncClient
) -> None:
    await own_client.post("/crm/tags", json={"key": "vip"})
    await own_kit.drain()
    paths = [await make_list(own_client, await understand(own_client, "CONTACT", where)) for where in COUNTED]
    for _ in range(3):
        await own_client.post("/crm/contacts", json={"name": "Ada"})
    await own_client.post("/crm/companies", json={"name": "Acme"})
    await own_kit.drain()
    await own_client.post("/crm/companies/1/tags", json={"tagId": 1})
    acts: list[tuple[str, str, Json | None, int]] = [
        ("POST", "/crm/contacts/1/companies", {"companyId": 1}, 0),
        ("POST", "/crm/contacts/2/companies", {"companyId": 1}, 2),
        ("DELETE", "/crm/contacts/2/companies/1", None, 0),
        ("POST", "/crm/contacts/2/companies", {"companyId": 1}, 2),
        ("DELETE", "/crm/contacts/2", None, 0),
        ("POST", "/crm/contacts/2/restore", None, 2),
        ("PATCH", "/crm/contacts/2", {"status": "ARCHIVED"}, 2),
        ("POST", "/crm/contacts/3/companies", {"companyId": 1}, 3),
        ("POST", "/crm/contacts/3/merge", {"loserId": 2}, 2),
        ("POST", "/crm/contacts/1/merge", {"loserId": 3}, 0),
    ]
    for method, path, body, several in acts:
        await own_client.request(method, path, json=body)
        await own_kit.drain()
        members = [await list_members(own_client, path) for path in paths]
        for where, found in zip(COUNTED, members, strict=True):
            asked = {"entity": "contact", "where": where, "sort": "id"}
            rows = (await own_client.post("/crm/query", json=asked)).json()["data"]
            assert found == [row["id"] for row in rows], (method, path, where)
        assert len(members[0]) == len(members[4]) == several


async def test_one_who_comes_and_goes_by_what_others_do_is_told_of(
    own_kit: Kit, own_client: httpx2.AsyncClient, own_workspace: Workspace
) -> None:
    await make_list(own_client, one("company.contactCount", "eq", 2))
    await own_client.post("/crm/companies", json={"name": "Acme"})
    for _ in range(3):
        await own_client.post("/crm/contacts", json={"name": "Ada"})
    await own_kit.drain()
    before = len(await list_told(own_kit, own_workspace))
    for number in (1, 2, 3):
        await own_client.post(f"/crm/contacts/{number}/companies", json={"companyId": 1})
    await own_kit.drain()
    told = (await list_told(own_kit, own_workspace))[before:]
    assert [event for event in told if event[0] != "association.created"] == [
        *(("list.entered", "2"), ("list.entered", "1")),
        *(("list.left", "1"), ("list.left", "2")),
    ]


async def test_what_a_change_of_a_company_does_is_told_before_a_refusal_behind_it(
    own_kit: Kit, own_client: httpx2.AsyncClient, own_workspace: Workspace
) -> None:
    await make_list(own_client, one("company.industry", "eq", "SaaS"))
    await own_client.post("/crm/companies", json={"name": "Acme"})
    await own_client.post("/crm/contacts", json={"name": "Ada"})
    await own_kit.drain()
    await own_client.post("/crm/contacts/1/companies", json={"companyId": 1})
    await own_kit.drain()
    before = len(await list_told(own_kit, own_workspace))
    await own_client.patch("/crm/companies/1", json={"industry": "SaaS"})
    acts = Acts(own_kit.engine, own_workspace)
    await acts.append(acts.make_envelope(DeleteContact(contact_id="ctc_never")))
    await own_kit.drain()
    told = [kind for kind, _ in (await list_told(own_kit, own_workspace))[before:]]
    assert told == ["company.updated", "list.entered", "operation.rejected"]


@pytest.mark.parametrize(
    ("criteria", "path", "named", "batches"),
    [
        (one("company.industry", "eq", "SaaS"), "/crm/contacts/{}/companies", "companyId", 1),
        (one("company.contactCount", "gte", 2), "/crm/contacts/{}/companies", "companyId", 4),
        (CALLED, "/crm/companies/{}/tags", "tagId", 1),
        (one("company.contactCount", "gte", 2), "/crm/companies/{}/tags", "tagId", 4),
    ],
)
async def test_a_change_stands_alone_where_it_reaches_contacts_beyond_its_own(
    own_kit: Kit,
    own_client: httpx2.AsyncClient,
    own_workspace: Workspace,
    criteria: Json,
    path: str,
    named: str,
    batches: int,
) -> None:
    await make_list(own_client, criteria)
    for n in range(4):
        await own_client.post("/crm/contacts", json={"name": "Ada"})
        await own_client.post("/crm/companies", json={"name": "Acme"})
        await own_client.post("/crm/tags", json={"key": f"tag{n}"})
    await own_kit.drain()
    for number in range(1, 5):
        await own_client.post(path.format(number), json={named: number})
    await own_kit.drain()
    counted = await own_kit.engine.database.fetchval(
        "SELECT count(DISTINCT xmin::text) FROM operations WHERE workspace_id = $1 AND type IN ('AssociateCompany',"
        " 'AssignTag')",
        own_workspace.id,
    )
    assert counted == batches


async def test_the_contacts_of_a_company_are_looked_at_in_windows_however_many(
    own_kit: Kit, own_client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await make_list(own_client, one("company.industry", "eq", "SaaS"))
    await own_client.post("/crm/companies", json={"name": "Acme"})
    for _ in range(7):
        await own_client.post("/crm/contacts", json={"name": "Ada"})
    await own_kit.drain()
    for number in (1, 2, 4, 5, 7):
        await own_client.post(f"/crm/contacts/{number}/companies", json={"companyId": 1})
    await own_kit.drain()
    evaluate, windows = aftermath.evaluate_list, []

    async def note(connection: Any, shard: int, one: Any, at: Any, which: Any) -> Any:
        windows.append((which.after, which.until, which.related))
        return await evaluate(connection, shard, one, at, which)

    monkeypatch.setattr(aftermath, "evaluate_list", note)
    monkeypatch.setattr(aftermath, "WINDOW_RELATED", 3)
    await own_client.patch("/crm/companies/1", json={"industry": "SaaS"})
    await own_kit.drain()
    assert await list_members(own_client, path) == [1, 2, 4, 5, 7]
    assert windows == [(0, 3, (1,)), (3, 6, (1,)), (6, 9, (1,))]


@pytest.mark.parametrize("seed", range(3))
async def test_the_log_gives_the_same_however_it_is_cut_into_batches(
    own_kit: Kit, own_client: httpx2.AsyncClient, seed: int
) -> None:
    chance = random.Random(seed)
    for key in ("a", "b"):
        await own_client.post("/crm/tags", json={"key": key})
    await own_kit.drain()
    for entity, where in CRITERIA[2:]:
        if "mrr" in where:
            continue
        await make_list(own_client, await understand(own_client, entity, where), entity)
    await make_list(own_client, CALLED_LATELY)
    for n in range(4):
        await own_client.post("/crm/contacts", json={"name": f"n{n}"})
        await own_client.post("/crm/companies", json={"name": f"c{n}", "industry": chance.choice(("SaaS", "Toys"))})
    await own_kit.drain()
    for _ in range(60):
        await act(own_client, chance)
    await own_kit.drain()
    for size in (1, 5, 500):
        report = await replay_check(
            own_kit.url, msgspec.structs.replace(own_kit.engine.settings, batch_commands_max=size)
        )
        assert report.differences == [], f"in batches of {size}"
