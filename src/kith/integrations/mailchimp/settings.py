"""Settings and credentials of a Mailchimp integration."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec

from kith.integrations.mapping import Fields, Owner, find_collisions, merge_fields
from kith.integrations.port import Entity

DEFAULT_FIELDS: Fields = {"givenName": "FNAME", "familyName": "LNAME", "phone": "PHONE"}
# A field of the member itself; all others are merge fields of the audience.
LANGUAGE = "language"
_MERGE_TAG = re.compile(rf"[A-Z][A-Z0-9_]{{0,9}}|{LANGUAGE}")

StatusIfNew = Literal["transactional", "subscribed", "pending", "unsubscribed"]


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

    contact: Mapping[str, str | None] = {}


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

    def find_faults(self) -> Iterator[tuple[str, str]]:
        """(path of a setting, what is wrong) of the fields that cannot be sent as they are mapped."""
        for ours, theirs in self.fields.contact.items():
            if theirs is not None and not _MERGE_TAG.fullmatch(theirs):
                form = f"a merge tag: a capital letter, then up to 9 capitals, digits and _; or {LANGUAGE}"
                yield f"settings.fields.contact.{ours}", f"must be {form}; {theirs[:100]!r} is not."
        yield from find_collisions("settings.fields.contact", DEFAULT_FIELDS, self.fields.contact)

    @property
    def entities(self) -> list[Entity]:
        """What is sent, contacts before what hangs on them."""
        return ["contact", "activity"] if self.notes or self.events else ["contact"]

    @property
    def contact_fields(self) -> Fields:
        return merge_fields(DEFAULT_FIELDS, self.fields.contact)
