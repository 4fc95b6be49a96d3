"""A definition is about all records: those before it are converted, those behind it are checked, however it fails."""

import random
from collections.abc import Callable
from typing import Any

import asyncpg
import msgspec
import pytest

from kith.engine.admin.replay import replay_check
from kith.engine.apply.writer import Writer
from kith.model.commands import ArchiveProperty, Command, CreateContact, CreateProperty, UpdateContact, UpdateProperty
from kith.store import batch as store
from tests.engine.acts import Acts
from tests.engine.crowd import make_contact, save, save_counter
from tests.kit import SETTINGS, Kit
from tests.postgres import connect

CONTACTS = 5_000
HELD = "SELECT properties -> $2 FROM contacts WHERE workspace_id = $1 ORDER BY id"
DEFINE = CreateProperty(property_id="prp_1", entity="CONTACT", key="mrr", property_type="NUMBER")


def create(n: int, mrr: Any, **more: Any) -> Command:
    return CreateContact(contact_id=f"ctc_{n}", name=f"Ada {n}", properties={"mrr": mrr} | more)


def change(n: int, **properties: Any) -> Command:
    """A change of what a contact holds, or of its name alone."""
    changes: dict[str, Any] = {"properties": properties} if properties else {"name": "Eve"}
    return UpdateContact(contact_id=f"ctc_{n}", changes=changes)


def redefine(**changes: Any) -> Command:
    return UpdateProperty(property_id="prp_1", entity="CONTACT", changes=changes)


# Each command with the code of its refusal; what the contacts hold at the end is HELD_AT_THE_END.
STORY: tuple[tuple[Command, str | None], ...] = (
    *((create(n, f" {n}"), None) for n in range(5)),
    (change(0), None),
    (DEFINE, None),
    (change(0), None),
    (change(1, other=1), None),
    (create(5, "5"), None),
    (create(6, "many"), "INVALID_FIELD"),
    (change(2, mrr="many"), "INVALID_FIELD"),
    (change(2, mrr=" 2 "), None),
    (change(5), None),
    (redefine(type="TEXT"), None),
    (change(0, other="x"), None),
    (create(7, 7), "INVALID_FIELD"),
    (create(8, "many"), None),
    (redefine(type="NUMBER"), "INVALID_FIELD"),
    (change(8, mrr="8"), None),
    (redefine(type="NUMBER"), None),
    (change(8), None),
    (change(4, mrr="many"), "INVALID_FIELD"),
    (ArchiveProperty(property_id="prp_1", entity="CONTACT"), None),
    (create(9, "9"), None),
    (create(10, "many"), None),
    (change(3, mrr="3"), None),
    (redefine(status="ACTIVE"), None),
    (change(9), None),
    (change(10), None),
    (change(10, mrr="many"), None),
    (change(3), None),
    (change(10, mrr="more"), "INVALID_FIELD"),
)
HELD_AT_THE_END = [0, 1, 2, 3, 4, 5, 8, 9, "many"]


async def append(acts: Acts, *commands: Command) -> list[str]:
    """Put the commands on the log; their operations."""
    envelopes = [acts.make_envelope(command) for command in commands]
    await acts.append(*envelopes)
    return [envelope.operation_id for envelope in envelopes]


async def list_codes(acts: Acts, operations: list[str]) -> list[str | None]:
    codes = dict(await acts.fetch("SELECT id, error ->> 'code' FROM operations WHERE workspace_id = $1"))
    return [codes[operation_id] for operation_id in operations]


async def list_values(acts: Acts, key: str = "mrr") -> list[Any]:
    """What the contacts hold under the key, in their order."""
    return [msgspec.json.decode(text) if text else None for (text,) in await acts.fetch(HELD, key)]


@pytest.mark.parametrize("batch_max", [1, 2, 3, 7, 500])
async def test_what_stands_around_definitions_is_converted_and_checked_in_one_drain(
    own_kit: Kit, own_acts: Acts, batch_max: int
) -> None:
    own_kit.writer._batch_max = batch_max
    operations = await append(own_acts, *(command for command, _ in STORY))
    await own_kit.drain()
    assert await list_codes(own_acts, operations) == [code for _, code in STORY]
    assert await list_values(own_acts) == HELD_AT_THE_END
    named = await own_acts.fetch("SELECT count(*) FROM contacts WHERE workspace_id = $1 AND name = 'Eve'")
    assert named == [(6,)], "what was changed beside the values is there"
    assert (await replay_check(own_kit.url, SETTINGS)).differences == []


