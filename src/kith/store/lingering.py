"""Backends of PostgreSQL: those that go on after their client has left, and how many more may be opened."""

import asyncio

import asyncpg

from kith.store.queries import load_queries

LOOK_S = 0.5
CONNECT_TIMEOUT_S = 5.0
_SQL = load_queries("backends")


class Lingering:
    """Backends whose statement was given up. One connection, open only as long as there are some, watches them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ends: dict[int, asyncio.Future[None]] = {}
        self._watch: asyncio.Task[None] | None = None

    async def outlast(self, backend: int) -> None:
        """Return when the backend has ended its statement."""
        end = self._ends.setdefault(backend, asyncio.get_running_loop().create_future())
        if self._watch is None or self._watch.done():
            self._watch = asyncio.get_running_loop().create_task(self._look())
        await asyncio.shield(end)

    async def _look(self) -> None:
        while self._ends:
            try:
                connection = await asyncpg.connect(
                    self._url, timeout=CONNECT_TIMEOUT_S, server_settings={"application_name": "kith lingering"}
                )
            except asyncpg.TooManyConnectionsError:
                await asyncio.sleep(LOOK_S)
                continue
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                # Without a server there are no backends.
                self._end(set(self._ends))
                return
            try:
                while self._ends:
                    busy = {row["pid"] for row in await connection.fetch(_SQL["list_busy"], list(self._ends))}
                    self._end(self._ends.keys() - busy)
                    if busy:
                        await asyncio.sleep(LOOK_S)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                pass
            finally:
                connection.terminate()

    def _end(self, backends: set[int]) -> None:
        for backend in backends:
            end = self._ends.pop(backend)
            if not end.done():
                end.set_result(None)

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)


async def check_room(connection: "asyncpg.Connection[asyncpg.Record]", reserved: int) -> None:
    """Close a new connection, and raise TooManyConnectionsError, where it leaves fewer than ``reserved`` to others."""
    room = None
    try:
        room = await connection.fetchval(_SQL["count_room"])
    finally:
        if room is None or room < reserved:
            connection.terminate()
    if room < reserved:
        raise asyncpg.TooManyConnectionsError(
            f"{room} connections of PostgreSQL are left, and {reserved} are reserved (KITH_RESERVED_CONNECTIONS)"
        )
