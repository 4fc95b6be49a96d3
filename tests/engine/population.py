"""A small workspace whose records have everything that two back ends might see differently."""
# ruff: noqa: RUF001 - letters that look like others are what this is about

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, get_args

import msgspec

from kith.cql.predicate import CountActivities, Row, make_row
from kith.engine.context.schema_cache import Vocabularies, make_vocabularies
from kith.engine.lists.dynamic_lists import get_value
from kith.ids import derive_id
from kith.model.activities import Activity
from kith.model.companies import Company, CompanyStatus
from kith.model.contacts import Contact, LifecycleStage, Module, Status
from kith.model.lists import List
from kith.model.properties import Option, Property, PropertyEntity, PropertyType, Schema, make_schema
from kith.model.records import CompanyLink, ListLink, TagLink
from kith.model.slots import FAMILIES, find_free_slot
from kith.model.tags import Tag, to_link
from kith.model.values import to_e164
from kith.model.workspaces import Workspace
from kith.store.database import Connection
from tests.engine.crowd import save

CONTACTS, COMPANIES, ACTIVITIES = 120, 60, 150
NOW = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)
ENTITIES: Sequence[PropertyEntity] = get_args(PropertyEntity)
TAG_KEYS = ("vip", "partner", "a-b", "1", "nobody")
LIST_NUMBERS = (1, 22, 3)

