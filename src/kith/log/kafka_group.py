"""Partitions of a writer: the assignment within the consumer group of the writers."""

import asyncio
from collections.abc import Callable, Iterable

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

POLL_MS = 1000
RETRY_S = 1
logger = structlog.get_logger(__name__)


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """A member of the group that fetches nothing: the cursors in PostgreSQL say where to read.

    Ownership saves work, it guards nothing: a member that lost a partition and does not know it yet is refused by
    the cursor.
    """

    def __init__(
        self, make_consumer: Callable[[], AIOKafkaConsumer], topic: str, on_change: Callable[[], None]
    ) -> None:
        self._make_consumer = make_consumer
        self._topic = topic
        self._on_change = on_change
        self.owned: frozenset[int] = frozenset()
        self._consumer: AIOKafkaConsumer | None = None
        self._joined = asyncio.create_task(self._take_part(), name="take part in the group of writers")

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._own(())

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        assigned = list(assigned)
        if self._consumer is not None:
            self._consumer.pause(*assigned)
        self._own(one.partition for one in assigned)

    async def close(self) -> None:
        """Leave the group, so that the others take over at once."""
        self._joined.cancel()
        await asyncio.gather(self._joined, return_exceptions=True)

    def _own(self, shards: Iterable[int]) -> None:
        self.owned = frozenset(shards)
        if self.owned:
            logger.info("partitions are assigned", partitions=sorted(self.owned))
        self._on_change()

    async def _take_part(self) -> None:
        while True:
            try:
                await self._be_member(self._make_consumer())
            except (KafkaError, OSError) as error:
                logger.warning("the group of writers cannot be joined; trying again", error=str(error))
            await asyncio.sleep(RETRY_S)

    async def _be_member(self, consumer: AIOKafkaConsumer) -> None:
        """Until that fails: to leave may fail too."""
        self._consumer = consumer
        try:
            await consumer.start()
            consumer.subscribe([self._topic], listener=self)
            while True:
                # What is paused gives nothing: this only says that the member is alive.
                await consumer.getmany(timeout_ms=POLL_MS)
        finally:
            self._own(())
            await consumer.stop()
