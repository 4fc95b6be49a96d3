"""Requests to providers: the one way out, through the limiter, with the few retries that are worth it at once."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from typing import Any

import httpx2
import msgspec
import stamina
import structlog

from kith.clock import Clock
from kith.errors import to_reason
from kith.integrations.failures import Failure, Limited, Transient
from kith.integrations.limiter import POSTPONED_WAIT_MAX_S, Limiter, Turn
from kith.model.values import NUMBER_EXPONENT_MAX

ATTEMPTS_MAX = 3
# Who has taken its turn must not wait for a connection: more than the requests that are under way at once.
CONNECTIONS_MAX = 200
logger = structlog.get_logger(__name__)


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as the provider's classifier sees it. ``body`` is None where it is no JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any


# What went wrong with a request, None where nothing did.
Classify = Callable[[Reply], Failure | None]


@asynccontextmanager
async def open_client(
    timeout_s: float, transport: httpx2.AsyncBaseTransport | None = None
) -> AsyncIterator[httpx2.AsyncClient]:
    """One for all accounts: connections are kept. Redirects are not followed, as a token must not go elsewhere."""
    limits = httpx2.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX)
    async with httpx2.AsyncClient(
        timeout=timeout_s, limits=limits, transport=transport, follow_redirects=False, trust_env=False
    ) as client:
        yield client


class Caller:
    """Sends the requests of one account."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        limiter: Limiter,
        clock: Clock,
        url: str,
        get_headers: Callable[[], Awaitable[Mapping[str, str]]],
        classify: Classify,
    ) -> None:
        """``get_headers`` are asked for before each request: a token may have to be refreshed."""
        self._client = client
        self._limiter = limiter
        self._clock = clock
        self._url = url.rstrip("/")
        self._get_headers = get_headers
        self._classify = classify

    async def send(
        self, method: str, path: str, body: Any = None, *, params: Mapping[str, str] | None = None, safe: bool = True
    ) -> Any:
        """The JSON of the answer, None where it has none. Raises Failure.

        ``safe``: sent twice it does no harm, so that it is tried again at once where it fails in passing; one that is
        not is tried again only where it surely was not taken.
        """
        async for attempt in stamina.retry_context(
            on=lambda error: isinstance(error, Transient) and (safe or isinstance(error, NotTaken)),
            attempts=ATTEMPTS_MAX,
            timeout=None,
            wait_initial=0.2,
            wait_max=2,
        ):
            with attempt:
                return await self._send_within_limits(method, path, body, params)
        raise AssertionError("unreachable")

    async def _send_within_limits(self, method: str, path: str, body: Any, params: Mapping[str, str] | None) -> Any:
        for remaining in range(ATTEMPTS_MAX - 1, -1, -1):
            try:
                return await self._send_once(method, path, body, params)
            except Limited as limited:
                wait_s = (limited.until - self._clock.now()).total_seconds()
                await self._limiter.postpone(wait_s)
                logger.info("a provider asks for patience", path=path, seconds=wait_s)
                if wait_s > POSTPONED_WAIT_MAX_S or not remaining:
                    raise
        raise AssertionError("unreachable")

    async def _send_once(self, method: str, path: str, body: Any, params: Mapping[str, str] | None) -> Any:
        headers = {**await self._get_headers(), "Accept": "application/json"}
        content = None
        if body is not None:
            content = _encode(body)
            headers["Content-Type"] = "application/json"
        request = self._client.build_request(method, self._url + path, content=content, params=params, headers=headers)
        while True:
            async with self._limiter.turn() as turn:
                if self._limiter.rest_s:
                    continue
                try:
                    answer = await self._ask(request, turn)
                except _HeldBack:
                    continue
                failure = self._classify(_to_reply(answer))
                if isinstance(failure, Limited):
                    # Before the turn ends, which waits for the database: others would leave meanwhile.
                    self._limiter.rest((failure.until - self._clock.now()).total_seconds())
            if failure is not None:
                raise failure
            return _decode(answer)

    async def _ask(self, request: httpx2.Request, turn: Turn) -> httpx2.Response:
        """Raises NotTaken, Transient, Limited, _HeldBack."""
        request.extensions["trace"] = partial(self._watch, turn)
        try:
            return await self._client.send(request)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise NotTaken(f"{self._url} cannot be reached ({to_reason(error)}).") from error
        except httpx2.TimeoutException as error:
            turn.keep_place()
            raise Transient(f"{self._url} did not answer in time.") from error
        except httpx2.RequestError as error:  # also an answer that is packed wrongly
            raise Transient(f"The connection to {self._url} broke ({error or type(error).__name__}).") from error

    async def _watch(self, turn: Turn, event: str, info: Mapping[str, Any]) -> None:
        """Follow a request on its connection. It may have waited for the connection, and has to leave now."""
        if event.endswith("send_request_headers.started"):
            if self._limiter.rest_s:
                raise _HeldBack
            await self._limiter.renew(turn)


class _HeldBack(Exception):
    """The request has not left: another one was answered 429 meanwhile."""


class NotTaken(Transient):
    """It was not sent at all."""


def _to_reply(answer: httpx2.Response) -> Reply:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Reply(status=answer.status_code, headers=headers, body=_decode(answer))


def _decode(answer: httpx2.Response) -> Any:
    """None for what is no JSON, as a page of HTML that a proxy has made."""
    try:
        return _decode_json(answer.content) if answer.content else None
    except msgspec.DecodeError:
        return None


def _read_number(text: str) -> Decimal | float:
    """The number with all its digits. One that no record can hold is approximate: its digits could fill the memory."""
    number = Decimal(text)
    return number if abs(number.adjusted()) <= NUMBER_EXPONENT_MAX else float(text)


_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode_json = msgspec.json.Decoder(float_hook=_read_number).decode
