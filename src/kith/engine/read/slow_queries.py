"""Watch for slow queries: a log line for each slow one, metrics by kind and of the busiest workspaces."""

import hashlib
from collections.abc import Iterator, Mapping
from time import monotonic, perf_counter
from types import TracebackType

import structlog
from prometheus_client import Counter, Gauge

from kith.cql.ast import Activities, Comparison, Condition, Not, Related, Search
from kith.cql.printer import to_text
from kith.errors import Exposed
from kith.model.workspaces import Workspace

# Workspaces are without bound, so only the busiest are shown, of the last full minute.
SHOWN_WORKSPACES = 10
WINDOW_S = 60
NAMED_CONDITIONS_MAX = 10
SLOW = Counter("kith_slow_queries", "Queries that took longer than KITH_SLOW_QUERY_MS, by kind.", ["kind"])
BUSIEST = Gauge(
    "kith_workspace_query_seconds",
    f"Seconds that a workspace's queries took in the last full minute; the {SHOWN_WORKSPACES} highest only.",
    ["workspace"],
)
log = structlog.get_logger(__name__)


class Busiest:
    """Seconds by workspace in windows of a minute."""

    def __init__(self) -> None:
        self._ends = monotonic() + WINDOW_S
        self._running: dict[str, float] = {}
        self._last: Mapping[str, float] = {}

    def add(self, workspace: str, seconds: float) -> None:
        self._turn()
        self._running[workspace] = self._running.get(workspace, 0.0) + seconds

    def list_highest(self) -> Mapping[str, float]:
        """Of the last full window."""
        self._turn()
        highest = sorted(self._last.items(), key=lambda item: -item[1])[:SHOWN_WORKSPACES]
        return dict(highest)

    def _turn(self) -> None:
        now = monotonic()
        if now >= self._ends:
            self._last = self._running if now < self._ends + WINDOW_S else {}
            self._running = {}
            self._ends = now + WINDOW_S


busiest = Busiest()


class Watched:
    """A query that runs: ``with`` measures it, whether it succeeds or not. ``cost`` is set as soon as it is known."""

    __slots__ = ("_began_s", "_kind", "_slow_ms", "_where", "_workspace", "cost")

    def __init__(self, workspace: Workspace, kind: str, slow_ms: int, where: Condition) -> None:
        self._workspace = workspace
        self._kind = kind
        self._slow_ms = slow_ms
        self._where = where
        self.cost: int | None = None

    def __enter__(self) -> "Watched":
        self._began_s = perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        seconds = perf_counter() - self._began_s
        busiest.add(self._workspace.name, seconds)
        if seconds * 1000 >= self._slow_ms:
            SLOW.labels(self._kind).inc()
            log.warning(
                "slow_query",
                workspace=self._workspace.name,
                kind=self._kind,
                ms=round(seconds * 1000),
                cost=self.cost,
                outcome="answered"
                if error is None
                else error.code
                if isinstance(error, Exposed)
                else type(error).__name__,
                digest=hashlib.sha256(to_text(self._where).encode()).hexdigest()[:16],
                conditions=list_conditions(self._where),
            )


def list_conditions(where: Condition) -> list[str]:
    """The fields and operators of a filter, without values, each once."""
    named = dict.fromkeys(_name_conditions(where))
    shown = list(named)[:NAMED_CONDITIONS_MAX]
    return [*shown, f"and {len(named) - len(shown)} more"] if len(named) > len(shown) else shown


def _name_conditions(where: Condition) -> Iterator[str]:
    match where:
        case Comparison():
            yield f"{where.field} {where.operator}"
        case Not():
            yield from _name_conditions(where.term)
        case Related():
            yield from (f"{where.relation}: {name}" for name in _name_conditions(where.where))
        case Activities():
            yield f"activities {where.operator}"
        case Search():
            yield "search"
        case _:
            for term in where.terms:
                yield from _name_conditions(term)


def show_busiest() -> None:
    """Set what is measured when somebody looks."""
    BUSIEST.clear()
    for workspace, seconds in busiest.list_highest().items():
        BUSIEST.labels(workspace).set(seconds)
