"""What headers ask for, and when two requests are the same."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kith.api import pace
from kith.api.requests import (
    PREFERENCE,
    find_correlation_id,
    find_wait_s,
    make_fingerprint,
    read_body,
    to_idempotency_key,
    to_version,
)
from kith.errors import Exposed, InvalidRequest


@pytest.mark.parametrize(
    ("values", "wait_s"),
    [
        (["wait=5"], 5),
        (["WAIT=5"], 5),
        (['wait="5"'], 5),
        (["wait = 5"], 5),
        (["respond-async, wait=5"], 5),
        (["respond-async; foo, wait=5; bar=1"], 5),
        (['foo="a, wait=9", wait=5'], 5),
        (["respond-async", "wait=5"], 5),
        (["wait=5, wait=9"], 5),
        (["wait=30"], 30),
        (["wait=31"], 30),
        (["wait=" + "9" * 5000], 30),
        (["wait=0"], 0),
        (["wait=-1"], 0),
        (["wait=1.5"], 0),
        (["wait"], 0),
        (["wait="], 0),
        (["wait=x"], 0),
        (["nowait=5"], 0),
        (['wait="5'], 0),
        ([",,;;="], 0),
        ([], 0),
    ],
)
def test_prefer_is_read_as_the_rfc_has_it(values: list[str], wait_s: int) -> None:
    assert find_wait_s([(b"accept", b"*/*"), *((b"prefer", value.encode()) for value in values)]) == wait_s


def test_a_quoted_text_without_an_end_is_one_preference_to_the_end() -> None:
    """Each character is looked at once. A header of 60 KB that was read again from each quotation mark took minutes."""
    text = '"' + '\\"' * 30_000
    assert PREFERENCE.findall(text) == [text]
    assert find_wait_s([(b"prefer", text.encode()), (b"prefer", b"wait=5")]) == 0


@pytest.mark.parametrize(
    ("value", "version"),
    [(b'"3"', 3), (b'W/"3"', 3), (b"3", 3), (b' "12" ', 12), (b"*", None), (None, None)],
)
def test_if_match_names_a_version_or_any(value: bytes | None, version: int | None) -> None:
    assert to_version(value) == version


@pytest.mark.parametrize("value", [b"", b"x", b'"x"', b'"1", "2"', b"-1", b'"1.0"', b'"' + b"9" * 50 + b'"', b"\xff"])
def test_if_match_refuses_what_is_no_version(value: bytes) -> None:
    with pytest.raises(InvalidRequest, match="If-Match"):
        to_version(value)


@pytest.mark.parametrize("value", [b"", b"  ", b"x" * 256, "é".encode(), b"a\x7fb"])
def test_an_idempotency_key_that_cannot_be_one_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidRequest, match="Idempotency-Key"):
        to_idempotency_key(value)


def test_an_idempotency_key_may_have_255_characters() -> None:
    assert to_idempotency_key(b"x" * 255) == "x" * 255
    assert to_idempotency_key(None) is None


@pytest.mark.parametrize("value", [b"", b"a b", b"x" * 129, b"\xff", b'"quoted"', b"a\nb"])
def test_a_correlation_id_that_could_harm_a_log_is_not_taken_over(value: bytes) -> None:
    assert find_correlation_id({b"x-correlation-id": value}) is None


def test_a_sane_correlation_id_is_taken_over() -> None:
    assert find_correlation_id({b"x-correlation-id": b"order-7:retry.2"}) == "order-7:retry.2"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":1,"b":2}', b' { "b" : 2, "a" : 1 } '),
        (b'{"a":1}', b'{"a":1.0}'),
        (b'{"a":100}', b'{"a":1e2}'),
        (b'{"a":0}', b'{"a":-0.0}'),
        (b'{"a":1.50}', b'{"a":1.5}'),
        (b'{"a":"\\u00e9"}', '{"a":"é"}'.encode()),
        (b'{"a":{"x":1,"y":[1,{"p":1,"q":2}]}}', b'{"a":{"y":[1,{"q":2,"p":1}],"x":1}}'),
    ],
)
def test_bodies_that_mean_the_same_have_one_fingerprint(one: bytes, other: bytes) -> None:
    assert make_fingerprint("POST", "/p", one) == make_fingerprint("POST", "/p", other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("POST", "/p", b'{"a":1}'), ("POST", "/p", b'{"a":"1"}')),
        (("POST", "/p", b'{"a":1.5}'), ("POST", "/p", b'{"a":"1.5"}')),
        (("POST", "/p", b'{"a":1}'), ("POST", "/p", b'{"a":true}')),
        (("POST", "/p", b'{"a":[1,2]}'), ("POST", "/p", b'{"a":[2,1]}')),
        (("POST", "/p", b'{"a":null}'), ("POST", "/p", b"{}")),
        (("POST", "/p", b'{"a":1.00000000000000000000000000000000000000001}'), ("POST", "/p", b'{"a":1}')),
        (("POST", "/p", b"{}"), ("PATCH", "/p", b"{}")),
        (("POST", "/p", b"{}"), ("POST", "/q", b"{}")),
    ],
)
def test_requests_that_mean_something_else_have_another(
    one: tuple[str, str, bytes], other: tuple[str, str, bytes]
) -> None:
    assert make_fingerprint(*one) != make_fingerprint(*other)


leaves = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=5)
trees = st.recursive(
    leaves, lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=4)
)


def reverse_keys(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: reverse_keys(tree[key]) for key in reversed(tree)}
    return [reverse_keys(member) for member in tree] if isinstance(tree, list) else tree


@given(trees)
def test_the_order_of_keys_never_changes_a_fingerprint(tree: Any) -> None:
    one, other = json.dumps(tree).encode(), json.dumps(reverse_keys(tree), indent=1, ensure_ascii=False)
    assert make_fingerprint("POST", "/p", one) == make_fingerprint("POST", "/p", other.encode("utf-8", "surrogatepass"))


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**50), max_value=10**50), st.integers(0, 5))
def test_zeros_at_the_end_never_change_a_fingerprint(number: Decimal, zeros: int) -> None:
    text = f"{number:f}"
    longer = text + ("." if "." not in text and zeros else "") + "0" * zeros
    assert make_fingerprint("POST", "/p", f"[{text}]".encode()) == make_fingerprint(
        "POST", "/p", f"[{longer}]".encode()
    )


async def test_a_body_in_parts_is_put_together() -> None:
    messages = iter(
        [
            {"type": "http.request", "body": b"ab", "more_body": True},
            {"type": "http.request", "more_body": True},
            {"type": "http.request", "body": b"cd"},
        ]
    )

    async def receive() -> dict[str, Any]:
        return next(messages)

    assert await read_body(receive, {}, 4, 1000) == b"abcd"


async def test_a_body_without_end_is_refused_as_soon_as_it_is_too_large() -> None:
    received = 0

    async def receive() -> dict[str, Any]:
        nonlocal received
        received += 1
        return {"type": "http.request", "body": b"x" * 10, "more_body": True}

    with pytest.raises(Exposed) as refused:
        await read_body(receive, {}, 25, 1000)
    assert (refused.value.code, received) == ("PAYLOAD_TOO_LARGE", 3)


async def test_a_body_that_says_that_it_is_too_large_is_not_read_at_all() -> None:
    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing is to be read")

    with pytest.raises(Exposed, match="larger than 25 bytes"):
        await read_body(receive, {b"content-length": b"26"}, 25, 1000)


async def test_a_body_that_is_there_costs_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: float) -> None:
        raise AssertionError("nothing has to be waited for")

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"ab"}

    monkeypatch.setattr("asyncio.timeout", fail)
    assert await read_body(receive, {}, 4, 1) == b"ab"


async def test_a_body_may_come_after_its_head() -> None:
    parts: asyncio.Queue[dict[str, Any]] = asyncio.Queue(1)
    asked = asyncio.Event()

    async def receive() -> dict[str, Any]:
        asked.set()
        return await parts.get()

    reading = asyncio.create_task(read_body(receive, {}, 4, 10_000))
    await asked.wait()
    for part in (b"ab", b"cd", b""):
        await parts.put({"type": "http.request", "body": part, "more_body": bool(part)})
    assert await reading == b"abcd"


async def test_a_body_that_stops_arriving_is_not_waited_for() -> None:
    parts: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    parts.put_nowait({"type": "http.request", "body": b"ab", "more_body": True})
    with pytest.raises(Exposed, match="within 1 ms") as refused:
        await read_body(parts.get, {}, 4, 1)
    assert (refused.value.code, refused.value.headers) == ("REQUEST_TIMEOUT", {"Connection": "close"})


async def test_whoever_waits_for_a_body_can_be_cancelled() -> None:
    ended = asyncio.Event()
    asked = asyncio.Event()

    async def receive() -> dict[str, Any]:
        try:
            asked.set()
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()
        raise AssertionError("nothing was sent")

    reading = asyncio.create_task(read_body(receive, {}, 4, 10_000))
    await asked.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert ended.is_set()


async def test_a_body_that_is_not_read_at_its_pace_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "BYTES_PER_S", 1)
    waiting = [b"x" * pace.FREE_BYTES, b"x", b"x", b"never read"]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": waiting.pop(0), "more_body": len(waiting) > 0}

    everyones = pace.Pace()
    await everyones.take(3)
    with pytest.raises(Exposed, match="Too many deliveries") as caught:
        await read_body(receive, {}, 1_000_000, 10_000, everyones)
    assert (caught.value.code, caught.value.headers["Connection"]) == ("SERVICE_UNAVAILABLE", "close")
    assert waiting == [b"x", b"never read"]
