"""Quotas: how much one workspace may hold. What counts against each, and what a write adds to it."""

from collections.abc import Mapping

import msgspec

from kith.errors import Exposed, InvalidRequest
from kith.model.activities import Activity
from kith.model.commands import (
    ArchiveProperty,
    Command,
    DeleteCompany,
    DeleteContact,
    DeleteList,
    DeleteTag,
    RemoveAssociation,
    RemoveMembers,
    RemoveTag,
)
from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.lists import List
from kith.model.properties import PROPERTIES_PER_ENTITY_MAX, PropertyEntity
from kith.model.records import Record
from kith.model.tags import Tag
from kith.model.workspaces import Workspace


class Quota(msgspec.Struct, frozen=True):
    """``what`` is counted, as in "200 lists". ``most`` is the highest limit that can be set, where there is one.

    ``counted`` is false for what one record may have: the workspace has no sum of it.
    """

    default: int
    what: str
    meaning: str
    most: int | None = None
    counted: bool = True


GIB = 2**30
QUOTAS: Mapping[str, Quota] = {
    "contacts": Quota(20_000_000, "contacts", "Contacts that are ACTIVE or ARCHIVED."),
    "companies": Quota(5_000_000, "companies", "Companies that are ACTIVE or ARCHIVED."),
    "activities": Quota(200_000_000, "activities", "Activities that were logged."),
    "tags": Quota(5_000, "tags", "Tags."),
    "lists": Quota(2_000, "lists", "Lists, static and dynamic."),
    "dynamicLists": Quota(1_000, "dynamic lists", "Dynamic lists: every write is compared with each."),
    "textConditions": Quota(
        1_000, "text conditions", "Conditions with CONTAINS or ENDS WITH in all dynamic lists: no index serves them."
    ),
    "textConditionsPerList": Quota(
        50, "text conditions", "Conditions with CONTAINS or ENDS WITH in one dynamic list.", counted=False
    ),
    "contactProperties": Quota(
        PROPERTIES_PER_ENTITY_MAX, "properties", "Active properties of contacts.", PROPERTIES_PER_ENTITY_MAX
    ),
    "companyProperties": Quota(
        PROPERTIES_PER_ENTITY_MAX, "properties", "Active properties of companies.", PROPERTIES_PER_ENTITY_MAX
    ),
    "associationProperties": Quota(
        PROPERTIES_PER_ENTITY_MAX, "properties", "Active properties of associations.", PROPERTIES_PER_ENTITY_MAX
    ),
    "tagsPerRecord": Quota(500, "tags", "Tags on one contact or company.", counted=False),
    "integrations": Quota(50, "integrations", "Integrations that are not deleted."),
    "bytes": Quota(
        20 * GIB, "bytes", "Bytes in the workspace's history: each write adds its events, and deleting frees none."
    ),
}
PROPERTY_QUOTAS: Mapping[PropertyEntity, str] = {
    "CONTACT": "contactProperties",
    "COMPANY": "companyProperties",
    "CONTACT_COMPANY": "associationProperties",
}
# What a workspace without bytes may still do.
FREEING = (
    DeleteContact,
    DeleteCompany,
    DeleteTag,
    DeleteList,
    RemoveTag,
    RemoveMembers,
    RemoveAssociation,
    ArchiveProperty,
)


def get_limit(workspace: Workspace, name: str) -> int | None:
    """The limit that was set for the workspace, or the default. None for no limit."""
    return workspace.quotas.get(name, QUOTAS[name].default)


def check_quotas(quotas: Mapping[str, int | None]) -> None:
    """Raises InvalidRequest for a quota that does not exist, or a limit that it cannot have."""
    for name, limit in quotas.items():
        if name not in QUOTAS:
            raise InvalidRequest(f"No quota {name!r}. There are: {', '.join(QUOTAS)}.")
        most = QUOTAS[name].most
        if most is not None and (limit is None or limit > most):
            raise InvalidRequest(f"The quota {name} can be at most {most:,}.")
        if limit is not None and not 0 <= limit < 2**63:
            raise InvalidRequest(f"The quota {name} must be 0 or more, and less than 2^63; {limit} was given.")


def make_exceeded(workspace: Workspace, name: str, used: int, value: int) -> Exposed:
    """The refusal of a write that would bring a quota to ``value``."""
    limit, what = get_limit(workspace, name), QUOTAS[name].what
    assert limit is not None
    if QUOTAS[name].counted:
        has = f"The workspace has {used:,} {what}, and this write needs {value:,}. Its quota {name} is {limit:,}."
    else:
        has = f"This would make {value:,} {what}. The workspace's quota {name} is {limit:,}."
    raised = f"An operator can raise it: kith workspaces set '{workspace.name}' --quota {name}=N"
    if (most := QUOTAS[name].most) is not None:
        raised = f"{raised} (at most {most:,})" if limit < most else "It cannot be raised"
    return Exposed("QUOTA_EXCEEDED", f"{has} {raised}.", {"quota": name, "limit": limit, "used": used, "value": value})


def check_single(workspace: Workspace, name: str, used: int, value: int) -> None:
    """Hold one record against a quota that is not counted. Raises QUOTA_EXCEEDED where the value grows beyond it."""
    limit = get_limit(workspace, name)
    if limit is not None and value > limit and value > used:
        raise make_exceeded(workspace, name, used, value)


def measure(record: Record) -> Mapping[str, int]:
    """What a record counts against each quota. Properties are counted by their schema."""
    match record:
        case Contact():
            return {"contacts": 1} if record.live else {}
        case Company():
            return {"companies": 1} if record.live else {}
        case Activity():
            return {"activities": 1}
        case Tag():
            return {"tags": 1}
        case List(is_dynamic=True):
            return {"lists": 1, "dynamicLists": 1, "textConditions": record.text_conditions}
        case List():
            return {"lists": 1}
    return {}


def add_growth(growth: dict[str, int], before: Record | None, after: Record | None) -> None:
    """Add what becomes of one record by a write."""
    if before is not None and after is not None and before.live == after.live and isinstance(after, Contact | Company):
        return
    for record, sign in ((before, -1), (after, 1)):
        if record is not None:
            for name, count in measure(record).items():
                growth[name] = growth.get(name, 0) + sign * count


def frees(command: Command) -> bool:
    """Whether the command only takes something away, so that it is accepted when the quota of bytes is used up."""
    return isinstance(command, FREEING)
