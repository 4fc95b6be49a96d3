"""LISTEN: a connection of its own that hears notifications, and comes back when it was lost."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg

from kith.store.database import CONNECT_TIMEOUT_S, UNANSWERED, Connection

RECONNECT_S = 0.25


class Listener:
    """Calls ``hear(payload)`` for every notification on the channel.

    A notification may be lost while the connection is; ``hear("")`` after each connect says: look for yourself.
    ``prepare`` comes before that: for what is to last as long as the connection does.
    """

    def __init__(
        self,
        url: str,
        channel: str,
        hear: Callable[[str], None],
        prepare: Callable[[Connection], Awaitable[object]] | None = None,
    ) -> None:
        self._url = url
        self._channel = channel
        self._hear = hear
        self._prepare = prepare
        self._task = asyncio.create_task(self._run(), name=f"listen {channel}")

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except (*UNANSWERED, asyncpg.PostgresError):
                await asyncio.sleep(RECONNECT_S)

    async def _listen(self) -> None:
        lost = asyncio.Event()
        connection = await asyncpg.connect(
            self._url, timeout=CONNECT_TIMEOUT_S, server_settings={"application_name": f"kith listen {self._channel}"}
        )
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(self._channel, lambda *heard: self._hear(str(heard[3])))
            if self._prepare is not None:
                await self._prepare(connection)
            self._hear("")
            await lost.wait()
        finally:
            await connection.close(timeout=1)