@pytest.mark.parametrize("seed", range(4))
async def test_any_cut_through_definitions_gives_the_same(own_kit: Kit, own_acts: Acts, seed: int) -> None:
    """Drains that begin and end anywhere, with batches of any size."""
    chance = random.Random(seed)
    waiting, operations = [command for command, _ in STORY], []
    while waiting:
        count = chance.randrange(1, 9)
        operations += await append(own_acts, *waiting[:count])
        del waiting[:count]
        own_kit.writer._batch_max = chance.randrange(1, 12)
        await own_kit.drain()
    assert await list_codes(own_acts, operations) == [code for _, code in STORY]
    assert await list_values(own_acts) == HELD_AT_THE_END


async def test_a_definition_stands_alone_and_nothing_is_made_ready_over_it(
    own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_kit.writer._batch_max = 4
    made: list[tuple[list[str], bool]] = []
    make_plan = Writer._make_plan

    async def note(self: Writer, shard: int, batch: Any, lists: Any, before: Any = None) -> Any:
        made.append(([type(one.envelope.command).__name__ for one in batch.placed], before is not None))
        return await make_plan(self, shard, batch, lists, before)

    monkeypatch.setattr(Writer, "_make_plan", note)
    await append(own_acts, *(create(n, "1") for n in range(8)), DEFINE, *(create(n, "1") for n in range(8, 17)))
    await own_kit.drain()
    four = ["CreateContact"] * 4
    assert made == [
        (four, False),
        (four, True),
        (["CreateProperty"], False),
        (four, False),
        (four, True),
        (four[:1], True),
    ]


def fail_to_save(monkeypatch: pytest.MonkeyPatch, failing: int, error: Exception) -> list[str]:
    """The batches with a definition cannot be saved so many times; what was in them."""
    save, failed = store.save, []

    async def save_or_fail(connection: Any, shard: int, rows: dict[str, str]) -> None:
        made = rows.get("insert_properties", "")
        await save(connection, shard, rows)
        if made and len(failed) < failing:
            failed.append(made)
            raise error

    monkeypatch.setattr(store, "save", save_or_fail)
    return failed


@pytest.mark.parametrize(
    "error",
    [asyncpg.DataError("not now"), asyncpg.DeadlockDetectedError("not now"), asyncpg.InterfaceError("not now")],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("batch_max", [3, 500])
async def test_a_definition_that_fails_once_is_decided_again_on_what_there_is(
    own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch, batch_max: int, error: Exception
) -> None:
    own_kit.writer._batch_max = batch_max
    failed = fail_to_save(monkeypatch, 1, error)
    operations = await append(own_acts, *(command for command, _ in STORY))
    for _ in range(2):
        try:
            await own_kit.drain()
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as raised:
            assert raised is error  # noqa: PT017 - the writer's own loop tries again after such a one
            await own_kit.writer.load_positions()
    assert len(failed) == 1
    assert await list_codes(own_acts, operations) == [code for _, code in STORY]
    assert await list_values(own_acts) == HELD_AT_THE_END
    ((result,),) = await own_acts.fetch(
        "SELECT result FROM operations WHERE workspace_id = $1 AND type = 'CreateProperty'"
    )
    assert msgspec.json.decode(result) == {"values": 5, "converted": 5, "misfits": 0, "examples": []}
    assert (await replay_check(own_kit.url, SETTINGS)).differences == []


async def test_a_definition_that_is_set_aside_has_converted_nothing_and_checks_nothing(
    own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = fail_to_save(monkeypatch, 3, asyncpg.DataError("never"))
    first = await append(own_acts, create(0, "0"), DEFINE, create(1, "many"))
    await own_kit.drain()
    assert len(failed) == 3
    assert await list_codes(own_acts, first) == [None, "INTERNAL", None]
    assert await list_values(own_acts) == ["0", "many"]
    again = msgspec.structs.replace(DEFINE, property_id="prp_2")
    second = await append(own_acts, again, create(2, "many"))
    await own_kit.drain()
    assert await list_codes(own_acts, second) == [None, "INVALID_FIELD"]
    assert await list_values(own_acts) == [0, "many"]


async def test_a_definition_whose_commit_was_not_heard_of_is_applied_once(
    own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer begins again where the cursor stands, and knows that its schema is old."""
    writer, apply_plan = own_kit.writer, Writer._store
    await append(own_acts, create(0, "0"))
    await own_kit.drain()
    lost: list[int] = []

    async def store_unheard(self: Writer, shard: int, plan: Any) -> None:
        before = dict(self._positions), dict(self._schema_positions)
        await apply_plan(self, shard, plan)
        if plan.decided.changes_schemas and not lost:
            lost.append(plan.last)
            self._positions, self._schema_positions = before
            raise asyncpg.ConnectionDoesNotExistError("the connection was lost")

    monkeypatch.setattr(Writer, "_store", store_unheard)
    operations = await append(own_acts, DEFINE, create(1, "1"), create(2, "many"))
    await own_kit.drain()
    assert lost == [writer._schema_positions[own_acts.workspace.shard]]
    assert await list_codes(own_acts, operations) == [None, None, "INVALID_FIELD"]
    assert await list_values(own_acts) == [0, 1]


async def test_a_writer_that_takes_over_knows_what_was_defined_meanwhile(own_kit: Kit, own_acts: Acts) -> None:
    first, second = (
        own_kit.writer,
        Writer(own_kit.writer._database, own_kit.writer._log, own_acts.engine.clock, SETTINGS),
    )
    steps: list[tuple[Writer, Command, str | None]] = [
        (first, create(0, "0"), None),
        (second, create(1, "1"), None),
        (first, DEFINE, None),
        (second, create(2, "many"), "INVALID_FIELD"),
        (second, redefine(type="TEXT"), None),
        (first, create(3, 3), "INVALID_FIELD"),
        (first, ArchiveProperty(property_id="prp_1", entity="CONTACT"), None),
        (second, create(4, 4), None),
    ]
    for writer, command, code in steps:
        operations = await append(own_acts, command)
        await writer.load_positions()
        await writer.drain()
        assert await list_codes(own_acts, operations) == [code], command
    assert await list_values(own_acts) == ["0", "1", 4]


MIXED: tuple[Callable[[int], Any], ...] = (
    lambda n: f" {n}.50 ",
    lambda n: n,
    lambda n: f"about {n}",
    lambda _: True,
    lambda n: f"{n}",
    lambda _: "",
)


async def test_a_definition_converts_all_of_very_many_contacts_window_by_window(
    own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kith.engine.apply.value_conversion.WINDOW_RECORDS", 375)
    workspace, chance = own_acts.workspace, random.Random(3)
    contacts = [
        msgspec.structs.replace(
            make_contact(workspace.id, n, chance), properties={"mrr": MIXED[n % len(MIXED)](n), "kept": n}
        )
        for n in range(1, CONTACTS + 1)
    ]
    async with connect(own_kit.url) as connection:
        await save(connection, workspace, contacts)
        await save_counter(connection, workspace, CONTACTS + 1)
    (operation_id,) = await append(own_acts, DEFINE)
    await own_kit.drain()
    of_a_kind = [len(range(kind or len(MIXED), CONTACTS + 1, len(MIXED))) for kind in range(len(MIXED))]
    operation = await own_acts.get_operation(operation_id)
    result = msgspec.json.decode(msgspec.json.encode(operation.result))
    # An empty text clears a number.
    assert (result["values"], result["converted"]) == (CONTACTS, of_a_kind[0] + of_a_kind[4] + of_a_kind[5])
    assert result["misfits"] == of_a_kind[2] + of_a_kind[3]
    assert [example["record"] for example in result["examples"]] == [f"/crm/contacts/{n}" for n in (2, 3, 8, 9, 14)]
    held = await own_acts.fetch(
        "SELECT id, properties -> 'mrr', properties -> 'kept' FROM contacts WHERE workspace_id = $1"
    )
    for n, mrr, kept in held:
        before = MIXED[n % len(MIXED)](n)
        wanted = {0: n + 0.5, 4: n, 5: None}.get(n % len(MIXED), before)
        assert (msgspec.json.decode(mrr or b"null"), int(kept)) == (wanted, n)
    refused, taken = await append(own_acts, redefine(type="TEXT"), redefine(type="CURRENCY"))
    await own_kit.drain()
    assert await list_codes(own_acts, [refused, taken]) == [None, "INVALID_FIELD"]
