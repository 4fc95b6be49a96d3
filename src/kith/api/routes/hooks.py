"""Webhooks of HubSpot and Mailchimp. A signature replaces the API key."""

from kith.api.calls import HookCall
from kith.api.responses import Answer, make_plain_answer
from kith.api.routing import route
from kith.integrations.hooks import Delivery, take_delivery

DONE = b'{"taken":%d}'


@route("GET", "/hooks/{workspace_number}/{integration_id}", tag="Integrations", kind="system")
async def check_hook(call: HookCall, workspace_number: str, integration_id: str) -> Answer:
    """Is this a webhook's address?

    Mailchimp asks before it delivers. The answer is the same whatever is there.
    """
    return make_plain_answer(b'{"status":"ok"}', "application/json")


@route(
    "POST",
    "/hooks/{workspace_number}/{integration_id}",
    tag="Integrations",
    kind="system",
    errors=["INVALID_SIGNATURE", "INVALID_REQUEST", "PAYLOAD_TOO_LARGE", "REQUEST_TIMEOUT", "SERVICE_UNAVAILABLE"],
)
async def take_hook(call: HookCall, workspace_number: str, integration_id: str) -> Answer:
    """Take a delivery of HubSpot or Mailchimp

    It is signed with the integration's `webhookSecret`; what is told again changes nothing.
    """
    delivery = Delivery(method=call.method, target=call.target, headers=call.headers, body=call.body)
    taken = await take_delivery(call.engine, workspace_number, integration_id, delivery)
    return make_plain_answer(DONE % taken, "application/json")
