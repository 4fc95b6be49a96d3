"""As many statements for fifty commands of a kind as for one, whichever noun it is about."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import asyncpg
import pytest

from kith.clock import SystemClock
from kith.engine.apply.writer import Writer
from kith.model.commands import (
    AddMembers,
    ArchiveProperty,
    AssignTag,
    AssociateCompany,
    Command,
    CreateCompany,
    CreateContact,
    CreateList,
    CreateProperty,
    CreateTag,
    DeleteCompany,
    DeleteContact,
    DeleteList,
    DeleteTag,
    LogActivity,
    MergeContacts,
    RemoveAssociation,
    RemoveMembers,
    RemoveTag,
    RestoreCompany,
    RestoreContact,
    UpdateAssociation,
    UpdateCompany,
    UpdateContact,
    UpdateList,
    UpdateProperty,
    UpdateTag,
)
from kith.store.database import make_server_settings
from tests.engine.acts import Acts
from tests.engine.test_batches import OneConnection, apply_counting
from tests.kit import SETTINGS, Kit

SHARED: Sequence[Command] = (
    CreateContact(contact_id="ctc_shared", name="Ada"),
    CreateCompany(company_id="cmp_shared", name="Acme"),
    CreateTag(tag_id="tag_shared", key="shared"),
    CreateList(list_id="lst_shared", name="All", entity_type="CONTACT"),
)
# In this order each is applied: by what it does, the command for the records of a number.
STEPS: Mapping[str, Callable[[int], Command]] = {
    "create contacts": lambda n: CreateContact(contact_id=f"ctc_{n}", email=f"{n}@example.com", name="Ada"),
    "create companies": lambda n: CreateCompany(company_id=f"cmp_{n}", name="Acme", domain=f"{n}.example"),
    "create tags": lambda n: CreateTag(tag_id=f"tag_{n}", key=f"key-{n}"),
    "create lists": lambda n: CreateList(list_id=f"lst_{n}", name="Some", entity_type="COMPANY"),
    "update contacts": lambda n: UpdateContact(contact_id=f"ctc_{n}", changes={"email": f"{n}@other.example"}),
    "update companies": lambda n: UpdateCompany(company_id=f"cmp_{n}", changes={"domain": f"{n}.other.example"}),
    "update tags": lambda n: UpdateTag(tag_id=f"tag_{n}", changes={"name": "Seen"}),
    "update lists": lambda n: UpdateList(list_id=f"lst_{n}", changes={"name": "Others"}),
    "associate": lambda n: AssociateCompany(contact_id=f"ctc_{n}", company_id=f"cmp_{n}", is_primary=True),
    "associate one company with all": lambda n: AssociateCompany(contact_id=f"ctc_{n}", company_id="cmp_shared"),
    "associate one contact with all": lambda n: AssociateCompany(contact_id="ctc_shared", company_id=f"cmp_{n}"),
    "update associations": lambda n: UpdateAssociation(
        contact_id=f"ctc_{n}", company_id=f"cmp_{n}", changes={"role": "CEO", "properties": {"since": n}}
    ),
    "make others primary": lambda n: UpdateAssociation(
        contact_id=f"ctc_{n}", company_id="cmp_shared", changes={"is_primary": True}
    ),
    "assign tags to contacts": lambda n: AssignTag(entity="contact", record_id=f"ctc_{n}", tag_id=f"tag_{n}"),
    "assign one tag to all": lambda n: AssignTag(entity="contact", record_id=f"ctc_{n}", tag_id="tag_shared"),
    "assign all tags to one": lambda n: AssignTag(entity="contact", record_id="ctc_shared", tag_id=f"tag_{n}"),
    "assign tags to companies": lambda n: AssignTag(entity="company", record_id=f"cmp_{n}", tag_id=f"tag_{n}"),
    "log activities": lambda n: LogActivity(
        activity_id=f"act_{n}", contact_id=f"ctc_{n}", activity_type="CALL", properties={"n": n}
    ),
    "log activities of one": lambda n: LogActivity(
        activity_id=f"act_{n}_shared", contact_id="ctc_shared", activity_type="NOTE"
    ),
    "add contacts to a list": lambda n: AddMembers(list_id="lst_shared", entity="contact", record_ids=[f"ctc_{n}"]),
    "add companies to lists": lambda n: AddMembers(list_id=f"lst_{n}", entity="company", record_ids=[f"cmp_{n}"]),
    "delete contacts that are linked": lambda n: DeleteContact(contact_id=f"ctc_{n}"),
    "restore contacts": lambda n: RestoreContact(contact_id=f"ctc_{n}"),
    "delete companies that are linked": lambda n: DeleteCompany(company_id=f"cmp_{n}"),
    "restore companies": lambda n: RestoreCompany(company_id=f"cmp_{n}"),
    "remove associations": lambda n: RemoveAssociation(contact_id=f"ctc_{n}", company_id=f"cmp_{n}"),
    "remove tags from contacts": lambda n: RemoveTag(entity="contact", record_id=f"ctc_{n}", tag_id="tag_shared"),
    "remove tags from companies": lambda n: RemoveTag(entity="company", record_id=f"cmp_{n}", tag_id=f"tag_{n}"),
    "take contacts off a list": lambda n: RemoveMembers(
        list_id="lst_shared", entity="contact", record_ids=[f"ctc_{n}"]
    ),
    "delete tags that are assigned": lambda n: DeleteTag(tag_id=f"tag_{n}"),
    "delete lists that have members": lambda n: DeleteList(list_id=f"lst_{n}"),
}
# The cursor, what is loaded (each kind, operations, counters), the record, its links and its counts, events,
# operations, totals, counters, and the two that begin and end the transaction; the rest is what reads the log.
STATEMENTS_MAX = 16
# What a definition adds: the schemas and the lists of the workspace, and the windows of a survey and of a conversion.
ITS_OWN = 6
MOVED = """
SELECT (SELECT count(*) FROM associations WHERE workspace_id = $1 AND contact_id = c.id),
  (SELECT count(*) FROM taggings WHERE workspace_id = $1 AND entity = 'contact' AND record_id = c.id),
  (SELECT count(*) FROM activities WHERE workspace_id = $1 AND contact_id = c.id)
