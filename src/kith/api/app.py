"""The ASGI application: one callable around every request, from its head to its answer.

It lets the caller in, counts the request against the key's limit, finds the route, reads what the handler's signature
asks for, and turns whatever is raised into the one shape of error.
"""

import traceback
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from time import perf_counter
from typing import Any

import structlog
import uuid_utils

from kith.api.auth import check_kind, check_scope, get_token
from kith.api.calls import HookCall, OpenCall, ReadCall, WriteCall
from kith.api.cors import make_cors_headers, make_options_answer, read_origins
from kith.api.kept import KeptAnswer
from kith.api.limits import Limiter, make_limit_headers, make_limit_refusal
from kith.api.metrics import count_request
from kith.api.pace import REFUSAL_BYTES, Pace
from kith.api.requests import (
    Disconnected,
    Receive,
    check_headers,
    check_media_type,
    find_correlation_id,
    find_wait_s,
    make_fingerprint,
    read_body,
    to_idempotency_key,
    to_version,
)
from kith.api.responses import NO_SNIFFING, Answer, Header, make_error_answer
from kith.api.routes import TABLE
from kith.api.routing import Route, Router, is_guarded
from kith.api.turns import Turns
from kith.api.unsent import PIECE_BYTES, Unsent
from kith.aside import compute
from kith.engine.accept.authentication import authenticate
from kith.engine.accept.operations import wait_until_readable
from kith.engine.accept.submit import WriteRequest
from kith.engine.context.engine import Engine
from kith.engine.context.key_cache import Caller
from kith.errors import Exposed
from kith.store.database import to_exposed

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

READ_AFTER_S = 5
FRAMES_MAX = 30
NO_STORING: Header = (b"cache-control", b"no-store")

log = structlog.get_logger()


class Exchange:
    """A request on its way: what is known of it so far, for the answer, the log and the metrics."""

    __slots__ = (
        "guarded",
        "has_repeats",
        "headers",
        "limit_headers",
        "method",
        "path",
        "route",
        "scope",
        "workspace_id",
    )

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.has_repeats = len(self.headers) != len(scope["headers"])
        self.guarded = is_guarded(self.path)
        self.limit_headers: list[Header] = []
        self.route: Route | None = None
        self.workspace_id = 0


class Application:
    """Answers requests with an open engine. Opening and closing the engine is the caller's."""

    def __init__(self, engine: Engine) -> None:
        settings = engine.settings
        self._engine = engine
        self._router = Router(TABLE)
        self._limiter = Limiter(engine.clock, engine.counts)
        self._logs_answers = settings.log_level == "debug"
        self._origins = read_origins(settings.cors_origins)
        self._turns = Turns()
        self._unsent = Unsent()
        self._pace = Pace()
        self._kept = {entry.path: KeptAnswer(settings.status_cache_ms) for entry in TABLE if entry.kept}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", f"there is no {scope['type']} here"
        started = perf_counter()
        exchange = Exchange(scope)
        try:
            check_headers(scope, exchange.headers, exchange.has_repeats)
            answer = await self._answer(exchange, receive)
        except Exposed as error:
            answer = make_error_answer(error)
        except Disconnected:
            return
        except Exception as error:  # noqa: BLE001 - the one place where whatever failed becomes an answer
            answer = answer_failure(exchange, error, self._logs_answers)
        if self._origins:
            answer.headers += make_cors_headers(exchange.headers, self._origins)
        correlation_id = await send_answer(exchange, answer, self._unsent, send)
        route = exchange.route
        seconds = perf_counter() - started
        if self._logs_answers:
            log.debug(
                "Answered.",
                method=exchange.method,
                path=exchange.path,
                status=answer.status,
                milliseconds=round(seconds * 1000, 3),
                correlation_id=correlation_id,
            )
        if route is None:
            count_request("other", "none", answer.status, seconds)
        else:
            count_request(route.method, route.path, answer.status, seconds)

    async def _answer(self, exchange: Exchange, receive: Receive) -> Answer:
        """Raises Exposed for what is refused, in this order: key, limit, path, scope, query, body, the verb's own."""
        scope, method, path = exchange.scope, exchange.method, exchange.path
        if method == "OPTIONS":
            return make_options_answer(exchange.headers, self._router.list_methods(path, scope), self._origins)
        caller = await admit(self._engine, self._limiter, exchange) if exchange.guarded else None
        route, values = self._router.get_route(method, path, scope.get("raw_path") or path.encode())
        exchange.route = route
        if route.call is HookCall:
            return await answer_hook(self._engine, self._pace, exchange, receive, route, values)
        if caller is None:
            open_call = OpenCall(self._engine, exchange.headers)
            if route.kept:
                return await self._kept[route.path].get(lambda: route.handler(open_call))
            return await route.handler(open_call, *values)
        check_scope(caller, route.call.scope)
        if route.batch:
            await take_limit(self._limiter, exchange, caller, "batch")
        exchange.workspace_id = caller.workspace.id
        self._unsent.check(caller.workspace.id)
        with self._turns.count(caller.workspace.id):
            return await answer_caller(self._engine, self._turns, exchange, receive, route, values, caller)


