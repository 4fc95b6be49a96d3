"""The log in a topic of Kafka: a shard is a partition, and a position the offset after it, so that they count from 1.

Where the log was in PostgreSQL before, they go on from there: ``bases`` have the last position of each shard's table.

An idempotent producer that has no transactions leaves no gaps between offsets: nothing but entries takes one. Entries
that are appended while others are on their way go together into the next batch, one batch at a time for each
partition: that keeps the order of calls, also where a smaller entry would have fitted into an earlier batch.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from kith.errors import NotYet, Unavailable, to_reason
from kith.log.groups import Groups, Waiting
from kith.log.kafka_group import Membership
from kith.log.kafka_reader import Reader
from kith.log.kafka_topic import ENTRY_BYTES_MAX, make_options, prepare_topics, to_dead_topic, to_group
from kith.log.port import Entry
from kith.settings import Settings

APPEND_BYTES_MAX = 1024 * 1024
FETCH_BYTES = 1024 * 1024
SESSION_MS = 6000
HEARTBEAT_MS = 2000
REBALANCE_MS = 10_000
ASK_TIMEOUT_S = 5
BURY_TIMEOUT_S = 2
REOPEN_S = 0.1
# What the framing of a record adds to its entry, with room to spare.
RECORD_BYTES = 128
logger = structlog.get_logger(__name__)
T = TypeVar("T")


class KafkaLog:
    """See ``kith.log.port.Log``."""

    def __init__(self, settings: Settings, partitions: int, bases: Mapping[int, int] | None = None) -> None:
        self._settings = settings
        self._bases = bases or {}
        self._options = make_options(settings)
        self._topic = settings.kafka_topic
        self._partitions = [TopicPartition(self._topic, shard) for shard in range(partitions)]
        timeout_s = settings.append_timeout_ms / 1000
        self._groups = Groups(self._append_group, is_passing, timeout_s, APPEND_BYTES_MAX, RECORD_BYTES)
        self._producer: asyncio.Task[AIOKafkaProducer] | None = None
        self._asking: AIOKafkaConsumer | None = None
        self._readers: dict[int, Reader] = {}
        self._membership: Membership | None = None
        self._heads: dict[int, int] = {}
        self._news = asyncio.Event()
        self._discarding: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(
        cls, settings: Settings, partitions: int, bases: Mapping[int, int] | None = None, makes: bool = True
    ) -> "KafkaLog":
        """``makes``: the topic, where it is missing. Raises NotYet where no broker answers, StartError."""
        await prepare_topics(settings, partitions, makes)
        log = cls(settings, partitions, bases)
        log._asking = log._make_consumer()
        try:
            await log._asking.start()
        except (KafkaError, OSError) as error:
            await log.close()
            raise NotYet(f"Kafka stopped answering at {settings.kafka_bootstrap} ({error}).") from None
        return log

    async def append(self, shard: int, workspace_id: int, data: bytes) -> int:
        return await self._groups.append(shard, workspace_id, data)

    async def read(self, shard: int, after: int, limit: int) -> list[Entry]:
        await self._close_idle()
        if shard not in self._readers:
            self._readers[shard] = self._make_reader(shard)

        async def load_head() -> int:
            return (await self._load_ends([self._partitions[shard]]))[shard]

        return await self._readers[shard].read(after, limit, load_head)

    async def load_heads(self) -> dict[int, int]:
        return await self._load_ends(self._partitions)

    async def load_owned_heads(self) -> dict[int, int]:
        if self._membership is None:
            self._membership = Membership(self._make_member, self._topic, self._news.set)
        owned = self._membership.owned
        for shard in [shard for shard in self._readers if shard not in owned]:
            await self._readers.pop(shard).close()
        self._heads = await self._load_ends([self._partitions[shard] for shard in sorted(owned)])
        return self._heads

    @property
    def needs_database(self) -> bool:
        return False

    @property
    def is_shared_out(self) -> bool:
        return True

    async def copy_dead_letter(self, shard: int, entry: Entry, reason: str) -> None:
        headers = [("reason", reason.encode()), ("shard", b"%d" % shard), ("position", b"%d" % entry.position)]
        key = entry.workspace_id.to_bytes(4, "big", signed=True)
        try:
            async with asyncio.timeout(BURY_TIMEOUT_S):
                producer = await asyncio.shield(self._get_producer())
                sent = await producer.send(to_dead_topic(self._settings), entry.data, key, headers=headers)
                await sent
        except (KafkaError, OSError) as error:
            logger.warning(
                "a dead letter is in the table only", shard=shard, position=entry.position, error=repr(error)
            )

    async def wait(self, timeout_s: float) -> dict[int, int] | None:
        for shard, head in self._heads.items():
            if shard not in self._readers:
                self._readers[shard] = self._make_reader(shard)
                self._readers[shard].start(head)
        try:
            await asyncio.wait_for(self._news.wait(), timeout_s)
        except TimeoutError:
            return None
        self._news.clear()
        if self._membership is None or self._membership.owned != self._heads.keys():
            return None
        # What was fetched is on the log, so the broker need not be asked again before each batch.
        self._heads = {shard: max(head, self._readers[shard].fetched) for shard, head in self._heads.items()}
        return dict(self._heads)

    async def close(self) -> None:
        """Append what still waits, leave the group, and close all connections."""
        await self._groups.close()
        if self._membership:
            await self._membership.close()
        for reader in self._readers.values():
            await reader.close()
        self._readers.clear()
        self._discard_producer()
        await asyncio.gather(*self._discarding, return_exceptions=True)
        if self._asking is not None:
            await self._asking.stop()

    async def _append_group(self, shard: int, group: Sequence[Waiting]) -> int:
        used: asyncio.Task[AIOKafkaProducer] | None = None
        try:
            async with asyncio.timeout_at(group[0].deadline):
                opening = self._get_producer()
                producer = await asyncio.shield(opening)
                used = opening
                return await self._append_once(producer, shard, group)
        except Exception as error:
            if is_passing(error):
                # It would go on trying, and might append long after the answer: the next begins anew. One that is not
                # open yet has nothing to send, and one that another group gave up may be a new one by now.
                if used is not None and self._producer is used:
                    self._discard_producer()
                logger.warning("the log does not take writes", shard=shard, error=repr(error))
            raise

    async def _append_once(self, producer: AIOKafkaProducer, shard: int, group: Sequence[Waiting]) -> int:
        """The position of the first."""
        batch = producer.create_batch()
        for one in group:
            key = one.workspace_id.to_bytes(4, "big", signed=True)
            if batch.append(key=key, value=one.data, timestamp=None) is None:
                raise ValueError(f"An entry of {len(one.data)} bytes is more than a batch takes.")
        batch.close()
        sent = await (await producer.send_batch(batch, self._topic, partition=shard))
        if sent.offset < 0:
            raise KafkaError("It was appended, and the broker does not say where.")
        return self._get_base(shard) + int(sent.offset) + 1

    def _get_producer(self) -> "asyncio.Task[AIOKafkaProducer]":
        if self._producer is None or (self._producer.done() and self._producer.exception() is not None):
            self._producer = asyncio.create_task(self._open_producer())
            self._producer.add_done_callback(lambda done: done.cancelled() or done.exception())
        return self._producer

    async def _open_producer(self) -> AIOKafkaProducer:
        """Tries until a broker is there: who waits for it has a deadline."""
        while True:
            producer = AIOKafkaProducer(
                **self._options,
                acks="all",
                enable_idempotence=True,
                max_request_size=ENTRY_BYTES_MAX,
                max_batch_size=ENTRY_BYTES_MAX,
                request_timeout_ms=self._settings.append_timeout_ms,
                retry_backoff_ms=50,
            )
            try:
                await producer.start()
                return producer
            except (KafkaError, OSError):
                await _abandon(producer)
                await asyncio.sleep(REOPEN_S)
            except BaseException:
                await _abandon(producer)
                raise

    def _discard_producer(self) -> None:
        """Let go of it with what it has not sent: the next append makes another."""
        opening, self._producer = self._producer, None
        if opening is None:
            return
        task = asyncio.create_task(_close_producer(opening))
        self._discarding.add(task)
        task.add_done_callback(self._discarding.discard)

    async def _load_ends(self, partitions: Iterable[TopicPartition]) -> dict[int, int]:
        wanted = list(partitions)
        if not wanted:
            return {}
        assert self._asking is not None
        ends = await _ask(self._asking.end_offsets(wanted))
        return {one.partition: self._get_base(one.partition) + end for one, end in ends.items()}

    def _get_base(self, shard: int) -> int:
        return self._bases.get(shard, 0)

    async def _close_idle(self) -> None:
        """Whoever reads now and then, as a starting API, does not go on fetching for ever."""
        owned = self._membership.owned if self._membership else frozenset()
        for shard in [one for one, reader in self._readers.items() if one not in owned and reader.is_idle]:
            await self._readers.pop(shard).close()

    def _make_reader(self, shard: int) -> Reader:
        return Reader(self._make_consumer, self._partitions[shard], self._news.set, self._get_base(shard))

    def _make_consumer(self, **more: Any) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._options,
            **more,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_bytes=2 * FETCH_BYTES,
            request_timeout_ms=ASK_TIMEOUT_S * 1000,
            retry_backoff_ms=50,
        )

    def _make_member(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._options,
            group_id=to_group(self._settings),
            enable_auto_commit=False,
            auto_offset_reset="latest",
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            rebalance_timeout_ms=REBALANCE_MS,
        )


async def _close_producer(opening: "asyncio.Task[AIOKafkaProducer]") -> None:
    """At once, with what it holds: ``stop`` would first send that, for as long as it takes."""
    opening.cancel()
    await asyncio.wait([opening])
    if opening.cancelled() or opening.exception() is not None:
        return
    await _abandon(opening.result())


async def _abandon(producer: AIOKafkaProducer) -> None:
    producer._closed = True  # noqa: SLF001 - there is no public way to close it without sending
    if producer._sender is not None:  # noqa: SLF001 - likewise
        await producer._sender.close()  # noqa: SLF001 - likewise
    await producer.client.close()


async def _ask(answer: Awaitable[T]) -> T:
    """What a broker answers. Raises Unavailable where none does in time."""
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            return await answer
    except (KafkaError, OSError) as error:
        raise Unavailable(f"The log does not answer ({to_reason(error)}).", 2) from error


def is_passing(error: Exception) -> bool:
    """Whether it is Kafka that fails, or the way there."""
    return isinstance(error, (KafkaError, OSError))
