"""Definitions are kept in memory by every process: none goes on with what another one has changed."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from kith.engine.context.engine import Engine, open_engine
from kith.engine.context.progress import Progress
from kith.engine.context.property_schemas import Schemas
from kith.errors import Exposed
from tests.engine.acts import Acts, to_id
from tests.engine.test_definitions import DEFINE
from tests.kit import SETTINGS, Kit

PATIENCE_S = 10


@asynccontextmanager
async def another(acts: Acts, kit: Kit, poll_ms: int = SETTINGS.poll_ms) -> AsyncIterator[Acts]:
    """The same key's caller at another process, which has read that nothing is defined."""
    async with open_engine(msgspec.structs.replace(SETTINGS, poll_ms=poll_ms), kit.url) as engine:
        await engine.progress.refresh()
        other = Acts(engine, acts.workspace, acts.key_id)
        await other.create(name="Ada", properties={"mrr": "many"})
        await kit.drain()
        await wait_until_seen(engine, acts)
        yield other


async def wait_until_seen(engine: Engine, acts: Acts) -> None:
    """Returns when the engine knows of all that is applied."""
    shard = acts.workspace.shard
    head = (await engine.log.load_heads())[shard]
    assert await engine.progress.wait(shard, head, PATIENCE_S)


async def refuse(writing: Awaitable[object]) -> str:
    with pytest.raises(Exposed) as error:
        await writing
    return error.value.code


def make_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that start from now on hear no notification."""
    monkeypatch.setattr(Progress, "_hear", lambda *_: None)


async def test_another_process_sees_a_definition_with_the_news_that_it_is_applied(own_kit: Kit, own_acts: Acts) -> None:
    async with another(own_acts, own_kit) as other:
        one = to_id(await own_acts.define("mrr", "NUMBER"))
        assert await refuse(own_acts.create(name="Eve", properties={"mrr": "many"})) == "INVALID_FIELD"
        await other.create(name="Eve", properties={"mrr": "unforeseen"})
        await own_kit.drain()
        await wait_until_seen(other.engine, own_acts)
        assert await refuse(other.create(name="Eve", properties={"mrr": "many"})) == "INVALID_FIELD"
        answer = await other.create(name="Eve", properties={"mrr": "12"})
        assert msgspec.json.decode(answer.data)["properties"] == {"mrr": 12}
        assert await refuse(other.define("mrr", "TEXT")) == "PROPERTY_KEY_EXISTS"
        await own_acts.redefine(one, status="ARCHIVED")
        await own_kit.drain()
        await wait_until_seen(other.engine, own_acts)
        await other.create(name="Eve", properties={"mrr": "many"})
        await own_kit.drain()
    ended = await own_acts.fetch(
        "SELECT status, count(*) FROM operations WHERE workspace_id = $1 GROUP BY 1 ORDER BY 1"
    )
    assert ended == [("APPLIED", 5), ("REJECTED", 1)], "only what was not foreseen is refused in the end"


async def test_a_process_that_hears_nothing_sees_a_definition_when_it_looks(
    own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_deaf(monkeypatch)
    async with open_engine(SETTINGS, own_kit.url) as engine:
        other = Acts(engine, own_acts.workspace)
        await other.create(name="Ada", properties={"mrr": "many"})
        await own_acts.define("mrr", "NUMBER")
        await own_kit.drain()
        late = await other.create(name="Eve", properties={"mrr": "many"})
        await own_kit.drain()
        operation = await own_acts.get_operation(late.operation.id)
        assert (operation.status, operation.to_error().code) == ("REJECTED", "INVALID_FIELD"), "the writer has it"
        await engine.progress.refresh()
        assert await refuse(other.create(name="Eve", properties={"mrr": "many"})) == "INVALID_FIELD"
        assert len(engine.pending) == 0


async def test_a_process_that_hears_nothing_looks_by_itself(
    own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_deaf(monkeypatch)
    async with another(own_acts, own_kit, poll_ms=20) as other:
        for key in ("mrr", "arr"):
            await own_acts.define(key, "NUMBER")
            await own_kit.drain()
            await wait_until_seen(other.engine, own_acts)
            assert await refuse(other.create(name="Eve", properties={key: "many"})) == "INVALID_FIELD"


async def test_what_was_read_while_a_definition_was_applied_is_read_again(
    own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The read began before the definition, and ends when the process has heard of it."""
    read = Schemas._read
    overtaken: list[int] = []

    async def read_and_be_overtaken(self: Schemas, connection: Any, shard: int, keys: Any, stamp: int) -> Any:
        found = await read(self, connection, shard, keys, stamp)
        monkeypatch.setattr(Schemas, "_read", read)
        await own_acts.define("mrr", "NUMBER")
        await own_kit.drain()
        await wait_until_seen(other.engine, own_acts)
        overtaken.append(stamp)
        return found

    async with open_engine(SETTINGS, own_kit.url) as engine:
        await engine.progress.refresh()
        other = Acts(engine, own_acts.workspace)
        monkeypatch.setattr(Schemas, "_read", read_and_be_overtaken)
        early = await other.create(name="Ada", properties={"mrr": "many"})
        assert overtaken == [0]
        assert await refuse(other.create(name="Eve", properties={"mrr": "many"})) == "INVALID_FIELD"
    await own_kit.drain()
    assert (await own_acts.get_operation(early.operation.id)).status == "REJECTED"


