"""The port of the log: what every implementation promises, and the contract test holds each to."""

from typing import NamedTuple, Protocol

READ_BYTES_MAX = 4 * 1024 * 1024


class Entry(NamedTuple):
    """A command on the log. ``position`` counts from 1 in each shard, without gaps."""

    position: int
    workspace_id: int
    data: bytes


class Log(Protocol):
    """An append-only sequence of entries for each shard."""

    async def append(self, shard: int, workspace_id: int, data: bytes) -> int:
        """Returns the position once the entry is durable. Appends of one process keep the order of their calls.

        Raises Unavailable when that cannot be had in time; the entry may then be on the log or not, and may be
        appended again: the writer applies an operation once.
        """
        ...

    async def read(self, shard: int, after: int, limit: int) -> list[Entry]:
        """Entries behind ``after`` in order, each once, none left out; empty only at the end.

        At most ``limit``, and about ``READ_BYTES_MAX``: large entries come in smaller portions.
        """
        ...

    async def load_heads(self) -> dict[int, int]:
        """The last position of each shard, 0 where nothing was ever appended."""
        ...

    async def load_owned_heads(self) -> dict[int, int]:
        """Those of the shards that this process is to apply: all, where nothing shares them out among writers."""
        ...

    @property
    def is_shared_out(self) -> bool:
        """Whether shards move between writers: then one that another writer has moved on is no fault."""
        ...

    @property
    def needs_database(self) -> bool:
        """Whether it is in PostgreSQL itself: then nothing is accepted while that is down."""
        ...

    async def copy_dead_letter(self, shard: int, entry: Entry, reason: str) -> None:
        """Tell of an entry that was set aside, where the log has a place for that. Never fails, never waits long.

        The table of dead letters is the truth; this is a copy for whoever watches the log.
        """
        ...

    async def wait(self, timeout_s: float) -> dict[int, int] | None:
        """Returns when there may be news since the last call, or after the timeout.

        What ``load_owned_heads`` would answer, where the news told; else None.
        """
        ...

    async def close(self) -> None: ...
