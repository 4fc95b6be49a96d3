"""Plans of batches, made before the transaction of a batch begins."""

from collections.abc import Mapping
from typing import NamedTuple

from kith.engine.apply.decisions import Decided
from kith.engine.apply.operation_progress import Tally
from kith.engine.lists.dynamic_lists import DynamicLists
from kith.engine.lists.list_costs import Verdicts
from kith.log.port import Entry
from kith.model.commands import Envelope


class Plan(NamedTuple):
    """What a batch will store, decided before its transaction begins.

    ``rows`` are None where they are made within it, as the batch has an aftermath; ``tally`` is that of a command that
    stands alone, and so does a ``retry``. ``lists`` are the dynamic lists of each workspace; those in ``broken`` become
    BROKEN with the batch and are not evaluated.
    """

    last: int
    decided: Decided
    lists: Mapping[int, DynamicLists]
    broken: Verdicts
    rows: Mapping[str, str] | None
    poison: list[tuple[Entry, str]]
    tally: Tally | None
    retry: Envelope | None


class Portion(NamedTuple):
    """Entries of the log and their plan; None where that failed, and is tried again when their turn comes."""

    entries: list[Entry]
    plan: Plan | None
