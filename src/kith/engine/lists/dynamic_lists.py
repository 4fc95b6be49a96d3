"""Dynamic lists: who is on one follows from its filter, exactly, in the transaction of whatever changes that.

What a filter says of a record itself is asked in memory, after each command. What it says of related records, or of
some activities, is asked of the database when the rows of the batch are there: see ``aftermath`` and ``reach``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Literal

import msgspec

from kith.cql.ast import Activities, And, Comparison, Condition, Not, Or, Related
from kith.cql.dependencies import add_default_status, has_relative, list_reads
from kith.cql.index import FilterIndex
from kith.cql.json_form import read_json
from kith.cql.predicate import Predicate, Row, compile_predicate, make_row
from kith.cql.resolve import resolve
from kith.engine.context.schema_cache import Vocabularies, make_vocabularies
from kith.errors import Exposed
from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.derived import LINK, PROPERTIES
from kith.model.events import Event
from kith.model.lists import ListStatus
from kith.model.properties import Schema
from kith.model.records import ListLink

Kind = Literal["contact", "company"]
# For filters that do not depend on the time.
ANY_TIME = datetime.min.replace(tzinfo=UTC)
# Called with the number of a list and the seconds that its filter took for one record.
Charge = Callable[[int, float], None]
_FIELDS: Mapping[str, str] = {
    "id": "number",
    "externalId": "external_id",
    "givenName": "given_name",
    "familyName": "family_name",
    "lifecycleStage": "lifecycle_stage",
    "activityCount": "activity_count",
    "lastActivityAt": "last_activity_at",
    "contactCount": "contact_count",
    "createdAt": "created_at",
    "updatedAt": "updated_at",
}


class ListRow(msgspec.Struct, frozen=True, kw_only=True):
    """A dynamic list as the database has it."""

    workspace_id: int
    number: int
    external_id: str
    name: str
    entity: Kind
    filter_criteria: dict[str, Any]
    timezone: str
    status: ListStatus
    version: int


class DynamicList(msgspec.Struct, frozen=True, kw_only=True):
    """A list with its filter understood. ``reads`` are what the filter depends on, ``wide`` whether beyond the record.

    ``predicate`` is None where it depends on the time, or looks beyond. ``link`` is what its members hold, ``told`` how
    events tell of it.
    """

    row: ListRow
    vocabularies: Vocabularies
    tree: Condition
    reads: frozenset[str]
    wide: bool
    relative: bool
    predicate: Predicate | None
    link: ListLink
    told: Mapping[str, Any]

    def fits(self, row: Row, at: datetime) -> bool:
        """Whether a record fits at that time."""
        if self.predicate is not None:
            return self.predicate(row)
        return compile_predicate(self.tree, self.vocabularies.pick((self.row.entity,)), at)(row)


class NearLists:
    """Lists of an entity whose filters look at the record alone. Of a thousand, few are asked: see ``cql.index``."""

    def __init__(self, lists: Sequence[DynamicList]) -> None:
        self.by_number: dict[int, DynamicList] = {one.row.number: one for one in lists}
        self.fields = sorted({name for one in lists for name in one.reads})
        self.has_relative = any(one.relative for one in lists)
        self._index = FilterIndex((one.tree, one.vocabularies.pick((one.row.entity,)).fields, one) for one in lists)

    def list_fitting(self, row: Row, at: datetime, charge: Charge | None = None) -> set[int]:
        """The numbers of those that the record fits. With ``charge`` each filter is timed."""
        fitting = set()
        for one in self._index.list_candidates(row):
            began_s = perf_counter() if charge is not None else 0
            predicate = one.predicate
            if predicate(row) if predicate is not None else one.fits(row, at):
                fitting.add(one.row.number)
            if charge is not None:
                charge(one.row.number, perf_counter() - began_s)
        return fitting


class DynamicLists:
    """Those of one workspace, by entity, and which of them read a field.

    ``rows`` are all of them. Those that are BROKEN are not evaluated, whether their filters can be understood or not.
    ``unread`` says, by number, why filters of lists that are not BROKEN cannot be understood: the writer breaks these.
    """

    def __init__(self, rows: Sequence[ListRow], understood: Mapping[int, "DynamicList | str"]) -> None:
        """``understood`` has what ``understand`` makes of each row, by number."""
        self.rows = rows
        self.understood = understood
        active = [(row.number, understood[row.number]) for row in rows if row.status == "ACTIVE"]
        made = [one for _, one in active if isinstance(one, DynamicList)]
        self.unread = {number: reason for number, reason in active if isinstance(reason, str)}
        self.all: dict[Kind, list[DynamicList]] = {
            "contact": [one for one in made if one.row.entity == "contact"],
            "company": [one for one in made if one.row.entity == "company"],
        }
        self._near = {kind: NearLists([one for one in some if not one.wide]) for kind, some in self.all.items()}
        self._wide = [one for one in made if one.wide]
        # What the filters read that look beyond their records.
        self.wide_reads = frozenset[str]().union(*(one.reads for one in self._wide))
        # Whether some list's filter looks at the record alone.
        self.has_near = len(self._wide) < len(made)

    def without(self, numbers: Iterable[int]) -> "DynamicLists":
        """The same lists, with these BROKEN."""
        broken = set(numbers)
        rows = [msgspec.structs.replace(row, status="BROKEN") if row.number in broken else row for row in self.rows]
        return DynamicLists(rows, self.understood)

    @property
    def has_wide(self) -> bool:
        """Whether some list's filter looks beyond its records."""
        return bool(self._wide)

    def has_wide_of(self, kind: Kind) -> bool:
        """Whether such a list is of this entity."""
        return any(one.row.entity == kind for one in self._wide)

    def list_wide(self) -> list[DynamicList]:
        return self._wide

    def has(self, external_id: str) -> bool:
        """Whether the list is one of them."""
        return any(row.external_id == external_id for row in self.rows)

    def find(self, row: ListRow) -> DynamicList | None:
        """The list, where its filter could be understood."""
        one = self.understood[row.number]
        return one if isinstance(one, DynamicList) else None

    def reads_property(self, row: ListRow, entity: str, key: str) -> bool:
        """Whether the list's filter reads a property, of its own records, of related ones, or of the link to them."""
        one = self.find(row)
        if one is None:
            return False
        if entity == "CONTACT_COMPANY":
            return any(read.endswith(f".{LINK}{key}") for read in one.reads)
        own = PROPERTIES + key
        return (own if entity.lower() == row.entity else f"{entity.lower()}.{own}") in one.reads

    def list_reading(self, name: str, kind: Kind | None = None) -> list[DynamicList]:
        """The lists whose filters read a field, also beyond a relation (``company.tags``)."""
        return [
            one
            for some in self.all.values()
            for one in some
            if (kind is None or one.row.entity == kind)
            and any(read == name or read.endswith(f".{name}") for read in one.reads)
        ]

    def follow(
        self,
        before: Contact | Company | None,
        after: Contact | Company,
        at: datetime,
        charge: Charge | None = None,
        *,
        anew: bool,
    ) -> list[Event]:
        """What the record enters and leaves by what it has become, at most one event of each, which names the lists.

        ``anew``: whatever it was before. With ``charge`` each filter is timed.
        """
        kind: Kind = "contact" if isinstance(after, Contact) else "company"
        near = self._near[kind]
        if not near.by_number:
            return []
        values = {name: get_value(after, name) for name in near.fields}
        if before is not None and not anew and not near.has_relative:
            if not any(_differs(get_value(before, name), value) for name, value in values.items()):
                return []
        # How times are read from texts depends on no zone: those that are kept have their offset.
        vocabularies = next(iter(near.by_number.values())).vocabularies
        vocabulary = vocabularies.pick((kind,))
        values[vocabulary.fields["phone"].phone] = after.phone_e164
        row = make_row(vocabulary, values)
        fitting = near.list_fitting(row, at, charge)
        # Members of lists that are BROKEN stay: those are not in ``by_number``.
        on = {number for link in after.lists if (number := link.number) is not None and number in near.by_number}
        if fitting == on:
            return []
        left, entered = ([near.by_number[number] for number in sorted(some)] for some in (on - fitting, fitting - on))
        kept = [link for link in after.lists if link.number not in on or link.number in fitting]
        after = msgspec.structs.replace(after, lists=(*kept, *[one.link for one in entered]))
        events = []
        if left:
            events.append(Event(type="list.left", record=after, told={"lists": [one.told for one in left]}))
        if entered:
            events.append(Event(type="list.entered", record=after, told={"lists": [one.told for one in entered]}))
        return events


