"""Spreading the tables over nodes: what is run, that it covers the schema, and that the schema allows it.

Citus itself is not here: of its functions these tests know the names and the parameters.
"""

import json

import pytest

from kith.errors import StartError
from kith.store.distribution import DISTRIBUTED, FUNCTIONS, LOCAL, REFERENCE, distribute, make_statements
from tests.postgres import Cluster, connect
from tests.serving import run_kith

TABLES = """
SELECT relname::text AS name FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"""
WITHOUT_SHARD = """
SELECT indexrelid::regclass::text AS index, indrelid::regclass::text AS table FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid AND c.relnamespace = 'public'::regnamespace
WHERE i.indisunique AND NOT EXISTS (
  SELECT FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attname = 'shard' AND a.attnum = ANY (i.indkey))"""
WITH_SHARD = """
SELECT relname::text AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
  AND attname = 'shard' AND atttypid = 'smallint'::regtype AND attnotnull"""
# A distributed table may refer to a reference table or to one beside it by the shard; these are all references.
REFERENCES = """
SELECT conrelid::regclass::text AS one, confrelid::regclass::text AS other FROM pg_constraint
WHERE contype = 'f' AND connamespace = 'public'::regnamespace"""
# With the parameters that Citus documents; each call is written down.
STAND_INS = """
CREATE TABLE called (n int GENERATED ALWAYS AS IDENTITY, name text, kind text, beside text, shards int);
CREATE FUNCTION create_reference_table(table_name regclass) RETURNS void LANGUAGE sql AS
  $$ INSERT INTO called (name, kind) VALUES (table_name::text, 'reference') $$;
CREATE FUNCTION create_distributed_table(table_name regclass, distribution_column text,
  distribution_type text DEFAULT 'hash', colocate_with text DEFAULT 'default', shard_count int DEFAULT NULL)
  RETURNS void LANGUAGE sql AS
  $$ INSERT INTO called (name, kind, beside, shards)
     VALUES (table_name::text, distribution_column, colocate_with, shard_count) $$;
CREATE FUNCTION create_distributed_function(name regprocedure) RETURNS void LANGUAGE sql AS
  $$ INSERT INTO called (name, kind) VALUES (name::text, 'function') $$;
"""


async def test_each_table_is_spread_copied_or_left_on_the_coordinator(each_postgres: Cluster) -> None:
    async with connect(await each_postgres.make_database()) as connection:
        tables = {row["name"] for row in await connection.fetch(TABLES)}
        assert len([*DISTRIBUTED, *REFERENCE, *LOCAL]) == len({*DISTRIBUTED, *REFERENCE, *LOCAL})
        assert tables == {*DISTRIBUTED, *REFERENCE, *LOCAL}
        assert set(DISTRIBUTED) <= {row["name"] for row in await connection.fetch(WITH_SHARD)}


async def test_every_unique_index_of_a_table_that_is_spread_has_the_shard(each_postgres: Cluster) -> None:
    async with connect(await each_postgres.make_database()) as connection:
        lacking = [row["index"] for row in await connection.fetch(WITHOUT_SHARD) if row["table"] in DISTRIBUTED]
        assert lacking == []


async def test_tables_refer_only_to_tables_that_are_on_every_node_before_them(each_postgres: Cluster) -> None:
    async with connect(await each_postgres.make_database()) as connection:
        references = [(row["one"], row["other"]) for row in await connection.fetch(REFERENCES)]
        order = [*REFERENCE, *DISTRIBUTED]
        assert [pair for pair in references if pair[1] not in REFERENCE] == []
        assert [pair for pair in references if order.index(pair[1]) > order.index(pair[0])] == []


async def test_the_statements_are_run_in_order_and_name_what_is_there(each_postgres: Cluster) -> None:
    async with connect(await each_postgres.make_database()) as connection:
        await connection.execute(STAND_INS)
        for statement in make_statements(16):
            await connection.execute(statement)
        called = [tuple(row)[1:] for row in await connection.fetch("SELECT * FROM called ORDER BY n")]
        kinds = [kind for _, kind, *_ in called]
        functions, tables = called[: len(FUNCTIONS)], called[len(FUNCTIONS) :]
        assert kinds[: len(functions)] == ["function"] * len(functions)
        assert tables[:3] == [(table, "reference", None, None) for table in REFERENCE]
        assert tables[3] == ("counters", "shard", "default", 64)
        assert tables[4:] == [(table, "shard", "counters", None) for table in DISTRIBUTED[1:]]


def test_what_is_done_already_is_left_out_when_it_is_run_again() -> None:
    statements = make_statements(4, ["workspaces", "counters", "contacts"])
    assert [one for one in statements if "'workspaces'" in one or "('counters'" in one or "('contacts'" in one] == []
    assert len(statements) == len(make_statements(4)) - 3


async def test_without_citus_it_is_refused_in_one_line_that_names_the_way_out(database_url: str) -> None:
    async with connect(database_url) as connection:
        with pytest.raises(StartError, match=r"has no Citus.*CREATE EXTENSION citus.*or stay with one PostgreSQL"):
            await distribute(connection, 16, print)
    refused = run_kith("cluster", "distribute", database_url=database_url)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    shown = json.loads(run_kith("cluster", "distribute", "--show", "--json", database_url=database_url).stdout)
    assert shown == make_statements(4)
