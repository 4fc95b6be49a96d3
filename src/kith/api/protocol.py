"""Reject what is not a request: heads without end, and bytes that are not HTTP.

A layer around uvicorn's protocol. A head is measured while it arrives, before any key is looked at, and whatever the
parser cannot take is answered in the one shape of error.
"""

import sys
from asyncio import TimerHandle
from typing import Any

import httptools
import uuid_utils
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from kith.api.metrics import CONNECTIONS, REFUSED
from kith.api.responses import NO_SNIFFING, Header, make_error_answer
from kith.errors import Exposed, InvalidRequest, Unavailable
from kith.rare_logs import RareLog

HEAD_BYTES_MAX = 65_536
HEADERS_MAX = 100
HEAD_TIMEOUT_S = 30
LINGER_S = 2
BODY_LINGER_S = 5
WRITE_TIMEOUT_S = 30
# So much of an answer a client takes within that time, or else the connection is cut.
WRITE_BYTES_MIN = 16_384
# Connections beyond the limit that are told so at once; the others are cut without a word.
REFUSALS_MAX = 16
# The parser gets pieces of these sizes, so that a read is not thousands of pipelined requests at once.
HEAD_PIECE_BYTES = 4096
BODY_PIECE_BYTES = 16_384
CLOSE: Header = (b"connection", b"close")

_EXHAUSTED = RareLog("connections_exhausted")


class HeldFlow(FlowControl):
    """``holds``: nothing more is read, as bytes of the connection wait for the parser."""

    holds = False

    def resume_reading(self) -> None:
        if not self.holds:
            super().resume_reading()


