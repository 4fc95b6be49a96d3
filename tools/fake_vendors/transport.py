"""The fake without a socket: a transport whose timeouts are those that a client would see."""

from typing import Any

import httpx2

from tools.fake_vendors.app import RAISES_DROPPED, Fake, Receive, Scope, Send
from tools.fake_vendors.faults import Dropped


class FakeTransport(httpx2.AsyncBaseTransport):
    """Takes requests to any host. A request that gets no answer raises ReadTimeout at once."""

    def __init__(self, fake: Fake) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            extensions: dict[str, Any] = {**scope.get("extensions", {}), RAISES_DROPPED: {}}
            await fake({**scope, "extensions": extensions}, receive, send)

        self._inner = httpx2.ASGITransport(app=app)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            return await self._inner.handle_async_request(request)
        except Dropped as dropped:
            raise httpx2.ReadTimeout(f"no answer ({dropped})", request=request) from dropped
