"""Answers: the envelopes around the bytes that the engine gives, and the one renderer of errors."""

from collections.abc import Mapping
from typing import Any

import msgspec

from kith.api.metrics import DEFERRED
from kith.engine.accept.operations import Operation
from kith.engine.accept.submit import WriteRequest, Written
from kith.engine.read.query import Page
from kith.engine.read.records import Found
from kith.errors import Exposed
from kith.integrations.accounts import Integration, to_view

Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")
# Since the first second of 2026: the legacy endpoints were never the preferred ones here.
DEPRECATED: Header = (b"deprecation", b"@1767225600")
NO_SNIFFING: Header = (b"x-content-type-options", b"nosniff")


class Answer(msgspec.Struct):
    """What goes back. ``correlation_id`` is set where the answer is about an operation. ``headers`` may grow."""

    status: int
    body: bytes
    headers: list[Header]
    correlation_id: str | None = None


class OperationMark(msgspec.Struct):
    """What a write's answer says of its operation."""

    id: str
    status: str
    position: str | None


encode = msgspec.json.Encoder(decimal_format="number", enc_hook=str).encode


def make_write_answer(written: Written, request: WriteRequest) -> Answer:
    """202 with the provisional record; 201 or 200 with the committed one where the client waited for it."""
    operation = written.operation
    mark = encode(OperationMark(operation.id, operation.status, operation.position))
    status = 202 if not written.waited else 201 if written.created else 200
    headers = [
        JSON,
        (b"location", written.location.encode()),
        (b"operation-location", b"/crm/operations/" + operation.id.encode()),
    ]
    if written.landed is not None:
        headers.append((b"content-location", written.landed.encode()))
    if written.waited:
        headers.append((b"preference-applied", b"wait=%d" % request.wait_s))
    if written.replayed:
        headers.append((b"idempotent-replayed", b"true"))
    if written.deferred:
        DEFERRED.inc()
        headers.append((b"x-kith-checks", b"deferred"))
    return Answer(status, b'{"data":%b,"operation":%b}' % (written.data, mark), headers, operation.id)


def make_record_answer(found: Found) -> Answer:
    """200 with the record and its ETag; 202 and PENDING while its create is not applied."""
    headers = [JSON, (b"content-location", found.location.encode())]
    if found.version is not None:
        headers.append((b"etag", b'"%d"' % found.version))
    if found.uncommitted:
        return Answer(202, b'{"data":%b,"code":"PENDING"}' % found.data, headers)
    return Answer(200, b'{"data":%b}' % found.data, headers)


def deprecate(answer: Answer, successor: str) -> Answer:
    """The answer of an endpoint that has a better one (RFC 9745, RFC 5829)."""
    answer.headers += [DEPRECATED, (b"link", b'<%b>; rel="successor-version"' % successor.encode())]
    return answer


def make_data_answer(data: Any) -> Answer:
    """200 with what has no page and no version."""
    return Answer(200, b'{"data":%b}' % encode(data), [JSON])


def make_account_answer(one: Integration, status: int = 200, *, replayed: bool = False) -> Answer:
    """An integration, and the version that If-Match may name."""
    headers = [JSON, (b"etag", b'"%d"' % one.version), (b"content-location", one.location.encode())]
    if status == 201:
        headers.append((b"location", one.location.encode()))
    if replayed:
        headers.append((b"idempotent-replayed", b"true"))
    return Answer(status, b'{"data":%b}' % encode(to_view(one)), headers)


def make_page_answer(page: Page) -> Answer:
    return Answer(200, b'{"data":%b,"meta":%b}' % (page.data, encode(page.meta)), [JSON])


def make_operation_answer(operation: Operation) -> Answer:
    return Answer(200, b'{"data":%b}' % operation.to_json(), [JSON], operation.id)


def make_plain_answer(body: bytes, content_type: str, status: int = 200, **headers: str) -> Answer:
    """Bytes as they are. Headers are given by name with _ for -."""
    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Answer(status, body, [(b"content-type", content_type.encode()), *lines])


def make_error_answer(error: Exposed) -> Answer:
    headers = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in error.headers.items()]
    return Answer(error.status, encode_error(error.code, error.message, error.details), [JSON, *headers])


def encode_error(code: str, message: str, details: Mapping[str, Any] | None) -> bytes:
    return encode({"success": False, "error": {"code": code, "message": message, "details": details}})
