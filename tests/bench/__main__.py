"""``python -m tests.bench``: measures, prints a table, writes ``build/bench.json`` and ``docs/benchmarks.md``.

``--smoke`` is small and short, and fails where a ratio is less than half as good as it shall be. ``--only accept
apply`` measures these alone. ``profile accept`` and ``profile apply`` show where the API's and the writer's time goes.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench.accept import bench_accept
from tests.bench.apply import bench_apply
from tests.bench.ceiling import bench_client
from tests.bench.figures import (
    Figure,
    Report,
    describe_machine,
    list_far_off,
    print_report,
    save_report,
    to_iso_now,
)
from tests.bench.installation import Installation, installed
from tests.bench.kafka import bench_kafka
from tests.bench.latency import bench_latency
from tests.bench.lists import bench_lists
from tests.bench.memory import bench_memory
from tests.bench.nouns import bench_activities, bench_nouns
from tests.bench.outage import bench_outage
from tests.bench.page import write_page
from tests.bench.profiling import PROFILED, profile
from tests.bench.queries import bench_language
from tests.bench.reads import bench_rates, bench_reads
from tests.bench.sizes import SMOKE, WHOLE, bench_sizes

# What is measured at each size too: by themselves they are quick, on an installation that is new.
BY_THEMSELVES = ("accept", "apply", "reads")
Bench = Callable[[Installation, bool], Sequence[Figure]]
BENCHES: dict[str, Bench] = {
    "language": lambda _, __: [bench_language()],
    "client": lambda _, smoke: [bench_client(seconds=0.5 if smoke else 3)],
    "accept": lambda kith, smoke: [bench_accept(kith, seconds=1 if smoke else 5)],
    "apply": lambda kith, smoke: [bench_apply(kith, creates=10_000 if smoke else 50_000)],
    "latency": lambda kith, smoke: bench_latency(kith, writes=100 if smoke else 1_000),
    "reads": lambda kith, smoke: bench_reads(kith, seconds=0.1 if smoke else 1),
    "rates": lambda kith, smoke: bench_rates(kith, seconds=0.2 if smoke else 3),
    "nouns": lambda kith, smoke: bench_nouns(kith, requests=500 if smoke else 10_000, seconds=0.1 if smoke else 1),
    "activities": lambda kith, smoke: [
        bench_activities(kith, count=20_000 if smoke else 1_000_000, seconds=0.1 if smoke else 2)
    ],
    "lists": lambda kith, smoke: bench_lists(kith, 20 if smoke else 1000, 2_000 if smoke else 10_000),
    "sizes": lambda _, smoke: bench_sizes(SMOKE if smoke else WHOLE),
    "kafka": lambda _, smoke: bench_kafka(
        seconds=1 if smoke else 5, writes=100 if smoke else 500, backlog=10_000 if smoke else 200_000
    ),
    "outage": lambda _, smoke: bench_outage(seconds=0.5 if smoke else 4),
    "memory": lambda _, smoke: bench_memory(creates=20_000 if smoke else 1_000_000),
}


def main() -> int:
    options = parse_options()
    if options.profile:
        print(profile(options.profile[1], seconds=10, creates=40_000))
        return 0
    began_s = time.monotonic()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="kith-bench-") as folder, installed(Path(folder)) as kith:
        machine = asyncio.run(describe_machine(kith.url))
        for name in options.only or [name for name in BENCHES if name not in BY_THEMSELVES]:
            print(f"measuring: {name}", file=sys.stderr, flush=True)
            figures += BENCHES[name](kith, options.smoke)
    report = Report(
        date=to_iso_now(), smoke=options.smoke, seconds=time.monotonic() - began_s, machine=machine, figures=figures
    )
    print_report(report)
    save_report(report, options.out)
    if not options.smoke and not options.only:
        write_page(report)
    far_off = list_far_off(figures) if options.smoke else []
    if far_off:
        print(f"far from its target: {', '.join(far_off)}", file=sys.stderr)
    return 1 if far_off else 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("profile", nargs="*", help=f"profile {' | '.join(PROFILED)}")
    parser.add_argument("--smoke", action="store_true", help="small and short")
    parser.add_argument("--only", nargs="+", choices=list(BENCHES), metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"), help="where the figures go as JSON")
    options = parser.parse_args()
    if options.profile and (options.profile[0] != "profile" or options.profile[1:] not in [[one] for one in PROFILED]):
        parser.error(f"say `profile {' | '.join(PROFILED)}`, or nothing for the bench")
    return options


if __name__ == "__main__":
    sys.exit(main())
