"""The verbs on activities."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from kith.aside import compute
from kith.clock import to_milliseconds
from kith.cql.ast import And, Comparison, Condition
from kith.cql.catalogue import ACTIVITY
from kith.engine.context import Engine
from kith.engine.listing import Listing, list_page, make_range
from kith.engine.query import Page
from kith.engine.records import Found, find_committed_number, get_record, name_target, parse_ref, write
from kith.engine.submit import Attempt, WriteRequest, Written
from kith.model.activities import ActivityInput, make_activity
from kith.model.commands import Command, LogActivity
from kith.model.state import State
from kith.model.workspaces import Workspace


class ActivityListing(Listing, frozen=True, kw_only=True):
    """What a list of a contact's activities is asked for; newest first. Dates are ISO 8601."""

    type: str | None = None
    module: str | None = None
    occurred_from: str | None = None
    occurred_to: str | None = None
    sort_by: str = "occurredAt"


async def log_activity(engine: Engine, request: WriteRequest, ref: str, fields: ActivityInput) -> Written:
    parsed = parse_ref("contact", ref)
    given = await compute(len(request.sent), make_activity, fields, ZoneInfo(request.workspace.timezone))

    def make_command(attempt: Attempt, state: State) -> Command:
        contact_id = name_target(state, parsed)
        return LogActivity(contact_id=contact_id, activity_id=attempt.make_id("act"), **given)

    return await write(engine, request, [parsed], make_command)


async def log_event(
    engine: Engine, request: WriteRequest, ref: str, content: str, properties: Mapping[str, Any], at: datetime
) -> Written:
    """What another service tells of a contact, in its timeline."""
    parsed = parse_ref("contact", ref)

    def make_command(attempt: Attempt, state: State) -> Command:
        return LogActivity(
            contact_id=name_target(state, parsed),
            activity_id=attempt.make_id("act"),
            activity_type="CUSTOM_EVENT",
            module="INTEGRATION",
            content=content,
            properties=dict(properties),
            occurred_at=to_milliseconds(at),
        )

    return await write(engine, request, [parsed], make_command)


async def get_activity(engine: Engine, workspace: Workspace, ref: str) -> Found:
    return await get_record(engine, workspace, "activity", ref)


async def list_activities(engine: Engine, workspace: Workspace, ref: str, listing: ActivityListing) -> Page:
    """The activities of a contact; of a merged one, those of the contact that it went into."""
    number = await find_committed_number(engine, workspace, "contact", ref)
    terms: list[Condition] = [Comparison("contactId", "eq", number or 0)]
    if listing.type:
        terms.append(Comparison("type", "eq", listing.type))
    if listing.module:
        terms.append(Comparison("module", "eq", listing.module))
    terms += make_range("occurredAt", listing.occurred_from, listing.occurred_to, workspace)
    return await list_page(engine, workspace, ACTIVITY, And(tuple(terms)), listing)
