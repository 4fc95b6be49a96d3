"""Many clients who want the same emails at once: each email has one owner, and nobody is left without an answer."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx2
import pytest

from tests.faults.load import open_client
from tests.faults.verify import DUPLICATES, UNCONVERTED, fetch, verify_replay, wait_until_applied
from tests.serving import Served

pytestmark = pytest.mark.faults

CLIENTS = 64
CREATES = 2000
EMAILS = 50


@pytest.fixture
async def clients(serve: Served) -> AsyncIterator[list[httpx2.AsyncClient]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_client(serve.key)) for _ in range(CLIENTS)]


async def test_64_clients_that_race_for_50_emails_make_50_contacts(
    serve: Served, clients: list[httpx2.AsyncClient]
) -> None:
    emails = [f"wanted-{n % EMAILS}@example.com" for n in range(CREATES)]
    random.Random(3).shuffle(emails)
    accepted: list[str] = []
    refused: Counter[tuple[int, str]] = Counter()

    async def race(client: httpx2.AsyncClient) -> None:
        while emails:
            answer = await client.post(f"{serve.url}/crm/contacts", json={"email": emails.pop()})
            if answer.status_code == 202:
                accepted.append(answer.json()["operation"]["id"])
            else:
                refused[answer.status_code, answer.json()["error"]["code"]] += 1

    await asyncio.gather(*map(race, clients))
    await wait_until_applied(serve)
    outcomes: Counter[tuple[str, str | None]] = Counter()
    for operation_id in accepted:
        operation = (await clients[0].get(f"{serve.url}/crm/operations/{operation_id}")).json()["data"]
        outcomes[operation["status"], (operation["error"] or {}).get("code")] += 1
    assert outcomes.pop(("APPLIED", None)) == EMAILS
    assert set(outcomes) <= {("REJECTED", "CONTACT_EMAIL_EXISTS")}
    assert set(refused) == {(409, "CONTACT_EMAIL_EXISTS")}
    assert refused.total() + outcomes.total() + EMAILS == CREATES
    assert await fetch(serve.database_url, "SELECT count(*) FROM contacts WHERE email LIKE 'wanted-%'") == [(EMAILS,)]
    assert await fetch(serve.database_url, DUPLICATES) == []
    verify_replay(serve)


async def test_clients_that_race_with_the_same_keys_make_one_record_for_each(
    serve: Served, clients: list[httpx2.AsyncClient]
) -> None:
    """As when a balancer, a library and a person each retry: all get the one answer."""

    async def ask(client: httpx2.AsyncClient, n: int) -> tuple[int, str, str]:
        answer = await client.post(
            f"{serve.url}/crm/contacts",
            json={"email": f"once-{n}@example.com"},
            headers={"Idempotency-Key": f"request {n}"},
        )
        assert answer.status_code == 202, answer.text
        return n, answer.json()["operation"]["id"], answer.json()["data"]["externalId"]

    asked = [ask(client, turn) for turn in range(20) for client in clients[:8]]
    answers = set(await asyncio.gather(*asked))
    assert len(answers) == 20
    await wait_until_applied(serve)
    assert await fetch(serve.database_url, "SELECT count(*) FROM contacts WHERE email LIKE 'once-%'") == [(20,)]
    statuses = await fetch(
        serve.database_url, "SELECT status, count(*) FROM operations WHERE fingerprint IS NOT NULL GROUP BY 1"
    )
    assert statuses == [("APPLIED", 20)]


async def test_domains_tag_keys_and_links_that_are_raced_for_are_there_once(
    serve: Served, clients: list[httpx2.AsyncClient]
) -> None:
    """All make the same companies and tags, link one contact to them, and each link wants to be the primary one."""
    made = (await clients[0].post(f"{serve.url}/crm/contacts", json={"name": "Wanted"})).json()["data"]["externalId"]
    codes: Counter[str] = Counter()

    async def send(client: httpx2.AsyncClient, path: str, body: dict[str, object]) -> None:
        answer = await client.post(f"{serve.url}/crm/{path}", json=body)
        codes[answer.json().get("error", {}).get("code", "")] += 1
        assert answer.status_code in (202, 409), answer.text

    for n in range(5):
        await asyncio.gather(*(send(one, "companies", {"domain": f"wanted-{n}.example.com"}) for one in clients))
        await asyncio.gather(*(send(one, "tags", {"key": f"wanted-{n}"}) for one in clients))
    await wait_until_applied(serve)
    for n in range(1, 6):
        body = {"companyId": n, "isPrimary": True}
        await asyncio.gather(*(send(one, f"contacts/{made}/companies", body) for one in clients))
        await asyncio.gather(*(send(one, f"contacts/{made}/tags", {"tagId": n}) for one in clients))
    await wait_until_applied(serve)
    assert set(codes) == {"", "COMPANY_DOMAIN_EXISTS", "TAG_KEY_EXISTS", "ALREADY_ASSOCIATED"}
    counts = "(SELECT count(*) FROM {}), (SELECT sum(contact_count)::int FROM {})"
    for table in ("companies", "tags"):
        assert await fetch(serve.database_url, f"SELECT {counts.format(table, table)}") == [(5, 5)]
    links = "SELECT (SELECT count(*) FROM taggings), count(*), count(*) FILTER (WHERE is_primary) FROM associations"
    assert await fetch(serve.database_url, links) == [(5, 5, 1)]
    assert await fetch(serve.database_url, DUPLICATES) == []
    verify_replay(serve)


async def test_property_keys_that_are_raced_for_are_defined_once_and_hold_for_all(
    serve: Served, clients: list[httpx2.AsyncClient]
) -> None:
    """Contacts are written before, beside and behind the definitions; all that they hold is a number in the end."""
    codes: Counter[tuple[str, int, str]] = Counter()

    async def send(client: httpx2.AsyncClient, path: str, body: dict[str, object]) -> None:
        answer = await client.post(f"{serve.url}/crm/{path}", json=body)
        codes[path, answer.status_code, answer.json().get("error", {}).get("code", "")] += 1

    for n in range(5):
        contact = {"name": "Ada", "properties": {f"wanted_{n}": " 12 "}}
        definition = {"key": f"wanted_{n}", "entity": "CONTACT", "type": "NUMBER"}
        await asyncio.gather(
            *(send(one, "contacts", contact) for one in clients[:16]),
            *(send(one, "properties", definition) for one in clients[16:48]),
            *(send(one, "contacts", contact) for one in clients[48:]),
        )
    await wait_until_applied(serve)
    assert codes.pop(("contacts", 202, "")) == 5 * 32
    assert codes.pop(("properties", 202, "")) == 5, "one process foresees that a key is taken"
    assert codes == {("properties", 409, "PROPERTY_KEY_EXISTS"): 5 * 31}
    keys = await fetch(serve.database_url, "SELECT key, version FROM properties ORDER BY id")
    assert sorted(keys) == [(f"wanted_{n}", 1) for n in range(5)]
    assert await fetch(serve.database_url, UNCONVERTED) == []
    held = "SELECT count(*) FROM contacts WHERE properties <> '{}'"
    assert await fetch(serve.database_url, held) == [(5 * 32,)]
    verify_replay(serve)
