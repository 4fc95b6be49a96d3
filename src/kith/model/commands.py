"""Commands: what was asked, in the imperative, and the envelope in which it stands on the log.

A command carries everything that applying it needs and the records cannot tell: new ids, times, normalised values.
``timezone`` of a command with properties is the workspace's, where a value is a time without an offset and its property
is not known to be a time yet: that is certain when the command is applied.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from kith.model.activities import ActivityModule, ActivityType
from kith.model.actors import Actor
from kith.model.contacts import LifecycleStage
from kith.model.lists import EntityType
from kith.model.properties import PropertyEntity, PropertyGroup, PropertyType
from kith.model.records import Identity

PATHS = {
    "contact": "/crm/contacts/",
    "company": "/crm/companies/",
    "tag": "/crm/tags/",
    "activity": "/crm/activities/",
    "list": "/crm/lists/",
    "property": "/crm/properties/",
}


class OnContact(msgspec.Struct, frozen=True, kw_only=True):
    """A command that is about a contact, which it names or makes."""

    contact_id: str

    @property
    def subject(self) -> Identity:
        return "contact", self.contact_id


class OnCompany(msgspec.Struct, frozen=True, kw_only=True):
    """A command that is about a company, which it names or makes."""

    company_id: str

    @property
    def subject(self) -> Identity:
        return "company", self.company_id


class OnTag(msgspec.Struct, frozen=True, kw_only=True):
    """A command that is about a tag, which it names or makes."""

    tag_id: str

    @property
    def subject(self) -> Identity:
        return "tag", self.tag_id


class OnList(msgspec.Struct, frozen=True, kw_only=True):
    """A command that is about a list, which it names or makes."""

    list_id: str

    @property
    def subject(self) -> Identity:
        return "list", self.list_id


class OnProperty(msgspec.Struct, frozen=True, kw_only=True):
    """A command that is about a property, which it names or makes."""

    property_id: str
    entity: PropertyEntity

    @property
    def subject(self) -> Identity:
        return "property", self.property_id


class CreateContact(OnContact, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    email: str | None = None
    name: str | None = None
    given_name: str | None = None
    family_name: str | None = None
    phone: str | None = None
    phone_e164: str | None = None
    avatar: str | None = None
    lifecycle_stage: LifecycleStage = "LEAD"
    properties: dict[str, Any] = {}
    timezone: str | None = None


class UpdateContact(OnContact, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """``changes``: the fields that were sent, by the record's names; ``properties`` merge by key, null removes."""

    changes: dict[str, Any]
    if_version: int | None = None
    timezone: str | None = None