TEXTS = [
    *("Anna", "anna", "ANNA", "ann", "Anna ", "Hanna", "and", "null", "true", "12", "Golf", "2026-03-29", "%"),
    *("_", "a%", "a_", "100%", "\\", "a\\b", "\\%", '"', "'", "''", "O'Neil", "$1", "a,b", "a|b:c", "\n", " "),
    *("\t", "ß", "ẞ", "ss", "SS", "Łódź", "ŁÓDŹ", "İ", "i\u0307", "ı", "I", "i", "Σ", "ς", "σ", "ΑΣ", "ας"),
    *("ασ", "ΑΣ Β", "\u212a", "K", "k", "\u212b", "Å", "å", "A\u030a", "É", "é", "E\u0301", "e\u0301"),
    *("\u0301", "Ω", "ω", "\u2126", "Ǆ", "ǅ", "ǆ", "ﬁ", "𐐀", "𐐨", "🎉", "\ud7ff", "\ue000", "\uffff"),
    *("\U0010ffff", "a\U0010ffff", "\U0010ffffa", "x" * 255, "x" * 256, "X" * 257, "x" * 256 + "Y"),
    *("x" * 256 + "z", "x" * 255 + "İ", "İ" * 128, "é" * 256 + "A", "Straße", "STRASSE", "σίσυφος", "ΣΊΣΥΦΟΣ"),
    *("Zoë", "Zoe", "zoe", "Zoé", "Ålesund", "Aalesund", "Øst", "Ost", "œuf", "æ", "ae", "ﬀ", "ff", "ŉ", "ΐ"),
    *("\u03b9\u0308\u0301", "\u0345", "ᾳ", "α\u0345\u0301", "ǰ", "đ", "ð", "ł", "Ł", "\u0301\u0327"),
    *("q\u0323\u0307", "김민수", "민수", "\u1100\u1175\u11b7", "가", "각", "ᄀ", "王小明", "小明", "明小"),
    *("ガ", "カ", "ｶﾞ", "日本", "٣", "३", "①", "Ⅷ", "½", "Ꭰ", "ꭰ", "\x01", "a\x01ä", "a\x02", "ä\x01"),
    *("👩\u200d👩\u200d👧", "ﷺ", "ﷺ" * 100, "김" * 300, "ä" * 255 + "a", "x" * 250 + "ﷺ", "É" * 256 + "b"),
    *("🎉" * 300, "\U0010ffff" * 256, "\U0010ffff" * 257, "ab" * 500),
]
EXTREMES = [
    *("0", "1", "1.00", "-1", "3", "0.1", "0.2", "0.3", "0.30000000000000004", "1E+99", "-1E+99", "1E-99", "-1E-99"),
    *(
        str(2**63 - 1),
        str(2**63),
        str(-(2**63)),
        str(-(2**63) - 1),
        "12345678901234567890.5",
        "9" * 100,
        "0." + "3" * 99,
    ),
]
NUMBERS: list[Any] = [*map(Decimal, EXTREMES), 0, 1, 2, -3, 2**63, 10**99, -0.0, 0.1, 0.1 + 0.2, 1.0, 2.5, 1e22, 1e-7]
DAYS = [
    *("2026-03-27", "2026-03-28", "2026-03-29", "2026-03-30", "2026-10-24", "2026-10-25", "2026-10-26", "2026-03-08"),
    *("2026-11-01", "2026-01-01", "2025-12-31", "2024-02-29", "0001-01-01", "0001-01-02", "9999-12-30", "9999-12-31"),
]
INSTANTS = [
    *(f"{day}T{clock}Z" for day in DAYS for clock in ("00:00:00.000", "12:00:00.000", "23:59:59.999")),
    # Days of Berlin, Kathmandu and St. John's begin and end here, and clocks change.
    *("2026-03-28T23:00:00.000Z", "2026-03-29T00:59:59.999Z", "2026-03-29T01:00:00.000Z", "2026-03-29T21:59:59.999Z"),
    *("2026-03-29T22:00:00.000Z", "2026-10-24T22:00:00.000Z", "2026-10-25T01:00:00.000Z", "2026-10-25T23:00:00.000Z"),
    *("2026-03-28T18:14:59.999Z", "2026-03-28T18:15:00.000Z", "2026-03-08T03:30:00.000Z", "2026-03-08T05:30:00.000Z"),
    *("2026-11-01T02:30:00.000Z", "2026-11-01T04:30:00.000Z", "2026-03-29T11:59:59.999Z", "2026-03-29T12:00:00.001Z"),
]
# What looks like a day or a time to somebody, and is in neither of the forms in which they are kept.
NEARLY_TIMES = [
    *(
        "2023-02-29",
        "2026-13-01",
        "2026-00-10",
        "2026-3-1",
        "20260329",
        "2026-W13-7",
        "2026-088",
        "2026-03-29 ",
        "+2026-03-29",
    ),
    *("0000-01-01", "10000-01-01", "2026-03-29\n", "٢٠٢٦-٠٣-٢٩", "２０２６-０３-２９", "2026-03-2９", "2026-03-29 BC"),
    *("today", "now", "now-7d", "epoch", "infinity", "-infinity", "2026-03-29T12:00:00", "2026-03-29T12:00:00Z"),
    *("2026-03-29T12:00:00.000+00:00", "2026-03-29T12:00:00.0Z", "2026-03-29T12:00:00.123456Z", "2026-03-29T12:00Z"),
    *("2026-03-29T12:00:00,000Z", "2026-03-29 12:00:00.000Z", "2026-03-29t12:00:00.000z", "2026-03-29T24:00:00.000Z"),
    *("2026-03-29T23:59:60.000Z", "2026-02-30T12:00:00.000Z", "2026-03-29T12:60:00.000Z", "2026-03-29T12:00:00.000"),
    *("0000-01-01T00:00:00.000Z", "2026-03-29T1２:00:00.000Z", "2026-03-29T12:00:00.000Z ", "9999-12-32T00:00:00.000Z"),
]
OPTIONS = (
    "Golf",
    "golf",
    "Chess",
    "Größe L",
    "İstanbul",
    "ΣΑΣ",
    "a,b",
    "O'x",
    'quo"te',
    "back\\slash",
    "{x}",
    "%",
    "NULL",
)
OTHERS: list[Any] = [
    *(None, True, False, "", [], {}, {"Golf": 1}, {"a": ["Golf"]}, "Golf", "golf ", "true", "5", 5, 0),
    *(
        ["Golf"],
        ["", "Chess"],
        [""],
        [["Golf"]],
        [[]],
        ["Golf", 5, None, True],
        [None],
        [5],
        [{"Golf": 1}],
        ["unheard of"],
    ),
]
PHONES = [
    "+1 650 253 7777",
    "+16502537777",
    "0016502537777",
    "+44 (0)20 7946 0958 ext. 5",
    "+442079460958",
    "+999 12 34",
]
BY_TYPE: Mapping[PropertyType, Sequence[Any]] = {
    "NUMBER": NUMBERS,
    "CURRENCY": NUMBERS,
    "BOOLEAN": [True, False],
    "DATE": DAYS,
    "DATETIME": INSTANTS,
    "PHONE": [*PHONES, *TEXTS],
    "SELECT": OPTIONS,
    "MULTI_SELECT": [list(OPTIONS[:n]) for n in range(1, 5)] + [["Chess", "O'x"], ["NULL"], ['quo"te', "back\\slash"]],
}


