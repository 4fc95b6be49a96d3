"""Webhooks: whether a delivery is the provider's, and taking what it tells."""

import secrets
from collections.abc import Iterable, Mapping

import msgspec

from kith.aside import compute
from kith.engine.context.engine import Engine
from kith.errors import Exposed, InvalidId, InvalidRequest, NotFound
from kith.integrations.accounts import Integration, get_integration
from kith.integrations.credential_store import Vault
from kith.integrations.hubspot import hooks as hubspot
from kith.integrations.inbound import Intake
from kith.integrations.inbound_port import Inbound
from kith.integrations.mailchimp import hooks as mailchimp
from kith.integrations.signatures import (
    HUBSPOT_SIGNATURE,
    HUBSPOT_TIMESTAMP,
    MAILCHIMP_SIGNATURE,
    verify_hubspot,
    verify_mailchimp,
)
from kith.model.workspaces import Workspace
from kith.rare_logs import RareLog
from kith.store.queries import load_queries
from kith.store.workspaces import to_workspace

REFUSAL = "This delivery is not taken: it is not signed for an integration that is here, or is older than five minutes."
# What a signature is checked against where there is no integration, or it has no secret: nobody can know it.
NO_SECRET = secrets.token_hex(32)
NO_WORKSPACE = Workspace(shard=0, id=0, name="")
_UNREADABLE = RareLog("webhook_secret_unreadable")
SECRET = "webhookSecret"  # noqa: S105 - the name of a field
_SQL = load_queries("workspaces")


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it came: the signature is of its bytes. ``target`` is the path with the query."""

    method: str
    target: str
    headers: Mapping[bytes, bytes]
    body: bytes

    def find_header(self, name: str) -> str | None:
        value = self.headers.get(name.encode())
        return value.decode("latin-1") if value is not None else None


async def take_delivery(engine: Engine, workspace_number: str, integration_id: str, delivery: Delivery) -> int:
    """How many changes had an effect. Raises INVALID_SIGNATURE, for every cause the same and after the same work."""
    workspace = await find_workspace(engine, workspace_number)
    one = await find_integration(engine, workspace, integration_id)
    secret = find_secret(engine, one)
    provider = one.provider if one is not None else guess_provider(delivery)
    is_signed = await compute(len(delivery.body), verify, engine, secret or NO_SECRET, provider, delivery)
    if not is_signed or workspace is None or one is None or not secret:
        raise Exposed("INVALID_SIGNATURE", REFUSAL)
    return await Intake(engine, workspace, one).take(list_changes(one, delivery.body))


async def find_integration(engine: Engine, workspace: Workspace | None, integration_id: str) -> Integration | None:
    """Looked up also where there is no such workspace: how long it takes tells nothing."""
    try:
        one = await get_integration(engine, workspace or NO_WORKSPACE, integration_id)
    except (NotFound, InvalidId):
        return None
    return one if workspace is not None and one.external_id == integration_id else None


def find_secret(engine: Engine, one: Integration | None) -> str | None:
    """The integration's, where it has one that can be read. Without an integration another one is read in vain."""
    vault = Vault.from_settings(engine.settings)
    if not vault.is_open:
        return None
    try:
        if one is None:
            vault.unseal("", vault.seal("", {SECRET: NO_SECRET}))
            return None
        credentials = vault.unseal(one.external_id, one.credentials)
    except Exposed as error:
        _UNREADABLE.error(integration=one.external_id if one else None, code=error.code)
        return None
    # An OAuth app's secret is among its credentials anyway.
    return credentials.get(SECRET) or credentials.get("clientSecret")


def guess_provider(delivery: Delivery) -> str:
    return "MAILCHIMP" if delivery.find_header(MAILCHIMP_SIGNATURE) is not None else "HUBSPOT"


def verify(engine: Engine, secret: str, provider: str, delivery: Delivery) -> bool:
    """By the address that is public: what a request says of its host proves nothing."""
    now = engine.clock.now().timestamp()
    if provider == "HUBSPOT":
        return verify_hubspot(
            secret,
            delivery.method,
            engine.settings.webhook_url.rstrip("/") + delivery.target,
            delivery.body,
            signature=delivery.find_header(HUBSPOT_SIGNATURE),
            timestamp=delivery.find_header(HUBSPOT_TIMESTAMP),
            now=now,
        )
    return verify_mailchimp(secret, delivery.body, signature=delivery.find_header(MAILCHIMP_SIGNATURE), now=now)


def list_changes(one: Integration, body: bytes) -> Iterable[Inbound]:
    if one.provider == "MAILCHIMP":
        try:
            return mailchimp.read_hook(body)
        except ValueError as error:
            raise InvalidRequest(f"This is not a webhook of Mailchimp's: {error}") from None
    account = one.account.id if one.account is not None else None
    return [
        change
        for told in hubspot.parse_delivery(body)
        if account is None or told.portal_id == account
        for change in told.changes
    ]


async def find_workspace(engine: Engine, number: str) -> Workspace | None:
    if not (number.isascii() and number.isdecimal() and len(number) <= 9):
        return None
    row = await engine.database.fetchrow(_SQL["find_workspace_by_number"], int(number))
    return to_workspace(row) if row is not None else None
