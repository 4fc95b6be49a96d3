"""The schema: made from nothing, made once, and never touched by a program that is older than it."""
# ruff: noqa: RUF001 - letters that look like others are what some of this is about

import asyncio
from datetime import UTC, datetime

import asyncpg
import msgspec
import pytest

from kith.errors import StartError
from kith.store.dead_letters import list_dead_letters
from kith.store.migrate import check_schema, load_migrations, migrate
from kith.store.queries import list_query_files, load_queries
from tests.postgres import Cluster, connect


async def test_an_empty_database_gets_every_migration_in_order(each_postgres: Cluster) -> None:
    url = await each_postgres.make_database(empty=True)
    applied = await migrate(url)
    assert [migration.version for migration in applied] == sorted(migration.version for migration in load_migrations())


async def test_migrating_again_changes_nothing(each_postgres: Cluster) -> None:
    url = await each_postgres.make_database()
    assert await migrate(url) == []


async def test_two_programs_that_migrate_at_once_do_it_once(each_postgres: Cluster) -> None:
    url = await each_postgres.make_database(empty=True)
    both = await asyncio.gather(migrate(url), migrate(url))
    assert sorted(len(applied) for applied in both) == [0, len(load_migrations())]


async def test_the_number_of_partitions_is_fixed_by_the_first_start(each_postgres: Cluster) -> None:
    url = await each_postgres.make_database(empty=True)
    await migrate(url, partitions=4)
    await migrate(url, partitions=32)
    async with connect(url) as connection:
        assert await connection.fetchval("SELECT partitions FROM installation") == 4
        assert await connection.fetchval("SELECT count(*) FROM cursors") == 4


async def test_a_newer_schema_than_the_program_is_left_alone(each_postgres: Cluster) -> None:
    url = await each_postgres.make_database()
    async with connect(url) as connection:
        await connection.execute(
            "INSERT INTO schema_migrations (version, name, applied_at) VALUES (9999, 'later', now())"
        )
        with pytest.raises(StartError, match="version 9999, this program knows"):
            await migrate(url)
        with pytest.raises(StartError, match="version 9999"):
            await check_schema(connection)


async def test_a_program_that_finds_no_schema_says_how_to_make_one(each_postgres: Cluster) -> None:
    url = await each_postgres.make_database(empty=True)
    async with connect(url) as connection:
        with pytest.raises(StartError, match="kith init"):
            await check_schema(connection)


async def migrate_before(connection: asyncpg.Connection, name: str) -> None:
    """A new database gets the migrations before that one."""
    migrations = load_migrations()
    await connection.execute(
        "CREATE TABLE schema_migrations (version int PRIMARY KEY, name text, applied_at timestamptz)"
    )
    for one in migrations[: [one.name for one in migrations].index(name)]:
        await connection.execute(one.sql)
        await connection.execute("INSERT INTO schema_migrations VALUES ($1, $2, now())", one.version, one.name)


LINKED = """
INSERT INTO contacts (shard, workspace_id, id, external_id, status, lifecycle_stage, modules, properties,
  activity_count, created_at, updated_at, version, words)
VALUES (0, 1, 7, 'ctc_7', 'ACTIVE', 'LEAD', '{}', '{}', 0, '2026-01-02', '2026-01-03', 1, '');
INSERT INTO companies (shard, workspace_id, id, external_id, status, properties, contact_count, created_at, updated_at,
  version, words)
VALUES (0, 1, 7, 'com_7', 'ACTIVE', '{}', 0, '2026-02-02', '2026-02-03', 1, '');
INSERT INTO taggings (shard, workspace_id, entity, record_id, tag_id)
VALUES (0, 1, 'contact', 7, 1), (0, 1, 'company', 7, 1);
INSERT INTO list_members (shard, workspace_id, entity, record_id, list_id)
VALUES (0, 1, 'contact', 7, 1), (0, 1, 'company', 7, 2);
"""


async def test_links_of_before_they_were_ordered_get_the_time_of_their_records(each_postgres: Cluster) -> None:
    url = await each_postgres.make_database(empty=True)
    async with connect(url) as connection:
        await migrate_before(connection, "ordered_links")
        await connection.execute(LINKED)
        await migrate(url)
        for table in ("taggings", "list_members"):
            rows = await connection.fetch(f"SELECT entity, created_at FROM {table}")
            assert {row["entity"]: row["created_at"].month for row in rows} == {"contact": 1, "company": 2}