def make_property(
    entity: PropertyEntity,
    number: int,
    key: str,
    type_: PropertyType,
    slot: str | None,
    options: Sequence[str] = OPTIONS,
) -> Property:
    selects = type_ in ("SELECT", "MULTI_SELECT")
    return Property(
        external_id=derive_id("prp", entity, key),
        number=1000 + number,
        entity=entity,
        key=key,
        label=key,
        type=type_,
        group="CUSTOM",
        description=None,
        is_required=False,
        options=tuple(Option(value=value, label=value) for value in options) if selects else (),
        status="ACTIVE",
        created_at=NOW,
        updated_at=NOW,
        version=1,
        is_indexed=slot is not None,
        slot=slot,
    )


def make_schemas() -> tuple[Schema, ...]:
    """Two properties of each type: one of contacts has a slot where that of companies has none, and the other way."""
    schemas = {entity: make_schema(entity, ()) for entity in ENTITIES}
    number = 0
    for type_ in get_args(PropertyType):
        for place in range(2):
            for n, entity in enumerate(ENTITIES):
                number += 1
                wanted = type_ in FAMILIES and place == n
                slot = find_free_slot(schemas[entity], type_) if wanted else None
                key = f"{type_.lower()}_{'ab'[place]}"
                schemas[entity] = schemas[entity].replace(make_property(entity, number, key, type_, slot))
    return tuple(schemas.values())


def make_properties(schema: Schema, chance: random.Random) -> dict[str, Any]:
    """Values of all kinds, some missing, some of another type, as they may have been before the definition."""
    found: dict[str, Any] = {}
    for one in schema.properties.values():
        pool: Sequence[Any] = BY_TYPE.get(one.type, TEXTS)
        kind = chance.random()
        if kind < 0.15:
            continue
        if kind < 0.3:
            pool = chance.choice((OTHERS, OTHERS, TEXTS, NUMBERS, NEARLY_TIMES, NEARLY_TIMES, DAYS, INSTANTS))
        found[one.key] = chance.choice(pool)
    return found