def make_lists(schemas: Sequence[Schema], rows: Iterable[ListRow], before: DynamicLists | None = None) -> DynamicLists:
    """Understand the filters of a workspace. ``before`` has those that were understood with the same schemas."""
    some = list(rows)
    zones = {row.timezone: make_vocabularies(schemas, row.timezone) for row in some}
    known = {row.number: row for row in before.rows} if before is not None else {}
    understood = {
        row.number: before.understood[row.number]
        if before is not None and known.get(row.number) == row
        else understand(row, zones[row.timezone])
        for row in some
    }
    return DynamicLists(some, understood)


def understand(row: ListRow, vocabularies: Vocabularies) -> DynamicList | str:
    """The list, or why its filter cannot be understood any more: then it keeps its members."""
    vocabulary = vocabularies.pick((row.entity,))
    try:
        tree = add_default_status(resolve(read_json(row.filter_criteria, is_stored=True), vocabulary))
    except Exposed as error:
        return error.message
    wide, relative = looks_beyond(tree), has_relative(tree)
    return DynamicList(
        row=row,
        vocabularies=vocabularies,
        tree=tree,
        reads=list_reads(tree),
        wide=wide,
        relative=relative,
        predicate=None if wide or relative else compile_predicate(tree, vocabulary, ANY_TIME),
        link=ListLink(external_id=row.external_id, number=row.number),
        told={"id": row.number, "externalId": row.external_id, "name": row.name},
    )


def looks_beyond(tree: Condition) -> bool:
    """Whether the filter asks for related records, or counts activities by more than their number."""
    match tree:
        case And() | Or():
            return any(map(looks_beyond, tree.terms))
        case Not():
            return looks_beyond(tree.term)
        case Comparison():
            return tree.field == "contactCount"
        case Related() | Activities():
            return True
    return False


def get_value(record: Contact | Company, name: str) -> Any:
    """The value of a field as a predicate's row takes it."""
    if name.startswith(PROPERTIES):
        return record.properties.get(name[len(PROPERTIES) :])
    match name:
        case "tags":
            return [tag.key for tag in record.tags]
        case "lists":
            return [text for link in record.lists for text in (str(link.number), link.external_id)]
        case "isIdentified":
            assert isinstance(record, Contact)
            return record.email is not None or record.phone is not None
    return getattr(record, _FIELDS.get(name, name))


def _differs(one: Any, other: Any) -> bool:
    """Whether a value may have become another to a filter: Python takes 1 for true, a filter does not."""
    return type(one) is not type(other) or bool(one != other)
