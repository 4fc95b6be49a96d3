"""From the body of a write to the changes of a record: what was sent, normalised, or every fault at once."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from msgspec import UNSET

from kith.errors import Validation
from kith.model.values import normalise_phone, normalise_properties


def make_changes(
    fields: msgspec.Struct,
    texts: Mapping[str, Callable[[str], str | None]],
    *,
    plain: Sequence[str] = (),
    faults: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """The fields that were sent, by the record's names: ``texts`` normalised, ``plain`` as they are.

    ``phone`` and ``properties`` are looked after where the body has them. Raises Validation with every wrong field,
    those found before among them.
    """
    changes: dict[str, Any] = {}
    found = list(faults)
    public = get_public_names(type(fields))
    for field, normalise in texts.items():
        value = getattr(fields, field)
        if value is not UNSET:
            try:
                changes[field] = normalise(value) if value is not None else None
            except ValueError as error:
                found.append((public[field], str(error)))
    phone = getattr(fields, "phone", UNSET)
    if phone is not UNSET:
        try:
            changes["phone"], changes["phone_e164"] = normalise_phone(phone or "")
        except ValueError as error:
            found.append(("phone", str(error)))
    for field in plain:
        value = getattr(fields, field, UNSET)
        if value is not UNSET:
            changes[field] = value
    properties = getattr(fields, "properties", UNSET)
    if properties:
        changes["properties"], wrong = normalise_properties(properties)
        found += wrong
    if found:
        raise Validation(found)
    return changes


def list_uncleared(fields: msgspec.Struct, names: Sequence[str]) -> list[tuple[str, str]]:
    """A fault for each of these fields that a null would clear, which it cannot."""
    public = get_public_names(type(fields))
    faults = []
    for field in names:
        if getattr(fields, field) is None:
            message = "cannot be cleared; leave it out or send a value."
            if field == "properties":
                message = "cannot be cleared as a whole; send null for each key that shall go."
            faults.append((public[field], message))
    return faults


@cache
def get_public_names(shape: type[msgspec.Struct]) -> dict[str, str]:
    return dict(zip(shape.__struct_fields__, shape.__struct_encode_fields__, strict=True))
