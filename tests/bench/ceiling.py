"""How many requests a second the load generator sends by itself: to a server that answers without reading them."""

import asyncio
import subprocess
import sys

import uvloop

from tests.bench.client import ROOT, Client, Load
from tests.bench.figures import Figure

BODY = b'{"data":' + b'"as long as the answer to a write is"' * 18 + b"}"
ANSWER = b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Answering(asyncio.Protocol):
    """Requests here are small enough to come in one piece."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, _: bytes) -> None:
        self._transport.write(ANSWER)


def bench_client(seconds: float, connections: int = 64) -> Figure:
    """Far above what any endpoint does, or the figures would be the client's own."""
    with subprocess.Popen([sys.executable, "-m", "tests.bench.ceiling"], cwd=ROOT, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        load = Load(port=port, key="none", paths=["/"], connections=connections, seconds=seconds, creates_from=0)
        with Client() as client:
            result = client.run(load)
        server.terminate()
    return Figure(
        name="the load generator by itself",
        value=result.per_s,
        unit="/s",
        parts={"processor µs each": result.cpu_s * 1e6 / result.count},
    )


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
