"""Names of records in requests, and a record with its pending writes."""

from collections.abc import Callable, Mapping
from typing import Any

import asyncpg
import msgspec

from kith.cql.compile import compile_get
from kith.cql.entity_schema import ENTITIES
from kith.engine.context.engine import Engine
from kith.errors import InvalidId, NotFound
from kith.ids import NUMBER_DIGITS_MAX, Prefix, parse_id
from kith.model.commands import PATHS
from kith.model.companies import normalise_domain
from kith.model.forms import DOMAIN, EMAIL
from kith.model.records import Record
from kith.model.serialization import to_json
from kith.model.state import Ref
from kith.model.values import normalise_email
from kith.model.workspaces import Workspace


class Noun(msgspec.Struct, frozen=True, kw_only=True):
    """How records of a kind are named in paths: by number, by external id, and by a value that they claim.

    ``claim_form`` is what JSON Schema can say of that value.
    """

    kind: str
    prefix: Prefix
    forms: str
    claim: str | None = None
    claim_form: Mapping[str, Any] = {}
    marks: str = ""
    normalise: Callable[[str], str | None] | None = None


NOUNS: Mapping[str, Noun] = {
    "contact": Noun(
        kind="contact",
        prefix="ctc",
        forms="a contact's number, external id (ctc_…) or email",
        claim="email",
        claim_form=EMAIL,
        marks="@",
        normalise=normalise_email,
    ),
    "company": Noun(
        kind="company",
        prefix="cmp",
        forms="a company's number, external id (cmp_…) or domain",
        claim="domain",
        claim_form=DOMAIN,
        marks=".",
        normalise=normalise_domain,
    ),
    "tag": Noun(kind="tag", prefix="tag", forms="a tag's number or external id (tag_…)"),
    "list": Noun(kind="list", prefix="lst", forms="a list's number or external id (lst_…)"),
    "property": Noun(kind="property", prefix="prp", forms="a property's number or external id (prp_…)"),
    "activity": Noun(kind="activity", prefix="act", forms="an activity's number or external id (act_…)"),
}
# The statements that get a record, by the name of what it is named by.
_GET = {
    (kind, by): compile_get(ENTITIES[kind], field)
    for kind, noun in NOUNS.items()
    for by, field in (("number", "id"), ("external_id", "externalId"), (noun.claim, noun.claim))
    if by is not None and field is not None
}


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A record: ``pending`` when writes on it are folded in, ``uncommitted`` when its create is not applied yet."""

    data: bytes
    version: int | None
    location: str
    pending: bool = False
    uncommitted: bool = False


def parse_ref(kind: str, text: str) -> Ref:
    """Raises InvalidId where it is no form of such a record's id."""
    noun = NOUNS[kind]
    if text.isascii() and text.isdecimal():
        if len(text) > NUMBER_DIGITS_MAX:
            raise make_not_found(kind, text)
        return Ref(kind, "number", int(text))
    parsed = parse_id(text)
    if parsed and parsed[0] == noun.prefix:
        return Ref(kind, "external_id", text)
    if noun.claim is not None and noun.normalise is not None and noun.marks in text and "\x00" not in text:
        try:
            value = noun.normalise(text)
        except ValueError as error:
            raise InvalidId(str(error)) from None
        if value:
            return Ref(kind, noun.claim, value)
    raise InvalidId(f"{text[:80]!r} is not {noun.forms}.")


def parse_body_id(kind: str, field: str, value: int | str) -> Ref:
    """A record as the body of a request names it: by number or external id. Raises InvalidId, InvalidRequest."""
    noun = NOUNS[kind]
    if isinstance(value, bool) or (isinstance(value, int) and value < 1):
        raise InvalidId(f"{field}: {value} is not the number of a {kind}.")
    text = str(value)
    parsed = parse_id(text)
    if not (text.isascii() and text.isdecimal()) and (parsed is None or parsed[0] != noun.prefix):
        raise InvalidId(f"{field}: {text[:80]!r} is not a {kind}'s number or external id ({noun.prefix}_…).")
    return parse_ref(kind, text)


def make_not_found(kind: str, value: int | str) -> NotFound:
    return NotFound(f"No {kind} {str(value)[:80]} is in this workspace.")


async def get_record(engine: Engine, workspace: Workspace, kind: str, text: str) -> Found:
    """The record as it is, with the pending writes on it folded in. Raises InvalidId, NotFound."""
    named = ref = parse_ref(kind, text)
    passed: set[str] = set()
    with engine.pending.reading() as seen:
        while True:
            if ref.by not in ("number", "external_id"):
                claim = (ref.by, str(ref.value))
                moves, holder = seen.find_holder(workspace.id, claim, acknowledged=True)
                if moves:
                    if holder is None:
                        if await seen.refresh(workspace.shard):
                            continue
                        raise make_not_found(kind, text)
                    ref = Ref(kind, "external_id", holder[1])
            row = await load_row(engine, workspace, ref)
            external_id = row["external_id"] if row else str(ref.value)
            moved, foreseen = seen.find_record(workspace.id, (kind, external_id), acknowledged=True)
            if await seen.refresh(workspace.shard):
                ref = named
                continue
            if moved and foreseen is None:
                raise make_not_found(kind, text)
            successor = foreseen.successor if foreseen is not None else row["successor"] if row else None
            if successor is None or successor in passed:
                # Two processes that do not know of each other's writes may accept merges in a circle.
                break
            passed.add(successor)
            named = ref = Ref(kind, "external_id", successor)
    if foreseen is not None:
        return _to_found(foreseen, row["id"] if row else None)
    if row is None:
        raise make_not_found(kind, text)
    return Found(data=row["document"].encode(), version=row["version"], location=f"{PATHS[kind]}{external_id}")


async def load_row(engine: Engine, workspace: Workspace, ref: Ref) -> asyncpg.Record | None:
    """The committed record: ``document``, ``id``, ``external_id``, ``version`` and ``successor``; None without one."""
    return await engine.database.fetchrow(_GET[ref.kind, ref.by], workspace.shard, workspace.id, ref.value)


async def find_committed_number(engine: Engine, workspace: Workspace, kind: str, text: str) -> int | None:
    """The number of the record, for a list of what belongs to it; None where its create is not applied yet.

    Raises InvalidId, NotFound.
    """
    found = await get_record(engine, workspace, kind, text)
    return msgspec.json.decode(found.data, type=_WithId).id


class _WithId(msgspec.Struct):
    id: int | None


def _to_found(record: Record, number: int | None) -> Found:
    if record.number is None and number is not None:
        record = msgspec.structs.replace(record, number=number)
    return Found(
        data=to_json(record, pending=True),
        version=getattr(record, "version", None),
        location=f"{PATHS[record.kind]}{record.external_id}",
        pending=True,
        uncommitted=record.number is None,
    )
