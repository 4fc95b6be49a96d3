"""How many connections an API process takes: as many as it may have open files, and no more than it is told."""

import resource

import pytest

from kith.processes.api import FILES_KEPT, allow_connections


@pytest.mark.parametrize(
    ("limits", "wanted", "allowed"),
    [((64, 64), 4096, 64 - FILES_KEPT), ((64, 5000), 4096, 4096), ((1024, 1024), 100, 100), ((8, 8), 4096, 8)],
)
def test_the_soft_limit_is_raised_and_leaves_room_for_the_rest(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], wanted: int, allowed: int
) -> None:
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: raised.append(new))
    assert allow_connections(wanted) == allowed
    assert raised == ([(limits[1], limits[1])] if limits[0] < limits[1] else [])
