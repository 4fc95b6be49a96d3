"""Load on a served Kith: clients that write, retry like good clients, and keep a ledger of what was acknowledged."""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx2
import stamina

COLLIDING_EMAILS = 12
COLLIDING_DOMAINS = 6
COLLIDING_KEYS = 6
SHARED = 4  # tags and companies that all clients link their contacts to, and properties that they set
CONFLICTS = ("CONTACT_EMAIL_EXISTS", "COMPANY_DOMAIN_EXISTS", "ALREADY_ASSOCIATED", "PROPERTY_KEY_EXISTS")
PATIENCE_S = 60


class Unanswered(Exception):
    """The connection was lost, or the server said to come back later: the request may have been accepted or not."""


@dataclass(frozen=True)
class Acknowledged:
    """A write that was answered 202. ``record_id`` is None where its record was named by email and not read."""

    operation_id: str
    method: str
    record_id: str | None
    key: str | None


@dataclass
class Ledger:
    """What the clients were promised.

    ``requests``: what was sent with a key; ``conflicts``: answers 409; ``answers``: all, by status; ``deferred``: those
    that only the writer checks; ``landed``: writes on a merged contact that landed on another.
    """

    acknowledged: list[Acknowledged] = field(default_factory=list)
    by_key: dict[str, Acknowledged] = field(default_factory=dict)
    requests: dict[str, tuple[str, str, dict[str, Any] | None]] = field(default_factory=dict)
    conflicts: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    deferred: int = 0
    landed: int = 0
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def add(self, answer: httpx2.Response, key: str | None) -> Acknowledged:
        operation = answer.json()["operation"]
        record_id = answer.json()["data"]["externalId"]
        write = Acknowledged(operation["id"], answer.request.method, record_id, key)
        if key is not None:
            known = self.by_key.setdefault(key, write)
            assert known == write, f"the Idempotency-Key {key} was answered with two writes: {known}, {write}"
        self.acknowledged.append(write)
        async with self._news:
            self._news.notify_all()
        return write

    async def reach(self, acknowledged: int) -> None:
        """Returns once so many writes have been acknowledged."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.acknowledged) >= acknowledged)

    async def reach_for(self, seconds: float) -> None:
        """Returns after so long, however many are acknowledged meanwhile: what does not answer may keep all clients."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.reach(sys.maxsize), seconds)


