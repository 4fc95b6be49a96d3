"""What a person chooses for an account at Mailchimp, and what opens it."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from kith.integrations.mapping import MAPPABLE, Fields, Owner, merge_fields
from kith.integrations.port import Entity

DEFAULT_FIELDS: Fields = {"givenName": "FNAME", "familyName": "LNAME", "phone": "PHONE"}
# A field of the member itself; all others are merge fields of the audience.
LANGUAGE = "language"
_PROPERTY = "properties."

StatusIfNew = Literal["transactional", "subscribed", "pending", "unsubscribed"]
MergeTag = Annotated[str, msgspec.Meta(pattern=rf"^([A-Z][A-Z0-9_]{{0,9}}|{LANGUAGE})$")]


class MailchimpCredentials(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    api_key: Annotated[str, msgspec.Meta(min_length=1, pattern=r"^[!-~]+$")]
    webhook_secret: str | None = None

    def __repr__(self) -> str:
        return "MailchimpCredentials()"


def read_credentials(document: Mapping[str, Any]) -> MailchimpCredentials:
    """Raises msgspec.ValidationError, which says what is wrong and none of the values."""
    return msgspec.convert(document, MailchimpCredentials)


class ChosenFields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Our field -> theirs, over the defaults; null takes a default away."""

    contact: Mapping[str, MergeTag | None] = {}


class MailchimpSettings(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """``ownership``: whose value of a field of ours counts where it was changed there; ours, where nothing is said.

    ``status_if_new`` is given to members that were not there; nobody's status is changed after that."""

    list_id: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9]{1,50}$")]
    status_if_new: StatusIfNew = "transactional"
    fields: ChosenFields = ChosenFields()
    tags: bool = True
    notes: bool = True
    events: bool = True
    on_delete: Literal["ARCHIVE", "ERASE", "KEEP"] = "ARCHIVE"
    ownership: dict[str, Owner] = {}

    def __post_init__(self) -> None:
        for ours in self.fields.contact:
            if ours not in MAPPABLE["contact"] and not ours.startswith(_PROPERTY):
                raise ValueError(f"No field {ours!r} on contacts. A property is named {_PROPERTY}{ours}.")
        used = Counter(self.contact_fields.values())
        twice = [theirs for theirs, times in used.items() if times > 1]
        if twice:
            sources = ", ".join(ours for ours, theirs in self.contact_fields.items() if theirs == twice[0])
            raise ValueError(f"{twice[0]} would be filled from {sources}. Map all of them but one to null.")

    @property
    def entities(self) -> list[Entity]:
        """What is sent, contacts before what hangs on them."""
        return ["contact", "activity"] if self.notes or self.events else ["contact"]

    @property
    def contact_fields(self) -> Fields:
        return merge_fields(DEFAULT_FIELDS, self.fields.contact)
