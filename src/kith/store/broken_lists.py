"""Lists that became BROKEN because they took too long, and where on the log."""

from collections.abc import Mapping
from datetime import datetime

from kith.store.batch import to_documents
from kith.store.database import Connection
from kith.store.queries import load_queries

_SQL = load_queries("lists")


async def break_lists(
    connection: Connection, shard: int, position: int, reasons: Mapping[tuple[int, int], str], at: datetime
) -> None:
    """As of the command at the position, lists by (workspace, number)."""
    rows = [{"workspace_id": id_, "number": number, "reason": why} for (id_, number), why in sorted(reasons.items())]
    await connection.execute(_SQL["break_lists"], shard, position, to_documents(rows), at)


async def load_broken_lists(connection: Connection) -> Mapping[tuple[int, int], Mapping[tuple[int, int], str]]:
    """Reasons by (workspace, number), by (shard, position)."""
    found: dict[tuple[int, int], dict[tuple[int, int], str]] = {}
    for row in await connection.fetch(_SQL["load_broken_lists"]):
        reasons = found.setdefault((row["shard"], row["position"]), {})
        reasons[row["workspace_id"], row["number"]] = row["reason"]
    return found
