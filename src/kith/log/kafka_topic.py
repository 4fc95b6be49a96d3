"""The topic that is the log, and its dead letters' one: how brokers are reached, and that both are there as needed."""

import asyncio
import ssl
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from kith.errors import NotYet, StartError
from kith.settings import Settings

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
# An entry holds a command and, with an Idempotency-Key, its first answer: some times the body.
ENTRY_BYTES_MAX = 16 * 1024 * 1024
REPLICAS = 3
OPEN_TIMEOUT_MS = 10_000
SEEN_S = 0.05
_EXISTS = 36

# A broker with auto.create.topics.enable, Kafka's default, makes a topic that a client asks about, with as many
# partitions as the broker is set to. The driver has no option against that, so the default of its request is changed.
MetadataRequest.__init__.__defaults__ = (None, False)


def to_dead_topic(settings: Settings) -> str:
    return f"{settings.kafka_topic}.dead"


def to_group(settings: Settings) -> str:
    """The group of the writers: ``kith.writers`` for the topic ``kith.commands``."""
    return settings.kafka_topic.removesuffix(".commands") + ".writers"


def make_options(settings: Settings) -> dict[str, Any]:
    """How every client reaches the brokers. Raises StartError where a setting cannot be."""
    protocol, mechanism = settings.kafka_security_protocol.upper(), settings.kafka_sasl_mechanism.upper()
    if protocol not in PROTOCOLS:
        raise StartError(f"KITH_KAFKA_SECURITY_PROTOCOL is {protocol!r}; it must be one of {', '.join(PROTOCOLS)}.")
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap,
        "security_protocol": protocol,
        "client_id": "kith",
    }
    if protocol.endswith("SSL"):
        options["ssl_context"] = make_ssl_context(settings)
    if protocol.startswith("SASL"):
        if mechanism not in MECHANISMS:
            raise StartError(f"KITH_KAFKA_SASL_MECHANISM is {mechanism!r}; it must be one of {', '.join(MECHANISMS)}.")
        if not settings.kafka_sasl_username or not settings.kafka_sasl_password:
            raise StartError(f"{protocol} needs KITH_KAFKA_SASL_USERNAME and KITH_KAFKA_SASL_PASSWORD.")
        options["sasl_mechanism"] = mechanism
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = settings.kafka_sasl_password
    return options


def make_ssl_context(settings: Settings) -> ssl.SSLContext:
    """Raises StartError where a file cannot be read."""
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca_file or None)
        if settings.kafka_certificate_file:
            context.load_cert_chain(settings.kafka_certificate_file, settings.kafka_key_file or None)
    except (OSError, ssl.SSLError) as error:
        raise StartError(
            f"The certificates for Kafka cannot be read ({error}): see KITH_KAFKA_CA_FILE,"
            " KITH_KAFKA_CERTIFICATE_FILE and KITH_KAFKA_KEY_FILE."
        ) from None
    return context


async def prepare_topics(settings: Settings, partitions: int, makes: bool = True) -> None:
    """``makes``: what is missing. Raises NotYet where no broker answers, StartError for a topic that does not fit."""
    admin = AIOKafkaAdminClient(**make_options(settings), request_timeout_ms=OPEN_TIMEOUT_MS)
    try:
        await admin.start()
        if not makes and not await _count_partitions(admin, settings.kafka_topic):
            raise StartError(
                f"Kafka has no topic {settings.kafka_topic}. Set KITH_KAFKA_TOPIC to the topic of this installation;"
                " `kith init` and `kith serve` make the topic of a new one."
            )
        await _make_missing(admin, settings, partitions, makes)
    except (KafkaError, OSError) as error:
        hint = "Is KITH_KAFKA_BOOTSTRAP right?"
        if settings.kafka_security_protocol.upper() != "PLAINTEXT":
            # The driver keeps the cause to its own log.
            hint += " And the password, and KITH_KAFKA_CA_FILE? The line before this one says more."
        cause = str(error) or type(error).__name__
        raise NotYet(f"Kafka does not answer at {settings.kafka_bootstrap} ({cause}). {hint}") from None
    finally:
        await admin.close()


async def _make_missing(admin: AIOKafkaAdminClient, settings: Settings, partitions: int, makes: bool) -> None:
    brokers = len((await admin.describe_cluster())["brokers"])
    replicas = settings.kafka_replicas or min(REPLICAS, brokers)
    configs = {
        "cleanup.policy": "delete",
        "retention.ms": str(settings.kafka_retention_h * 3_600_000),
        "max.message.bytes": str(ENTRY_BYTES_MAX),
        # With three replicas a write is acknowledged by two, and one broker may be down.
        "min.insync.replicas": str(2 if replicas >= REPLICAS else 1),
        "unclean.leader.election.enable": "false",
    }
    for name in (settings.kafka_topic, to_dead_topic(settings)):
        found = await _count_partitions(admin, name)
        if found == 0 and makes:
            made = await admin.create_topics([NewTopic(name, partitions, replicas, topic_configs=configs)])
            for topic, code, *more in made.topic_errors:
                if code not in (0, _EXISTS):
                    raise StartError(f"Kafka does not make the topic {topic}: {more[0] if more else f'error {code}'}")
            async with asyncio.timeout(OPEN_TIMEOUT_MS / 1000):
                # What was made is not known to every broker at once.
                while not (found := await _count_partitions(admin, name)):  # noqa: ASYNC110 - nothing tells of it
                    await asyncio.sleep(SEEN_S)
        if name == settings.kafka_topic and found != partitions:
            raise StartError(
                f"The topic {name} has {found} partitions, and this installation {partitions}. Name another topic"
                " with KITH_KAFKA_TOPIC, or delete that one if nothing on it is needed."
            )


async def _count_partitions(admin: AIOKafkaAdminClient, name: str) -> int:
    """0 where there is no such topic."""
    (topic,) = await admin.describe_topics([name])
    return len(topic["partitions"])
