"""The fake as an ASGI application: which service a request is for, what goes wrong with it, and the log of requests."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from kith.clock import Clock, SystemClock
from tools.fake_vendors import hubspot, mailchimp
from tools.fake_vendors.faults import AFTER, TIMEOUTS, Dropped, Faults, Kind, Script, make_bare
from tools.fake_vendors.hubspot import HubSpot
from tools.fake_vendors.journal import Logged, most_at_once, most_within
from tools.fake_vendors.mailchimp import Mailchimp
from tools.fake_vendors.wire import Answer, Asked

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# In the extensions of a scope: a request without an answer is raised as Dropped.
RAISES_DROPPED = "kith.raises_dropped"


class Fake:
    """HubSpot below /hubspot, Mailchimp below /mailchimp/3.0.

    ``down``: every request is answered 503. ``latency_s``: each takes at least so long, so that they can be under way
    at once. ``hangs``: a timeout keeps its connection open until the caller leaves, in place of breaking it.
    ``requests_kept`` is how many requests the log holds, None for all.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        faults: Faults | None = None,
        latency_s: float = 0,
        hangs: bool = False,
        requests_kept: int | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self._monotonic = monotonic
        self.hubspot = HubSpot(clock, monotonic)
        self.mailchimp = Mailchimp(clock)
        self.faults = faults or Faults()
        self.script = Script()
        self.down = False
        self.latency_s = latency_s
        self.hangs = hangs
        self.requests: list[Logged] = []
        self.requests_kept = requests_kept
        self.under_way = {"hubspot": 0, "mailchimp": 0}

    def fail_next(self, kind: Kind, when: Callable[[Asked], bool] | None = None, times: int = 1) -> None:
        """The next requests that ``when`` holds for, or any, fail so."""
        self.script.add(kind, when, times)

    def list_requests(self, service: str | None = None, method: str | None = None, path: str = "") -> list[Logged]:
        """Those of the service and the method whose path has ``path`` in it."""
        return [
            one
            for one in self.requests
            if service in (None, one.service) and method in (None, one.method) and path in one.path
        ]

    def most_within(self, seconds: float, service: str) -> int:
        """The most requests that came in any such time."""
        return most_within((one.arrived for one in self.list_requests(service)), seconds)

    def most_at_once(self, service: str) -> int:
        return most_at_once(self.list_requests(service))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", f"there is no {scope['type']} here"
        asked = to_asked(scope, await read_body(receive))
        if asked.service not in self.under_way:
            await send_answer(send, Answer(status=200, body=self.tell()) if asked.path == "/" else Answer(status=404))
            return
        logged = self._log(asked)
        self.under_way[asked.service] += 1
        try:
            answer = await self._answer(asked, logged)
            logged.status = answer.status
            logged.ended = self._monotonic()
            await send_answer(send, answer)
        except Dropped:
            if RAISES_DROPPED in scope.get("extensions", {}):
                raise
            await self._drop(receive, send)
        finally:
            self.under_way[asked.service] -= 1
            logged.ended = logged.ended or self._monotonic()

    def tell(self) -> dict[str, Any]:
        """What it holds, in numbers."""
        return {
            "hubspot": {kind: len(records) for kind, records in self.hubspot.objects.items()},
            "mailchimp": {key: len(members) for key, members in self.mailchimp.members.items()},
            "requests": len(self.requests),
            "down": self.down,
        }

    async def _answer(self, asked: Asked, logged: Logged) -> Answer:
        """Raises Dropped where there is none."""
        service = self.hubspot if asked.service == "hubspot" else self.mailchimp
        crowded = isinstance(service, Mailchimp) and self._is_crowded(service)
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        if self.down:
            answer = make_bare("unavailable")
            assert answer is not None
            return answer
        if crowded and isinstance(service, Mailchimp):
            return service.refuse_crowd()
        kind = self.script.take(asked) or self.faults.choose()
        logged.fault = kind
        answer = service.answer(asked) if kind is None or kind in AFTER else None
        if kind in TIMEOUTS:
            raise Dropped(kind)
        if kind is not None:
            return service.fail(kind)
        assert answer is not None
        return answer

    def _is_crowded(self, service: Mailchimp) -> bool:
        most = service.simultaneous_max
        return most is not None and self.under_way["mailchimp"] > most

    def _log(self, asked: Asked) -> Logged:
        logged = Logged(
            service=asked.service,
            method=asked.method,
            path=asked.path,
            query=dict(asked.query),
            body=asked.json,
            arrived=self._monotonic(),
        )
        self.requests.append(logged)
        if self.requests_kept is not None and len(self.requests) > 2 * self.requests_kept:
            del self.requests[: -self.requests_kept]
        return logged

    async def _drop(self, receive: Receive, send: Send) -> None:
        """An answer that breaks off: a server closes the connection then."""
        if self.hangs:
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        with contextlib.suppress(OSError):
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
            await send({"type": "http.response.body", "body": b"{", "more_body": True})


def to_asked(scope: Scope, body: bytes) -> Asked:
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    service, rest = "", path
    for name, prefix in (("hubspot", hubspot.PREFIX), ("mailchimp", mailchimp.PREFIX)):
        if path == prefix or path.startswith(prefix + "/"):
            service, rest = name, path.removeprefix(prefix) or "/"
    return Asked(
        service=service,
        method=scope["method"],
        path=rest,
        query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
        body=body,
    )


async def read_body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def send_answer(send: Send, answer: Answer) -> None:
    headers, body = answer.encode()
    headers["content-length"] = str(len(body))
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
