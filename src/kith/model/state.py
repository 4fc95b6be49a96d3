"""The state that commands are decided on: the part of one workspace that was loaded for them.

Asking for what was not loaded is a bug and fails loudly: an absent record and an unloaded one must never look alike.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from kith.model.contacts import Contact
from kith.model.records import Claim, Identity, Record

R = TypeVar("R", bound=Record)


class Ref(msgspec.Struct, frozen=True):
    """A record as a request names it: ``by`` "number", "external_id", or the name of a claim."""

    kind: str
    by: str
    value: int | str


class Touches(msgspec.Struct, frozen=True, kw_only=True):
    """What must be loaded before a command can be decided. ``fresh`` records are made by the command itself.

    ``by_claim``: it names some of its records by a claim: see ``kith.model.names``.
    """

    records: frozenset[Identity] = frozenset()
    claims: frozenset[Claim] = frozenset()
    fresh: frozenset[Identity] = frozenset()
    by_claim: bool = False


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What the values that records hold under a key say of a property: how many there are, and which do not fit it.

    ``converted`` of them were brought into its form. ``examples`` are the first misfits, as (path of the record, value,
    what is wrong).
    """

    values: int = 0
    converted: int = 0
    misfits: int = 0
    examples: tuple[tuple[str, str, str], ...] = ()


class State:
    """Records and claims of one workspace, by identity; ``None`` is known to be absent.

    ``numbers`` are the ids of the next record of each kind, or None where ids are not given (a prediction).
    """

    def __init__(self, numbers: Mapping[str, int] | None = None, *, is_partial: bool = False) -> None:
        """``is_partial``: the database could not be read, so what is not known may be there all the same."""
        self.numbers = dict(numbers) if numbers is not None else None
        self.is_partial = is_partial
        self._records: dict[Identity, Record | None] = {}
        self._holders: dict[Claim, Identity | None] = {}
        self._numbered: dict[tuple[str, int], Identity] = {}
        self._surveys: dict[Identity, Survey] = {}

    def know(self, records: Iterable[Record]) -> None:
        """Take loaded records in; a live one is known to hold what it claims."""
        for record in records:
            identity = record.identity
            self._records[identity] = record
            if record.number is not None:
                self._numbered[record.kind, record.number] = identity
            if record.live:
                for claim in record.values:
                    self._holders[claim] = identity
            else:
                for claim in record.values:
                    self._holders.setdefault(claim, None)

    def mark_absent(self, asked: Touches) -> None:
        """All that was asked for and not found is not there."""
        for identity in asked.records:
            self._records.setdefault(identity, None)
        for identity in asked.fresh:
            self._records.setdefault(identity, None)
        for claim in asked.claims:
            self._holders.setdefault(claim, None)

    def set_holder(self, claim: Claim, holder: Identity | None) -> None:
        self._holders[claim] = holder

    def mark_removed(self, identity: Identity) -> None:
        self._records[identity] = None

    def set_survey(self, identity: Identity, survey: Survey) -> None:
        """What there is under the key of a property, held against what the next command makes of it."""
        self._surveys[identity] = survey

    def find_survey(self, identity: Identity) -> Survey:
        assert identity in self._surveys, f"the values of {identity[1]} were not surveyed"
        return self._surveys[identity]

    def take_over(self, later: "State", identities: Iterable[Identity], claims: Iterable[Claim]) -> None:
        """Take over what a later state knows of these records and claims, and of those that are known here."""
        for identity in {*identities, *self._records}:
            if later.knows(identity):
                record = later.peek(identity)
                if record is None:
                    self.mark_removed(identity)
                else:
                    self.know((record,))
                    self._know_successors(later, record)
        for claim in {*claims, *self._holders}:
            if later.knows_claim(claim):
                holder = later.find_holder(claim)
                if holder is not None:
                    self.know((holder,))
                self._holders[claim] = holder.identity if holder is not None else None

    def _know_successors(self, later: "State", record: Record) -> None:
        following: Record | None = record
        while following is not None and following.successor is not None:
            following = later.peek((following.kind, following.successor))
            if following is not None:
                self.know((following,))

    def knows(self, identity: Identity) -> bool:
        """Whether the record is loaded, or known to be absent."""
        return identity in self._records

    def knows_ref(self, ref: Ref) -> bool:
        """Whether it is known what is named so, or that nothing is."""
        if ref.by == "number":
            return (ref.kind, int(ref.value)) in self._numbered
        if ref.by == "external_id":
            return self.knows((ref.kind, str(ref.value)))
        return self.knows_claim((ref.by, str(ref.value)))

    def knows_claim(self, claim: Claim) -> bool:
        """Whether it is known who holds it, or that nobody does."""
        return claim in self._holders

    def find(self, kind: type[R], external_id: str) -> R | None:
        identity = (kind.kind, external_id)
        assert identity in self._records, f"{kind.kind} {external_id} was not loaded"
        record = self._records[identity]
        assert record is None or isinstance(record, kind)
        return record

    def find_contact(self, external_id: str) -> Contact | None:
        """The contact; of one that was merged, that into which it went in the end."""
        contact = self.find(Contact, external_id)
        while contact is not None and contact.merged_into is not None:
            contact = self.find(Contact, contact.merged_into)
        return contact

    def find_last(self, record: Record) -> Record:
        """What the record was merged into in the end, as far as that is known; itself where it was not merged."""
        last, passed = record, {record.identity}
        while last.successor is not None:
            following = self._records.get((last.kind, last.successor))
            if following is None or following.identity in passed:
                break
            passed.add(following.identity)
            last = following
        return last

    def knows_end(self, identity: Identity) -> bool:
        """Whether the record is known, or known to be absent, and all that it was merged into."""
        if identity not in self._records:
            return False
        record = self._records[identity]
        return record is None or record.successor is None or self.find_last(record).successor is None

    def list_unknown(self) -> list[Identity]:
        """What known records were merged into, and who holds known claims, where that is not known itself."""
        unknown = [holder for holder in self._holders.values() if holder is not None and holder not in self._records]
        for record in self._records.values():
            if record is not None and record.successor is not None:
                following = record.kind, record.successor
                if following not in self._records:
                    unknown.append(following)
        return unknown

    def find_ref(self, ref: Ref) -> Record | None:
        """The loaded record that is named so; a claim names its live holder."""
        if ref.by == "external_id":
            return self._records.get((ref.kind, str(ref.value)))
        if ref.by == "number":
            identity = self._numbered.get((ref.kind, int(ref.value)))
        else:
            identity = self._holders.get((ref.by, str(ref.value)))
        return self._records.get(identity) if identity is not None else None

    def peek(self, identity: Identity) -> Record | None:
        """The record if it is loaded and there."""
        return self._records.get(identity)

    def find_holder(self, claim: Claim) -> Record | None:
        """The live record that holds it."""
        assert claim in self._holders, f"the claim on a value of {claim[0]} was not loaded"
        holder = self._holders[claim]
        return self._records.get(holder) if holder is not None else None

    def put(self, record: Record) -> None:
        """The record as it is now; what it claims moves with it."""
        before = self._records.get(record.identity)
        self._move_claims(before.claims if before is not None else (), record.claims, record.identity)
        self._records[record.identity] = record

    def remove(self, identity: Identity) -> None:
        before = self._records.get(identity)
        self._move_claims(before.claims if before is not None else (), (), identity)
        self._records[identity] = None

    def _move_claims(self, old: tuple[Claim, ...], new: tuple[Claim, ...], identity: Identity) -> None:
        if old != new:
            for claim in old:
                self._holders[claim] = None
            for claim in new:
                self._holders[claim] = identity