class GuardedProtocol(HttpToolsProtocol):
    """HTTP/1.1 on one connection.

    ``head_open`` while what comes next is a head, or the trailers of a chunked body, which the parser holds as it
    does a head; ``head_bytes`` came meanwhile. What shares a read with the end of a body is not counted.
    ``held`` is what was read while a request waited for the answer to one before it; it is parsed when none waits.
    ``connections_max`` is the number of connections that the process holds; more are refused.
    """

    connections_max: int = 4096
    flow: HeldFlow

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.head_open = True
        self.head_bytes = 0
        self.head_timer: TimerHandle | None = None
        self.refusal: Exposed | None = None
        self.refused = False
        self.failed = False
        self.held = b""
        self.running: Any = None  # the request that is answered now, or was last
        self.write_timer: TimerHandle | None = None
        self.body_timer: TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.flow = HeldFlow(transport)
        CONNECTIONS.inc()
        if len(self.connections) > self.connections_max:
            REFUSED.inc()
            _EXHAUSTED.warning(connections_max=self.connections_max)
            if len(self.connections) > self.connections_max + REFUSALS_MAX:
                transport.abort()
            else:
                self.refuse(make_too_busy(self.connections_max))
        else:
            self.expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        CONNECTIONS.dec()
        self.drop_head_timer()
        self.drop_body_timer()
        self.held = b""
        self.resume_writing()
        # Uvicorn marks the last request only; the one that is answered may be an earlier one.
        for cycle in (self.running, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self.running = cycle
        super()._start_asgi_task(cycle, app)

    def pause_writing(self) -> None:
        """The client takes less than it is sent: from now on it is watched."""
        super().pause_writing()
        self.watch_writing(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        if self.write_timer is not None:
            self.write_timer.cancel()
            self.write_timer = None
        super().resume_writing()

    def watch_writing(self, waiting: int) -> None:
        self.write_timer = self.loop.call_later(WRITE_TIMEOUT_S, self.check_writing, waiting)

    def check_writing(self, waited: int) -> None:
        waiting = self.transport.get_write_buffer_size()
        if waiting > waited - WRITE_BYTES_MIN:
            self.transport.abort()
        else:
            self.watch_writing(waiting)

    def on_response_complete(self) -> None:
        """A body that is still on its way when its request is answered gets a moment, and is then cut off."""
        super().on_response_complete()
        if self.cycle is not None and self.cycle.response_complete and self.cycle.more_body:
            self.body_timer = self.loop.call_later(BODY_LINGER_S, self.timeout_keep_alive_handler)
        if self.held and not self.pipeline and not self.transport.is_closing():
            held, self.held = self.held, b""
            self.flow.holds = False
            self.flow.resume_reading()
            self.data_received(held)

    def drop_body_timer(self) -> None:
        if self.body_timer is not None:
            self.body_timer.cancel()
            self.body_timer = None

    def timeout_keep_alive_handler(self) -> None:
        """Close, and cut the connection where the client does not take what is left for it."""
        super().timeout_keep_alive_handler()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(WRITE_TIMEOUT_S, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        """Parse as long as no request waits for the answer to another, and hold the rest."""
        if len(data) <= HEAD_PIECE_BYTES and not self.pipeline and not self.held and not self.failed:
            if not self.refused:
                self.parse(data)
            return
        start = 0
        while start < len(data) and not self.refused and not self.failed:
            if self.pipeline or self.held:
                self.held += data[start:]
                self.flow.holds = True
                self.flow.pause_reading()
                return
            end = start + (HEAD_PIECE_BYTES if self.head_open else BODY_PIECE_BYTES)
            self.parse(data[start:end])
            start = end

    def parse(self, data: bytes) -> None:
        if self.head_open:
            self.head_bytes += len(data)
        super().data_received(data)
        if self.head_open and self.head_bytes > HEAD_BYTES_MAX and not self.refused:
            self.refuse(make_too_large())
        # Only a head that is not whole at once costs a timer; a body has a time of its own.
        if self.head_open and self.head_bytes and self.head_timer is None and not self.refused:
            if self.cycle is None or not self.cycle.more_body:
                self.expect_head()

    def expect_head(self) -> None:
        self.head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.give_head_up)

    def drop_head_timer(self) -> None:
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None

    def give_head_up(self) -> None:
        """Whoever has begun a request is told; a connection without a byte is closed."""
        self.head_timer = None
        if self.head_bytes:
            self.refuse(make_too_slow())
        elif not self.transport.is_closing():
            self.transport.close()

    def on_headers_complete(self) -> None:
        came, self.head_bytes = self.head_bytes, 0
        self.head_open = False
        self.drop_head_timer()
        # A large read may be a small head and the beginning of its body: only then it is worth while to measure.
        if came > HEAD_BYTES_MAX and self.measure_head() > HEAD_BYTES_MAX:
            self.refusal = make_too_large()
        elif len(self.headers) > HEADERS_MAX:
            self.refusal = make_too_many(len(self.headers))
        if self.refusal is not None:
            raise self.refusal  # so that the parser stops; send_400_response is what follows
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        self.head_open = True
        self.head_bytes = 0

    def on_body(self, body: bytes) -> None:
        self.head_open = False
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.head_open = True
        self.head_bytes = 0
        self.drop_body_timer()
        super().on_message_complete()

    def measure_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def send_400_response(self, msg: str) -> None:
        """Called while the parser's error is handled, in place of uvicorn's plain text."""
        self.failed = True
        self.refuse(self.refusal or make_refusal(sys.exception(), msg))

    def refuse(self, error: Exposed) -> None:
        """Answer and close, unless an answer to an earlier request is under way: then close after that."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if self.pipeline or cycle.response_started or not cycle.more_body:
                cycle.keep_alive = False
                self.flow.pause_reading()
                return
            cycle.disconnected = True
            cycle.message_event.set()
        self.refused = True
        self.drop_head_timer()
        self.transport.write(self.make_answer(error))
        # To close with bytes unread would take the answer from a client that still sends.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.timeout_keep_alive_task = self.loop.call_later(LINGER_S, self.timeout_keep_alive_handler)

    def make_answer(self, error: Exposed) -> bytes:
        answer = make_error_answer(error)
        headers = [
            *self.server_state.default_headers,
            *answer.headers,
            (b"x-correlation-id", str(uuid_utils.uuid7()).encode()),
            (b"content-length", b"%d" % len(answer.body)),
            NO_SNIFFING,
            CLOSE,
        ]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        return b"%b%b\r\n%b" % (STATUS_LINE[answer.status], lines, answer.body)


def make_refusal(error: BaseException | None, fallback: str) -> Exposed:
    """What to look at. The parser's own words are no help to a client, and may quote the request."""
    if error is None or isinstance(error, httptools.HttpParserCallbackError):
        return InvalidRequest(f"{fallback} Its path cannot be understood.")
    return InvalidRequest(f"{fallback} Check the request line, the headers, and the length or the chunks of the body.")


def make_too_busy(connections_max: int) -> Exposed:
    message = f"This server has its {connections_max:,} connections open. Close some, or try again in a second."
    return Unavailable(message, retry_after_s=1)


def make_too_large() -> Exposed:
    message = f"The path and the headers are together larger than {HEAD_BYTES_MAX} bytes."
    return Exposed("HEADERS_TOO_LARGE", message, {"bytesMax": HEAD_BYTES_MAX})


def make_too_slow() -> Exposed:
    message = f"The head of the request did not arrive within {HEAD_TIMEOUT_S} seconds."
    return Exposed("REQUEST_TIMEOUT", message, {"timeoutMs": HEAD_TIMEOUT_S * 1000})


def make_too_many(count: int) -> Exposed:
    message = f"The request has {count} headers. At most {HEADERS_MAX} are taken."
    return Exposed("HEADERS_TOO_LARGE", message, {"headersMax": HEADERS_MAX})
