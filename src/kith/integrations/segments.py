"""The segment of an integration: whom it sends.

A segment is a list. A filter given as ``where`` is kept as a dynamic list of its own, so that who fits is exact at any
time and whoever enters or leaves is an event of the feed.
"""

import msgspec
from msgspec import UNSET, UnsetType

from kith.cql.parser import parse
from kith.cql.printer import to_json
from kith.cql.resolve import resolve
from kith.engine.accept.lists import create_list, delete_list, update_list
from kith.engine.accept.submit import WriteRequest
from kith.engine.context.engine import Engine
from kith.engine.read.records import get_record
from kith.errors import NotFound, Validation
from kith.ids import derive_id
from kith.model.lists import ListInput, ListPatch


class SegmentInput(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Who is sent: who fits a CQL filter on contacts (``where``), or the members of a list (``list_id``)."""

    where: str | UnsetType = UNSET
    list_id: int | str | UnsetType = UNSET


class Segment(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A segment as it is kept. ``list`` is the list's external id; ``seen``: the list is or was there."""

    list: str
    where: str | None = None
    list_id: int | str | None = None
    seen: bool = False

    def show(self) -> dict[str, int | str]:
        return {"where": self.where} if self.where is not None else {"listId": self.list_id or self.list}


class _List(msgspec.Struct, rename="camel"):
    id: int | None
    external_id: str
    entity_type: str


def check_segment(given: SegmentInput) -> None:
    """Raise Validation unless it has a filter or a list, and not both."""
    if (given.where is UNSET) == (given.list_id is UNSET):
        raise Validation([("segment", 'takes either "where", a CQL filter, or "listId", a list\'s id.')])


async def make_segment(engine: Engine, request: WriteRequest, name: str, given: SegmentInput, *of: str) -> Segment:
    """Raises Validation, NotFound, and the refusals of CQL. With ``where``, it makes a dynamic list.

    ``of`` is the state in which the integration is to get it: in the same, the same request gets the same list. It
    comes again where the process was killed before the segment was saved.
    """
    check_segment(given)
    if given.list_id is not UNSET:
        try:
            found = await get_record(engine, request.workspace, "list", str(given.list_id))
        except NotFound as error:
            raise Validation([("segment.listId", error.message)]) from None
        there = msgspec.json.decode(found.data, type=_List)
        if there.entity_type != "CONTACT":
            raise Validation([("segment.listId", f"the list {given.list_id} is of companies; it must be of contacts.")])
        return Segment(list=there.external_id, list_id=given.list_id, seen=there.id is not None)
    assert given.where is not UNSET
    fields = ListInput(
        name=f"Segment of {name}",
        entity_type="CONTACT",
        is_dynamic=True,
        filter_criteria=await _read_where(engine, request, given.where),
    )
    if request.idempotency_key is None:
        request = msgspec.structs.replace(request, idempotency_key=derive_id("lst", *of, name, given.where))
    written = await create_list(engine, _for_list(request), fields)
    return Segment(list=written.location.rpartition("/")[2], where=given.where)


async def change_segment(
    engine: Engine, request: WriteRequest, name: str, held: Segment | None, given: SegmentInput | None, *of: str
) -> Segment | None:
    """The segment in place of the one that is held. A filter takes the place of a filter in the same list."""
    if given is not None:
        check_segment(given)
    if held is not None and held.where is not None and given is not None and given.where is not UNSET:
        criteria = await _read_where(engine, request, given.where)
        await update_list(engine, _for_list(request), held.list, ListPatch(filter_criteria=criteria))
        return msgspec.structs.replace(held, where=given.where)
    made = await make_segment(engine, request, name, given, *of) if given is not None else None
    await drop_segment(engine, request, held)
    return made


async def drop_segment(engine: Engine, request: WriteRequest, held: Segment | None) -> None:
    """Delete the list that was made for a filter."""
    if held is None or held.where is None:
        return
    try:
        await delete_list(engine, _for_list(request, "-"), held.list)
    except NotFound:
        return


async def _read_where(engine: Engine, request: WriteRequest, where: str) -> dict[str, object]:
    if not where.strip():
        raise Validation([("segment.where", "is empty; write a CQL filter, or set segment to null to send everybody.")])
    vocabulary = (await engine.vocabularies.get(request.workspace)).pick(("contact",))
    return to_json(resolve(parse(where), vocabulary))


def _for_list(request: WriteRequest, mark: str = "+") -> WriteRequest:
    """The request's write on the list: by the same key, and once where the request comes again."""
    key = f"{request.idempotency_key[:250]} {mark}" if request.idempotency_key is not None else None
    return msgspec.structs.replace(request, idempotency_key=key, if_version=None, wait_s=0)
