"""How fast writes are accepted, next to an endpoint of the same process that only validates them and answers."""

from tests.bench.figures import Figure
from tests.bench.installation import Installation, drain
from tests.bench.server import VALIDATED

ROUNDS = 3


def bench_accept(kith: Installation, seconds: float, connections: int = 64, target: float = 0.45) -> Figure:
    """Creates accepted and applied a second ÷ creates validated a second, in turns.

    What is accepted faster than the writer applies it does not count: the clock stops when all is applied.
    """
    warm_up(kith, connections)
    rounds = [measure_round(kith, seconds, connections) for _ in range(ROUNDS)]
    rounds.sort(key=lambda parts: parts["applied/s"] / parts["validated/s"])
    middle = rounds[len(rounds) // 2]
    return Figure(
        name=f"accept: creates at {connections} connections ÷ validate only",
        value=middle["applied/s"] / middle["validated/s"],
        target=target,
        parts={**middle, "rounds": len(rounds), "accepted ÷ validated": middle["accepted/s"] / middle["validated/s"]},
    )


def warm_up(kith: Installation, connections: int) -> None:
    kith.create(VALIDATED, connections=connections, seconds=0.5)
    kith.create(connections=connections, seconds=1)
    drain(kith)


def measure_round(kith: Installation, seconds: float, connections: int) -> dict[str, float]:
    validated = kith.create(VALIDATED, connections=connections, seconds=seconds)
    before = kith.measure_cpu_s()
    accepted = kith.create(connections=connections, seconds=seconds)
    lag, drained_s = drain(kith)
    after = kith.measure_cpu_s()
    assert set(accepted.statuses) == {"202"} == set(validated.statuses), (accepted.statuses, validated.statuses)
    cpu_us = {f"{name} µs/create": (after[name] - before[name]) * 1e6 / accepted.count for name in after}
    return {
        "applied/s": accepted.count / (drained_s - accepted.began_s),
        "accepted/s": accepted.per_s,
        "validated/s": validated.per_s,
        "validated p50 ms": validated.p50_ms,
        "lag at the end": lag,
        "drained after s": max(0.0, drained_s - accepted.ended_s),
        "accepted p50 ms": accepted.p50_ms,
        "accepted p99 ms": accepted.p99_ms,
        **cpu_us,
        "client µs/create": accepted.cpu_s * 1e6 / accepted.count,
        "client µs/validated": validated.cpu_s * 1e6 / validated.count,
    }
