"""Answers that are the same for everybody, kept for a moment: many who ask at once cost as much as one."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from kith.api.responses import Answer


class KeptAnswer:
    """The last answer of one endpoint. While it is made, all that come wait for the same one."""

    def __init__(self, keep_ms: int) -> None:
        self._keep_s = keep_ms / 1000
        self._made_at = float("-inf")
        self._making: asyncio.Task[Answer] | None = None

    async def get(self, make: Callable[[], Awaitable[Answer]]) -> Answer:
        making = self._making
        if making is None or (making.done() and self._is_over(making)):
            self._making = making = asyncio.ensure_future(self._make(make))
        # One client that leaves must not end the answer of the others.
        answer = await asyncio.shield(making)
        return Answer(answer.status, answer.body, list(answer.headers))

    async def _make(self, make: Callable[[], Awaitable[Answer]]) -> Answer:
        answer = await make()
        self._made_at = time.monotonic()
        return answer

    def _is_over(self, made: "asyncio.Task[Answer]") -> bool:
        failed = made.cancelled() or made.exception() is not None
        return failed or time.monotonic() - self._made_at >= self._keep_s
