"""Sending for one integration: the feed makes jobs, jobs become requests, and what came of them is saved.

One process at a time owns an integration. So its jobs need no locks, a contact is there before what hangs on it, and
who lost the integration without knowing saves nothing (see ``Outbox.saving``).
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import structlog

from kith.clock import Clock, to_iso
from kith.integrations.failures import Failure, Limited, Permanent, Transient
from kith.integrations.feed import Change, list_changes
from kith.integrations.mapping import make_hash
from kith.integrations.outbox import Claimed, Outbox, StoredLink
from kith.integrations.port import (
    Begun,
    Entity,
    Failed,
    Item,
    Job,
    Link,
    Linked,
    Merged,
    Outcome,
    Outcomes,
    Provider,
    Skipped,
    Unlinked,
)
from kith.integrations.results import make_backoff, make_postponed, make_result
from kith.integrations.segments import Segment
from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.records import LIVE

FEED_EVENTS = 1000
WINDOW = 1000
# A full sync makes no more jobs while so many wait.
WAITING_MAX = 5000
# Whoever has failed so often goes alone, so that no other fails with it.
ALONE_ATTEMPTS = 3
# How long jobs that were begun by one who is gone are left alone. What it sent last may be on its way still, and a note
# that is looked for too soon would be sent twice. Of records there is only one, and their order counts.
HIDDEN: Mapping[Entity, timedelta] = {
    **dict.fromkeys(("company", "contact", "association"), timedelta()),
    "activity": timedelta(seconds=15),
}
SYNC_ORDER: Sequence[Entity] = ("company", "contact", "association", "activity")
logger = structlog.get_logger(__name__)


class Standing(msgspec.Struct):
    """Where an integration stands, as its row said when it was owned; the session moves it on."""

    feed_sequence: int
    sync: dict[str, Any] | None
    rests_until: datetime | None


class Sending(NamedTuple):
    """What is sent together: the jobs that were claimed by number, and the hash of what is sent of each."""

    entity: Entity
    claimed: Mapping[int, Claimed]
    hashes: Mapping[int, str]


class SortedOut(NamedTuple):
    """What is to be sent, what is to be taken out, and what is neither."""

    jobs: list[Job]
    deleted: list[Item]
    merged: list[Item]
    settled: list[tuple[Item, Outcome]]


class Session:
    """Sends what is due for one integration."""

    def __init__(
        self,
        outbox: Outbox,
        provider: Provider,
        clock: Clock,
        standing: Standing,
        *,
        maps_company: bool = False,
        segment: Segment | None = None,
        archives: bool = True,
    ) -> None:
        """``segment``: whom it sends, None for everybody; ``archives``: whoever leaves it is archived there."""
        self._segment = segment
        self._archives = archives
        self._outbox = outbox
        self._provider = provider
        self._clock = clock
        self._standing = standing
        self._maps_company = maps_company
        self._failures = 0
        self._succeeded_at: datetime | None = None

    @property
    def rests_until(self) -> datetime | None:
        """Nothing is sent before that."""
        return self._standing.rests_until

    @property
    def is_resting(self) -> bool:
        return self.rests_until is not None and self._clock.now() < self.rests_until

    async def find_next_due(self) -> datetime | None:
        """When there is something to do again, should nothing happen meanwhile. Raises Lost."""
        due = (await self._outbox.look(self._standing.feed_sequence)).due_at
        return max(due, self.rests_until) if due is not None and self.rests_until is not None else due

    async def step(self) -> bool:
        """Do what is due, once around; whether anything was. Raises Unauthorized, Lost."""
        look = await self._outbox.look(self._standing.feed_sequence)
        busy = look.has_events and await self._read_feed()
        busy = await self._go_on_syncing() or busy
        if self.is_resting or not (busy or (look.due_at is not None and look.due_at <= self._clock.now())):
            return busy
        for entity in self._provider.entities:
            try:
                busy = await self._send_some(entity) or busy
            except Limited as limited:
                self._rest(limited.until, limited)
                break
            except Transient as failure:
                self._failures += 1
                self._rest(self._clock.now() + make_backoff(self._failures), failure)
                break
        return busy

    def _rest(self, until: datetime, failure: Failure) -> None:
        logger.info("nothing is sent for a while", until=to_iso(until), reason=failure.message)
        self._standing.rests_until = until

    async def _read_feed(self) -> bool:
        standing = self._standing
        events = await self._outbox.read_feed(standing.feed_sequence, FEED_EVENTS)
        if not events:
            return False
        changes = list_changes(
            events,
            standing.feed_sequence,
            self._provider.entities,
            maps_company=self._maps_company,
            segment=self._segment.list if self._segment is not None else None,
        )
        now = self._clock.now()
        async with self._outbox.saving() as connection:
            await self._outbox.save_jobs(connection, changes.records, now)
            await self._outbox.save_wider(connection, changes.wider, now)
            await self._outbox.move_feed(connection, changes.last)
        standing.feed_sequence = changes.last
        return True

    async def _go_on_syncing(self) -> bool:
        """Make jobs for the next records of a full sync."""
        sync = self._standing.sync
        if sync is None or sync.get("finishedAt") or await self._outbox.count_pending(WAITING_MAX) >= WAITING_MAX:
            return False
        entity: Entity = sync["entity"]
        taken = self._provider.entities  # by the settings, which may have changed since it began
        numbers = await self._outbox.list_window(entity, sync["after"], WINDOW) if entity in taken else []
        now = self._clock.now()
        if len(numbers) == WINDOW:
            moved = {**sync, "after": numbers[-1]}
        else:
            following = [one for one in SYNC_ORDER[SYNC_ORDER.index(entity) + 1 :] if one in taken]
            moved = {**sync, "entity": following[0], "after": 0} if following else {**sync, "finishedAt": to_iso(now)}
        moved["queued"] = sync["queued"] + len(numbers)
        sequence = self._standing.feed_sequence
        async with self._outbox.saving() as connection:
            await self._outbox.save_jobs(connection, [Change(entity, number, sequence) for number in numbers], now)
            await self._outbox.save_sync(connection, moved, now if moved.get("finishedAt") else None)
        self._standing.sync = moved
        return True

    async def _send_some(self, entity: Entity) -> bool:
        """Raises Limited, Transient where nothing more can be sent for now, Unauthorized."""
        most = self._provider.get_items_max(entity)
        claimed = pick_together(await self._outbox.claim(entity, self._clock.now(), most))
        if not claimed:
            return False
        by_number = {one.number: one for one in claimed}
        sorted_out = self._sort(await self._load_items(entity, by_number))
        await self._save(entity, by_number, sorted_out.settled, {})
        jobs, deleted, merged = sorted_out.jobs, sorted_out.deleted, sorted_out.merged
        if not jobs and not deleted and not merged:
            return True
        sending = Sending(entity, by_number, {job.item.number: job.hash for job in jobs})
        begun = [*sending.hashes, *(one.number for one in (*deleted, *merged))]
        await self._outbox.begin(entity, begun, self._clock.now() + HIDDEN[entity])
        # Another may have the email of one that is deleted; and a merged one goes into its winner, so that is there.
        if deleted:
            await self._follow(sending, self._provider.remove(entity, deleted), {one.number for one in deleted})
        if jobs:
            await self._follow(sending, self._provider.push(entity, jobs), set(sending.hashes))
        if merged:
            await self._follow(sending, self._provider.remove(entity, merged), {one.number for one in merged})
        return True

    async def _follow(self, sending: Sending, told: AsyncIterator[Outcomes], left: set[int]) -> None:
        """Save what is told, as it comes. A failure of all counts for those that nothing was told of.

        Raises Transient also where each failed by itself and none got through: then it is the provider that fails.
        """
        got_through, failed = False, None
        try:
            async for outcomes in told:
                await self._save(sending.entity, sending.claimed, outcomes, sending.hashes)
                left -= {item.number for item, outcome in outcomes if not isinstance(outcome, Begun)}
                for _, outcome in outcomes:
                    got_through = got_through or isinstance(outcome, Linked | Merged | Unlinked)
                    if isinstance(outcome, Failed) and isinstance(outcome.failure, Transient):
                        failed = outcome.failure
        except Permanent as failure:
            await self._put_off(sending, left, failure)
        except Transient as failure:
            await self._put_off(sending, left, failure)
            raise
        if got_through:
            self._failures, self._succeeded_at = 0, self._clock.now()
        elif failed is not None:
            raise failed

    async def _save(
        self, entity: Entity, claimed: Mapping[int, Claimed], outcomes: Outcomes, hashes: Mapping[int, str]
    ) -> None:
        if not outcomes:
            return
        now = self._clock.now()
        result = make_result(outcomes, claimed, hashes, now, self._succeeded_at)
        outbox = self._outbox
        async with outbox.saving() as connection:
            await outbox.delete_links(connection, entity, result.gone)
            await outbox.save_links(connection, entity, {**result.winners, **result.links}, now)
            if result.anew:
                await outbox.save_dependents(
                    connection, entity, result.anew, self._standing.feed_sequence, now, self._provider.entities
                )
            await outbox.finish(connection, entity, result.done)
            await outbox.postpone(connection, entity, result.failed, now)
        for row in result.failed:
            # What the provider says quotes values, which are people's: the failures of the integration have it.
            code = row.failure.get("code")
            logger.warning("a record was not taken", entity=entity, record=row.record_id, code=code)

    async def _put_off(self, sending: Sending, left: Iterable[int], failure: Failure) -> None:
        now = self._clock.now()
        claimed = [sending.claimed[number] for number in sorted(left)]
        rows = [make_postponed(one, failure, now, self._succeeded_at) for one in claimed]
        async with self._outbox.saving() as connection:
            await self._outbox.postpone(connection, sending.entity, rows, now)

    def _sort(self, items: Iterable[tuple[Item, str | None]]) -> SortedOut:
        found = SortedOut([], [], [], [])
        for item, hindrance in items:
            if hindrance is not None:
                found.settled.append((item, Skipped(reason=hindrance)))
            elif item.left and not self._archives:
                found.settled.append((item, Skipped(reason="It has left the segment, and stays there as it was.")))
            elif is_there(item) and not item.left:
                self._sort_live(item, found)
            elif item.link is None:
                found.settled.append((item, Skipped(reason="It is not there, and is not to be.")))
            elif item.entity in ("contact", "company"):
                is_merged = isinstance(item.record, Contact) and item.record.merged_into is not None
                (found.merged if is_merged else found.deleted).append(item)
            else:
                found.settled.append((item, Unlinked()))
        return found

    def _sort_live(self, item: Item, found: "SortedOut") -> None:
        payload = self._provider.render(item)
        if isinstance(payload, Skipped):
            found.settled.append((item, payload))
            return
        job = Job(item=item, payload=payload, hash=make_hash(payload))
        if item.link is not None and item.link.hash == job.hash:
            found.settled.append((item, Skipped(reason="It is there as it should be.")))
        else:
            found.jobs.append(job)

    async def _load_items(self, entity: Entity, claimed: Mapping[int, Claimed]) -> list[tuple[Item, str | None]]:
        """The records as they are now; with what keeps one from being sent, whatever the provider says."""
        numbers = list(claimed)
        links = await self._outbox.load_links(entity, numbers)
        if entity == "activity":
            return await self._load_activities(claimed, links)
        records = await self._outbox.load_records("company" if entity == "company" else "contact", numbers)
        suppressed = await self._list_suppressed(records.values())
        contacts = await self._outbox.load_links("contact", numbers) if entity == "association" else {}
        companies = await self._load_companies(records.values()) if entity == "association" else {}
        winners = await self._load_winners(records) if entity == "contact" else {}
        shared = await self._list_shared(records, links) if entity == "contact" else set()
        outside = await self._list_outside("company" if entity == "company" else "contact", numbers)
        found: list[tuple[Item, str | None]] = []
        for number in numbers:
            record, stored = records.get(number), links.get(number)
            contact = contacts.get(number)
            assert record is None or isinstance(record, Contact | Company)
            winner = winners.get(record.merged_into or "") if isinstance(record, Contact) else None
            hindrance = None
            if stored is not None and stored.state == "REMOVED":
                hindrance = "It was deleted there, and stays so."
            elif entity == "association" and (contact is None or contact.state != "SYNCED"):
                hindrance = "Its contact is not there."
            elif isinstance(record, Contact) and entity == "contact" and record.external_id in suppressed:
                hindrance = "The person asked to be forgotten."
            elif number in outside and (entity != "contact" or stored is None) and record is not None and record.live:
                hindrance = "It is not in the segment."
            item = Item(
                entity=entity,
                number=number,
                record=record,
                link=to_known(stored),
                contact=contact.link if contact else None,
                companies=companies,
                winner=winner[1] if winner else None,
                winner_number=winner[0] if winner else None,
                begun=claimed[number].begun,
                shares_email=number in shared,
                left=number in outside and isinstance(record, Contact) and record.live,
            )
            found.append((item, hindrance))
        return found

    async def _list_outside(self, kind: str, numbers: Sequence[int]) -> set[int]:
        """Those of the contacts or companies that are not to be there. Raises Permanent, Transient."""
        if self._segment is None:
            return set()
        number = await self._outbox.find_segment(self._segment)
        return set(numbers) - await self._outbox.list_segment(kind, number, numbers)

    async def _list_shared(self, records: Mapping[int, Any], links: Mapping[int, StoredLink]) -> set[int]:
        """The live contacts without a link whose email a MERGED one has too."""
        new = {one.email: number for number, one in records.items() if one.status in LIVE and number not in links}
        return {new[email] for email in await self._outbox.list_merged_emails([email for email in new if email])}

    async def _load_activities(
        self, claimed: Mapping[int, Claimed], links: Mapping[int, StoredLink]
    ) -> list[tuple[Item, str | None]]:
        records = await self._outbox.load_activities(list(claimed))
        numbers = {one.contact_number for one in records.values() if one.contact_number is not None}
        contacts = await self._outbox.load_links("contact", numbers)
        outside = await self._list_outside("contact", sorted(numbers))
        found: list[tuple[Item, str | None]] = []
        for number, one in claimed.items():
            record, stored = records.get(number), links.get(number)
            contact = contacts.get(record.contact_number or 0) if record else None
            # When its contact is there, its activities are looked at again.
            hindrance = "Its contact is not there." if contact is None or contact.state != "SYNCED" else None
            if record is not None and record.contact_number in outside:
                hindrance = "Its contact is not in the segment."
            if record is not None and record.module == "INTEGRATION":
                hindrance = "It came from an integration."
            item = Item(
                entity="activity",
                number=number,
                record=record,
                link=to_known(stored),
                contact=contact.link if contact else None,
                begun=one.begun,
            )
            found.append((item, hindrance))
        return found

    async def _load_companies(self, contacts: Iterable[Any]) -> dict[int, Link]:
        numbers = {link.number for one in contacts for link in one.companies if link.number is not None}
        stored = await self._outbox.load_links("company", numbers)
        return {number: one.link for number, one in stored.items() if one.state == "SYNCED"}

    async def _load_winners(self, records: Mapping[int, Any]) -> dict[str, tuple[int, Link]]:
        """Number and link by external id: what the MERGED among them went into was loaded with them."""
        wanted = {one.merged_into for one in records.values() if one.merged_into}
        by_external_id = {one.external_id: number for number, one in records.items() if one.external_id in wanted}
        links = await self._outbox.load_links("contact", by_external_id.values())
        return {
            external_id: (number, links[number].link)
            for external_id, number in by_external_id.items()
            if number in links
        }

    async def _list_suppressed(self, records: Iterable[Any]) -> set[str]:
        """The external ids of contacts whose email was asked to be forgotten; deleted ones have to be taken out."""
        live = [one for one in records if isinstance(one, Contact) and one.status in LIVE]
        found = await self._outbox.list_suppressed([one.email for one in live if one.email])
        return {one.external_id for one in live if one.email in found}


def pick_together(claimed: Sequence[Claimed]) -> Sequence[Claimed]:
    """The first of them, as many as go together."""
    if claimed and claimed[0].attempts >= ALONE_ATTEMPTS:
        return claimed[:1]
    return [one for one in claimed if one.attempts < ALONE_ATTEMPTS]


def is_there(item: Item) -> bool:
    """Whether the record is live here, so that it should be there."""
    record = item.record
    return record is not None and getattr(record, "status", LIVE[0]) in LIVE


def to_known(stored: StoredLink | None) -> Link | None:
    """The link as the provider sees it: what was only begun has no hash, so that it is not taken for finished."""
    if stored is None or stored.state != "BEGUN":
        return stored.link if stored else None
    return msgspec.structs.replace(stored.link, hash="")
