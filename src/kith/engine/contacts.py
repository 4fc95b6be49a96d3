"""The verbs on contacts."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from kith.cql.ast import And, Comparison, Condition, Query, Search, Sort
from kith.cql.catalogue import CONTACT
from kith.cql.compile import compile_get, compile_typeahead
from kith.engine.context import Engine
from kith.engine.loading import Keys
from kith.engine.query import Count, Page, check_depth, read_cursor, run_query
from kith.engine.submit import Attempt, WriteRequest, Written, begin, find_replayed, submit, wait_for
from kith.errors import InvalidId, InvalidRequest, NotFound, Validation
from kith.ids import parse_id
from kith.model.commands import Command, CreateContact, DeleteContact, RestoreContact, UpdateContact
from kith.model.contacts import LIVE, Contact, ContactInput, ContactPatch, make_changes, to_json
from kith.model.state import State
from kith.model.values import normalise_email
from kith.model.workspaces import Workspace

NUMBER_DIGITS_MAX = 18
SEARCH_CHARACTERS_MAX = 500
_GET = {by: compile_get(CONTACT, by) for by in ("id", "externalId", "email")}


class Ref(msgspec.Struct, frozen=True):
    """A contact as a path names it: by number, external id or email."""

    by: Literal["id", "externalId", "email"]
    value: int | str

    def to_keys(self, *emails: str) -> Keys:
        if self.by == "id":
            return Keys(numbers=(int(self.value),), emails=emails)
        if self.by == "externalId":
            return Keys(external_ids=(str(self.value),), emails=emails)
        return Keys(emails=(str(self.value), *emails))


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A record: ``pending`` when writes on it are folded in, ``uncommitted`` when its create is not applied yet."""

    data: bytes
    version: int
    location: str
    pending: bool = False
    uncommitted: bool = False


