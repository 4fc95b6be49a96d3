"""Requests from pages of other origins (CORS): which origins are let in, and the answer to a preflight.

No origin is let in unless the operator names it: a page that calls the API shows its key to whoever opens it.
"""

from collections.abc import Iterable, Mapping

from kith.api.responses import Answer, Header
from kith.errors import StartError

MAX_AGE_S = 600
REQUEST_HEADERS = (
    b"authorization, content-type, idempotency-key, if-match, prefer, x-api-key, x-correlation-id, x-read-after"
)
EXPOSED_HEADERS = (
    b"content-location, etag, idempotent-replayed, location, operation-location, preference-applied, ratelimit,"
    b" ratelimit-policy, retry-after, x-correlation-id, x-kith-checks, x-ratelimit-limit, x-ratelimit-remaining,"
    b" x-ratelimit-reset"
)
VARY: Header = (b"vary", b"Origin")


def read_origins(setting: str) -> frozenset[bytes]:
    """The origins of ``KITH_CORS_ORIGINS``. Raises StartError for what is no origin."""
    origins = frozenset(part.strip().rstrip("/") for part in setting.split(",") if part.strip())
    for origin in origins:
        scheme, _, host = origin.partition("://")
        if scheme not in ("http", "https") or not host or "/" in host or not origin.isascii() or "*" in origin:
            raise StartError(
                f"KITH_CORS_ORIGINS has {origin!r}; an origin is a scheme, a host and a port, as in"
                " https://app.example.com. Separate several by commas."
            )
    return frozenset(origin.encode() for origin in origins)


def make_cors_headers(headers: Mapping[bytes, bytes], origins: frozenset[bytes]) -> list[Header]:
    """What an answer says to a browser. Nothing for a request of no origin, or where no origin is let in."""
    if not origins:
        return []
    origin = headers.get(b"origin")
    if origin not in origins or origin is None:
        return [VARY]
    return [VARY, (b"access-control-allow-origin", origin), (b"access-control-expose-headers", EXPOSED_HEADERS)]


def make_options_answer(headers: Mapping[bytes, bytes], methods: Iterable[str], origins: frozenset[bytes]) -> Answer:
    """204 with the methods of a path; to a preflight from an origin that is let in, also that it may go on."""
    allowed = ", ".join(sorted({*methods, "OPTIONS"})).encode()
    answer = Answer(204, b"", [(b"allow", allowed)])
    if b"access-control-request-method" in headers and headers.get(b"origin") in origins:
        answer.headers += [
            (b"access-control-allow-methods", allowed),
            (b"access-control-allow-headers", REQUEST_HEADERS),
            (b"access-control-max-age", b"%d" % MAX_AGE_S),
        ]
    return answer
