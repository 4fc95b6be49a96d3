"""The shapes of answers, for the documentation only: the bytes themselves come from the engine as they are."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from kith.model.activities import ActivityModule, ActivityType
from kith.model.companies import CompanyStatus
from kith.model.contacts import LifecycleStage, Module, Status
from kith.model.lists import EntityType, ListStatus
from kith.model.properties import PropertyEntity, PropertyGroup, PropertyStatus, PropertyType

Time = Annotated[str, Meta(description="ISO 8601 in UTC with milliseconds.", examples=["2026-04-10T10:30:00.000Z"])]
Properties = Annotated[dict[str, Any], Meta(examples=[{"mrr": 4999, "plan": "Enterprise"}])]


class ContactFields(msgspec.Struct, rename="camel", kw_only=True):
    id: Annotated[int | None, Meta(description="The number; null until the create is applied.", examples=[1])]
    external_id: Annotated[str, Meta(examples=["ctc_01jrfz3x8mfvv8t3n2m6k0q4sb"])]
    email: Annotated[str | None, Meta(examples=["alice@example.com"])]
    name: Annotated[str | None, Meta(examples=["Alice Johnson"])]
    given_name: Annotated[str | None, Meta(examples=["Alice"])]
    family_name: Annotated[str | None, Meta(examples=["Johnson"])]
    phone: Annotated[str | None, Meta(examples=["+1234567890"])]
    avatar: Annotated[str | None, Meta(examples=[None])]
    status: Annotated[Status, Meta(examples=["ACTIVE"])]
    lifecycle_stage: Annotated[LifecycleStage, Meta(examples=["LEAD"])]
    is_identified: Annotated[bool, Meta(description="Whether there is an email or a phone.", examples=[True])]
    modules: Annotated[list[Module], Meta(description="The active modules.", examples=[["CRM"]])]
    properties: Properties
    activity_count: Annotated[int, Meta(examples=[0])]
    last_activity_at: Annotated[str | None, Meta(examples=[None])]
    created_at: Time
    updated_at: Time
    version: Annotated[int, Meta(description="One more for each applied write to the record.", examples=[1])]
    merged_into: Annotated[
        str | None,
        Meta(description="Of a MERGED contact the external id of the contact that it is part of now.", examples=[None]),
    ]


class ContactRow(ContactFields, rename="camel", kw_only=True):
    """A contact in a list."""

    tags: Annotated[list[str], Meta(description="The tags' keys.", examples=[[]])]


class CompanyOfContact(msgspec.Struct, rename="camel", kw_only=True):
    """A company that a contact belongs to."""

    id: int
    external_id: str
    name: str | None
    domain: str | None
    role: str | None
    is_primary: bool
    properties: dict[str, Any]


class TagOfRecord(msgspec.Struct, rename="camel", kw_only=True):
    """A tag that a record carries."""

    id: int
    external_id: str
    key: str
    name: str
    color: str | None


class ContactOfCompany(ContactRow, rename="camel", kw_only=True):
    """A contact that belongs to a company."""

    role: str | None
    is_primary: Annotated[bool, Meta(description="Whether the company is the contact's primary one.")]


class CompanyFields(msgspec.Struct, rename="camel", kw_only=True):
    id: Annotated[int | None, Meta(description="The number; null until the create is applied.", examples=[5])]
    external_id: Annotated[str, Meta(examples=["cmp_01jrfz3x8mfvv8t3n2m6k0q4sb"])]
    name: Annotated[str | None, Meta(examples=["Acme Corp"])]
    domain: Annotated[str | None, Meta(examples=["acme.com"])]
    industry: Annotated[str | None, Meta(examples=["SaaS"])]
    size: Annotated[str | None, Meta(examples=["50-200"])]
    plan: Annotated[str | None, Meta(examples=["Enterprise"])]
    spend: Annotated[float | None, Meta(examples=[None])]
    website: Annotated[str | None, Meta(examples=["https://acme.com"])]
    phone: Annotated[str | None, Meta(examples=["+1234567890"])]
    status: CompanyStatus
    contact_count: Annotated[int, Meta(description="Contacts that belong to it and are not deleted.", examples=[0])]
    properties: Properties
    created_at: Time
    updated_at: Time
    version: Annotated[int, Meta(description="One more for each applied write to the record.", examples=[1])]


class CompanyRow(CompanyFields, rename="camel", kw_only=True):
    """A company in a list."""

    tags: Annotated[list[str], Meta(description="The tags' keys.", examples=[[]])]


class Company(CompanyFields, rename="camel", kw_only=True):
    """A company by itself."""

    tags: Annotated[list[TagOfRecord], Meta(examples=[[]])]
    pending: Annotated[bool, Meta(description="There, and true, while a write to the record is not applied.")] = False


class Tag(msgspec.Struct, rename="camel", kw_only=True):
    """A tag."""

    id: Annotated[int | None, Meta(description="The number; null until the create is applied.", examples=[5])]
    external_id: Annotated[str, Meta(examples=["tag_01jrfz3x8mfvv8t3n2m6k0q4sb"])]
    key: Annotated[str, Meta(examples=["vip"])]
    name: Annotated[str, Meta(examples=["VIP Customer"])]
    description: Annotated[str | None, Meta(examples=["High-value customers"])]
    color: Annotated[str | None, Meta(examples=["#FFD700"])]
    contact_count: Annotated[int, Meta(description="Contacts that carry it and are not deleted.", examples=[0])]
    created_at: Time
    updated_at: Time
    version: Annotated[int, Meta(description="One more for each applied write to the record.", examples=[1])]
    pending: Annotated[bool, Meta(description="There, and true, while a write to the record is not applied.")] = False


class PropertyOption(msgspec.Struct, rename="camel", kw_only=True):
    """A value that can be selected."""

    value: str
    label: str
    archived: Annotated[bool, Meta(description="Kept where it is; not taken any more.")]


class Property(msgspec.Struct, rename="camel", kw_only=True):
    """A property that records of an entity may have."""

    id: Annotated[int | None, Meta(description="The number; null until the create is applied.", examples=[1000])]
    external_id: Annotated[str, Meta(examples=["prp_01jrfz3x8mfvv8t3n2m6k0q4sb"])]
    key: Annotated[str, Meta(examples=["mrr"])]
    entity: PropertyEntity
    label: Annotated[str, Meta(examples=["Monthly Revenue"])]
    type: PropertyType
    group: PropertyGroup
    description: Annotated[str | None, Meta(examples=["Monthly recurring revenue in USD"])]
    is_required: bool
    is_system: Annotated[bool, Meta(description="A field that every record of the entity has; it cannot be changed.")]
    is_indexed: Annotated[bool, Meta(description="Whether an index serves queries on it.")]
    options: Annotated[list[PropertyOption], Meta(description="Of SELECT and MULTI_SELECT.", examples=[[]])]
    status: PropertyStatus
    created_at: Time
    updated_at: Time
    version: Annotated[int, Meta(description="One more for each applied write to the record.", examples=[1])]
    pending: Annotated[bool, Meta(description="There, and true, while a write to the record is not applied.")] = False


class Activity(msgspec.Struct, rename="camel", kw_only=True):
    """What happened with a contact."""

    id: Annotated[int | None, Meta(description="The number; null until the write is applied.", examples=[7])]
    external_id: Annotated[str, Meta(examples=["act_01jrfz3x8mfvv8t3n2m6k0q4sb"])]
    contact_id: Annotated[int | None, Meta(examples=[1])]
    type: ActivityType
    module: ActivityModule
    content: Annotated[str | None, Meta(examples=["Discussed pricing and timeline"])]
    properties: Annotated[dict[str, Any], Meta(examples=[{"duration": "30m", "outcome": "interested"}])]
    occurred_at: Time
    created_at: Time
    pending: Annotated[bool, Meta(description="There, and true, while the write is not applied.")] = False


class List(msgspec.Struct, rename="camel", kw_only=True):
    """A list of contacts or of companies."""

    id: Annotated[int | None, Meta(description="The number; null until the create is applied.", examples=[3])]
    external_id: Annotated[str, Meta(examples=["lst_01jrfz3x8mfvv8t3n2m6k0q4sb"])]
    name: Annotated[str, Meta(examples=["Friends of the house"])]
    description: str | None
    entity_type: EntityType
    is_dynamic: bool
    filter_criteria: dict[str, Any] | None
    filter: Annotated[str | None, Meta(description="The filter of a dynamic list, as a text.", examples=[None])]
    status: Annotated[ListStatus, Meta(description="BROKEN: its filter cannot be evaluated; its members stay.")]
    reason: Annotated[str | None, Meta(description="Why it is BROKEN.", examples=[None])]
    member_count: Annotated[int, Meta(description="Members that are not deleted.", examples=[0])]
    evaluated_at: str | None
    created_at: Time
    updated_at: Time
    version: Annotated[int, Meta(description="One more for each applied write to the list itself.", examples=[1])]
    pending: Annotated[bool, Meta(description="There, and true, while a write to the list is not applied.")] = False


class Evaluation(msgspec.Struct, rename="camel", kw_only=True):
    """What an evaluation of a list changed."""

    member_count: Annotated[int, Meta(examples=[0])]
    added: Annotated[int, Meta(examples=[0])]
    removed: Annotated[int, Meta(examples=[0])]
    evaluated_at: Time


class CompanyOfSummary(msgspec.Struct, rename="camel", kw_only=True):
    """A company, at a glance."""

    name: str | None
    domain: str | None
    role: str | None


class Summary(msgspec.Struct, rename="camel", kw_only=True):
    """A contact, at a glance."""

    id: int | None
    name: str | None
    email: str | None
    status: Status
    lifecycle_stage: LifecycleStage
    companies: list[CompanyOfSummary]
    tags: Annotated[list[str], Meta(description="The tags' keys.")]
    activity_count: int
    last_activity_at: str | None
    pending: Annotated[bool, Meta(description="There, and true, while a write to the record is not applied.")] = False


class Synced(msgspec.Struct, rename="camel", kw_only=True):
    """A contact in an integration."""

    integration_id: int
    integration_name: str
    provider: str
    external_id: Annotated[str | None, Meta(description="Its id there; null until it is there.")]
    last_synced_at: str | None
    sync_hash: Annotated[str | None, Meta(description="Of what was sent last.")]
    state: Annotated[
        Literal["SYNCED", "PENDING", "FAILED", "PAUSED", "REMOVED"],
        Meta(description="REMOVED: somebody deleted it there, and it stays so."),
    ]
    last_error: Annotated[str | None, Meta(description="Why its last change is not there.")]


class SyncStatus(msgspec.Struct, rename="camel", kw_only=True):
    """Where integrations have a contact."""

    contact_id: int | None
    external_id: str
    integrations: list[Synced]


class Contact(ContactFields, rename="camel", kw_only=True):
    """A contact by itself."""

    companies: Annotated[list[CompanyOfContact], Meta(description="The primary one first.", examples=[[]])]
    tags: Annotated[list[TagOfRecord], Meta(examples=[[]])]
    pending: Annotated[bool, Meta(description="There, and true, while a write to the record is not applied.")] = False


class OperationMark(msgspec.Struct, rename="camel", kw_only=True):
    """What a write's answer says of its operation."""

    id: Annotated[str, Meta(examples=["op_01jrfz3x8mfvv8t3n2m6k0q4sb"])]
    status: Annotated[Literal["PENDING", "APPLIED", "REJECTED"], Meta(examples=["PENDING"])]
    position: Annotated[str | None, Meta(description="Where it is on the log: opaque; for X-Read-After.")]


