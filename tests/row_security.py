"""The second lock on workspaces: row level security on every table, for a role that owns none of them.

Production relies on the first, the workspace that every statement carries. Where the same reads give the same answers
behind this one, the first is proven. ``KITH_TEST_ROW_SECURITY=1`` puts it before every client of the tests.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from kith.engine.context.engine import Engine
from kith.engine.context.loader import Loader
from kith.engine.context.query_costs import Costs
from kith.engine.context.schema_cache import SchemaCache
from kith.model.workspaces import Workspace
from kith.settings import Settings
from kith.store.database import Database
from tests.postgres import connect

REQUIRED = os.environ.get("KITH_TEST_ROW_SECURITY") == "1"
ROLE = "kith_tenant"
# What is nobody's in particular: every role may read it.
SHARED = {"installation", "schema_migrations", "system_properties", "sync_turns", "sync_places"}
_SHARD = "shard = current_setting('kith.shard')::smallint"
_WORKSPACE = "current_setting('kith.workspace')::int"
_TABLES = """
SELECT c.relname, array_agg(a.attname::text) AS columns
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0
GROUP BY c.relname"""


async def lock_tables(url: str) -> None:
    """Rows are seen and written only by sessions that say their shard and workspace, and by a superuser's.

    May be done again.
    """
    async with connect(url) as connection:
        await connection.execute(
            f"DO $$ BEGIN CREATE ROLE {ROLE}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )
        await connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {ROLE}")
        for table, columns in await connection.fetch(_TABLES):
            if table in SHARED:
                continue
            terms = [_SHARD] if "shard" in columns else []
            if "workspace_id" in columns or table == "workspaces":
                terms.append(f"{'id' if table == 'workspaces' else 'workspace_id'} = {_WORKSPACE}")
            assert terms, f"{table} says neither the shard nor the workspace of its rows"
            await connection.execute(
                f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; ALTER TABLE {table} FORCE ROW LEVEL SECURITY;"
                f" DROP POLICY IF EXISTS own ON {table};"
                f" CREATE POLICY own ON {table} USING ({' AND '.join(terms)})"
            )


def lock_url(url: str, workspace: Workspace) -> str:
    """For connections that are locked up in the workspace."""
    return f"{url}&role={ROLE}&kith.shard={workspace.shard}&kith.workspace={workspace.id}"


@asynccontextmanager
async def lock_engine(engine: Engine, url: str, workspace: Workspace) -> AsyncIterator[Engine]:
    """The engine with all its reads locked up in one workspace. Keys and the log are looked after as before."""
    settings: Settings = engine.settings
    database = await Database.open(lock_url(url, workspace), settings, "reader", 2)
    queries = await Database.open(lock_url(url, workspace), settings, "query", 2)
    general = await Database.open(lock_url(url, workspace), settings, "general", 2)
    loader = Loader(database, engine.progress.get_schema_position)
    try:
        yield msgspec.structs.replace(
            engine,
            database=database,
            queries=queries,
            general=general,
            loader=loader,
            vocabularies=SchemaCache(loader),
            costs=Costs(queries, general, engine.clock),
        )
    finally:
        await database.close()
        await queries.close()
        await general.close()
