"""Asking a provider what changed there, once a day, should a webhook have been missed."""

from collections.abc import AsyncIterator
from datetime import timedelta

from kith.engine.context.engine import Engine
from kith.integrations.accounts import Integration
from kith.integrations.hooks import find_workspace
from kith.integrations.inbound import Intake
from kith.integrations.inbound_port import Inbound
from kith.integrations.port import Provider
from kith.store.queries import load_queries

EVERY = timedelta(hours=24)
# After one that did not end.
ASK_AGAIN = timedelta(minutes=10)
# Clocks differ, and a search may find a change a little later.
OVERLAP = timedelta(minutes=10)
TOGETHER = 100
_SQL = load_queries("integrations")


async def reconcile(engine: Engine, one: Integration, provider: Provider) -> int:
    """Take in what changed since the last time; how many changes had an effect. Raises Failure."""
    began = engine.clock.now()
    workspace = await find_workspace(engine, str(one.workspace_id))
    assert workspace is not None
    intake = Intake(engine, workspace, one, scanning=True)
    taken = 0
    async for changes in _gather(provider.changed_since(one.reconciled_at - OVERLAP)):
        taken += await intake.take(changes)
    await engine.database.execute(_SQL["save_reconciled"], *one.key, began)
    return taken


async def _gather(changes: AsyncIterator[Inbound]) -> AsyncIterator[list[Inbound]]:
    together: list[Inbound] = []
    async for change in changes:
        together.append(change)
        if len(together) >= TOGETHER:
            yield together
            together = []
    if together:
        yield together