class Problem(msgspec.Struct, kw_only=True):
    """What went wrong."""

    code: Annotated[str, Meta(description="Stable; see the error codes.")]
    message: Annotated[str, Meta(description="For people; it names the thing, the value and the way out.")]
    details: dict[str, Any] | None


class Actor(msgspec.Struct, kw_only=True):
    """Who sent a write."""

    kind: Annotated[
        Literal["key", "user", "integration", "system"],
        Meta(description="system: Kith itself, such as a list whose filter depends on the time.", examples=["key"]),
    ]
    id: Annotated[str | None, Meta(description="The number of the key or integration.", examples=["2"])]
    name: Annotated[str | None, Meta(examples=["Website"])]


class OperationProgress(msgspec.Struct, kw_only=True):
    """How far a write is that is about all records. Neither figure shrinks, unless the writer has to begin again."""

    done: Annotated[int, Meta(description="Records that were looked at; one in several passes counts in each.")]
    total: Annotated[
        int, Meta(description="As far as is known: the last id of each pass, records that are gone included.")
    ]


class Operation(OperationMark, rename="camel", kw_only=True):
    """What became of a write. Kept for 7 days."""

    type: Annotated[str, Meta(description="The command.", examples=["CreateContact"])]
    resource: Annotated[str | None, Meta(examples=["/crm/contacts/ctc_01jrfz3x8mfvv8t3n2m6k0q4sb"])]
    actor: Annotated[
        Actor | None,
        Meta(description="Who sent the write; null for a write from before actors were recorded.", examples=[None]),
    ]
    error: Annotated[Problem | None, Meta(description="Why it was rejected.", examples=[None])]
    result: Annotated[
        dict[str, Any] | None,
        Meta(description="What it found out, where there is more to say than that it was applied.", examples=[None]),
    ]
    progress: Annotated[
        OperationProgress | None,
        Meta(description="While it is PENDING and takes longer than a second; else null.", examples=[None]),
    ]
    created_at: Time
    applied_at: Annotated[str | None, Meta(examples=[None])]


