"""What the log in Kafka promises beyond the port: about its topic, its broker, and who applies which partition."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from kith.errors import NotYet, StartError, Unavailable
from kith.log.kafka import KafkaLog
from kith.log.kafka_topic import make_options
from kith.log.port import Entry
from kith.settings import Settings
from tests.kafka import Broker, running_broker

SETTINGS = Settings(append_timeout_ms=2000)
PARTITIONS = 4


@pytest.fixture
def settings(kafka: Broker) -> Settings:
    return kafka.make_settings(SETTINGS)


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One that a test may kill; it starts it again."""
    with running_broker(tmp_path_factory.mktemp("own")) as broker:
        yield broker


@asynccontextmanager
async def open_log(settings: Settings, partitions: int = PARTITIONS) -> AsyncIterator[KafkaLog]:
    log = await KafkaLog.open(settings, partitions)
    try:
        yield log
    finally:
        await log.close()


@asynccontextmanager
async def open_admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**make_options(settings))
    await admin.start()
    yield admin
    await admin.close()


async def read_all(log: KafkaLog, shard: int) -> list[Entry]:
    entries: list[Entry] = []
    while more := await log.read(shard, len(entries), 500):
        entries += more
    return entries


async def test_the_topic_is_made_with_what_the_settings_say(settings: Settings) -> None:
    settings = msgspec.structs.replace(settings, kafka_retention_h=5)
    async with open_log(settings), open_log(settings), open_admin(settings) as admin:
        topics = await admin.describe_topics([settings.kafka_topic, f"{settings.kafka_topic}.dead"])
        assert [len(topic["partitions"]) for topic in topics] == [PARTITIONS, PARTITIONS]
        wanted = ConfigResource(ConfigResourceType.TOPIC, settings.kafka_topic)
        (answer,) = await admin.describe_configs([wanted])
        configs = {name: value for name, value, *_ in answer.resources[0][4]}
        assert configs["retention.ms"] == str(5 * 3_600_000)
        assert configs["cleanup.policy"] == "delete"


async def test_no_part_makes_the_topic_by_asking_about_it(settings: Settings) -> None:
    """The broker has Kafka's defaults: it makes a topic for a client that asks, with one partition."""
    settings = msgspec.structs.replace(settings, append_timeout_ms=1500)
    topics = [settings.kafka_topic, f"{settings.kafka_topic}.dead"]
    async with open_log(settings) as log, open_admin(settings) as admin:
        assert await log.append(0, 7, b"one") == 1
        await log.load_owned_heads()
        await admin.delete_topics(topics)
        with pytest.raises(Unavailable):
            await log.append(1, 7, b"two")
        await log.wait(1)
        assert not set(topics) & set(await admin.list_topics())
    async with open_log(settings) as log:
        assert await log.append(1, 7, b"two") == 1


async def test_a_topic_with_another_number_of_partitions_is_refused(settings: Settings) -> None:
    async with open_log(settings):
        with pytest.raises(StartError, match=r"has 4 partitions, and this installation 5.*KITH_KAFKA_TOPIC"):
            await KafkaLog.open(settings, 5)


async def test_without_a_broker_the_log_is_not_there_yet() -> None:
    with pytest.raises(NotYet, match=r"127\.0\.0\.1:1 .*KITH_KAFKA_BOOTSTRAP"):
        await KafkaLog.open(Settings(kafka_bootstrap="127.0.0.1:1"), PARTITIONS)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"kafka_security_protocol": "TLS"}, "KITH_KAFKA_SECURITY_PROTOCOL is 'TLS'"),
        ({"kafka_security_protocol": "SASL_PLAINTEXT"}, "KITH_KAFKA_SASL_MECHANISM is ''"),
        ({"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_sasl_mechanism": "PLAIN"}, "KITH_KAFKA_SASL_USERNAME"),
        ({"kafka_security_protocol": "SSL", "kafka_ca_file": "/nowhere.pem"}, "KITH_KAFKA_CA_FILE"),
    ],
)
def test_settings_that_cannot_be_are_named(wrong: dict[str, str], named: str) -> None:
    with pytest.raises(StartError, match=named):
        make_options(Settings(kafka_bootstrap="127.0.0.1:1", **wrong))  # type: ignore[arg-type]


