"""The engine on a log in Kafka: what PostgreSQL knows of the log has to be held against the log itself."""

import pytest

from kith.cli.show import load_status
from kith.errors import BrokenLog
from tests.engine.acts import Acts
from tests.kafka import Broker
from tests.kit import SETTINGS, open_kit
from tests.postgres import connect


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


async def test_a_topic_that_was_made_anew_stops_the_writer_before_anything_is_passed_over(
    database_url: str, kafka: Broker
) -> None:
    async with open_kit(database_url, kafka.make_settings(SETTINGS)) as kit:
        acts = Acts(kit.engine, workspace := await kit.make_workspace())
        for _ in range(2):
            await acts.create(name="Ada")
        await kit.drain()
    async with open_kit(database_url, kafka.make_settings(SETTINGS)) as kit:
        await Acts(kit.engine, workspace).create(name="Eve")
        with pytest.raises(BrokenLog, match="applied up to 2, and its log ends at 1"):
            await kit.drain()