class PageMeta(msgspec.Struct, rename="camel", kw_only=True):
    """Where a page is, and how many records there are."""

    page: Annotated[int | None, Meta(description="null when reached by cursor.", examples=[1])]
    limit: Annotated[int, Meta(examples=[20])]
    total: Annotated[int, Meta(description="Left out with count=none.", examples=[1])] = 0
    total_pages: Annotated[int, Meta(description="Left out with count=none.", examples=[1])] = 0
    total_is_estimate: Annotated[bool, Meta(description="There, and true, when total is the planner's estimate.")] = (
        False
    )
    next_cursor: Annotated[str | None, Meta(description="null on the last page.", examples=[None])]


class QueryMeta(PageMeta, rename="camel", kw_only=True):
    """Where a query's page is, how many records fit, and what it took."""

    query_time_ms: Annotated[int, Meta(description="The time in the database.", examples=[12])]
    estimated_cost: Annotated[
        int, Meta(description="The planner's estimate; 1 is a page that an index serves.", examples=[1])
    ]


class GroupsMeta(msgspec.Struct, rename="camel", kw_only=True):
    """How many groups there are, and what it took to find them."""

    total: Annotated[int, Meta(examples=[1])]
    query_time_ms: Annotated[int, Meta(description="The time in the database.", examples=[12])]
    estimated_cost: Annotated[int, Meta(description="The planner's estimate, as of a query of rows.", examples=[1])]


