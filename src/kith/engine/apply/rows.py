"""From what a batch changed to the rows that save it. No I/O."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from kith.model.activities import Activity
from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.derived import derive_company_text, derive_contact_text, fold_link
from kith.model.lists import List
from kith.model.properties import Property, Schema
from kith.model.records import Claim, Record
from kith.model.slots import to_options, to_slots
from kith.model.tags import Tag
from kith.model.text import Folded, to_name_key

Rows = dict[str, list[Any]]


class ContactRow(Contact, frozen=True, kw_only=True, gc=False):
    """A row of ``contacts``: the record, and the columns that are derived from it."""

    workspace_id: int
    email_key: str | None
    name_key: str | None
    family_key: str | None
    folded: Folded | None
    words: str
    slots: dict[str, Any] | None
    options: list[str] | None


class CompanyRow(Company, frozen=True, kw_only=True, gc=False):
    """A row of ``companies``, likewise."""

    workspace_id: int
    name_key: str | None
    industry_key: str | None
    size_key: str | None
    folded: Folded | None
    words: str
    slots: dict[str, Any] | None
    options: list[str] | None


class TagRow(Tag, frozen=True, kw_only=True, gc=False):
    """A row of ``tags``, likewise."""

    workspace_id: int
    name_key: str | None


class ListRow(List, frozen=True, kw_only=True, gc=False):
    """A row of ``lists``, likewise."""

    workspace_id: int
    name_key: str | None


class PropertyRow(Property, frozen=True, kw_only=True, gc=False):
    """A row of ``properties``."""

    workspace_id: int


class ActivityRow(Activity, frozen=True, kw_only=True, gc=False):
    """A row of ``activities``."""

    workspace_id: int


class MovedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ``merges``: both sides as they were. ``activities`` are filled in when they move."""

    workspace_id: int
    loser: int
    winner: int
    at: datetime
    moved: Mapping[str, Any]


