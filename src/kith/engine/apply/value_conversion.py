"""The values that records hold under a property's key: surveyed before its type changes, converted when it does,
and copied to where an index has them."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from kith.engine.apply.decisions import LoggedCommand
from kith.engine.apply.operation_progress import Tally, Walk
from kith.model.decide import touches
from kith.model.derived import fold_value
from kith.model.properties import Property
from kith.model.records import Identity, Record
from kith.model.rules.properties import Surveyed, find_surveyed
from kith.model.slots import has_index, to_copy, to_marks, to_prefix
from kith.model.state import State, Survey
from kith.model.typed_values import convert_value, fits, show_value
from kith.model.values import same_json
from kith.store.batch import to_documents
from kith.store.database import Connection
from kith.store.queries import load_queries

WINDOW_RECORDS = 10_000
EXAMPLES_MAX = 5
_SQL = load_queries("properties")
_decode = msgspec.json.Decoder(list[tuple[list[int], Any]], float_hook=Decimal).decode


class _Holder(NamedTuple):
    """Who holds the values of an entity's properties: the statements' name, how one is named, its path.

    ``walk``: by whose ids they are walked first.
    """

    name: str
    ids: int
    path: str
    walk: Walk


_HOLDERS: Mapping[str, _Holder] = {
    "CONTACT": _Holder("contact", 1, "/crm/contacts/{}", "contact"),
    "COMPANY": _Holder("company", 1, "/crm/companies/{}", "company"),
    "CONTACT_COMPANY": _Holder("association", 2, "/crm/contacts/{}/companies/{}", "contact"),
}


def to_walk(one: Property) -> Walk:
    """By whose ids the holders of its values are walked."""
    return _HOLDERS[one.entity].walk


async def survey_values(
    connection: Connection, shard: int, workspace_id: int, surveyed: Surveyed, tally: Tally | None = None
) -> Survey:
    """How the values under the property's key fit it. Changes nothing."""
    return await _walk(connection, shard, workspace_id, surveyed, None, tally)


async def survey_batch(
    connection: Connection,
    shard: int,
    placed: Sequence[LoggedCommand],
    records: Sequence[tuple[int, Record]],
    tally: Tally,
) -> dict[tuple[int, Identity], Survey]:
    """What the values that records hold say of the property that the command changes, where that decides on it."""
    (_, envelope), *_ = placed
    state = State()
    state.know(record for _, record in records)
    state.mark_absent(touches(envelope.command))
    surveyed = find_surveyed(state, envelope.command)
    if surveyed is None:
        return {}
    # What is surveyed is converted then, where it may be.
    tally.expect([to_walk(surveyed.after)] * 2)
    survey = await survey_values(connection, shard, envelope.workspace_id, surveyed, tally)
    return {(envelope.workspace_id, surveyed.after.identity): survey}


def list_walks(before: Property | None, one: Property) -> list[Walk]:
    """What a conversion walks."""
    return [to_walk(one)] * (_leaves_slot(before, one) + _has_values(before, one))


def _leaves_slot(before: Property | None, one: Property) -> bool:
    return before is not None and before.slot is not None and before.slot != one.slot


def _has_values(before: Property | None, one: Property) -> bool:
    """Whether values are held to it, or have marks that go."""
    return one.active or _was_marked(before)


def _was_marked(before: Property | None) -> bool:
    return before is not None and has_index(before) and before.type == "MULTI_SELECT"


async def convert_values(
    connection: Connection,
    shard: int,
    workspace_id: int,
    before: Property | None,
    one: Property,
    tally: Tally | None = None,
) -> Survey:
    """Bring the values that fit into the property's form, and the copies of them into its slot.

    What does not fit stays as it is, has no copy, and is told of. ``before`` is the property as it was.
    """
    if before is not None and _leaves_slot(before, one):
        await _clear_slot(connection, shard, workspace_id, before, tally)
    if not _has_values(before, one):
        return Survey()
    marks = to_prefix(one, workspace_id) if _was_marked(before) or one.type == "MULTI_SELECT" else ""
    return await _walk(connection, shard, workspace_id, Surveyed(one, None), marks, tally)


async def _clear_slot(
    connection: Connection, shard: int, workspace_id: int, before: Property, tally: Tally | None
) -> None:
    """Nobody has anything in it any more, whoever gets it next."""
    statement = _SQL[f"clear_{_HOLDERS[before.entity].name}_slot"]
    if tally is not None:
        tally.begin(to_walk(before))
    after = 0
    while after is not None:
        if tally is not None and after:
            await tally.reach(after)
        after = await connection.fetchval(statement, shard, workspace_id, before.slot, after, WINDOW_RECORDS)


async def _walk(
    connection: Connection,
    shard: int,
    workspace_id: int,
    surveyed: Surveyed,
    marks: str | None,
    tally: Tally | None,
) -> Survey:
    """All records of the entity, window by window in the order of their ids, deleted ones too: they may come back.

    ``marks`` None surveys only; else it is what the marks of the property begin with, empty where it has none.
    """
    one, before = surveyed
    holder = _HOLDERS[one.entity]
    after = [0] * holder.ids
    survey = Survey()
    if tally is not None:
        tally.begin(holder.walk)
    while True:
        row = await connection.fetchrow(
            _SQL[f"load_{holder.name}_values"], shard, workspace_id, one.key, WINDOW_RECORDS, *after
        )
        assert row is not None
        if row["last"] is None or row["last"][0] is None:
            return survey
        after = row["last"]
        survey, changed = _look_at(
            _decode(row["held"]), workspace_id, one, before, survey, checks=marks is None or one.active
        )
        if marks is not None and changed:
            values = [shard, workspace_id, one.key, to_documents(changed)]
            if holder.name != "association":
                values += [one.slot or "", marks]
            await connection.execute(_SQL[f"save_{holder.name}_values"], *values)
        if tally is not None:
            await tally.reach(after[0])


def _look_at(
    held: list[tuple[list[int], Any]],
    workspace_id: int,
    one: Property,
    before: Property | None,
    survey: Survey,
    *,
    checks: bool,
) -> tuple[Survey, list[tuple[list[int], Any, Any, list[str], Any]]]:
    """(the survey with these values, those to save: as they shall be, with the copy, marks and folded forms of each).

    ``checks``: whether they are held to the property, which an archived one asks of nobody.
    """
    path = _HOLDERS[one.entity].path
    converted, misfits, examples = survey.converted, survey.misfits, list(survey.examples)
    changed: list[tuple[list[int], Any, Any, list[str], Any]] = []
    for ids, value in held:
        normal = value
        if checks:
            try:
                normal = convert_value(one, value)
            except ValueError as error:
                if before is not None and not fits(before, value):
                    continue
                misfits += 1
                if len(examples) < EXAMPLES_MAX:
                    examples.append((path.format(*ids), show_value(value), str(error)))
        differs = not same_json(normal, value)
        converted += differs
        copied = one.slot is not None or one.type == "MULTI_SELECT" or not one.active
        if differs or copied:
            copy = to_copy(one, normal) if one.slot is not None else None
            marks = to_marks(one, workspace_id, normal) if has_index(one) and one.type == "MULTI_SELECT" else []
            changed.append((ids, normal, copy, marks, fold_value(normal) if isinstance(normal, str) else None))
    counted = Survey(values=survey.values + len(held), converted=converted, misfits=misfits, examples=tuple(examples))
    return counted, changed
