"""Remove from HubSpot the records that are deleted, merged or gone here."""

from collections.abc import AsyncIterator, Sequence

from kith.integrations.failures import Failure, Missing, Permanent
from kith.integrations.hubspot.batches import make_batches, send_halving
from kith.integrations.hubspot.client import HubSpotClient, ObjectKind
from kith.integrations.hubspot.engagements import KINDS
from kith.integrations.hubspot.settings import OnDelete
from kith.integrations.port import Failed, Item, Link, Merged, Outcome, Outcomes, Unlinked
from kith.model.contacts import Contact


async def remove_contacts(client: HubSpotClient, items: Sequence[Item], on_delete: OnDelete) -> AsyncIterator[Outcomes]:
    """One that was merged goes into its winner, whatever is chosen for deleted ones; it is never erased, as the person
    is still here."""
    moved: dict[str, str] = {}
    archived: list[Item] = []
    left: list[Item] = []
    for item in items:
        merged = isinstance(item.record, Contact) and item.record.status == "MERGED"
        if merged and item.winner is not None:
            yield [(item, await _merge(client, item, item.winner, moved))]
        elif item.left:
            left.append(item)
        elif on_delete == "ERASE" and not merged:
            yield [(item, await _erase(client, item))]
        else:
            archived.append(item)
    async for outcomes in archive(client, "contacts", archived, on_delete):
        yield outcomes
    async for outcomes in archive(client, "contacts", left, "ARCHIVE"):
        yield outcomes


async def archive(
    client: HubSpotClient, kind: ObjectKind, items: Sequence[Item], on_delete: OnDelete
) -> AsyncIterator[Outcomes]:
    """Into their recycle bin; with KEEP, nobody is asked. What is not there any more is archived enough."""
    if on_delete == "KEEP" and items:
        yield [(item, Unlinked()) for item in items]
    if on_delete == "KEEP":
        return

    async def send(some: Sequence[Item]) -> list[Unlinked]:
        await client.archive(kind, [_get_link(item).external_id for item in some])
        return [Unlinked()] * len(some)

    for batch in make_batches(items, lambda item: _get_link(item).external_id):
        async for told in send_halving(batch, send):
            yield [(item, done if isinstance(done, Unlinked) else _accept_missing(done)) for item, done in told]


async def remove_activities(
    client: HubSpotClient, items: Sequence[Item], on_delete: OnDelete
) -> AsyncIterator[Outcomes]:
    for kind in KINDS.values():
        of_kind = [item for item in items if _get_link(item).details.get("type") == kind]
        async for outcomes in archive(client, kind, of_kind, on_delete):
            yield outcomes


async def _erase(client: HubSpotClient, item: Item) -> Outcome:
    try:
        await client.erase_contact(_get_link(item).external_id)
    except Permanent as failure:
        return _accept_missing(failure)
    return Unlinked()


async def _merge(client: HubSpotClient, item: Item, winner: Link, moved: dict[str, str]) -> Outcome:
    """``moved`` is where winners went in merges before: each may give the one that is left a new id."""
    winner_id = winner.external_id
    while winner_id in moved:
        winner_id = moved[winner_id]
    loser_id = _get_link(item).external_id
    if loser_id == winner_id:
        return Merged(external_id=winner_id)
    try:
        left = (await client.merge_contacts(winner_id, loser_id)).id
    except Permanent as failure:
        return await _look_after(client, loser_id, failure)
    if left != winner_id:
        moved[winner_id] = left
    return Merged(external_id=left)


async def _look_after(client: HubSpotClient, loser_id: str, failure: Permanent) -> Outcome:
    """The merge was refused: it may have been done before. HubSpot answers for one that went into another with that."""
    try:
        found = (await client.read_object("contacts", loser_id)).id
    except Missing:
        return Unlinked()
    return Failed(failure=failure) if found == loser_id else Merged(external_id=found)


def _accept_missing(failure: Failure) -> Outcome:
    return Unlinked() if isinstance(failure, Missing) else Failed(failure=failure)


def _get_link(item: Item) -> Link:
    assert item.link is not None
    return item.link
