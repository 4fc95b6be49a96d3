"""Values of settings that cannot be used."""

import pytest

from kith.errors import StartError
from kith.processes.checks import check_settings
from kith.settings import load_settings
from tests.serving import run_kith

REFUSED = {
    "KITH_PORT": ["80000", "-1", "http"],
    "KITH_READ_TIMEOUT_MS": ["99999999999", "0"],
    "KITH_OPERATION_RETENTION_D": ["2000000000"],
    "KITH_LOG_RETENTION_H": ["2000000000"],
    "KITH_SECRET_KEYS": ["abc", "a" * 43],
    "KITH_CORS_ORIGINS": ["*", "app.example.com", "https://app.example.com/x"],
    "KITH_WEBHOOK_URL": ["crm.example.com", "ftp://crm.example.com", "https://", "https://crm.example.com:x"],
    "KITH_HUBSPOT_URL": ["api.hubapi.com", ""],
    "KITH_REDIS_URL": ["127.0.0.1:6379", "redis://127.0.0.1:x"],
}


@pytest.mark.parametrize(("variable", "value"), [(name, one) for name, some in REFUSED.items() for one in some])
def test_a_value_that_cannot_be_used_is_refused_by_its_variable(variable: str, value: str) -> None:
    with pytest.raises(StartError, match=variable) as refused:
        check_settings(load_settings({variable: value}))
    assert "\n" not in str(refused.value)


def test_the_defaults_can_be_used() -> None:
    check_settings(load_settings({}))


@pytest.mark.parametrize("part", ["serve", "api", "writer", "worker"])
def test_nothing_is_started_with_one(part: str) -> None:
    ran = run_kith(part, cors_origins="*", data="/nowhere/at/all")
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert "KITH_CORS_ORIGINS has '*'" in ran.stderr
