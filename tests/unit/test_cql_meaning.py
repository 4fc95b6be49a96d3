"""What filters mean: missing values, case, days and instants, decimals, related records, activities, and order."""

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import hypothesis.strategies as st
import pytest
from hypothesis import given

from kith.cql.ast import Sort
from kith.cql.datetimes import Range, to_days, to_instants
from kith.cql.parser import parse
from kith.cql.predicate import Row, compile_predicate, make_row, make_sort_key
from kith.cql.resolve import resolve
from tests.unit.cql_fixtures import VOCABULARIES

CONTACT = VOCABULARIES["contact"]
COMPANY = CONTACT.relations["company"]
NOW = datetime(2026, 3, 25, 12, 0, tzinfo=UTC)  # a Wednesday; the clocks of Berlin go forward on the 29th


def fits(
    query: str,
    values: Mapping[str, Any],
    companies: Sequence[Mapping[str, Any]] = (),
    now: datetime = NOW,
    **further: Any,
) -> bool:
    related: list[Row] = [make_row(COMPANY, company) for company in companies]
    row = make_row(CONTACT, values, {"company": related}, **further)
    return compile_predicate(resolve(parse(query), CONTACT), CONTACT, now)(row)


@pytest.mark.parametrize(
    ("positive", "negative"),
    [
        ("name = a", "name != a"),
        ("name IN (a, b)", "name NOT IN (a, b)"),
        ("name CONTAINS a", "name NOT CONTAINS a"),
        ("name STARTS WITH a", "name NOT STARTS WITH a"),
        ("name ENDS WITH a", "name NOT ENDS WITH a"),
        ("mrr > 0", "NOT mrr > 0"),
        ("mrr BETWEEN -9 AND 9", "mrr NOT BETWEEN -9 AND 9"),
        ("tags HAS ANY (a)", "tags HAS NONE (a)"),
        ("tags HAS ALL (a)", "NOT tags HAS ALL (a)"),
        ("optedIn = false", "optedIn != false"),
        ("birthday <= 9999-12-31", "NOT birthday <= 9999-12-31"),
        ("lastActivityAt <= 9999-12-31", "NOT lastActivityAt <= 9999-12-31"),
        ("tier = Pro", "tier != Pro"),
        ("name IS NOT NULL", "name IS NULL"),
        ("company.name = a", "company.name != a"),
        ("company.name IS NOT NULL", "company.name IS NULL"),
    ],
)
def test_a_missing_value_fits_the_negative_only(positive: str, negative: str) -> None:
    for values in ({}, {"name": None, "tags": [], "properties.mrr": None}, {"name": "", "properties.mrr": "1"}):
        assert not fits(positive, values)
        assert fits(negative, values)


@pytest.mark.parametrize(
    ("query", "name", "expected"),
    [
        ("name = ANNA", "Anna", True),
        ("name = anna", "Ánna", False),
        ("name IN (x, ANNA)", "Anna", True),
        ("name CONTAINS NN", "Anna", True),
        ("name STARTS WITH aN", "Anna", True),
        ("name ENDS WITH Na", "Anna", True),
        ("name = łódź", "ŁÓDŹ", True),
        ("name = STRASSE", "Straße", True),
        ("name = σίσυφος", "ΣΊΣΥΦΟΣ", True),
        ("name CONTAINS φοσ", "ΣΊΣΥΦΟΣ", True),
        ("name = 'Jose\u0301'", "José", True),
        ("name STARTS WITH Jose", "José", False),
        ("name CONTAINS %", "Anna", False),
        ("name CONTAINS %", "100%", True),
        ("name CONTAINS _", "Anna", False),
        ("name CONTAINS _", "a_b", True),
        (r'name CONTAINS "\\"', "Anna", False),
        (r'name CONTAINS "\\"', "a\\b", True),
        ("name = 'A%'", "Anna", False),
        ("name = Anna", "Anna ", False),
    ],
)
def test_text_is_compared_without_regard_to_case(query: str, name: str, expected: bool) -> None:
    assert fits(query, {"name": name, "email": name}) is expected
    assert fits(query.replace("name", "email"), {"email": name}) is expected