class DeleteContact(OnContact, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    if_version: int | None = None


class RestoreContact(OnContact, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    if_version: int | None = None


class MergeContacts(OnContact, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """``contact_id`` is the winner."""

    loser_id: str
    if_version: int | None = None


class CreateCompany(OnCompany, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    name: str | None = None
    domain: str | None = None
    industry: str | None = None
    size: str | None = None
    plan: str | None = None
    spend: Decimal | int | None = None
    website: str | None = None
    phone: str | None = None
    phone_e164: str | None = None
    properties: dict[str, Any] = {}
    timezone: str | None = None


class UpdateCompany(OnCompany, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """``changes`` as in UpdateContact."""

    changes: dict[str, Any]
    if_version: int | None = None
    timezone: str | None = None


class DeleteCompany(OnCompany, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    if_version: int | None = None


class RestoreCompany(OnCompany, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    if_version: int | None = None


class AssociateCompany(OnContact, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    company_id: str
    role: str | None = None
    is_primary: bool = False
    properties: dict[str, Any] = {}
    timezone: str | None = None


class UpdateAssociation(OnContact, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """``changes``: role, is_primary, properties (merged by key, null removes)."""

    company_id: str
    changes: dict[str, Any]
    timezone: str | None = None


class RemoveAssociation(OnContact, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    company_id: str


class CreateTag(OnTag, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    key: str
    name: str | None = None
    description: str | None = None
    color: str | None = None


class UpdateTag(OnTag, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    changes: dict[str, Any]
    if_version: int | None = None


class DeleteTag(OnTag, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    if_version: int | None = None


class _OnTagged(msgspec.Struct, frozen=True, kw_only=True):
    """A command about a tag on a contact or a company."""

    entity: Literal["contact", "company"]
    record_id: str
    tag_id: str

    @property
    def subject(self) -> Identity:
        return self.entity, self.record_id


class AssignTag(_OnTagged, frozen=True, kw_only=True, tag=True):
    pass


class RemoveTag(_OnTagged, frozen=True, kw_only=True, tag=True):
    pass


class CreateList(OnList, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    name: str
    entity_type: EntityType
    description: str | None = None
    is_dynamic: bool = False
    filter_criteria: dict[str, Any] | None = None
    filter: str | None = None
    timezone: str = "UTC"
    text_conditions: int = 0


class UpdateList(OnList, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """``changes`` of ``filter_criteria`` come with ``text_conditions``, and those of ``filter`` and ``timezone``."""

    changes: dict[str, Any]
    text_conditions: int = 0
    if_version: int | None = None


class DeleteList(OnList, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    if_version: int | None = None


class EvaluateList(OnList, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """Look again at who fits a dynamic list, as of the time of the command."""


class _OnMembers(OnList, frozen=True, kw_only=True):
    """A command about some members of a static list, contacts or companies by external id."""

    entity: Literal["contact", "company"]
    record_ids: list[str]


class AddMembers(_OnMembers, frozen=True, kw_only=True, tag=True):
    pass


class RemoveMembers(_OnMembers, frozen=True, kw_only=True, tag=True):
    pass


class LogActivity(OnContact, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """An activity of a contact; it occurred when it was logged, unless ``occurred_at`` says otherwise."""

    activity_id: str
    activity_type: ActivityType
    module: ActivityModule = "CRM"
    content: str | None = None
    properties: dict[str, Any] = {}
    occurred_at: datetime | None = None

    @property
    def subject(self) -> Identity:
        return "activity", self.activity_id


class CreateProperty(OnProperty, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """``options`` are {value, label, archived}."""

    key: str
    property_type: PropertyType
    label: str | None = None
    group: PropertyGroup = "CUSTOM"
    description: str | None = None
    is_required: bool = False
    options: list[dict[str, Any]] = []


class UpdateProperty(OnProperty, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """``changes``: the fields that were sent, by the record's names; ``options`` all that there shall be."""

    changes: dict[str, Any]
    if_version: int | None = None


class ArchiveProperty(OnProperty, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    if_version: int | None = None


Command = (
    CreateContact
    | UpdateContact
    | DeleteContact
    | RestoreContact
    | MergeContacts
    | CreateCompany
    | UpdateCompany
    | DeleteCompany
    | RestoreCompany
    | AssociateCompany
    | UpdateAssociation
    | RemoveAssociation
    | CreateTag
    | UpdateTag
    | DeleteTag
    | AssignTag
    | RemoveTag
    | CreateList
    | UpdateList
    | DeleteList
    | EvaluateList
    | AddMembers
    | RemoveMembers
    | LogActivity
    | CreateProperty
    | UpdateProperty
    | ArchiveProperty
)
# The types of commands that make a record or a link.
MAKING = frozenset(
    (
        "CreateContact",
        "CreateCompany",
        "CreateTag",
        "CreateList",
        "CreateProperty",
        "AssociateCompany",
        "LogActivity",
    )
)


class Idempotency(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay of the request is answered from: the hex fingerprint of the request, and the first answer."""

    fingerprint: str
    answer: msgspec.Raw


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A command on the log. ``at`` is when it was accepted; ``key_id`` the API key that sent it.

    ``actor`` is None in entries that were logged before commands had one.

    Of a retry ``at`` is when that was asked for, ``accepted_at`` when the command was accepted, and ``retry_of`` the
    position where it was set aside. Neither is written: see ``Retry``.
    """

    operation_id: str
    workspace_id: int
    at: datetime
    key_id: int
    command: Command
    idempotency: Idempotency | None = None
    actor: Actor | None = None
    accepted_at: datetime | None = None
    retry_of: int | None = None

    @property
    def made_at(self) -> datetime:
        """When the operation was made: what its row is found by."""
        return self.accepted_at or self.at


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """The entry that was set aside at a position of the same shard, once more, and when that was asked for."""

    position: int
    at: datetime
    entry: bytes


def to_type(command: Command) -> str:
    return type(command).__name__


def to_resource(command: Command) -> str:
    """The path of the record that the command is about; of a link, its contact's or company's."""
    kind, name = command.subject
    by, colon, value = name.partition(":")
    return f"{PATHS[kind]}{quote(value, safe='@') if colon else by}"
