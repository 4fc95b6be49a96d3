"""A contact at a glance."""

from typing import Any

import msgspec

from kith.engine.context.engine import Engine
from kith.engine.read.records import Found, get_record
from kith.model.workspaces import Workspace

COMPANIES_MAX = 10
TAGS_MAX = 50


async def get_summary(engine: Engine, workspace: Workspace, ref: str) -> Found:
    """What matters of the contact: at most 10 companies and 50 tags. Raises InvalidId, NotFound."""
    found = await get_record(engine, workspace, "contact", ref)
    contact = msgspec.json.decode(found.data, type=dict[str, Any])
    shown = {name: contact[name] for name in ("id", "name", "email", "status", "lifecycleStage")}
    shown["companies"] = [
        {name: company[name] for name in ("name", "domain", "role")} for company in contact["companies"][:COMPANIES_MAX]
    ]
    shown["tags"] = [tag["key"] for tag in contact["tags"][:TAGS_MAX]]
    shown |= {name: contact[name] for name in ("activityCount", "lastActivityAt", "pending") if name in contact}
    return _make_view(found, "summary", shown)


def _make_view(found: Found, name: str, shown: dict[str, Any]) -> Found:
    """A view of the contact has a path of its own, and no version: what it shows moves without the contact's."""
    data = msgspec.json.encode(shown)
    return msgspec.structs.replace(found, data=data, version=None, location=f"{found.location}/{name}")
