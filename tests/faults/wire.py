"""HTTP on one connection with as little work as possible: what is measured is the server, not the client."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Reply(NamedTuple):
    status: int
    body: bytes

    def read(self) -> Any:
        return json.loads(self.body)


class Wire:
    """A keep-alive connection. It opens again after it was closed."""

    def __init__(self, url: str, key: str | None = None) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._host, self._port = parts.hostname, parts.port
        self._key = key
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        return self._streams

    def close(self) -> None:
        """Cut the connection, whatever is under way."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    def make_request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, length: int = 0
    ) -> bytes:
        """The bytes of a request. ``length`` promises more of a body than is given."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}:{self._port}"]
        if self._key is not None:
            lines.append(f"Authorization: Bearer {self._key}")
        if body is not None or length:
            lines += ["Content-Type: application/json", f"Content-Length: {length or len(raw)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        return "\r\n".join([*lines, "", ""]).encode() + raw

    async def send(self, raw: bytes) -> None:
        _, writer = await self.open()
        writer.write(raw)
        await writer.drain()

    async def read(self) -> Reply:
        """The next answer."""
        reader, _ = await self.open()
        head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        status = int(head[0].split()[1])
        fields = dict(line.lower().split(b": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
        if fields.get(b"connection") == b"close":
            self.close()
        return Reply(status, body)

    async def request(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """The answer. Raises OSError or EOFError when the connection is lost."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        await self.send(self.make_request(method, path, body, named))
        return await self.read()


@asynccontextmanager
async def open_wire(url: str, key: str | None = None) -> AsyncIterator[Wire]:
    wire = Wire(url, key)
    try:
        yield wire
    finally:
        wire.close()
