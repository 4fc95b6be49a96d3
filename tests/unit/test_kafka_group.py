"""The membership in the group of writers, with consumers that fail."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from kith.log import kafka_group
from kith.log.kafka_group import Membership


class FailingConsumer:
    """One that is lost at once, and cannot even leave in order."""

    async def start(self) -> None: ...

    def subscribe(self, topics: Sequence[str], listener: object) -> None: ...

    async def getmany(self, timeout_ms: int) -> None:
        raise KafkaError("the group is lost")

    async def stop(self) -> None:
        raise KafkaError("nor can it be left")


async def test_a_writer_that_cannot_leave_the_group_joins_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_group, "RETRY_S", 0)
    joined = 0

    def make_consumer() -> Any:
        nonlocal joined
        joined += 1
        return FailingConsumer()

    membership = Membership(make_consumer, "kith.commands", lambda: None)
    await until(lambda: joined > 2 or membership._joined.done())
    assert joined > 2
    await membership.close()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)
