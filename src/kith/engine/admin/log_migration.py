"""Moving the log between PostgreSQL and Kafka while nothing runs: all of it is applied, then the other goes on behind.

Positions go on, so whatever holds one stays true: operations, clients that read after a write, dead letters, cursors.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import msgspec

from kith.clock import SystemClock
from kith.engine.apply.writer import Writer
from kith.errors import StartError
from kith.log.kafka import KafkaLog
from kith.log.port import Log
from kith.log.postgres import PostgresLog
from kith.settings import Settings
from kith.store import log_place
from kith.store.database import Connection, Database, open_connection
from kith.store.log_place import IN_POSTGRESQL, describe, load_bases, load_place, to_place
from kith.store.migrate import check_schema
from kith.store.queries import load_queries

TELL_EVERY_S = 1.0
# What was killed is still connected until its statement ends.
PATIENCE_S = 15.0
LOOK_AGAIN_S = 0.1
CONNECTIONS = 4
_LOG = load_queries("log")
Tell = Callable[[str], None]


class LogMove(msgspec.Struct, frozen=True, kw_only=True):
    """``log``: where it is now; ``moved``: False where it was there before. ``applied``: entries that were not yet."""

    log: str
    moved: bool
    applied: int
    positions: dict[int, int]


class _Running(Exception):
    """Parts are connected."""


async def move_log(
    url: str, settings: Settings, to_kafka: bool, tell: Tell, *, dangerous_give_up: bool = False
) -> LogMove:
    """Run again after whatever ended it, it goes on. Changes nothing of where the log is before all is applied.

    ``dangerous_give_up``: Kafka's data is gone. The table goes on behind what is applied; what was accepted besides is
    lost. ``tell`` hears of each step. Raises StartError, NotYet, and what the writer raises where it cannot apply.
    """
    if not settings.kafka_bootstrap and not dangerous_give_up:
        raise StartError("Set KITH_KAFKA_BOOTSTRAP: either way the log in Kafka has to be reached.")
    async with open_connection(url, "kith migrate-log") as connection:
        await check_schema(connection)
        await log_place.lock_move(connection)
        wanted = to_place(settings) if to_kafka else IN_POSTGRESQL
        place = await load_place(connection)
        if place == wanted:
            tell(f"The log is {describe(wanted)}; there is nothing to do.")
            return await _report(connection, wanted, False, 0)
        await _wait_until_alone(connection, tell)
        applied = 0
        if dangerous_give_up:
            await _commit_alone(connection, partial(log_place.move_to_table, connection), tell)
        elif to_kafka:
            applied = await _move_to_kafka(connection, url, settings, place, tell)
        else:
            applied = await _move_to_table(connection, url, settings, place, tell)
        tell(f"The log is {describe(wanted)}.")
        return await _report(connection, wanted, True, applied)


async def _report(connection: Connection, place: str, moved: bool, applied: int) -> LogMove:
    cursors = {row["shard"]: row["position"] for row in await connection.fetch(_LOG["load_cursors"])}
    return LogMove(log=place, moved=moved, applied=applied, positions=cursors)


async def _move_to_kafka(connection: Connection, url: str, settings: Settings, place: str | None, tell: Tell) -> int:
    if place not in (None, IN_POSTGRESQL):
        raise StartError(
            f"The log is {describe(str(place))}. To move it to another topic, move it to PostgreSQL first:"
            " `kith migrate-log --to postgresql`."
        )
    await _check_empty(settings, await load_bases(connection))
    async with _open_database(url, settings) as database:
        applied = await _apply_all(database, PostgresLog(database, url, settings), settings, tell)

    async def move() -> None:
        if behind := await log_place.list_behind(connection):
            raise StartError(f"Partition {behind[0]} was written to meanwhile. Stop whoever did, and run this again.")
        await log_place.move_to_kafka(connection, to_place(settings))

    await _commit_alone(connection, move, tell)
    return applied


async def _check_empty(settings: Settings, bases: dict[int, int]) -> None:
    """Raises StartError where the topic has, or had, entries: they would stand for positions of this log."""
    log = await KafkaLog.open(settings, len(bases))
    try:
        ends = await log.load_heads()
    finally:
        await log.close()
    if used := [shard for shard, end in ends.items() if end]:
        raise StartError(
            f"The topic {settings.kafka_topic} is not empty (partition {used[0]} ends at {ends[used[0]]})."
            " Name a new one with KITH_KAFKA_TOPIC, or delete that one if nothing on it is needed."
        )


async def _move_to_table(connection: Connection, url: str, settings: Settings, place: str | None, tell: Tell) -> int:
    if place not in (None, to_place(settings)):
        raise StartError(f"The log is {describe(str(place))}. Set KITH_KAFKA_TOPIC to it.")
    bases = await load_bases(connection)
    log = await KafkaLog.open(settings, len(bases), bases, False)

    async def move() -> None:
        cursors = {row["shard"]: row["position"] for row in await connection.fetch(_LOG["load_cursors"])}
        if cursors != await log.load_heads():
            raise StartError("The log in Kafka was written to meanwhile. Stop whoever did, and run this again.")
        await log_place.move_to_table(connection)

    try:
        async with _open_database(url, settings) as database:
            applied = await _apply_all(database, log, settings, tell)
        await _commit_alone(connection, move, tell)
    finally:
        await log.close()
    return applied


@asynccontextmanager
async def _open_database(url: str, settings: Settings) -> AsyncIterator[Database]:
    database = await Database.open(url, settings, "writer", connections_max=CONNECTIONS)
    try:
        yield database
    finally:
        await database.close()


async def _apply_all(database: Database, log: Log, settings: Settings, tell: Tell) -> int:
    """What is on the log, as the writer does it; how many entries."""
    heads = await log.load_heads()
    settings = msgspec.structs.replace(settings, pool_connections_max=CONNECTIONS)
    writer = Writer(database, log, SystemClock(), settings)
    await writer.load_positions()
    waiting = sum(heads.values()) - await _sum_cursors(database)
    if waiting > 0:
        tell(f"Applying {waiting} commands that are accepted and not applied yet.")
    applying = asyncio.create_task(writer.drain(heads=heads))
    try:
        while not (await asyncio.wait([applying], timeout=TELL_EVERY_S))[0]:
            tell(f"{sum(heads.values()) - await _sum_cursors(database)} commands are left.")
        return await applying
    finally:
        applying.cancel()
        await asyncio.gather(applying, return_exceptions=True)


async def _sum_cursors(database: Database) -> int:
    return sum(row["position"] for row in await database.fetch(_LOG["load_cursors"]))


async def _commit_alone(connection: Connection, move: Callable[[], Awaitable[None]], tell: Tell) -> None:
    """The move in a transaction of its own, while no process of Kith has the log, nor can open it."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    tell("Moving the log.")
    while True:
        try:
            async with connection.transaction():
                await log_place.lock_place(connection)
                if running := await log_place.list_running(connection):
                    raise _Running(", ".join(running))
                await move()
                return
        except _Running as error:
            if asyncio.get_running_loop().time() > deadline:
                raise _make_refusal(str(error)) from None
        await asyncio.sleep(LOOK_AGAIN_S)


async def _wait_until_alone(connection: Connection, tell: Tell) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    told = False
    while running := await log_place.list_running(connection):
        if not told:
            tell(f"Waiting for {', '.join(running)} to end.")
            told = True
        if asyncio.get_running_loop().time() > deadline:
            raise _make_refusal(", ".join(running))
        await asyncio.sleep(LOOK_AGAIN_S)


def _make_refusal(running: str) -> StartError:
    return StartError(
        f"Kith is at work on this database ({running}). Stop `kith serve`, and every API, writer and worker, first."
    )