@pytest.mark.parametrize(
    ("query", "number", "expected"),
    [
        ("mrr = 0.3", Decimal("0.3"), True),
        ("mrr = 0.3", 0.3, True),
        ("mrr = 0.3", Decimal("0.1") + Decimal("0.2"), True),
        ("mrr = 0.30000000000000004", Decimal("0.3"), False),
        ("mrr > 0.3", Decimal("0.300000000000000000000000000001"), True),
        ("mrr = 1", 1, True),
        ("mrr = 1", Decimal("1.00"), True),
        ("mrr IN (1.0, 2)", 1, True),
        ("mrr = 1e100", 10**100, True),
        ("mrr < 1e100", 10**100 - 1, True),
        ("mrr > 1", 1, False),
        ("mrr >= 1", 1, True),
        ("mrr < 1", 1, False),
        ("mrr <= 1", 1, True),
        ("mrr BETWEEN 1 AND 2", 1, True),
        ("mrr BETWEEN 1 AND 2", 2, True),
        ("mrr BETWEEN 2 AND 1", 2, False),
        ("mrr = 1", True, False),
        ("mrr = 1", "1", False),
    ],
)
def test_numbers_are_decimals(query: str, number: Any, expected: bool) -> None:
    assert fits(query, {"properties.mrr": number}) is expected


def test_a_value_of_another_kind_is_none() -> None:
    wrong = {
        "properties.mrr": "5",
        "properties.nickname": 5,
        "properties.optedIn": "true",
        "properties.birthday": "soon",
        "properties.trialEnds": "2026-01-01",
        "properties.tier": ["Pro"],
        "properties.interests": "Golf",
        "properties.undefined": "x",
    }
    for name in list(wrong)[:-1]:
        assert fits(f"{name} IS NULL", wrong)


def test_sets_are_compared_by_members() -> None:
    values = {"tags": ["vip", "partner"], "modules": ("CRM",), "lists": {"7", "lst_x"}}
    assert fits("tags HAS ANY (x, VIP) AND tags HAS ALL (partner, vip) AND tags HAS NONE (x)", values)
    assert not fits("tags HAS ALL (vip, x)", values)
    assert fits("tags HAS ALL (vip)", values)
    assert not fits("tags HAS ALL (vip, partner, x)", values)
    assert fits("lists HAS ANY (7) AND lists HAS ANY (lst_x) AND lists HAS NONE (8)", values)
    assert fits("modules CONTAINS crm AND tags IS NOT EMPTY", values)


