"""Read the headers of a request, and its body within the limits."""

import asyncio
import hashlib
import json
import re
import types
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Mapping, MutableMapping
from decimal import Context, Decimal
from functools import lru_cache
from typing import Any

import msgspec

from kith.api.pace import FREE_BYTES, Pace
from kith.errors import Exposed, InvalidRequest

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

WAIT_MAX_S = 30
IDEMPOTENCY_KEY_CHARACTERS_MAX = 255
HOST_BYTES_MAX = 300

# A quoted text without an end goes to the end of the header: every character is looked at once.
PREFERENCE = re.compile(r'(?:[^,"]|"(?:\\.|[^"\\])*+(?:"|\\?\Z))++', re.DOTALL)
WAIT = re.compile(r'wait\s*=\s*("?)([0-9]+)\1\s*(?:;.*)?', re.IGNORECASE)
VERSION = re.compile(r'(?:W/)?"?([0-9]{1,10})"?')
CORRELATION_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
HOST = re.compile(rb"(?:[\w.~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
JSON_TYPE = re.compile(rb"\s*application/(?:[\w.+-]*\+)?json\s*(?:;.*)?", re.IGNORECASE)


# Headers of which a request has one at most: with two, two programs could each believe another.
SINGLE = frozenset(
    (
        b"host",
        b"authorization",
        b"x-api-key",
        b"content-type",
        b"idempotency-key",
        b"if-match",
        b"x-read-after",
        b"x-correlation-id",
    )
)


class Disconnected(Exception):
    """The client went away before its request was whole: nobody is left to answer."""


def check_headers(scope: Mapping[str, Any], headers: Mapping[bytes, bytes], has_repeats: bool) -> None:
    """Raise 400 where Host is missing or no host, or a header that may come once comes twice. Values are not quoted."""
    host = headers.get(b"host")
    if host is None and scope.get("http_version", "1.1") != "1.0":
        raise InvalidRequest("The request has no Host header. HTTP/1.1 requires one.", {"header": "Host"})
    if host is not None and (len(host) > HOST_BYTES_MAX or not is_host(host)):
        raise InvalidRequest("Host: must be a name or an address, and perhaps a port.", {"header": "Host"})
    if has_repeats:
        names = Counter(name for name, _ in scope["headers"])
        for name in SINGLE & names.keys():
            if names[name] > 1:
                shown = name.decode().title().replace("X-Api", "X-API")
                raise InvalidRequest(f"{shown}: is there {names[name]} times. Send it once.", {"header": shown})


@lru_cache(maxsize=256)
def is_host(value: bytes) -> bool:
    return HOST.fullmatch(value) is not None


async def read_body(
    receive: Receive, headers: Mapping[bytes, bytes], bytes_max: int, timeout_ms: int, pace: Pace | None = None
) -> bytes:
    """The whole body. Raises 413 as soon as it is known to be larger than ``bytes_max``, 408 after the timeout.

    Nearly every body has arrived with its head. A timer costs as much as reading it, so one is set only for a wait.
    ``pace`` is that of what is read beyond ``FREE_BYTES``.
    """
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and (len(declared) > 18 or int(declared) > bytes_max):
        raise make_too_large(bytes_max)
    reading = read_parts(receive, bytes_max, pace)
    try:
        waits_for = reading.send(None)
    except StopIteration as done:
        body: bytes = done.value
        return body
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            return await finish(reading, waits_for)
    except TimeoutError:
        message = f"The body did not arrive within {timeout_ms} ms. Send as many bytes as Content-Length says."
        raise Exposed("REQUEST_TIMEOUT", message, {"timeoutMs": timeout_ms}, {"Connection": "close"}) from None


@types.coroutine
def finish(begun: Coroutine[Any, Any, bytes], waits_for: Any) -> Generator[Any, Any, bytes]:
    """Await a coroutine whose first step was made by hand, and ended where it waits for ``waits_for``."""
    try:
        yield waits_for
    except BaseException:
        begun.close()
        raise
    body: bytes = yield from begun
    return body


async def read_parts(receive: Receive, bytes_max: int, pace: Pace | None) -> bytes:
    parts = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part = message.get("body", b"")
        size += len(part)
        if size > bytes_max:
            raise make_too_large(bytes_max)
        parts.append(part)
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)
        if pace is not None and size > FREE_BYTES:
            await pace.take(len(part))


def make_too_large(bytes_max: int) -> Exposed:
    return Exposed("PAYLOAD_TOO_LARGE", f"The body is larger than {bytes_max} bytes.", {"bytesMax": bytes_max})


def check_media_type(content_type: bytes | None) -> None:
    """Take JSON in every spelling, and a body that is not labelled. Raises 415 for the rest."""
    if content_type and content_type != b"application/json" and not JSON_TYPE.fullmatch(content_type):
        given = content_type[:80].decode("latin-1")
        raise Exposed("UNSUPPORTED_MEDIA_TYPE", f"The body is {given}. Send JSON, as Content-Type: application/json.")


def find_wait_s(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """The wait that ``Prefer`` (RFC 7240) asks for in seconds, at most 30; 0 where it asks for none.

    The first ``wait`` counts. What cannot be understood is ignored, as the RFC has it.
    """
    given = ",".join(value.decode("latin-1") for name, value in headers if name == b"prefer")
    for preference in PREFERENCE.findall(given):
        found = WAIT.fullmatch(preference.strip())
        if found:
            digits = found.group(2).lstrip("0") or "0"
            return min(int(digits[:3]), WAIT_MAX_S)
    return 0


def to_idempotency_key(value: bytes | None) -> str | None:
    if value is None:
        return None
    key = value.decode("latin-1").strip()
    if not key or len(key) > IDEMPOTENCY_KEY_CHARACTERS_MAX or not (key.isascii() and key.isprintable()):
        raise InvalidRequest(
            f"Idempotency-Key: must be 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} printable ASCII characters.",
            {"header": "Idempotency-Key"},
        )
    return key


def to_version(value: bytes | None) -> int | None:
    """The version that ``If-Match`` names; None for any."""
    if value is None or value.strip() == b"*":
        return None
    found = VERSION.fullmatch(value.decode("latin-1").strip())
    if not found:
        raise InvalidRequest('If-Match: must be one ETag as GET answers it, like "3", or *.', {"header": "If-Match"})
    return int(found.group(1))


def find_correlation_id(headers: Mapping[bytes, bytes]) -> str | None:
    """The client's own correlation id, where it sent a sane one."""
    value = headers.get(b"x-correlation-id")
    return value.decode("ascii") if value is not None and CORRELATION_ID.fullmatch(value) else None


def make_fingerprint(method: str, path: str, body: bytes) -> bytes:
    """SHA-256 of what a request asks for. Bodies that mean the same give the same, whatever the order of their keys."""
    tree = CANONICAL.decode(body.decode()) if body else None
    return hashlib.sha256(f"{method} {path}\n".encode() + encode_canonical(tree)).digest()


def to_canonical(text: str) -> int | Decimal:
    """One value for each number, however it is written: 1.0 and 1e0 are 1."""
    number = Decimal(text)
    return int(number) if number == number.to_integral_value() else number.normalize(EXACT)


EXACT = Context(prec=400)
CANONICAL = json.JSONDecoder(parse_float=to_canonical)
encode_canonical = msgspec.json.Encoder(order="deterministic", decimal_format="number").encode
