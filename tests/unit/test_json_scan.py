"""The scan of a body before it is parsed: what it measures, and that nothing beyond its limits reaches a parser."""

import json
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kith.api import bodies
from kith.api.bodies import make_body_reader
from kith.api.json_scan import DEPTH_MAX, ESCAPES_MAX, VALUES_MAX, check_json_size
from kith.errors import Exposed, InvalidRequest
from kith.model.companies import normalise_domain

BYTES = 1_048_576


class Anything(msgspec.Struct, forbid_unknown_fields=True):
    value: Any = None


def fill(head: bytes, item: bytes, tail: bytes, separator: bytes = b",") -> bytes:
    """A body of 1 MiB: as many items as fit."""
    count = (BYTES - len(head) - len(tail)) // (len(item) + len(separator))
    return head + separator.join([item] * count) + tail


HOSTILE = {
    "lists": fill(b'{"value":[', b"[]", b"]}"),
    "objects": fill(b'{"value":[', b"{}", b"]}"),
    "texts": fill(b'{"value":[', b'""', b"]}"),
    "integers": fill(b'{"value":[', b"1", b"]}"),
    "decimals": fill(b'{"value":[', b"1.5", b"]}"),
    "decimals out of range": fill(b'{"value":[', b"1e999", b"]}"),
    "keys": b'{"value":{' + b",".join(b'"%d":1' % number for number in range(90_000)) + b"}}",
    "one key again and again": fill(b'{"value":{', b'"k":1', b"}}"),
    "unknown fields": b"{" + b",".join(b'"f%d":1' % number for number in range(90_000)) + b"}",
    "lists in lists, side by side": fill(b'{"value":[', b"[" * 50 + b"]" * 50, b"]}"),
    "open lists": b"[" * BYTES,
    "open objects": fill(b"", b'{"a":', b"", b""),
    "commas": b"," * BYTES,
    "texts at the top": fill(b"[", b'""', b"]"),
    "escapes": b'{"value":"' + b"\\n" * 500_000 + b'"}',
    "escaped backslashes before commas": b'{"value":"' + b"\\\\," * 300_000 + b'"}',
    "escaped quotation marks before commas": b'{"value":"' + b'\\",' * 300_000 + b'"}',
    "texts with a NUL character": fill(b'{"value":[', b'"\\u0000"', b"]}"),
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_a_body_with_more_than_the_limit_reaches_no_parser(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    read = make_body_reader(Anything)
    monkeypatch.setattr(bodies, "STRICT", None)
    monkeypatch.setattr(bodies, "read_carefully", None)
    with pytest.raises(InvalidRequest):
        read(raw)


def count(tree: Any) -> int:
    """The values of a tree."""
    members = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return 1 + sum(map(count, members))


def count_empty(tree: Any) -> int:
    members = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return (isinstance(tree, (dict, list)) and not tree) + sum(map(count_empty, members))


def measure_depth(tree: Any) -> int:
    members = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return isinstance(tree, (dict, list)) + max(map(measure_depth, members), default=0)


# Texts are made of what could be taken for structure.
texts = st.text(st.sampled_from('[]{},:"\\\\"x\n\u00e9'), max_size=8)
trees = st.recursive(
    st.none() | st.integers(0, 9) | texts,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(texts, below, max_size=4),
    max_leaves=20,
)


@given(trees, st.sampled_from([None, 1]), st.booleans())
def test_the_scan_counts_values_as_a_parser_does(tree: Any, indent: int | None, ascii_only: bool) -> None:
    raw = json.dumps(tree, indent=indent, ensure_ascii=ascii_only).encode()
    padded = raw + b" " * 1000  # long enough to be scanned
    most = count(tree) + count_empty(tree)
    check_json_size(padded, most)
    # Up to the empty lists and objects the measure is exact.
    if count(tree) > 1:
        with pytest.raises(InvalidRequest):
            check_json_size(padded, count(tree) - 1)


@given(st.binary(max_size=200))
def test_the_scan_takes_any_bytes(raw: bytes) -> None:
    with suppress(InvalidRequest):
        check_json_size(raw, 5)


@pytest.mark.parametrize(
    ("make", "limit"),
    [
        (lambda size: json.dumps([1] * (size - 1)).encode(), VALUES_MAX),
        (lambda size: b"[" * size + b"]" * size, DEPTH_MAX),
        (lambda size: json.dumps("\n" * size).encode(), ESCAPES_MAX),
    ],
    ids=["values", "depth", "escapes"],
)
def test_a_limit_is_reached_and_not_passed(make: Callable[[int], bytes], limit: int) -> None:
    check_json_size(make(limit))
    with pytest.raises(InvalidRequest, match=f"{limit:,}"):
        check_json_size(make(limit + 1))


def test_the_page_of_limits_has_the_figures_of_the_program() -> None:
    page = Path("docs/limits.md").read_text()
    for figure in (f"| {VALUES_MAX:,} |", f"| {DEPTH_MAX} levels |", f"| {ESCAPES_MAX:,} |"):
        assert figure in page


def test_structure_inside_of_texts_is_not_counted() -> None:
    check_json_size(json.dumps({"value": '[{,"\\' * 20_000}).encode())


@given(trees)
def test_depth_is_measured_outside_of_texts(tree: Any) -> None:
    wrapped: Any = tree
    for _ in range(DEPTH_MAX - measure_depth(tree)):
        wrapped = [wrapped]
    check_json_size(json.dumps(wrapped).encode())
    with pytest.raises(InvalidRequest, match="nested deeper"):
        check_json_size(json.dumps([wrapped]).encode())


class Refusing(Decimal):
    def __new__(cls, text: str) -> "Refusing":
        raise AssertionError(f"{len(text)} digits are converted")


def test_a_number_of_very_many_digits_is_never_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "Decimal", Refusing)
    with pytest.raises(Exposed) as refused:
        make_body_reader(Anything)(b'{"value":0.' + b"9" * 1_000_000 + b"}")
    assert refused.value.code == "INVALID_FIELD"


def test_a_domain_of_very_many_labels_is_refused_by_its_length() -> None:
    with pytest.raises(ValueError, match="at most 2048"):
        normalise_domain("\u00fc." * 350_000)
