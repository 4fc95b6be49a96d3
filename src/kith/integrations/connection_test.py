"""Trying an account: one cheap call that tells whether it works."""

import msgspec

from kith.engine.context.engine import Engine
from kith.errors import Exposed
from kith.integrations.accounts import get_integration
from kith.integrations.factory import Opener
from kith.integrations.failures import Failure, Limited, Transient
from kith.integrations.http import open_client
from kith.integrations.port import Account
from kith.model.workspaces import Workspace

PROBE_TIMEOUT_S = 10


class TestedAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Whose account the credentials open."""

    __test__ = False

    account: Account


async def test_integration(engine: Engine, workspace: Workspace, text: str) -> TestedAccount:
    """Raises PROVIDER_REFUSED, PROVIDER_UNAVAILABLE, SECRETS_UNAVAILABLE, InvalidId, NotFound."""
    one = await get_integration(engine, workspace, text)
    try:
        async with (
            open_client(PROBE_TIMEOUT_S) as client,
            Opener(engine.database, client, engine.clock, engine.settings).open(one) as provider,
        ):
            return TestedAccount(account=await provider.connect())
    except (Transient, Limited) as failure:
        raise Exposed("PROVIDER_UNAVAILABLE", f"{one.name}: {failure.message}") from failure
    except Failure as failure:
        raise Exposed("PROVIDER_REFUSED", f"{one.name}: {failure.message}") from failure
