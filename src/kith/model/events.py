"""Events: what happened, in the past tense, with the old and the new value of all that changed."""

from typing import Any

import msgspec

from kith.model.contacts import Contact


class ContactEvent(msgspec.Struct, frozen=True, kw_only=True):
    """``contact`` is the record afterwards; ``changes`` maps a field to (old, new)."""

    contact: Contact
    changes: dict[str, tuple[Any, Any]]


class ContactCreated(ContactEvent, frozen=True, kw_only=True):
    pass


class ContactUpdated(ContactEvent, frozen=True, kw_only=True):
    pass


class ContactDeleted(ContactEvent, frozen=True, kw_only=True):
    pass


class ContactRestored(ContactEvent, frozen=True, kw_only=True):
    pass


Event = ContactCreated | ContactUpdated | ContactDeleted | ContactRestored

TYPES: dict[type[ContactEvent], str] = {
    ContactCreated: "contact.created",
    ContactUpdated: "contact.updated",
    ContactDeleted: "contact.deleted",
    ContactRestored: "contact.restored",
}
REJECTED = "operation.rejected"
