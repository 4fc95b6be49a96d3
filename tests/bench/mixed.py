"""How fast the writer applies a backlog of mixed commands, next to bare statements that save the same rows."""

import asyncio
import time
from collections.abc import Sequence

from kith.engine.apply.decisions import LoggedCommand, decide_batch
from kith.engine.context.property_schemas import SCHEMAS
from kith.engine.lists.dynamic_lists import DynamicLists
from kith.ids import new_id
from kith.model.commands import (
    AssignTag,
    AssociateCompany,
    Command,
    CreateCompany,
    CreateContact,
    CreateTag,
    LogActivity,
    UpdateContact,
)
from kith.model.records import Record
from kith.store.batch import KINDS, SAVES, make_counter, save
from kith.store.database import Connection
from tests.bench.apply import BATCH, BY_HAND_FROM, make_command, make_envelope, now, time_backlog
from tests.bench.figures import Figure
from tests.bench.installation import Installation
from tests.bench.queries import find_schema
from tests.bench.scale import connected

ROUNDS = 3


def bench_mixed(kith: Installation, commands: int, people_from: int) -> Figure:
    """Of ten commands three create a contact, three change one, two log an activity, one tags, one associates.

    They are about twice as many contacts as there are creates, none in two batches at once.
    """
    each = commands // ROUNDS
    applied_s = inserted_s = 0.0
    for n in range(ROUNDS):
        first = people_from + n * 2 * each
        inserted_s += asyncio.run(time_saves(kith, BY_HAND_FROM + first, each))
        before, mixed = make_backlog(first, each)
        time_backlog(kith, before)
        applied_s += time_backlog(kith, mixed)[0]
    count = each * ROUNDS
    return Figure(
        name="mixed commands from a backlog ÷ bare statements",
        value=inserted_s / applied_s,
        parts={"applied/s": count / applied_s, "saved/s": count / inserted_s, "commands": count},
    )


def make_backlog(first: int, count: int) -> tuple[list[Command], list[Command]]:
    """(what has to be there before, the mixed commands)."""
    at = now()
    people = [make_command(first + n, at) for n in range(count // 2)]
    tag = CreateTag(tag_id=new_id("tag", at), key=f"mixed-{first}")
    company = CreateCompany(company_id=new_id("cmp", at), name=f"Mixed {first}")
    mixed = [make_mixed(n, people, first + count + n, tag, company) for n in range(count)]
    return [tag, company, *people], mixed


def make_mixed(
    n: int, people: Sequence[CreateContact], newcomer: int, tag: CreateTag, company: CreateCompany
) -> Command:
    at = now()
    contact_id = people[(n // 10 * 5 + n % 5) % len(people)].contact_id
    match n % 10:
        case 0 | 1 | 2:
            return make_command(newcomer, at)
        case 3 | 4 | 5:
            return UpdateContact(contact_id=contact_id, changes={"lifecycle_stage": "CUSTOMER", "avatar": f"{n}.png"})
        case 6 | 7:
            activity_id = new_id("act", at)
            return LogActivity(contact_id=contact_id, activity_id=activity_id, activity_type="CALL", content="Talked")
        case 8:
            return AssignTag(entity="contact", record_id=contact_id, tag_id=tag.tag_id)
        case _:
            return AssociateCompany(contact_id=contact_id, company_id=company.company_id, role="CTO")


async def time_saves(kith: Installation, first: int, count: int) -> float:
    """Seconds to save what comes of the mixed commands, in batches as large as the writer's, with texts made before."""
    before, mixed = make_backlog(first, count)
    records: dict[tuple[str, str], Record] = {}
    numbers = dict.fromkeys(KINDS, first)
    earlier = await make_documents(kith.workspace.id, before, records, numbers)
    documents = await make_documents(kith.workspace.id, mixed, records, numbers)
    async with connected(kith) as connection:
        await save_each(connection, kith.workspace.shard, earlier)
        began_s = time.monotonic()
        await save_each(connection, kith.workspace.shard, documents)
        return time.monotonic() - began_s


async def make_documents(
    workspace: int, commands: Sequence[Command], records: dict[tuple[str, str], Record], numbers: dict[str, int]
) -> list[dict[str, str]]:
    """The rows of each batch by statement; ``records`` and ``numbers`` are moved on to what they leave."""
    made = []
    for start in range(0, len(commands), BATCH):
        batch = [
            LoggedCommand(n, make_envelope(workspace, one)) for n, one in enumerate(commands[start : start + BATCH])
        ]
        known = [*records.values(), *(find_schema(workspace, entity) for entity in SCHEMAS)]
        counters = {workspace: make_counter(workspace, numbers, 1, 0)}
        loaded = [(workspace, one) for one in known]
        decided = await decide_batch(batch, loaded, counters, set(), now(), None, None, lambda _: DynamicLists((), {}))
        rows = await decided.make_record_rows()
        made.append({name: rows[name] for name in SAVES if name in rows})
        for _, events in decided.list_accepted():
            records.update({one.identity: one for event in events for one in (event.record, *event.also)})
        state, _ = decided.get_end(workspace)
        assert state is not None and state.numbers is not None
        numbers.update(state.numbers)
        assert len(decided.list_accepted()) == len(batch), "a command was refused, or changed nothing"
    return made


async def save_each(connection: Connection, shard: int, batches: Sequence[dict[str, str]]) -> None:
    for rows in batches:
        async with connection.transaction():
            await save(connection, shard, rows)
