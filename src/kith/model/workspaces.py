"""Workspaces: the tenants. Each lives in one shard, which is its partition of the log."""

import hashlib
from collections.abc import Mapping

import msgspec


class Workspace(msgspec.Struct, frozen=True):
    """A tenant as every part of the engine needs it. ``timezone`` is an IANA name.

    ``quotas`` are the limits that an operator has set, None for no limit; the defaults hold for the rest.
    """

    shard: int
    id: int
    name: str
    timezone: str = "UTC"
    strict_properties: bool = False
    quotas: Mapping[str, int | None] = {}


def make_shard(workspace_id: int, partitions: int) -> int:
    """The shard of a new workspace: a stable hash, so that neighbours in number are spread out."""
    digest = hashlib.sha256(str(workspace_id).encode()).digest()
    return int.from_bytes(digest[:8], "big") % partitions
