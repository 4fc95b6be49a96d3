"""Workers that push to a fake of HubSpot and Mailchimp, and are killed at it."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from kith.ids import new_id
from kith.integrations.credential_store import new_key
from kith.model.codec import encode_envelope
from kith.model.commands import AssociateCompany, Command, CreateCompany, CreateContact, Envelope, LogActivity
from kith.model.workspaces import Workspace
from kith.settings import Settings
from tests.kit import SETTINGS, Kit, open_kit
from tests.serving import make_environment
from tools.fake_vendors.app import Fake, Receive, Scope, Send
from tools.fake_vendors.journal import Logged
from tools.fake_vendors.server import serving
from tools.fake_vendors.wire import Answer, Asked

APPENDED_AT_ONCE = 1000
TYPES = ("NOTE", "CALL", "MEETING", "EMAIL", "TASK")
ACTIVITIES = 3
# Every so many contacts one has a company, that it shares with others.
COMPANY_EVERY, CONTACTS_OF_COMPANY = 4, 5
FEED_IS_READ = """
SELECT feed_sequence = next_event_sequence - 1 FROM integrations JOIN counters USING (shard, workspace_id)
"""
LINKS = "SELECT entity, record_id, external_id, hash, state, details::text FROM sync_links ORDER BY entity, record_id"
# Nothing at all is done for so long: it is stuck.
PATIENCE_S = 60
# When no request came for so long it may be that all is done.
QUIET_S = 0.25


@dataclass
class People:
    """What was put on the log, by external ids: whose an activity is, and whose company a contact is with."""

    emails: dict[str, str] = field(default_factory=dict)
    activities: dict[str, str] = field(default_factory=dict)
    companies: dict[str, str] = field(default_factory=dict)


class HeardFake(Fake):
    """Made in the loop that hears of its requests, wherever it is served."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._held_path = ""
        self._released = threading.Event()

    async def hear(self, within_s: float) -> bool:
        """Returns when the next request comes or is answered, or the time is over: whether one did."""
        self._news.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), within_s)
        return self._news.is_set()

    def hold_next(self, path: str) -> None:
        """The next POST to such a path is carried out when it is released, whoever waits for that or not."""
        self._held_path = path

    def release(self) -> None:
        self._released.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._loop.call_soon_threadsafe(self._news.set)

    async def _answer(self, asked: Asked, logged: Logged) -> Answer:
        self._loop.call_soon_threadsafe(self._news.set)
        if self._held_path and asked.method == "POST" and asked.path.endswith(self._held_path):
            self._held_path = ""
            await asyncio.to_thread(self._released.wait)
        return await super()._answer(asked, logged)


