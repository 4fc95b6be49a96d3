"""What is refused before there is a request, on real sockets: one shape of error, and the connection is closed."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
import pytest
import uvicorn
from structlog.testing import capture_logs
from uvicorn.server import ServerState

from kith.api.app import App
from kith.api.protocol import HEAD_BYTES_MAX, HEADERS_MAX, GuardedProtocol
from kith.model.workspaces import Workspace
from tests.kit import SETTINGS, Kit, open_kit

TIMEOUT_S = 10


class Got(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        code: str = json.loads(self.body)["error"]["code"]
        return code


class Wire:
    """A client that sends whatever bytes a test likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    async def receive(self) -> Got:
        async with asyncio.timeout(TIMEOUT_S):
            first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().splitlines()[:-1]
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await self.reader.readexactly(int(headers["content-length"]))
        return Got(int(first.split()[1]), headers, body)

    async def is_closed(self) -> bool:
        """Waits for the end. False where more is sent instead."""
        async with asyncio.timeout(TIMEOUT_S):
            return await self.reader.read(1) == b""


@asynccontextmanager
async def open_wire(app: App) -> AsyncIterator[Wire]:
    config = uvicorn.Config(app, http=GuardedProtocol, lifespan="off", log_config=None)  # type: ignore[arg-type]
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: GuardedProtocol(config, state, {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        if state.tasks:
            await asyncio.wait(list(state.tasks))


@pytest.fixture
async def wire(kit: Kit) -> AsyncIterator[Wire]:
    async with open_wire(kit.app) as opened:
        yield opened


async def check_refused(wire: Wire, status: int, code: str) -> Any:
    """The error's member of the answer, after which nothing comes."""
    got = await wire.receive()
    assert got.status == status
    assert (got.headers["content-type"], got.headers["connection"]) == ("application/json", "close")
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["x-correlation-id"]
    answer = json.loads(got.body)
    assert answer.keys() == {"success", "error"}
    assert answer["success"] is False
    assert answer["error"].keys() == {"code", "message", "details"}
    assert answer["error"]["code"] == code
    assert await wire.is_closed()
    return answer["error"]


def make_head(line: bytes, *headers: bytes) -> bytes:
    return b"".join(part + b"\r\n" for part in (line, b"Host: kith.test", *headers, b""))


POST = b"POST /crm/contacts HTTP/1.1"
NOT_HTTP = {
    "an unknown method": make_head(b"FOO / HTTP/1.1"),
    "an unknown version": make_head(b"GET / HTTP/7.7"),
    "no version": b"GET\r\n\r\n",
    "a length that is no number": make_head(POST, b"Content-Length: x"),
    "a negative length": make_head(POST, b"Content-Length: -1"),
    "two lengths": make_head(POST, b"Content-Length: 1", b"Content-Length: 2"),
    "a length beside chunks": make_head(POST, b"Content-Length: 1", b"Transfer-Encoding: chunked"),
    "a chunk without a size": make_head(POST, b"Transfer-Encoding: chunked") + b"zz\r\n",
    "a header without a name": make_head(b"GET / HTTP/1.1", b": x"),
    "a header with a control character": make_head(b"GET / HTTP/1.1", b"A: \x00"),
    "a path that is no ASCII": make_head("GET /é HTTP/1.1".encode()),
    "a path that is none": make_head(b"GET http:// HTTP/1.1"),
    "the beginning of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("name", NOT_HTTP)
async def test_what_is_no_http_is_refused_like_all_else(wire: Wire, name: str) -> None:
    await wire.send(NOT_HTTP[name])
    error = await check_refused(wire, 400, "INVALID_REQUEST")
    assert error["details"] is None
    assert "http://" not in error["message"], "what was sent is not sent back"


async def test_a_chunk_that_is_none_is_refused_while_the_body_is_read(
    kit: Kit, wire: Wire, workspace: Workspace
) -> None:
    key = (await kit.make_key(workspace)).encode()
    head = make_head(POST, b"Authorization: Bearer " + key, b"Transfer-Encoding: chunked", b"Expect: 100-continue")
    await wire.send(head)
    # It says so when somebody waits for the body.
    assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await wire.send(b'2\r\n{"\r\n', b"zz\r\n")
    await check_refused(wire, 400, "INVALID_REQUEST")


@pytest.mark.parametrize("line", [b"A: ", b"A: b\r\nC: ", b"A", b""])
async def test_a_head_without_end_is_refused(wire: Wire, line: bytes) -> None:
    await wire.send(b"GET / HTTP/1.1\r\n" + line, b"x" * HEAD_BYTES_MAX)
    error = await check_refused(wire, 431, "HEADERS_TOO_LARGE")
    assert error["details"] == {"bytesMax": HEAD_BYTES_MAX}


async def test_a_client_that_goes_on_sending_its_head_still_gets_the_answer(wire: Wire) -> None:
    await wire.send(b"GET / HTTP/1.1\r\nA: ", *[b"x" * HEAD_BYTES_MAX] * 64)
    await check_refused(wire, 431, "HEADERS_TOO_LARGE")


async def test_a_path_without_end_is_refused(wire: Wire) -> None:
    await wire.send(b"GET /", b"x" * HEAD_BYTES_MAX)
    await check_refused(wire, 431, "HEADERS_TOO_LARGE")


async def test_the_second_head_of_a_connection_is_measured_too(wire: Wire) -> None:
    await wire.send(make_head(b"GET /healthz HTTP/1.1"))
    assert (await wire.receive()).status == 200
    await wire.send(b"GET / HTTP/1.1\r\nA: ", b"x" * HEAD_BYTES_MAX)
    await check_refused(wire, 431, "HEADERS_TOO_LARGE")


async def test_trailers_without_end_are_refused(wire: Wire) -> None:
    await wire.send(make_head(POST, b"Transfer-Encoding: chunked"))
    assert (await wire.receive()).code == "UNAUTHORIZED"
    await wire.send(b"0\r\n", b"A: ", *[b"x" * HEAD_BYTES_MAX] * 8)
    await check_refused(wire, 431, "HEADERS_TOO_LARGE")


async def test_a_large_head_is_refused_even_when_it_is_whole_at_once(kit: Kit) -> None:
    state = ServerState()
    protocol = GuardedProtocol(uvicorn.Config(kit.app, log_config=None), state, {})  # type: ignore[arg-type]
    sent = Sent()
    protocol.connection_made(sent)
    protocol.data_received(make_head(b"GET / HTTP/1.1", b"A: " + b"x" * HEAD_BYTES_MAX))
    protocol.connection_lost(None)
    assert sent.bytes.startswith(b"HTTP/1.1 431 ")
    assert not state.tasks


class Sent(asyncio.Transport):
    """Where a protocol writes to, when it is to be told what came in one read."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.bytes += data

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("count", "status"), [(HEADERS_MAX, 200), (HEADERS_MAX + 1, 431)])
async def test_a_request_has_at_most_100_headers(wire: Wire, count: int, status: int) -> None:
    await wire.send(make_head(b"GET /healthz HTTP/1.1", *[b"A: b"] * (count - 1)))
    if status == 200:
        assert (await wire.receive()).status == 200
    else:
        assert (await check_refused(wire, 431, "HEADERS_TOO_LARGE"))["details"] == {"headersMax": HEADERS_MAX}


@pytest.mark.parametrize("encoding", ["length", "chunks", "one chunk", "small chunks"])
async def test_a_small_head_with_a_large_body_is_a_request(
    kit: Kit, wire: Wire, workspace: Workspace, encoding: str
) -> None:
    head = (POST, b"Authorization: Bearer " + (await kit.make_key(workspace)).encode())
    body = b'{"name":"a"' + b" " * 8 * HEAD_BYTES_MAX + b"}"
    size = {"chunks": 30_000, "one chunk": len(body), "small chunks": 3}.get(encoding)
    if size is None:
        request = make_head(*head, b"Content-Length: %d" % len(body)) + body
    else:
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        request = make_head(*head, b"Transfer-Encoding: chunked") + chunks + b"0\r\nA: b\r\n\r\n"
    for _ in range(2):
        await wire.send(request)
        assert (await wire.receive()).status == 202


async def test_requests_in_a_row_are_each_measured_alone(wire: Wire) -> None:
    request = make_head(b"GET /healthz HTTP/1.1", b"A: " + b"x" * 1000)
    count = 3 * HEAD_BYTES_MAX // len(request)
    sending = asyncio.create_task(wire.send(request * count))
    for _ in range(count):
        assert (await wire.receive()).status == 200
    await sending


async def test_an_answer_that_is_under_way_comes_before_the_connection_is_closed(kit: Kit) -> None:
    answered = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answered.wait()
        await kit.app(scope, receive, send)

    async with open_wire(app) as wire:
        await wire.send(make_head(b"GET /healthz HTTP/1.1") + b"nonsense\r\n\r\n")
        answered.set()
        got = await wire.receive()
        assert (got.status, got.headers["connection"]) == (200, "close")
        assert await wire.is_closed()


@pytest.mark.parametrize("sent", [b"", b'{"name":'])
async def test_a_body_that_stops_arriving_is_refused(database_url: str, sent: bytes) -> None:
    async with open_kit(database_url, msgspec.structs.replace(SETTINGS, body_timeout_ms=100)) as kit:
        key = (await kit.make_key(await kit.make_workspace())).encode()
        async with open_wire(kit.app) as wire:
            await wire.send(make_head(POST, b"Authorization: Bearer " + key, b"Content-Length: 50") + sent)
            error = await check_refused(wire, 408, "REQUEST_TIMEOUT")
    assert error["details"] == {"timeoutMs": 100}


@pytest.mark.parametrize("before", [b"", make_head(b"GET /healthz HTTP/1.1")], ids=["first", "second"])
async def test_a_head_that_stops_arriving_is_refused(kit: Kit, monkeypatch: pytest.MonkeyPatch, before: bytes) -> None:
    monkeypatch.setattr("kith.api.protocol.HEAD_TIMEOUT_S", 0.1)
    async with open_wire(kit.app) as wire:
        if before:
            await wire.send(before)
            assert (await wire.receive()).status == 200
        await wire.send(b"GET /healthz HTTP/1.1\r\nHost: ki")
        await check_refused(wire, 408, "REQUEST_TIMEOUT")


async def test_a_connection_on_which_nothing_comes_is_closed(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kith.api.protocol.HEAD_TIMEOUT_S", 0.1)
    async with open_wire(kit.app) as wire:
        assert await wire.is_closed()


async def is_cut(wire: Wire) -> bool:
    """Waits for the end of the connection, however it comes, over whatever was sent before."""
    async with asyncio.timeout(TIMEOUT_S):
        try:
            while await wire.reader.read(65_536):
                pass
        except ConnectionError:
            return True
    return True


async def test_the_body_of_a_refused_request_does_not_hold_the_connection(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kith.api.protocol.BODY_LINGER_S", 0.05)
    await wire.send(make_head(POST, b"Content-Length: 1000"), b'{"name":')
    assert (await wire.receive()).status == 401
    assert await is_cut(wire)


async def test_a_body_that_comes_whole_after_its_refusal_keeps_the_connection(wire: Wire) -> None:
    await wire.send(make_head(POST, b"Content-Length: 2"))
    assert (await wire.receive()).status == 401
    await wire.send(b"{}", make_head(b"GET /healthz HTTP/1.1"))
    assert (await wire.receive()).status == 200


class Large:
    """An application whose answer is larger than what a socket takes."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"50000000")]})
            for _ in range(50):
                await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self.ended.set()


async def test_a_client_that_never_reads_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kith.api.protocol.WRITE_TIMEOUT_S", 0.05)
    large = Large()
    async with open_wire(large) as wire:
        await wire.send(make_head(b"GET / HTTP/1.1") * 10)
        async with asyncio.timeout(TIMEOUT_S):
            await large.ended.wait()
        assert await is_cut(wire)


async def test_a_connection_beyond_the_limit_is_told_so_and_counted(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GuardedProtocol, "connections_max", 0)
    with capture_logs() as logs:
        async with open_wire(kit.app) as wire:
            error = await check_refused(wire, 503, "SERVICE_UNAVAILABLE")
    assert "connections open" in error["message"]
    monkeypatch.undo()
    async with open_wire(kit.app) as wire:
        await wire.send(make_head(b"GET /metrics HTTP/1.1"))
        metrics = (await wire.receive()).body.decode()
    assert re.search(r"^kith_http_connections_refused_total [1-9]", metrics, re.MULTILINE)
    assert re.search(r"^kith_http_connections 1\.0$", metrics, re.MULTILINE)
    assert [line["event"] for line in logs] in (["connections_exhausted"], [])  # at most one in a while


async def test_a_client_that_leaves_in_mid_answer_leaves_no_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    large = Large()
    with caplog.at_level("WARNING"), capture_logs() as logs:
        async with open_wire(large) as wire:
            await wire.send(make_head(b"GET / HTTP/1.1") * 3)
            await wire.reader.read(1000)
            wire.writer.transport.abort()
            async with asyncio.timeout(TIMEOUT_S):
                await large.ended.wait()
    assert logs == []
    assert caplog.text == ""


async def test_pipelined_requests_are_parsed_a_few_at_a_time_and_all_answered_in_order(
    kit: Kit, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[int] = []
    held: list[int] = []
    parse = GuardedProtocol.parse

    def spy(self: GuardedProtocol, data: bytes) -> None:
        parse(self, data)
        waiting.append(len(self.pipeline))
        held.append(len(self.held))

    monkeypatch.setattr(GuardedProtocol, "parse", spy)
    key = f"Authorization: Bearer {await kit.make_key(workspace)}".encode()
    small = [make_head(b"GET /crm/contacts/%d HTTP/1.1" % n, key) for n in range(1, 3001)]
    body = b'{"name": "%s", "email": 1}' % (b"n" * 9000)
    large = make_head(POST, key, b"Content-Type: application/json", b"Content-Length: %d" % len(body)) + body
    async with open_wire(kit.app) as wire:
        sending = asyncio.create_task(wire.send(b"".join(small), large * 100, small[0]))
        for n in range(1, 3001):
            got = await wire.receive()
            assert got.status == 404 and f"{n}" in json.loads(got.body)["error"]["message"]
        assert [(await wire.receive()).status for _ in range(101)] == [422] * 100 + [404]
        await sending
    assert max(waiting) < 100 and max(held) < 1_000_000


async def test_what_is_no_http_behind_pipelined_requests_is_refused_after_their_answers(wire: Wire) -> None:
    await wire.send(make_head(b"GET /nothing HTTP/1.1") * 500, b"no http\r\n\r\n" * 1000)
    for _ in range(500):
        assert (await wire.receive()).status == 404
    rest = await wire.reader.read()
    assert rest == b"" or b"INVALID_REQUEST" in rest
