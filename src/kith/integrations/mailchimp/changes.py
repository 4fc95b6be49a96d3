"""Convert changes of a Mailchimp member to the form of the port. Pure."""

from collections.abc import Collection, Iterator
from datetime import datetime

from kith.integrations.inbound_port import (
    Cleaned,
    EmailChanged,
    FieldChanged,
    Inbound,
    Removed,
    Subscribed,
    Unsubscribed,
)
from kith.integrations.mailchimp.client import ChangedMember
from kith.integrations.mailchimp.payloads import BETWEEN
from kith.integrations.mapping import to_text


def list_changes(member: ChangedMember, fields: Collection[str]) -> Iterator[Inbound]:
    """Its status, email, and the merge fields that are mapped; all of them, as nothing says which one changed."""
    yield from _list_status(member, member.external_id, member.email_address, member.last_changed)
    if member.status == "archived":
        return
    yield EmailChanged(old=None, new=member.email_address, at=member.last_changed, external_id=member.external_id)
    for field, value in member.merge_fields.items():
        if field in fields:
            yield FieldChanged(
                external_id=member.external_id,
                field=field,
                value=to_text(value, BETWEEN) or None,
                at=member.last_changed,
                email=member.email_address,
            )


def _list_status(member: ChangedMember, external_id: str, email: str, at: datetime) -> Iterator[Inbound]:
    """Nothing for those who have never been asked: transactional, pending."""
    if member.status == "archived":
        yield Removed(external_id=external_id, at=at, email=email)
    elif member.status == "cleaned":
        yield Cleaned(email=email, at=at, reason=None)
    elif member.status == "unsubscribed":
        yield Unsubscribed(external_id=external_id, email=email, at=at, reason=member.unsubscribe_reason)
    elif member.status == "subscribed":
        yield Subscribed(external_id=external_id, email=email, at=at)
