"""The verbs on activities."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from kith.aside import compute
from kith.clock import to_milliseconds
from kith.engine.accept.records import name_target, write
from kith.engine.accept.submit import Attempt, WriteRequest, Written
from kith.engine.context.engine import Engine
from kith.engine.read.records import parse_ref
from kith.model.activities import ActivityInput, make_activity
from kith.model.commands import Command, LogActivity
from kith.model.state import State


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
