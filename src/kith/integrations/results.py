"""Results of a provider's answers: links, finished jobs, failed jobs, and the jobs that follow."""

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from kith.clock import to_iso
from kith.integrations.failures import Failure, Permanent
from kith.integrations.outbox import Claimed, Postponed, StoredLink
from kith.integrations.port import Begun, Failed, Item, Link, Linked, Merged, Outcomes, Unlinked

DEAD_ATTEMPTS = 8
BACKOFF_S, BACKOFF_MAX_S = 2.0, 300.0


class Result(NamedTuple):
    """``links`` are by number, and so is ``winners``, those of contacts that others went into. ``anew``: what was not
    there before, so that what hangs on it can go out now."""

    links: dict[int, StoredLink]
    winners: dict[int, StoredLink]
    anew: list[int]
    gone: list[int]
    done: list[Claimed]
    failed: list[Postponed]


def make_result(
    outcomes: Outcomes,
    claimed: Mapping[int, Claimed],
    hashes: Mapping[int, str],
    now: datetime,
    succeeded_at: datetime | None,
) -> Result:
    """``succeeded_at``: when anything was sent last."""
    result = Result({}, {}, [], [], [], [])
    for item, outcome in outcomes:
        job = claimed[item.number]
        if isinstance(outcome, Linked | Begun):
            _add_link(result, item, outcome, hashes[item.number])
        elif isinstance(outcome, Unlinked | Merged):
            result.gone.append(item.number)
            if isinstance(outcome, Merged):
                _add_winner(result, item, outcome)
        elif isinstance(outcome, Failed):
            result.failed.append(make_postponed(job, outcome.failure, now, succeeded_at))
        if not isinstance(outcome, Begun | Failed):
            result.done.append(job)
    return result


def _add_link(result: Result, item: Item, outcome: Linked | Begun, hash_: str) -> None:
    link = Link(external_id=outcome.external_id, hash=hash_, details=outcome.details)
    known = item.link
    if isinstance(outcome, Begun):
        result.links[item.number] = StoredLink(link, "BEGUN")
        return
    result.links[item.number] = StoredLink(link, "SYNCED")
    if known is None or not known.hash or known.external_id != outcome.external_id:
        result.anew.append(item.number)


def _add_winner(result: Result, item: Item, outcome: Merged) -> None:
    if item.winner is None or item.winner_number is None:
        return
    link = msgspec.structs.replace(item.winner, external_id=outcome.external_id)
    result.winners[item.winner_number] = StoredLink(link, "SYNCED")
    if outcome.external_id != item.winner.external_id:
        result.anew.append(item.winner_number)


def make_postponed(claimed: Claimed, failure: Failure, now: datetime, succeeded_at: datetime | None) -> Postponed:
    """Dead is what will never work, and what kept failing while others got through.

    Where nothing has got through since it began to fail, it is the provider that fails.
    """
    attempts, since = claimed.attempts + 1, claimed.failing_since
    others_work = since is not None and succeeded_at is not None and succeeded_at > since
    dead = isinstance(failure, Permanent) or (attempts >= DEAD_ATTEMPTS and others_work)
    told = {"message": failure.message, "status": failure.status, "reference": failure.reference, "at": to_iso(now)}
    return Postponed(
        record_id=claimed.number,
        generation=claimed.generation,
        status="DEAD" if dead else "PENDING",
        due_at=now if dead else now + make_backoff(attempts),
        failure=told,
    )


def make_backoff(attempts: int) -> timedelta:
    """Exponential with jitter, so that many who failed together do not come back together."""
    most = min(BACKOFF_MAX_S, BACKOFF_S * 2 ** min(attempts, 16))
    return timedelta(seconds=random.uniform(most / 10, most))  # noqa: S311 - no secret
