"""Loads for predictions and reads: requests that come while a load runs go together into the next one."""

import asyncio
from typing import NamedTuple

import msgspec

from kith.model.contacts import Contact
from kith.store.batch import ContactKeys, load_contacts
from kith.store.database import Database

LOAD_REQUESTS_MAX = 200


class Keys(msgspec.Struct, frozen=True):
    """The contacts that one request wants, in its workspace."""

    external_ids: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    emails: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.external_ids or self.numbers or self.emails)


class _Waiting(NamedTuple):
    workspace_id: int
    keys: Keys
    done: "asyncio.Future[list[Contact]]"


class Loader:
    """Committed contacts by external id, number or email; one statement serves all who ask meanwhile."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[int, list[_Waiting]] = {}
        self._running: dict[int, asyncio.Task[None]] = {}

    async def load(self, shard: int, workspace_id: int, keys: Keys) -> list[Contact]:
        """The contacts that fit any of the keys, and the live holders of the emails of the DELETED among them."""
        if keys.empty:
            return []
        done: asyncio.Future[list[Contact]] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(shard, []).append(_Waiting(workspace_id, keys, done))
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
        keys = ContactKeys(
            external_ids=list({(one.workspace_id, key) for one in group for key in one.keys.external_ids}),
            numbers=list({(one.workspace_id, key) for one in group for key in one.keys.numbers}),
            emails=list({(one.workspace_id, key) for one in group for key in one.keys.emails}),
        )
        try:
            async with self._database.acquire() as connection:
                found = await load_contacts(connection, shard, keys)
        except Exception as error:  # noqa: BLE001 - whoever waits is told, whatever it is
            for one in group:
                if not one.done.done():
                    one.done.set_exception(error)
            return
        by_workspace: dict[int, list[Contact]] = {}
        for workspace_id, contact in found:
            by_workspace.setdefault(workspace_id, []).append(contact)
        for one in group:
            if not one.done.done():
                one.done.set_result(_pick(by_workspace.get(one.workspace_id, []), one.keys))


def _pick(contacts: list[Contact], keys: Keys) -> list[Contact]:
    picked = {
        contact.external_id: contact
        for contact in contacts
        if contact.external_id in keys.external_ids
        or contact.number in keys.numbers
        or (contact.live and contact.email in keys.emails)
    }
    emails = {contact.email for contact in picked.values() if contact.status == "DELETED" and contact.email}
    if emails:
        for contact in contacts:
            if contact.claimed_email in emails:
                picked[contact.external_id] = contact
    return list(picked.values())
