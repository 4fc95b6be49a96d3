"""The lock that one writer at a time holds where the log is in PostgreSQL, so that a second stands by.

It belongs to a connection: PostgreSQL gives it free when its holder's process or host is gone. It keeps writers out of
each other's way; that only one of them commits a batch is for the cursor to say.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from kith.store.database import CONNECT_TIMEOUT_S, UNANSWERED
from kith.store.queries import load_queries

# How often one that stands by tries, and the holder looks whether it holds the lock still.
LOOK_S = 0.5
_LOCK = 0x6B777274  # "kwrt"
_SQL = load_queries("log")


class WriterLock:
    """The lock, on a connection that is used for nothing else."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def take(self) -> bool:
        """False where another writer holds it."""
        taken: bool = await self._connection.fetchval(_SQL["try_lock"], _LOCK)
        return taken

    async def watch(self, stop: asyncio.Event, ended: asyncio.Event) -> None:
        """Set ``ended`` when the connection is lost, and the lock with it, or when ``stop`` is set."""
        try:
            while not await is_set(stop):
                await self._connection.execute("SELECT")
        except (*UNANSWERED, asyncpg.PostgresError):
            pass
        finally:
            ended.set()


@asynccontextmanager
async def open_writer_lock(url: str) -> AsyncIterator[WriterLock]:
    settings = {
        "application_name": "kith writer lock",
        # A writer whose host is gone loses the lock within 11 seconds.
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
    }
    connection = await asyncpg.connect(
        url, timeout=CONNECT_TIMEOUT_S, command_timeout=CONNECT_TIMEOUT_S, server_settings=settings
    )
    try:
        yield WriterLock(connection)
    finally:
        await connection.close(timeout=1)


async def is_set(event: asyncio.Event) -> bool:
    """Whether it is set, or becomes so before it is time to look again."""
    try:
        await asyncio.wait_for(event.wait(), LOOK_S)
    except TimeoutError:
        return False
    return True
