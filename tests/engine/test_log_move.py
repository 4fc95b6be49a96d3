"""Moving the log between PostgreSQL and Kafka: positions go on, nothing is lost, and no process takes the wrong log."""

import asyncio
from typing import Any

import msgspec
import pytest

from kith.engine.accept.operations import get_operation, wait_until_readable
from kith.engine.admin import log_migration as log_move
from kith.engine.admin.log_migration import move_log
from kith.engine.admin.replay import replay_check
from kith.errors import NotYet, StartError, Unavailable
from kith.log.kafka import KafkaLog
from kith.model.workspaces import Workspace
from kith.settings import Settings
from kith.store.database import Database
from kith.store.migrate import migrate
from kith.store.queries import load_queries
from tests.engine.acts import Acts
from tests.kafka import Broker
from tests.kit import SETTINGS, open_kit
from tests.postgres import Cluster, connect


class Said(list[str]):
    """What the move told; at a certain line it is interrupted."""

    def __init__(self, stop_at: str = "never") -> None:
        self._stop_at = stop_at

    def __call__(self, line: str) -> None:
        self.append(line)
        if self._stop_at in line:
            raise KeyboardInterrupt(line)


async def count(url: str, sql: str) -> int:
    async with connect(url) as connection:
        found: int = await connection.fetchval(sql)
        return found


async def write_some(url: str, settings: Settings, workspace: Workspace | None = None) -> tuple[Workspace, list[str]]:
    """Three contacts that are applied and two that only are on the log; their operations."""
    async with open_kit(url, settings) as kit:
        workspace = workspace or await kit.make_workspace()
        acts = Acts(kit.engine, workspace)
        made = [await acts.create(name="Ada") for _ in range(3)]
        await kit.drain()
        made += [await acts.create(name="Eve") for _ in range(2)]
        return workspace, [one.operation.id for one in made]


async def test_what_is_not_applied_is_applied_first_and_positions_go_on(database_url: str, kafka: Broker) -> None:
    settings = kafka.make_settings(SETTINGS)
    workspace, before = await write_some(database_url, SETTINGS)
    moved = await move_log(database_url, settings, True, said := Said())
    assert (moved.moved, moved.applied, moved.positions[workspace.shard]) == (True, 2, 5)
    assert said[0] == "Applying 2 commands that are accepted and not applied yet."
    async with open_kit(database_url, settings) as kit:
        acts = Acts(kit.engine, workspace)
        later = (await acts.create(name="Bob")).operation
        assert later.position == f"{workspace.shard}-6"
        await kit.drain()
        numbers = [(await get_operation(kit.engine, workspace, one)).number for one in [*before, later.id]]
        assert numbers == [1, 2, 3, 4, 5, 6]
        await wait_until_readable(kit.engine, workspace, f"{workspace.shard}-4", 1)
        await wait_until_readable(kit.engine, workspace, before[0], 1)
    assert await count(database_url, "SELECT count(*) FROM contacts") == 6
    report = await replay_check(database_url, settings)
    assert (report.entries, report.differences) == (6, [])


async def test_a_log_goes_back_to_the_table_and_to_another_topic_from_there(database_url: str, kafka: Broker) -> None:
    first, second = kafka.make_settings(SETTINGS), kafka.make_settings(SETTINGS)
    workspace, _ = await write_some(database_url, SETTINGS)
    await move_log(database_url, first, True, Said())
    await write_some(database_url, first, workspace)
    back = await move_log(database_url, first, False, Said())
    assert (back.log, back.applied, back.positions[workspace.shard]) == ("postgresql", 2, 10)
    await write_some(database_url, SETTINGS, workspace)
    await move_log(database_url, second, True, Said())
    await write_some(database_url, second, workspace)
    with pytest.raises(StartError, match="is not empty"):
        await move_log(database_url, second, False, Said()) and await move_log(database_url, first, True, Said())
    assert await count(database_url, "SELECT count(*) FROM contacts") == 20
    assert await count(database_url, "SELECT count(DISTINCT position) FROM operations") == 20
    with pytest.raises(StartError, match="older entries were trimmed"):
        await replay_check(database_url, SETTINGS)


