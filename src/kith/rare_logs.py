"""Log lines about what can happen very often: one in a while, with how many were left out."""

import time
from typing import Any

import structlog

log = structlog.get_logger()


class RareLog:
    """Writes the first line of a kind at once, and then at most one in ``interval_s``."""

    def __init__(self, event: str, interval_s: float = 10.0) -> None:
        self._event = event
        self._interval_s = interval_s
        self._next_at = 0.0
        self._left_out = 0

    def warning(self, **fields: Any) -> None:
        self._write("warning", fields)

    def error(self, **fields: Any) -> None:
        self._write("error", fields)

    def _write(self, level: str, fields: dict[str, Any]) -> None:
        now = time.monotonic()
        if now < self._next_at:
            self._left_out += 1
            return
        getattr(log, level)(self._event, left_out=self._left_out, **fields)
        self._next_at = now + self._interval_s
        self._left_out = 0
