"""Turns of the shards at PostgreSQL: how many transactions the writer has open at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager


class Turns:
    """Half of the connections are for transactions; the others decide the batches behind them.

    Commands about all records may take minutes. They get half of the turns, so that others of other shards go on.
    """

    def __init__(self, connections: int) -> None:
        turns = max(1, connections // 2)
        self._all = asyncio.Semaphore(turns)
        self._long = asyncio.Semaphore(max(1, turns // 2))

    @asynccontextmanager
    async def take(self, *, long: bool) -> AsyncIterator[None]:
        """In the order of the calls."""
        async with AsyncExitStack() as stack:
            if long:
                await stack.enter_async_context(self._long)
            await stack.enter_async_context(self._all)
            yield
