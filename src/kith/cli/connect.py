"""Find the database of a command: the configured one, else that of the server in the data folder."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from kith.installation.binaries import to_bin_dir
from kith.installation.data_folder import find_embedded_url, get_database_url
from kith.installation.embedded import EmbeddedPostgres
from kith.settings import Settings
from kith.store.database import Connection, connect
from kith.store.migrate import check_schema

Data = Annotated[str | None, typer.Option("--data", help="The data folder of the server.", metavar="FOLDER")]
T = TypeVar("T")


def run_connected(settings: Settings, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Does the work on a connection to a database of this program's schema. Raises StartError without one."""
    url = get_database_url(settings)

    async def run() -> T:
        connection = await connect(url)
        try:
            await check_schema(connection)
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(run())


@contextmanager
def open_database(settings: Settings, make: bool = False) -> Iterator[str]:
    """The address of the database, for work while nothing runs: a data folder's server is started where none runs.

    ``make``: also in a folder that has none yet.
    """
    url = settings.database_url or find_embedded_url(Path(settings.data))
    if url is not None or not (make or (Path(settings.data) / "postgresql").exists()):
        yield url or get_database_url(settings)
        return
    with EmbeddedPostgres.start(Path(settings.data), bin_dir=to_bin_dir(settings), user=settings.user) as server:
        yield server.url