class ContactListing(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of contacts is asked for. Dates are ISO 8601; ``page`` and ``cursor`` exclude each other."""

    page: int | None = None
    limit: int = 20
    cursor: str | None = None
    count: Count = "default"
    search: str | None = None
    status: str | None = None
    lifecycle_stage: str | None = None
    module: str | None = None
    is_identified: bool | None = None
    created_from: str | None = None
    created_to: str | None = None
    sort_by: str = "createdAt"
    sort_order: Literal["asc", "desc"] = "desc"


def parse_ref(text: str) -> Ref:
    """Raises InvalidId where it is no form of a contact's id."""
    if text.isascii() and text.isdecimal():
        if len(text) > NUMBER_DIGITS_MAX:
            raise NotFound(f"No contact {text[:80]} is in this workspace.")
        return Ref("id", int(text))
    parsed = parse_id(text)
    if parsed and parsed[0] == "ctc":
        return Ref("externalId", text)
    if "@" in text:
        try:
            email = normalise_email(text)
        except ValueError as error:
            raise InvalidId(str(error)) from None
        if email:
            return Ref("email", email)
    raise InvalidId(f"{text[:80]!r} is not a contact's number, external id (ctc_…) or email.")


def make_checked_changes(workspace: Workspace, fields: ContactInput) -> dict[str, Any]:
    """``make_changes``; in a workspace that is strict about them, without properties that are not defined."""
    changes = make_changes(fields)
    undefined = [key for key, value in changes.get("properties", {}).items() if value is not None]
    if workspace.strict_properties and undefined:
        message = "is not defined, and this workspace takes only properties that are."
        raise Validation([(f"properties.{key}", message) for key in undefined])
    return changes


async def create_contact(engine: Engine, request: WriteRequest, fields: ContactInput) -> Written:
    changes = {
        field: value for field, value in make_checked_changes(request.workspace, fields).items() if value is not None
    }
    email = changes.get("email")

    def make_command(attempt: Attempt, _: State) -> Command:
        return CreateContact(contact_id=attempt.make_id("ctc"), **changes)

    return await _write(engine, request, Keys(emails=(email,) if email else ()), make_command)


async def update_contact(engine: Engine, request: WriteRequest, ref: str, fields: ContactPatch) -> Written:
    parsed, changes = parse_ref(ref), make_checked_changes(request.workspace, fields)
    email = changes.get("email")
    keys = parsed.to_keys(email) if email else parsed.to_keys()

    def make_command(_: Attempt, state: State) -> Command:
        contact_id = get_target(state, parsed).external_id
        return UpdateContact(contact_id=contact_id, changes=changes, if_version=request.if_version)

    return await _write(engine, request, keys, make_command)


async def delete_contact(engine: Engine, request: WriteRequest, ref: str) -> Written:
    parsed = parse_ref(ref)

    def make_command(_: Attempt, state: State) -> Command:
        return DeleteContact(contact_id=get_target(state, parsed).external_id, if_version=request.if_version)

    return await _write(engine, request, parsed.to_keys(), make_command)


async def restore_contact(engine: Engine, request: WriteRequest, ref: str) -> Written:
    parsed = parse_ref(ref)

    def make_command(_: Attempt, state: State) -> Command:
        return RestoreContact(contact_id=get_target(state, parsed).external_id, if_version=request.if_version)

    return await _write(engine, request, parsed.to_keys(), make_command)


def get_target(state: State, ref: Ref) -> Contact:
    """The contact that a write names. Raises NotFound."""
    found = state.find_by_email(str(ref.value)) if ref.by == "email" else state.find_named(ref.value)
    if found is None:
        raise NotFound(f"No contact {ref.value} is in this workspace.")
    return found


async def get_contact(engine: Engine, workspace: Workspace, ref: str) -> Found:
    """The record as it is, with the pending writes on it folded in. Raises InvalidId, NotFound."""
    parsed = parse_ref(ref)
    value = parsed.value
    with engine.pending.reading():
        by = parsed.by
        if by == "email":
            moves, holder = engine.pending.find_holder(workspace.id, str(value), acknowledged=True)
            if moves:
                if holder is None:
                    raise NotFound(f"No contact {value} is in this workspace.")
                by, value = "externalId", holder
        row = await engine.database.fetchrow(_GET[by], workspace.shard, workspace.id, value)
        contact_id = row["external_id"] if row else value
        foreseen = engine.pending.find_contact(workspace.id, str(contact_id), acknowledged=True)
        if foreseen is not None:
            return _to_found(foreseen, row["id"] if row else None)
    if row is None:
        raise NotFound(f"No contact {ref} is in this workspace.")
    return Found(data=row["document"].encode(), version=row["version"], location=f"/crm/contacts/{row['external_id']}")


async def list_contacts(engine: Engine, workspace: Workspace, listing: ContactListing) -> Page:
    query = Query(
        entity="contact",
        where=make_condition(listing, workspace),
        sort=Sort(listing.sort_by, listing.sort_order == "desc"),
        limit=listing.limit,
    )
    if listing.cursor is not None:
        if listing.page is not None:
            raise InvalidRequest("page and cursor exclude each other; send one of them.", {"parameter": "page"})
        after = read_cursor(engine, workspace, query, listing.cursor)
        return await run_query(
            engine, workspace, CONTACT, msgspec.structs.replace(query, after=after), listing.count, None
        )
    page = listing.page or 1
    query = msgspec.structs.replace(query, offset=check_depth(page, listing.limit))
    return await run_query(engine, workspace, CONTACT, query, listing.count, page)


async def search_contacts(engine: Engine, workspace: Workspace, q: str, limit: int) -> Page:
    """Typeahead: the best live contacts for what was typed so far."""
    statement = compile_typeahead(CONTACT, check_search(q, "q"), limit, workspace.shard, workspace.id)
    if statement is None:
        return Page(b"[]", {"limit": limit, "nextCursor": None})
    data = await engine.queries.fetchval(statement.sql, *statement.values)
    return Page(data.encode(), {"limit": limit, "nextCursor": None})


def make_condition(listing: ContactListing, workspace: Workspace) -> And:
    """The conditions of a listing, the status first. Raises InvalidRequest naming a parameter that is none."""
    terms: list[Condition] = [
        Comparison("status", "eq", listing.status) if listing.status else Comparison("status", "in", LIVE)
    ]
    if listing.lifecycle_stage:
        terms.append(Comparison("lifecycleStage", "eq", listing.lifecycle_stage))
    if listing.module:
        terms.append(Comparison("modules", "has_any", listing.module))
    if listing.is_identified is not None:
        terms.append(Comparison("isIdentified", "eq", listing.is_identified))
    if listing.created_from is not None:
        terms.append(Comparison("createdAt", "gte", parse_time(listing.created_from, "from", workspace)[0]))
    if listing.created_to is not None:
        at, is_day = parse_time(listing.created_to, "to", workspace)
        terms.append(Comparison("createdAt", "lt" if is_day else "lte", at))
    if listing.search is not None and listing.search.strip():
        terms.append(Search(check_search(listing.search, "search")))
    return And(tuple(terms))


def parse_time(text: str, parameter: str, workspace: Workspace) -> tuple[datetime, bool]:
    """(a time in UTC, whether a bare day was given). A day as ``to`` ends where the next begins.

    Without an offset the time is in the workspace's time zone. Raises InvalidRequest naming the parameter.
    """
    zone = ZoneInfo(workspace.timezone)
    try:
        if (day := find_day(text)) is not None:
            at = datetime.combine(day, time(), zone)
            return (at + timedelta(days=1 if parameter == "to" else 0)).astimezone(UTC), True
        at = datetime.fromisoformat(text.replace(" ", "+"))
        return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC), False
    except OverflowError:  # the first or the last day that there is
        return (datetime.min.replace(tzinfo=UTC) if text < "5000" else datetime.max.replace(tzinfo=UTC)), False
    except ValueError:
        raise InvalidRequest(
            f"{parameter} is {text[:40]!r}; it must be an ISO 8601 date or time, such as 2026-04-10 or"
            " 2026-04-10T10:30:00Z.",
            {"parameter": parameter},
        ) from None


