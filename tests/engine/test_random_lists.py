"""Who is on a dynamic list is who a query finds, whatever was done to its records and to those that they belong to."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import httpx2
import msgspec
import pytest

from kith.engine.admin.replay import replay_check
from kith.model.commands import (
    AddMembers,
    ArchiveProperty,
    Command,
    CreateList,
    CreateProperty,
    CreateTag,
    DeleteCompany,
    DeleteContact,
    DeleteList,
    DeleteTag,
    EvaluateList,
    LogActivity,
    RemoveMembers,
    UpdateList,
    UpdateProperty,
)
from tests.engine.acts import Acts
from tests.engine.test_random_nouns import Script
from tests.kit import SETTINGS, Kit

COMMANDS = 120
DEFINED = ("CONTACT", "COMPANY", "CONTACT_COMPANY")
STATIC = {"contact": "list_1", "company": "list_2"}
FILTERS: Sequence[tuple[str, str]] = [
    ("contact", "company.contactCount >= 2"),
    ("company", "contactCount >= 1"),
    ("contact", "company.contactCount = 1"),
    ("contact", "company.contactCount != 2"),
    ("contact", "NOT company.contactCount = 2"),
    ("contact", "company(tags has any (vip) AND contactCount >= 2)"),
    ("contact", "company.name = Acme OR a = 1"),
    ("company", "contactCount = 0 OR tags is null"),
    ("company", "contact.activityCount >= 1"),
    ("contact", "company.domain is null"),
    ("company", "contact.lastActivityAt is null AND contact.name = Mia"),
    ("contact", "company.tags is null"),
    ("company", "contact(tags has none (vip) AND a >= 2)"),
    ("contact", "company.a >= 2"),
    ("contact", "company.link.a = 1 OR company.role = CEO"),
    ("company", "contact.status = ARCHIVED OR contact.link.a = 1"),
    ("contact", "company.status = ARCHIVED AND company.isPrimary = true"),
    ("company", "contact.lists has any (list_1)"),
    ("contact", "company.lists has none (list_2)"),
    ("contact", "ACTIVITIES(since 2026-01-01) >= 2 OR tags has all (vip, new)"),
    ("company", "contact.version >= 3 AND name is not null"),
    ("contact", "lists has any (list_1) AND company.version >= 2"),
]


class Relations(Script):
    """Few records, which belong to each other, carry tags, are on lists; what filters name comes and goes."""

    filters: Sequence[tuple[str, dict[str, Any]]] = ()

    def list_acts(self) -> list[Callable[[], Command]]:
        return [
            *[self.associate, self.change_association] * 5,
            *[self.change_company, self.change_contact, self.delete, self.restore] * 3,
            *[self.assign, self.unassign, self.log, self.change_members] * 2,
            *[self.merge, self.make_contact, self.make_company, self.make_tag, self.define, self.mend],
        ]

    def pick_properties(self) -> dict[str, Any]:
        return {"a": self.chance.choice((1, 2, 3, None))}

    def list_beginnings(self) -> list[Command]:
        """What is there before the lists that filters make."""
        return [
            *(CreateTag(tag_id=self.add("tag"), key=key) for key in ("vip", "new")),
            *(
                CreateList(list_id=list_id, name="Some", entity_type=entity.upper())  # type: ignore[arg-type]
                for entity, list_id in STATIC.items()
            ),
            *(
                CreateProperty(property_id=self.add("property"), entity=one, key="a", property_type="NUMBER")  # type: ignore[arg-type]
                for one in DEFINED
            ),
            *(make() for make in (self.make_contact, self.make_company) for _ in range(4)),
        ]

    def make_lists(self) -> list[Command]:
        return [
            CreateList(
                list_id=f"dynamic_{n}",
                name="Some",
                entity_type=entity.upper(),  # type: ignore[arg-type]
                is_dynamic=True,
                filter_criteria=criteria,
            )
            for n, (entity, criteria) in enumerate(self.filters)
        ]

    def log(self) -> Command:
        made = super().log()
        assert isinstance(made, LogActivity)
        return msgspec.structs.replace(made, occurred_at=None)

    def change_members(self) -> Command:
        entity = self.chance.choice(("contact", "company"))
        record_ids = [self.pick(entity) for _ in range(self.chance.randrange(1, 4))]
        change = AddMembers if self.chance.random() < 0.7 else RemoveMembers
        return change(list_id=STATIC[entity], entity=entity, record_ids=record_ids)  # type: ignore[arg-type]

    def delete(self) -> Command:
        match self.chance.choices(("contact", "company", "tag", "list"), (10, 5, 2, 0.3))[0]:
            case "contact":
                return DeleteContact(contact_id=self.pick("contact"))
            case "company":
                return DeleteCompany(company_id=self.pick("company"))
            case "tag":
                return DeleteTag(tag_id=self.pick("tag"))
        return DeleteList(list_id=self.chance.choice([*STATIC.values()]))

    def define(self) -> Command:
        n = self.chance.randrange(3)
        named: Any = {
            "property_id": self.ids["property"][1 + n],
            "entity": ("CONTACT", "COMPANY", "CONTACT_COMPANY")[n],
        }
        if self.chance.random() < 0.3:
            return ArchiveProperty(**named)
        return UpdateProperty(**named, changes={"status": "ACTIVE", "type": self.chance.choice(("NUMBER", "TEXT"))})

    def mend(self) -> Command:
        n = self.chance.randrange(len(self.filters))
        if self.chance.random() < 0.5:
            return EvaluateList(list_id=f"dynamic_{n}")
        return UpdateList(list_id=f"dynamic_{n}", changes={"filter_criteria": self.filters[n][1]})


async def understand(client: httpx2.AsyncClient, entity: str, where: str) -> dict[str, Any]:
    """The filter as JSON."""
    answer = await client.post("/crm/query", json={"entity": entity, "where": where, "explain": True})
    assert answer.status_code == 200, answer.text
    criteria: dict[str, Any] = answer.json()["data"]["ast"]
    return criteria


async def check_members(acts: Acts, client: httpx2.AsyncClient, script: Relations) -> int:
    """Those of all lists that are not BROKEN; the number of lists."""
    lists = await acts.fetch(
        "SELECT id, external_id, member_count FROM lists WHERE workspace_id = $1 AND is_dynamic AND status = 'ACTIVE'"
    )
    members: dict[int, list[int]] = {}
    for list_id, record in await acts.fetch(
        "SELECT list_id, record_id FROM list_members WHERE workspace_id = $1 ORDER BY record_id"
    ):
        members.setdefault(list_id, []).append(record)
    for list_id, external_id, count in lists:
        n = int(external_id.removeprefix("dynamic_"))
        entity, criteria = script.filters[n]
        path = "contacts" if entity == "contact" else "companies"
        answer = await client.post(f"/crm/{path}/filter", json={"filter": criteria, "limit": 100})
        assert answer.status_code == 200, answer.text
        fitting = sorted(row["id"] for row in answer.json()["data"])
        assert (members.get(list_id, []), count) == (fitting, len(fitting)), (entity, criteria)
    return len(lists)


@pytest.mark.parametrize("seed", range(2))
async def test_members_are_those_of_a_query_after_any_batch(own_kit: Kit, own_acts: Acts, seed: int) -> None:
    chance = random.Random(seed)
    script = Relations(chance)
    begun = [script.decide(own_acts.make_envelope(command)) for command in script.list_beginnings()]
    await own_acts.append(*begun)
    await own_kit.drain()
    async with own_kit.open_client(await own_kit.make_key(own_acts.workspace)) as client:
        # Which list of a change comes first must make no difference.
        filters = chance.sample(FILTERS, len(FILTERS))
        script.filters = [(entity, await understand(client, entity, where)) for entity, where in filters]
        made = [script.decide(own_acts.make_envelope(command)) for command in script.make_lists()]
        waiting = [*made, *script.run(COMMANDS, own_acts.make_envelope)]
        checked = 0
        while waiting:
            count = chance.randrange(1, 12)
            await own_acts.append(*waiting[:count])
            del waiting[:count]
            own_kit.writer._batch_max = chance.randrange(1, 60)
            await own_kit.drain()
            checked += await check_members(own_acts, client, script)
    assert checked > 250
    assert await own_acts.fetch("SELECT count(*) FROM dead_letters WHERE workspace_id = $1") == [(0,)]
    [(events, first, last)] = await own_acts.fetch(
        "SELECT count(*), min(sequence), max(sequence) FROM events WHERE workspace_id = $1"
    )
    assert (first, last) == (1, events)
    size = chance.choice((1, 3, 500))
    report = await replay_check(own_kit.url, msgspec.structs.replace(SETTINGS, batch_commands_max=size))
    assert report.differences == [], f"in batches of {size}"