async def test_news_say_where_the_log_ends_by_now(settings: Settings) -> None:
    async with open_log(settings) as log:
        while len(await log.load_owned_heads()) < PARTITIONS:
            await log.wait(1)
        told: dict[int, int] | None = None
        await log.append(1, 7, b"one")
        while told is None or not told[1]:
            told = await log.wait(1)
        assert told == {0: 0, 1: 1, 2: 0, 3: 0}


@pytest.fixture(scope="module")
def secured_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running_broker(tmp_path_factory.mktemp("secured"), secured=True) as broker:
        yield broker


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_a_broker_by_tls_takes_who_has_a_password(secured_broker: Broker, mechanism: str) -> None:
    settings = secured_broker.make_secured_settings(SETTINGS, mechanism)
    async with open_log(settings) as log:
        assert [await log.append(1, 7, data) for data in (b"one", b"two")] == [1, 2]
        assert await read_all(log, 1) == [Entry(1, 7, b"one"), Entry(2, 7, b"two")]
        while len(await log.load_owned_heads()) < PARTITIONS:
            await log.wait(1)
    with pytest.raises(NotYet, match=r"Kafka does not answer.* the password"):
        await KafkaLog.open(msgspec.structs.replace(settings, kafka_sasl_password="wrong"), PARTITIONS)


async def test_a_broker_whose_certificate_nobody_vouches_for_is_not_talked_to(secured_broker: Broker) -> None:
    settings = secured_broker.make_secured_settings(SETTINGS, "PLAIN")
    with pytest.raises(NotYet, match=r"Kafka does not answer.* KITH_KAFKA_CA_FILE\?"):
        await KafkaLog.open(msgspec.structs.replace(settings, kafka_ca_file=""), PARTITIONS)


async def test_a_trimmed_log_shows_its_gap(settings: Settings) -> None:
    async with open_log(settings) as log:
        await asyncio.gather(*(log.append(0, 7, b"%d" % n) for n in range(1, 11)))
        async with open_admin(settings) as admin:
            await admin.delete_records({TopicPartition(settings.kafka_topic, 0): RecordsToDelete(before_offset=4)})
        assert (await log.read(0, 1, 10))[0] == Entry(5, 7, b"5")
        assert (await log.read(0, 7, 10))[0] == Entry(8, 7, b"8")


async def test_nothing_acknowledged_is_lost_when_the_broker_is_killed(own_broker: Broker) -> None:
    """Killed and started again in the middle of appends: all acknowledged are there, in the order of their calls."""
    settings = msgspec.structs.replace(own_broker.make_settings(SETTINGS), append_timeout_ms=60_000)
    async with open_log(settings) as log:
        acknowledged: list[tuple[int, int]] = []

        async def append(number: int) -> None:
            acknowledged.append((await log.append(0, 7, b"%d" % number), number))

        tasks: list[asyncio.Task[None]] = []
        for part in range(3):
            for number in range(part * 1000, part * 1000 + 1000):
                tasks.append(asyncio.create_task(append(number)))
                if number % 50 == 0:
                    await asyncio.sleep(0)
            own_broker.kill()
            await asyncio.to_thread(own_broker.start)
        await asyncio.gather(*tasks)
        entries = await read_all(log, 0)
    assert [entry.position for entry in entries] == list(range(1, 3001))
    assert [entry.data for entry in entries] == [b"%d" % number for number in range(3000)]
    assert sorted(acknowledged) == [(number + 1, number) for number in range(3000)]


