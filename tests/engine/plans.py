"""What PostgreSQL plans for the statements that were sent, and what may never stand in such a plan."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg
import msgspec

from kith.store.database import make_server_settings
from tests.engine.crowd import Crowd
from tests.kit import SETTINGS

Node = dict[str, Any]


class Sent(NamedTuple):
    """A statement, and the role of the connections that it goes to."""

    role: str
    sql: str
    values: tuple[Any, ...]


def to_literal(value: Any) -> str:
    """A value as it stands in the text of an EXECUTE."""
    match value:
        case None:
            return "NULL"
        case bool() | int():
            return str(value).lower()
        case list():
            items = ",".join("NULL" if item is None else '"{}"'.format(str(item).replace('"', r"\"")) for item in value)
            return to_literal("{" + items + "}")
        case datetime():
            return to_literal(value.isoformat())
    return "'" + str(value).replace("'", "''") + "'"


async def explain(crowd: Crowd, statement: Sent) -> list[Node]:
    """The plans that a connection of its role may choose: one for these values, and one for any where it caches."""
    modes = ["force_custom_plan"] + (["force_generic_plan"] if statement.role != "query" else [])
    plans = []
    settings = make_server_settings(statement.role, SETTINGS)  # type: ignore[arg-type]
    connection = await asyncpg.connect(crowd.kit.url, server_settings=settings)
    try:
        sql = statement.sql.removeprefix("EXPLAIN (FORMAT JSON) ")
        await connection.execute(f"PREPARE tried AS {sql}")
        values = ", ".join(to_literal(value) for value in statement.values)
        for mode in modes:
            await connection.execute(f"SET plan_cache_mode = {mode}")
            answer = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE tried({values})")
            plans.append(msgspec.json.decode(answer)[0]["Plan"])
    finally:
        await connection.close()
    return plans


def walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.get("Plans", []):
        yield from walk(child)


def list_indexes(plan: Node) -> set[str]:
    return {node["Index Name"] for node in walk(plan) if "Index Name" in node}


def check(plan: Node, crowd: Crowd) -> None:
    """The crowd's tables are reached by an index only, and only the workspace's part of it."""
    salted = re.compile(rf"'{{?\"?{crowd.workspace.id}:")
    for node in walk(plan):
        if node.get("Relation Name") in crowd.tables:
            assert node["Node Type"] in ("Index Scan", "Index Only Scan", "Bitmap Heap Scan"), node
        if index := node.get("Index Name"):
            condition = node.get("Index Cond", "")
            if index.endswith(("_words", "_options")):
                assert salted.search(condition), node
            else:
                assert "shard = " in condition and "workspace_id = " in condition, node


async def check_all(crowd: Crowd, sent: list[Sent]) -> list[Node]:
    """The plans of what was sent that reads its tables, each of which is checked."""
    statements = [one for one in sent if any(f"FROM {table}" in one.sql for table in crowd.tables)]
    sent.clear()
    assert statements
    plans = [plan for statement in statements for plan in await explain(crowd, statement)]
    for plan in plans:
        check(plan, crowd)
    return plans


def sorts_at_most(plan: Node, rows_max: int) -> bool:
    """Whether no Sort of the plan is expected to take more rows: the others come in the order of an index."""
    return all(
        node["Plans"][0]["Plan Rows"] <= rows_max
        for node in walk(plan)
        if node["Node Type"] in ("Sort", "Incremental Sort")
    )
