"""The port of a provider: what the runner asks of HubSpot and Mailchimp, and what these answer."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

from kith.integrations.failures import Failure
from kith.integrations.inbound_port import Inbound
from kith.model.activities import Activity
from kith.model.companies import Company
from kith.model.contacts import Contact

ProviderName = Literal["HUBSPOT", "MAILCHIMP"]
Entity = Literal["company", "contact", "association", "activity"]


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """Where a record of ours is there: its id there, the hash of what was sent last, and what the provider keeps.

    ``details`` are the provider's own, as JSON: the email under which a member is known, the tags that are set.
    """

    external_id: str
    hash: str
    details: Mapping[str, Any] = {}


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A record that is to be there as it is here now.

    ``record`` is None where it is no more. An association is all companies of one contact: ``number`` and ``record``
    are the contact's. ``contact`` is the link of the contact of an activity or association, ``companies`` are those of
    its companies, by their numbers; a company that is not linked is left out. ``winner`` is the link of the contact
    that a MERGED one went into, and ``winner_number`` its number. ``begun``: it may have been sent before, and no
    answer came or was kept. ``shares_email``: a MERGED contact has the same email, so the provider's record of its
    winner may answer to it. ``left``: it is live here and has left the segment, so it is archived there.
    """

    entity: Entity
    number: int
    record: Contact | Company | Activity | None
    link: Link | None = None
    contact: Link | None = None
    companies: Mapping[int, Link] = {}
    winner: Link | None = None
    winner_number: int | None = None
    begun: bool = False
    shares_email: bool = False
    left: bool = False


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """An item with what is to be sent of it, and the hash of that."""

    item: Item
    payload: Mapping[str, Any]
    hash: str


class Linked(msgspec.Struct, frozen=True, kw_only=True):
    """It is there as it should be."""

    external_id: str
    details: Mapping[str, Any] = {}


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A part of it is there, which has to be known before the rest is sent: its job goes on."""

    external_id: str
    details: Mapping[str, Any] = {}


class Unlinked(msgspec.Struct, frozen=True, kw_only=True):
    """It is not there any more, as it should be."""


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """It went into its winner there, whose id is ``external_id`` from now on."""

    external_id: str


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """There is nothing to send of it, for a reason that a person can read."""

    reason: str


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    failure: Failure


Outcome = Linked | Begun | Unlinked | Merged | Skipped | Failed
Outcomes = Sequence[tuple[Item, Outcome]]


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Whose account the credentials open: ``id`` is what limits are held by, ``name`` what a person knows it by."""

    id: str
    name: str | None = None


class Provider(Protocol):
    """One account at a provider. Every call raises ``Failure``; a failure that is about records is an outcome."""

    @property
    def entities(self) -> Sequence[Entity]:
        """What it takes, in the order in which it has to be sent."""
        ...

    def get_items_max(self, entity: Entity) -> int:
        """How many items of an entity are worth giving it at once."""
        ...

    async def connect(self) -> Account:
        """One cheap call that tells whether the credentials are good."""
        ...

    async def prepare(self) -> None:
        """Make what has to be there before the first record is sent; changes nothing where it is there."""
        ...

    def changed_since(self, at: datetime) -> AsyncIterator[Inbound]:
        """How the contacts stand there that changed since then, by whomever: their fields that are mapped, and whether
        they are to be written to. Some may be told of twice."""
        ...

    def render(self, item: Item) -> Mapping[str, Any] | Skipped:
        """What is to be sent of it. Pure; the same for the same record, so that its hash tells whether it changed."""
        ...

    def push(self, entity: Entity, jobs: Sequence[Job]) -> AsyncIterator[Outcomes]:
        """Send them; tells what became of each as soon as it is known, and goes on when that is stored.

        A ``Failure`` that is raised holds for all jobs that were not told of.
        """
        ...

    def remove(self, entity: Entity, items: Sequence[Item]) -> AsyncIterator[Outcomes]:
        """Take out, or merge, what is deleted, merged or gone here. Only of items with a link."""
        ...
