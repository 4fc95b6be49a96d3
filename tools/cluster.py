"""``make cluster``: Kafka, PostgreSQL, Redis, two APIs, two writers and a worker on this machine, to try things out.

The servers come from Debian's and Maven's packages; what they store is gone at the end.
"""

import signal
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from tests.cluster import PARTS, SERVERS, running_cluster


def main() -> int:
    stop = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    with tempfile.TemporaryDirectory(prefix="kith-cluster-") as folder:
        print(f"cluster: starting {', '.join((*SERVERS, *PARTS))}", file=sys.stderr)
        try:
            with running_cluster(Path(folder)) as cluster:
                settings = " ".join(f"KITH_{name.upper()}='{value}'" for name, value in cluster.settings.items())
                print(
                    f"\nThe APIs listen on {' and '.join(cluster.urls.values())}. The admin key:\n\n  {cluster.key}\n\n"
                    f"curl -X POST {cluster.url}/crm/contacts -H 'Authorization: Bearer {cluster.key}' \\\n"
                    "  -H 'Content-Type: application/json' -d '{\"email\": \"ada@example.com\"}'\n\n"
                    f"Commands beside it: {settings} .venv/bin/kith status\n\n"
                    f"What each process logs is below {folder}. Ctrl-C stops everything.",
                    flush=True,
                )
                stop.wait()
        except pytest.skip.Exception as missing:
            print(f"cluster: {missing}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
