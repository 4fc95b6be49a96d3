"""The engine of a process that serves requests: what the verbs need, opened and closed together."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import msgspec

from kith.clock import Clock, SystemClock
from kith.engine.context.back_pressure import Pressure
from kith.engine.context.key_cache import KeyCache
from kith.engine.context.key_uses import KeyUses
from kith.engine.context.loader import Loader
from kith.engine.context.progress import Progress
from kith.engine.context.query_costs import Costs
from kith.engine.context.quota_usage import Quotas
from kith.engine.context.schema_cache import SchemaCache
from kith.log.factory import open_log
from kith.log.port import Log
from kith.pending.counts import SharedCounts
from kith.pending.factory import open_pending
from kith.pending.port import Pending
from kith.settings import Settings
from kith.store.access import find_key
from kith.store.database import CONNECT_TIMEOUT_S, Database
from kith.store.migrate import check_schema
from kith.store.queries import load_queries
from kith.store.queue import Places

_LOG = load_queries("log")


class Installation(msgspec.Struct, frozen=True):
    """What was fixed when the installation was made. ``secret`` signs cursors, and values in Redis."""

    partitions: int
    secret: bytes


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """``database`` is for named statements; ``queries`` plans a compiled one for its values, ``general`` once for all.

    ``long_queries`` are the places for queries that are expected to take long; ``counts`` is where processes share
    them.
    """

    settings: Settings
    clock: Clock
    installation: Installation
    database: Database
    queries: Database
    general: Database
    long_queries: Places
    log: Log
    pending: Pending
    counts: SharedCounts | None
    progress: Progress
    pressure: Pressure
    loader: Loader
    keys: KeyCache
    key_uses: KeyUses
    quotas: Quotas
    vocabularies: SchemaCache
    costs: Costs


async def load_installation(database: Database) -> Installation:
    """Raises StartError unless the schema is this program's."""
    async with database.acquire() as connection:
        await check_schema(connection)
        row = await connection.fetchrow(_LOG["load_installation"])
    assert row is not None
    return Installation(partitions=row["partitions"], secret=row["secret"])


@asynccontextmanager
async def open_engine(settings: Settings, url: str, clock: Clock | None = None) -> AsyncIterator[Engine]:
    """Open everything, and close it all at the end."""
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        database = await Database.open(url, settings, "reader")
        stack.push_async_callback(database.close)
        compiled_max = max(1, settings.pool_connections_max // 2)
        queries = await Database.open(url, settings, "query", compiled_max)
        stack.push_async_callback(queries.close)
        general = await Database.open(url, settings, "general", compiled_max)
        stack.push_async_callback(general.close)
        installation = await load_installation(database)
        pending, counts = await stack.enter_async_context(open_pending(settings, installation.secret))
        log = await stack.enter_async_context(open_log(settings, database, url, installation.partitions))
        pressure = Pressure(settings, clock)

        def note_applied(shard: int, position: int) -> None:
            pending.drop_applied(shard, position)
            pressure.see_applied(shard, position)

        progress = Progress(database, url, settings.poll_ms, note_applied)
        stack.push_async_callback(progress.close)
        key_uses = KeyUses(database)
        stack.push_async_callback(key_uses.close)
        loader = Loader(database, progress.get_schema_position)
        engine = Engine(
            settings=settings,
            clock=clock,
            installation=installation,
            database=database,
            queries=queries,
            general=general,
            long_queries=Places(settings.long_queries_max or max(2, os.cpu_count() or 2), CONNECT_TIMEOUT_S),
            log=log,
            pending=pending,
            counts=counts,
            progress=progress,
            pressure=pressure,
            loader=loader,
            vocabularies=SchemaCache(loader),
            costs=Costs(queries, general, clock),
            keys=KeyCache(
                partial(find_key, database), clock, settings.key_cache_ms, settings.key_outage_s, key_uses.note
            ),
            key_uses=key_uses,
            quotas=Quotas(database),
        )
        yield engine
