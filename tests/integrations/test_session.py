"""What becomes of the feed: records go out once, in their order, and come to rest whatever fails."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest

from kith.clock import FixedClock
from kith.integrations.failures import Limited, Permanent, Transient, Unauthorized
from kith.integrations.outbox import Lost, Outbox
from kith.integrations.sync_cycle import Session, Standing
from kith.store.queries import load_queries
from tests.integrations.notebook import Notebook
from tests.kit import Kit

_SQL = load_queries("integrations")


class Desk:
    """An integration with a notebook for a provider, in a workspace that a client writes to."""

    def __init__(self, kit: Kit, client: httpx2.AsyncClient, clock: FixedClock, key: tuple[int, int, int]) -> None:
        self.kit, self.client, self.clock, self.key = kit, client, clock, key
        self.notebook = Notebook()

    async def open_session(self, owner: str = "me") -> Session:
        row = await self.kit.engine.database.fetchrow(_SQL["own_integration"], *self.key, owner, 30.0)
        assert row is not None
        outbox = Outbox(self.kit.engine.database, self.key, owner, row["epoch"])
        sync = None if row["sync"] is None else msgspec.json.decode(row["sync"])
        return Session(outbox, self.notebook, self.clock, Standing(row["feed_sequence"], sync, row["rests_until"]))

    async def settle(self, session: Session) -> None:
        await self.kit.drain()
        while await session.step():
            pass

    async def make(self, path: str, **body: Any) -> str:
        answer = await self.client.post(f"/crm/{path}", json=body)
        assert answer.status_code == 202, answer.text
        return answer.json()["data"]["externalId"]

    async def list_jobs(self) -> list[tuple[str, int, str]]:
        rows = await self.kit.engine.database.fetch(
            "SELECT entity, record_id, status FROM sync_jobs WHERE shard = $1 AND workspace_id = $2 ORDER BY 1, 2",
            *self.key[:2],
        )
        return [tuple(row) for row in rows]


@pytest.fixture
async def desk(timed_kit: Kit, clock: FixedClock) -> AsyncIterator[Desk]:
    workspace = await timed_kit.make_workspace()
    async with timed_kit.open_client(await timed_kit.make_key(workspace)) as client:
        number = await timed_kit.engine.database.fetchval(
            _SQL["insert_integration"],
            workspace.shard,
            workspace.id,
            "int_x",
            "HUBSPOT",
            "Notebook",
            b"",
            "{}",
            clock.now(),
            b"",
            None,
            "archive",
        )
        yield Desk(timed_kit, client, clock, (workspace.shard, workspace.id, number))


async def test_what_is_made_goes_out_with_what_hangs_on_it(desk: Desk) -> None:
    session = await desk.open_session()
    contact = await desk.make("contacts", email="a@example.com", name="Ada")
    company = await desk.make("companies", name="Acme")
    await desk.make(f"contacts/{contact}/companies", companyId=company)
    await desk.make(f"contacts/{contact}/activities", type="NOTE", content="Hello")
    await desk.settle(session)
    notebook = desk.notebook
    assert notebook.list_kept("contact") == [{"email": "a@example.com", "name": "Ada", "tags": []}]
    (contact_id,) = [key for kind, key in notebook.kept if kind == "contact"]
    (company_id,) = [key for kind, key in notebook.kept if kind == "company"]
    assert notebook.list_kept("association") == [{"contact": contact_id, "companies": [company_id]}]
    assert notebook.list_kept("activity") == [{"contact": contact_id, "content": "Hello"}]
    assert await desk.list_jobs() == []


async def test_a_change_goes_out_once_and_what_is_the_same_does_not(desk: Desk) -> None:
    session = await desk.open_session()
    contact = await desk.make("contacts", email="a@example.com", name="Ada")
    for name in ("Ada L.", "Ada Lovelace"):
        await desk.client.patch(f"/crm/contacts/{contact}", json={"name": name})
    await desk.settle(session)
    assert desk.notebook.sent == [("contact", 1)]
    await desk.client.patch(f"/crm/contacts/{contact}", json={"lifecycleStage": "CUSTOMER"})
    await desk.settle(session)
    assert desk.notebook.sent == [("contact", 1)]
    await desk.client.patch(f"/crm/contacts/{contact}", json={"name": "Augusta Ada"})
    await desk.settle(session)
    assert [one["name"] for one in desk.notebook.list_kept("contact")] == ["Augusta Ada"]


async def test_activities_wait_until_their_contact_is_there(desk: Desk) -> None:
    session = await desk.open_session()
    contact = await desk.make("contacts", name="Nameless")
    for content in ("one", "two"):
        await desk.make(f"contacts/{contact}/activities", type="NOTE", content=content)
    await desk.settle(session)
    assert desk.notebook.kept == {} and await desk.list_jobs() == []
    await desk.client.patch(f"/crm/contacts/{contact}", json={"email": "n@example.com"})
    await desk.settle(session)
    assert [one["content"] for one in desk.notebook.list_kept("activity")] == ["one", "two"]


async def test_what_is_deleted_goes_and_what_is_restored_comes_back_with_all_it_has(desk: Desk) -> None:
    session = await desk.open_session()
    contact = await desk.make("contacts", email="a@example.com")
    await desk.make(f"contacts/{contact}/activities", type="NOTE", content="Hello")
    await desk.settle(session)
    await desk.client.delete(f"/crm/contacts/{contact}")
    await desk.settle(session)
    assert desk.notebook.list_kept("contact") == []
    await desk.client.post(f"/crm/contacts/{contact}/restore")
    await desk.settle(session)
    (again,) = [key for kind, key in desk.notebook.kept if kind == "contact"]
    assert [one["contact"] for one in desk.notebook.list_kept("activity")] == [again]


async def test_a_merged_contact_goes_into_its_winner(desk: Desk) -> None:
    session = await desk.open_session()
    winner = await desk.make("contacts", email="a@example.com")
    loser = await desk.make("contacts", email="b@example.com")
    await desk.make(f"contacts/{loser}/activities", type="NOTE", content="of the loser")
    await desk.settle(session)
    merged = await desk.client.post(f"/crm/contacts/{winner}/merge", json={"loserId": loser})
    assert merged.status_code == 202
    await desk.settle(session)
    assert [one["email"] for one in desk.notebook.list_kept("contact")] == ["a@example.com"]
    assert await desk.list_jobs() == []


async def test_one_that_is_refused_holds_nobody_up_and_goes_out_when_it_changes(desk: Desk) -> None:
    session = await desk.open_session()
    desk.notebook.failures["contact", 2] = Permanent("Its name is not allowed.", status=400, reference="x-1")
    for n in range(1, 4):
        await desk.make("contacts", email=f"{n}@example.com", name=f"No {n}")
    await desk.settle(session)
    assert desk.notebook.sent == [("contact", 1), ("contact", 3)]
    assert await desk.list_jobs() == [("contact", 2, "DEAD")]
    desk.notebook.failures.clear()
    await desk.client.patch("/crm/contacts/2", json={"name": "Number two"})
    await desk.settle(session)
    assert desk.notebook.sent[-1] == ("contact", 2) and await desk.list_jobs() == []


async def test_a_provider_that_is_down_for_an_hour_loses_nothing_and_keeps_the_order(desk: Desk) -> None:
    session = await desk.open_session()
    desk.notebook.down = Transient("503", status=503)
    for n in range(1, 31):
        await desk.make("contacts", email=f"{n}@example.com")
        await desk.settle(session)
        desk.clock.advance(120)
    assert desk.notebook.sent == []
    assert [status for *_, status in await desk.list_jobs()] == ["PENDING"] * 30
    desk.notebook.down = None
    desk.clock.advance(600)
    await desk.settle(session)
    assert desk.notebook.sent == [("contact", n) for n in range(1, 31)]


async def test_an_outage_that_begins_just_after_something_was_sent_gives_up_nothing(desk: Desk) -> None:
    session = await desk.open_session()
    await desk.make("contacts", email="1@example.com")
    await desk.settle(session)
    desk.notebook.down = Transient("503", status=503)
    await desk.make("contacts", email="2@example.com")
    await desk.kit.drain()
    for _ in range(1200):
        await session.step()
        desk.clock.advance(1)
    assert await desk.list_jobs() == [("contact", 2, "PENDING")]
    desk.notebook.down = None
    desk.clock.advance(300)
    await desk.settle(session)
    assert desk.notebook.sent == [("contact", 1), ("contact", 2)]


async def test_an_outage_that_is_told_record_by_record_is_no_records_fault(desk: Desk) -> None:
    session = await desk.open_session()
    for n in range(1, 4):
        await desk.make("contacts", email=f"{n}@example.com")
        desk.notebook.failures["contact", n] = Transient("503", status=503)
    await desk.kit.drain()
    asked = 0
    for _ in range(3600):
        before = session.rests_until
        await session.step()
        asked += session.rests_until != before
        desk.clock.advance(1)
    assert [status for *_, status in await desk.list_jobs()] == ["PENDING"] * 3
    assert 12 <= asked <= 120
    desk.notebook.failures.clear()
    desk.clock.advance(300)
    await desk.settle(session)
    assert sorted(desk.notebook.sent) == [("contact", n) for n in range(1, 4)]


async def test_while_it_is_down_it_is_asked_more_and_more_seldom(desk: Desk) -> None:
    session = await desk.open_session()
    await desk.make("contacts", email="a@example.com")
    desk.notebook.down = Transient("503", status=503)
    asked = 0
    for _ in range(3600):
        before = session.rests_until
        await desk.settle(session) if not asked else await session.step()
        asked += session.rests_until != before
        desk.clock.advance(1)
    assert 12 <= asked <= 120


async def test_one_that_keeps_failing_while_others_work_is_set_aside(desk: Desk) -> None:
    session = await desk.open_session()
    desk.notebook.failures["contact", 1] = Transient("500", status=500)
    await desk.make("contacts", email="1@example.com")
    for n in range(2, 40):
        await desk.make("contacts", email=f"{n}@example.com")
        await desk.settle(session)
        desk.clock.advance(200)
    assert await desk.list_jobs() == [("contact", 1, "DEAD")]
    assert len(desk.notebook.sent) == 38


async def test_a_limit_is_nobodys_fault(desk: Desk, clock: FixedClock) -> None:
    session = await desk.open_session()
    await desk.make("contacts", email="a@example.com")
    for _ in range(20):
        desk.notebook.down = Limited("429", FixedClock(clock.now()).now(), status=429)
        await desk.settle(session)
        clock.advance(10)
    desk.notebook.down = None
    await desk.settle(session)
    assert desk.notebook.sent == [("contact", 1)]


async def test_credentials_that_are_not_taken_stop_it(desk: Desk) -> None:
    session = await desk.open_session()
    await desk.make("contacts", email="a@example.com")
    desk.notebook.down = Unauthorized("401", status=401)
    await desk.kit.drain()
    with pytest.raises(Unauthorized):
        await session.step()
    assert await desk.list_jobs() == [("contact", 1, "PENDING")]


async def test_who_lost_the_integration_saves_nothing(desk: Desk) -> None:
    session = await desk.open_session("first")
    await desk.make("contacts", email="a@example.com")
    await desk.kit.drain()
    await desk.kit.engine.database.execute("UPDATE integrations SET owned_until = '-infinity'")
    second = await desk.open_session("second")
    with pytest.raises(Lost):
        await session.step()
    await desk.settle(second)
    assert desk.notebook.sent == [("contact", 1)]
