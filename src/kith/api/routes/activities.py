"""Activities over HTTP, under their contact and by the legacy paths."""

from typing import Annotated
from urllib.parse import quote

from msgspec import field

from kith.api import response_schemas as shapes
from kith.api.calls import ReadCall, WriteCall
from kith.api.queries import PageQuery, describe_day
from kith.api.responses import Answer, deprecate, make_page_answer, make_record_answer, make_write_answer
from kith.api.routing import route
from kith.engine.accept import activities
from kith.engine.read import listings
from kith.engine.read.listings import ActivityListing
from kith.engine.read.records import get_record
from kith.model.activities import ActivityInput, ActivityModule, ActivityType

EXAMPLE = {
    "type": "CALL",
    "content": "Discussed pricing and timeline",
    "properties": {"duration": "30m", "outcome": "interested"},
}
OccurredFrom = Annotated[str, describe_day("Occurred at or after.")]
OccurredTo = Annotated[str, describe_day("Occurred at or before; a bare date includes its day.")]


class ActivitiesQuery(PageQuery, rename="camel", kw_only=True):
    type: ActivityType | None = None
    module: ActivityModule | None = None
    occurred_from: OccurredFrom | None = field(default=None, name="from")
    occurred_to: OccurredTo | None = field(default=None, name="to")


@route("GET", "/crm/contacts/{contact_id}/activities", tag="Activities", kind="page", data=shapes.Activity)
async def list_activities(call: ReadCall, contact_id: str, query: ActivitiesQuery) -> Answer:
    """List a contact's activities

    Newest first, by when they occurred. A CUSTOM_EVENT is made by an integration; nothing makes a PAGE_VIEW yet.
    """
    listing = ActivityListing(**query.to_fields())
    return make_page_answer(await listings.list_activities(call.engine, call.workspace, contact_id, listing))


@route(
    "POST",
    "/crm/contacts/{contact_id}/activities",
    tag="Activities",
    kind="write",
    data=shapes.Activity,
    creates=True,
    example=EXAMPLE,
)
async def log_activity(call: WriteCall, contact_id: str, body: ActivityInput) -> Answer:
    """Log an activity

    It occurred now, unless occurredAt says when. The contact's activityCount and lastActivityAt follow.
    """
    written = await activities.log_activity(call.engine, call.request, contact_id, body)
    return make_write_answer(written, call.request)


@route("GET", "/crm/activities/{activity_id}", tag="Activities", kind="record", data=shapes.Activity)
async def get_activity(call: ReadCall, activity_id: str) -> Answer:
    """Get an activity

    By number or external id (act_…).
    """
    return make_record_answer(await get_record(call.engine, call.workspace, "activity", activity_id))


@route("GET", "/crm/activities/contacts/{contact_id}", tag="Legacy", kind="page", data=shapes.Activity)
async def list_activities_legacy(call: ReadCall, contact_id: str, query: ActivitiesQuery) -> Answer:
    """List a contact's activities (legacy)

    Deprecated: use GET /crm/contacts/{contact_id}/activities.
    """
    return deprecate(await list_activities(call, contact_id, query), make_successor(contact_id))


@route(
    "POST",
    "/crm/activities/contacts/{contact_id}",
    tag="Legacy",
    kind="write",
    data=shapes.Activity,
    creates=True,
    example=EXAMPLE,
)
async def log_activity_legacy(call: WriteCall, contact_id: str, body: ActivityInput) -> Answer:
    """Log an activity (legacy)

    Deprecated: use POST /crm/contacts/{contact_id}/activities.
    """
    return deprecate(await log_activity(call, contact_id, body), make_successor(contact_id))


def make_successor(contact_id: str) -> str:
    """The better path, as a header can hold it: an email may come with line breaks around it."""
    return f"/crm/contacts/{quote(contact_id, safe='@')}/activities"
