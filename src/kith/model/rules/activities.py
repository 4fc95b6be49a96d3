"""Activities: logging one counts for its contact."""

from datetime import datetime

import msgspec

from kith.model.activities import Activity
from kith.model.commands import LogActivity
from kith.model.events import Event
from kith.model.rules.decisions import Accepted, Decision, Rejected, get_live_contact, next_number
from kith.model.state import State


def log_activity(state: State, command: LogActivity, at: datetime) -> Decision:
    contact = get_live_contact(state, command.contact_id)
    if isinstance(contact, Rejected):
        return contact
    occurred_at = command.occurred_at or at
    activity = Activity(
        external_id=command.activity_id,
        number=next_number(state, "activity"),
        contact_id=contact.external_id,
        contact_number=contact.number,
        type=command.activity_type,
        module=command.module,
        content=command.content,
        properties=command.properties,
        occurred_at=occurred_at,
        created_at=at,
    )
    last = max(occurred_at, contact.last_activity_at or occurred_at)
    after = msgspec.structs.replace(contact, activity_count=contact.activity_count + 1, last_activity_at=last)
    return Accepted((Event(type="activity.created", record=activity, also=(after,)),))
