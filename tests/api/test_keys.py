"""Keys over HTTP: who is let in, and who is told what is missing."""

import json
import shlex
from datetime import datetime, timedelta

import httpx2
import pytest

from kith.clock import FixedClock
from kith.engine.admin.keys import revoke_key
from kith.model.workspaces import Workspace
from tests.kit import Kit

MADE_UP = "kith_srv_" + "a" * 43


def read_error(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize("path", ["/crm/contacts", "/crm/contacts/1", "/crm", "/crm/", "/crm/nothing/here", "/crm?x=1"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_without_a_key_nothing_else_is_said(kit: Kit, method: str, path: str) -> None:
    async with kit.open_client() as stranger:
        answer = await stranger.request(method, path, content=b"{not json")
    assert read_error(answer) == (401, "UNAUTHORIZED")
    assert answer.headers["www-authenticate"] == 'Bearer realm="kith"'
    assert "x-ratelimit-limit" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer  "},
        {"Authorization": "Basic YTpi"},
        {"Authorization": MADE_UP},
        {"X-API-Key": ""},
    ],
)
async def test_what_is_no_key_is_no_key(kit: Kit, headers: dict[str, str]) -> None:
    async with kit.open_client() as stranger:
        assert read_error(await stranger.get("/crm/contacts", headers=headers)) == (401, "UNAUTHORIZED")


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"X-API-Key": MADE_UP[:-1]}, "it has 51 characters, and a key has 52"),
        ({"Authorization": f"Bearer {MADE_UP}x"}, "it has 53 characters, and a key has 52"),
        ({"X-API-Key": f"Bearer {MADE_UP}"}, "X-API-Key takes the key alone"),
        ({"X-API-Key": MADE_UP[:-1] + "!"}, "letters, digits, - and _ only"),
        ({"X-API-Key": "pat-eu1"}, "keys begin with kith_srv_"),
    ],
)
async def test_what_is_wrong_with_the_form_of_a_key_is_told(kit: Kit, headers: dict[str, str], reason: str) -> None:
    async with kit.open_client() as stranger:
        message = (await stranger.get("/crm/contacts", headers=headers)).json()["error"]["message"]
    assert reason in message and MADE_UP[9:30] not in message


@pytest.mark.parametrize("key", [MADE_UP, "x", "kith_srv_", MADE_UP + "a", "kith_abc_" + "a" * 43, "\x7f", "é"])
async def test_a_key_that_nobody_made_is_invalid(kit: Kit, key: str) -> None:
    async with kit.open_client() as stranger:
        for name, value in (("Authorization", f"Bearer {key}"), ("X-API-Key", key)):
            answer = await stranger.get("/crm/contacts", headers={name: value.encode()})  # type: ignore[arg-type]
            assert read_error(answer) == (401, "INVALID_API_KEY")
            assert answer.headers["www-authenticate"] == 'Bearer realm="kith", error="invalid_token"'
            assert MADE_UP not in answer.text


async def test_a_key_stands_in_either_header(kit: Kit, workspace: Workspace) -> None:
    key = await kit.make_key(workspace)
    async with kit.open_client() as client:
        for headers in (
            {"Authorization": f"Bearer {key}"},
            {"Authorization": f"bearer   {key} "},
            {"Authorization": f"Bearer\t{key}"},
            {"Authorization": f"Bearer {key}", "X-API-Key": f"{key} "},
            {"X-API-Key": key},
            {"Authorization": "Basic YTpi", "X-API-Key": key},
        ):
            assert (await client.get("/crm/contacts", headers=headers)).status_code == 200


async def test_of_two_keys_none_is_chosen(kit: Kit, workspace: Workspace) -> None:
    key = await kit.make_key(workspace)
    async with kit.open_client(key) as client:
        for other in (MADE_UP, await kit.make_key(workspace)):
            answer = await client.get("/crm/contacts", headers={"X-API-Key": other})
            assert read_error(answer) == (400, "INVALID_REQUEST")
            assert other not in answer.text and key not in answer.text


async def test_a_key_of_another_kind_is_forbidden(kit: Kit, workspace: Workspace) -> None:
    for kind in ("sending", "public"):
        async with kit.open_client(await kit.make_key(workspace, kind=kind)) as client:
            for path in ("/crm/contacts", "/crm/nothing"):
                answer = await client.get(path)
                assert read_error(answer) == (403, "FORBIDDEN")
                assert kind in answer.json()["error"]["message"]
                assert "x-ratelimit-limit" in answer.headers