@dataclass
class Load:
    """Writes on a server, or on several by turns, wherever they are just now: ``move`` tells of another place."""

    urls: Sequence[str]
    api_key: str
    seed: int
    ledger: Ledger = field(default_factory=Ledger)
    _stopping: bool = False
    _numbers: "count[int]" = field(default_factory=count)
    _turns: "count[int]" = field(default_factory=count)

    def _list_shared(self, kind: str) -> list[str]:
        writes = (self.ledger.by_key.get(f"{kind} {n}") for n in range(SHARED))
        return [write.record_id for write in writes if write is not None and write.record_id is not None]

    def move(self, url: str) -> None:
        self.urls = [url]

    def find_url(self) -> str:
        """Whose turn it is, as behind a load balancer: a repetition may come to another."""
        return self.urls[next(self._turns) % len(self.urls)]

    @asynccontextmanager
    async def running(self, clients: int) -> AsyncIterator[None]:
        """The clients at work; at the end each finishes what it has begun. A client that fails ends the test."""
        async with open_client(self.api_key) as client:
            for n in range(SHARED):
                await self.send(client, "POST", "/crm/tags", {"key": f"shared-{n}"}, f"tag {n}")
                await self.send(client, "POST", "/crm/companies", {"name": f"Shared {n}"}, f"company {n}")
                await self.send(client, "POST", "/crm/properties", make_property(f"shared_{n}"), f"property {n}")
        async with asyncio.TaskGroup() as group:
            for n in range(clients):
                group.create_task(self._work(n))
            try:
                yield
            finally:
                self._stopping = True

    async def _work(self, n: int) -> None:
        chance = random.Random(f"{self.seed} {n}")
        mine: list[str] = []
        async with open_client(self.api_key) as client:
            while not self._stopping:
                await self._write(client, chance, mine)

    async def _write(self, client: httpx2.AsyncClient, chance: random.Random, mine: list[str]) -> None:
        """A contact of one's own, or what it is linked to: with an Idempotency-Key until it is answered, or without and
        only once."""
        n = next(self._numbers)
        key = f"request {n}" if chance.random() < 0.5 else None
        if len(mine) > 1 and chance.random() < 0.06:
            # The loser stays: writes on it land on the winner, or on whatever that is merged into.
            winner, loser = chance.sample(mine, 2)
            await self.send(client, "POST", f"/crm/contacts/{winner}/merge", {"loserId": loser}, key)
            await self.send(client, "PATCH", f"/crm/contacts/{loser}", {"name": f"merged {n}"}, None)
            return
        if mine and chance.random() < 0.4:
            await self._link(client, chance, chance.choice(mine), key)
            return
        if chance.random() < 0.04:
            await self._define(client, chance, key)
            return
        # A text that is a number: it fits each type that its property ever has.
        held: dict[str, Any] = {"properties": {f"shared_{chance.randrange(SHARED)}": f"{n}"}}
        act = chance.random()
        if act < 0.25 or not mine:
            made = await self.send(client, "POST", "/crm/contacts", {"email": f"unique-{n}@example.com"} | held, key)
            if made is not None and made.record_id is not None:
                mine.append(made.record_id)
        elif act < 0.5:
            email = f"colliding-{chance.randrange(COLLIDING_EMAILS)}@example.com"
            await self.send(client, "POST", "/crm/contacts", {"email": email, "name": f"{n}"}, key)
        elif act < 0.9:
            await self.send(client, "PATCH", f"/crm/contacts/{chance.choice(mine)}", {"name": f"{n}"} | held, key)
        elif act < 0.95:
            await self.send(client, "DELETE", f"/crm/contacts/{mine.pop(chance.randrange(len(mine)))}", None, key)
        else:
            # Deleted and free again: the others that want this email race for it.
            email = f"colliding-{chance.randrange(COLLIDING_EMAILS)}@example.com"
            await self.send(client, "DELETE", f"/crm/contacts/{email}", None, key)

    async def _define(self, client: httpx2.AsyncClient, chance: random.Random, key: str | None) -> None:
        """A property that others want too, or a change of one that all use, which converts what there is."""
        path = f"/crm/properties/{chance.choice(self._list_shared('property'))}"
        match chance.choice(("define", "number", "text", "archive", "restore")):
            case "define":
                body = make_property(f"colliding_{chance.randrange(COLLIDING_KEYS)}")
                await self.send(client, "POST", "/crm/properties", body, key)
            case "number":
                await self.send(client, "PATCH", path, {"type": "NUMBER"}, key)
            case "text":
                await self.send(client, "PATCH", path, {"type": "TEXT"}, key)
            case "archive":
                await self.send(client, "DELETE", path, None, key)
            case "restore":
                await self.send(client, "PATCH", path, {"status": "ACTIVE"}, key)

    async def _link(self, client: httpx2.AsyncClient, chance: random.Random, contact: str, key: str | None) -> None:
        """An activity, a tag, an association, or a company whose domain others want too."""
        path = f"/crm/contacts/{contact}"
        act = chance.choice(("activity", "tag", "untag", "associate", "leave", "company"))
        tag, company = (chance.choice(self._list_shared(kind)) for kind in ("tag", "company"))
        match act:
            case "activity":
                await self.send(client, "POST", f"{path}/activities", {"type": "NOTE", "content": act}, key)
            case "tag":
                await self.send(client, "POST", f"{path}/tags", {"tagId": tag}, key)
            case "untag":
                await self.send(client, "DELETE", f"{path}/tags/{tag}", None, key)
            case "associate":
                body = {"companyId": company, "isPrimary": chance.random() < 0.5}
                await self.send(client, "POST", f"{path}/companies", body, key)
            case "leave":
                await self.send(client, "DELETE", f"{path}/companies/{company}", None, key)
            case "company":
                domain = f"colliding-{chance.randrange(COLLIDING_DOMAINS)}.example.com"
                await self.send(client, "POST", "/crm/companies", {"domain": domain}, key)

    async def send(
        self, client: httpx2.AsyncClient, method: str, path: str, body: dict[str, Any] | None, key: str | None
    ) -> Acknowledged | None:
        """The acknowledged write; None where it was refused, or not answered and not to be retried."""
        headers = {"Idempotency-Key": key} if key else {}
        if key is not None:
            self.ledger.requests[key] = (method, path, body)
        async for attempt in stamina.retry_context(
            on=Unanswered, attempts=None, timeout=PATIENCE_S, wait_initial=0.02, wait_max=0.3
        ):
            with attempt:
                try:
                    answer = await client.request(method, self.find_url() + path, json=body, headers=headers)
                except httpx2.TransportError as error:
                    if key is None:
                        # Is it there or not? Nobody can tell. It must not be sent again.
                        return await self._wait_until_alive(client)
                    raise Unanswered from error
                self.ledger.answers[answer.status_code] += 1
                if answer.status_code == 503:
                    assert answer.json()["error"]["code"] in ("SERVICE_UNAVAILABLE", "LOG_BEHIND"), answer.text
                    if key is None:
                        # The log did not answer in time: it may have it. As above. Or the writer is behind.
                        return None
                    raise Unanswered(answer.text)
        return await self._take(answer, key)

    async def _take(self, answer: httpx2.Response, key: str | None) -> Acknowledged | None:
        assert answer.status_code < 500, f"{answer.request.method} {answer.request.url}: {answer.text}"
        if answer.status_code == 202:
            self.ledger.deferred += "X-Kith-Checks" in answer.headers
            self.ledger.landed += "Content-Location" in answer.headers
            return await self.ledger.add(answer, key)
        code = answer.json()["error"]["code"]
        if code in CONFLICTS:
            self.ledger.conflicts += 1
        else:
            # A contact that was found by its email may be gone, and one whose delete was not answered may be deleted.
            assert code in ("NOT_FOUND", "INVALID_REQUEST"), answer.text
        return None

    async def _wait_until_alive(self, client: httpx2.AsyncClient) -> None:
        async for attempt in stamina.retry_context(
            on=httpx2.TransportError, attempts=None, timeout=PATIENCE_S, wait_initial=0.02, wait_max=0.3
        ):
            with attempt:
                await client.get(f"{self.find_url()}/healthz")


def make_property(key: str) -> dict[str, Any]:
    return {"key": key, "entity": "CONTACT", "type": "TEXT"}


@asynccontextmanager
async def open_client(api_key: str) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"Authorization": f"Bearer {api_key}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as client:
        yield client
