"""The actor of a command: who sent it."""

from typing import Literal

import msgspec


class Actor(msgspec.Struct, frozen=True):
    """An API key, a user, an integration, or the system itself. ``id`` is its number as text."""

    kind: Literal["key", "user", "integration", "system"]
    id: str | None = None
    name: str | None = None


SYSTEM = Actor("system")
