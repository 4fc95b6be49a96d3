"""``kith api``: settings in, a running API out."""

import resource
import socket
import sys
from collections.abc import Callable

import structlog
import uvicorn

from kith.api.app import Application
from kith.api.protocol import GuardedProtocol
from kith.engine.accept.rebuild import rebuild_pending
from kith.engine.context.engine import open_engine
from kith.installation.data_folder import get_database_url
from kith.processes.parts import announce, open_patiently, tune_memory
from kith.settings import Settings

# How many objects may be new before cycles are looked for.
OBJECTS = 50_000
# How long the event loop waits for its turn while something is computed beside it: Python's own 5 ms add up to what
# others wait for.
SWITCH_S = 0.0005
# Open files that are no HTTP connections: PostgreSQL, Redis, Kafka, the program itself.
FILES_KEPT = 48
FILES_MIN = 8

log = structlog.get_logger()


class AnnouncedServer(uvicorn.Server):
    """Prints a line once it listens, and tells before it waits for the requests that are under way."""

    def __init__(self, config: uvicorn.Config, line: str, on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._line = line
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            announce(self._line)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        await super().shutdown(sockets)


def allow_connections(wanted: int) -> int:
    """Allow this process as many open files as the system does. Answers how many connections that leaves."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (ValueError, OSError):  # some systems have a maximum of their own
            log.info("open_files_not_raised", soft=soft, hard=hard)
    if soft == resource.RLIM_INFINITY or soft - FILES_KEPT >= wanted:
        return wanted
    left = max(FILES_MIN, soft - FILES_KEPT)
    log.warning("few_open_files", open_files_max=soft, connections_max=left)
    return left


async def run(settings: Settings) -> None:
    """Serve HTTP until told to stop."""
    url = get_database_url(settings)
    async with open_patiently(lambda: open_engine(settings, url)) as engine:
        foreseen = await rebuild_pending(engine)
        config = uvicorn.Config(
            Application(engine),
            host=settings.host,
            port=settings.port,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=True,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=settings.shutdown_grace_s,
            http=GuardedProtocol,
            loop="none",
            proxy_headers=False,
        )
        GuardedProtocol.connections_max = allow_connections(settings.connections_max)
        line = f"Kith's API listens on http://{settings.host}:{settings.port} ({foreseen} writes pending)"
        tune_memory(OBJECTS)
        sys.setswitchinterval(SWITCH_S)
        await AnnouncedServer(config, line, engine.progress.end_waits).serve()
