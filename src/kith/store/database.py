"""Connections to PostgreSQL: pools whose settings fit their use, and what their failures mean."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

import asyncpg

from kith.errors import Exposed, NotYet, StartError, Unavailable
from kith.settings import Settings

Role = Literal["reader", "query", "general", "writer", "worker"]
CONNECT_TIMEOUT_S = 5.0
STATEMENTS_KEPT_MAX = 150
# PostgreSQL ends a statement at its timeout; a server that does not even answer that is given up this much later.
ANSWER_TIMEOUT_S = 1.0
# How often it is looked whether somebody has waited for a connection for too long.
WATCH_S = 0.5
# How long an operator's work waits for a table that somebody has locked.
LOCK_TIMEOUT_MS = 10_000

# No answer, whether the server is gone, going, not up yet, or hangs.
UNANSWERED = (
    OSError,  # TimeoutError is one
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
    # What the driver says when the server's farewell arrives while a statement is being sent.
    asyncpg.InternalClientError,
    asyncpg.IdleSessionTimeoutError,
)

if TYPE_CHECKING:
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # generic for the type checker only


def get_timeout_ms(role: Role, settings: Settings) -> int:
    """How long PostgreSQL may work on a statement."""
    return settings.write_timeout_ms if role in ("writer", "worker") else settings.read_timeout_ms


def make_server_settings(role: Role, settings: Settings) -> dict[str, str]:
    """What a connection of this role is opened with; set once at the connect, never by SET."""
    chosen = {
        "application_name": f"kith {role}",
        "timezone": "UTC",
        "statement_timeout": str(get_timeout_ms(role, settings)),
        "jit": "off",
        # One tenant never justifies a scan over all tenants, and small machines gain nothing from parallel plans.
        "enable_seqscan": "off",
        "max_parallel_workers_per_gather": "0",
    }
    if role == "writer":
        # A writer whose host is gone gives the cursor free for its successor.
        chosen["idle_in_transaction_session_timeout"] = "30s"
    if role == "query":
        # A plan made for nobody in particular is wrong for a tenant of unusual size.
        chosen["plan_cache_mode"] = "force_custom_plan"
    else:
        # A young table the planner takes for tiny and would read whole; a plan that is kept is to look keys up.
        chosen["enable_hashjoin"] = chosen["enable_mergejoin"] = "off"
        # The plan is the same for all values; left to itself the planner makes some anew each time, for 1 ms.
        chosen["plan_cache_mode"] = "force_generic_plan"
    return chosen


class Acquired:
    """A connection that is taken, and given back at the end.

    Given back to whoever has waited longest, or to a stack of idle ones; not to asyncpg's pool, whose ways in and out
    take tasks and timers: a fifth of the time of a get under load. The pool opens connections and drops broken ones.
    """

    __slots__ = ("_connection", "_database")

    def __init__(self, database: "Database") -> None:
        self._database = database

    async def __aenter__(self) -> "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]":
        self._connection = await self._database.take()
        return self._connection

    async def __aexit__(self, failed: type[BaseException] | None, *_: object) -> None:
        database = self._database
        if failed is None and is_open(self._connection):
            database.give_back(self._connection)
        else:
            await database.drop(self._connection)


def is_open(connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:  # it was lost, and has gone back to the pool by itself
        return False


class Database:
    """A pool of connections of one role."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self.pool = pool
        self._idle: list[asyncpg.pool.PoolConnectionProxy[asyncpg.Record]] = []
        # (when the wait is over, what is waited for)
        self._waiting: deque[tuple[float, asyncio.Future[asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | None]]] = (
            deque()
        )
        self._watching = False
        self._taken = 0

    @classmethod
    async def open(cls, url: str, settings: Settings, role: Role, connections_max: int | None = None) -> "Database":
        """Open the pool. Raises StartError when the server cannot be reached."""
        try:
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=connections_max or settings.pool_connections_max,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=get_timeout_ms(role, settings) / 1000 + ANSWER_TIMEOUT_S,
                max_inactive_connection_lifetime=0,
                statement_cache_size=STATEMENTS_KEPT_MAX,
                server_settings=make_server_settings(role, settings),
                reset=_keep_as_it_is,
            )
        except UNANSWERED as error:
            raise make_unreachable(error) from error
        except asyncpg.InvalidAuthorizationSpecificationError as error:
            raise StartError(f"PostgreSQL refuses the connection: {error}. Check KITH_DATABASE_URL.") from error
        except asyncpg.InvalidCatalogNameError as error:
            raise StartError(f"PostgreSQL: {error}. Create it, or check KITH_DATABASE_URL.") from error
        return cls(pool)

    def acquire(self) -> "Acquired":
        """``async with database.acquire() as connection``. Raises TimeoutError when none is free for too long."""
        return Acquired(self)

    async def take(self) -> "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]":
        """An open connection: an idle one, a new one, or the next to be given back. Raises TimeoutError."""
        while self._idle:
            connection = self._idle.pop()
            if is_open(connection):
                return connection
            await self.drop(connection)
        if self._taken >= self.pool.get_max_size():
            handed = await self._wait()
            if handed is not None:
                return handed
        else:
            self._taken += 1
        try:
            return await self.pool.acquire(timeout=CONNECT_TIMEOUT_S)
        except BaseException:
            self._free_place()
            raise

    async def _wait(self) -> "asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | None":
        """The next connection to be given back; None for the place of one that was dropped. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        handed: asyncio.Future[asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | None] = loop.create_future()
        self._waiting.append((loop.time() + CONNECT_TIMEOUT_S, handed))
        if not self._watching:
            self._watching = True
            loop.call_later(WATCH_S, self._end_long_waits)
        try:
            return await handed
        except asyncio.CancelledError:
            if handed.done() and not handed.cancelled() and handed.exception() is None:
                # It was handed over in the moment in which its taker was cancelled.
                if (connection := handed.result()) is not None:
                    self.give_back(connection)
                else:
                    self._free_place()
            raise

    def _end_long_waits(self) -> None:
        """One timer for all who wait: one for each costs a tenth of what a request does."""
        loop = asyncio.get_running_loop()
        while self._waiting and (self._waiting[0][0] <= loop.time() or self._waiting[0][1].done()):
            _, handed = self._waiting.popleft()
            if not handed.done():
                handed.set_exception(TimeoutError("no connection to PostgreSQL is free"))
        self._watching = bool(self._waiting)
        if self._watching:
            loop.call_later(WATCH_S, self._end_long_waits)

    def give_back(self, connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> None:
        while self._waiting:
            _, handed = self._waiting.popleft()
            if not handed.done():
                handed.set_result(connection)
                return
        self._idle.append(connection)

    async def drop(self, connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> None:
        """Let go of a connection that is broken or may still be busy: a statement that was given up may still run, so
        it is waited for a moment."""
        try:
            await self.pool.release(connection, timeout=ANSWER_TIMEOUT_S)
        finally:
            self._free_place()

    def _free_place(self) -> None:
        """A connection less is taken from the pool: who has waited longest may take one."""
        while self._waiting:
            _, handed = self._waiting.popleft()
            if not handed.done():
                handed.set_result(None)
                return
        self._taken -= 1

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        async with self.acquire() as connection:
            return await connection.fetch(sql, *values)

    async def fetchrow(self, sql: str, *values: Any) -> asyncpg.Record | None:
        async with self.acquire() as connection:
            return await connection.fetchrow(sql, *values)

    async def fetchval(self, sql: str, *values: Any) -> Any:
        async with self.acquire() as connection:
            return await connection.fetchval(sql, *values)

    async def execute(self, sql: str, *values: Any) -> str:
        async with self.acquire() as connection:
            return await connection.execute(sql, *values)

    async def close(self) -> None:
        """Close what is idle now, and what is busy as soon as it may; never hang."""
        while self._idle:
            await self.drop(self._idle.pop())
        try:
            await asyncio.wait_for(self.pool.close(), 2)
        except UNANSWERED:
            self.pool.terminate()


@asynccontextmanager
async def open_connection(url: str, name: str = "kith") -> AsyncIterator[Connection]:
    """A connection for an operator's work, closed at the end. Raises StartError where PostgreSQL fails it."""
    try:
        settings = {"application_name": name, "timezone": "UTC", "lock_timeout": f"{LOCK_TIMEOUT_MS}"}
        connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S, server_settings=settings)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise StartError(f"PostgreSQL cannot be reached ({error}). Is KITH_DATABASE_URL right?") from error
    try:
        yield connection
    except (*UNANSWERED, asyncpg.PostgresError) as error:
        raise StartError(
            f"PostgreSQL: {str(error) or type(error).__name__}. Run this again when that is mended."
        ) from error
    finally:
        await connection.close()


def make_unreachable(error: Exception) -> NotYet:
    return NotYet(f"PostgreSQL does not answer ({error}). Is it running, and is KITH_DATABASE_URL right?")


async def _keep_as_it_is(connection: Connection) -> None:
    """Connections go back without a reset query: no statement here leaves anything behind on one."""


def to_exposed(error: Exception) -> Exposed | None:
    """The exposed error that a failure of the database means to a client, if it is a known one."""
    if isinstance(error, asyncpg.QueryCanceledError):
        return Exposed("QUERY_TIMEOUT", "The query took too long. Narrow it, or ask for fewer records.")
    if isinstance(error, UNANSWERED):
        return Unavailable("The database is not reachable right now.", retry_after_s=2)
    return None