async def test_moving_again_changes_nothing(database_url: str, kafka: Broker) -> None:
    settings = kafka.make_settings(SETTINGS)
    await write_some(database_url, SETTINGS)
    await move_log(database_url, settings, True, Said())
    again = await move_log(database_url, settings, True, said := Said())
    assert (again.moved, again.applied) == (False, 0)
    assert said == [f"The log is in Kafka, topic {settings.kafka_topic}; there is nothing to do."]


@pytest.mark.parametrize("line", ["Applying", "Moving the log"])
async def test_an_interrupted_move_has_moved_nothing_and_goes_on(database_url: str, kafka: Broker, line: str) -> None:
    settings = kafka.make_settings(SETTINGS)
    workspace, _ = await write_some(database_url, SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        await move_log(database_url, settings, True, Said(line))
    assert await count(database_url, "SELECT count(*) FROM installation WHERE log = 'postgresql'") == 1
    moved = await move_log(database_url, settings, True, Said())
    assert (moved.moved, moved.positions[workspace.shard]) == (True, 5)
    assert await count(database_url, "SELECT count(*) FROM contacts") == 5


async def test_it_waits_for_what_runs_and_refuses_when_that_goes_on(
    database_url: str, kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_move, "PATIENCE_S", 0.2)
    async with open_kit(database_url):
        with pytest.raises(StartError, match=r"at work on this database \(kith query, kith reader, kith writer\)"):
            await move_log(database_url, kafka.make_settings(SETTINGS), True, said := Said())
    assert said == ["Waiting for kith query, kith reader, kith writer to end."]


async def test_one_that_starts_meanwhile_is_seen_before_anything_is_moved(
    database_url: str, kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_move, "PATIENCE_S", 0.2)
    settings = kafka.make_settings(SETTINGS)
    move_to_kafka = log_move._commit_alone

    async def commit_beside_another(*arguments: Any) -> None:
        async with open_kit(database_url):
            await move_to_kafka(*arguments)

    monkeypatch.setattr(log_move, "_commit_alone", commit_beside_another)
    with pytest.raises(StartError, match="kith reader"):
        await move_log(database_url, settings, True, Said())
    monkeypatch.undo()
    assert (await move_log(database_url, settings, True, Said())).moved


async def test_a_database_that_fails_is_told_of_in_one_line_and_nothing_was_moved(
    database_url: str, kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = kafka.make_settings(SETTINGS)
    await write_some(database_url, SETTINGS)
    monkeypatch.setattr("kith.store.database.LOCK_TIMEOUT_MS", 100)
    async with connect(database_url) as connection, connection.transaction():
        await connection.execute("LOCK TABLE command_log IN SHARE MODE")
        with pytest.raises(StartError, match=r"^PostgreSQL: .*lock timeout\. Run this again"):
            await move_log(database_url, settings, True, Said())
    with pytest.raises(StartError, match="PostgreSQL cannot be reached"):
        await move_log("postgresql://nobody@127.0.0.1:1/none", settings, True, Said())
    assert (await move_log(database_url, settings, True, Said())).applied == 0


async def test_kafka_is_let_go_of_where_the_database_cannot_be_opened(
    database_url: str, kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = kafka.make_settings(SETTINGS)
    await move_log(database_url, settings, True, Said())
    opened, closed = [], []
    open_log, close = KafkaLog.open, KafkaLog.close

    async def open_noted(*given: Any) -> KafkaLog:
        opened.append(await open_log(*given))
        return opened[-1]

    async def close_noted(log: KafkaLog) -> None:
        closed.append(log)
        await close(log)

    async def refuse(*_: object, **__: object) -> Database:
        await asyncio.sleep(0)
        raise NotYet("PostgreSQL does not answer")

    monkeypatch.setattr(KafkaLog, "open", open_noted)
    monkeypatch.setattr(KafkaLog, "close", close_noted)
    monkeypatch.setattr(Database, "open", refuse)
    with pytest.raises(NotYet):
        await move_log(database_url, settings, False, Said())
    assert closed == opened != []


async def test_two_do_not_move_it_at_once(database_url: str, kafka: Broker) -> None:
    settings = kafka.make_settings(SETTINGS)
    async with connect(database_url) as connection:
        assert await connection.fetchval(load_queries("log")["try_lock"], 0x6B6C6F67)
        with pytest.raises(StartError, match="by another `kith migrate-log`"):
            await move_log(database_url, settings, True, Said())


async def test_a_process_with_the_settings_of_the_other_log_does_not_start(database_url: str, kafka: Broker) -> None:
    settings, other = kafka.make_settings(SETTINGS), kafka.make_settings(SETTINGS)
    async with open_kit(database_url):
        pass
    with pytest.raises(StartError, match="is in PostgreSQL, and the settings say in Kafka"):
        async with open_kit(database_url, settings):
            pass
    await move_log(database_url, settings, True, Said())
    for wrong in (SETTINGS, other):
        with pytest.raises(StartError, match=f"KITH_KAFKA_TOPIC to {settings.kafka_topic}.*kith migrate-log"):
            async with open_kit(database_url, wrong):
                pass
    with pytest.raises(StartError, match="move it to PostgreSQL first"):
        await move_log(database_url, other, True, Said())


async def test_a_process_that_was_cut_off_cannot_append_to_the_table_that_was_left(
    database_url: str, kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = kafka.make_settings(SETTINGS)
    workspace, _ = await write_some(database_url, SETTINGS)
    async with open_kit(database_url) as kit:
        monkeypatch.setattr(log_move.log_place, "list_running", nobody)
        await move_log(database_url, settings, True, Said())
        with pytest.raises(Unavailable):
            await Acts(kit.engine, workspace).create(name="Late")
    await move_log(database_url, settings, False, Said())
    async with open_kit(database_url) as kit:
        await Acts(kit.engine, workspace).create(name="Again")
        await kit.drain()
    assert await count(database_url, "SELECT count(*) FROM contacts") == 6


async def nobody(_: object) -> list[str]:
    return []


async def test_a_log_in_kafka_of_an_older_version_is_not_taken_for_the_table(database_url: str, kafka: Broker) -> None:
    settings = kafka.make_settings(SETTINGS)
    async with open_kit(database_url, settings) as kit:
        await Acts(kit.engine, await kit.make_workspace()).create(name="Ada")
        await kit.drain()
    async with connect(database_url) as connection:
        await connection.execute("UPDATE installation SET log = NULL")
    with pytest.raises(StartError, match="KITH_KAFKA_BOOTSTRAP"):
        async with open_kit(database_url):
            pass
    async with open_kit(database_url, settings):
        pass


async def test_an_installation_of_an_older_version_is_known_by_what_it_has_written(
    postgres: Cluster, kafka: Broker
) -> None:
    places = []
    for settings in (SETTINGS, kafka.make_settings(SETTINGS)):
        url = await postgres.make_database()
        await write_some(url, settings)
        async with connect(url) as connection:
            await connection.execute("ALTER TABLE installation DROP COLUMN log")
            await connection.execute("DELETE FROM schema_migrations WHERE name = 'log_place'")
        await migrate(url)
        async with connect(url) as connection:
            places.append(await connection.fetchval("SELECT log FROM installation"))
    assert places == ["postgresql", None]


async def test_without_kafka_nothing_is_moved(database_url: str) -> None:
    with pytest.raises(StartError, match="KITH_KAFKA_BOOTSTRAP"):
        await move_log(database_url, SETTINGS, True, Said())
    nowhere = msgspec.structs.replace(SETTINGS, kafka_bootstrap="127.0.0.1:1")
    with pytest.raises(StartError, match="Kafka does not answer"):
        await move_log(database_url, nowhere, True, Said())


async def test_where_kafka_has_lost_its_data_the_table_goes_on_behind_what_is_applied(
    database_url: str, kafka: Broker
) -> None:
    settings = kafka.make_settings(SETTINGS)
    workspace, _ = await write_some(database_url, settings)
    nowhere = msgspec.structs.replace(settings, kafka_bootstrap="127.0.0.1:1")
    with pytest.raises(StartError, match="Kafka does not answer"):
        await move_log(database_url, nowhere, False, Said())
    moved = await move_log(database_url, nowhere, False, Said(), dangerous_give_up=True)
    assert (moved.log, moved.positions[workspace.shard]) == ("postgresql", 3)
    async with open_kit(database_url) as kit:
        later = await Acts(kit.engine, workspace).create(name="Later")
        assert later.operation.position == f"{workspace.shard}-4"
        await kit.drain()
    assert await count(database_url, "SELECT count(*) FROM contacts") == 4