async def test_dead_letters_of_before_there_were_retries_get_a_time_and_can_be_retried(each_postgres: Cluster) -> None:
    url = await each_postgres.make_database(empty=True)
    async with connect(url) as connection:
        await migrate_before(connection, "retries")
        await connection.execute(
            """
            INSERT INTO operations (shard, workspace_id, id, type, status, position, resource, created_at, applied_at)
            VALUES (0, 1, 'op_1', 'CreateContact', 'REJECTED', 7, '', '2026-01-02', '2026-01-03T04:05:06Z');
            INSERT INTO dead_letters (shard, position, workspace_id, operation_id, entry, reason)
            VALUES (0, 7, 1, 'op_1', '', 'why'), (0, 8, 1, NULL, '', 'why');
            """
        )
        await migrate(url)
        ended, unreadable = sorted(
            await list_dead_letters(connection, 10, only_open=True), key=lambda one: one.position
        )
    assert (ended.position, ended.set_aside_at) == (7, datetime(2026, 1, 3, 4, 5, 6, tzinfo=UTC))
    assert unreadable.set_aside_at > ended.set_aside_at


OLD_TEXTS = """
INSERT INTO workspaces (shard, id, name, created_at) VALUES (0, 1, 'default', '2026-01-01');
INSERT INTO properties (shard, workspace_id, id, external_id, entity, key, label, type, property_group, is_required,
  is_system, is_indexed, options, status, created_at, updated_at, version, slot)
VALUES (0, 1, 1000, 'prp_1', 'CONTACT', 'city', 'City', 'TEXT', 'CUSTOM', false, false, true, '[]', 'ACTIVE',
  '2026-01-01', '2026-01-01', 1, 'text_1'),
(0, 1, 1001, 'prp_2', 'CONTACT', 'tel', 'Tel', 'PHONE', 'CUSTOM', false, false, true, '[]', 'ACTIVE',
  '2026-01-01', '2026-01-01', 1, 'text_2');
INSERT INTO contacts (shard, workspace_id, id, external_id, email, name, name_key, given_name, family_name, family_key,
  status, lifecycle_stage, modules, properties, activity_count, created_at, updated_at, version, words, text_1)
VALUES (0, 1, 7, 'ctc_7', 'straße@example.com', E'Jose\u0301', E'jose\u0301', 'Łukasz', 'Ærø', 'ærø', 'ACTIVE', 'LEAD',
  '{}', E'{"city": "Malmo\u0308", "Cafe\u0301": "ΣΊΣΥΦΟΣ"}', 0, '2026-01-02', '2026-01-03', 1, '', E'malmo\u0308'),
  (0, 1, 8, 'ctc_8', 'ada@example.com', 'Ada', 'ada', NULL, 'Byron', 'byron', 'ACTIVE', 'LEAD', '{}',
  '{"city": "York"}', 0, '2026-01-02', '2026-01-03', 1, '', 'york'),
  (0, 1, 9, 'ctc_9', NULL, 'Bea', 'bea', NULL, NULL, NULL, 'ACTIVE', 'LEAD', '{}',
  '{"city": "+1 650 253 7777", "tel": "0044 20 7946 0958"}', 0, '2026-01-02', '2026-01-03', 1, '', '+1 650 253 7777');
INSERT INTO companies (shard, workspace_id, id, external_id, name, name_key, industry, size, domain, phone, status,
  properties, contact_count, created_at, updated_at, version, words)
VALUES (0, 1, 8, 'cmp_8', 'MuCo', 'muco', NULL, NULL, 'xn--mller-kva.example', NULL, 'ACTIVE', '{}', 0, '2026-02-02',
  '2026-02-03', 1, ''),
  (0, 1, 9, 'cmp_9', 'Ext', 'ext', NULL, NULL, NULL, '+1 650 253 7777 x12', 'ACTIVE', '{}', 0, '2026-02-02',
  '2026-02-03', 1, ''),
  (0, 1, 7, 'cmp_7', 'Łódź', 'łódź', 'Öl', 'Big', NULL, NULL, 'ACTIVE', '{}', 0, '2026-02-02', '2026-02-03', 1, '');
INSERT INTO associations (shard, workspace_id, contact_id, company_id, role, is_primary, properties)
VALUES (0, 1, 7, 7, E'STRASSE u\u0308 Ü', false, '{"level": "Ü"}');
INSERT INTO tags (shard, workspace_id, id, external_id, key, name, name_key, contact_count, created_at, updated_at,
  version)
VALUES (0, 1, 1, 'tag_1', 'vip', E'E\u0301clair', E'e\u0301clair', 0, '2026-01-02', '2026-01-03', 1);
"""


