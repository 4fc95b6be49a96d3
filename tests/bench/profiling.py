"""Where a part's processor time goes: ``python -m tests.bench profile accept``, ``apply``, ``get`` and so on.

The part runs with a timer of processor time that notes, at every tick, which Python functions are at work. That is
coarse, but it slows nothing down: functions in C count for the Python function that calls them.
"""

import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

from kith.cli.app import run_part
from kith.settings import load_settings
from tests.bench.apply import time_apply
from tests.bench.installation import PARTS, drain, installed
from tests.bench.queries import QUERIES, make_query
from tests.bench.reads import READS

TICK_S = 0.001
SHOWN = 30
PROFILED = {"accept": "api", "apply": "writer", "get": "api", "list": "api", "search": "api", "query": "api"}
Place = tuple[CodeType, int]


class Sampler:
    """Counts, for each function, the ticks in which it ran itself and those in which what it called did."""

    def __init__(self) -> None:
        self.ticks = 0
        self.own: Counter[CodeType] = Counter()
        self.all: Counter[CodeType] = Counter()
        self.lines: Counter[Place] = Counter()

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._tick)
        signal.setitimer(signal.ITIMER_PROF, TICK_S, TICK_S)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _tick(self, _: int, frame: FrameType | None) -> None:
        if frame is None:
            return
        self.ticks += 1
        self.own[frame.f_code] += 1
        self.lines[frame.f_code, frame.f_lineno] += 1
        seen = set()
        while frame is not None:
            seen.add(frame.f_code)
            frame = frame.f_back
        self.all.update(seen)

    def describe(self) -> str:
        parts = [f"{self.ticks} ticks"]
        parts += ["", "of itself  line"]
        parts += [f"{self._share(n)}  {name(code)} line {line}" for (code, line), n in self.lines.most_common(SHOWN)]
        parts += ["", "of itself  function"]
        parts += [f"{self._share(n)}  {name(code)}" for code, n in self.own.most_common(SHOWN)]
        parts += ["", "with calls  function"]
        parts += [f"{self._share(n)}  {name(code)}" for code, n in self.all.most_common(2 * SHOWN)]
        return "\n".join(parts) + "\n"

    def _share(self, ticks: int) -> str:
        return f"{100 * ticks / max(1, self.ticks):8.1f} %"


def name(code: CodeType) -> str:
    path = Path(code.co_filename)
    return f"{path.parent.name}/{path.name} {code.co_qualname}"


def profile(what: str, seconds: float, creates: int) -> str:
    """Load the part for a while; what it did with its time."""
    part = PROFILED[what]
    with tempfile.TemporaryDirectory(prefix="kith-bench-") as folder:
        out = Path(folder) / "profile.txt"
        PARTS[part] = ["-m", "tests.bench.profiling", part, str(out)]
        with installed(Path(folder) / "data") as kith:
            if what == "accept":
                kith.create(seconds=seconds)
                drain(kith)
            elif what == "apply":
                time_apply(kith, 0, creates)
            else:
                kith.create(seconds=1)
                drain(kith)
                if what == "query":
                    kith.ask("/crm/query", make_query(QUERIES["two fields"]), seconds)
                else:
                    kith.load(*READS[what], connections=32, seconds=seconds)
        return out.read_text()


def run_profiled(part: str, out: Path) -> None:
    """A part until it is told to stop, then its profile."""
    sampler = Sampler()
    sampler.start()
    run_part(part, load_settings())
    sampler.stop()
    out.write_text(sampler.describe())


if __name__ == "__main__":
    run_profiled(sys.argv[1], Path(sys.argv[2]))
