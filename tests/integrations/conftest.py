"""A workspace whose integrations end at the fake of HubSpot and Mailchimp, and that fake by itself."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx2
import msgspec
import pytest
import stamina

from kith.clock import FixedClock, SystemClock
from kith.integrations.accounts import from_row
from kith.integrations.factory import Opener
from kith.integrations.http import open_client
from kith.integrations.outbox import Lost
from kith.integrations.runner import Runner
from kith.integrations.sync_cycle import Session
from kith.model.workspaces import Workspace
from kith.store.queries import load_queries
from tests.integrations.mailchimp_audience import Audience, Open, opening
from tests.kit import SETTINGS, Kit, open_kit
from tools.fake_vendors import hubspot as fake_hubspot
from tools.fake_vendors import mailchimp as fake_mailchimp
from tools.fake_vendors.app import Fake
from tools.fake_vendors.transport import FakeTransport

_SQL = load_queries("integrations")
# So much that no test waits for its turn.
FAST: dict[str, Any] = {"hubspot_per_10s": 1_000_000, "mailchimp_per_s": 100_000, "mailchimp_at_once": 8}


PUBLIC = "https://crm.example.com"


class Shop:
    """Writes records by HTTP, and sends them to the fake when it is told to ``settle``."""

    def __init__(self, kit: Kit, workspace: Workspace, client: httpx2.AsyncClient, fake: Fake, runner: Runner) -> None:
        self.kit, self.workspace, self.client, self.fake, self.runner = kit, workspace, client, fake, runner

    async def connect(self, provider: str, more: Mapping[str, Any] | None = None, **settings: Any) -> str:
        """``more`` of the body, beside its settings."""
        token = self.fake.hubspot.token if provider == "HUBSPOT" else self.fake.mailchimp.token
        name = "accessToken" if provider == "HUBSPOT" else "apiKey"
        if provider == "MAILCHIMP":
            settings.setdefault("listId", min(self.fake.mailchimp.lists))
        body = {"provider": provider, "name": provider, "credentials": {name: token}, "settings": settings}
        body |= more or {}
        made = await self.client.post("/crm/integrations", json=body)
        assert made.status_code == 201, made.text
        return str(made.json()["data"]["externalId"])

    async def make(self, path: str, **body: Any) -> str:
        answer = await self.client.post(f"/crm/{path}", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["data"]["externalId"])

    async def change(self, path: str, **body: Any) -> None:
        answer = await self.client.patch(f"/crm/{path}", json=body)
        assert answer.status_code == 202, answer.text

    @asynccontextmanager
    async def open_session(self, number: int = 1) -> AsyncIterator[Session]:
        """As the runner opens one. The first time it is opened twice, as whose account it is was not known."""
        key = (self.workspace.shard, self.workspace.id, number)
        while True:
            row = await self.runner._own(key)
            assert row is not None
            one = from_row(row)
            async with self.runner._open_provider(one) as provider:
                try:
                    session = await self.runner._open_session(key, one, provider)
                except Lost:
                    continue
                yield session
                return

    async def settle(self, number: int = 1) -> None:
        await self.kit.drain()
        async with self.open_session(number) as session:
            while await session.step():
                pass

    async def list_failures(self, one: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.client.get(f"/crm/integrations/{one}/failures")).json()["data"]
        return found


@pytest.fixture
async def shop(database_url: str) -> AsyncIterator[Shop]:
    settings = msgspec.structs.replace(SETTINGS, webhook_url=PUBLIC, **FAST)
    fake = Fake()
    stamina.set_testing(True, attempts=3)
    async with open_kit(database_url, settings) as kit, open_client(5, FakeTransport(fake)) as http:
        workspace = await kit.make_workspace()
        opener = Opener(kit.engine.database, http, SystemClock(), settings)
        runner = Runner(kit.engine.database, database_url, SystemClock(), opener.open)
        async with kit.open_client(await kit.make_key(workspace)) as client:
            yield Shop(kit, workspace, client, fake, runner)
    stamina.set_testing(False)


class Ticks:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def vendor_clock() -> FixedClock:
    return FixedClock(datetime(2026, 11, 22, 10, tzinfo=UTC))


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def fake(vendor_clock: FixedClock, ticks: Ticks) -> Fake:
    return Fake(clock=vendor_clock, monotonic=ticks)


@pytest.fixture
async def hubspot(fake: Fake) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"Authorization": f"Bearer {fake.hubspot.token}"}
    url = f"http://vendors.example{fake_hubspot.PREFIX}"
    async with httpx2.AsyncClient(transport=FakeTransport(fake), base_url=url, headers=headers) as client:
        yield client


@pytest.fixture
async def mailchimp(fake: Fake) -> AsyncIterator[httpx2.AsyncClient]:
    url = f"http://vendors.example{fake_mailchimp.PREFIX}"
    headers = {"Authorization": f"Bearer {fake.mailchimp.token}"}
    async with httpx2.AsyncClient(transport=FakeTransport(fake), base_url=url, headers=headers) as client:
        yield client


@pytest.fixture
def no_waits() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture
def audience() -> Audience:
    return Audience()


@pytest.fixture
async def open_mailchimp(audience: Audience) -> AsyncIterator[Open]:
    async with opening(audience) as opened:
        yield opened
