"""Spreading the tables over the nodes of Citus: by shard, so that a partition's batch stays on one node."""

from collections.abc import Callable, Iterable

from kith.errors import StartError
from kith.store.database import Connection
from kith.store.log_place import list_running

# Small, asked for before the shard is known, or joined with any: a copy on each node. Those that others refer to first.
REFERENCE = ("workspaces", "api_keys", "system_properties")
# What a process asks for at its start only, what migrations keep, and the turns at other services, which are of no
# shard: on the coordinator.
LOCAL = ("installation", "schema_migrations", "sync_turns", "sync_places")
# The first is the one that the others lie beside.
DISTRIBUTED = (
    "counters",
    "contacts",
    "companies",
    "associations",
    "tags",
    "taggings",
    "activities",
    "lists",
    "list_members",
    "properties",
    "merges",
    "totals",
    "tallies",
    "operations",
    "events",
    "log_head",
    "command_log",
    "cursors",
    "dead_letters",
    "broken_lists",
    "integrations",
    "sync_links",
    "sync_jobs",
    "sync_suppressions",
)
# Indexes are made on the nodes, and use them.
FUNCTIONS = ("kith_day(text)", "kith_instant(text)")
# Shards of Citus for each of ours: it places them by a hash, and with as many as there are, some would share one.
SPREAD = 4
_HAS_CITUS = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"
_DONE = "SELECT logicalrelid::regclass::text FROM pg_dist_partition"


def make_statements(partitions: int, done: Iterable[str] = ()) -> list[str]:
    """What turns the tables into those of Citus, in order; without those tables that are ``done``."""
    first, *others = DISTRIBUTED
    steps = {table: f"SELECT create_reference_table('{table}')" for table in REFERENCE}
    steps[first] = f"SELECT create_distributed_table('{first}', 'shard', shard_count => {SPREAD * partitions})"
    steps |= {
        table: f"SELECT create_distributed_table('{table}', 'shard', colocate_with => '{first}')" for table in others
    }
    functions = [f"SELECT create_distributed_function('{function}')" for function in FUNCTIONS]
    return functions + [statement for table, statement in steps.items() if table not in done]


async def distribute(connection: Connection, partitions: int, tell: Callable[[str], None]) -> list[str]:
    """Each statement by itself, so that what was interrupted goes on when it is run again; those that were run.

    Raises StartError where there is no Citus, or Kith runs.
    """
    if not await connection.fetchval(_HAS_CITUS):
        raise StartError(
            "This database has no Citus. Install it on every node, run CREATE EXTENSION citus and add the nodes with"
            " citus_add_node; or stay with one PostgreSQL, which needs nothing of this."
        )
    if running := await list_running(connection):
        raise StartError(f"Kith is at work on this database ({', '.join(running)}). Stop all of it first.")
    done = {row[0] for row in await connection.fetch(_DONE)}
    statements = make_statements(partitions, done)
    for statement in statements:
        tell(statement)
        await connection.execute(statement)
    return statements
