"""Loads for predictions and reads: requests that come while a load runs go together into the next one."""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kith.engine.context.property_schemas import Schemas
from kith.model.records import Identity, Record
from kith.model.state import Ref, State
from kith.model.workspaces import Workspace
from kith.store.database import UNANSWERED, Database

LOAD_REQUESTS_MAX = 200
# After a load that PostgreSQL did not answer in time, none is tried for so long: each would wait as long as that one.
REST_S = 0.5


class _Resting(TimeoutError):
    """PostgreSQL did not answer a moment ago."""


class _Waiting(NamedTuple):
    workspace_id: int
    refs: Sequence[Ref]
    done: "asyncio.Future[list[Record]]"


class Loader:
    """Committed records by external id, number or claim; one statement for each kind serves all who ask meanwhile."""

    def __init__(self, database: Database, get_schema_position: Callable[[int], int]) -> None:
        self._database = database
        self._schemas = Schemas()
        self._get_schema_position = get_schema_position
        self._waiting: dict[int, list[_Waiting]] = {}
        self._running: dict[int, asyncio.Task[None]] = {}
        self._rests_until = 0.0

    async def load(self, shard: int, workspace_id: int, refs: Sequence[Ref]) -> list[Record]:
        """The records that are named, and what deciding on them needs: see ``load_records``."""
        kept, missing = self._find_kept(shard, workspace_id, refs)
        return kept + await self._load_missing(shard, workspace_id, missing) if missing else kept

    def list_kept(self, shard: int, workspace_id: int, refs: Sequence[Ref]) -> list[Record]:
        """What is known without PostgreSQL: the schemas that are kept."""
        return self._find_kept(shard, workspace_id, refs)[0]

    def _find_kept(self, shard: int, workspace_id: int, refs: Sequence[Ref]) -> tuple[list[Record], list[Ref]]:
        """The schemas that are kept, and the refs that are left."""
        stamp = self._get_schema_position(shard)
        kept: list[Record] = []
        missing = []
        for ref in refs:
            schema = self._schemas.find(workspace_id, str(ref.value), stamp) if ref.kind == "schema" else None
            if schema is None:
                missing.append(ref)
            else:
                kept.append(schema)
        return kept, missing

    async def _load_missing(self, shard: int, workspace_id: int, refs: Sequence[Ref]) -> list[Record]:
        done: asyncio.Future[list[Record]] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(shard, []).append(_Waiting(workspace_id, refs, done))
        if shard not in self._running:
            self._running[shard] = asyncio.create_task(self._run(shard))
        return await done

    async def _run(self, shard: int) -> None:
        waiting = self._waiting[shard]
        try:
            while waiting:
                group = waiting[:LOAD_REQUESTS_MAX]
                del waiting[:LOAD_REQUESTS_MAX]
                await self._load_group(shard, group)
        finally:
            del self._running[shard]

    async def _load_group(self, shard: int, group: list[_Waiting]) -> None:
        refs = {(one.workspace_id, ref) for one in group for ref in one.refs}
        stamp = self._get_schema_position(shard)
        loop = asyncio.get_running_loop()
        try:
            if loop.time() < self._rests_until:
                raise _Resting
            async with self._database.acquire() as connection:
                found = await self._schemas.load_records(connection, shard, refs, stamp)
        except Exception as error:  # noqa: BLE001 - whoever waits is told, whatever it is
            if isinstance(error, TimeoutError) and not isinstance(error, _Resting):
                self._rests_until = loop.time() + REST_S
            for one in group:
                if not one.done.done():
                    one.done.set_exception(error)
            return
        index = _make_index(found)
        for one in group:
            if not one.done.done():
                one.done.set_result(_pick(index, one.workspace_id, one.refs))


class Loaded:
    """The committed records that a request names, and those that pending writes lead to from there.

    ``is_read`` is false where PostgreSQL did not answer and the log is elsewhere: then only the writer can check what
    is not pending.
    """

    def __init__(self, loader: Loader, workspace: Workspace, *, needs_database: bool) -> None:
        self.records: list[Record] = []
        self.is_read = True
        self._loader = loader
        self._workspace = workspace
        self._needs_database = needs_database
        self._looked_for: set[Identity] = set()

    async def load(self, refs: Sequence[Ref]) -> None:
        """Raises the failure of PostgreSQL where nothing can be accepted without it."""
        place = self._workspace.shard, self._workspace.id
        try:
            self.records += await self._loader.load(*place, refs)
        except UNANSWERED:
            if self._needs_database:
                raise
            self.records += self._loader.list_kept(*place, refs)
            self.is_read = False

    def list_missing(self, state: State) -> list[Identity]:
        """What the state lacks and was not looked for in the database."""
        return [identity for identity in state.list_unknown() if identity not in self._looked_for]

    async def load_missing(self, state: State) -> None:
        missing = self.list_missing(state)
        self._looked_for.update(missing)
        await self.load([Ref(kind, "external_id", external_id) for kind, external_id in missing])


Index = dict[tuple[int, Ref], Record]


def _make_index(found: list[tuple[int, Record]]) -> Index:
    """Each record by every way in which a ref may name it."""
    index: Index = {}
    for workspace_id, record in found:
        index[workspace_id, Ref(record.kind, "external_id", record.external_id)] = record
        if record.number is not None:
            index[workspace_id, Ref(record.kind, "number", record.number)] = record
        for name, value in record.claims:
            index[workspace_id, Ref(record.kind, name, value)] = record
    return index


def _pick(index: Index, workspace_id: int, refs: Sequence[Ref]) -> list[Record]:
    """What was asked for, the live holders of what the DELETED among it would claim, and what it was merged into."""
    picked: dict[str, Record] = {}
    waiting = list(refs)
    while waiting:
        record = index.get((workspace_id, waiting.pop()))
        if record is None or record.external_id in picked:
            continue
        picked[record.external_id] = record
        if not record.live:
            waiting += [Ref(record.kind, name, value) for name, value in record.values]
        if record.successor is not None:
            waiting.append(Ref(record.kind, "external_id", record.successor))
    return list(picked.values())
