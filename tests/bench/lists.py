"""What dynamic lists cost the writer: a thousand on the record itself, ten that look beyond it."""

from collections.abc import Sequence
from typing import Any

from tests.bench.apply import time_apply
from tests.bench.figures import Figure
from tests.bench.installation import Installation, drain
from tests.bench.people import GIVEN, PLANS, STAGES, Chance

FIRST = 70_000_000


def bench_lists(kith: Installation, lists: int, creates: int) -> list[Figure]:
    """Seconds to apply a backlog of creates with so many dynamic lists ÷ without any; then with ten wide ones too."""
    for key, type_ in (("mrr", "NUMBER"), ("plan", "TEXT")):
        assert set(kith.post("/crm/properties", {"key": key, "entity": "CONTACT", "type": type_}).statuses) <= {
            "202",
            "409",
        }
    drain(kith)
    time_apply(kith, FIRST, creates // 4)
    without = time_apply(kith, FIRST + creates, creates)
    make_lists(kith, [make_filter(n) for n in range(lists)])
    time_apply(kith, FIRST + 2 * creates, creates // 4)
    near = time_apply(kith, FIRST + 3 * creates, creates)
    make_lists(kith, WIDE)
    time_apply(kith, FIRST + 4 * creates, creates // 4)
    wide = time_apply(kith, FIRST + 5 * creates, creates)
    return [
        compare(f"the writer with {lists:,} dynamic lists ÷ without (time)", creates, without, near, target=2.0),
        compare(f"the writer with {len(WIDE)} lists that look beyond the record too ÷ without", creates, near, wide),
    ]


def make_lists(kith: Installation, filters: Sequence[dict[str, Any]]) -> None:
    tags = [
        key
        for criteria in filters
        for one in criteria["conditions"]
        if one.get("field") == "tags"
        for key in one["value"]
    ]
    for key in tags:
        assert set(kith.post("/crm/tags", {"key": key}).statuses) <= {"202", "409"}
    drain(kith)
    for n, criteria in enumerate(filters):
        body = {"name": f"List {n}", "entityType": "CONTACT", "isDynamic": True, "filterCriteria": criteria}
        assert set(kith.post("/crm/lists", body).statuses) == {"202"}
    drain(kith)


def compare(
    name: str, creates: int, without: tuple[float, float], with_: tuple[float, float], target: float | None = None
) -> Figure:
    """Both are (seconds, seconds of the writer's processor)."""
    return Figure(
        name=name,
        value=with_[0] / without[0],
        target=target,
        bound="most",
        parts={
            "µs each with": with_[0] * 1e6 / creates,
            "µs each without": without[0] * 1e6 / creates,
            "creates": creates,
            "writer's processor µs each without": without[1] * 1e6 / creates,
            "writer's processor µs each with": with_[1] * 1e6 / creates,
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


def calls(least: int, **more: Any) -> dict[str, Any]:
    return {"type": "activity", "activityType": "CALL", "operator": "gte", "value": least, **more}


def one(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


WIDE = [
    *(
        {"logic": "AND", "conditions": [one("company.industry", "eq", industry)]}
        for industry in ("SaaS", "Toys", "Law")
    ),
    *({"logic": "AND", "conditions": [one("company.plan", "neq", plan)]} for plan in PLANS[:3]),
    *({"logic": "AND", "conditions": [calls(least)]} for least in (1, 3, 5)),
    {"logic": "AND", "conditions": [one("lifecycleStage", "eq", "CUSTOMER"), calls(1, before="2026-01-01")]},
]