FROM contacts c WHERE workspace_id = $1 AND external_id = $2
"""


async def append(acts: Acts, commands: Sequence[Command]) -> None:
    await acts.append(*(acts.make_envelope(command) for command in commands))


async def list_statuses(acts: Acts) -> list[tuple[str]]:
    return await acts.fetch("SELECT DISTINCT status FROM operations WHERE workspace_id = $1")


async def test_each_command_costs_the_same_statements_in_a_batch_of_any_size(own_kit: Kit, own_acts: Acts) -> None:
    await append(own_acts, SHARED)
    await own_kit.drain()
    counted: dict[str, list[list[str]]] = {}
    for numbers in (range(1), range(1, 10), range(10, 60)):
        for name, make in STEPS.items():
            await append(own_acts, [make(n) for n in numbers])
            counted.setdefault(name, []).append(await apply_counting(own_kit))
    assert await list_statuses(own_acts) == [("APPLIED",)]
    assert {name for name, (few, more, many) in counted.items() if not few == more == many} == set()
    most = {name: len(few) for name, (few, *_) in counted.items() if len(few) > STATEMENTS_MAX}
    assert most == {}


async def test_a_batch_of_all_nouns_costs_the_same_statements_at_any_size(own_kit: Kit, own_acts: Acts) -> None:
    await append(own_acts, SHARED)
    await own_kit.drain()
    counted = []
    for numbers in (range(2), range(2, 7), range(7, 22)):
        await append(own_acts, [make(n) for make in STEPS.values() for n in numbers])
        counted.append(await apply_counting(own_kit))
    assert await list_statuses(own_acts) == [("APPLIED",)]
    assert counted[0] == counted[1] == counted[2]


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "behind others"])
async def test_a_merge_costs_the_same_statements_whatever_it_moves(own_kit: Kit, own_acts: Acts, alone: bool) -> None:
    counted = []
    for side, size in enumerate((1, 10, 60)):
        sides = [f"ctc_{side}_winner", f"ctc_{side}_loser"]
        await append(own_acts, [CreateContact(contact_id=one, email=f"{one}@example.com") for one in sides])
        commands: list[Command] = []
        for n in (f"{side}-{n}" for n in range(size)):
            commands += [CreateCompany(company_id=f"cmp_{n}", name="Acme"), CreateTag(tag_id=f"tag_{n}", key=n)]
            commands.append(AssociateCompany(contact_id=sides[1], company_id=f"cmp_{n}"))
            commands.append(AssignTag(entity="contact", record_id=sides[1], tag_id=f"tag_{n}"))
            commands.append(LogActivity(activity_id=f"act_{n}", contact_id=sides[1], activity_type="NOTE"))
        await append(own_acts, commands)
        if alone:
            await own_kit.drain()
        await append(own_acts, [MergeContacts(contact_id=sides[0], loser_id=sides[1])])
        counted.append(await apply_counting(own_kit))
        assert await own_acts.fetch(MOVED, sides[0]) == [(size, size, size)]
    assert await list_statuses(own_acts) == [("APPLIED",)]
    assert counted[0] == counted[1] == counted[2]


async def test_a_merge_ends_its_batch(own_kit: Kit, own_acts: Acts) -> None:
    """What stands behind it is decided in the next one, on what the merge has made."""
    await append(own_acts, [CreateContact(contact_id=f"ctc_{n}", name="Ada") for n in range(4)])
    await append(own_acts, [MergeContacts(contact_id=f"ctc_{n + 1}", loser_id=f"ctc_{n}") for n in range(3)])
    await append(own_acts, [LogActivity(activity_id="act_1", contact_id="ctc_0", activity_type="CALL")])
    await own_kit.drain()
    assert await own_acts.fetch("SELECT count(DISTINCT xmin::text) FROM operations WHERE workspace_id = $1") == [(4,)]
    assert await list_statuses(own_acts) == [("APPLIED",)]
    into = await own_acts.fetch("SELECT merged_into, activity_count FROM contacts WHERE workspace_id = $1 ORDER BY id")
    assert into == [("ctc_3", 0), ("ctc_3", 0), ("ctc_3", 0), (None, 1)]


def define(size: int) -> list[Command]:
    """A property's life, over so many contacts that hold values."""
    named: dict[str, Any] = {"property_id": f"prp_{size}", "entity": "CONTACT"}
    return [
        CreateProperty(**named, key=f"key_{size}", property_type="NUMBER"),
        UpdateProperty(**named, changes={"label": "Key"}),
        UpdateProperty(**named, changes={"type": "TEXT"}),
        ArchiveProperty(**named),
        UpdateProperty(**named, changes={"status": "ACTIVE", "type": "NUMBER"}),
    ]