async def test_text_of_earlier_versions_is_brought_to_the_stored_form(each_postgres: Cluster) -> None:
    url = await each_postgres.make_database(empty=True)
    async with connect(url) as connection:
        await migrate_before(connection, "folded_text")
        await connection.execute("INSERT INTO installation (partitions, secret) VALUES (4, '')")
        await connection.execute(OLD_TEXTS)
        await migrate(url)
        assert await connection.fetchval("SELECT text_folded FROM installation")
        first, second, third = await connection.fetch("SELECT * FROM contacts ORDER BY id")
        keys = [first[name] for name in ("email_key", "name", "name_key", "family_key", "text_1")]
        assert keys == [
            "strasse@example.com",
            "José",
            "jose\x01josé",
            "aero\x01ærø",
            "malmo\x01malmö",
        ]
        assert msgspec.json.decode(first["properties"]) == {"city": "Malmö", "Café": "ΣΊΣΥΦΟΣ"}
        assert msgspec.json.decode(first["folded"]) == {
            "email": ["strasse@example.com", None],
            "givenName": ["łukasz", "lukasz\x01łukasz"],
            "familyName": ["ærø", None],
            "properties.city": [None, "malmo\x01malmö"],
            "properties.Café": ["σίσυφοσ", "σισυφοσ\x01σίσυφοσ"],
        }
        assert "'1:lukasz'" in str(first["words"])
        assert (second["name_key"], second["text_1"], second["folded"], second["email_key"]) == (
            "ada",
            "york",
            None,
            None,
        )
        assert (third["text_1"], third["text_2"]) == ("+1 650 253 7777", "+442079460958")
        assert msgspec.json.decode(third["folded"]) == {
            "properties.city": [None, None, "+16502537777"],
            "properties.tel": [None, None, "+442079460958"],
        }
        company, *named = await connection.fetch("SELECT * FROM companies ORDER BY id")
        assert (company["industry_key"], company["size_key"]) == ("ol\x01öl", "big")
        for word, row in zip(("'1:muller.example'", "'1:x12'"), named, strict=True):
            assert word in str(row["words"])
        [link] = await connection.fetch("SELECT role, folded FROM associations")
        assert link["role"] == "STRASSE ü Ü"
        assert msgspec.json.decode(link["folded"])["role"] == ["strasse ü ü", "strasse u u\x01strasse ü ü"]
        assert await connection.fetchval("SELECT name_key FROM tags") == "eclair\x01éclair"


async def test_postgresql_prepares_every_named_query(each_postgres: Cluster) -> None:
    url = await each_postgres.make_database()
    async with connect(url) as connection:
        names = []
        for file in list_query_files():
            for name, sql in load_queries(file).items():
                try:
                    await connection.prepare(sql)
                except asyncpg.PostgresError as error:
                    pytest.fail(f"{file}.sql, {name}: {error}")
                names.append(name)
        assert names


async def test_text_that_is_compared_is_stored_in_the_collation_that_indexes_have(each_postgres: Cluster) -> None:
    url = await each_postgres.make_database()
    async with connect(url) as connection:
        indexed_otherwise = await connection.fetch(
            """
            SELECT DISTINCT indexrelid::regclass::text AS index, a.attname AS column
            FROM pg_index i
            JOIN pg_class c ON c.oid = i.indrelid AND c.relnamespace = 'public'::regnamespace
            JOIN pg_attribute a ON a.attrelid = i.indexrelid AND a.atttypid = 'text'::regtype
            JOIN pg_collation l ON l.oid = a.attcollation
            WHERE l.collname <> 'C'
            """
        )
        assert [tuple(row) for row in indexed_otherwise] == []


async def test_every_index_of_a_tenants_table_begins_with_the_shard_and_the_workspace(
    each_postgres: Cluster,
) -> None:
    url = await each_postgres.make_database()
    async with connect(url) as connection:
        indexes = await connection.fetch(
            """
            SELECT i.indexrelid::regclass::text AS index, array_agg(a.attname::text ORDER BY k.n) AS columns
            FROM pg_index i
            JOIN pg_class c ON c.oid = i.indrelid AND c.relnamespace = 'public'::regnamespace
            JOIN pg_class x ON x.oid = i.indexrelid
            JOIN pg_am m ON m.oid = x.relam AND m.amname = 'btree'
            JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, n) ON true
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
            WHERE EXISTS (SELECT FROM pg_attribute w WHERE w.attrelid = c.oid AND w.attname = 'workspace_id')
            GROUP BY 1
            """
        )
        # Keys are looked up before the workspace is known; the log and its dead letters go by position.
        exempt = ("api_keys", "command_log", "dead")
        other = [row["index"] for row in indexes if row["columns"][:2] != ["shard", "workspace_id"]]
        assert [index for index in other if not index.startswith(exempt)] == []
