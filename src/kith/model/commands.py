"""Commands: what was asked, in the imperative, and the envelope in which it stands on the log.

A command carries everything that applying it needs and the record cannot tell: new ids, times, normalised values.
"""

from datetime import datetime
from typing import Any

import msgspec

from kith.model.contacts import LifecycleStage


class CreateContact(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    contact_id: str
    email: str | None = None
    name: str | None = None
    given_name: str | None = None
    family_name: str | None = None
    phone: str | None = None
    phone_e164: str | None = None
    avatar: str | None = None
    lifecycle_stage: LifecycleStage = "LEAD"
    properties: dict[str, Any] = {}


class UpdateContact(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """``changes``: the fields that were sent, by the record's names; ``properties`` merge by key, null removes."""

    contact_id: str
    changes: dict[str, Any]
    if_version: int | None = None


class DeleteContact(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    contact_id: str
    if_version: int | None = None


class RestoreContact(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    contact_id: str
    if_version: int | None = None


Command = CreateContact | UpdateContact | DeleteContact | RestoreContact


class Idempotency(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay of the request is answered from: the hex fingerprint of the request, and the first answer."""

    fingerprint: str
    answer: msgspec.Raw


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A command on the log. ``at`` is when it was accepted; ``key_id`` the API key that sent it."""

    operation_id: str
    workspace_id: int
    at: datetime
    key_id: int
    command: Command
    idempotency: Idempotency | None = None


def to_type(command: Command) -> str:
    return type(command).__name__


def to_resource(command: Command) -> str:
    """The path of the record that the command is about."""
    return f"/crm/contacts/{command.contact_id}"
