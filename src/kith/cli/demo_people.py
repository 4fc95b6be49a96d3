"""Believable people, companies and what happened with them, as commands; the same for the same seed."""

import random
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from faker import Faker

from kith.clock import to_milliseconds
from kith.ids import derive_id
from kith.model.activities import ActivityType
from kith.model.actors import Actor
from kith.model.commands import (
    AssignTag,
    AssociateCompany,
    Command,
    CreateCompany,
    CreateContact,
    CreateList,
    CreateProperty,
    CreateTag,
    Envelope,
    LogActivity,
)
from kith.model.companies import CompanyInput, make_company_changes
from kith.model.contacts import ContactInput, LifecycleStage, make_contact_changes
from kith.model.properties import PropertyType

LOCALES = ("en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "pl_PL", "sv_SE", "tr_TR", "ja_JP")
T = TypeVar("T")
POOL = 400  # names of each locale
CONTACTS_FOR_COMPANY = 12
STAGES: Mapping[LifecycleStage, int] = {
    "SUBSCRIBER": 30,
    "LEAD": 35,
    "MARKETING_QUALIFIED": 10,
    "SALES_QUALIFIED": 7,
    "OPPORTUNITY": 5,
    "CUSTOMER": 12,
    "EVANGELIST": 1,
}
PLANS: Mapping[str, int] = {"Free": 50, "Starter": 28, "Growth": 15, "Enterprise": 7}
INDUSTRIES = ("SaaS", "Retail", "Manufacturing", "Health", "Finance", "Education", "Media", "Logistics", "Energy")
SIZES = ("1-10", "11-50", "51-200", "201-1000", "1000+")
ROLES = ("Decision Maker", "Engineer", "Buyer", "Champion", "Finance", "Founder", None)
DOMAINS = ("post.example", "mail.example", "inbox.example", "letters.example")
KINDS: Mapping[ActivityType, int] = {"NOTE": 40, "CALL": 25, "EMAIL": 20, "MEETING": 10, "TASK": 5}
TAGS = ("VIP", "Newsletter", "Beta", "Partner", "Churn risk")
PROPERTIES: Mapping[str, PropertyType] = {"demo_plan": "SELECT", "demo_mrr": "CURRENCY"}
LISTS: Mapping[str, Sequence[tuple[str, str, Any]]] = {
    "Customers on Enterprise": [("lifecycleStage", "eq", "CUSTOMER"), ("properties.demo_plan", "eq", "Enterprise")],
    "Leads worth a call": [("lifecycleStage", "eq", "LEAD"), ("properties.demo_mrr", "gt", 500)],
}


class Crowd:
    """``contacts`` people, the companies that they work at, and a few years of what happened with them."""

    def __init__(self, seed: int, contacts: int, workspace_id: int, now: datetime) -> None:
        self._seed = seed
        self._contacts = contacts
        self._workspace_id = workspace_id
        self._tags = [self._name_shared("tag", name) for name in TAGS]
        self._now = now
        self._chance = random.Random(seed)  # noqa: S311 - no secret
        faker = Faker(LOCALES)
        faker.seed_instance(seed)
        self._given = [faker[one].first_name() for one in LOCALES for _ in range(POOL)]
        self._family = [faker[one].last_name() for one in LOCALES for _ in range(POOL)]
        self._words = [faker["en_US"].sentence(nb_words=9) for _ in range(POOL * 5)]
        self._firms = [faker[one].company() for one in LOCALES for _ in range(POOL)]

    def list_envelopes(self) -> Iterator[Envelope]:
        """Every command by itself, in an order in which each names only what is there."""
        for n, command in enumerate(self._list_frame()):
            yield self._wrap(f"frame {self._now}", n, command)
        companies = max(1, self._contacts // CONTACTS_FOR_COMPANY)
        for n in range(companies):
            yield self._wrap("company", n, self._make_company(n))
        for n in range(self._contacts):
            yield from self._list_of_contact(n, companies)

    def _list_frame(self) -> Iterator[Command]:
        """What all runs share: where it is there already, these are rejected, and nothing changes."""
        for key, kind in PROPERTIES.items():
            options = [{"value": plan, "label": plan, "archived": False} for plan in PLANS] if kind == "SELECT" else []
            yield CreateProperty(
                property_id=self._name_shared("prp", key),
                entity="CONTACT",
                key=key,
                property_type=kind,
                label=key.removeprefix("demo_").capitalize(),
                options=options,
            )
        for name, tag_id in zip(TAGS, self._tags, strict=True):
            yield CreateTag(tag_id=tag_id, key="demo-" + name.lower().replace(" ", "-"), name=name)
        for name, terms in LISTS.items():
            conditions = [{"field": field, "operator": operator, "value": value} for field, operator, value in terms]
            signs = {"eq": "=", "gt": ">"}
            yield CreateList(
                list_id=self._name_shared("lst", name),
                name=name,
                entity_type="CONTACT",
                is_dynamic=True,
                filter_criteria={"logic": "AND", "conditions": conditions},
                filter=" AND ".join(f"{field} {signs[operator]} {value}" for field, operator, value in terms),
            )

    def _list_of_contact(self, n: int, companies: int) -> Iterator[Envelope]:
        chance = self._chance
        contact_id = self._name("ctc", n)
        # A few companies have many people, most have few.
        firm = int(companies * chance.random() ** 1.7) if chance.random() < 0.7 else None
        yield self._wrap("contact", n, self._make_contact(n, contact_id, firm))
        if firm is not None:
            role = chance.choice(ROLES)
            link = AssociateCompany(
                contact_id=contact_id, company_id=self._name("cmp", firm), role=role, is_primary=True
            )
            yield self._wrap("association", n, link)
        for place, tag_id in enumerate(self._tags):
            if chance.random() < 0.12:
                yield self._wrap(f"tag {place}", n, AssignTag(entity="contact", record_id=contact_id, tag_id=tag_id))
        for place in range(int(chance.expovariate(0.7))):
            yield self._wrap(f"activity {place}", n, self._make_activity(f"{n} {place}", contact_id))

    def _make_contact(self, n: int, contact_id: str, firm: int | None) -> CreateContact:
        chance = self._chance
        given, family = chance.choice(self._given), chance.choice(self._family)
        domain = self._find_domain(firm) if firm is not None else chance.choice(DOMAINS)
        stage: LifecycleStage = pick(chance, STAGES)
        fields = ContactInput(
            email=f"{to_ascii(given)}.{to_ascii(family)}.{self._seed}-{n}@{domain}",
            given_name=given,
            family_name=family,
            phone=f"+1202555{chance.randrange(10_000):04d}" if chance.random() < 0.6 else None,
            lifecycle_stage=stage,
            properties={"demo_plan": pick(chance, PLANS), "demo_mrr": round(chance.lognormvariate(5, 1.4), 2)},
        )
        changes = {name: value for name, value in make_contact_changes(fields).items() if value is not None}
        return CreateContact(contact_id=contact_id, **changes)

    def _make_company(self, n: int) -> CreateCompany:
        chance = self._chance
        domain = self._find_domain(n)
        fields = CompanyInput(
            name=self._firms[n % len(self._firms)],
            domain=domain,
            industry=chance.choice(INDUSTRIES),
            size=chance.choice(SIZES),
            plan=pick(chance, PLANS),
            website=f"https://{domain}",
        )
        changes = {name: value for name, value in make_company_changes(fields).items() if value is not None}
        return CreateCompany(company_id=self._name("cmp", n), **changes)

    def _make_activity(self, number: str, contact_id: str) -> LogActivity:
        chance = self._chance
        kind = pick(chance, KINDS)
        properties: dict[str, Any] = {"duration": f"{chance.randrange(2, 60)}m"} if kind in ("CALL", "MEETING") else {}
        return LogActivity(
            contact_id=contact_id,
            activity_id=self._name("act", number),
            activity_type=kind,
            content=" ".join(chance.sample(self._words, chance.randrange(1, 4))),
            properties=properties,
            occurred_at=to_milliseconds(self._now - timedelta(minutes=chance.randrange(2 * 365 * 24 * 60))),
        )

    def _find_domain(self, firm: int) -> str:
        words = "".join(to_ascii(part) for part in self._firms[firm % len(self._firms)].split()[:2])
        return f"{words or 'firm'}-{self._seed}-{firm}.example"

    def _wrap(self, what: str, n: int, command: Command) -> Envelope:
        return Envelope(
            operation_id=derive_id("op", "demo", str(self._workspace_id), str(self._seed), what, str(n)),
            workspace_id=self._workspace_id,
            at=self._now,
            key_id=0,
            actor=Actor("system", name="kith demo"),
            command=command,
        )

    def _name_shared(self, prefix: Any, name: str) -> str:
        return derive_id(prefix, "demo", str(self._workspace_id), name)

    def _name(self, prefix: Any, number: int | str) -> str:
        return derive_id(prefix, "demo", str(self._workspace_id), str(self._seed), str(number))


def pick(chance: random.Random, weights: Mapping[T, int]) -> T:
    choices: Sequence[T] = list(weights)
    return chance.choices(choices, list(weights.values()))[0]


def to_ascii(text: str) -> str:
    """Lower-case letters and digits only; a name in another alphabet is none, so it gets one."""
    plain = unicodedata.normalize("NFKD", text.replace("ł", "l").replace("\u0131", "i").replace("ß", "ss"))
    kept = "".join(one for one in plain.lower() if one.isascii() and one.isalnum())
    return kept or "person"
