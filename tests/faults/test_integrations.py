"""Workers that are killed while they push, to services that fail now and then: all is there, and nothing twice."""

import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kith.integrations.hubspot.settings import KEY_PROPERTY
from kith.integrations.runner import OWNED_S
from tests.faults.pushing import ACTIVITIES, HeardFake, People, Push, open_push
from tools.fake_vendors.app import Fake
from tools.fake_vendors.faults import Faults

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3000)]

SEED = int(os.environ.get("KITH_TEST_SEED", "1"))
IN_FULL = int(os.environ.get("KITH_TEST_KILLS", "6")) >= 10
KILLS = 10 if IN_FULL else 3
HUBSPOT_CONTACTS, MAILCHIMP_CONTACTS = (10_000, 2000) if IN_FULL else (300, 60)
FAULTS = 0.05
# So much that only the fake is what is waited for.
LIMITS = {"hubspot_per_10s": 1_000_000, "mailchimp_per_s": 100_000, "mailchimp_at_once": 8}
WRITES = ("POST", "PUT", "PATCH", "DELETE")


@asynccontextmanager
async def pushing(database_url: str, folder: Path, provider: str) -> AsyncIterator[Push]:
    fake = HeardFake(faults=Faults(FAULTS, SEED), latency_s=0.005)
    fake.hubspot.requests_per_10_s = None
    async with open_push(database_url, fake, folder, **LIMITS) as push:
        await push.connect(provider)
        yield push


async def push_and_kill(push: Push, requests: int) -> None:
    """Kill the worker again and again, within about so many requests, then let it finish."""
    chance = random.Random(SEED)
    began_s = time.monotonic()
    push.worker.start()
    for kill in range(1, KILLS + 1):
        await push.reach(max(len(push.fake.requests) + 2, chance.randrange(requests * kill // (KILLS + 1)) + 1))
        push.worker.kill()
        push.worker.start()
    await push.settle()
    faults = Counter(one.fault for one in push.fake.requests if one.fault)
    print(f"{len(push.fake.requests)} requests in {time.monotonic() - began_s:.0f} s, {KILLS} kills, faults: {faults}")


async def check_second_sync(push: Push) -> None:
    """It sends nothing: what is there has the hashes of what would be sent."""
    failures = (await push.client.get("/crm/integrations/1/failures")).json()["data"]
    assert failures == []
    links, sent = await push.list_links(), len(push.fake.requests)
    assert {state for *_, state, _ in links} == {"SYNCED"} and all(hash_ for _, _, _, hash_, *_ in links)
    started = await push.client.post("/crm/integrations/1/sync")
    assert started.status_code == 200, started.text
    await push.settle()
    assert [(one.method, one.path) for one in push.fake.requests[sent:] if one.method in WRITES] == []
    assert await push.list_links() == links


def check_hubspot(fake: Fake, people: People) -> None:
    """Each record once, by our id; each activity and company with its contact, and no other."""
    hubspot = fake.hubspot
    there = {
        kind: {identifier: one.properties.get(KEY_PROPERTY) for identifier, one in records.items() if not one.archived}
        for kind, records in hubspot.objects.items()
    }
    contacts = there.pop("contacts")
    assert sorted(contacts.values()) == sorted(people.emails)
    by_ours = {ours: identifier for identifier, ours in contacts.items()}
    emails = {ours: hubspot.objects["contacts"][one].properties["email"] for ours, one in by_ours.items()}
    assert emails == people.emails
    companies = there.pop("companies")
    assert len(companies) == len(set(companies.values())) == len({*companies.values()} | {*people.companies.values()})
    with_company = {
        ours: [companies[one] for one in hubspot.find_associated("contacts", identifier, "companies")]
        for ours, identifier in by_ours.items()
    }
    assert {ours: found[0] for ours, found in with_company.items() if found} == people.companies
    assert max(map(len, with_company.values())) == 1
    assert sorted(ours for kind in there.values() for ours in kind.values()) == sorted(people.activities)
    whose = {
        ours: [contacts[one] for one in hubspot.find_associated(kind, identifier, "contacts")]
        for kind, records in there.items()
        for identifier, ours in records.items()
    }
    assert whose == {ours: [contact] for ours, contact in people.activities.items()}


def find_reference(note: str) -> str:
    """The activity that the note is of."""
    return note.partition("[kith:")[2].partition("]")[0]


def check_mailchimp(fake: Fake, people: People) -> None:
    """Each member and each note once; an event once, or not at all where nothing tells whether it arrived."""
    members = [member for one in fake.mailchimp.members.values() for member in one.values()]
    assert sorted(member.email_address for member in members) == sorted(people.emails.values())
    notes = [(find_reference(note.note), member) for member in members for note in member.notes.values()]
    events = [(event.properties["activity_id"], member) for member in members for event in member.events]
    assert sorted(activity for activity, _ in notes) == sorted(people.activities)
    twice = [activity for activity, times in Counter(activity for activity, _ in events).items() if times > 1]
    assert twice == []
    for activity, member in [*notes, *events]:
        assert people.emails[people.activities[activity]] == member.email_address
    print(f"{len(people.activities) - len(events)} of {len(people.activities)} events are not there")
    assert len(events) > 0.8 * len(people.activities)


async def test_all_is_in_hubspot_once_however_often_its_worker_is_killed(database_url: str, tmp_path: Path) -> None:
    async with pushing(database_url, tmp_path, "HUBSPOT") as push:
        people = await push.fill(HUBSPOT_CONTACTS)
        await push_and_kill(push, HUBSPOT_CONTACTS * ACTIVITIES // 100 * 3)
        check_hubspot(push.fake, people)
        await check_second_sync(push)


async def test_all_is_in_mailchimp_once_however_often_its_worker_is_killed(database_url: str, tmp_path: Path) -> None:
    async with pushing(database_url, tmp_path, "MAILCHIMP") as push:
        people = await push.fill(MAILCHIMP_CONTACTS)
        await push_and_kill(push, MAILCHIMP_CONTACTS * (1 + 2 * ACTIVITIES))
        check_mailchimp(push.fake, people)
        await check_second_sync(push)


async def test_a_killed_worker_is_followed_by_another_long_before_its_time_is_over(
    database_url: str, tmp_path: Path
) -> None:
    async with pushing(database_url, tmp_path, "HUBSPOT") as push:
        push.fake.faults.rate = 0
        push.worker.start()
        await push.fill(1)
        await push.settle()
        push.worker.kill()
        began_s = time.monotonic()
        people = await push.fill(1)
        push.worker.start()
        await push.settle()
        assert time.monotonic() - began_s < OWNED_S / 2
        assert push.fake.hubspot.find_contact(*people.emails.values()) is not None


async def test_what_a_killed_worker_had_under_way_is_not_sent_again_while_it_may_arrive(
    database_url: str, tmp_path: Path
) -> None:
    async with pushing(database_url, tmp_path, "MAILCHIMP") as push:
        push.fake.faults.rate = 0
        people = await push.fill(1)
        push.fake.hold_next("/notes")
        push.worker.start()
        while not push.fake.list_requests("mailchimp", "POST", "/notes"):
            assert await push.fake.hear(10)
        push.worker.kill()
        push.worker.start()
        while await push.fake.hear(3):
            pass
        push.fake.release()
        await push.settle()
        check_mailchimp(push.fake, people)