class Worker:
    """A ``kith worker``, killed and started again; its log is one file."""

    def __init__(self, settings: Settings, url: str, log: Path) -> None:
        self._environment = make_environment(
            database_url=url,
            secret_keys=settings.secret_keys,
            hubspot_url=settings.hubspot_url,
            mailchimp_url=settings.mailchimp_url,
            hubspot_per_10s=str(settings.hubspot_per_10s),
            mailchimp_per_s=str(settings.mailchimp_per_s),
            mailchimp_at_once=str(settings.mailchimp_at_once),
        )
        self.log = log
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Returns when it is ready."""
        with self.log.open("a") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "kith", "worker"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=self._environment,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line == "Kith's worker is ready\n", f"{line}{self.log.read_text()}"

    def check(self) -> None:
        """It lives, and nothing went wrong in it that nobody has thought of."""
        assert self._process is not None and self._process.poll() is None, self.log.read_text()[-5000:]
        assert "Traceback" not in (said := self.log.read_text()), said[-5000:]

    def kill(self) -> None:
        """Without a word of warning."""
        assert self._process is not None
        self._process.kill()
        self.end()

    def end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(15)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


@dataclass
class Push:
    """A workspace with one integration, which a worker sends for to the fake."""

    kit: Kit
    workspace: Workspace
    client: httpx2.AsyncClient
    fake: HeardFake
    worker: Worker
    settings: Settings

    async def connect(self, provider: str) -> None:
        token = self.fake.hubspot.token if provider == "HUBSPOT" else self.fake.mailchimp.token
        credentials = {"accessToken" if provider == "HUBSPOT" else "apiKey": token}
        settings = {} if provider == "HUBSPOT" else {"listId": min(self.fake.mailchimp.lists)}
        body = {"provider": provider, "name": provider, "credentials": credentials, "settings": settings}
        made = await self.client.post("/crm/integrations", json=body)
        assert made.status_code == 201, made.text

    async def fill(self, contacts: int) -> People:
        return await fill(self.kit, self.workspace, contacts)

    async def reach(self, requests: int) -> None:
        """Returns once the fake was asked so often."""
        while len(self.fake.requests) < requests:
            assert await self.fake.hear(PATIENCE_S), f"nothing is sent\n{self.worker.log.read_text()[-5000:]}"
            self.worker.check()

    async def settle(self) -> None:
        """Returns when all there is was looked at, and nothing waits to be sent."""
        silent_s = 0.0
        while not await self._is_settled():
            self.worker.check()
            assert silent_s < PATIENCE_S, f"nothing is sent\n{self.worker.log.read_text()[-5000:]}"
            silent_s += QUIET_S
            while await self.fake.hear(QUIET_S):
                silent_s = 0.0

    async def _is_settled(self) -> bool:
        shown = (await self.client.get("/crm/integrations/1")).json()["data"]
        assert shown["status"] == "ACTIVE", shown
        if shown["pendingRecords"] or (shown["sync"] and not shown["sync"]["finishedAt"]):
            return False
        return bool(await self.kit.engine.database.fetchval(FEED_IS_READ))

    async def list_links(self) -> list[tuple[Any, ...]]:
        """What is known of what is there."""
        rows = await self.kit.engine.database.fetch(LINKS)
        return [tuple(row) for row in rows]


async def fill(kit: Kit, workspace: Workspace, contacts: int) -> People:
    """Put that many contacts on the log, with three activities each, and apply them."""

    async def append(command: Command) -> None:
        at = now()
        envelope = Envelope(operation_id=new_id("op", at), workspace_id=workspace.id, at=at, key_id=1, command=command)
        await kit.engine.log.append(workspace.shard, workspace.id, encode_envelope(envelope))

    people = People()
    for group in make_groups(people, contacts):
        for start in range(0, len(group), APPENDED_AT_ONCE):
            await asyncio.gather(*(append(command) for command in group[start : start + APPENDED_AT_ONCE]))
    await kit.drain()
    return people


def make_groups(people: People, contacts: int) -> Iterator[Sequence[Command]]:
    """Commands, group by group: within one the order does not matter."""
    at = now()
    companies = [new_id("cmp", at) for _ in range(contacts // COMPANY_EVERY // CONTACTS_OF_COMPANY + 1)]
    yield [CreateCompany(company_id=one, name=f"Company {n}") for n, one in enumerate(companies)]
    run = new_id("ctc", at)[-6:]
    people.emails = {new_id("ctc", at): f"person-{n}-{run}@example.com" for n in range(contacts)}
    yield [
        CreateContact(contact_id=one, email=email, given_name=f"No {n}", family_name="Person")
        for n, (one, email) in enumerate(people.emails.items())
    ]
    people.companies = {one: companies[n % len(companies)] for n, one in enumerate([*people.emails][::COMPANY_EVERY])}
    yield [AssociateCompany(contact_id=one, company_id=company) for one, company in people.companies.items()]
    logged = [
        LogActivity(contact_id=one, activity_id=new_id("act", at), activity_type=TYPES[(n + m) % 5], content=f"{n} {m}")
        for n, one in enumerate(people.emails)
        for m in range(ACTIVITIES)
    ]
    people.activities = {one.activity_id: one.contact_id for one in logged}
    yield logged


def now() -> datetime:
    at = datetime.now(UTC)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


@contextmanager
def serving_aside(fake: Fake) -> Iterator[str]:
    """In a thread of its own, so that it answers while the test waits for something else; its URL."""
    serves, ends = threading.Event(), threading.Event()
    urls: list[str] = []

    async def serve() -> None:
        async with serving(fake) as url:
            urls.append(url)
            serves.set()
            await asyncio.to_thread(ends.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert serves.wait(10)
        yield urls[0]
    finally:
        ends.set()
        thread.join()


@asynccontextmanager
async def open_push(database_url: str, fake: HeardFake, folder: Path, **limits: int) -> AsyncIterator[Push]:
    """Nothing runs yet but the fake."""
    with serving_aside(fake) as url:
        settings = msgspec.structs.replace(
            SETTINGS,
            secret_keys=new_key(),
            hubspot_url=f"{url}/hubspot",
            mailchimp_url=f"{url}/mailchimp/3.0",
            **limits,
        )
        worker = Worker(settings, database_url, folder / "worker.log")
        async with open_kit(database_url, settings) as kit:
            workspace = await kit.make_workspace()
            async with kit.open_client(await kit.make_key(workspace)) as client:
                try:
                    yield Push(kit, workspace, client, fake, worker, settings)
                finally:
                    worker.end()
