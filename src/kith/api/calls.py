"""Arguments of handlers. The type of a handler's first parameter is the permission that the route needs."""

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from kith.engine.accept.submit import WriteRequest
from kith.engine.context.engine import Engine
from kith.model.workspaces import Workspace


class OpenCall(msgspec.Struct, frozen=True):
    """A call that needs no key."""

    scope: ClassVar[str | None] = None
    engine: Engine
    headers: Mapping[bytes, bytes]


class HookCall(OpenCall, frozen=True):
    """A call by another service, which proves by a signature who it is; so it is needed as it came.

    ``target`` is the path with its query as it was sent; header names are lower-case.
    """

    method: str
    target: str
    body: bytes


class ReadCall(msgspec.Struct, frozen=True):
    """A call with a key that has crm:read. ``size`` is the number of bytes of its body."""

    scope: ClassVar[str | None] = "crm:read"
    engine: Engine
    workspace: Workspace
    tier: str
    size: int = 0


class WriteCall(msgspec.Struct, frozen=True):
    """A call with a key that has crm:write: ``request`` carries what its headers ask of the write."""

    scope: ClassVar[str | None] = "crm:write"
    engine: Engine
    request: WriteRequest


class AdminCall(WriteCall, frozen=True):
    """A write call with a key that has crm:admin."""

    scope: ClassVar[str | None] = "crm:admin"


Call = OpenCall | ReadCall | WriteCall
