"""The log is in Kafka, and PostgreSQL is gone for a while: what can be accepted is, and applied when it is back."""

import re
from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from kith.engine.context.loader import Loader
from kith.installation.embedded import EmbeddedPostgres
from kith.model.records import Record
from kith.settings import Settings
from tests.api.test_lost_foresight import check_ended as check_all_ended
from tests.api.test_lost_foresight import list_contact_writes, list_other_writes, make_nouns
from tests.kafka import Broker
from tests.kit import SETTINGS, Kit, open_kit
from tests.postgres import start_server
from tests.redis_server import RedisServer

PARTITIONS = 4


class Deployed(NamedTuple):
    kit: Kit
    client: httpx2.AsyncClient
    data: Path
    servers: list[EmbeddedPostgres]

    def stop_postgres(self) -> None:
        self.servers.pop().stop()

    async def start_postgres(self) -> None:
        self.servers.append(EmbeddedPostgres.start(self.data, durable=False))
        await self.kit.drain()

    async def create(self, **fields: str) -> str:
        """The external id of a contact that is applied."""
        made = await self.client.post("/crm/contacts", json=fields)
        assert made.status_code == 202
        await self.kit.drain()
        return str(made.json()["data"]["externalId"])


@pytest.fixture(params=["memory", "redis"])
def settings(request: pytest.FixtureRequest, kafka: Broker) -> Settings:
    """Keys are looked up for each request, as far as that can be."""
    settings = kafka.make_settings(Settings(poll_ms=100, append_timeout_ms=SETTINGS.append_timeout_ms, key_cache_ms=0))
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis")
        return server.make_settings(settings)
    return settings


@pytest.fixture
async def deployed(tmp_path: Path, settings: Settings) -> AsyncIterator[Deployed]:
    cluster = await start_server(tmp_path, 18, PARTITIONS)
    url = await cluster.make_database()
    servers = [cluster.server]
    try:
        async with open_kit(url, settings) as kit:
            key = await kit.make_key(await kit.make_workspace())
            async with kit.open_client(key) as client:
                yield Deployed(kit, client, tmp_path, servers)
    finally:
        for server in servers:
            server.stop()


async def test_what_is_made_meanwhile_is_accepted_foreseen_and_applied_in_the_end(deployed: Deployed) -> None:
    client = deployed.client
    await deployed.create(email="old@example.com")
    deployed.stop_postgres()
    made = await client.post("/crm/contacts", json={"email": "ada@example.com"})
    assert (made.status_code, made.headers["X-Kith-Checks"]) == (202, "deferred")
    contact = made.json()["data"]["externalId"]
    assert made.json()["data"]["email"] == "ada@example.com"
    changed = await client.patch(f"/crm/contacts/{contact}", json={"name": "Ada"})
    assert (changed.status_code, changed.json()["data"]["name"]) == (202, "Ada")
    noted = await client.post(f"/crm/contacts/{contact}/activities", json={"type": "NOTE", "content": "Called"})
    assert noted.status_code == 202
    taken = await client.post("/crm/contacts", json={"email": "ada@example.com"})
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "CONTACT_EMAIL_EXISTS")
    unforeseen = await client.post("/crm/contacts", json={"email": "old@example.com"})
    assert (unforeseen.status_code, unforeseen.headers["X-Kith-Checks"]) == (202, "deferred")
    await deployed.start_postgres()
    shown = await client.get(f"/crm/contacts/{contact}")
    assert (shown.status_code, shown.json()["data"]["name"]) == (200, "Ada")
    ended = (await client.get(unforeseen.headers["Operation-Location"])).json()["data"]
    assert (ended["status"], ended["error"]["code"]) == ("REJECTED", "CONTACT_EMAIL_EXISTS")
    again = await client.post("/crm/contacts", json={"email": "new@example.com"})
    assert (again.status_code, "X-Kith-Checks" in again.headers) == (202, False)


class Made(NamedTuple):
    """External ids of what is applied before PostgreSQL goes: ``bea`` is merged into ``ada``."""

    ada: str
    bea: str
    old: str
    company: str
    tag: str
    list: str


