"""A tenant that does its worst with an ordinary key does not stop another from reading, querying and writing."""

import os
from collections.abc import Iterator, Mapping

import pytest

from tests.faults.hostile import HARMS
from tests.faults.neighbours import OPERATIONS, ROUNDS, harming, make_tenant, show, time_rounds
from tests.serving import Served, serving

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

# What others of a shard may wait for at most, with other tests on the same processors: there the ratio is that of
# the tests. The continuous integration runs this file by itself too.
BESIDE_P50_MS = 1000
# (ratio, ms) of p50 and p99: the ratio holds where a request takes long by itself, the time where it does not. Few
# rounds say little of a p99.
P50, P99 = ((3, 60), (3, 150)) if ROUNDS >= 100 else ((8, 150), (20, 1500))
QUOTAS = ("--quota", "textConditionsPerList=100", "--quota", "textConditions=none")
# Requests that each harm has begun in so many rounds at least, and an answer that shows that it took effect: that its
# lists and contacts were accepted. None where its clients read no answers, or where all of its queries may still run;
# what they do read is no refusal.
SUSTAINED: Mapping[str, tuple[int, int | None]] = {
    "write_into_slow_list": (30, 202),
    "make_slow_lists": (30, 202),
    "send_many_nodes": (10, 400),
    "scrape": (100, 200),
    "drip_body": (64, None),
    "pipeline_unread": (32, None),
    "leave_answers": (30, None),
    "leave_queries": (30, None),
    "query_expensively": (32, None),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all harms, each by a tenant of its own: a start takes longer than most of them."""
    with serving(tmp_path_factory.mktemp("neighbours")) as served:
        yield served


def test_each_harm_is_tried() -> None:
    assert SUSTAINED.keys() == HARMS.keys()


@pytest.mark.parametrize("name", SUSTAINED)
async def test_a_quiet_tenant_is_served_beside_one_that(shared: Served, name: str) -> None:
    quiet = await make_tenant(shared, f"quiet {name}", tier="growth", rate_per_s=0)
    hostile = await make_tenant(shared, f"hostile {name}", tier="growth")
    # Without the quotas that refuse such lists, so that the bounds on the writer's time are what holds.
    raised = shared.run("workspaces", "set", f"hostile {name}", *QUOTAS)
    assert raised.returncode == 0, raised.stderr
    alone = await time_rounds(shared, quiet, ROUNDS)
    async with harming(shared, name, hostile) as made:
        beside = await time_rounds(shared, quiet, ROUNDS)
    harmed = await made
    figures = show(name, alone, beside, harmed)
    print(figures)
    assert alone.failures == []
    assert beside.failures == [], figures
    begun, status = SUSTAINED[name]
    assert harmed.begun >= begun, figures
    if status is not None:
        assert harmed.answers.get(status), figures
    else:
        assert harmed.answers.keys() <= {200, 429, 503, 504}, figures
    for operation in OPERATIONS:
        assert len(beside.ms[operation]) == ROUNDS
        least_ms = BESIDE_P50_MS if "PYTEST_XDIST_WORKER" in os.environ else P50[1]
        assert beside.find(operation, 0.5) <= max(P50[0] * alone.find(operation, 0.5), least_ms), figures
        assert beside.find(operation, 0.99) <= max(P99[0] * alone.find(operation, 0.99), P99[1]), figures