# In Berlin, 2026-03-29 has 23 hours (22:00Z is its end) and 2026-10-25 has 25.
@pytest.mark.parametrize(
    ("query", "inside", "outside"),
    [
        ("createdAt = 2026-03-29", ["2026-03-28T23:00:00Z", "2026-03-29T21:59:59.999Z"], ["2026-03-29T22:00:00Z"]),
        ("createdAt = 2026-10-25", ["2026-10-24T22:00:00Z", "2026-10-25T22:59:59.999Z"], ["2026-10-25T23:00:00Z"]),
        ("createdAt > 2026-03-29", ["2026-03-29T22:00:00Z"], ["2026-03-29T21:59:59.999Z"]),
        ("createdAt >= 2026-03-29", ["2026-03-28T23:00:00Z"], ["2026-03-28T22:59:59.999Z"]),
        ("createdAt < 2026-03-29", ["2026-03-28T22:59:59.999Z"], ["2026-03-28T23:00:00Z"]),
        ("createdAt <= 2026-03-29", ["2026-03-29T21:59:59.999Z"], ["2026-03-29T22:00:00Z"]),
        (
            "createdAt BETWEEN 2026-03-28 AND 2026-03-29",
            ["2026-03-27T23:00:00Z", "2026-03-29T21:59:59.999Z"],
            ["2026-03-27T22:59:59.999Z", "2026-03-29T22:00:00Z"],
        ),
        ("createdAt = today", ["2026-03-24T23:00:00Z", "2026-03-25T22:59:59.999Z"], ["2026-03-25T23:00:00Z"]),
        ("createdAt = yesterday", ["2026-03-23T23:00:00Z"], ["2026-03-24T23:00:00Z"]),
        ("createdAt >= tomorrow", ["2026-03-25T23:00:00Z"], ["2026-03-25T22:59:59.999Z"]),
        ("createdAt = today+4d", ["2026-03-28T23:00:00Z", "2026-03-29T21:59:59.999Z"], ["2026-03-29T22:00:00Z"]),
        ("createdAt = today-1mo", ["2026-02-24T23:00:00Z"], ["2026-02-25T23:00:00Z"]),
        ("createdAt > now", ["2026-03-25T12:00:00.001Z"], ["2026-03-25T12:00:00Z"]),
        ("createdAt >= now", ["2026-03-25T12:00:00Z"], ["2026-03-25T11:59:59.999Z"]),
        ("createdAt < now", ["2026-03-25T11:59:59.999Z"], ["2026-03-25T12:00:00Z"]),
        ("createdAt <= now", ["2026-03-25T12:00:00Z"], ["2026-03-25T12:00:00.001Z"]),
        ("createdAt = now", ["2026-03-25T12:00:00Z"], ["2026-03-25T12:00:00.001Z"]),
        (
            "createdAt BETWEEN now-1h AND now",
            ["2026-03-25T11:00:00Z", "2026-03-25T12:00:00Z"],
            ["2026-03-25T12:00:00.001Z"],
        ),
        ("createdAt >= -30m", ["2026-03-25T11:30:00Z"], ["2026-03-25T11:29:59.999Z"]),
        # By the calendar: 13:00 in Berlin is 12:00Z before the clocks change, and 11:00Z after.
        ("createdAt >= now+5d", ["2026-03-30T11:00:00Z"], ["2026-03-30T10:59:59.999Z"]),
        ("createdAt >= now+120h", ["2026-03-30T12:00:00Z"], ["2026-03-30T11:59:59.999Z"]),
        ("createdAt >= startOfWeek", ["2026-03-22T23:00:00Z"], ["2026-03-22T22:59:59.999Z"]),
        ("createdAt > startOfWeek", ["2026-03-22T23:00:00.001Z"], ["2026-03-22T23:00:00Z"]),
        ("createdAt >= startOfMonth", ["2026-02-28T23:00:00Z"], ["2026-02-28T22:59:59.999Z"]),
        ("createdAt >= startOfQuarter", ["2025-12-31T23:00:00Z"], ["2025-12-31T22:59:59.999Z"]),
        ("createdAt >= startOfYear+3mo", ["2026-03-31T22:00:00Z"], ["2026-03-31T21:59:59.999Z"]),
        ("createdAt >= startOfWeek+1w", ["2026-03-29T22:00:00Z"], ["2026-03-29T21:59:59.999Z"]),
        ("createdAt >= today+9h", ["2026-03-25T08:00:00Z"], ["2026-03-25T07:59:59.999Z"]),
        ("createdAt > 9999-12-31", [], ["9999-12-31T23:59:59.999Z"]),
        ("createdAt <= 9999-12-31", ["9999-12-31T23:59:59.999Z"], []),
        ("createdAt < 0001-01-01", [], ["0001-01-01T00:00:00Z"]),
        ("createdAt >= 0001-01-01", ["0001-01-01T00:00:00Z"], []),
        ("createdAt > 9999-12-31T23:59:59.999Z", [], ["9999-12-31T23:59:59.999Z"]),
        ("createdAt >= now-999999y", ["0001-01-01T00:00:00Z"], []),
        ("createdAt <= now+999999y", ["9999-12-31T10:00:00Z"], []),
        ("createdAt <= startOfYear+999999h", ["2100-01-01T00:00:00Z"], ["2150-01-01T00:00:00Z"]),
    ],
)
def test_days_and_instants_mean_stretches_of_time(query: str, inside: list[str], outside: list[str]) -> None:
    for at in inside:
        assert fits(query, {"createdAt": datetime.fromisoformat(at)}), at
    for at in outside:
        assert not fits(query, {"createdAt": datetime.fromisoformat(at)}), at


