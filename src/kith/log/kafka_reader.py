"""Reading a partition of the topic: what comes next is fetched before it is asked for, within a bound."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from kith.errors import Unavailable
from kith.log.port import READ_BYTES_MAX, Entry

BUFFER_BYTES_MAX = READ_BYTES_MAX // 2
FETCH_RECORDS_MAX = 2000
PATIENCE_S = 10
IDLE_S = 10
logger = structlog.get_logger(__name__)


class Reader:
    """Fetches a partition from a position on, and holds what was not asked for yet, and what was asked for last.

    A consumer for each partition: one for all could not fetch from the one that is read while its fetch of those
    where nothing is new waits for news.
    """

    def __init__(
        self,
        make_consumer: Callable[[], AIOKafkaConsumer],
        topic_partition: TopicPartition,
        on_news: Callable[[], None],
        base: int = 0,
    ) -> None:
        self._make_consumer = make_consumer
        self._partition = topic_partition
        self._on_news = on_news
        # How far positions are ahead of where offsets, counted from 1, would be.
        self._base = base
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._wanted = 0
        self._changed = asyncio.Condition()
        self._fetching: asyncio.Task[None] | None = None
        self._read_at = time.monotonic()

    @property
    def fetched(self) -> int:
        """The position of the last entry that is here."""
        return self._entries[-1].position if self._entries else 0

    @property
    def is_idle(self) -> bool:
        return time.monotonic() - self._read_at > IDLE_S

    def start(self, after: int) -> None:
        """Fetch what is behind the position."""
        self._fetching = asyncio.create_task(self._fetch(after), name=f"fetch {self._partition.partition}")
        self._wanted = after
        self._entries.clear()
        self._bytes = 0

    async def read(self, after: int, limit: int, load_head: Callable[[], Awaitable[int]]) -> list[Entry]:
        """See the port. Raises Unavailable where what has to be there does not come."""
        self._read_at = time.monotonic()
        if not self._holds(after):
            await self.close()
            self.start(after)
        self._forget_before()
        self._wanted = after
        skipped = self._count_up_to(after)
        if len(self._entries) <= skipped:
            await self._wait_for(after, load_head)
            skipped = self._count_up_to(after)
        found: list[Entry] = []
        size = 0
        for entry in islice(self._entries, skipped, skipped + limit):
            if size >= READ_BYTES_MAX:
                break
            found.append(entry)
            size += len(entry.data)
        async with self._changed:
            self._changed.notify_all()
        return found

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
            self._fetching = None

    def _holds(self, after: int) -> bool:
        """Whether the next entry is here, or is fetched next."""
        if self._fetching is None or self._fetching.done():
            return False
        last = self._entries[-1].position if self._entries else self._wanted
        return self._wanted <= after <= last

    def _forget_before(self) -> None:
        """Let go of what was asked for before the last time: of that, one may have to go back to its beginning."""
        while self._entries and self._entries[0].position <= self._wanted:
            self._bytes -= len(self._entries.popleft().data)

    def _count_up_to(self, after: int) -> int:
        """How many entries at the beginning are not behind the position. Positions have no gaps."""
        return max(0, after - self._entries[0].position + 1) if self._entries else 0

    async def _wait_for(self, after: int, load_head: Callable[[], Awaitable[int]]) -> None:
        """Returns when there is an entry behind the position, or none on the log."""
        if await load_head() <= after:
            return
        try:
            async with asyncio.timeout(PATIENCE_S), self._changed:
                await self._changed.wait_for(lambda: self._has_more(after))
        except TimeoutError:
            raise Unavailable("Kafka does not give what is on the log.", 2) from None

    def _has_more(self, after: int) -> bool:
        ended = self._fetching is None or self._fetching.done()
        return ended or len(self._entries) > self._count_up_to(after)

    async def _fetch(self, after: int) -> None:
        consumer = self._make_consumer()
        try:
            await consumer.start()
            consumer.assign([self._partition])
            consumer.seek(self._partition, max(after - self._base, 0))
            while True:
                try:
                    await self._fetch_more(consumer)
                except OffsetOutOfRangeError:
                    # The entries behind the position are gone, or never were. Whoever reads sees the gap.
                    await consumer.seek_to_beginning(self._partition)
        except (KafkaError, OSError) as error:
            logger.warning(
                "reading the log failed; trying again", partition=self._partition.partition, error=str(error)
            )
        finally:
            try:
                await consumer.stop()
            finally:
                # Under a cancellation nobody is left to wait.
                self._fetching = None if self._fetching is asyncio.current_task() else self._fetching
        async with self._changed:
            self._changed.notify_all()

    async def _fetch_more(self, consumer: AIOKafkaConsumer) -> None:
        found = await consumer.getmany(self._partition, timeout_ms=IDLE_S * 1000, max_records=FETCH_RECORDS_MAX)
        for record in found.get(self._partition, ()):
            data = record.value or b""
            position = self._base + record.offset + 1
            self._entries.append(Entry(position, int.from_bytes(record.key or b"", "big"), data))
            self._bytes += len(data)
        async with self._changed:
            self._changed.notify_all()
            if found:
                self._on_news()
            await self._changed.wait_for(lambda: self._bytes < BUFFER_BYTES_MAX or self._is_starved())

    def _is_starved(self) -> bool:
        """Whether all that is held was given out: then there has to come more, however large it was."""
        return not self._entries or self._entries[-1].position <= self._wanted
