"""Sending many at once so that one that is refused never holds up the others."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from typing import TypeVar

from kith.integrations.failures import Failure, Permanent, Transient
from kith.integrations.hubspot.client import INPUTS_MAX, BatchAnswer, Input, Written
from kith.integrations.hubspot.failures import classify_fault, list_named
from kith.integrations.hubspot.settings import KEY_PROPERTY

T = TypeVar("T")
R = TypeVar("R")
# A refusal for such a reason is about some of a batch's records; for another, it would be the same for each.
_ABOUT_SOME = (207, 400, 404, 409, 422)


def make_batches(
    things: Sequence[T], get_key: Callable[[T], Hashable], weigh: Callable[[T], int] = lambda _: 1
) -> list[list[T]]:
    """Of at most 100, in order; no key is twice in one. What weighs more than that is alone."""
    batches: list[tuple[set[Hashable], list[T], int]] = []
    for thing in things:
        key, weight = get_key(thing), weigh(thing)
        for place, (keys, batch, weighed) in enumerate(batches):
            if key not in keys and weighed + weight <= INPUTS_MAX:
                keys.add(key)
                batch.append(thing)
                batches[place] = (keys, batch, weighed + weight)
                break
        else:
            batches.append(({key}, [thing], weight))
    return [batch for _, batch, _ in batches]


async def send_halving(
    batch: Sequence[T], send: Callable[[Sequence[T]], Awaitable[Sequence[R | Failure | None]]]
) -> AsyncIterator[list[tuple[T, R | Failure]]]:
    """What became of each, as soon as it is known. Raises what is about all of them.

    ``send`` answers in the order of what it is given; None for one of several of which nothing was said. Those, and a
    batch that is refused as a whole, are sent again in halves.
    """
    waiting = deque([batch])
    while waiting:
        sent = waiting.popleft()
        try:
            results = await send(sent)
        except Permanent as failure:
            if failure.status not in _ABOUT_SOME:
                yield [(one, failure) for one in sent]
            elif len(sent) == 1:
                yield [(sent[0], failure)]
            else:
                waiting.extendleft(reversed(_halve(sent)))
            continue
        told = [(one, result) for one, result in zip(sent, results, strict=True) if result is not None]
        if told:
            yield told
        rest = [one for one, result in zip(sent, results, strict=True) if result is None]
        waiting.extendleft(reversed(_halve(rest) if len(rest) == len(sent) else [rest] if rest else []))


def match_answer(inputs: Sequence[Input], answer: BatchAnswer) -> list[Written | Failure | None]:
    """The result or the fault of each input; None for one of several of which nothing is said."""
    if len(inputs) == 1:
        alone: list[Written | Failure | None] = [*answer.results, *map(classify_fault, answer.errors)]
        return alone[:1] or [Transient("HubSpot did not say what became of it.", status=200)]
    places: dict[str, int] = {}
    for place, one in enumerate(inputs):
        places[one.id.lower()] = places[one.object_write_trace_id.lower()] = place
    matched: list[Written | Failure | None] = [None] * len(inputs)
    for result in answer.results:
        if (found := _find_place(places, result)) is not None:
            matched[found] = result
    for fault in answer.errors:
        for named in list_named(fault):
            if (found := places.get(named.lower())) is not None and matched[found] is None:
                matched[found] = classify_fault(fault)
    return matched


def _find_place(places: Mapping[str, int], result: Written) -> int | None:
    names = (
        result.object_write_trace_id,
        result.properties.get(KEY_PROPERTY),
        result.id,
        result.properties.get("email"),
    )
    return next((places[name.lower()] for name in names if isinstance(name, str) and name.lower() in places), None)


def _halve(things: Sequence[T]) -> list[Sequence[T]]:
    middle = len(things) // 2
    return [things[:middle], things[middle:]]
