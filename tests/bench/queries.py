"""Queries of the language: how long one takes to be understood, and whether they stay as fast with many contacts."""

from collections.abc import Mapping
from datetime import UTC, datetime
from statistics import median
from time import perf_counter
from typing import Any

import msgspec

from kith.cql.ast import Query, Sort
from kith.cql.compile import compile_page, make_source
from kith.cql.conditions import Context
from kith.cql.dependencies import add_default_status
from kith.cql.entity_schema import CONTACT
from kith.cql.parser import parse
from kith.cql.resolve import resolve
from kith.engine.context.schema_cache import make_vocabularies
from kith.model.lists import List
from kith.model.properties import Property, Schema, make_schema
from kith.model.records import ListLink, TagLink
from kith.model.tags import Tag
from tests.bench.client import Result
from tests.bench.figures import Figure
from tests.bench.installation import Installation

ROUNDS = 5
TURNS = 2000
SINCE = datetime(2024, 1, 1, tzinfo=UTC)
FIVE = (
    "status = ACTIVE AND email contains '@example.com' AND lifecycleStage in (LEAD, CUSTOMER)"
    " AND createdAt > 2024-01-01 AND mrr >= 4999"
)
# What is measured: filter, search and sort. Each has more rows than a page at either size, but for the most selective.
QUERIES: Mapping[str, Mapping[str, Any]] = {
    "equality on a property": {"filter": "mrr = 4999", "sort": "createdAt:desc"},
    "range on a property": {"filter": "mrr between 4000 and 4100", "sort": "mrr:asc"},
    "beginning of a property": {"filter": "plan starts with enter", "sort": "plan:asc"},
    "sort by a property": {"filter": "", "sort": "mrr:desc"},
    "tag": {"filter": "tags has any (bench)", "sort": "createdAt:desc"},
    "list": {"filter": "lists has any (1)", "sort": "createdAt:desc"},
    "search with one word": {"search": "smith", "sort": "createdAt:desc"},
    "two fields": {"filter": "email starts with ma AND lifecycleStage = LEAD", "sort": "email:asc"},
    "three conditions, one selective": {
        "filter": "lifecycleStage = LEAD AND mrr between 4000 and 4010 AND plan = Free",
        "sort": "mrr:asc",
    },
}
SHAPES = list(QUERIES.values())


def make_query(shape: Mapping[str, str]) -> dict[str, Any]:
    """As POST /crm/query takes it; without its total."""
    return {"entity": "contact", "count": "none", **shape}


def make_property(number: int, key: str, slot: str) -> Property:
    return Property(
        external_id=f"prp_bench{number}",
        number=number,
        entity="CONTACT",
        key=key,
        label=key,
        type="NUMBER" if slot.startswith("number") else "TEXT",
        group="CUSTOM",
        description=None,
        is_required=False,
        options=(),
        status="ACTIVE",
        created_at=SINCE,
        updated_at=SINCE,
        version=1,
        is_indexed=True,
        slot=slot,
    )


MRR, PLAN = make_property(1000, "mrr", "number_1"), make_property(1001, "plan", "text_1")
TAG = Tag(
    external_id="tag_bench",
    number=1,
    key="bench",
    name="Bench",
    description=None,
    color=None,
    contact_count=0,
    created_at=SINCE,
    updated_at=SINCE,
    version=1,
)
LIST = List(
    external_id="lst_bench",
    number=1,
    name="Bench",
    description=None,
    entity_type="CONTACT",
    is_dynamic=False,
    filter_criteria=None,
    member_count=0,
    evaluated_at=None,
    created_at=SINCE,
    updated_at=SINCE,
    version=1,
)
TAGGED = (TagLink(external_id=TAG.external_id, number=1, key=TAG.key, name=TAG.name, color=None),)
LISTED = (ListLink(external_id=LIST.external_id, number=1),)


def find_schema(_: int, entity: str) -> Schema:
    """Two properties of contacts, each with a slot."""
    return make_schema(entity, (MRR, PLAN) if entity == "CONTACT" else ())


def bench_language() -> Figure:
    """Microseconds to parse, resolve and compile a filter of five conditions; with nothing kept from the last time."""
    schemas = [find_schema(1, entity) for entity in ("CONTACT", "COMPANY", "CONTACT_COMPANY")]
    vocabulary = make_vocabularies(schemas, "UTC").contact
    source = make_source(CONTACT, vocabulary)
    context = Context(now=SINCE, zone=vocabulary.zone)

    def understand() -> None:
        where = add_default_status(resolve(parse(FIVE), vocabulary))
        compile_page([source], Query(("contact",), where, (Sort("createdAt", True),), 20), 1, 1, context)

    times = []
    for _ in range(1 + ROUNDS):
        began_s = perf_counter()
        for _ in range(TURNS):
            understand()
        times.append((perf_counter() - began_s) / TURNS * 1e6)
    return Figure(
        name="a filter of five conditions, parsed, resolved and compiled",
        value=median(times[1:]),
        target=150,
        bound="most",
        unit="µs",
    )


def bench_queries(kiths: Mapping[int, Installation], seconds: float) -> list[Figure]:
    """Pages over HTTP at 1 connection with many contacts ÷ those with few, without totals, in turns."""
    few, *_, many = kiths
    figures = []
    for name, shape in QUERIES.items():
        body = make_query(shape)
        rounds: list[dict[int, Result]] = []
        for _ in range(1 + ROUNDS):
            rounds.append({size: kith.ask("/crm/query", body, seconds) for size, kith in kiths.items()})
            assert all(set(result.statuses) == {"200"} for result in rounds[-1].values()), rounds[-1]
        del rounds[0]
        figures.append(
            Figure(
                name=f"query, {name}: at {many:,} contacts ÷ at {few:,} (time)",
                value=median(one[many].typical_ms / one[few].typical_ms for one in rounds),
                target=1.5,
                bound="most",
                parts={f"ms each at {size:,}": median(one[size].typical_ms for one in rounds) for size in kiths},
            )
        )
    return figures


def link(contact: Any, n: int) -> Any:
    """Every fiftieth contact has the tag and is on the list."""
    return msgspec.structs.replace(contact, tags=TAGGED, lists=LISTED) if n % 50 == 0 else contact
