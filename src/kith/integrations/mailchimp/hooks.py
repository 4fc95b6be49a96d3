"""Webhooks of an audience: forms, of which each tells one thing about one member. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from kith.integrations.inbound_port import (
    Cleaned,
    EmailChanged,
    FieldChanged,
    Inbound,
    Removed,
    Subscribed,
    Unsubscribed,
)

FIELDS_MAX = 1000
_MERGE = re.compile(r"data\[merges\]\[([A-Z0-9_]+)\]")
# Told with the merge fields, but none: the member's email, which has a hook of its own, and interests.
_NO_MERGE_FIELDS = {"EMAIL", "INTERESTS", "GROUPINGS"}
Form = Mapping[str, str]


def read_hook(body: bytes) -> tuple[Inbound, ...]:
    """Empty where it is of a type that tells nothing of a member. Raises ValueError.

    Members are named by email: the id that a hook has is of another kind than the one that answers have.
    """
    form = dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=FIELDS_MAX))
    at = datetime.strptime(_get(form, "fired_at"), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    read = _READERS.get(_get(form, "type"))
    return tuple(read(form, at)) if read else ()


def _read_subscribe(form: Form, at: datetime) -> Iterator[Inbound]:
    yield Subscribed(external_id=None, email=_get(form, "data[email]"), at=at)
    yield from _read_profile(form, at)


def _read_unsubscribe(form: Form, at: datetime) -> Iterator[Inbound]:
    """Who is deleted there has not said that they want no mail."""
    email = _get(form, "data[email]")
    if form.get("data[action]") == "delete":
        yield Removed(external_id=None, at=at, email=email)
    else:
        yield Unsubscribed(external_id=None, email=email, at=at, reason=form.get("data[reason]"))


def _read_profile(form: Form, at: datetime) -> Iterator[Inbound]:
    email = _get(form, "data[email]")
    for name, value in form.items():
        match = _MERGE.fullmatch(name)
        if match and match[1] not in _NO_MERGE_FIELDS:
            yield FieldChanged(external_id=None, field=match[1], value=value, at=at, email=email)


def _read_email_change(form: Form, at: datetime) -> Iterator[Inbound]:
    yield EmailChanged(old=_get(form, "data[old_email]"), new=_get(form, "data[new_email]"), at=at)


def _read_cleaned(form: Form, at: datetime) -> Iterator[Inbound]:
    yield Cleaned(email=_get(form, "data[email]"), at=at, reason=form.get("data[reason]"))


def _get(form: Form, name: str) -> str:
    text = form.get(name)
    if not text:
        raise ValueError(f"The webhook has no {name}.")
    return text


_READERS: Mapping[str, Callable[[Form, datetime], Iterator[Inbound]]] = {
    "subscribe": _read_subscribe,
    "unsubscribe": _read_unsubscribe,
    "profile": _read_profile,
    "upemail": _read_email_change,
    "cleaned": _read_cleaned,
}
