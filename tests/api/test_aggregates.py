"""Aggregation: figures of groups instead of rows, with the same filters, guards and cost."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from tests.api.definitions import define, find_code

Drain = Callable[[], Awaitable[None]]
Json = dict[str, Any]


@pytest.fixture
async def filled(client: httpx2.AsyncClient, drain: Drain) -> httpx2.AsyncClient:
    """A client of a workspace with three contacts and a deleted one."""
    await define(client, "mrr", "CURRENCY")
    await define(client, "since", "DATE")
    await drain()
    people: list[Json] = [
        {"name": "Ada", "lifecycleStage": "CUSTOMER", "properties": {"mrr": 0.1, "since": "2026-03-30"}},
        {"name": "Bob", "lifecycleStage": "CUSTOMER", "properties": {"mrr": 0.2, "since": "2026-04-05"}},
        {"name": "Eve", "properties": {"since": "2026-04-06"}},
        {"name": "Gone", "properties": {"mrr": 100}},
    ]
    for person in people:
        await client.post("/crm/contacts", json=person)
    await drain()
    await client.delete("/crm/contacts/4")
    await drain()
    return client


async def ask(client: httpx2.AsyncClient, **body: Any) -> Any:
    answer = await client.post("/crm/query", json={"entity": "contact"} | body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_without_groups_all_that_fit_are_one(filled: httpx2.AsyncClient) -> None:
    figures = [
        {"fn": "count"},
        {"fn": "count", "field": "mrr", "as": "paying"},
        {"fn": "sum", "field": "mrr"},
        {"fn": "avg", "field": "mrr", "as": "average"},
        {"fn": "min", "field": "since"},
        {"fn": "max", "field": "since", "as": "last"},
    ]
    answer = await ask(filled, aggregate=figures)
    assert answer["data"] == [
        {"count": 3, "paying": 2, "sum_mrr": 0.3, "average": 0.15, "min_since": "2026-03-30", "last": "2026-04-06"}
    ]
    assert answer["meta"].keys() == {"total", "queryTimeMs", "estimatedCost"}
    none = await ask(filled, where="name = nobody", aggregate=figures[:3])
    assert none["data"] == [{"count": 0, "paying": 0, "sum_mrr": None}]


async def test_groups_come_in_the_order_of_their_values_and_missing_ones_last(filled: httpx2.AsyncClient) -> None:
    figures = [{"fn": "count"}, {"fn": "sum", "field": "mrr", "as": "mrr"}]
    answer = await ask(filled, aggregate=figures, groupBy=["lifecycleStage"])
    assert answer["data"] == [
        {"lifecycleStage": "CUSTOMER", "count": 2, "mrr": 0.3},
        {"lifecycleStage": "LEAD", "count": 1, "mrr": None},
    ]
    by_value = await ask(filled, aggregate=[{"fn": "count"}], groupBy=["mrr"])
    assert [row["properties.mrr"] for row in by_value["data"]] == [0.1, 0.2, None]
    weeks = await ask(filled, aggregate=[{"fn": "count"}], groupBy=[{"field": "since", "by": "week"}])
    assert weeks["data"] == [
        {"properties.since": "2026-03-30", "count": 2},
        {"properties.since": "2026-04-06", "count": 1},
    ]
    months = await ask(filled, aggregate=[{"fn": "count"}], groupBy=[{"field": "since", "by": "month"}, "name"])
    assert [row["properties.since"] for row in months["data"]] == ["2026-03-01", "2026-04-01", "2026-04-01"]
    days = await ask(filled, aggregate=[{"fn": "count"}], groupBy=[{"field": "createdAt", "by": "day"}])
    assert [row["count"] for row in days["data"]] == [3]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"aggregate": []}, "QUERY_SYNTAX"),
        ({"aggregate": [{"fn": "median"}]}, "QUERY_SYNTAX"),
        ({"aggregate": [{"fn": "sum"}]}, "QUERY_SYNTAX"),
        ({"aggregate": [{"fn": "sum", "field": "name"}]}, "OPERATOR_NOT_ALLOWED"),
        ({"aggregate": [{"fn": "count", "field": "nmae"}]}, "UNKNOWN_FIELD"),
        ({"aggregate": [{"fn": "count"}, {"fn": "count"}]}, "QUERY_SYNTAX"),
        ({"aggregate": [{"fn": "count"}] * 11}, "QUERY_TOO_COMPLEX"),
        ({"groupBy": ["status"]}, "QUERY_SYNTAX"),
        ({"aggregate": [{"fn": "count"}], "groupBy": ["tags"]}, "OPERATOR_NOT_ALLOWED"),
        ({"aggregate": [{"fn": "count"}], "groupBy": [{"field": "name", "by": "day"}]}, "OPERATOR_NOT_ALLOWED"),
        ({"aggregate": [{"fn": "count"}], "groupBy": ["id", "name", "email", "phone"]}, "QUERY_TOO_COMPLEX"),
        ({"aggregate": [{"fn": "count"}], "entity": ["contact", "company"]}, "INVALID_REQUEST"),
    ],
)
async def test_what_cannot_be_aggregated_is_refused(client: httpx2.AsyncClient, body: Json, code: str) -> None:
    answer = await client.post("/crm/query", json={"entity": "contact"} | body)
    assert find_code(answer) == (400, code), answer.text


@pytest.mark.parametrize(
    "more",
    [
        {"pagination": {"type": "offset", "page": 1}},
        {"page": 1},
        {"limit": 20},
        {"cursor": "x"},
        {"select": ["name"]},
        {"sort": "name:asc"},
        {"sort": []},
        {"count": "exact"},
        {"count": "none"},
    ],
)
@pytest.mark.parametrize("explain", [False, True])
async def test_what_goes_with_rows_only_is_refused_beside_groups(
    client: httpx2.AsyncClient, more: Json, explain: bool
) -> None:
    groups: Json = {"entity": "contact", "aggregate": [{"fn": "count"}], "groupBy": ["status"], "explain": explain}
    answer = await client.post("/crm/query", json=groups | more)
    (name,) = more
    assert find_code(answer) == (400, "INVALID_REQUEST"), answer.text
    error = answer.json()["error"]
    assert error["details"] == {"parameter": name}
    assert error["message"].startswith(f"{name} ") and "Leave it out" in error["message"]
    unsaid = dict.fromkeys(("page", "limit", "cursor", "select", "sort", "pagination"))
    assert (await client.post("/crm/query", json=groups | unsaid | {"count": "default"})).status_code == 200


async def test_too_many_groups_are_refused(
    client: httpx2.AsyncClient, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kith.cql.grouping.GROUPS_MAX", 2)
    monkeypatch.setattr("kith.engine.read.cql.GROUPS_MAX", 2)
    for n in range(3):
        await client.post("/crm/contacts", json={"name": f"n{n}"})
    await drain()
    answer = await client.post(
        "/crm/query", json={"entity": "contact", "aggregate": [{"fn": "count"}], "groupBy": ["id"]}
    )
    assert find_code(answer) == (400, "QUERY_TOO_COMPLEX")


async def test_an_explanation_of_groups_runs_nothing(
    filled: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kith.engine.read.cql.GROUPS_MAX", 0)
    body = {"entity": "contact", "explain": True, "aggregate": [{"fn": "count"}], "groupBy": ["name"]}
    answer = await filled.post("/crm/query", json=body | {"where": "name = ada"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"].keys() == {"canonical", "ast", "cost", "indexed"}
    wrong = await filled.post("/crm/query", json=body | {"groupBy": ["nmae"]})
    assert find_code(wrong) == (400, "UNKNOWN_FIELD")
