"""Prometheus metrics of the HTTP API."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import Counter, Gauge, Histogram

from kith.integrations.status import SyncCount

REQUESTS = Counter("kith_http_requests", "Requests answered, by route and status.", ["method", "route", "status"])
SECONDS = Histogram(
    "kith_http_request_seconds",
    "Time from a request's head to its answer, by route.",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)

LAG = Gauge("kith_log_lag_commands", "Commands that are accepted and not applied yet, by shard of the log.", ["shard"])
PENDING = Gauge("kith_pending_writes", "Writes that this process foresees: accepted here, not applied yet.")
SYNC_RECORDS = Gauge(
    "kith_sync_records", "Records that wait to be sent to a provider, or that it did not take.", ["provider", "state"]
)
SYNC_PAUSED = Gauge("kith_sync_paused", "Integrations that are paused because of a problem.", ["provider"])
DEFERRED = Counter("kith_checks_deferred", "Writes accepted that only the writer can check in full.")

CONNECTIONS = Gauge("kith_http_connections", "Open HTTP connections of this process.")
REFUSED = Counter("kith_http_connections_refused", "HTTP connections that were refused: too many were open.")

_watchers: dict[tuple[str, str, int], tuple[Callable[[], None], Callable[[float], None]]] = {}


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count an answer. ``route`` is the template, so that ids do not become labels."""
    watcher = _watchers.get((method, route, status))
    if watcher is None:
        watcher = REQUESTS.labels(method, route, status).inc, SECONDS.labels(method, route).observe
        _watchers[method, route, status] = watcher
    watcher[0]()
    watcher[1](seconds)


def show_sync(counts: Iterable[SyncCount]) -> None:
    """Set what is measured when somebody looks."""
    SYNC_RECORDS.clear()
    SYNC_PAUSED.clear()
    for one in counts:
        SYNC_RECORDS.labels(one.provider, "pending").set(one.pending)
        SYNC_RECORDS.labels(one.provider, "failed").set(one.failed)
        SYNC_PAUSED.labels(one.provider).set(one.paused)


def show_lag(lag: Mapping[int, int], pending: int) -> None:
    """Set what is measured when somebody looks. Shards whose lag cannot be read are left out."""
    LAG.clear()
    for shard, commands in lag.items():
        LAG.labels(shard).set(commands)
    PENDING.set(pending)
