"""Opening the provider of an integration: its credentials, its limits, and the way there."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import msgspec

from kith.clock import Clock
from kith.integrations.accounts import Integration
from kith.integrations.limiter import Limiter
from kith.integrations.port import Provider
from kith.integrations.providers import PROVIDERS
from kith.integrations.vault import Vault
from kith.settings import Settings
from kith.store.database import Database
from kith.store.queries import load_queries

_SQL = load_queries("integrations")


class Keeper:
    """The credentials of an integration while it is at work: a token that was refreshed is stored at once.

    Only one process refreshes at a time: a provider may take each refresh token once.
    """

    def __init__(self, database: Database, vault: Vault, integration: Integration) -> None:
        self._database = database
        self._vault = vault
        self._integration = integration

    @asynccontextmanager
    async def changing(self) -> AsyncIterator["Change"]:
        """The credentials as they are kept now; nobody else changes them meanwhile."""
        one = self._integration
        async with self._database.acquire() as connection, connection.transaction():
            sealed = await connection.fetchval(_SQL["load_credentials_to_change"], *one.key)
            change = Change(self._vault.unseal(one.external_id, sealed))
            yield change
            if change.after is not None:
                resealed = self._vault.seal(one.external_id, change.after)
                await connection.execute(_SQL["save_credentials"], *one.key, resealed)


class Change:
    """``before`` is what was kept; what is put into ``after`` is kept from then on."""

    def __init__(self, before: Mapping[str, Any]) -> None:
        self.before = before
        self.after: Mapping[str, Any] | None = None


class Opener:
    """Opens providers for a process."""

    def __init__(self, database: Database, client: httpx2.AsyncClient, clock: Clock, settings: Settings) -> None:
        self._database = database
        self._client = client
        self._clock = clock
        self._settings = settings
        self._vault = Vault.from_settings(settings)

    @asynccontextmanager
    async def open(self, one: Integration) -> AsyncIterator[Provider]:
        """Raises SECRETS_UNAVAILABLE."""
        kind = PROVIDERS[one.provider]
        credentials = self._vault.unseal(one.external_id, one.credentials)
        limiter = Limiter(self._database, make_limit_key(one, credentials), kind.make_rate(self._settings))
        yield kind.make(
            client=self._client,
            limiter=limiter,
            clock=self._clock,
            settings=self._settings,
            credentials=credentials,
            chosen=msgspec.convert(one.settings, kind.settings),
            keeper=Keeper(self._database, self._vault, one),
        )


def make_limit_key(one: Integration, credentials: Mapping[str, Any]) -> str:
    """Whose limit it is. Until the account is known, that of whoever has the same credentials."""
    if one.account is not None:
        return f"{one.provider}:{one.account.id}"
    digest = hashlib.sha256(msgspec.json.encode(credentials, order="deterministic")).hexdigest()
    return f"{one.provider}:credentials:{digest[:32]}"
