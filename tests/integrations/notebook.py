"""A provider that writes down what it is sent, and fails as it is told."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from kith.integrations.failures import Failure
from kith.integrations.port import (
    Account,
    Entity,
    Failed,
    Item,
    Job,
    Linked,
    Merged,
    Outcomes,
    Skipped,
    Unlinked,
)
from kith.model.activities import Activity
from kith.model.companies import Company
from kith.model.contacts import Contact


class Notebook:
    """Whatever is pushed is kept under a number of its own. ``fail`` is asked before each push of a record."""

    entities: Sequence[Entity] = ("company", "contact", "association", "activity")

    def __init__(self) -> None:
        self.kept: dict[tuple[Entity, str], Mapping[str, Any]] = {}
        self.sent: list[tuple[Entity, int]] = []
        self.failures: dict[tuple[Entity, int], Failure] = {}
        self.down: Failure | None = None
        self._last = 100

    async def connect(self) -> Account:
        if self.down is not None:
            raise self.down
        return Account(id="1", name="Notebook")

    async def prepare(self) -> None:
        pass

    def get_items_max(self, _entity: Entity) -> int:
        return 100

    def render(self, item: Item) -> Mapping[str, Any] | Skipped:
        record = item.record
        if item.entity == "association":
            assert isinstance(record, Contact)
            companies = sorted(item.companies[link.number or 0].external_id for link in record.companies if link.live)
            return {"contact": item.contact.external_id if item.contact else None, "companies": companies}
        if isinstance(record, Contact):
            if record.email is None:
                return Skipped(reason="It has no email.")
            return {"email": record.email, "name": record.name, "tags": [tag.name for tag in record.tags]}
        if isinstance(record, Company):
            return {"name": record.name}
        assert isinstance(record, Activity) and item.contact is not None
        return {"contact": item.contact.external_id, "content": record.content}

    async def push(self, entity: Entity, jobs: Sequence[Job]) -> AsyncIterator[Outcomes]:
        if self.down is not None:
            raise self.down
        for job in jobs:
            number = job.item.number
            if (failure := self.failures.get((entity, number))) is not None:
                yield [(job.item, Failed(failure=failure))]
                continue
            if job.item.link is None:
                self._last += 1
            external_id = job.item.link.external_id if job.item.link else str(self._last)
            self.sent.append((entity, number))
            self.kept[entity, external_id] = job.payload
            yield [(job.item, Linked(external_id=external_id, details={"tags": job.payload.get("tags", [])}))]

    async def remove(self, entity: Entity, items: Sequence[Item]) -> AsyncIterator[Outcomes]:
        for item in items:
            assert item.link is not None
            del self.kept[entity, item.link.external_id]
            if item.winner is not None:
                yield [(item, Merged(external_id=item.winner.external_id))]
            else:
                yield [(item, Unlinked())]

    def list_kept(self, entity: Entity) -> list[Mapping[str, Any]]:
        return [payload for (kind, _), payload in self.kept.items() if kind == entity]
