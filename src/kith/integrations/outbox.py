"""Outbox of an integration: jobs and links, saved by the owner of its lease only."""

import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from kith.integrations.failures import Permanent, Transient
from kith.integrations.feed import Change, FeedEvent, Wider
from kith.integrations.port import Entity, Link
from kith.integrations.segments import Segment
from kith.model.activities import Activity
from kith.model.records import Record
from kith.model.serialization import from_document
from kith.model.state import Ref
from kith.store.batch import load_records
from kith.store.database import Connection, Database
from kith.store.queries import load_queries

_SQL, _INTEGRATIONS = load_queries("sync"), load_queries("integrations")
# What hangs on a record that changed, by the statement that finds it.
_WIDER = {
    "company's contacts": ("save_jobs_of_company", "contact"),
    "company's associations": ("save_jobs_of_company", "association"),
}
_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder(float_hook=Decimal).decode


class Lost(Exception):
    """The integration is not this process's any more: it was paused or deleted, or another took it over."""


class Claimed(NamedTuple):
    """A job that is due. A later change of its record makes another generation of it."""

    number: int
    generation: int
    begun: bool
    attempts: int
    failing_since: datetime | None = None


class Look(NamedTuple):
    """Whether the feed goes on, and when the next job is due, if one waits."""

    has_events: bool
    due_at: datetime | None


class StoredLink(NamedTuple):
    link: Link
    state: str


class Postponed(msgspec.Struct, frozen=True, kw_only=True):
    """A job that failed: it is due again, or dead."""

    record_id: int
    generation: int
    status: str
    due_at: datetime
    failure: Mapping[str, Any]


