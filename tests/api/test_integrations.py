"""Accounts at other services over HTTP: connected, changed, paused and taken away; their credentials never shown."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest

from kith.engine.jobs.maintenance import maintain
from kith.errors import Exposed
from kith.integrations.accounts import get_integration, rotate_credentials
from kith.integrations.credential_store import Vault, new_key
from kith.integrations.factory import Keeper
from kith.model.workspaces import Workspace
from kith.store.queries import load_queries
from tests.kit import SETTINGS, Kit, open_kit

SECRET = "pat-na1-very-secret"
HUBSPOT = {"provider": "HUBSPOT", "name": "HubSpot - Production", "credentials": {"accessToken": SECRET}}
MAILCHIMP = {
    "provider": "MAILCHIMP",
    "name": "Newsletter",
    "credentials": {"apiKey": "abc-us6"},
    "settings": {"listId": "a1b2c3"},
}


@pytest.fixture
async def keyed_kit(database_url: str) -> AsyncIterator[Kit]:
    async with open_kit(database_url, SETTINGS) as opened:
        yield opened


@pytest.fixture
async def owner(keyed_kit: Kit) -> Workspace:
    return await keyed_kit.make_workspace()


@pytest.fixture
async def admin(keyed_kit: Kit, owner: Workspace) -> AsyncIterator[httpx2.AsyncClient]:
    async with keyed_kit.open_client(await keyed_kit.make_key(owner)) as opened:
        yield opened


def to_refusal(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def connect(client: httpx2.AsyncClient, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = await client.post("/crm/integrations", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    assert "idempotent-replayed" not in answer.headers
    made: dict[str, Any] = answer.json()["data"]
    assert answer.headers["location"] == f"/crm/integrations/{made['externalId']}"
    return made


async def test_an_account_is_connected_and_shown_without_its_credentials(admin: httpx2.AsyncClient) -> None:
    made = await connect(admin, HUBSPOT)
    assert (made["id"], made["provider"], made["status"], made["version"]) == (1, "HUBSPOT", "ACTIVE", 1)
    assert made["externalId"].startswith("int_")
    for ref in ("1", made["externalId"]):
        assert (await admin.get(f"/crm/integrations/{ref}")).json()["data"] == made
    assert (await admin.get("/crm/integrations")).json()["data"] == [made]
    assert SECRET not in json.dumps(made)


async def test_very_many_wrong_settings_are_told_of_in_part(admin: httpx2.AsyncClient) -> None:
    many = {f"{'x' * 200}{number}": "a" for number in range(2000)}
    for settings in (many, {"fields": {"contact": many}}, {"ownership": many}):
        refused = await admin.post("/crm/integrations", json={**HUBSPOT, "settings": settings})
        assert len(refused.json()["error"]["details"]["fields"]) == 50
        assert len(refused.content) < 50_000


async def test_the_name_is_stored_in_nfc(admin: httpx2.AsyncClient) -> None:
    made = await connect(admin, {**HUBSPOT, "name": "Cafe\u0301 "})
    assert made["name"] == "Caf\u00e9"
    changed = await admin.patch("/crm/integrations/1", json={"name": "Zu\u0308rich"})
    assert changed.json()["data"]["name"] == "Z\u00fcrich"


async def test_credentials_are_encrypted_in_the_database_and_bound_to_their_integration(
    keyed_kit: Kit, admin: httpx2.AsyncClient
) -> None:
    first, second = await connect(admin, HUBSPOT), await connect(admin, {**HUBSPOT, "name": "Other"})
    rows = await keyed_kit.engine.database.fetch("SELECT external_id, credentials FROM integrations ORDER BY id")
    assert all(SECRET.encode() not in row["credentials"] for row in rows)
    vault = Vault.from_settings(keyed_kit.engine.settings)
    assert vault.unseal(first["externalId"], rows[0]["credentials"]) == {"accessToken": SECRET}
    await keyed_kit.engine.database.execute(
        "UPDATE integrations SET credentials = $1 WHERE external_id = $2", rows[0]["credentials"], second["externalId"]
    )
    refused = await admin.post(f"/crm/integrations/{second['externalId']}/test")
    assert to_refusal(refused) == (503, "SECRETS_UNAVAILABLE")


async def test_without_a_key_for_secrets_nothing_is_kept(database_url: str) -> None:
    async with (
        open_kit(database_url, msgspec.structs.replace(SETTINGS, secret_keys="")) as kit,
        kit.open_client(await kit.make_key(await kit.make_workspace())) as client,
    ):
        refused = await client.post("/crm/integrations", json=HUBSPOT)
        assert to_refusal(refused) == (503, "SECRETS_UNAVAILABLE")
        assert "kith secrets new" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("change", "field", "word"),
    [
        ({"credentials": {}}, "credentials", "access"),
        ({"credentials": {"token": SECRET}}, "credentials.token", "Did you mean 'accessToken'? The credentials are"),
        ({"credentials": {"accesToken": SECRET}}, "credentials.accesToken", "Did you mean 'accessToken'?"),
        ({"credentials": {"accessToken": SECRET, "pin": "1"}}, "credentials.pin", "clientId, clientSecret and refresh"),
        ({"credentials": {"accessToken": SECRET, "clientSecret": "s"}}, "credentials.clientSecret", "'webhookSecret'"),
        ({"credentials": {"clientId": "c", "clientSecret": SECRET}}, "credentials.refreshToken", "is needed."),
        ({"credentials": {"accessToken": SECRET, "listId": "1"}}, "credentials.listId", "It belongs in settings."),
        ({"webhookSecret": SECRET}, "webhookSecret", "It belongs in credentials."),
        ({"onDelete": "KEEP"}, "onDelete", "It belongs in settings."),
        ({"settings": {"segment": {}}}, "settings.segment", "It belongs at the top of the body."),
        ({"settings": {"webhookSecret": SECRET}}, "settings.webhookSecret", "It belongs in credentials."),
        ({"credentials": {"accessToken": 1}}, "credentials.accessToken", "must be a text"),
        ({"credentials": {"accessToken": "a\u2026"}}, "credentials.accessToken", "ASCII"),
        ({"name": "  "}, "name", "1 to 200"),
        ({"settings": {"apiVersion": "v3"}}, "settings.apiVersion", "v3"),
        ({"settings": {"unknown": 1}}, "settings.unknown", "The settings are apiVersion, fields, onDelete,"),
        ({"settings": {"ondelete": "KEEP"}}, "settings.ondelete", "Did you mean 'onDelete'?"),
        ({"settings": {"onDelete": "DROP"}}, "settings.onDelete", "ARCHIVE, ERASE, KEEP"),
        ({"settings": {"activities": "yes"}}, "settings.activities", "true or false"),
        ({"settings": {"fields": {"person": {}}}}, "settings.fields.person", "contact, company"),
        ({"settings": {"fields": {"contact": {"email": 5}}}}, "settings.fields.contact.email", "text, or null"),
        (
            {"settings": {"fields": {"contact": {"properties.mmr": "mrr"}}}},
            "settings.fields.contact.properties.mmr",
            "mrr",
        ),
        ({"settings": {"fields": {"contact": {"givenname": "x"}}}}, "settings.fields.contact.givenname", "givenName"),
        (
            {"settings": {"fields": {"contact": {"properties.mrr": "firstname"}}}},
            "settings.fields.contact.properties.mrr",
            "is sent to 'firstname', and so is givenName by default. Map one of them elsewhere, or to null.",
        ),
        (
            {"settings": {"fields": {"company": {"plan": "tier", "industry": "tier"}}}},
            "settings.fields.company.industry",
            "is sent to 'tier', and so is plan.",
        ),
        ({"settings": {"fields": {"contact": {"phone": ""}}}}, "settings.fields.contact.phone", "is empty; write"),
        ({"settings": {"fields": {"contact": {"name": "kith_id"}}}}, "settings.fields.contact.name", "keeps Kith's id"),
        (
            {"settings": {"fields": {"contact": {"properties.shoe": "a"}}}},
            "settings.fields.contact.properties.shoe",
            "is no field that is taken here. There are externalId, email,",
        ),
        (
            {"settings": {"ownership": {"company.name": "THEIRS"}}},
            "settings.ownership.company.name",
            "There are email,",
        ),
        ({"settings": {"ownership": {"tags": "THEIRS"}}}, "settings.ownership.tags", "and properties.<key>."),
        ({"settings": {"ownership": {"phone": "MINE"}}}, "settings.ownership", "MINE"),
        ({"settings": {"ownership": {"fone": "THEIRS"}}}, "settings.ownership.fone", "phone"),
    ],
)
async def test_what_is_wrong_with_an_account_is_named(
    keyed_kit: Kit, admin: httpx2.AsyncClient, change: dict[str, Any], field: str, word: str
) -> None:
    await admin.post("/crm/properties", json={"key": "mrr", "entity": "CONTACT", "type": "NUMBER"})
    await keyed_kit.drain()
    refused = await admin.post("/crm/integrations", json={**HUBSPOT, **change})
    assert to_refusal(refused) == (422, "INVALID_FIELD"), refused.text
    (fault,) = refused.json()["error"]["details"]["fields"]
    assert fault["field"].startswith(field) and word in fault["message"] + fault["field"]
    assert SECRET not in refused.text


@pytest.mark.parametrize(
    ("settings", "field", "word"),
    [
        ({}, "settings.listId", "is needed"),
        ({"listId": "a b"}, "settings.listId", "letters and digits"),
        ({"listId": "a", "list": "b"}, "settings.list", "Did you mean 'listId'?"),
        (
            {"listId": "a", "fields": {"contact": {"phone": "fname"}}},
            "settings.fields.contact.phone",
            "'fname' is not.",
        ),
        (
            {"listId": "a", "fields": {"contact": {"name": "FNAME"}}},
            "settings.fields.contact.name",
            "givenName by default",
        ),
        ({"listId": "a", "fields": {"contact": {"name": ""}}}, "settings.fields.contact.name", "a merge tag"),
    ],
)
async def test_what_is_wrong_with_the_settings_of_mailchimp_is_named(
    admin: httpx2.AsyncClient, settings: dict[str, Any], field: str, word: str
) -> None:
    refused = await admin.post("/crm/integrations", json={**MAILCHIMP, "settings": settings})
    assert to_refusal(refused) == (422, "INVALID_FIELD"), refused.text
    (fault,) = refused.json()["error"]["details"]["fields"]
    assert fault["field"] == field and word in fault["message"]
    assert "regex" not in refused.text and "`" not in refused.text


async def test_one_is_renamed_paused_resumed_and_deleted(admin: httpx2.AsyncClient) -> None:
    one = (await connect(admin, MAILCHIMP))["externalId"]
    path = f"/crm/integrations/{one}"
    renamed = await admin.patch(path, json={"name": "News"}, headers={"If-Match": '"1"'})
    assert (renamed.json()["data"]["name"], renamed.headers["etag"]) == ("News", '"2"')
    assert to_refusal(await admin.patch(path, json={"name": "No"}, headers={"If-Match": '"1"'})) == (
        412,
        "VERSION_MISMATCH",
    )
    assert (await admin.post(f"{path}/pause")).json()["data"]["status"] == "PAUSED"
    assert to_refusal(await admin.post(f"{path}/sync")) == (400, "INVALID_REQUEST")
    assert (await admin.post(f"{path}/resume")).json()["data"]["status"] == "ACTIVE"
    assert (await admin.delete(path)).status_code == 200
    assert to_refusal(await admin.get(path)) == (404, "NOT_FOUND")
    assert (await admin.get("/crm/integrations")).json()["data"] == []
    assert (await connect(admin, MAILCHIMP))["id"] == 2


async def test_other_settings_look_at_everything_again(keyed_kit: Kit, admin: httpx2.AsyncClient) -> None:
    await admin.post("/crm/contacts", json={"name": "Ada"})
    await keyed_kit.drain()
    one = (await connect(admin, HUBSPOT))["externalId"]
    changed = await admin.patch(f"/crm/integrations/{one}", json={"settings": {"companies": False}})
    sync = changed.json()["data"]["sync"]
    assert (sync["total"], sync["queued"], sync["finishedAt"]) == (1, 0, None)
    started = await admin.post(f"/crm/integrations/{one}/sync")
    assert started.json()["data"]["sync"]["total"] == 1


async def wait_for_a_lock(kit: Kit) -> None:
    """Until somebody waits for a row that another has."""
    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(20):
        while not await kit.engine.database.fetchval(waits):
            await asyncio.sleep(0)


async def test_a_change_keeps_the_token_that_a_worker_gets_meanwhile(
    keyed_kit: Kit, admin: httpx2.AsyncClient, owner: Workspace
) -> None:
    one = await connect(admin, HUBSPOT)
    database, vault = keyed_kit.engine.database, Vault.from_settings(keyed_kit.engine.settings)
    integration = await get_integration(keyed_kit.engine, owner, one["externalId"])
    keeper = Keeper(database, vault, integration)
    async with keeper.lock():
        renaming = asyncio.create_task(admin.patch(f"/crm/integrations/{one['id']}", json={"name": "Renamed"}))
        await wait_for_a_lock(keyed_kit)
        await keeper.store({"accessToken": "fresh"})
    assert (await renaming).status_code == 200
    sealed = await database.fetchval("SELECT credentials FROM integrations")
    assert vault.unseal(one["externalId"], sealed) == {"accessToken": "fresh"}


async def test_a_change_that_names_no_version_holds_beside_a_workers_pause(
    keyed_kit: Kit, admin: httpx2.AsyncClient
) -> None:
    one = await connect(admin, HUBSPOT)
    path = f"/crm/integrations/{one['id']}"
    problem, now = '{"code": "UNAUTHORIZED", "message": "401"}', keyed_kit.engine.clock.now()
    row = await keyed_kit.engine.database.fetchrow("SELECT shard, workspace_id, id FROM integrations")
    assert row is not None
    pause = load_queries("integrations")["pause_integration"]
    for headers, status in (({}, 200), ({"If-Match": '"3"'}, 412)):
        async with keyed_kit.engine.database.acquire() as connection, connection.transaction():
            epoch = await connection.fetchval("SELECT epoch FROM integrations FOR UPDATE")
            renaming = asyncio.create_task(admin.patch(path, json={"name": "Renamed"}, headers=headers))
            await wait_for_a_lock(keyed_kit)
            await connection.execute(pause, *row, problem, now, epoch)
        assert (await renaming).status_code == status
    shown = (await admin.get(path)).json()["data"]
    assert (shown["name"], shown["version"], shown["status"]) == ("Renamed", 4, "PAUSED")


async def test_a_version_that_is_named_holds_for_whatever_is_asked(admin: httpx2.AsyncClient) -> None:
    path = f"/crm/integrations/{(await connect(admin, HUBSPOT))['id']}"
    for method, verb in (("POST", "/pause"), ("POST", "/resume"), ("POST", "/sync"), ("DELETE", "")):
        refused = await admin.request(method, path + verb, headers={"If-Match": '"7"'})
        assert to_refusal(refused) == (412, "VERSION_MISMATCH")


async def test_what_is_known_of_a_deleted_integration_goes_with_the_workers_rounds(
    keyed_kit: Kit, admin: httpx2.AsyncClient
) -> None:
    numbers = [(await connect(admin, HUBSPOT))["id"] for _ in range(2)]
    database = keyed_kit.engine.database
    await database.execute(
        "INSERT INTO sync_links SELECT shard, workspace_id, id, 'contact', 1, '7', '', 'SYNCED', '{}', NULL, now()"
        " FROM integrations"
    )
    await database.execute(
        "INSERT INTO sync_jobs SELECT shard, workspace_id, id, 'contact', 1, 1, 1, 'PENDING', now(), false, 0"
        " FROM integrations"
    )
    assert (await admin.delete(f"/crm/integrations/{numbers[0]}")).status_code == 200
    assert await database.fetchval("SELECT credentials FROM integrations ORDER BY id LIMIT 1") == b""
    await maintain(database, keyed_kit.engine.clock, keyed_kit.engine.settings)
    for table in ("sync_links", "sync_jobs"):
        assert [row["integration_id"] for row in await database.fetch(f"SELECT * FROM {table}")] == numbers[1:]


async def test_a_retry_with_the_same_key_connects_once(admin: httpx2.AsyncClient) -> None:
    headers = {"Idempotency-Key": "one"}
    first = await connect(admin, HUBSPOT, **headers)
    await admin.patch(f"/crm/integrations/{first['id']}", json={"name": "Renamed"})
    again = await admin.post("/crm/integrations", json=HUBSPOT, headers=headers)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
    assert again.json()["data"]["externalId"] == first["externalId"]
    others = [{"credentials": {"accessToken": "another"}}, {"settings": {"companies": False}}, {"name": "Renamed"}]
    for other in (MAILCHIMP, *({**HUBSPOT, **one} for one in others)):
        refused = await admin.post("/crm/integrations", json=other, headers=headers)
        assert to_refusal(refused) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_a_retry_is_known_though_what_it_asked_for_is_possible_no_more(
    keyed_kit: Kit, admin: httpx2.AsyncClient
) -> None:
    seats = await admin.post("/crm/properties", json={"key": "seats", "entity": "CONTACT", "type": "NUMBER"})
    await keyed_kit.drain()
    body = {**HUBSPOT, "settings": {"fields": {"contact": {"properties.seats": "seats"}}}}
    headers = {"Idempotency-Key": "one"}
    await connect(admin, body, **headers)
    assert (await admin.delete(f"/crm/properties/{seats.json()['data']['externalId']}")).status_code == 202
    await keyed_kit.drain()
    assert to_refusal(await admin.post("/crm/integrations", json=body)) == (422, "INVALID_FIELD")
    assert (await admin.post("/crm/integrations", json=body, headers=headers)).status_code == 201


async def test_integrations_are_their_workspaces_own_and_take_an_admins_key(
    keyed_kit: Kit, admin: httpx2.AsyncClient, owner: Workspace
) -> None:
    one = (await connect(admin, HUBSPOT))["externalId"]
    stranger = await keyed_kit.make_workspace()
    async with keyed_kit.open_client(await keyed_kit.make_key(stranger)) as other:
        assert (await other.get("/crm/integrations")).json()["data"] == []
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/sync"), ("POST", "/failures/retry")):
            answer = await other.request(
                method, f"/crm/integrations/{one}{path}", json={} if path.endswith("y") else None
            )
            assert to_refusal(answer) == (404, "NOT_FOUND")
    async with keyed_kit.open_client(await keyed_kit.make_key(owner, ["crm:read", "crm:write"])) as writer:
        assert to_refusal(await writer.post("/crm/integrations", json=HUBSPOT)) == (403, "FORBIDDEN")
        assert (await writer.get("/crm/integrations")).status_code == 200


async def test_a_provider_that_does_not_answer_is_no_refusal(admin: httpx2.AsyncClient) -> None:
    one = (await connect(admin, HUBSPOT))["externalId"]
    answer = await admin.post(f"/crm/integrations/{one}/test")
    assert to_refusal(answer) == (502, "PROVIDER_UNAVAILABLE")
    assert "cannot be reached" in answer.json()["error"]["message"]


async def test_the_key_of_all_credentials_is_changed_without_them(keyed_kit: Kit, admin: httpx2.AsyncClient) -> None:
    one = (await connect(admin, HUBSPOT))["externalId"]
    database, old, new = keyed_kit.engine.database, keyed_kit.engine.settings.secret_keys, new_key()
    async with database.acquire() as connection:
        assert await rotate_credentials(connection, Vault(f"{new},{old}")) == 1
    sealed = await database.fetchval("SELECT credentials FROM integrations")
    assert Vault(new).unseal(one, sealed) == {"accessToken": SECRET}
    with pytest.raises(Exposed, match="no key in KITH_SECRET_KEYS fits"):
        Vault(old).unseal(one, sealed)


@pytest.mark.parametrize("verb", ["retry", "discard"])
async def test_a_number_that_no_record_can_have_is_refused(admin: httpx2.AsyncClient, verb: str) -> None:
    made = await connect(admin, HUBSPOT)
    for number in (0, 10**18, 10**30):
        answer = await admin.post(f"/crm/integrations/{made['id']}/failures/{verb}", json={"recordId": number})
        assert to_refusal(answer) == (422, "INVALID_FIELD"), answer.text


async def test_those_who_connect_at_once_get_a_number_each_and_one_key_connects_once(admin: httpx2.AsyncClient) -> None:
    made = await asyncio.gather(*(connect(admin, {**HUBSPOT, "name": f"No {n}"}) for n in range(20)))
    assert sorted(one["id"] for one in made) == list(range(1, 21))
    headers = {"Idempotency-Key": "raced for"}
    answers = await asyncio.gather(
        *(admin.post("/crm/integrations", json=MAILCHIMP, headers=headers) for _ in range(10))
    )
    assert {(answer.status_code, answer.json()["data"]["id"]) for answer in answers} == {(201, 21)}
    assert len((await admin.get("/crm/integrations")).json()["data"]) == 21


async def test_a_key_whose_integration_is_deleted_connects_no_other(admin: httpx2.AsyncClient) -> None:
    one = (await connect(admin, HUBSPOT, **{"Idempotency-Key": "one"}))["externalId"]
    await admin.delete(f"/crm/integrations/{one}")
    again = await admin.post("/crm/integrations", json=HUBSPOT, headers={"Idempotency-Key": "one"})
    assert to_refusal(again) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_there_are_fifty_at_most_however_they_are_raced_for(admin: httpx2.AsyncClient) -> None:
    answers = await asyncio.gather(*(admin.post("/crm/integrations", json=HUBSPOT) for _ in range(55)))
    assert sorted(answer.status_code for answer in answers) == [201] * 50 + [422] * 5
