"""Writers of contacts for the tests of the engine."""

from collections.abc import AsyncIterator

import pytest

from kith.engine.context import Engine
from kith.model.workspaces import Workspace
from tests.engine.acts import Acts
from tests.engine.crowd import Crowd, open_crowd
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