async def answer_caller(
    engine: Engine,
    turns: Turns,
    exchange: Exchange,
    receive: Receive,
    route: Route,
    values: Sequence[Any],
    caller: Caller,
) -> Answer:
    """Answer a request with a key. A large one is read and handled in its workspace's turn."""
    workspace_id, query_string = caller.workspace.id, exchange.scope["query_string"]
    await turns.take(workspace_id, len(query_string))
    inputs = {}
    query = route.read_query(query_string)
    if route.query is not None:
        inputs["query"] = query
    raw = b""
    if route.body is not None or issubclass(route.call, WriteCall):
        settings = engine.settings
        raw = await read_body(receive, exchange.headers, settings.body_bytes_max, settings.body_timeout_ms)
        await turns.take(workspace_id, len(raw))
        if raw:
            check_media_type(exchange.headers.get(b"content-type"))
        body = await compute(len(raw), route.read_body, raw)
        if route.body is not None:
            inputs["body"] = body
    if issubclass(route.call, WriteCall):
        return await route.handler(
            route.call(engine, await make_write_request(exchange, caller, raw)), *values, **inputs
        )
    waited_s = await wait_as_asked(engine, exchange, caller) if b"x-read-after" in exchange.headers else 0
    if waited_s:
        await turns.take(workspace_id, len(query_string) + len(raw))
    answer = await route.handler(ReadCall(engine, caller.workspace, caller.tier, len(raw)), *values, **inputs)
    if waited_s:
        answer.headers.append((b"preference-applied", b"wait=%d" % waited_s))
    return answer


async def answer_hook(
    engine: Engine, pace: Pace, exchange: Exchange, receive: Receive, route: Route, values: Sequence[Any]
) -> Answer:
    """Answer a request that a signature lets in. A refusal waits for its turn, whatever its reason."""
    settings, scope = engine.settings, exchange.scope
    body = await read_body(receive, exchange.headers, settings.body_bytes_max, settings.body_timeout_ms, pace)
    path = (scope.get("raw_path") or exchange.path.encode()).decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    target = f"{path}?{query}" if query else path
    try:
        return await route.handler(HookCall(engine, exchange.headers, exchange.method, target, body), *values)
    except Exposed:
        await pace.take(REFUSAL_BYTES + len(body))
        raise


async def admit(engine: Engine, limiter: Limiter, exchange: Exchange) -> Caller:
    """Whoever holds the key, counted against its limit. Raises 401, 429, or 403 for a key of another kind."""
    caller = await authenticate(engine, get_token(exchange.headers))
    await take_limit(limiter, exchange, caller, "default")
    check_kind(caller)
    return caller


