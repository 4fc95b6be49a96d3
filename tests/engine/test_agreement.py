"""SQL and the predicate agree: on who fits a filter, on the order of rows, on pages and on totals."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, cast, get_args

import asyncpg
import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from kith.cql.ast import EVERYTHING, Comparison, Condition, Query, Sort
from kith.cql.compile import GUARD, Source, compile_count, compile_page, make_source
from kith.cql.conditions import Context, Values, write_condition
from kith.cql.entity_schema import COMPANY, CONTACT, Field
from kith.cql.literals import read_value
from kith.cql.predicate import Row, compile_predicate, make_sort_key
from kith.cql.vocabulary import EntityName, Vocabulary
from kith.engine.context.schema_cache import Vocabularies
from kith.engine.read.query import find_last
from kith.model.workspaces import Workspace
from kith.store.database import make_server_settings
from tests.engine.population import (
    DAYS,
    EXTREMES,
    INSTANTS,
    LIST_NUMBERS,
    NOW,
    PHONES,
    TAG_KEYS,
    TEXTS,
    Population,
    make_population,
)
from tests.kit import SETTINGS, open_kit
from tests.postgres import Cluster, connect
from tests.unit.cql_trees import make_trees, make_values, moments

CI = os.environ.get("HYPOTHESIS_PROFILE") == "ci"
ZONES = ("Europe/Berlin", "Asia/Kathmandu", "America/St_Johns")
ENTITIES = {"contact": CONTACT, "company": COMPANY}
ONE: Sequence[EntityName] = get_args(EntityName)
Place = tuple[EntityName, int]
often = settings(max_examples=600 if CI else 50)
seldom = settings(max_examples=100 if CI else 25)


@dataclass(frozen=True)
class Held:
    """A population in its workspace, and what is made of it for each time zone."""

    population: Population
    workspace: Workspace
    vocabularies: Mapping[str, Vocabularies]
    rows: Mapping[str, Mapping[str, Mapping[int, Row]]]
    are_rare: bool

    def make_sources(self, entities: Sequence[EntityName], zone: str) -> list[Source]:
        return [make_source(ENTITIES[one], self.vocabularies[zone].pick((one,))) for one in entities]

    def make_context(self, vocabulary: Vocabulary) -> Context:
        """Of the first population all tags and lists are rare, of the second none is."""
        tags, lists = self.population.tag_ids, self.population.list_ids
        some = {("tags", one) for one in tags.values()} | {("lists", one) for one in lists.values()}
        rare = frozenset(some) if self.are_rare else frozenset()
        return Context(now=NOW, zone=vocabulary.zone, tags=tags, lists=lists, rare=rare)

    def list_fitting(self, tree: Condition, entity: EntityName, zone: str) -> list[int]:
        """The ids of those that the predicate takes."""
        predicate = compile_predicate(tree, self.vocabularies[zone].pick((entity,)), NOW)
        return [number for number, row in self.rows[zone][entity].items() if predicate(row)]

    def sort(self, fitting: Mapping[EntityName, Sequence[int]], sorts: Sequence[Sort], zone: str) -> list[Place]:
        """The rows of one or several entities in the order of the predicate's keys, then of entities."""
        make_key = make_sort_key(sorts, self.vocabularies[zone].pick(tuple(fitting)).phones)
        found = [(entity, number) for entity, some in fitting.items() for number in some]
        found.sort(key=lambda place: place[0], reverse=sorts[-1].descending)
        return sorted(found, key=lambda place: make_key(self.rows[zone][place[0]][place[1]]))


class World:
    """Populations in one shard, and a connection of the role that runs queries."""

    def __init__(self, held: Sequence[Held], connection: asyncpg.Connection) -> None:
        self.held = held
        self.connection = connection

    async def find(self, held: Held, tree: Condition, entity: EntityName, zone: str) -> list[int]:
        """The ids of those that SQL takes."""
        [source] = held.make_sources((entity,), zone)
        values = Values(held.workspace.shard, held.workspace.id)
        context = held.make_context(held.vocabularies[zone].contact)
        condition = write_condition(tree, source.scope, values, context)
        sql = f"SELECT c.id FROM {source.entity.source} WHERE {GUARD} AND {condition} ORDER BY c.id"
        return [row["id"] for row in await self.connection.fetch(sql, *values.values)]

    async def read_page(self, held: Held, query: Query, zone: str) -> tuple[list[Place], Query | None]:
        """(its rows, the query behind the last of them where more follow)."""
        entities = cast(Sequence[EntityName], query.entities)
        workspace, context = held.workspace, held.make_context(held.vocabularies[zone].contact)
        sources = held.make_sources(entities, zone)
        statement = compile_page(sources, query, workspace.shard, workspace.id, context)
        row = await self.connection.fetchrow(statement.sql, *statement.values)
        assert row is not None
        places = list(zip(row["entities"] or (), row["ids"] or (), strict=True))
        after = find_last(row) if row["more"] else None
        return places, msgspec.structs.replace(query, after=after, offset=0) if after is not None else None