class RowMaker:
    """Collects the rows of a batch by the statement that saves them. Each changed record comes once.

    ``find_schema`` knows the properties of a workspace's entity.
    """

    def __init__(self, find_schema: Callable[[int, str], Schema]) -> None:
        self._find_schema = find_schema
        self.rows: Rows = defaultdict(list)
        self._totals: Counter[tuple[int, str, str, str]] = Counter()
        self._company_counts: Counter[tuple[int, int]] = Counter()
        self._tag_counts: dict[str, Counter[tuple[int, int]]] = {"contacts": Counter(), "companies": Counter()}
        self._list_counts: Counter[tuple[int, int]] = Counter()
        self._moving: dict[str, dict[tuple[int, Claim], Any]] = {"release_emails": {}, "release_domains": {}}
        self._taken: set[tuple[int, Claim]] = set()

    def add(self, workspace: int, before: Record | None, after: Record | None) -> None:
        """A record as it was and as it is; None where it was not there, or is there no more."""
        match after or before:
            case Contact():
                assert (before is None or isinstance(before, Contact)) and isinstance(after, Contact)
                self._add_contact(workspace, before, after)
            case Company():
                assert (before is None or isinstance(before, Company)) and isinstance(after, Company)
                self._add_company(workspace, before, after)
            case Tag():
                assert (before is None or isinstance(before, Tag)) and (after is None or isinstance(after, Tag))
                self._add_tag(workspace, before, after)
            case List():
                assert (before is None or isinstance(before, List)) and (after is None or isinstance(after, List))
                self._add_list(workspace, before, after)
            case Property():
                assert (before is None or isinstance(before, Property)) and isinstance(after, Property)
                row = _extend(PropertyRow, after, workspace_id=workspace)
                self.rows["insert_properties" if before is None else "update_properties"].append(row)
            case Activity():
                self.rows["insert_activities"].append(_extend(ActivityRow, after, workspace_id=workspace))

    def add_merge(self, workspace: int, at: datetime, loser: Contact, winner: Contact) -> None:
        """A merge, with both sides as they were before."""
        moved = {"loser": loser, "winner": winner, "activities": []}
        assert loser.number is not None and winner.number is not None
        self.rows["save_merges"].append(
            MovedRow(workspace_id=workspace, loser=loser.number, winner=winner.number, at=at, moved=moved)
        )
        numbers = {"loser": loser.number, "target": winner.number}
        self.rows["move_activities"].append({"workspace_id": workspace, **numbers})
        ids = {"loser": loser.external_id, "winner": winner.external_id}
        self.rows["redirect_merged"].append({"workspace_id": workspace, **ids})

    def finish(self) -> Rows:
        """All rows, with what could only be counted at the end."""
        for name, moving in self._moving.items():
            if moving.keys() & self._taken:
                self.rows[name] = [{"workspace_id": of, "number": number} for (of, _), number in moving.items()]
        for (workspace, entity, status, stage), count in sorted(self._totals.items()):
            if count:
                row = {"workspace_id": workspace, "entity": entity, "status": status, "stage": stage, "count": count}
                self.rows["add_totals"].append(row)
        for name, counts in (
            ("add_company_counts", self._company_counts),
            ("add_list_counts", self._list_counts),
        ):
            for (workspace, number), count in sorted(counts.items()):
                if count:
                    self.rows[name].append({"workspace_id": workspace, "number": number, "count": count})
        for workspace, number in sorted(set().union(*self._tag_counts.values())):
            both = {entity: counted[workspace, number] for entity, counted in self._tag_counts.items()}
            if any(both.values()):
                self.rows["add_tag_counts"].append({"workspace_id": workspace, "number": number} | both)
        return self.rows

    def _add_contact(self, workspace: int, before: Contact | None, after: Contact) -> None:
        self._totals[workspace, "contact", after.status, after.lifecycle_stage] += 1
        if before is not None:
            self._totals[workspace, "contact", before.status, before.lifecycle_stage] -= 1
        if before is None or (before.version, before.activity_count) != (after.version, after.activity_count):
            schema = self._find_schema(workspace, "CONTACT")
            row = _extend(
                ContactRow,
                after,
                workspace_id=workspace,
                slots=to_slots(schema, after.properties),
                options=to_options(schema, workspace, after.properties),
                **derive_contact_text(after, workspace),
                companies=(),
                tags=(),
                lists=(),
            )
            self._add_row(workspace, before, after, row, "contacts", "release_emails")
        if after.companies or after.tags or (before is not None and (before.companies or before.tags)):
            self._add_companies(workspace, before, after)
            self._add_taggings(workspace, "contact", before, after)
            _count(self._company_counts, workspace, before, after, "companies")
            _count(self._tag_counts["contacts"], workspace, before, after, "tags")
        self._add_members(workspace, "contact", before, after)

    def _add_company(self, workspace: int, before: Company | None, after: Company) -> None:
        self._totals[workspace, "company", after.status, ""] += 1
        if before is not None:
            self._totals[workspace, "company", before.status, ""] -= 1
        if before is None or before.version != after.version:
            schema = self._find_schema(workspace, "COMPANY")
            row = _extend(
                CompanyRow,
                after,
                workspace_id=workspace,
                slots=to_slots(schema, after.properties),
                options=to_options(schema, workspace, after.properties),
                **derive_company_text(after, workspace),
                tags=(),
                lists=(),
            )
            self._add_row(workspace, before, after, row, "companies", "release_domains")
        self._add_taggings(workspace, "company", before, after)
        _count(self._tag_counts["companies"], workspace, before, after, "tags")
        self._add_members(workspace, "company", before, after)

    def _add_row(
        self, workspace: int, before: Record | None, after: Record, row: Record, table: str, release: str
    ) -> None:
        if before is None:
            self.rows[f"insert_{table}"].append(row)
        else:
            self.rows[f"update_{table}"].append(row)
            self._note_claims(workspace, before, after, release)

    def _note_claims(self, workspace: int, before: Record, after: Record, release: str) -> None:
        old, new = before.claims, after.claims
        if old != new:
            self._moving[release].update(((workspace, claim), after.number) for claim in old)
            self._taken.update((workspace, claim) for claim in new)

    def _add_tag(self, workspace: int, before: Tag | None, after: Tag | None) -> None:
        if after is None:
            if before is not None:
                self.rows["delete_tags"].append({"workspace_id": workspace, "number": before.number})
        elif before is None or before.version != after.version:
            row = _extend(TagRow, after, workspace_id=workspace, name_key=to_name_key(after.name))
            self.rows["insert_tags" if before is None else "update_tags"].append(row)

    def _add_list(self, workspace: int, before: List | None, after: List | None) -> None:
        if after is None:
            if before is not None:
                self.rows["delete_lists"].append({"workspace_id": workspace, "number": before.number})
        elif before is None or (before.version, before.evaluated_at) != (after.version, after.evaluated_at):
            row = _extend(ListRow, after, workspace_id=workspace, name_key=to_name_key(after.name))
            self.rows["insert_lists" if before is None else "update_lists"].append(row)

    def _add_companies(self, workspace: int, before: Contact | None, after: Contact) -> None:
        old = {link.number: link for link in before.companies} if before is not None else {}
        new = {link.number: link for link in after.companies}
        named = {"workspace_id": workspace, "contact": after.number}
        self.rows["delete_associations"] += [named | {"company": number} for number in old.keys() - new.keys()]
        for number, link in new.items():
            kept = old.get(number)
            stored = (link.role, link.is_primary, link.properties)
            if kept is None or stored != (kept.role, kept.is_primary, kept.properties):
                values = {"role": link.role, "is_primary": link.is_primary, "properties": link.properties}
                values["folded"] = fold_link(link.role, link.properties)
                self.rows["save_associations"].append(named | {"company": number} | values)

    def _add_taggings(
        self, workspace: int, entity: str, before: Contact | Company | None, after: Contact | Company
    ) -> None:
        old = {tag.number for tag in before.tags} if before is not None else set()
        new = {tag.number for tag in after.tags}
        named = {"workspace_id": workspace, "entity": entity, "record": after.number}
        self.rows["delete_taggings"] += [named | {"tag": number} for number in old - new]
        made = named | {"created_at": after.created_at}
        self.rows["insert_taggings"] += [made | {"tag": number} for number in new - old]

    def _add_members(
        self, workspace: int, entity: str, before: Contact | Company | None, after: Contact | Company
    ) -> None:
        old = {link.number for link in before.lists} if before is not None else set()
        new = {link.number for link in after.lists}
        if old or new:
            named = {"workspace_id": workspace, "entity": entity, "record": after.number}
            self.rows["delete_members"] += [named | {"list": number} for number in old - new]
            made = named | {"created_at": after.created_at}
            self.rows["insert_members"] += [made | {"list": number} for number in new - old]
            _count(self._list_counts, workspace, before, after, "lists")


def _extend(row: type[Any], record: Record | None, **derived: Any) -> Any:
    assert record is not None and record.number is not None
    return row(**(msgspec.structs.asdict(record) | derived))


def _count(counts: Counter[tuple[int, int]], workspace: int, before: Record | None, after: Record, links: str) -> None:
    """What a record is linked to counts it while it is live."""
    for record, one in ((before, -1), (after, 1)):
        if record is not None and record.live:
            for link in getattr(record, links):
                counts[workspace, link.number] += one