async def take_limit(limiter: Limiter, exchange: Exchange, caller: Caller, policy: str) -> None:
    per_s = caller.batch_per_s if policy == "batch" else caller.rate_per_s
    usage = await limiter.count(policy, caller.key_id, per_s)
    exchange.limit_headers = make_limit_headers(policy, usage)
    if usage.refused:
        raise make_limit_refusal(policy, caller, usage)


async def make_write_request(exchange: Exchange, caller: Caller, raw: bytes) -> WriteRequest:
    """What the headers ask of a write. The fingerprint is made only where a key will be compared by it."""
    headers = exchange.headers
    idempotency_key = to_idempotency_key(headers.get(b"idempotency-key"))
    fingerprint = b""
    if idempotency_key:
        fingerprint = await compute(len(raw), make_fingerprint, exchange.method, exchange.path, raw)
    return WriteRequest(
        workspace=caller.workspace,
        key_id=caller.key_id,
        actor=caller.actor,
        idempotency_key=idempotency_key,
        fingerprint=fingerprint,
        sent=raw,
        if_version=to_version(headers.get(b"if-match")),
        wait_s=find_wait_s(exchange.scope["headers"]) if b"prefer" in headers else 0,
    )


async def wait_as_asked(engine: Engine, exchange: Exchange, caller: Caller) -> int:
    """Wait for the write that X-Read-After names. Answers the seconds that ``Prefer`` gave it, else 0."""
    token = exchange.headers[b"x-read-after"]
    asked_s = find_wait_s(exchange.scope["headers"])
    await wait_until_readable(engine, caller.workspace, token.decode("latin-1"), asked_s or READ_AFTER_S)
    return asked_s


def describe_failure(error: BaseException) -> dict[str, Any]:
    """The kind of an error and where it was raised. Its message may hold what somebody's record holds."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    return {"error": type(error).__name__, "trace": frames[-FRAMES_MAX:]}


def answer_failure(exchange: Exchange, error: Exception, logs_values: bool) -> Answer:
    """A known failure of the database in its own code; anything else as 500 that says only where to look it up.

    ``logs_values``: the log gets the error's message as well, and the messages of what caused it.
    """
    known = to_exposed(error)
    if known is not None:
        return make_error_answer(known)
    correlation_id = make_correlation_id(exchange)
    log.error(
        "A request failed.",
        correlation_id=correlation_id,
        method=exchange.method,
        route=exchange.route.path if exchange.route else exchange.path,
        **({"exc_info": error} if logs_values else describe_failure(error)),
    )
    message = f"Something failed here. The server's log has it as {correlation_id}."
    answer = make_error_answer(Exposed("INTERNAL", message, {"correlationId": correlation_id}))
    answer.correlation_id = correlation_id
    return answer


async def send_answer(exchange: Exchange, answer: Answer, unsent: Unsent, send: Send) -> str:
    """Complete the headers and send, a large answer piece by piece. Answers the correlation id that went out."""
    correlation_id = answer.correlation_id or make_correlation_id(exchange)
    headers = answer.headers
    headers += exchange.limit_headers
    headers.append((b"x-correlation-id", correlation_id.encode()))
    headers.append((b"content-length", b"%d" % len(answer.body)))
    headers.append(NO_SNIFFING)
    if exchange.guarded:
        headers.append(NO_STORING)
    body = b"" if exchange.method == "HEAD" else answer.body
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if len(body) > PIECE_BYTES:
        with unsent.hold(exchange.workspace_id, len(body)):
            for start in range(0, len(body) - PIECE_BYTES, PIECE_BYTES):
                piece = body[start : start + PIECE_BYTES]
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            body = body[-(len(body) % PIECE_BYTES or PIECE_BYTES) :]
    await send({"type": "http.response.body", "body": body})
    return correlation_id


def make_correlation_id(exchange: Exchange) -> str:
    """The client's own, or a fresh one. (A write's is its operation's id.)"""
    return find_correlation_id(exchange.headers) or str(uuid_utils.uuid7())