class QueryField(msgspec.Struct, rename="camel", kw_only=True):
    """A field that queries may name."""

    name: Annotated[str, Meta(description="As queries name it; of a property, properties.<key>.", examples=["email"])]
    key: Annotated[str, Meta(description="Of a property, its key.", examples=["email"])]
    label: Annotated[str, Meta(examples=["Email"])]
    type: Annotated[str, Meta(examples=["EMAIL"])]
    operators: Annotated[list[str], Meta(description="By their names in the JSON form.", examples=[["eq", "neq"]])]
    sortable: bool
    searchable: Annotated[bool, Meta(description="Whether a search finds its words.")]
    options: Annotated[list[str], Meta(description="The values that it can have, where these are given.")]
    access: list[Literal["read", "filter", "sort", "write"]]
    is_custom: bool
    is_indexed: Annotated[bool, Meta(description="Whether an index serves some comparison of it.")]


class SearchMeta(msgspec.Struct, rename="camel", kw_only=True):
    """A typeahead has one page and counts nothing."""

    limit: Annotated[int, Meta(examples=[20])]
    next_cursor: Annotated[None, Meta(description="Always null: more than a typeahead shows is found by a list.")]


class ErrorAnswer(msgspec.Struct, kw_only=True):
    """The one shape of errors."""

    success: Literal[False]
    error: Problem
