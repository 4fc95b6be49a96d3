"""What the processes hold in memory after many creates came through them."""

import tempfile
from pathlib import Path

import psutil

from tests.bench.figures import Figure
from tests.bench.installation import drain, installed

MB = 1_000_000
TARGET_MB = 120


def bench_memory(creates: int) -> list[Figure]:
    """Resident size of the API and the writer after so many creates over HTTP, on an installation that is new."""
    with tempfile.TemporaryDirectory(prefix="kith-bench-") as name, installed(Path(name)) as kith:
        accepted = kith.create_many(creates)
        assert set(accepted.statuses) == {"202"}, accepted.statuses
        _, drained_s = drain(kith)
        applied_per_s = creates / (drained_s - accepted.began_s)
        return [
            measure_memory(part, kith.parts[part], {"creates": creates, "applied/s": applied_per_s})
            for part in ("api", "writer")
        ]


def measure_memory(name: str, process: psutil.Process, parts: dict[str, float]) -> Figure:
    """Resident is all that is mapped; proportional shares what is shared; unique is the process's alone."""
    memory = process.memory_full_info()
    parts = {**parts, "proportional MB": memory.pss / MB, "unique MB": memory.uss / MB}
    return Figure(
        name=f"memory of the {name}, resident",
        value=memory.rss / MB,
        unit="MB",
        target=TARGET_MB,
        bound="most",
        parts=parts,
    )
