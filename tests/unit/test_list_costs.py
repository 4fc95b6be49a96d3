"""What lists may take of the writer's time, and which of them become BROKEN."""

import pytest

from kith.engine.lists.list_costs import ListCosts


class Clock:
    """In seconds, moved on by the test."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def costs(clock: Clock) -> ListCosts:
    return ListCosts(1000, clock)


def test_one_dear_list_becomes_broken_and_the_cheap_ones_stay(costs: ListCosts) -> None:
    for _ in range(3):
        costs.charge(1, 7, 400)
        for number in range(20):
            costs.charge(1, 100 + number, 1)
        costs.credit(1, changes=1)
    ((place, reason),) = costs.judge(1).items()
    assert place == (1, 7)
    assert "take too long: 1,260 ms for 3 changes (the limit is 1,000 ms" in reason
    assert "1,200 ms of it are this list's" in reason
    assert costs.judge(1) == {}


def test_of_one_list_alone_the_reason_has_one_figure(costs: ListCosts) -> None:
    costs.charge(1, 7, 1500)
    costs.credit(1, changes=2)
    ((_, reason),) = costs.judge(1).items()
    assert reason.startswith("The filter takes too long: 1,500 ms for 2 changes (the limit is 1,000 ms, and 1% of it")


def test_time_that_was_made_up_for_does_not_count_against_a_list(costs: ListCosts) -> None:
    for _ in range(10_000):
        costs.charge(1, 7, 10)
        costs.credit(1, changes=1)
    costs.charge(1, 8, 600)
    for _ in range(2):
        costs.charge(1, 7, 10)
        costs.charge(1, 8, 600)
        costs.credit(1, changes=1)
    assert [*costs.judge(1)] == [(1, 8)]


def test_no_list_becomes_broken_for_time_that_was_not_measured(costs: ListCosts) -> None:
    costs.charge(1, None, 2000)
    costs.charge(1, 7, 12)
    assert costs.judge(1) == {}
    assert costs.is_watched(1) and not costs.is_overdrawn(1)
    costs.charge(1, 8, 300)
    assert [*costs.judge(1)] == [(1, 8)]


def test_a_list_whose_statement_is_ended_gives_way_to_one_that_is_far_dearer(costs: ListCosts) -> None:
    costs.charge(1, 7, 950)
    for number in (8, 8):
        costs.charge(1, number, costs.make_limit(1, alone=True).statement_ms)
    assert [*costs.condemn(1, 8)] == [(1, 7)]
    assert costs.make_limit(1, alone=True).statement_ms > 800
    costs.charge(1, 8, 900)
    assert [*costs.condemn(1, 8)] == [(1, 8)]


def test_of_hundreds_of_lists_as_many_become_broken_as_are_too_many(costs: ListCosts) -> None:
    changes = 0
    while not costs.is_overdrawn(1):
        for number in range(600):
            costs.charge(1, number, 0.45)
        costs.credit(1, changes=1)
        changes += 1
    assert changes == 4
    assert 400 < len(costs.judge(1)) < 600


def test_lists_that_take_a_hundredth_of_the_budget_for_each_change_stay(costs: ListCosts) -> None:
    for _ in range(10_000):
        costs.charge(1, 7, 10)
        costs.credit(1, changes=1)
        assert not costs.is_overdrawn(1)


def test_time_that_passes_fills_the_account_up(costs: ListCosts, clock: Clock) -> None:
    for _ in range(100):
        costs.charge(1, 7, 900)
        assert not costs.is_overdrawn(1)
        clock.now_s += 10
        costs.credit(1)


def test_the_lists_of_a_workspace_take_nothing_from_those_of_another(costs: ListCosts) -> None:
    costs.charge(1, 7, 5000)
    assert (costs.is_overdrawn(1), costs.is_overdrawn(2)) == (True, False)
    assert costs.judge(2) == {}


def test_a_statement_may_take_what_is_left(costs: ListCosts) -> None:
    assert costs.make_limit(1, alone=True).statement_ms == 1000
    assert costs.make_limit(1, alone=False).statement_ms == 250
    costs.charge(1, 7, 900)
    assert costs.make_limit(1, alone=True).statement_ms == 100
    costs.charge(1, 7, 900)
    assert costs.make_limit(1, alone=True).statement_ms == 50
    limit = costs.make_limit(1, alone=True)
    assert limit.lock_ms < limit.statement_ms


def test_a_busy_machine_is_no_fault_of_lists(costs: ListCosts) -> None:
    for _ in range(50):
        costs.note_idle(0.2)
    for _ in range(1000):
        costs.charge_statement(1, 7, 0.3)
    assert not costs.is_overdrawn(1)


def test_without_a_budget_nothing_is_ever_too_long() -> None:
    costs = ListCosts(None)
    costs.charge(1, 7, 1e9)
    assert not costs.is_overdrawn(1)
    assert not costs.is_limited