@pytest.fixture(scope="module")
async def world(postgres: Cluster) -> AsyncIterator[World]:
    url = await postgres.make_database()
    async with open_kit(url) as kit:
        workspaces = await kit.make_neighbours()
    held = []
    async with connect(url) as connection:
        for seed, workspace in enumerate(workspaces):
            population = make_population(seed)
            await population.save(connection, workspace)
            vocabularies = {zone: population.make_vocabularies(zone) for zone in ZONES}
            rows = {zone: population.make_rows(of) for zone, of in vocabularies.items()}
            held.append(Held(population, workspace, vocabularies, rows, seed == 0))
        await connection.execute("ANALYZE")
    queries = await asyncpg.connect(url, server_settings=make_server_settings("query", SETTINGS))
    yield World(held, queries)
    await queries.close()


def cut(text: str, start: int, length: int, swapped: bool) -> str:
    return (text.swapcase() if swapped else text)[start : start + length]


texts = st.one_of(
    st.sampled_from(TEXTS + PHONES),
    st.builds(cut, st.sampled_from(TEXTS + PHONES), st.integers(0, 3), st.integers(1, 300), st.booleans()),
)
times = st.one_of(
    st.sampled_from([date.fromisoformat(day) for day in DAYS]),
    st.sampled_from([datetime.fromisoformat(instant) for instant in INSTANTS]),
    moments,
)
tags = st.sampled_from([*TAG_KEYS, "unheard"])
lists = st.sampled_from([form for number in (*LIST_NUMBERS, 7) for form in (str(number), f"lst_{number}")])


def find_values(field: Field, vocabulary: Vocabulary) -> st.SearchStrategy[Any]:
    """Values like those that records have."""
    if field.options:
        return st.sampled_from(field.options)
    match field.kind:
        case "TEXT" | "EMAIL":
            return texts
        case "NUMBER":
            near = st.sampled_from(EXTREMES).map(Decimal) | st.integers(-3, 130).map(Decimal)
            return near.map(lambda number: read_value(field, number, vocabulary.zone))
        case "DATE" | "DATETIME":
            return times
        case "SET":
            return tags if field.name == "tags" else lists
    return make_values(field, vocabulary)


@cache
def find_trees(entity: EntityName) -> st.SearchStrategy[Condition]:
    return make_trees(make_population(0).make_vocabularies("UTC").pick((entity,)), find_values)


def find_sorts(entities: tuple[EntityName, ...]) -> st.SearchStrategy[tuple[Sort, ...]]:
    vocabulary = make_population(0).make_vocabularies("UTC").pick(entities)
    names = [field.name for field in vocabulary.fields.values() if field.sortable]
    sorts = st.builds(Sort, st.sampled_from(names), st.booleans())
    return st.lists(sorts, min_size=1, max_size=3, unique_by=lambda sort: sort.field).map(tuple)


one_entity = st.sampled_from(ONE)
zones = st.sampled_from(ZONES)
filters = one_entity.flatmap(lambda entity: st.tuples(st.just(entity), find_trees(entity)))


@pytest.mark.timeout(600)
@often
@given(filters, zones)
async def test_sql_and_predicate_find_the_same(world: World, asked: tuple[EntityName, Condition], zone: str) -> None:
    entity, tree = asked
    for held in world.held:
        assert await world.find(held, tree, entity, zone) == held.list_fitting(tree, entity, zone)


@seldom
@given(filters, zones)
async def test_totals_are_exact(world: World, asked: tuple[EntityName, Condition], zone: str) -> None:
    entity, tree = asked
    for held in world.held:
        [source] = held.make_sources((entity,), zone)
        workspace, context = held.workspace, held.make_context(held.vocabularies[zone].contact)
        for exact in (True, False):
            counting = compile_count(source, tree, workspace.shard, workspace.id, context, exact=exact)
            total = await world.connection.fetchval(counting.sql, *counting.values)
            assert total == len(held.list_fitting(tree, entity, zone))


groups: st.SearchStrategy[tuple[EntityName, ...]] = st.sampled_from(
    [("contact",), ("company",), ("contact", "company")]
)
orders = groups.flatmap(lambda entities: st.tuples(st.just(entities), find_sorts(entities)))


@pytest.mark.timeout(600)
@seldom
@given(orders, zones, st.integers(20, 60), st.booleans())
async def test_all_pages_together_are_the_whole_in_the_order_of_the_predicate(
    world: World, order: tuple[tuple[EntityName, ...], tuple[Sort, ...]], zone: str, limit: int, live: bool
) -> None:
    entities, sorts = order
    where = Comparison("status", "in", ("ACTIVE", "ARCHIVED")) if live else EVERYTHING
    for held in world.held:
        fitting = {entity: held.list_fitting(where, entity, zone) for entity in entities}
        expected = held.sort(fitting, sorts, zone)
        query = Query(entities=entities, where=where, sort=sorts, limit=limit)
        whole, following = await world.read_page(held, msgspec.structs.replace(query, limit=1000), zone)
        assert (whole, following) == (expected, None)
        by_cursor: list[Place] = []
        following = query
        while following is not None:
            places, following = await world.read_page(held, following, zone)
            by_cursor += places
        assert by_cursor == expected
        by_number: list[Place] = []
        for offset in range(0, len(expected) + limit, limit):
            places, _ = await world.read_page(held, msgspec.structs.replace(query, offset=offset), zone)
            by_number += places
        assert by_number == expected
