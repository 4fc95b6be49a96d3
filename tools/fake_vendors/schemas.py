"""What the bodies of requests may hold: an unknown key, a missing one or a value of another type is refused."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

INPUTS_MAX = 100
Properties = dict[str, str]
Text = Annotated[str, Meta(min_length=1)]


class Strict(Struct, kw_only=True, forbid_unknown_fields=True):
    """Of Mailchimp."""


class StrictCamel(Struct, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Of HubSpot."""


class ObjectId(StrictCamel):
    id: Text


class AssociationSpec(StrictCamel):
    association_category: Literal["HUBSPOT_DEFINED", "USER_DEFINED", "INTEGRATOR_DEFINED", "WORK"]
    association_type_id: int


Specs = Annotated[list[AssociationSpec], Meta(min_length=1)]


class NewAssociation(StrictCamel):
    to: ObjectId
    types: Specs


class NewObject(StrictCamel):
    properties: Properties
    associations: list[NewAssociation]


class ChangedObject(StrictCamel):
    properties: Properties


class CreateInput(StrictCamel):
    properties: Properties
    associations: list[NewAssociation]
    object_write_trace_id: str | None = None


class WriteInput(StrictCamel):
    """Of an update or an upsert."""

    id: Text
    properties: Properties
    id_property: str | None = None
    object_write_trace_id: str | None = None


class BatchCreate(StrictCamel):
    inputs: Annotated[list[CreateInput], Meta(min_length=1, max_length=INPUTS_MAX)]


class BatchWrite(StrictCamel):
    inputs: Annotated[list[WriteInput], Meta(min_length=1, max_length=INPUTS_MAX)]


class BatchRead(StrictCamel):
    inputs: Annotated[list[ObjectId], Meta(min_length=1, max_length=INPUTS_MAX)]
    properties: list[str]
    properties_with_history: Annotated[list[str], Meta(max_length=0)]
    id_property: str | None = None


class BatchArchive(StrictCamel):
    inputs: Annotated[list[ObjectId], Meta(min_length=1, max_length=INPUTS_MAX)]


class Filter(StrictCamel):
    property_name: str
    operator: Literal[
        "EQ", "NEQ", "LT", "LTE", "GT", "GTE", "BETWEEN", "IN", "NOT_IN", "HAS_PROPERTY", "NOT_HAS_PROPERTY"
    ]
    value: str | None = None
    high_value: str | None = None
    values: list[str] | None = None


class FilterGroup(StrictCamel):
    filters: Annotated[list[Filter], Meta(max_length=6)]


class Search(StrictCamel):
    filter_groups: Annotated[list[FilterGroup], Meta(max_length=5)]
    properties: list[str]
    limit: Annotated[int, Meta(ge=1, le=200)]
    after: Annotated[str, Meta(pattern=r"^[0-9]*$")]
    sorts: Annotated[list[str], Meta(max_length=1)]
    query: str | None = None


class Merge(StrictCamel):
    primary_object_id: Text
    object_id_to_merge: Text


class GdprDelete(StrictCamel):
    object_id: Text
    id_property: str | None = None


class LinkInput(StrictCamel):
    source: ObjectId = field(name="from")
    to: ObjectId
    types: Specs


class UnlinkInput(StrictCamel):
    source: ObjectId = field(name="from")
    to: Annotated[list[ObjectId], Meta(min_length=1)]


class BatchLink(StrictCamel):
    inputs: Annotated[list[LinkInput], Meta(min_length=1, max_length=INPUTS_MAX)]


class BatchUnlink(StrictCamel):
    inputs: Annotated[list[UnlinkInput], Meta(min_length=1, max_length=INPUTS_MAX)]


class Option(StrictCamel):
    label: Text
    value: Text
    display_order: int
    hidden: bool
    description: str | None = None


class NewGroup(StrictCamel):
    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,99}$")]
    label: Text
    display_order: int | None = None


class NewProperty(StrictCamel):
    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,99}$")]
    label: Text
    group_name: Text
    type: Literal["string", "number", "bool", "enumeration", "date", "datetime", "phone_number"]
    field_type: str
    description: str | None = None
    options: list[Option] | None = None
    has_unique_value: bool = False
    hidden: bool = False
    form_field: bool = False
    display_order: int | None = None
    external_options: bool | None = None
    data_sensitivity: Literal["non_sensitive", "sensitive", "highly_sensitive"] | None = None


MemberStatus = Literal["subscribed", "unsubscribed", "cleaned", "pending", "transactional"]
MergeValue = str | int | float | dict[str, str]


class ChangedMember(Strict):
    """Of a PATCH."""

    email_address: Text | UnsetType = UNSET
    status: MemberStatus | UnsetType = UNSET
    email_type: Literal["html", "text"] | UnsetType = UNSET
    merge_fields: dict[str, MergeValue] | UnsetType = UNSET
    language: str | UnsetType = UNSET
    vip: bool | UnsetType = UNSET
    interests: dict[str, bool] | UnsetType = UNSET
    location: dict[str, float] | UnsetType = UNSET
    marketing_permissions: list[dict[str, Any]] | UnsetType = UNSET
    ip_signup: str | UnsetType = UNSET
    timestamp_signup: str | UnsetType = UNSET
    ip_opt: str | UnsetType = UNSET
    timestamp_opt: str | UnsetType = UNSET


class PutMember(ChangedMember, kw_only=True):
    email_address: Text
    status_if_new: MemberStatus


class Tag(Strict):
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    status: Literal["active", "inactive"]


class Tags(Strict):
    tags: Annotated[list[Tag], Meta(min_length=1)]
    is_syncing: bool = False


class Note(Strict):
    note: Annotated[str, Meta(min_length=1, max_length=1000)]


class Event(Strict):
    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{1,29}$")]
    properties: dict[str, str] = {}
    occurred_at: str | UnsetType = UNSET
    is_syncing: bool = False


MergeFieldType = Literal[
    "text", "number", "address", "phone", "date", "url", "imageurl", "radio", "dropdown", "birthday", "zip"
]


class MergeField(Strict):
    name: Annotated[str, Meta(min_length=1, max_length=50)]
    type: MergeFieldType
    tag: Annotated[str, Meta(pattern=r"^[A-Z0-9_]{1,10}$")] | UnsetType = UNSET
    required: bool = False
    default_value: str = ""
    public: bool = False
    display_order: int = 0
    options: dict[str, Any] = {}
    help_text: str = ""


class WebhookEvents(Strict):
    subscribe: bool = False
    unsubscribe: bool = False
    profile: bool = False
    cleaned: bool = False
    upemail: bool = False
    campaign: bool = False


class WebhookSources(Strict):
    user: bool = False
    admin: bool = False
    api: bool = False


class Webhook(Strict):
    url: Annotated[str, Meta(pattern="^https?://")]
    events: WebhookEvents
    sources: WebhookSources