class Outbox:
    """The jobs and links of one integration."""

    def __init__(self, database: Database, key: tuple[int, int, int], owner: str, epoch: int) -> None:
        """``key``: shard, workspace, number. ``epoch``: of the row that its owner has read."""
        self._database = database
        self._key = key
        self._holder = (owner, epoch)

    async def look(self, feed_sequence: int) -> Look:
        """What there is to do, in one round trip. Raises Lost."""
        row = await self._database.fetchrow(_INTEGRATIONS["look"], *self._key, *self._holder, feed_sequence)
        assert row is not None
        if not row["held"]:
            raise Lost
        return Look(row["has_events"], row["due_at"])

    @asynccontextmanager
    async def saving(self) -> AsyncIterator[Connection]:
        """A transaction in which the integration stays this process's. Raises Lost where it is not."""
        async with self._database.acquire() as connection, connection.transaction():
            if await connection.fetchval(_INTEGRATIONS["hold_integration"], *self._key, *self._holder) is None:
                raise Lost
            yield connection

    async def read_feed(self, after: int, limit: int) -> list[FeedEvent]:
        rows = await self._database.fetch(_SQL["read_feed"], *self._key[:2], after, limit)
        return [FeedEvent(row["sequence"], row["type"], row["resource"], _decode(row["data"])) for row in rows]

    async def save_jobs(self, connection: Connection, changes: Sequence[Change], now: datetime) -> None:
        """Each record at most once."""
        if changes:
            entities, numbers, sequences = zip(*changes, strict=True)
            await connection.execute(_SQL["save_jobs"], *self._key, entities, numbers, sequences, now)

    async def save_wider(self, connection: Connection, wider: Iterable[Wider], now: datetime) -> None:
        for of, number, sequence in wider:
            if of in _WIDER:
                name, entity = _WIDER[of]
                await connection.execute(_SQL[name], *self._key, entity, [number], sequence, now)
            elif of == "contact's companies":
                await connection.execute(_SQL["save_jobs_of_companies"], *self._key, [number], sequence, now)
            elif of == "contact's activities":
                values = ([number], sequence, now, ["activity"])
                await connection.execute(_SQL["save_jobs_of_contacts"], *self._key, *values)
            elif of == "tag's contacts":
                await connection.execute(_SQL["save_jobs_of_tag"], *self._key, number, sequence, now)
            else:
                await connection.execute(_SQL["save_jobs_of_tagged"], *self._key, sequence, now)

    async def save_dependents(
        self,
        connection: Connection,
        entity: Entity,
        numbers: Sequence[int],
        sequence: int,
        now: datetime,
        taken: Sequence[Entity],
    ) -> None:
        """What waited for these records to be there, of the entities that are ``taken``."""
        if entity == "contact":
            await connection.execute(_SQL["save_jobs_of_contacts"], *self._key, numbers, sequence, now, taken)
        elif entity == "company" and "association" in taken:
            name, of = _WIDER["company's associations"]
            await connection.execute(_SQL[name], *self._key, of, numbers, sequence, now)

    async def move_feed(self, connection: Connection, sequence: int) -> None:
        await connection.execute(_SQL["move_feed"], *self._key, sequence)

    async def list_window(self, entity: Entity, after: int, limit: int) -> list[int]:
        """Numbers of records behind a number, in their order."""
        rows = await self._database.fetch(_SQL[f"list_window_{entity}"], *self._key[:2], after, limit)
        return [row["id"] for row in rows]

    async def save_sync(
        self, connection: Connection, sync: Mapping[str, Any] | None, synced_at: datetime | None
    ) -> None:
        document = None if sync is None else _encode(sync).decode()
        await connection.execute(_SQL["save_sync"], *self._key, document, synced_at)

    async def count_pending(self, most: int) -> int:
        return int(await self._database.fetchval(_SQL["count_jobs"], *self._key, most))

    async def claim(self, entity: Entity, now: datetime, limit: int) -> list[Claimed]:
        """Due jobs in their order. Only the owner claims, one time after the other, so nothing is locked."""
        rows = await self._database.fetch(_SQL["claim_jobs"], *self._key, entity, now, limit)
        return [Claimed(*row) for row in rows]

    async def begin(self, entity: Entity, numbers: Sequence[int], hidden_until: datetime) -> None:
        """They may be sent from now on; who takes over does not claim them before that time."""
        async with self.saving() as connection:
            await connection.execute(_SQL["begin_jobs"], *self._key, entity, numbers, hidden_until)

    async def finish(self, connection: Connection, entity: Entity, done: Sequence[Claimed]) -> None:
        if done:
            numbers, generations = [one.number for one in done], [one.generation for one in done]
            await connection.execute(_SQL["delete_jobs"], *self._key, entity, numbers, generations)

    async def keep_only(self, taken: Sequence[Entity]) -> None:
        """Let go of jobs of all other entities: nobody would ever claim them."""
        async with self.saving() as connection:
            await connection.execute(_SQL["delete_jobs_of_others"], *self._key, taken)

    async def postpone(self, connection: Connection, entity: Entity, rows: Sequence[Postponed], now: datetime) -> None:
        if rows:
            await connection.execute(_SQL["postpone_jobs"], *self._key, entity, now, _encode(rows).decode())

    async def save_links(
        self, connection: Connection, entity: Entity, links: Mapping[int, StoredLink], now: datetime
    ) -> None:
        if not links:
            return
        external_ids = [one.link.external_id for one in links.values()]
        await connection.execute(_SQL["release_links"], *self._key, entity, external_ids, list(links))
        rows = [
            {
                "record_id": number,
                "external_id": link.external_id,
                "hash": link.hash,
                "state": state,
                "details": link.details,
            }
            for number, (link, state) in links.items()
        ]
        await connection.execute(_SQL["save_links"], *self._key, entity, _encode(rows).decode(), now)

    async def delete_links(self, connection: Connection, entity: Entity, numbers: Sequence[int]) -> None:
        if numbers:
            await connection.execute(_SQL["delete_links"], *self._key, entity, numbers)

    async def load_links(self, entity: Entity, numbers: Iterable[int]) -> dict[int, StoredLink]:
        rows = await self._database.fetch(_SQL["load_links"], *self._key, entity, sorted(set(numbers)))
        return {
            row["record_id"]: StoredLink(
                Link(external_id=row["external_id"], hash=row["hash"], details=_decode(row["details"])),
                row["state"],
            )
            for row in rows
        }

    async def load_records(self, kind: str, numbers: Sequence[int]) -> dict[int, Record]:
        """Contacts or companies by number, with those that the MERGED among them went into."""
        shard, workspace, _ = self._key
        async with self._database.acquire() as connection:
            found = await load_records(connection, shard, [(workspace, Ref(kind, "number", one)) for one in numbers])
        return {record.number: record for _, record in found if record.number is not None}

    async def load_activities(self, numbers: Sequence[int]) -> dict[int, Activity]:
        rows = await self._database.fetch(_SQL["load_activities"], *self._key[:2], numbers)
        found: dict[int, Activity] = {}
        for row in rows:
            activity = from_document("activity", row["document"])
            assert isinstance(activity, Activity)
            found[row["id"]] = activity
        return found

    async def find_segment(self, segment: Segment) -> int:
        """The number of its list. Raises Permanent where it was deleted, Transient where it is not there yet."""
        number: int | None = await self._database.fetchval(_SQL["find_segment"], *self._key[:2], segment.list)
        if number is None and segment.seen:
            raise Permanent(
                f"The list {segment.list}, which is the segment, was deleted. Give the integration another segment, or "
                "null to send everybody."
            )
        if number is None:
            raise Transient("The list of the segment is not made yet.")
        if not segment.seen:
            document = _encode(msgspec.structs.replace(segment, seen=True)).decode()
            await self._database.execute(_INTEGRATIONS["save_segment"], *self._key, document)
        return number

    async def list_segment(self, kind: str, list_number: int, numbers: Sequence[int]) -> set[int]:
        """Those of the contacts that are in the segment, or of the companies that have a contact there."""
        name = "list_segment_companies" if kind == "company" else "list_segment_contacts"
        rows = await self._database.fetch(_SQL[name], *self._key[:2], list_number, numbers)
        return {row["record_id"] for row in rows}

    async def list_merged_emails(self, emails: Sequence[str]) -> set[str]:
        """Those of the emails that a MERGED contact has."""
        rows = await self._database.fetch(_SQL["list_merged_emails"], *self._key[:2], emails) if emails else []
        return {row["email"] for row in rows}

    async def list_suppressed(self, emails: Iterable[str]) -> set[str]:
        """Those of the emails that somebody has asked to be forgotten."""
        hashes = {hash_suppressed(email): email for email in emails}
        rows = await self._database.fetch(_SQL["list_suppressed"], *self._key[:2], list(hashes)) if hashes else []
        return {hashes[row["email_hash"]] for row in rows}


def hash_suppressed(email: str) -> bytes:
    """What is kept of an email that is to be forgotten."""
    return hashlib.sha256(email.strip().lower().encode()).digest()
