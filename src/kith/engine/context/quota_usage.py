"""Count how much of its quotas each workspace uses: counts from the database, and what this process has accepted since.

Quotas are checked where a write is accepted, and never by the writer: a limit that an operator changes is not on the
log, and the same log must give the same tables. What this process accepts counts at once. What other processes
accept counts when the usage is read again, so several processes together may go beyond a quota by what they accept
in between.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import asyncpg
import structlog

from kith.errors import Exposed
from kith.model.quotas import get_limit, make_exceeded
from kith.model.workspaces import Workspace
from kith.store.database import UNANSWERED, Connection, Database
from kith.store.queries import load_queries

KEPT_MAX = 5000
# How old a usage may be: that of a workspace far from its quotas, and of one that uses more than ``NEAR`` of any.
AGE_FAR_S, AGE_NEAR_S, NEAR = 10.0, 1.0, 0.5
# After a usage could not be read, how long none is tried.
REST_S = 10.0
_SQL = load_queries("quotas")
logger = structlog.get_logger(__name__)


class Admission:
    """A write that was accepted and may not be counted in the database yet. ``position`` is its place on the log."""

    __slots__ = ("growth", "position")

    def __init__(self, growth: dict[str, int]) -> None:
        self.growth = growth
        self.position: int | None = None


class Usage:
    """What a workspace uses: ``counted`` by the database, and ``unseen`` by the admissions that it had not applied."""

    __slots__ = ("_admissions", "counted", "fresh_until", "loaded_at", "unseen")

    def __init__(self) -> None:
        self.counted: Mapping[str, int] = {}
        self.unseen: dict[str, int] = {}
        self._admissions: dict[Admission, None] = {}
        self.loaded_at: float | None = None
        self.fresh_until = 0.0

    def get(self, name: str) -> int:
        return self.counted.get(name, 0) + self.unseen.get(name, 0)

    def add(self, admission: Admission) -> None:
        self._admissions[admission] = None
        self._count(admission, 1)

    def settle(self, admission: Admission, position: int, size: int) -> None:
        """The log has the write at this position, in so many bytes."""
        admission.position = position
        admission.growth["bytes"] = size
        self.unseen["bytes"] = self.unseen.get("bytes", 0) + size

    def take_back(self, admission: Admission) -> None:
        """The write did not reach the log."""
        del self._admissions[admission]
        self._count(admission, -1)

    def renew(self, counted: Mapping[str, int], applied: int, at: float) -> None:
        """Take over counts that have all writes up to a position of the log."""
        self.counted, self.loaded_at, self.fresh_until = counted, at, at + AGE_NEAR_S
        self._admissions = {one: None for one in self._admissions if one.position is None or one.position > applied}
        self.unseen = {}
        for admission in self._admissions:
            self._count(admission, 1)

    def _count(self, admission: Admission, sign: int) -> None:
        for name, count in admission.growth.items():
            self.unseen[name] = self.unseen.get(name, 0) + sign * count


class Quotas:
    """The usage of the workspaces that wrote lately."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: dict[int, Usage] = {}
        self._loading: dict[int, asyncio.Task[None]] = {}
        self._rests_until = 0.0

    async def prepare(self, workspace: Workspace) -> None:
        """Make the usage known: the first time it is waited for, later it is read again in the background."""
        usage = self._kept.get(workspace.id)
        if usage is None or usage.loaded_at is None:
            if asyncio.get_running_loop().time() >= self._rests_until:
                await self._load(workspace)
            return
        now = asyncio.get_running_loop().time()
        if now > usage.fresh_until:
            usage.fresh_until = now + AGE_NEAR_S
            if now > usage.loaded_at + AGE_FAR_S or _is_near(workspace, usage):
                self._start(workspace)

    async def renew(self, workspace: Workspace, since: float) -> bool:
        """Read the usage again unless that was done since; whether it was read."""
        usage = self._kept.get(workspace.id)
        if usage is not None and usage.loaded_at is not None and usage.loaded_at >= since:
            return False
        for _ in range(2):  # the first may have begun before
            await self._load(workspace)
            usage = self._kept.get(workspace.id)
            if usage is not None and usage.loaded_at is not None and usage.loaded_at >= since:
                return True
        return False

    def check(self, workspace: Workspace, growth: Mapping[str, int], *, frees: bool) -> Exposed | None:
        """The refusal of a write that adds this, where it is beyond a quota. One that ``frees`` needs no bytes."""
        usage = self._kept.get(workspace.id)
        if usage is None or usage.loaded_at is None:
            return None
        for name, more in growth.items():
            if more > 0:
                limit, used = get_limit(workspace, name), usage.get(name)
                if limit is not None and used + more > limit:
                    return make_exceeded(workspace, name, used, used + more)
        limit = get_limit(workspace, "bytes")
        if not frees and limit is not None and (used := usage.get("bytes")) >= limit:
            return make_exceeded(workspace, "bytes", used, used + 1)
        return None

    def admit(self, workspace_id: int, growth: dict[str, int]) -> tuple[Usage, Admission]:
        """Count a write that is about to be appended."""
        usage = self._get(workspace_id)
        admission = Admission(growth)
        usage.add(admission)
        return usage, admission

    def _get(self, workspace_id: int) -> Usage:
        usage = self._kept.get(workspace_id)
        if usage is None:
            while len(self._kept) >= KEPT_MAX:
                del self._kept[next(iter(self._kept))]
            usage = self._kept[workspace_id] = Usage()
        return usage

    async def _load(self, workspace: Workspace) -> None:
        await asyncio.shield(self._start(workspace))

    def _start(self, workspace: Workspace) -> "asyncio.Task[None]":
        task = self._loading.get(workspace.id)
        if task is None:
            task = asyncio.create_task(self._read(workspace), name="read the usage of a workspace")
            self._loading[workspace.id] = task
            task.add_done_callback(lambda _: self._loading.pop(workspace.id, None))
        return task

    async def _read(self, workspace: Workspace) -> None:
        """A failure leaves what was known: writes are not refused because a count is missing."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with self._database.acquire() as connection:
                applied, counted = await load_usage(connection, workspace)
        except (*UNANSWERED, asyncpg.PostgresError) as error:
            self._rests_until = loop.time() + REST_S
            logger.debug("the usage of a workspace cannot be read", workspace=workspace.id, error=str(error))
            return
        self._get(workspace.id).renew(counted, applied, began)


def _is_near(workspace: Workspace, usage: Usage) -> bool:
    return any(
        (limit := get_limit(workspace, name)) is not None and usage.get(name) >= limit * NEAR
        for name in usage.counted.keys() | usage.unseen.keys()
    )


async def load_usage(connection: Connection, workspace: Workspace) -> tuple[int, dict[str, int]]:
    """(the position of the log up to which it is counted, what the workspace uses of each quota)."""
    row: Any = await connection.fetchrow(_SQL["load_usage"], workspace.shard, workspace.id)
    counted = dict(row)
    return counted.pop("applied"), {_PUBLIC[name]: count for name, count in counted.items()}


_PUBLIC = {
    "contacts": "contacts",
    "companies": "companies",
    "activities": "activities",
    "tags": "tags",
    "lists": "lists",
    "dynamic_lists": "dynamicLists",
    "text_conditions": "textConditions",
    "contact_properties": "contactProperties",
    "company_properties": "companyProperties",
    "association_properties": "associationProperties",
    "integrations": "integrations",
    "bytes": "bytes",
}