async def make_all(deployed: Deployed) -> Made:
    ids = []
    for path, body in (
        ("contacts", {"email": "ada@example.com"}),
        ("contacts", {"email": "bea@example.com"}),
        ("contacts", {"email": "old@example.com"}),
        ("companies", {"domain": "acme.example"}),
        ("tags", {"key": "vip"}),
        ("lists", {"name": "Some", "entityType": "CONTACT"}),
    ):
        made = await deployed.client.post(f"/crm/{path}", json=body)
        ids.append(made.json()["data"]["externalId"])
    all_made = Made(*ids)
    await deployed.client.post(f"/crm/contacts/{all_made.ada}/merge", json={"loserId": all_made.bea})
    await deployed.kit.drain()
    return all_made


async def check_ended(deployed: Deployed, answer: httpx2.Response, code: str | None) -> None:
    """That the operation was applied, or rejected with the code."""
    ended = (await deployed.client.get(answer.headers["Operation-Location"])).json()["data"]
    assert (ended["status"], ended["error"] and ended["error"]["code"]) == (
        ("REJECTED", code) if code else ("APPLIED", None)
    ), (answer.request.url, ended)


async def test_writes_that_name_their_records_are_accepted_and_checked_by_the_writer(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kith.api.routes.lists.EVALUATION_WAIT_S", 0)
    made, client = await make_all(deployed), deployed.client
    deployed.stop_postgres()
    old, company = f"/crm/contacts/{made.old}", f"/crm/companies/{made.company}"
    absent = made.old[:-4] + "0000"
    answers = []
    for method, path, body, version, code in (
        ("PATCH", old, {"name": "Ada", "properties": {"mrr": 12.50}}, 1, None),
        ("PATCH", "/crm/contacts/old@example.com", {"phone": "+49 30 1234"}, None, None),
        ("PATCH", old, {"name": "Late"}, 1, "VERSION_MISMATCH"),
        ("PATCH", old, {"email": "ada@example.com"}, None, "CONTACT_EMAIL_EXISTS"),
        ("PATCH", f"/crm/contacts/{absent}", {"name": "Eve"}, None, "NOT_FOUND"),
        ("PATCH", "/crm/contacts/nobody@example.com", {"name": "Eve"}, None, "NOT_FOUND"),
        ("PATCH", f"/crm/contacts/{made.bea}", {"familyName": "Winner"}, None, None),
        ("DELETE", f"/crm/contacts/{made.bea}", None, None, "INVALID_REQUEST"),
        ("POST", f"{old}/tags", {"tagId": made.tag}, None, None),
        ("DELETE", f"/crm/contacts/old@example.com/tags/{made.tag}", None, None, None),
        ("DELETE", f"{old}/tags/{made.tag}", None, None, "NOT_FOUND"),
        ("POST", f"{company}/tags", {"tagId": made.tag}, None, None),
        ("POST", f"{old}/companies", {"companyId": made.company}, None, None),
        ("PATCH", "/crm/contacts/old@example.com/companies/acme.example", {"role": "CEO"}, None, None),
        ("POST", f"{old}/activities", {"type": "NOTE", "content": "Called"}, None, None),
        ("PATCH", "/crm/companies/acme.example", {"name": "Acme"}, None, None),
        ("POST", f"/crm/lists/{made.list}/members", {"entityIds": [made.old, made.bea]}, None, None),
        ("POST", f"/crm/lists/{made.list}/members/remove", {"entityIds": [made.bea]}, None, None),
        ("POST", f"/crm/lists/{made.list}/members", {"entityIds": [made.company]}, None, "INVALID_REQUEST"),
        ("POST", f"/crm/lists/{made.list}/evaluate", None, None, "INVALID_REQUEST"),
        ("PATCH", f"/crm/lists/{made.list}", {"name": "All"}, None, None),
        ("PATCH", f"/crm/tags/{made.tag}", {"name": "VIP"}, None, None),
        ("DELETE", company, None, None, None),
        ("POST", f"{company}/restore", None, None, None),
        ("DELETE", "/crm/contacts/ada@example.com", None, None, None),
        ("POST", f"/crm/contacts/{made.ada}/restore", None, None, None),
        ("POST", "/crm/contacts/ada@example.com/merge", {"loserId": made.old}, None, None),
        ("POST", f"/crm/contacts/{made.old}/merge", {"loserId": made.ada}, None, "INVALID_REQUEST"),
    ):
        headers = {"If-Match": f'"{version}"'} if version else {}
        answer = await client.request(method, path, json=body, headers=headers)
        assert (answer.status_code, answer.headers.get("X-Kith-Checks")) == (202, "deferred"), (path, answer.text)
        data = answer.json()["data"]
        assert (data["id"], data["pending"]) == (None, True)
        assert {**data, **(body or {})} == data, "what was sent is answered"
        if "@" in path and "email" not in (body or {}):
            assert data["email"] in path
        answers.append((answer, code))
    await deployed.start_postgres()
    for answer, code in answers:
        await check_ended(deployed, answer, code)
    old_now, winner = [(await client.get(f"/crm/contacts/{one}")).json()["data"] for one in (made.old, made.bea)]
    assert old_now == winner
    assert (winner["name"], winner["familyName"], winner["phone"]) == ("Winner", "Winner", "+49 30 1234")
    assert (winner["properties"], winner["activityCount"]) == ({"mrr": 12.5}, 1)
    assert [(one["name"], one["role"]) for one in winner["companies"]] == [("Acme", "CEO")]
    shown = (await client.get(f"/crm/lists/{made.list}")).json()["data"]
    assert (shown["name"], shown["memberCount"]) == ("All", 1)


async def test_what_a_contact_needs_is_made_meanwhile(deployed: Deployed) -> None:
    await make_all(deployed)
    client, answers = deployed.client, []
    deployed.stop_postgres()
    for path, body, code in (
        ("properties", {"key": "seats", "entity": "CONTACT_COMPANY", "type": "NUMBER"}, None),
        ("tags", {"key": "new"}, None),
        ("tags", {"key": "vip"}, "TAG_KEY_EXISTS"),
        ("lists", {"name": "Others", "entityType": "COMPANY"}, None),
        ("companies", {"domain": "next.example"}, None),
        ("companies", {"domain": "acme.example"}, "COMPANY_DOMAIN_EXISTS"),
    ):
        answer = await client.post(f"/crm/{path}", json=body)
        assert answer.status_code == 202, (body, answer.text)
        answers.append((answer, code))
    await deployed.start_postgres()
    for answer, code in answers:
        await check_ended(deployed, answer, code)


async def test_no_write_fails_where_postgresql_goes_in_the_middle_of_it(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, accepted = deployed.client, []
    nouns = await make_nouns(client)
    await deployed.kit.drain()
    load, left = Loader.load, [0]

    async def load_while_there(self: Loader, *place_and_refs: Any) -> list[Record]:
        left[0] -= 1
        if left[0] < 0:
            raise TimeoutError("PostgreSQL has just gone")
        return await load(self, *place_and_refs)

    monkeypatch.setattr(Loader, "load", load_while_there)
    # Nothing is applied meanwhile that these could wait for.
    monkeypatch.setattr("kith.api.routes.lists.EVALUATION_WAIT_S", 0)
    monkeypatch.setattr("kith.engine.accept.properties.APPLIED_WAIT_S", 0)
    requests = [*list_other_writes(nouns), *list_contact_writes(nouns["other"], nouns)]
    for loads, (method, path, body) in product(range(3), requests):
        left[0] = loads
        answer = await client.request(method, path, json=body)
        assert answer.status_code < 500 or answer.status_code == 503, (method, path, answer.text)
        if answer.status_code == 202:
            accepted.append(answer.json()["operation"]["id"])
    monkeypatch.undo()
    await deployed.kit.drain()
    await check_all_ended(client, accepted)


async def test_writes_that_name_a_record_by_its_number_say_what_to_do(deployed: Deployed) -> None:
    made, client = await make_all(deployed), deployed.client
    deployed.stop_postgres()
    for method, path, body, way_out in (
        ("PATCH", "/crm/contacts/1", {"name": "Ada"}, r"external id \(ctc_…\) or email"),
        ("DELETE", "/crm/contacts/1", None, r"external id \(ctc_…\) or email"),
        ("POST", "/crm/contacts/1/restore", None, r"\(ctc_…\)"),
        ("POST", f"/crm/contacts/{made.ada}/merge", {"loserId": 3}, r"\(ctc_…\)"),
        ("POST", f"/crm/contacts/{made.ada}/tags", {"tagId": 1}, r"external id \(tag_…\), or"),
        ("POST", f"/crm/contacts/{made.ada}/companies", {"companyId": 1}, r"\(cmp_…\) or domain"),
        ("POST", "/crm/contacts/1/activities", {"type": "NOTE"}, r"\(ctc_…\)"),
        ("POST", f"/crm/lists/{made.list}/members", {"entityIds": [made.ada, 3]}, r"number 3.*\(ctc_…\)"),
        ("POST", "/crm/lists/1/members", {"entityIds": [made.ada]}, r"\(lst_…\)"),
        ("PATCH", "/crm/companies/1", {"name": "Acme"}, r"\(cmp_…\) or domain"),
    ):
        answer = await client.request(method, path, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE"), answer.text
        assert re.search(way_out, answer.json()["error"]["message"]), answer.text
        assert int(answer.headers["Retry-After"]) > 0
    for path in (f"/crm/contacts/{made.ada}", "/crm/contacts"):
        assert (await client.get(path)).status_code == 503
    await deployed.start_postgres()
    assert (await client.patch("/crm/contacts/1", json={"name": "Ada"})).status_code == 202


async def test_a_repeated_write_on_a_record_that_cannot_be_read_is_the_same_write(deployed: Deployed) -> None:
    contact, client = await deployed.create(email="old@example.com"), deployed.client
    deployed.stop_postgres()
    headers = {"Idempotency-Key": "one"}
    path = f"/crm/contacts/{contact}/activities"
    made = await client.post(path, json={"type": "NOTE"}, headers=headers)
    repeated = await client.post(path, json={"type": "NOTE"}, headers=headers)
    await deployed.start_postgres()
    late = await client.post(path, json={"type": "NOTE"}, headers=headers)
    for answer in (repeated, late):
        assert (answer.status_code, answer.headers["Idempotent-Replayed"]) == (202, "true")
        assert answer.json()["data"] == made.json()["data"]
        assert answer.json()["operation"]["id"] == made.json()["operation"]["id"]
    assert (await client.get(f"/crm/contacts/{contact}")).json()["data"]["activityCount"] == 1


async def test_a_repeated_request_meanwhile_is_the_same_write(deployed: Deployed) -> None:
    await deployed.create(name="first")
    deployed.stop_postgres()
    headers = {"Idempotency-Key": "one", "Prefer": "wait=0.1"}
    made = await deployed.client.post("/crm/contacts", json={"name": "Ada"}, headers=headers)
    repeated = await deployed.client.post("/crm/contacts", json={"name": "Ada"}, headers=headers)
    assert [made.status_code, repeated.status_code] == [202, 202], repeated.text
    assert repeated.headers["Idempotent-Replayed"] == "true"
    assert made.json()["operation"]["id"] == repeated.json()["operation"]["id"]
    other = await deployed.client.post("/crm/contacts", json={"name": "Eve"}, headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    await deployed.start_postgres()
    listed = (await deployed.client.get("/crm/contacts")).json()["data"]
    assert sorted(one["name"] for one in listed) == ["Ada", "first"]


async def test_a_key_that_was_never_looked_up_waits_for_postgresql(deployed: Deployed) -> None:
    key = await deployed.kit.make_key(await deployed.kit.make_workspace())
    deployed.stop_postgres()
    async with deployed.kit.open_client(key) as client:
        assert (await client.post("/crm/contacts", json={"name": "Ada"})).status_code == 503
    await deployed.start_postgres()
