"""Connections to PostgreSQL: pools whose settings fit their use, and what their failures mean."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

import asyncpg

from kith.errors import Exposed, NotYet, StartError, Unavailable, to_reason
from kith.settings import Settings
from kith.store.lingering import Lingering, check_room
from kith.store.queue import NOBODY, FairQueue

Role = Literal["reader", "query", "general", "writer", "worker"]
CONNECT_TIMEOUT_S = 5.0
STATEMENTS_KEPT_MAX = 150
# PostgreSQL ends a statement at its timeout; a server that does not even answer that is given up this much later.
ANSWER_TIMEOUT_S = 1.0
CLOSE_TIMEOUT_S = 2.0
# One in so many connections of a pool, and at least one, is kept from a workspace that asks for more.
SPARE_PART = 4
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

# What connecting fails with: one of those, a refusal, or an address that is none.
UNCONNECTED = (*UNANSWERED, asyncpg.PostgresError, ValueError)

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # generic for the type checker only


def get_timeout_ms(role: Role, settings: Settings) -> int:
    """How long PostgreSQL may work on a statement."""
    return settings.write_timeout_ms if role in ("writer", "worker") else settings.read_timeout_ms


def get_lock_timeout_ms(timeout_ms: int) -> int:
    """How long the writer waits for a lock: a statement that waits for one ends with another error than a slow one."""
    return max(1, timeout_ms // 2)


def make_server_settings(role: Role, settings: Settings) -> dict[str, str]:
    """What a connection of this role is opened with; set once at the connect, never by SET."""
    chosen = {
        "application_name": f"kith {role}",
        "timezone": "UTC",
        "statement_timeout": str(get_timeout_ms(role, settings)),
        "jit": "off",
        # A backend whose client is gone ends its statement then, and not when it would have been ready.
        "client_connection_check_interval": "1s",
        # One tenant never justifies a scan over all tenants, and small machines gain nothing from parallel plans.
        "enable_seqscan": "off",
        "max_parallel_workers_per_gather": "0",
    }
    if role == "writer":
        # A writer whose host is gone gives the cursor free for its successor.
        chosen["idle_in_transaction_session_timeout"] = "30s"
        chosen["lock_timeout"] = str(get_lock_timeout_ms(settings.write_timeout_ms))
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
    """A connection that is taken, and given back at the end: to the next who waits, or to a stack of idle ones."""

    __slots__ = ("_connection", "_database", "_workspace_id")

    def __init__(self, database: "Database", workspace_id: int) -> None:
        self._database = database
        self._workspace_id = workspace_id

    async def __aenter__(self) -> Connection:
        self._connection = await self._database.take(self._workspace_id)
        return self._connection

    async def __aexit__(self, failed: type[BaseException] | None, *_: object) -> None:
        database = self._database
        if failed is None and not self._connection.is_closed():
            database.give_back(self._connection, self._workspace_id)
        else:
            database.let_go(self._connection, self._workspace_id)


class Database:
    """Connections of one role, opened as they are needed.

    ``acquire`` takes one for a workspace, which then holds at most its share; without a workspace there is no bound. A
    connection whose statement was given up keeps its place until PostgreSQL has ended the statement. This is not
    asyncpg's pool, whose ways in and out take tasks, timers and proxies: a fifth of the time of a get under load.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]], size: int, lingering: Lingering) -> None:
        self._connect = connect
        self._size = size
        self._open: set[Connection] = set()
        self._idle: list[Connection] = []
        # What is handed over: a connection, or None for the place of one that was dropped.
        self._queue: FairQueue[Connection | None] = FairQueue(
            max(1, size - max(1, size // SPARE_PART)), CONNECT_TIMEOUT_S
        )
        self._taken = 0
        self._dropping: set[asyncio.Task[None]] = set()
        self._lingering = lingering
        self._has_refused = False

    @classmethod
    async def open(cls, url: str, settings: Settings, role: Role, connections_max: int | None = None) -> "Database":
        """Open the first connection. Raises StartError when the server cannot be reached."""
        reserved = settings.reserved_connections if role in ("reader", "query", "general") else 0

        async def connect() -> Connection:
            connection = await asyncpg.connect(
                url,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=get_timeout_ms(role, settings) / 1000 + ANSWER_TIMEOUT_S,
                statement_cache_size=STATEMENTS_KEPT_MAX,
                server_settings=make_server_settings(role, settings),
            )
            # The first is always opened.
            if reserved and database._open:
                await check_room(connection, reserved)
            return connection

        database = cls(connect, connections_max or settings.pool_connections_max, Lingering(url))
        try:
            async with database.acquire():
                return database
        except (*UNANSWERED, ValueError) as error:
            raise make_unreachable(error) from error
        except asyncpg.InvalidAuthorizationSpecificationError as error:
            raise StartError(f"PostgreSQL refuses the connection: {error}. Check KITH_DATABASE_URL.") from error
        except asyncpg.InvalidCatalogNameError as error:
            raise StartError(f"PostgreSQL: {error}. Create it, or check KITH_DATABASE_URL.") from error

    @property
    def is_stuck(self) -> bool:
        """Whether a taker who held nothing would wait in vain: one has, and nothing has become free since."""
        return self._has_refused and not self._idle

    def acquire(self, workspace_id: int = NOBODY) -> "Acquired":
        """``async with database.acquire() as connection``. Raises TimeoutError when none is free for too long.

        With a workspace it raises RATE_LIMITED where the workspace has its share, and Unavailable where it does not.
        """
        return Acquired(self, workspace_id)

    def check_room(self, workspace_id: int) -> None:
        """Raise RATE_LIMITED where so much of the workspace waits that ``acquire`` would refuse it."""
        self._queue.check_room(workspace_id)

    async def take(self, workspace_id: int = NOBODY) -> Connection:
        """An open connection: an idle one, a new one, or the next to be given back."""
        if not self._queue.may_hold(workspace_id):
            return await self._fill(workspace_id, await self._wait(workspace_id))
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                self._queue.add(workspace_id)
                return connection
            self._free_place(NOBODY)
        if self._taken >= self._size:
            return await self._fill(workspace_id, await self._wait(workspace_id))
        self._taken += 1
        self._queue.add(workspace_id)
        return await self._fill(workspace_id, None)

    async def _fill(self, workspace_id: int, handed: Connection | None) -> Connection:
        """What was handed over, or a new connection for a place."""
        while handed is None:
            try:
                connection = await self._connect()
                self._open.add(connection)
                connection.add_termination_listener(self._open.discard)
                return connection
            except asyncpg.TooManyConnectionsError:
                # The others' connections have to do: one that is idle by now, or the next that is given back.
                self._queue.remove(workspace_id)
                self._taken -= 1
                if not self._taken:
                    raise
                if self._idle:
                    return await self.take(workspace_id)
                handed = await self._wait(workspace_id)
            except BaseException:
                self._free_place(workspace_id)
                raise
        return handed

    async def _wait(self, workspace_id: int) -> Connection | None:
        """The next connection to be given back; None for the place of one that was dropped. Raises TimeoutError."""

        def give_back(handed: Connection | None) -> None:
            if handed is not None:
                self.give_back(handed, workspace_id)
            else:
                self._free_place(workspace_id)

        try:
            return await self._queue.wait(workspace_id, give_back)
        except (TimeoutError, Unavailable):
            self._has_refused = True
            raise

    def give_back(self, connection: Connection, workspace_id: int = NOBODY) -> None:
        self._has_refused = False
        self._queue.remove(workspace_id)
        if not self._queue.hand(connection):
            self._idle.append(connection)

    def let_go(self, connection: Connection, workspace_id: int) -> None:
        """Give a connection back that is broken or may still be busy, without waiting for it."""
        task = asyncio.get_running_loop().create_task(self._settle(connection, workspace_id))
        self._dropping.add(task)
        task.add_done_callback(self._dropping.discard)

    async def _settle(self, connection: Connection, workspace_id: int) -> None:
        """Give it back when PostgreSQL has ended the statement, however long it goes on after its client.

        One that does not answer is dropped, and its place becomes free then.
        """
        settled = False
        try:
            if not connection.is_closed():
                backend = connection.get_server_pid()
                try:
                    async with asyncio.timeout(ANSWER_TIMEOUT_S):
                        await connection.execute("SELECT")
                    settled = not connection.is_in_transaction()
                except (*UNANSWERED, asyncpg.PostgresError):
                    connection.terminate()
                    await self._lingering.outlast(backend)
        finally:
            if settled:
                self.give_back(connection, workspace_id)
            else:
                connection.terminate()
                self._free_place(workspace_id)

    def _free_place(self, workspace_id: int) -> None:
        """A connection less is open: the next who waits may open one."""
        self._has_refused = False
        self._queue.remove(workspace_id)
        if not self._queue.hand(None):
            self._taken -= 1

    async def fetch(self, sql: str, *values: Any, workspace_id: int = NOBODY) -> list[asyncpg.Record]:
        async with self.acquire(workspace_id) as connection:
            return await connection.fetch(sql, *values)

    async def fetchrow(self, sql: str, *values: Any, workspace_id: int = NOBODY) -> asyncpg.Record | None:
        async with self.acquire(workspace_id) as connection:
            return await connection.fetchrow(sql, *values)

    async def fetchval(self, sql: str, *values: Any, workspace_id: int = NOBODY) -> Any:
        async with self.acquire(workspace_id) as connection:
            return await connection.fetchval(sql, *values)

    async def execute(self, sql: str, *values: Any) -> str:
        async with self.acquire() as connection:
            return await connection.execute(sql, *values)

    async def close(self) -> None:
        """Close what is idle now, and what is busy as soon as it may; never hang."""
        for task in self._dropping:
            task.cancel()
        await asyncio.gather(*self._dropping, return_exceptions=True)
        await self._lingering.close()
        self._size = 0
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while self._open:
                    connection = await self.take()
                    self._open.discard(connection)
                    await connection.close()
        except UNANSWERED:
            for connection in list(self._open):
                connection.terminate()


@asynccontextmanager
async def open_connection(url: str, name: str = "kith", **more: str) -> AsyncIterator[Connection]:
    """A connection for an operator's work, closed at the end. Raises StartError where PostgreSQL fails it.

    ``more`` are settings of PostgreSQL for it.
    """
    settings = {"application_name": name, "timezone": "UTC", "lock_timeout": f"{LOCK_TIMEOUT_MS}", **more}
    connection = await connect(url, settings)
    try:
        yield connection
    except (*UNANSWERED, asyncpg.PostgresError) as error:
        raise StartError(f"PostgreSQL: {to_reason(error)}. Run this again when that is mended.") from error
    finally:
        await connection.close()


async def connect(url: str, settings: dict[str, str] | None = None) -> Connection:
    """Raises StartError; NotYet where it may help to wait."""
    try:
        return await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S, server_settings=settings)
    except UNCONNECTED as error:
        raise make_unreachable(error) from error


def make_unreachable(error: Exception) -> StartError:
    if isinstance(error, ValueError):
        known = isinstance(error, asyncpg.InterfaceError)  # else Python says it, of a port
        reason = f" ({str(error).removeprefix('invalid DSN: ')})" if known else ""
        form = "postgresql://user:password@host:5432/database"
        return StartError(f"KITH_DATABASE_URL is no address of a database{reason}. Write it as in {form}.")
    return NotYet(f"PostgreSQL cannot be reached ({to_reason(error)}). Is it running, and is KITH_DATABASE_URL right?")


def to_exposed(error: Exception) -> Exposed | None:
    """The exposed error that a failure of the database means to a client, if it is a known one."""
    if isinstance(error, asyncpg.QueryCanceledError):
        return Exposed("QUERY_TIMEOUT", "The query took too long. Narrow it, or ask for fewer records.")
    if isinstance(error, UNANSWERED):
        return Unavailable("The database is not reachable right now.", retry_after_s=2)
    return None
