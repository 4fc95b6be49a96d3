"""The figure that tells how far a command is: whatever comes next, it never goes back."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kith.engine.apply import operation_progress as tally
from kith.engine.apply.decisions import LoggedCommand
from kith.engine.apply.operation_progress import Figure, Tally
from kith.model.commands import Envelope, EvaluateList

LAST_IDS = {"contact": 7, "company": 3}
WALKS = st.sampled_from(["contact", "company"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("expect"), st.lists(WALKS, max_size=4)),
        st.tuples(st.just("begin"), WALKS),
        st.tuples(st.just("reach"), st.integers(1, 9)),
    )
)


PLACED = LoggedCommand(
    1,
    Envelope(
        operation_id="op_1",
        workspace_id=1,
        at=datetime(2026, 3, 4, tzinfo=UTC),
        key_id=1,
        command=EvaluateList(list_id="lst_1"),
    ),
)


def make_tally(every_s: float = 3600) -> Tally:
    """One that is never due, unless told otherwise, and has no database."""
    return Tally(cast(Any, None), 0, PLACED, every_s)


@given(STEPS)
async def test_neither_figure_ever_shrinks(steps: list[tuple[str, Any]]) -> None:
    one, at, figures = make_tally(), 0, [Figure(0, 0)]
    for step, value in [("begin", "contact"), *steps]:
        if step == "expect":
            one.expect(value)
        elif step == "begin":
            one.begin(value)
            at = 0
        else:
            at = max(at, value)
            await one.reach(at)
        figures.append(one.count(LAST_IDS))
    assert all(before.done <= after.done and before.total <= after.total for before, after in pairwise(figures))
    assert all(figure.done <= figure.total for figure in figures)


async def test_what_is_expected_is_counted_once() -> None:
    one = make_tally()
    one.expect(["contact", "contact"])
    one.begin("contact")
    one.expect(["contact", "company"])
    assert one.count(LAST_IDS) == Figure(0, 17)
    await one.reach(5)
    one.begin("contact")
    assert one.count(LAST_IDS) == Figure(7, 17)
    one.begin("company")
    await one.reach(100)
    assert one.count(LAST_IDS) == Figure(17, 17)


async def test_it_writes_when_it_is_due_and_after_a_failure_not_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, tries = [100.0], []

    async def fail(_: Tally) -> None:
        tries.append(clock[0])
        if len(tries) == 2:
            raise OSError("the connection is gone")

    monkeypatch.setattr(tally, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(Tally, "_save", fail)
    one = make_tally(every_s=1.0)
    one.begin("contact")
    for now_s in (100.9, 101.0, 101.9, 102.0, 103.0, 111.9, 112.0, 113.0):
        clock[0] = now_s
        await one.reach(1)
    assert tries == [101.0, 102.0, 112.0, 113.0]
