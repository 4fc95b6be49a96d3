"""What a log is searched for: each kind of secret is found, and what looks a little like one is not."""

import pytest

from tests.serving import check_logged

KEY = "kith_srv_" + "a" * 43


@pytest.mark.parametrize(
    "line",
    [
        KEY,
        "b" * 43 + "=",
        "postgresql://kith:hunter2@db/kith",
        "redis://:hunter2@cache:6379/0",
        "Bearer fake-hubspot-token",
        "fake-mailchimp-key-us6",
        "the-apps-own",
    ],
)
def test_a_secret_in_a_log_is_found(line: str) -> None:
    with pytest.raises(AssertionError, match="has a secret"):
        check_logged("the log", f'{{"event": "{line}"}}')


@pytest.mark.parametrize(
    "line", [KEY[:13], "http://127.0.0.1:8000/crm/contacts/ada@example.com", "postgresql://kith@db:5432/kith"]
)
def test_what_is_no_secret_may_be_logged(line: str) -> None:
    check_logged("the log", f'{{"event": "{line}"}}')
