"""The fake behind a socket."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import uvicorn

from tools.fake_vendors.app import Fake


class QuietServer(uvicorn.Server):
    """Leaves signals to the process that it is in, and tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()


@asynccontextmanager
async def serving(fake: Fake, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Its URL, without a path; port 0 takes a free one. Raises OSError where the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listening:
        config = uvicorn.Config(
            fake, lifespan="off", access_log=False, log_config=None, loop="none", timeout_graceful_shutdown=1
        )
        server = QuietServer(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        await server.listens.wait()
        address = f"[{host}]" if ":" in host else host
        try:
            yield f"http://{address}:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task
