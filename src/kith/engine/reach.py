"""How far commands reach: the records that may enter or leave lists whose filters look beyond their records."""

from collections.abc import Iterable
from typing import NamedTuple

from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.events import Event
from kith.model.state import State


class Reach(NamedTuple):
    """Ids. ``contacts`` are those that a command changed; ``companies`` those, and those of such contacts.

    What a filter says of a company it says of all its contacts: of the companies in ``spreads`` they are reached too.
    """

    contacts: frozenset[int]
    companies: frozenset[int]
    spreads: frozenset[int]

    def is_apart(self, other: "Reach", *, by_companies: bool) -> bool:
        """Whether no record is reached by both; ``by_companies``: whether there are lists of companies."""
        if self.spreads or other.spreads:
            return False
        return self.contacts.isdisjoint(other.contacts) and (
            not by_companies or self.companies.isdisjoint(other.companies)
        )

    def union(self, other: "Reach") -> "Reach":
        return Reach(*(one | another for one, another in zip(self, other, strict=True)))


def find_reach(state: State, events: Iterable[Event]) -> Reach:
    """What is reached by events that are not folded into the state yet."""
    contacts: set[int] = set()
    companies: set[int] = set()
    spreads: set[int] = set()
    for event in events:
        for after in (event.record, *event.also):
            before = state.peek(after.identity)
            for record in (before, after):
                if isinstance(record, Contact) and record.number is not None:
                    contacts.add(record.number)
                    companies.update(link.number for link in record.companies if link.number is not None)
            if isinstance(after, Company) and after.number is not None:
                companies.add(after.number)
                if before is not None:
                    spreads.add(after.number)
    return Reach(frozenset(contacts), frozenset(companies), frozenset(spreads))