@pytest.mark.parametrize(
    ("query", "inside", "outside"),
    [
        ("birthday = 2024-02-29", ["2024-02-29"], ["2024-02-28", "2024-03-01"]),
        ("birthday > 2024-02-28", ["2024-02-29"], ["2024-02-28"]),
        ("birthday >= 2024-02-28", ["2024-02-28"], ["2024-02-27"]),
        ("birthday < 2024-02-28", ["2024-02-27"], ["2024-02-28"]),
        ("birthday <= 2024-02-28", ["2024-02-28"], ["2024-02-29"]),
        ("birthday BETWEEN 2024-01-31 AND 2024-02-29", ["2024-01-31", "2024-02-29"], ["2024-01-30", "2024-03-01"]),
        # An instant means its day in Berlin, where it is an hour or two later than in UTC.
        ("birthday = 2024-01-31T23:30:00Z", ["2024-02-01"], ["2024-01-31"]),
        ("birthday = now", ["2026-03-25"], ["2026-03-24"]),
        ("birthday = today", ["2026-03-25"], ["2026-03-26"]),
        ("birthday <= now-18y", ["2008-03-25"], ["2008-03-26"]),
        ("birthday >= startOfMonth-1mo", ["2026-02-01"], ["2026-01-31"]),
        ("birthday > 9999-12-31", [], ["9999-12-31"]),
        ("birthday <= 9999-12-31", ["9999-12-31", "0001-01-01"], []),
        ("birthday < 0001-01-01", [], ["0001-01-01"]),
    ],
)
def test_a_date_is_compared_as_a_day(query: str, inside: list[str], outside: list[str]) -> None:
    for day in inside:
        assert fits(query, {"properties.birthday": day})
        assert fits(query, {"properties.birthday": date.fromisoformat(day)})
    for day in outside:
        assert not fits(query, {"properties.birthday": day})


@pytest.mark.parametrize(
    ("now", "query", "day"),
    [
        ("2024-03-31T12:00:00Z", "birthday = today-1mo", "2024-02-29"),
        ("2023-03-31T12:00:00Z", "birthday = today-1mo", "2023-02-28"),
        ("2024-02-29T12:00:00Z", "birthday = today-1y", "2023-02-28"),
        ("2024-02-29T12:00:00Z", "birthday = today+4y", "2028-02-29"),
        ("2024-12-31T12:00:00Z", "birthday = today+2mo", "2025-02-28"),
        ("2024-01-01T12:00:00Z", "birthday = yesterday", "2023-12-31"),
        ("2024-01-01T12:00:00Z", "birthday = startOfWeek", "2024-01-01"),
        ("2023-12-31T12:00:00Z", "birthday = startOfWeek", "2023-12-25"),
        ("2024-12-31T12:00:00Z", "birthday = startOfQuarter", "2024-10-01"),
        ("2024-12-31T23:30:00Z", "birthday = today", "2025-01-01"),
    ],
)
def test_months_end_at_their_last_day(now: str, query: str, day: str) -> None:
    assert fits(query, {"properties.birthday": day}, now=datetime.fromisoformat(now))


def test_a_condition_on_companies_is_about_some_company() -> None:
    companies = [{"name": "Acme", "industry": "SaaS", "role": "CTO"}, {"name": "Globex", "plan": "Pro"}]
    assert fits("company.industry = saas AND company.plan = pro", {}, companies)
    assert not fits("company(industry = saas AND plan = pro)", {}, companies)
    assert fits("company(industry = saas AND plan IS NULL AND role = cto)", {}, companies)
    assert not fits("company.name != Acme", {}, companies)
    assert fits("company(name != Acme)", {}, companies)
    assert fits("company.name != Initech", {}, companies)
    assert fits("company.industry IS NOT NULL", {}, companies)
    assert not fits("company.industry IS NULL", {}, companies)
    assert fits("company(industry IS NULL)", {}, companies)
    assert fits("company.domain IS NULL", {}, companies)
    assert fits("NOT company(industry = saas AND plan = pro)", {}, companies)


def test_deleted_companies_never_fit() -> None:
    companies = [{"name": "Acme", "status": "DELETED"}]
    assert not fits("company.name = Acme", {}, companies)
    assert fits("company.name != Acme AND company.name IS NULL", {}, companies)
    assert not fits("company.status = DELETED", {}, companies)


