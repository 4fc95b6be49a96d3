"""What a process logs has no personal data, whatever an exception or another program quotes."""

import json
from typing import Any

import pytest
import structlog

from kith.api.requests import Receive
from kith.processes.logs import configure_logs
from tests.api.test_protocol import make_head, open_wire


@pytest.fixture(autouse=True)
def settled() -> object:
    yield
    structlog.reset_defaults()


def log_failure(message: str) -> None:
    try:
        raise ValueError(message)
    except ValueError:
        structlog.get_logger("test").exception("request_failed", error=message)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("'Ada.O'Hara+x@mail.example.com' is not valid", "***@mail.example.com' is not valid"),
        ("call +49 (151) 234-5678 later", "call (phone) later"),
        ("duplicate key\nDETAIL:  Key (email)=(ada) already exists.\nHINT", "duplicate key\nDETAIL: (left out)\nHINT"),
        ("postgresql://kith@db:5432/kith does not answer", "postgresql://kith@db:5432/kith does not answer"),
    ],
)
def test_a_log_line_has_no_address_and_no_number_of_a_person(
    said: str, kept: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("info")
    log_failure(said)
    written = capsys.readouterr().err
    line = json.loads(written.splitlines()[-1])
    assert line["error"].endswith(kept)
    assert kept.splitlines()[0] in line["exception"]
    assert "Traceback" in line["exception"]
    assert not any(one in written for one in ("Hara", "234-5678", "=(ada)"))


async def test_what_strangers_send_leaves_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    async def app(_: object, __: Receive, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    configure_logs("info")
    async with open_wire(app) as wire:
        upgrade = make_head(b"GET / HTTP/1.1", b"Connection: Upgrade", b"Upgrade: websocket")
        await wire.send(upgrade)
        assert (await wire.receive()).status == 204
        await wire.send(b"no HTTP\r\n\r\n")
        assert (await wire.receive()).status == 400
    assert capsys.readouterr().err == ""
