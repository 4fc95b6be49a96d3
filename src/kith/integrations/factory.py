"""Opening the provider of an integration: its credentials, its limits, and the way there."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import msgspec

from kith.clock import Clock
from kith.engine.context.property_schemas import Schemas
from kith.integrations.accounts import Integration
from kith.integrations.credential_store import Vault
from kith.integrations.hooks import SECRET
from kith.integrations.hubspot.push import HubSpot
from kith.integrations.hubspot.settings import HubSpotSettings
from kith.integrations.limiter import Limiter
from kith.integrations.mailchimp.push import Hook, Mailchimp
from kith.integrations.mailchimp.settings import MailchimpSettings, read_credentials
from kith.integrations.mapping import Kinds, to_kinds
from kith.integrations.port import Provider
from kith.integrations.providers import PROVIDERS
from kith.model.properties import Schema
from kith.model.state import Ref
from kith.settings import Settings
from kith.store.database import Connection, Database
from kith.store.queries import load_queries

_SQL = load_queries("integrations")


class Keeper:
    """The credentials of an integration while it is at work: a token that was got anew is kept at once.

    One process at a time does that, as a provider may take each refresh token once.
    """

    def __init__(self, database: Database, vault: Vault, integration: Integration) -> None:
        self._database = database
        self._vault = vault
        self._integration = integration
        self._locked: Connection | None = None

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[Mapping[str, Any]]:
        """The credentials as they are kept now; nobody else changes them meanwhile."""
        one = self._integration
        async with self._database.acquire() as connection, connection.transaction():
            sealed = await connection.fetchval(_SQL["load_credentials_to_change"], *one.key)
            self._locked = connection
            try:
                yield self._vault.unseal(one.external_id, sealed)
            finally:
                self._locked = None

    async def store(self, credentials: Mapping[str, Any]) -> None:
        """Within ``lock``."""
        assert self._locked is not None
        sealed = self._vault.seal(self._integration.external_id, credentials)
        await self._locked.execute(_SQL["save_credentials"], *self._integration.key, sealed)


class Opener:
    """Opens providers for a process."""

    def __init__(self, database: Database, client: httpx2.AsyncClient, clock: Clock, settings: Settings) -> None:
        self._database = database
        self._client = client
        self._clock = clock
        self._settings = settings
        self._vault = Vault.from_settings(settings)
        self._rests: dict[str, float] = {}

    @asynccontextmanager
    async def open(self, one: Integration) -> AsyncIterator[Provider]:
        """Raises SECRETS_UNAVAILABLE."""
        credentials = self._vault.unseal(one.external_id, one.credentials)
        kind = PROVIDERS[one.provider]
        limiter = Limiter(self._database, make_limit_key(one, credentials), kind.make_rate(self._settings), self._rests)
        keeper = Keeper(self._database, self._vault, one)
        kinds = await self._load_kinds(one)
        if one.provider == "HUBSPOT":
            yield HubSpot(
                self._client,
                limiter,
                self._clock,
                credentials,
                msgspec.convert(one.settings, HubSpotSettings),
                url=self._settings.hubspot_url,
                store=keeper.store,
                lock=keeper.lock,
                kinds=kinds,
            )
        else:
            yield Mailchimp(
                self._client,
                limiter,
                self._clock,
                read_credentials(credentials),
                msgspec.convert(one.settings, MailchimpSettings),
                url=self._settings.mailchimp_url,
                hook=self._make_hook(one, keeper),
                kinds=kinds,
            )

    async def _load_kinds(self, one: Integration) -> Kinds:
        refs = [(one.workspace_id, Ref("schema", "external_id", entity)) for entity in ("CONTACT", "COMPANY")]
        async with self._database.acquire() as connection:
            found = await Schemas().load_records(connection, one.shard, refs, 0)
        return to_kinds(record for _, record in found if isinstance(record, Schema))

    def _make_hook(self, one: Integration, keeper: Keeper) -> Hook | None:
        """None where this API has no public address."""
        if not self._settings.webhook_url:
            return None

        async def store(secret: str) -> None:
            async with keeper.lock() as kept:
                await keeper.store({**kept, SECRET: secret})

        return Hook(self._settings.webhook_url.rstrip("/") + one.webhook_path, store)


def make_limit_key(one: Integration, credentials: Mapping[str, Any]) -> str:
    """Whose limit it is. Until the account is known, that of whoever has the same credentials."""
    if one.account is not None:
        return f"{one.provider}:{one.account.id}"
    digest = hashlib.sha256(msgspec.json.encode(credentials, order="deterministic")).hexdigest()
    return f"{one.provider}:credentials:{digest[:32]}"
