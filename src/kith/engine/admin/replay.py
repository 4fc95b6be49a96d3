"""Replay: apply the log again, to an empty database, and compare every table with what is there."""

import asyncio
import secrets
from urllib.parse import urlsplit, urlunsplit

import msgspec

from kith.clock import SystemClock
from kith.engine.apply.dead_letters import Recorded
from kith.engine.apply.writer import Writer
from kith.errors import StartError
from kith.log.kafka import KafkaLog
from kith.log.port import READ_BYTES_MAX, Entry
from kith.settings import Settings
from kith.store.broken_lists import load_broken_lists
from kith.store.comparison import TABLES, WRONG_TOTALS, create_database, drop_database, find_difference
from kith.store.database import Connection, Database, connect
from kith.store.dead_letters import load_set_aside
from kith.store.log_place import check_place, load_bases, load_place
from kith.store.migrate import migrate
from kith.store.queries import load_queries

_LOG = load_queries("log")


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True):
    """``entries`` were applied again; ``differences`` is empty where every table came out equal."""

    entries: int
    tables: list[str]
    differences: list[str]


class _AppliedLog:
    """The part of a log that is applied, as one snapshot of the database shows it.

    ``kafka``: where it lies there; then the table has what is not behind ``bases``.
    """

    def __init__(
        self, connection: Connection, cursors: dict[int, int], kafka: KafkaLog | None, bases: dict[int, int]
    ) -> None:
        self._connection = connection
        self._cursors = cursors
        self._kafka = kafka
        self._bases = bases
        # The writer reads ahead on several shards at once, and a connection takes one statement after the other.
        self._reading = asyncio.Lock()

    async def find_first(self, shard: int) -> int | None:
        """The position of the oldest entry that is there."""
        if self._kafka is None or self._bases[shard] > 0:
            first: int | None = await self._connection.fetchval(_LOG["load_first"], shard)
            return first
        entries = await self._kafka.read(shard, 0, 1)
        return entries[0].position if entries else None

    async def append(self, shard: int, workspace_id: int, data: bytes) -> int:
        raise StartError("A replay only reads.")

    async def read(self, shard: int, after: int, limit: int) -> list[Entry]:
        limit = min(limit, self._cursors[shard] - after)
        if self._kafka is not None and after >= self._bases[shard]:
            return await self._kafka.read(shard, after, limit)
        async with self._reading:
            rows = await self._connection.fetch(_LOG["read"], shard, after, limit, READ_BYTES_MAX)
        return [Entry(row[0], row[1], row[2]) for row in rows]

    async def load_heads(self) -> dict[int, int]:
        return self._cursors

    async def load_owned_heads(self) -> dict[int, int]:
        return self._cursors

    @property
    def needs_database(self) -> bool:
        return True

    @property
    def is_shared_out(self) -> bool:
        return False

    async def copy_dead_letter(self, shard: int, entry: Entry, reason: str) -> None:
        return

    async def wait(self, timeout_s: float) -> dict[int, int] | None:
        return None

    async def close(self) -> None:
        return


async def replay_check(url: str, settings: Settings) -> ReplayReport:
    """Replay into a scratch database on the same server, which is dropped at the end.

    Raises StartError where the log was trimmed: then it does not hold all that made the tables.
    """
    source = await connect(url, {"timezone": "UTC"})
    scratch = f"kith_replay_{secrets.token_hex(6)}"
    try:
        await create_database(source, scratch)
        try:
            async with source.transaction(isolation="repeatable_read", readonly=True):
                return await _replay(source, make_url(url, scratch), settings)
        finally:
            await drop_database(source, scratch)
    finally:
        await source.close()


async def _replay(source: Connection, scratch_url: str, settings: Settings) -> ReplayReport:
    check_place(await load_place(source), settings)
    partitions = await source.fetchval(_LOG["load_installation"])
    if not settings.kafka_bootstrap:
        return await _replay_log(source, scratch_url, settings, partitions, None)
    kafka = await KafkaLog.open(settings, partitions, await load_bases(source), False)
    try:
        return await _replay_log(source, scratch_url, settings, partitions, kafka)
    finally:
        await kafka.close()


async def _replay_log(
    source: Connection, scratch_url: str, settings: Settings, partitions: int, kafka: KafkaLog | None
) -> ReplayReport:
    cursors = {row["shard"]: row["position"] for row in await source.fetch(_LOG["load_cursors"])}
    log = _AppliedLog(source, cursors, kafka, await load_bases(source))
    for shard, position in cursors.items():
        first = await log.find_first(shard) if position > 0 else 1
        if first != 1:
            kept = "KITH_KAFKA_RETENTION_H" if kafka else "KITH_LOG_RETENTION_H"
            raise StartError(
                f"The log of partition {shard} begins at {first or position + 1}: older entries were trimmed, so it"
                f" cannot be replayed from the start. {kept} keeps entries longer."
            )
    await migrate(scratch_url, partitions)
    settings = msgspec.structs.replace(settings, pool_connections_max=2)
    database = await Database.open(scratch_url, settings, "writer")
    try:
        # These do not follow from the log: what entries failed by may be mended, and lists may take less time.
        recorded = Recorded(await load_set_aside(source), await load_broken_lists(source))
        writer = Writer(database, log, SystemClock(), settings, recorded=recorded)
        entries = await writer.drain()
        async with database.acquire() as replayed:
            found = [await find_difference(source, replayed, table) for table in TABLES]
        wrong = await source.fetch(WRONG_TOTALS)
    finally:
        await database.close()
    differences = [difference for difference in found if difference]
    differences += [f"totals: {dict(row)}" for row in wrong]
    return ReplayReport(entries=entries, tables=list(TABLES), differences=differences)


def make_url(url: str, database: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))