@dataclass(frozen=True)
class Population:
    """The records of a workspace, as the writer has them."""

    schemas: tuple[Schema, ...]
    tags: Sequence[Tag]
    lists: Sequence[List]
    companies: Sequence[Company]
    contacts: Sequence[Contact]
    activities: Sequence[Activity]

    @property
    def tag_ids(self) -> dict[str, int]:
        return {tag.key: tag.number or 0 for tag in self.tags}

    @property
    def list_ids(self) -> dict[str, int]:
        return {name: one.number or 0 for one in self.lists for name in (str(one.number), one.external_id)}

    def make_vocabularies(self, timezone: str) -> Vocabularies:
        return make_vocabularies(self.schemas, timezone)

    def make_rows(self, vocabularies: Vocabularies) -> dict[str, dict[int, Row]]:
        """By entity and number, what a predicate looks at."""
        contact, company = vocabularies.contact, vocabularies.company
        beyond = {one.number: one for one in self.companies}
        members: dict[int | None, list[Row]] = {}
        rows: dict[str, dict[int, Row]] = {"contact": {}, "company": {}}
        for one in self.contacts:
            related: list[Row] = []
            for link in one.companies:
                held = {"role": link.role, "isPrimary": link.is_primary}
                held |= {f"link.{key}": value for key, value in link.properties.items()}
                shown = company.fields.keys()
                related.append(
                    make_row(
                        contact.relations["company"],
                        {name: get_value(beyond[link.number], name) for name in shown} | held,
                    )
                )
                own = {name: get_value(one, name) for name in contact.fields}
                members.setdefault(link.number, []).append(make_row(company.relations["contact"], own | held))
            values = {name: get_value(one, name) for name in contact.fields}
            counting = self.count_activities(one)
            rows["contact"][one.number or 0] = make_row(contact, values, {"company": related}, counting)
        for other in self.companies:
            values = {name: get_value(other, name) for name in company.fields}
            related = members.get(other.number, [])
            rows["company"][other.number or 0] = make_row(company, values, {"contact": related})
        return rows

    @cached_property
    def _by_contact(self) -> dict[int | None, list[Activity]]:
        found: dict[int | None, list[Activity]] = {}
        for activity in self.activities:
            found.setdefault(activity.contact_number, []).append(activity)
        return found

    def count_activities(self, contact: Contact) -> CountActivities:
        own = self._by_contact.get(contact.number, [])

        def count(types: tuple[str, ...], module: str | None, since: datetime | None, before: datetime | None) -> int:
            return sum(
                (not types or one.type in types)
                and (module is None or one.module == module)
                and (since is None or one.occurred_at >= since)
                and (before is None or one.occurred_at < before)
                for one in own
            )

        return count

    async def save(self, connection: Connection, workspace: Workspace) -> None:
        """As the writer does it."""
        schemas = {schema.external_id: schema for schema in self.schemas}
        defined = [one for schema in self.schemas for one in schema.properties.values()]
        records = [*defined, *self.tags, *self.lists, *self.companies, *self.contacts, *self.activities]
        await save(connection, workspace, records, lambda _, entity: schemas[entity])


