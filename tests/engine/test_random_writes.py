"""Any commands in batches of any size give what the pure model gives, one command after the other."""

import random
from collections.abc import Iterator

import pytest

from kith.engine.admin.replay import replay_check
from kith.model.commands import Command, CreateContact, DeleteContact, Envelope, RestoreContact, UpdateContact
from kith.model.contacts import Contact
from kith.model.decide import Accepted, Rejected, decide, fold, touches
from kith.model.state import Ref, State
from kith.store.batch import load_records
from tests.engine.acts import Acts
from tests.kit import SETTINGS, Kit

COMMANDS = 400
EMAILS = [f"{n}@example.com" for n in range(12)]


def make_commands(chance: random.Random) -> Iterator[Command]:
    """Few contacts and fewer emails, so that most commands meet another one's traces."""
    ids = ["ctc_never"]
    for n in range(COMMANDS):
        contact_id = chance.choice(ids[-15:])
        match chance.choice(("create", "update", "email", "delete", "restore", "status")):
            case "create":
                ids.append(f"ctc_{n}")
                yield CreateContact(contact_id=ids[-1], name="Mia", email=chance.choice((*EMAILS, None, None, None)))
            case "update":
                changes = {
                    "given_name": chance.choice((None, "Ada", "Eve")),
                    "properties": {"n": chance.choice((n, None))},
                }
                yield UpdateContact(
                    contact_id=contact_id, changes=changes, if_version=chance.choice((None, None, 1, 2))
                )
            case "email":
                yield UpdateContact(contact_id=contact_id, changes={"email": chance.choice((*EMAILS, None))})
            case "status":
                yield UpdateContact(contact_id=contact_id, changes={"status": chance.choice(("ACTIVE", "ARCHIVED"))})
            case "delete":
                yield DeleteContact(contact_id=contact_id)
            case "restore":
                yield RestoreContact(contact_id=contact_id)


def run_model(envelopes: list[Envelope]) -> tuple[list[Contact], list[str | None]]:
    """The contacts at the end, and the code of each rejection, None for what was applied."""
    state = State({"contact": 1})
    for email in EMAILS:
        state.set_holder(("email", email), None)
    ids, codes = [], []
    for envelope in envelopes:
        state.mark_absent(touches(envelope.command))
        decision = decide(state, envelope.command, envelope.at)
        codes.append(decision.code if isinstance(decision, Rejected) else None)
        if isinstance(decision, Accepted):
            for event in decision.events:
                fold(state, event)
        ids.append(envelope.command.contact_id)
    found = (state.peek(("contact", contact_id)) for contact_id in dict.fromkeys(ids))
    return [contact for contact in found if isinstance(contact, Contact)], codes


@pytest.mark.parametrize("seed", range(8))
async def test_batches_give_what_the_model_gives(own_kit: Kit, own_acts: Acts, seed: int) -> None:
    chance = random.Random(seed)
    envelopes = [own_acts.make_envelope(command) for command in make_commands(chance)]
    contacts, codes = run_model(envelopes)
    assert len(set(codes)) >= 5, "every kind of rejection"
    waiting = list(envelopes)
    while waiting:
        count = chance.randrange(1, 120)
        await own_acts.append(*waiting[:count])
        del waiting[:count]
        own_kit.writer._batch_max = chance.randrange(1, 120)
        await own_kit.drain()
    assert await load_all(own_acts) == contacts
    ended = dict(await own_acts.fetch("SELECT id, error ->> 'code' FROM operations WHERE workspace_id = $1"))
    assert [ended[envelope.operation_id] for envelope in envelopes] == codes
    report = await replay_check(own_kit.url, SETTINGS)
    assert (report.entries, report.differences) == (COMMANDS, [])


async def load_all(acts: Acts) -> list[Contact]:
    """Every contact as the database has it, in the order of their numbers."""
    numbers = await acts.fetch("SELECT id FROM contacts WHERE workspace_id = $1 ORDER BY id")
    refs = [(acts.workspace.id, Ref("contact", "number", number)) for (number,) in numbers]
    async with acts.engine.database.acquire() as connection:
        found = await load_records(connection, acts.workspace.shard, refs)
    by_number = {contact.number: contact for _, contact in found if isinstance(contact, Contact)}
    return [by_number[number] for (number,) in numbers]