def test_activities_are_counted_within_their_limits() -> None:
    asked: list[tuple[Any, ...]] = []

    def count(*limits: Any) -> int:
        asked.append(limits)
        return 3

    assert fits("ACTIVITIES >= 3 AND ACTIVITIES <= 3 AND ACTIVITIES = 3", {}, count_activities=count)
    assert not fits("ACTIVITIES > 3 OR ACTIVITIES < 3 OR ACTIVITIES != 3", {}, count_activities=count)
    asked.clear()
    assert fits("ACTIVITIES(type = call, module = crm, since -1d, before today) > 2", {}, count_activities=count)
    since, before = datetime(2026, 3, 24, 12, tzinfo=UTC), datetime(2026, 3, 24, 23, tzinfo=UTC)
    assert asked == [(("CALL",), "CRM", since, before)]
    assert fits("ACTIVITIES = 0", {})


ZONES = [ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia", "Atlantic/Azores")]
# Days on which clocks went forward or back in one of them, at midnight in some; Apia left one day out.
TURNS = [date(2026, 3, 29), date(2026, 10, 25), date(2017, 10, 15), date(2018, 2, 18), date(2011, 12, 30)]
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


@given(
    st.sampled_from(ZONES),
    st.sampled_from(TURNS),
    st.integers(-3, 3),
    st.integers(-5 * 86_400_000, 5 * 86_400_000),
    st.sampled_from(list(ORDERS)),
)
def test_a_day_means_the_instants_that_have_its_date(
    zone: ZoneInfo, turn: date, days: int, milliseconds: int, sign: str
) -> None:
    day = turn + timedelta(days=days)
    at = datetime(turn.year, turn.month, turn.day, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    stretch = to_instants(sign, day, NOW, zone)
    assert lies_within(at, stretch) is ORDERS[sign](at.astimezone(zone).date(), day)
    assert lies_within(day, to_days(sign, at, NOW, zone)) is ORDERS[sign](day, at.astimezone(zone).date())
    between = to_instants("between", (day, day + timedelta(days=2)), NOW, zone)
    assert lies_within(at, between) is (0 <= (at.astimezone(zone).date() - day).days <= 2)


@given(
    st.sampled_from(ZONES),
    st.integers(-3, 3),
    st.integers(-3, 3),
    st.sampled_from(list(ORDERS)),
)
def test_an_instant_means_its_millisecond(zone: ZoneInfo, one: int, other: int, sign: str) -> None:
    at, than = (NOW + timedelta(milliseconds=offset) for offset in (one, other))
    assert lies_within(at, to_instants(sign, than, NOW, zone)) is ORDERS[sign](at, than)


def lies_within(value: Any, stretch: Range[Any]) -> bool:
    return (stretch.start is None or stretch.start <= value) and (stretch.end is None or value < stretch.end)


def sort_names(values: list[Any], *, descending: bool) -> list[Any]:
    records = [{"id": number, "name": value} for number, value in enumerate(values)]
    ordered = sorted(records, key=make_sort_key([Sort("name", descending)]))
    return [record["name"] for record in ordered]


def test_text_is_sorted_by_its_letters_and_missing_values_last() -> None:
    names = ["b", None, "B", "a", "Á", "", "A", "Z"]
    assert sort_names(names, descending=False) == ["a", "A", "Á", "b", "B", "Z", None, ""]
    assert sort_names(names, descending=True) == ["Z", "B", "b", "Á", "A", "a", "", None]


def test_ties_are_broken_by_id_in_the_same_direction() -> None:
    records = [{"id": number, "name": "x", "status": "ACTIVE"} for number in (2, 1, 3)]
    for descending, expected in ((False, [1, 2, 3]), (True, [3, 2, 1])):
        key = make_sort_key([Sort("status", not descending), Sort("name", descending)])
        assert [record["id"] for record in sorted(records, key=key)] == expected
    assert [record["id"] for record in sorted(records, key=make_sort_key([]))] == [1, 2, 3]


@given(st.lists(st.none() | st.text(max_size=3), max_size=20), st.booleans())
def test_a_sort_is_the_same_whatever_order_it_begins_with(values: list[Any], descending: bool) -> None:
    records = [{"id": number, "name": value} for number, value in enumerate(values)]
    key = make_sort_key([Sort("name", descending)])
    backwards = list(reversed(records))
    assert sorted(records, key=key) == sorted(backwards, key=key)
