"""Health, metrics and the documentation of the server. No key is needed."""

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from kith.api.calls import OpenCall
from kith.api.metrics import show_lag, show_sync
from kith.api.openapi import make_document
from kith.api.responses import Answer, make_plain_answer
from kith.api.routing import TABLE, route
from kith.engine.admin.health import find_faults, find_missing_parts, load_lag
from kith.engine.read.slow_queries import show_busiest
from kith.errors import NotFound
from kith.integrations.status import count_sync

ASSETS = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
}
PAGE = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Kith API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
START = b'SwaggerUIBundle({url: "/openapi.json", dom_id: "#page", deepLinking: true});\n'
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self';"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


WELCOME = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Kith</title>
</head>
<body>
<h1>Kith</h1>
<p>This is the HTTP API of a Kith server.</p>
<ul>
<li><a href="/docs">The API, to read and to try</a></li>
<li><a href="/openapi.json">Its OpenAPI description</a></li>
<li><a href="/readyz">Whether the server is ready</a></li>
</ul>
</body>
</html>
"""
PLACES = {"name": "Kith", "docs": "/docs", "openapi": "/openapi.json", "readiness": "/readyz", "health": "/healthz"}


@route("GET", "/", tag="System", kind="system", content_type="text/html")
async def get_welcome(call: OpenCall) -> Answer:
    """Where to go from here

    A small page; JSON with `Accept: application/json`.
    """
    if b"application/json" in call.headers.get(b"accept", b""):
        return make_plain_answer(json.dumps(PLACES).encode(), "application/json", vary="Accept")
    return make_plain_answer(WELCOME, "text/html; charset=utf-8", content_security_policy=POLICY, vary="Accept")


@route("GET", "/healthz", tag="System", kind="system")
async def get_health(_call: OpenCall) -> Answer:
    """Is the process alive?"""
    return make_plain_answer(b'{"status":"ok"}', "application/json")


@route("GET", "/readyz", tag="System", kind="system", errors=["SERVICE_UNAVAILABLE"], kept=True)
async def get_readiness(call: OpenCall) -> Answer:
    """Can it serve?

    503 with the missing parts by name while it cannot; 200 and `degraded` where it can, but not all, or not as well.
    """
    missing, degraded = await find_missing_parts(call.engine), await find_faults(call.engine)
    status = "unavailable" if missing else "degraded" if degraded else "ready"
    body = {"status": status, "missing": missing, "degraded": degraded}
    return make_plain_answer(json.dumps(body).encode(), "application/json", 503 if missing else 200)


@route("GET", "/metrics", tag="System", kind="system", content_type="text/plain", kept=True)
async def get_metrics(call: OpenCall) -> Answer:
    """Metrics for Prometheus"""
    show_sync(await count_sync(call.engine))
    show_busiest()
    show_lag(await load_lag(call.engine), len(call.engine.pending))
    return make_plain_answer(generate_latest(), CONTENT_TYPE_LATEST)


@route("GET", "/openapi.json", tag="System", kind="system")
async def get_openapi(_call: OpenCall) -> Answer:
    """This description"""
    return make_plain_answer(load_document(), "application/json")


@route("GET", "/docs", tag="System", kind="system", content_type="text/html")
async def get_docs(_call: OpenCall) -> Answer:
    """This description, to read and to try"""
    return make_plain_answer(PAGE, "text/html; charset=utf-8", content_security_policy=POLICY)


@route("GET", "/docs/{asset}", tag="System", kind="system", content_type="text/*")
async def get_docs_asset(_call: OpenCall, asset: str) -> Answer:
    """A file of the documentation page"""
    return make_plain_answer(load_asset(asset), ASSETS[asset], cache_control="public, max-age=3600")


@cache
def load_document() -> bytes:
    return json.dumps(make_document(TABLE), separators=(",", ":")).encode()


def load_asset(name: str) -> bytes:
    """Raises NOT_FOUND for what the page does not need."""
    if name not in ASSETS:
        raise NotFound(f"There is no path /docs/{name[:100]}.")
    if name == "start.js":
        return START
    return (find_assets() / name).read_bytes()


@cache
def find_assets() -> Path:
    """Where the package of Swagger UI's files is; it is not imported, for its code is of no use here."""
    package = find_spec("swagger_ui")
    assert package is not None and package.submodule_search_locations
    return Path(package.submodule_search_locations[0], "static")
