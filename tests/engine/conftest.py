"""What the tests of the engine act on, and what they listen to."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from kith.engine.context.engine import Engine
from kith.model.workspaces import Workspace
from kith.store.database import Database
from tests.engine.acts import Acts
from tests.engine.crowd import Crowd, open_crowd
from tests.engine.plans import Sent
from tests.kit import Kit
from tests.postgres import Cluster


@pytest.fixture
def acts(engine: Engine, workspace: Workspace) -> Acts:
    """In a workspace of the shared Kith, whose log is replayed at the end."""
    return Acts(engine, workspace)


@pytest.fixture
async def own_acts(own_kit: Kit) -> Acts:
    """In a Kith of the test's own, for tests that break things."""
    return Acts(own_kit.engine, await own_kit.make_workspace())


@pytest.fixture(scope="session")
async def crowd(postgres: Cluster) -> AsyncIterator[Crowd]:
    """Two large workspaces; tests only read them."""
    async with open_crowd(await postgres.make_database()) as opened:
        yield opened


@pytest.fixture
def sent(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> list[Sent]:
    """What is sent to the database during the test."""
    statements: list[Sent] = []
    engine = crowd.engine
    roles = {id(engine.database): "reader", id(engine.queries): "query", id(engine.general): "general"}

    def listen(name: str) -> None:
        fetch = getattr(Database, name)

        async def note_and_fetch(self: Database, sql: str, *values: Any, **more: Any) -> Any:
            statements.append(Sent(roles[id(self)], sql, values))
            return await fetch(self, sql, *values, **more)

        monkeypatch.setattr(Database, name, note_and_fetch)

    for name in ("fetch", "fetchrow", "fetchval"):
        listen(name)
    return statements
