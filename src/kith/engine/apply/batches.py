"""Cut the next batch from the log: its commands, up to one that has to be in a batch of its own."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from kith.engine.apply.bulk_effects import stands_alone
from kith.engine.apply.decisions import LoggedCommand
from kith.engine.lists.dynamic_lists import DynamicLists
from kith.errors import NewerLog
from kith.log.port import Entry
from kith.model.codec import Newer, Undecodable, decode_envelope
from kith.model.commands import AddMembers, Envelope, MergeContacts, RemoveMembers

# How many members of lists the commands of a batch may name before it ends: each is a record to load.
MEMBERS_MAX = 5000


class Batch(NamedTuple):
    """Commands that are applied together, entries that cannot be decoded with the reason.

    ``first`` and ``last`` are the positions of both.
    ``alone``: all before must be stored first. ``has_aftermath``: more is done when its rows are there.
    """

    first: int
    last: int
    placed: list[LoggedCommand]
    poison: list[tuple[Entry, str]]
    alone: bool
    has_aftermath: bool


def decode_entry(entry: Entry) -> Envelope | str:
    """The command, or why it cannot be read. Raises NewerLog for one that a newer program reads."""
    try:
        return decode_envelope(entry.data)
    except Newer as error:
        raise NewerLog(
            f"{error} It is at {entry.position}. Start a writer of the newer version: this one stops."
        ) from None
    except Undecodable as error:
        return str(error)


def cut_batch(decoded: Sequence[tuple[Entry, Envelope | str]], find_lists: Callable[[int], DynamicLists]) -> Batch:
    """The first of the entries, as many as make a batch.

    A merge ends its batch: what it moves must not depend on how the log is cut into batches. So do commands that
    together name too many members of lists. What is about all records stands alone, and so does a retry.
    """
    members = 0
    placed: list[LoggedCommand] = []
    poison: list[tuple[Entry, str]] = []
    alone = has_aftermath = False
    for entry, envelope in decoded:
        if isinstance(envelope, str):
            poison.append((entry, envelope))
            continue
        command, lists = envelope.command, find_lists(envelope.workspace_id)
        alone = stands_alone(command, lists) or envelope.retry_of is not None
        if alone and (placed or poison):
            alone = False
            break
        placed.append(LoggedCommand(entry.position, envelope))
        has_aftermath = has_aftermath or alone or lists.has_wide
        if alone or isinstance(command, MergeContacts):
            break
        if isinstance(command, (AddMembers, RemoveMembers)):
            members += len(command.record_ids)
            if members > MEMBERS_MAX:
                break
    last = max([one.position for one in placed[-1:]] + [entry.position for entry, _ in poison[-1:]])
    return Batch(decoded[0][0].position, last, placed, poison, alone, has_aftermath)


def list_up_to(position: int, entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.position <= position]
