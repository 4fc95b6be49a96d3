"""Stopping under load: soon, cleanly, and with everything that was acknowledged still there."""

import asyncio
import signal
import time
from pathlib import Path

import httpx2
import pytest

from tests.faults.kills import list_family, list_living
from tests.faults.load import Ledger, Load, open_client
from tests.faults.verify import verify
from tests.serving import serving

pytestmark = pytest.mark.faults

STOP_LIMIT_S = 10
CLIENTS = 8


async def write_until_it_stops(load: Load, n: int) -> None:
    """Create one contact after the other until the server answers no more."""
    async with open_client(load.api_key) as client:
        turn = 0
        while True:
            turn += 1
            key = f"request {n} {turn}" if turn % 2 else None
            try:
                answer = await client.post(
                    f"{load.find_url()}/crm/contacts",
                    json={"email": f"{n}-{turn}@example.com"},
                    headers={"Idempotency-Key": key} if key else {},
                )
            except httpx2.TransportError:
                return
            if answer.status_code == 202:
                if key:
                    load.ledger.requests[key] = ("POST", "/crm/contacts", {"email": f"{n}-{turn}@example.com"})
                await load.ledger.add(answer, key)
            else:
                assert answer.status_code == 503, answer.text


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_under_load_is_clean_and_loses_nothing(tmp_path: Path, sign: signal.Signals) -> None:
    ledger = Ledger()
    with serving(tmp_path) as first:
        family = list_family(first)
        load = Load([first.url], first.key, 0, ledger)
        writing = [asyncio.create_task(write_until_it_stops(load, n)) for n in range(CLIENTS)]
        await ledger.reach(300)
        asked_at = time.monotonic()
        first.process.send_signal(sign)
        assert await asyncio.to_thread(first.process.wait, STOP_LIMIT_S) == 0
        assert time.monotonic() - asked_at < STOP_LIMIT_S
        await asyncio.gather(*writing)
        assert list_living(family) == []
        assert "killed" not in first.log.read_text()
    with serving(tmp_path) as second:
        await verify(second, ledger)
