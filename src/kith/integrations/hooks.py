"""Webhooks: whether a delivery is the provider's, and taking what it tells."""

from collections.abc import Iterable, Mapping

import msgspec

from kith.engine.context import Engine
from kith.errors import Exposed, InvalidId, InvalidRequest, NotFound
from kith.integrations.accounts import Integration, get_integration
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
from kith.integrations.vault import Vault
from kith.model.workspaces import Workspace
from kith.store.queries import load_queries
from kith.store.workspaces import to_workspace

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
    """How many changes had an effect. Raises INVALID_SIGNATURE, also where there is no such integration."""
    workspace = await find_workspace(engine, workspace_number)
    try:
        one = await get_integration(engine, workspace, integration_id) if workspace is not None else None
    except (NotFound, InvalidId):
        one = None
    if workspace is None or one is None or one.external_id != integration_id:
        raise make_refusal("it is for no integration that is here")
    credentials = Vault.from_settings(engine.settings).unseal(one.external_id, one.credentials)
    # An OAuth app's secret is among its credentials anyway.
    check_signature(engine, credentials.get(SECRET) or credentials.get("clientSecret"), one, delivery)
    return await Intake(engine, workspace, one).take(list_changes(one, delivery.body))


def check_signature(engine: Engine, secret: str | None, one: Integration, delivery: Delivery) -> None:
    """By the address that is public: what a request says of its host proves nothing."""
    if not secret:
        raise make_refusal(f"the integration has no {SECRET}")
    now = engine.clock.now().timestamp()
    if one.provider == "HUBSPOT":
        good = verify_hubspot(
            secret,
            delivery.method,
            engine.settings.webhook_url.rstrip("/") + delivery.target,
            delivery.body,
            signature=delivery.find_header(HUBSPOT_SIGNATURE),
            timestamp=delivery.find_header(HUBSPOT_TIMESTAMP),
            now=now,
        )
    else:
        signature = delivery.find_header(MAILCHIMP_SIGNATURE)
        good = verify_mailchimp(secret, delivery.body, signature=signature, now=now)
    if not good:
        raise make_refusal("the signature does not fit, or is older than five minutes")


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


def make_refusal(reason: str) -> Exposed:
    return Exposed("INVALID_SIGNATURE", f"This delivery is not taken: {reason}.")