async def test_without_its_broker_the_log_says_unavailable_in_time_and_comes_back_with_it(own_broker: Broker) -> None:
    settings = own_broker.make_settings(SETTINGS)
    loop = asyncio.get_running_loop()
    async with open_log(settings) as log:
        assert await log.append(0, 7, b"before") == 1
        own_broker.kill()
        began = loop.time()
        ended = await asyncio.gather(*(log.append(n % 2, 7, b"lost") for n in range(50)), return_exceptions=True)
        assert loop.time() - began < 2 * SETTINGS.append_timeout_ms / 1000
        assert all(isinstance(one, Unavailable) and one.headers["Retry-After"].isdecimal() for one in ended)
        with pytest.raises(Unavailable):
            await log.load_heads()
        await asyncio.to_thread(own_broker.start)
        position = await log.append(0, 7, b"after")
        assert [entry.data for entry in await read_all(log, 0)][position - 1] == b"after"


async def test_writes_to_each_partition_end_in_time_while_the_broker_is_away(own_broker: Broker) -> None:
    """Also where one partition's write is given up while another's waits for the broker."""
    settings = msgspec.structs.replace(own_broker.make_settings(SETTINGS), append_timeout_ms=400)
    async with open_log(settings) as log:
        for shard in range(PARTITIONS):
            assert await log.append(shard, 7, b"before") == 1
        own_broker.kill()

        async def append_again_and_again(shard: int) -> list[object]:
            return [
                ended
                for _ in range(4)
                for ended in await asyncio.gather(log.append(shard, 7, b"lost"), return_exceptions=True)
            ]

        tasks: list[asyncio.Task[list[object]]] = []
        for shard in range(PARTITIONS):
            tasks.append(asyncio.create_task(append_again_and_again(shard)))
            # The next begins while this one waits.
            await asyncio.wait(tasks, timeout=0.13)
        ended = await asyncio.wait_for(asyncio.gather(*tasks), 20)
        assert all(isinstance(one, Unavailable) for some in ended for one in some)
        await asyncio.to_thread(own_broker.start)
        for shard in range(PARTITIONS):
            while isinstance((await append_again_and_again(shard))[-1], Unavailable):
                pass


async def share_out(*logs: KafkaLog) -> list[set[int]]:
    """What each owns once all partitions are somebody's, and everybody has some."""
    while True:
        owned = [set(await log.load_owned_heads()) for log in logs]
        if sum(map(len, owned)) == PARTITIONS and all(owned):
            return owned
        await asyncio.gather(*(log.wait(0.1) for log in logs))


async def test_partitions_are_shared_out_among_writers_and_go_to_those_who_stay(settings: Settings) -> None:
    async with open_log(settings) as one:
        assert await share_out(one) == [{0, 1, 2, 3}]
        async with open_log(settings) as other:
            mine, others = await share_out(one, other)
            assert mine | others == {0, 1, 2, 3}
            assert len(mine) == len(others) == 2
        assert await share_out(one) == [{0, 1, 2, 3}]


async def test_a_dead_letter_is_on_a_topic_of_its_own_with_its_reason(settings: Settings) -> None:
    async with open_log(settings) as log:
        await log.copy_dead_letter(2, Entry(5, 7, b"broken"), "it cannot be read")
        consumer = AIOKafkaConsumer(
            f"{settings.kafka_topic}.dead", **make_options(settings), auto_offset_reset="earliest"
        )
        await consumer.start()
        record = await consumer.getone()
        await consumer.stop()
    assert record.value == b"broken"
    assert dict(record.headers) == {"reason": b"it cannot be read", "shard": b"2", "position": b"5"}


async def test_a_dead_letter_that_cannot_be_told_of_keeps_nobody(own_broker: Broker) -> None:
    settings = own_broker.make_settings(SETTINGS)
    async with open_log(settings) as log:
        own_broker.kill()
        await asyncio.wait_for(log.copy_dead_letter(0, Entry(1, 7, b"broken"), "it cannot be read"), 5)
        await asyncio.to_thread(own_broker.start)
