"""The engine on a log in Kafka: what PostgreSQL knows of the log has to be held against the log itself."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from kith.cli.app import initialise
from kith.cli.show import load_status
from kith.clock import SystemClock
from kith.engine.admin.log_migration import move_log
from kith.engine.admin.replay import replay_check
from kith.engine.apply.writer import Writer
from kith.errors import BrokenLog, ConflictingWriter, StartError
from kith.log.factory import open_log
from kith.log.kafka import KafkaLog
from kith.log.kafka_topic import make_options
from tests.engine.acts import Acts
from tests.kafka import Broker
from tests.kit import SETTINGS, open_kit
from tests.postgres import connect

PARTITIONS = 4


async def test_the_status_tells_how_far_the_log_in_kafka_is_applied(database_url: str, kafka: Broker) -> None:
    settings = kafka.make_settings(SETTINGS)
    async with open_kit(database_url, settings) as kit, connect(database_url) as connection:
        acts = Acts(kit.engine, await kit.make_workspace())
        for _ in range(3):
            await acts.create(name="Ada")
        status = await load_status(connection, settings)
        assert (status["lag"], max(shard["head"] for shard in status["shards"])) == (3, 3)
        await kit.drain()
        assert (await load_status(connection, settings))["lag"] == 0


async def test_commands_that_only_look_make_no_topic(database_url: str, kafka: Broker) -> None:
    settings = kafka.make_settings(SETTINGS)
    with pytest.raises(StartError, match=f"Kafka has no topic {settings.kafka_topic}. Set KITH_KAFKA_TOPIC"):
        await replay_check(database_url, settings)
    with pytest.raises(StartError, match="Kafka has no topic"):
        await move_log(database_url, settings, False, print)
    async with connect(database_url) as connection:
        with pytest.raises(StartError, match="Kafka has no topic"):
            await load_status(connection, settings)
        await connection.execute("UPDATE installation SET log = 'kafka:other'")
    with pytest.raises(StartError, match="The log of this installation is in Kafka, topic other"):
        await initialise(settings, database_url)
    admin = AIOKafkaAdminClient(**make_options(settings))
    await admin.start()
    assert [name for name in await admin.list_topics() if name.startswith(settings.kafka_topic)] == []
    await admin.close()


async def test_a_topic_that_was_made_anew_stops_the_writer_before_anything_is_passed_over(
    database_url: str, kafka: Broker
) -> None:
    async with open_kit(database_url, kafka.make_settings(SETTINGS)) as kit:
        acts = Acts(kit.engine, workspace := await kit.make_workspace())
        for _ in range(2):
            await acts.create(name="Ada")
        await kit.drain()
    async with connect(database_url) as connection:
        # As where a topic of the same name is empty.
        await connection.execute("UPDATE installation SET log = NULL")
    async with open_kit(database_url, kafka.make_settings(SETTINGS)) as kit:
        await Acts(kit.engine, workspace).create(name="Eve")
        with pytest.raises(BrokenLog, match="applied up to 2, and its log ends at 1"):
            await kit.drain()


async def test_of_two_writers_that_believe_to_own_every_partition_one_commits_each_batch(
    database_url: str, kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when one was paused, or cut off, while its partitions became another's."""
    settings = kafka.make_settings(SETTINGS)
    async with AsyncExitStack() as stack:
        kit = await stack.enter_async_context(open_kit(database_url, settings))
        log = await stack.enter_async_context(open_log(settings, kit.engine.database, database_url, PARTITIONS))
        monkeypatch.setattr(KafkaLog, "load_owned_heads", KafkaLog.load_heads)
        writers = [kit.writer, Writer(kit.engine.database, log, SystemClock(), settings)]
        acts = Acts(kit.engine, await kit.make_workspace())
        for made in range(0, 100, 20):
            for n in range(made, made + 20):
                await acts.create(email=f"{n}@example.com")
            for writer in writers:
                await writer.load_positions()
            ended = await asyncio.gather(*(writer.drain() for writer in writers), return_exceptions=True)
            assert 20 in ended
            # Who came when the first was done already found nothing to do.
            (loser,) = [end for end in ended if end != 20]
            assert loser == 0 or isinstance(loser, ConflictingWriter)
    async with connect(database_url) as connection:
        for table in ("contacts", "operations", "events"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 100
        assert await connection.fetchval("SELECT max(sequence) FROM events") == 100
