"""Affected records: those that may enter or leave lists whose filters look beyond their records."""

from collections import Counter
from collections.abc import Iterable, Set
from typing import NamedTuple

from kith.engine.lists.dynamic_lists import DynamicLists
from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.events import Event
from kith.model.state import State


class Reach(NamedTuple):
    """The ids of the records that a command reaches.

    ``contacts`` changed; ``companies`` changed, or have such contacts. What a filter says of a company it says of all
    its contacts: ``spreads`` are the companies that changed, ``counted`` those whose number of contacts did.
    """

    contacts: frozenset[int]
    companies: frozenset[int]
    spreads: frozenset[int]
    counted: frozenset[int]

    def list_spreads(self, reads: Set[str]) -> frozenset[int]:
        """The companies whose contacts are all reached, where filters read these fields."""
        if "company" not in reads:
            return frozenset()
        return self.spreads | self.counted if "company.contactCount" in reads else self.spreads

    def is_apart(self, other: "Reach", lists: DynamicLists) -> bool:
        """Whether no record that the lists look at is reached by both."""
        if self.list_spreads(lists.wide_reads) or other.list_spreads(lists.wide_reads):
            return False
        return self.contacts.isdisjoint(other.contacts) and (
            not lists.has_wide_of("company") or self.companies.isdisjoint(other.companies)
        )

    def union(self, other: "Reach") -> "Reach":
        return Reach(*(one | another for one, another in zip(self, other, strict=True)))


def find_reach(state: State, events: Iterable[Event]) -> Reach:
    """What is reached by events that are not folded into the state yet."""
    contacts: set[int] = set()
    companies: set[int] = set()
    spreads: set[int] = set()
    counts: Counter[int] = Counter()
    changed = {record.identity: record for event in events for record in (event.record, *event.also)}
    for identity, after in changed.items():
        before = state.peek(identity)
        for record, one in ((before, -1), (after, 1)):
            if isinstance(record, Contact) and record.number is not None:
                contacts.add(record.number)
                numbers = [link.number for link in record.companies if link.number is not None]
                companies.update(numbers)
                if record.live:
                    counts.update(dict.fromkeys(numbers, one))
        if isinstance(after, Company) and after.number is not None:
            companies.add(after.number)
            if before is not None:
                spreads.add(after.number)
    counted = frozenset(number for number, difference in counts.items() if difference)
    return Reach(frozenset(contacts), frozenset(companies), frozenset(spreads), counted)
