"""Whether requests notice that a service which records are brought to is down."""

import tempfile
from pathlib import Path
from statistics import mean

import msgspec

from kith.integrations.credential_store import new_key
from kith.processes.supervise import check_port
from kith.settings import Settings
from tests.bench.figures import Figure
from tests.bench.installation import Installation, drain, installed

ROUNDS = 5
PER_S = 500
INTEGRATION = {"provider": "HUBSPOT", "name": "HubSpot", "credentials": {"accessToken": "x"}}


def bench_outage(seconds: float) -> list[Figure]:
    """Creates with an integration whose provider refuses connections, and with the same one paused, in turns."""
    nowhere = f"http://127.0.0.1:{check_port('127.0.0.1', 0)}"
    settings = msgspec.structs.replace(Settings(), secret_keys=new_key(), hubspot_url=nowhere)
    with tempfile.TemporaryDirectory(prefix="kith-bench-") as name, installed(Path(name), settings) as kith:
        kith.post("/crm/integrations", INTEGRATION)
        measure(kith, seconds)
        down_ms, paused_ms = [], []
        for _ in range(ROUNDS):
            kith.post("/crm/integrations/1/pause", {})
            paused_ms.append(measure(kith, seconds))
            kith.post("/crm/integrations/1/resume", {})
            down_ms.append(measure(kith, seconds))
    return [
        Figure(
            name="create while an integration's provider is down ÷ while it is paused, p50",
            value=mean(down_ms) / mean(paused_ms),
            target=1.1,
            bound="most",
            parts={"down p50 ms": mean(down_ms), "paused p50 ms": mean(paused_ms), "creates/s": PER_S},
        )
    ]


def measure(kith: Installation, seconds: float) -> float:
    """Milliseconds from a create to its 202, of half of them at most."""
    paced = kith.create(connections=16, seconds=seconds, per_s=PER_S)
    drain(kith)
    return paced.p50_ms