async def test_an_older_reading_that_ends_later_is_never_taken_for_the_newer(own_kit: Kit, own_acts: Acts) -> None:
    """Two reads that cross: what is kept has the older stamp, and is read again by whoever knows a newer one."""
    shard, workspace = own_acts.workspace.shard, own_acts.workspace.id
    await own_acts.define("mrr", "NUMBER")
    await own_kit.drain()
    schemas = Schemas()
    async with own_kit.engine.database.acquire() as connection:
        for stamp in (5, 3):
            await schemas._read(connection, shard, [(workspace, "CONTACT")], stamp)
    assert schemas.find(workspace, "CONTACT", 5) is None
    kept = schemas.find(workspace, "CONTACT", 3)
    assert kept is not None and list(kept.properties) == ["mrr"]
    assert schemas.find(workspace, "COMPANY", 3) is None


async def test_what_is_kept_has_a_bound(own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kith.engine.context.property_schemas.KEPT_MAX", 10)
    schemas = Schemas()
    async with own_kit.engine.database.acquire() as connection:
        for n in range(30):
            await schemas._read(connection, own_acts.workspace.shard, [(n, "CONTACT"), (n, "COMPANY")], 1)
            assert schemas.find(n, "CONTACT", 1) is not None
    assert len(schemas._kept) <= 12


async def test_a_definition_that_is_refused_or_changes_nothing_makes_nobody_read_again(
    own_kit: Kit, own_acts: Acts
) -> None:
    one = to_id(await own_acts.define("mrr", "NUMBER"))
    await own_kit.drain()
    shard = own_acts.workspace.shard
    changed = own_acts.engine.progress.get_schema_position(shard)
    assert changed == (await own_acts.engine.log.load_heads())[shard]
    await own_acts.redefine(one, label="mrr")
    await own_acts.create(name="Ada", properties={"mrr": 1})
    envelopes = [
        own_acts.make_envelope(msgspec.structs.replace(DEFINE, property_id=f"prp_{n}", key=key))
        for n, key in enumerate(("mrr", "email"))
    ]
    await own_acts.append(*envelopes)
    await own_kit.drain()
    assert own_acts.engine.progress.get_schema_position(shard) == changed
    stored = await own_acts.fetch("SELECT schema_position FROM cursors WHERE shard = $2 AND $1::int > 0", shard)
    assert stored == [(changed,)]
