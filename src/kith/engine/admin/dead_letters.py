"""Retrying what was set aside: the same command once more on the log, where the writer takes it once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

import msgspec

from kith.clock import to_iso
from kith.errors import InvalidRequest, NotFound
from kith.log.port import Log
from kith.model.codec import Undecodable, decode_envelope, encode_envelope, encode_retry
from kith.model.commands import Retry
from kith.store.database import Connection
from kith.store.dead_letters import DeadLetter, load_dead_letters

# How many are on their way to the log together.
RETRIES_AT_ONCE = 100


async def get_dead_letters(connection: Connection, places: Sequence[tuple[int, int]]) -> list[DeadLetter]:
    """Those at (shard, position), in the order of the log. Raises NotFound where one is not there."""
    found = await load_dead_letters(connection, places)
    if missing := sorted(set(places) - {(letter.shard, letter.position) for letter in found}):
        shard, position = missing[0]
        raise NotFound(f"There is no dead letter {shard}:{position}. `kith dead-letters list` shows those there are.")
    return found


def check_open(letter: DeadLetter) -> None:
    """Raises InvalidRequest where it was retried before."""
    if letter.retry_position is None:
        return
    assert letter.retried_at is not None
    again = f" Retry {letter.shard}:{letter.retry_position} instead." if letter.outcome == "SET_ASIDE" else ""
    raise InvalidRequest(
        f"Dead letter {letter.id} was retried at {to_iso(letter.retried_at)}, and ended {letter.outcome}.{again}",
        {"outcome": letter.outcome, "retryPosition": f"{letter.shard}:{letter.retry_position}"},
    )


async def retry_dead_letters(log: Log, letters: Sequence[DeadLetter], at: datetime) -> AsyncIterator[tuple[int, int]]:
    """Append each again, with its entry loaded; (shard, position) of each retry, once it is on the log.

    Whoever stops in between, or appends one twice, does no harm: the writer takes the first retry of a dead letter,
    and settles it in the same transaction. Raises Unavailable.
    """
    for n in range(0, len(letters), RETRIES_AT_ONCE):
        some = letters[n : n + RETRIES_AT_ONCE]
        appends = [log.append(letter.shard, letter.workspace_id, make_retry(letter, at)) for letter in some]
        for letter, position in zip(some, await asyncio.gather(*appends), strict=True):
            yield letter.shard, position


def make_retry(letter: DeadLetter, at: datetime) -> bytes:
    assert letter.entry is not None
    return encode_retry(Retry(position=letter.position, at=at, entry=letter.entry))


def find_command(entry: bytes) -> tuple[msgspec.Raw | None, str | None]:
    """What the entry holds as JSON; where no decoder reads it, None and why."""
    try:
        return msgspec.Raw(encode_envelope(decode_envelope(entry))[1:]), None
    except Undecodable as error:
        return None, str(error)