class _Maker:
    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.schemas = make_schemas()
        self.tags = [self.make_tag(number, key) for number, key in enumerate(TAG_KEYS, 1)]
        self.lists = [self.make_list(number) for number in LIST_NUMBERS]

    def make(self) -> Population:
        companies = [self.make_company(number) for number in range(1, COMPANIES + 1)]
        plain = [self.make_contact(number) for number in range(1, CONTACTS + 1)]
        activities = [self.make_activity(number, self.chance.choice(plain[:60])) for number in range(1, ACTIVITIES + 1)]
        counts = Counter(one.contact_number for one in activities)
        contacts = [
            msgspec.structs.replace(one, companies=self.link(companies), activity_count=counts[one.number])
            for one in plain
        ]
        members = Counter(link.number for one in contacts if one.live for link in one.companies)
        companies = [msgspec.structs.replace(one, contact_count=members[one.number]) for one in companies]
        return Population(self.schemas, self.tags, self.lists, companies, contacts, activities)

    def pick(self, *pool: Any) -> Any:
        return self.chance.choice(pool)

    def pick_text(self) -> str | None:
        """What a field of texts takes: not an empty one, and no space around it."""
        return (self.pick(*TEXTS).strip() or None) if self.chance.random() < 0.75 else None

    def pick_time(self) -> datetime:
        return datetime.fromisoformat(self.pick(*INSTANTS))

    def pick_tags(self) -> tuple[TagLink, ...]:
        chosen = self.chance.sample(self.tags[:-1], self.pick(0, 0, 1, 2))
        return tuple(to_link(tag) for tag in sorted(chosen, key=lambda tag: tag.number or 0))

    def pick_lists(self, entity: str) -> tuple[ListLink, ...]:
        some = [one for one in self.lists if one.entity == entity]
        chosen = self.chance.sample(some, self.chance.randrange(len(some) + 1))
        return tuple(ListLink(external_id=one.external_id, number=one.number) for one in chosen)

    def make_tag(self, number: int, key: str) -> Tag:
        return Tag(
            external_id=f"tag_{number}",
            number=number,
            key=key,
            name=key,
            description=None,
            color=None,
            contact_count=0,
            created_at=NOW,
            updated_at=NOW,
            version=1,
        )

    def make_list(self, number: int) -> List:
        return List(
            external_id=f"lst_{number}",
            number=number,
            name=f"List {number}",
            description=None,
            entity_type="COMPANY" if number == 3 else "CONTACT",
            is_dynamic=False,
            filter_criteria=None,
            member_count=0,
            evaluated_at=None,
            created_at=NOW,
            updated_at=NOW,
            version=1,
        )

    def make_company(self, number: int) -> Company:
        phone = self.pick(self.pick_text(), *PHONES)
        return Company(
            external_id=f"cmp_{number}",
            number=number,
            name=self.pick_text(),
            domain=self.pick(None, f"{self.pick('acme', 'a_b', 'xn--zca')}{number}.com"),
            industry=self.pick_text(),
            size=self.pick_text(),
            plan=self.pick_text(),
            spend=self.pick(None, *(one for one in NUMBERS if not isinstance(one, float))),
            website=self.pick_text(),
            phone=phone,
            phone_e164=to_e164(phone or ""),
            status=self.pick("ACTIVE", "ACTIVE", "ACTIVE", *get_args(CompanyStatus)),
            properties=make_properties(self.schemas[1], self.chance),
            contact_count=0,
            created_at=self.pick_time(),
            updated_at=self.pick_time(),
            version=self.pick(1, 2, 3),
            tags=self.pick_tags(),
            lists=self.pick_lists("company"),
        )

    def make_contact(self, number: int) -> Contact:
        start = self.pick("anna", "a%b", "a_b", "o'neil", "ß", "σ", "ı", "x" * 40)
        phone = self.pick(self.pick_text(), *PHONES)
        return Contact(
            external_id=f"ctc_{number}",
            number=number,
            email=self.pick(None, f"{start}.{number}@example.com", f"{start}+{number}@größe.de"),
            name=self.pick_text(),
            given_name=self.pick_text(),
            family_name=self.pick_text(),
            phone=phone,
            phone_e164=to_e164(phone or ""),
            avatar=self.pick_text(),
            status=self.pick("ACTIVE", "ACTIVE", "ACTIVE", *get_args(Status)),
            lifecycle_stage=self.pick(*get_args(LifecycleStage)),
            modules=tuple(self.chance.sample(get_args(Module), self.pick(0, 1, 2))),
            properties=make_properties(self.schemas[0], self.chance),
            activity_count=0,
            last_activity_at=self.pick(None, self.pick_time()),
            created_at=self.pick_time(),
            updated_at=self.pick_time(),
            version=self.pick(1, 2, 3),
            tags=self.pick_tags(),
            lists=self.pick_lists("contact"),
        )

    def make_activity(self, number: int, contact: Contact) -> Activity:
        at = self.pick(self.pick_time(), NOW + timedelta(hours=self.chance.randrange(-200, 200)))
        return Activity(
            external_id=f"act_{number}",
            number=number,
            contact_id=contact.external_id,
            contact_number=contact.number,
            type=self.pick("NOTE", "CALL", "MEETING", "EMAIL"),
            module=self.pick("CRM", "SUPPORT"),
            content=None,
            properties={},
            occurred_at=at,
            created_at=at,
        )

    def link(self, companies: Sequence[Company]) -> tuple[CompanyLink, ...]:
        """Up to three companies, each with what the association itself holds."""
        return tuple(
            CompanyLink(
                external_id=company.external_id,
                number=company.number,
                name=company.name,
                domain=company.domain,
                live=company.live,
                role=self.pick_text(),
                is_primary=n == 0 and self.pick(True, False),
                properties=make_properties(self.schemas[2], self.chance),
            )
            for n, company in enumerate(self.chance.sample(companies, self.pick(0, 1, 1, 2, 3)))
        )


def make_population(seed: int) -> Population:
    return _Maker(seed).make()