async def test_a_missing_scope_is_named(kit: Kit, workspace: Workspace) -> None:
    async with (
        kit.open_client(await kit.make_key(workspace, ["crm:read"])) as reader,
        kit.open_client(await kit.make_key(workspace, ["crm:write"])) as writer,
    ):
        created = await writer.post("/crm/contacts", json={"name": "A"})
        assert created.status_code == 202
        assert (await reader.get(created.headers["location"])).status_code == 202
        for answer, scope in (
            (await reader.post("/crm/contacts", json={"name": "A"}), "crm:write"),
            (await reader.delete("/crm/contacts/1"), "crm:write"),
            (await writer.post("/crm/properties", json={}), "crm:admin"),
        ):
            assert read_error(answer) == (403, "FORBIDDEN")
            assert answer.json()["error"]["details"]["scope"] == scope
            hint = f"`kith keys create --workspace {shlex.quote(workspace.name)} --scope {scope}`"
            assert hint in answer.json()["error"]["message"]
            assert f'scope="{scope}"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [("crm:read", [200, 403, 403]), ("crm:write", [200, 202, 403]), ("crm:admin", [200, 202, 202])],
)
async def test_a_wider_scope_includes_the_narrower_ones(
    kit: Kit, workspace: Workspace, scope: str, allowed: list[int]
) -> None:
    definition = {"key": "a", "entity": "CONTACT", "type": "TEXT"}
    async with kit.open_client(await kit.make_key(workspace, [scope])) as client:
        answers = [
            await client.get("/crm/contacts"),
            await client.post("/crm/contacts", json={"name": "A"}),
            await client.post("/crm/properties", json=definition),
        ]
    assert [answer.status_code for answer in answers] == allowed


async def test_operations_and_events_show_the_key_that_sent_a_write(kit: Kit, workspace: Workspace) -> None:
    async with (
        kit.open_client(await kit.make_key(workspace, name="Website")) as website,
        kit.open_client(await kit.make_key(workspace)) as nameless,
    ):
        operations = []
        for client in (website, nameless):
            made = await client.post("/crm/contacts", json={"name": "A"})
            operations.append(made.headers["operation-location"])
        rejected = await website.post("/crm/contacts", json={"email": "a@example.com"})
        pending = [(await website.get(path)).json()["data"]["actor"] for path in operations]
        await kit.drain()
        applied = [(await website.get(path)).json()["data"]["actor"] for path in operations]
    assert rejected.status_code == 202
    numbers = [actor["id"] for actor in applied]
    assert applied == pending
    assert applied == [
        {"kind": "key", "id": numbers[0], "name": "Website"},
        {"kind": "key", "id": numbers[1], "name": None},
    ]
    rows = await kit.engine.database.fetch(
        "SELECT actor::text AS actor FROM events WHERE workspace_id = $1 ORDER BY sequence", workspace.id
    )
    assert [json.loads(row["actor"]) for row in rows] == [*applied, applied[0]]


async def test_the_last_use_of_a_key_is_saved_once_a_minute(timed_kit: Kit, clock: FixedClock) -> None:
    workspace, uses = await timed_kit.make_workspace(), timed_kit.engine.key_uses
    key = await timed_kit.make_key(workspace)

    async def use() -> datetime | None:
        async with timed_kit.open_client(key) as client:
            assert (await client.get("/crm/contacts")).status_code == 200
        await uses.save()
        used: datetime | None = await timed_kit.engine.database.fetchval("SELECT last_used_at FROM api_keys")
        return used

    first = clock.now()
    assert await use() == first
    clock.advance(59)
    assert await use() == first
    clock.advance(6)
    assert await use() == first + timedelta(seconds=65)


async def test_a_refused_use_of_a_key_is_no_use(timed_kit: Kit, clock: FixedClock) -> None:
    workspace = await timed_kit.make_workspace()
    keys = [await timed_kit.make_key(workspace), await timed_kit.make_key(workspace, expires_in=timedelta(seconds=1))]
    async with timed_kit.engine.database.acquire() as connection:
        await revoke_key(connection, clock, 1)
    clock.advance(1)
    for key in keys:
        async with timed_kit.open_client(key) as client:
            assert (await client.get("/crm/contacts")).status_code == 401
    await timed_kit.engine.key_uses.save()
    rows = await timed_kit.engine.database.fetch("SELECT last_used_at FROM api_keys")
    assert [row["last_used_at"] for row in rows] == [None, None]


async def test_a_key_expires_to_the_millisecond(timed_kit: Kit, clock: FixedClock) -> None:
    workspace = await timed_kit.make_workspace()
    key = await timed_kit.make_key(workspace, expires_in=timedelta(seconds=1))
    async with timed_kit.open_client(key) as client:
        assert (await client.get("/crm/contacts")).status_code == 200
        clock.advance(0.999)
        assert (await client.get("/crm/contacts")).status_code == 200
        clock.advance(0.001)
        assert read_error(await client.get("/crm/contacts")) == (401, "EXPIRED_API_KEY")


async def test_a_revoked_key_stops_within_five_seconds(timed_kit: Kit, clock: FixedClock) -> None:
    workspace = await timed_kit.make_workspace()
    async with timed_kit.open_client(await timed_kit.make_key(workspace)) as client:
        assert (await client.get("/crm/contacts")).status_code == 200
        async with timed_kit.engine.database.acquire() as connection:
            await revoke_key(connection, clock, 1)
        clock.advance(5)
        assert read_error(await client.get("/crm/contacts")) == (401, "REVOKED_API_KEY")


async def test_a_new_key_works_at_once(timed_kit: Kit) -> None:
    workspace = await timed_kit.make_workspace()
    for _ in range(3):
        async with timed_kit.open_client(await timed_kit.make_key(workspace)) as client:
            assert (await client.get("/crm/contacts")).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"])
async def test_what_the_server_says_of_itself_needs_no_key(kit: Kit, path: str) -> None:
    async with kit.open_client() as stranger:
        assert (await stranger.get(path)).status_code == 200