async def test_a_definition_costs_the_same_statements_whatever_it_converts(own_kit: Kit, own_acts: Acts) -> None:
    """Within a window; each window more is one that is read, and one that is saved."""
    counted = []
    for size in (1, 20, 300):
        held = {f"key_{size}": " 1 "}
        await append(
            own_acts, [CreateContact(contact_id=f"c_{size}_{n}", name="A", properties=held) for n in range(size)]
        )
        await own_kit.drain()
        counted.append([])
        for command in define(size):
            await append(own_acts, [command])
            counted[-1].append(await apply_counting(own_kit))
    assert await list_statuses(own_acts) == [("APPLIED",)]
    assert counted[0] == counted[1] == counted[2]
    assert [len(statements) <= STATEMENTS_MAX + ITS_OWN for statements in counted[0]] == [True] * 5
    walked = [sum("_values" in name or "json_agg(json_build_array" in name for name in one) for one in counted[0]]
    assert walked == [2, 0, 4, 0, 4], (
        "a change of type is surveyed before it converts, each with a window that is empty"
    )


async def test_a_schema_is_read_once_for_all_batches_until_it_changes(own_kit: Kit, own_acts: Acts) -> None:
    connection = await asyncpg.connect(own_kit.url, server_settings=make_server_settings("writer", SETTINGS))
    try:
        database = OneConnection(connection)
        writer = Writer(database, own_kit.engine.log, SystemClock(), SETTINGS)  # type: ignore[arg-type]
        read = []
        for command in (*define(1)[:1], *[None] * 3, *define(1)[1:3], None, None):
            name = f"ctc_{len(read)}"
            await append(own_acts, [command or CreateContact(contact_id=name, name="Ada", properties={"key_1": None})])
            database.statements.clear()
            await writer.drain()
            read.append(sum("AS documents" in statement for statement in database.statements))
    finally:
        await connection.close()
    assert read == [1, 1, 0, 0, 0, 1, 1, 0], "it is read by the first who needs it after each change"
    assert await list_statuses(own_acts) == [("APPLIED",)]
