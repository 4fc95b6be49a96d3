"""Keys in requests: where a key stands, and whether it may do what a route needs."""

import shlex
from collections.abc import Mapping

from kith.engine.context.key_cache import Caller
from kith.errors import Exposed, InvalidRequest


def get_token(headers: Mapping[bytes, bytes]) -> str:
    """The API key of a request, from Authorization (Bearer) or X-API-Key. Raises 401 for none, 400 for two."""
    given = headers.get(b"authorization", b"").strip()
    scheme, _, token = given.replace(b"\t", b" ").partition(b" ")
    token = token.strip() if scheme.lower() == b"bearer" else b""
    other = headers.get(b"x-api-key", b"").strip()
    if token and other and token != other:
        raise InvalidRequest(
            "Authorization and X-API-Key have different keys. Send one of them.", {"header": "X-API-Key"}
        )
    if not token and not other:
        raise make_missing(given)
    return (token or other).decode("latin-1")


def make_missing(given: bytes) -> Exposed:
    """401 for a request without a key. ``given`` is its Authorization header: it may be a key, so it is not shown."""
    if not given:
        problem = "No API key was sent."
    elif given.lower() == b"bearer":
        problem = "The Authorization header has no key after 'Bearer'."
    elif len(given.split()) == 1:
        problem = "The Authorization header has a key and no scheme: 'Bearer ' is missing in front of it."
    else:
        problem = "The scheme of the Authorization header is not Bearer."
    return Exposed(
        "UNAUTHORIZED",
        f"{problem} Send 'Authorization: Bearer <key>' or 'X-API-Key: <key>'.",
        headers={"WWW-Authenticate": 'Bearer realm="kith"'},
    )


def check_kind(caller: Caller) -> None:
    """Refuse keys that were made for something else than the CRM."""
    if caller.kind != "server":
        raise Exposed(
            "FORBIDDEN",
            f"This is a {caller.kind} key. The CRM takes a server key.",
            {"kind": caller.kind},
            {"WWW-Authenticate": 'Bearer realm="kith", error="insufficient_scope"'},
        )


def check_scope(caller: Caller, scope: str | None) -> None:
    if scope is not None and scope not in caller.scopes:
        raise Exposed(
            "FORBIDDEN",
            f"This key lacks the scope {scope}. Make one: `kith keys create"
            f" --workspace {shlex.quote(caller.workspace.name)} --scope {scope}`.",
            {"scope": scope, "scopes": sorted(caller.scopes)},
            {"WWW-Authenticate": f'Bearer realm="kith", error="insufficient_scope", scope="{scope}"'},
        )
