"""What a thousand dynamic lists cost the writer."""

from typing import Any

from tests.bench.apply import time_apply
from tests.bench.figures import Figure
from tests.bench.installation import Installation, drain
from tests.bench.people import GIVEN, PLANS, STAGES, Chance

FIRST = 70_000_000


def bench_lists(kith: Installation, lists: int, creates: int) -> Figure:
    """Seconds to apply a backlog of creates with so many dynamic lists ÷ without any."""
    for key, type_ in (("mrr", "NUMBER"), ("plan", "TEXT")):
        assert set(kith.post("/crm/properties", {"key": key, "entity": "CONTACT", "type": type_}).statuses) <= {
            "202",
            "409",
        }
    drain(kith)
    time_apply(kith, FIRST, creates // 4)
    without_s, without_cpu_s = time_apply(kith, FIRST + creates, creates)
    for n in range(lists):
        body = {"name": f"List {n}", "entityType": "CONTACT", "isDynamic": True, "filterCriteria": make_filter(n)}
        assert set(kith.post("/crm/lists", body).statuses) == {"202"}
    drain(kith)
    time_apply(kith, FIRST + 2 * creates, creates // 4)
    with_s, with_cpu_s = time_apply(kith, FIRST + 3 * creates, creates)
    return Figure(
        name=f"the writer with {lists:,} dynamic lists ÷ without (time)",
        value=with_s / without_s,
        target=2.0,
        bound="most",
        parts={
            "creates": creates,
            "µs each without": without_s * 1e6 / creates,
            "µs each with": with_s * 1e6 / creates,
            "writer's processor µs each without": without_cpu_s * 1e6 / creates,
            "writer's processor µs each with": with_cpu_s * 1e6 / creates,
        },
    )


def make_filter(n: int) -> dict[str, Any]:
    """Segments as people make them: a plan or a stage in a range of revenue, a tag, a beginning of a name."""
    chance = Chance(n)
    low = chance.roll(20_000)
    match n % 10:
        case 0 | 1 | 2 | 3:
            conditions = [one("plan", "eq", chance.pick(PLANS, 1)), one("mrr", "between", [low, low + 100])]
        case 4 | 5 | 6:
            conditions = [one("lifecycleStage", "eq", chance.pick(STAGES, 1)), one("mrr", "gte", 15_000 + low // 4)]
        case 7 | 8:
            conditions = [one("tags", "has_any", [f"tag-{n}"])]
        case _:
            conditions = [one("name", "starts_with", chance.pick(GIVEN, 1)), one("email", "ends_with", f"{n}.example")]
    return {"logic": "AND", "conditions": conditions}


def one(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}