def find_day(text: str) -> date | None:
    """The day, where the text is a date without a time."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def check_search(text: str, parameter: str) -> str:
    if len(text) > SEARCH_CHARACTERS_MAX:
        raise InvalidRequest(
            f"{parameter} has {len(text)} characters; at most {SEARCH_CHARACTERS_MAX} are looked for.",
            {"parameter": parameter},
        )
    return text


async def _write(
    engine: Engine, request: WriteRequest, keys: Keys, make_command: Callable[[Attempt, State], Command]
) -> Written:
    """Submit, unless it is a replay; then wait, if that was wished."""
    attempt = begin(engine, request)
    # One reading: a replay that is pending when it is looked for first is not dropped before it is looked for again.
    with engine.pending.reading():
        written = await find_replayed(engine, attempt)
        if written is None:
            written = await submit(engine, attempt, keys, lambda state: make_command(attempt, state))
    if request.wait_s <= 0:
        return written
    applied = await wait_for(engine, written, request.workspace, request.wait_s)
    if applied is None:
        return written
    row = await engine.database.fetchrow(
        _GET["externalId"], request.workspace.shard, request.workspace.id, applied.location.rpartition("/")[2]
    )
    assert row is not None, "what an applied write names is there"
    return msgspec.structs.replace(applied, data=row["document"].encode())


def _to_found(contact: Contact, number: int | None) -> Found:
    if contact.number is None and number is not None:
        contact = msgspec.structs.replace(contact, number=number)
    return Found(
        data=to_json(contact, pending=True),
        version=contact.version,
        location=f"/crm/contacts/{contact.external_id}",
        pending=True,
        uncommitted=contact.number is None,
    )
