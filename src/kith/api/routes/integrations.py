"""Integrations over HTTP: accounts at HubSpot and Mailchimp that records are brought to."""

from typing import Annotated

import msgspec
from msgspec import Meta

from kith.api.calls import AdminCall, ReadCall
from kith.api.responses import Answer, make_account_answer, make_data_answer
from kith.api.routing import route
from kith.integrations import accounts, status
from kith.integrations.accounts import IntegrationInput, IntegrationPatch, IntegrationView, to_view
from kith.integrations.connection_test import TestedAccount, test_integration
from kith.integrations.status import FailedRecord, FailedRecords, FailedSelection

EXAMPLE = {
    "provider": "HUBSPOT",
    "name": "HubSpot - Production",
    "credentials": {"accessToken": "pat-na1-0123456789"},
    "settings": {"fields": {"contact": {"phone": "mobilephone"}}},
}


class FailuresQuery(msgspec.Struct, rename="camel", kw_only=True):
    limit: Annotated[int, Meta(ge=1, le=1000, description="How many, at most.")] = 100


@route("GET", "/crm/integrations", tag="Integrations", kind="rows", data=IntegrationView)
async def list_integrations(call: ReadCall) -> Answer:
    """List integrations"""
    found = await accounts.list_integrations(call.engine, call.workspace)
    return make_data_answer([to_view(one) for one in found])


@route("GET", "/crm/integrations/{integration_id}", tag="Integrations", kind="account", data=IntegrationView)
async def get_integration(call: ReadCall, integration_id: str) -> Answer:
    """Get an integration

    By number or external id (int_…). Its credentials are never shown.
    """
    return make_account_answer(await accounts.get_integration(call.engine, call.workspace, integration_id))


@route(
    "POST",
    "/crm/integrations",
    tag="Integrations",
    kind="account",
    data=IntegrationView,
    creates=True,
    errors=["SECRETS_UNAVAILABLE"],
    example=EXAMPLE,
)
async def create_integration(call: AdminCall, body: IntegrationInput) -> Answer:
    """Connect an account

    From then on what changes is brought there; `POST …/sync` brings all there is. Credentials are encrypted, and never
    shown again. `segment` limits it to the contacts that fit a CQL filter (`where`) or are on a list (`listId`);
    `whenLeaving` says whether a contact that leaves the segment is archived there or kept.
    """
    made, replayed = await accounts.create_integration(call.engine, call.request, body)
    return make_account_answer(made, 201, replayed=replayed)


@route(
    "PATCH",
    "/crm/integrations/{integration_id}",
    tag="Integrations",
    kind="account",
    data=IntegrationView,
    errors=["SECRETS_UNAVAILABLE"],
    example={"name": "HubSpot - EU"},
)
async def update_integration(call: AdminCall, integration_id: str, body: IntegrationPatch) -> Answer:
    """Update an integration

    Settings and credentials are given whole. Where other settings give other values, records are sent again, once.
    """
    return make_account_answer(await accounts.update_integration(call.engine, call.request, integration_id, body))


@route("DELETE", "/crm/integrations/{integration_id}", tag="Integrations", kind="account", data=IntegrationView)
async def delete_integration(call: AdminCall, integration_id: str) -> Answer:
    """Disconnect an account

    What was brought there stays there. Its credentials, and what is known of it here, are deleted.
    """
    return make_account_answer(await accounts.delete_integration(call.engine, call.request, integration_id))


@route("POST", "/crm/integrations/{integration_id}/pause", tag="Integrations", kind="account", data=IntegrationView)
async def pause_integration(call: AdminCall, integration_id: str) -> Answer:
    """Pause an integration

    What changes meanwhile is sent when it is resumed.
    """
    return make_account_answer(await accounts.set_status(call.engine, call.request, integration_id, "PAUSED"))


@route("POST", "/crm/integrations/{integration_id}/resume", tag="Integrations", kind="account", data=IntegrationView)
async def resume_integration(call: AdminCall, integration_id: str) -> Answer:
    """Resume an integration

    Also one that was paused because its credentials were not taken.
    """
    return make_account_answer(await accounts.set_status(call.engine, call.request, integration_id, "ACTIVE"))


@route(
    "POST",
    "/crm/integrations/{integration_id}/test",
    tag="Integrations",
    kind="account",
    data=TestedAccount,
    errors=["PROVIDER_REFUSED", "PROVIDER_UNAVAILABLE", "SECRETS_UNAVAILABLE"],
)
async def test_account(call: AdminCall, integration_id: str) -> Answer:
    """Test an integration

    One cheap call to the provider: are the credentials good, and whose account do they open?
    """
    return make_data_answer(await test_integration(call.engine, call.request.workspace, integration_id))


@route("POST", "/crm/integrations/{integration_id}/sync", tag="Integrations", kind="account", data=IntegrationView)
async def sync_integration(call: AdminCall, integration_id: str) -> Answer:
    """Sync everything

    Every record is looked at, and sent where it is not there as it is here. `sync` of the integration has the progress.
    """
    return make_account_answer(await accounts.start_sync(call.engine, call.request, integration_id))


@route(
    "GET",
    "/crm/integrations/{integration_id}/failures",
    tag="Integrations",
    kind="rows",
    data=FailedRecord,
    example={"limit": 10},
)
async def list_failures(call: ReadCall, integration_id: str, query: FailuresQuery) -> Answer:
    """List failed records

    What the provider does not take, with its reason: they wait until they change, or are retried or discarded.
    """
    one = await accounts.get_integration(call.engine, call.workspace, integration_id)
    return make_data_answer(await status.list_failed(call.engine, one, query.limit))


@route(
    "POST",
    "/crm/integrations/{integration_id}/failures/retry",
    tag="Integrations",
    kind="account",
    data=FailedRecords,
    example={"entity": "contact"},
)
async def retry_failures(call: AdminCall, integration_id: str, body: FailedSelection) -> Answer:
    """Retry failed records

    All of them, those of an entity, or one.
    """
    one = await accounts.get_integration(call.engine, call.request.workspace, integration_id)
    return make_data_answer(await status.retry_failed(call.engine, one, body))


@route(
    "POST",
    "/crm/integrations/{integration_id}/failures/discard",
    tag="Integrations",
    kind="account",
    data=FailedRecords,
    example={"entity": "activity", "recordId": 1},
)
async def discard_failures(call: AdminCall, integration_id: str, body: FailedSelection) -> Answer:
    """Discard failed records

    They are not sent until they change again.
    """
    one = await accounts.get_integration(call.engine, call.request.workspace, integration_id)
    return make_data_answer(await status.discard_failed(call.engine, one, body))
