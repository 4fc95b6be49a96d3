"""JSON bodies and query strings: what is taken, and what is said of what is not."""

import json
from contextlib import suppress
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, UnsetType

from kith.api.bodies import make_body_reader
from kith.api.json_scan import VALUES_MAX
from kith.api.queries import make_query_reader
from kith.errors import Exposed, InvalidRequest


class Person(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    given_name: str
    age: int | None | UnsetType = UNSET
    stage: Literal["LEAD", "CUSTOMER"] | None | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    properties: dict[str, Any] | None | UnsetType = UNSET


class Listing(msgspec.Struct, rename="camel", kw_only=True):
    page: Annotated[int, Meta(ge=1)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    sort_by: Literal["createdAt", "name"] = "createdAt"
    is_identified: bool | None = None
    search: str | None = None


read_person = make_body_reader(Person)
read_listing = make_query_reader(Listing)


def refuse(body: str | bytes) -> Exposed:
    with pytest.raises(Exposed) as refused:
        read_person(body.encode() if isinstance(body, str) else body)
    return refused.value


def test_a_body_becomes_its_struct() -> None:
    person = read_person(b' {"givenName": "Zo\xc3\xab", "age": null, "stage": "LEAD", "properties": {"a": [1, "x"]}} ')
    assert person == Person(given_name="Zoë", age=None, stage="LEAD", properties={"a": [1, "x"]})


def test_a_number_keeps_all_its_digits() -> None:
    numbers = '{"x":0.1000000000000000000000000000000000001,"y":123456789012345678901234567890}'
    properties = read_person(f'{{"givenName":"a","properties":{numbers}}}'.encode()).properties
    assert properties == {
        "x": Decimal("0.1000000000000000000000000000000000001"),
        "y": 123456789012345678901234567890,
    }


def test_a_backslash_before_u0000_is_text() -> None:
    assert read_person(b'{"givenName":"\\\\u0000"}').given_name == "\\u0000"


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert read_person(b'{"givenName":"\\ud83d\\ude00"}').given_name == "😀"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"{",
        b"{'givenName': 'a'}",
        b'{"givenName":"a"} x',
        b'{"givenName":"a",}',
        b'\xef\xbb\xbf{"givenName":"a"}',
        b'{"givenName":"\xff"}',
        b'{"givenName":"a\nb"}',
        '{"givenName":"a"}'.encode("utf-16"),
        b"[]",
        b"null",
        b"1",
        b'"text"',
        b"true",
        b'{"givenName":"a","givenName":"b"}',
        b'{"givenName":"a","properties":{"x":1,"x":2}}',
        b'{"givenName":"a","properties":[{"x":1,"x":2}]}',
        b'{"givenName":"\\ud800"}',
        b'{"givenName":"\\udc00\\ud800"}',
        b'{"givenName":"a","properties":{"\\udfff":1}}',
        b'{"givenName":"a","properties":{"x":NaN}}',
        b'{"givenName":"a","properties":{"x":Infinity}}',
        b'{"givenName":"a","properties":{"x":-Infinity}}',
        b'{"givenName":"a","properties":{"x":01}}',
        b'{"givenName":"a","properties":{"x":' + b"[" * 100 + b"]" * 100 + b"}}",
        b'{"givenName":"a","properties":{"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}}",
        b'{"givenName":"a","properties":' + b'{"x":' * 10_000 + b"1" + b"}" * 10_000 + b"}",
    ],
)
def test_what_is_no_plain_json_object_is_an_invalid_request(body: bytes) -> None:
    assert refuse(body).code == "INVALID_REQUEST"


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ('{"givenName":1}', "givenName", "must be text, not a whole number"),
        ('{"givenName":null}', "givenName", "must be text, not null"),
        ('{"givenName":"a","age":"7"}', "age", "must be a whole number or null, not text"),
        ('{"givenName":"a","age":true}', "age", "not true or false"),
        ('{"givenName":"a","age":1.5}', "age", "must be a whole number or null, not a number"),
        ('{"givenName":"a","tags":["x",1]}', "tags[1]", "must be text, not a whole number"),
        ('{"givenName":"a","tags":{}}', "tags", "must be a list, not an object"),
        ('{"givenName":"a","stage":"lead"}', "stage", "'lead' is not one of CUSTOMER, LEAD. Did you mean 'LEAD'?"),
        ('{"givenName":"a","stage":1}', "stage", "not a whole number"),
        ('{"givenName":"a","givenname":"b"}', "givenname", "is not a field here. Did you mean 'givenName'?"),
        ('{"givenName":"a","zzz":"b"}', "zzz", "is not a field here."),
        ('{"givenName":"\\u0000"}', "givenName", "NUL"),
        ('{"givenName":"a","properties":{"b":{"c":"x\\u0000y"}}}', "properties.b.c", "NUL"),
        ('{"givenName":"a","properties":{"b\\u0000":1}}', "properties.b?", "NUL"),
        ('{"givenName":"a","properties":{"n":1e999}}', "properties.n", "out of range"),
        ('{"givenName":"a","properties":{"n":1e-999}}', "properties.n", "out of range"),
        ('{"givenName":"a","properties":{"n":1e99999999999999999999}}', "properties.n", "out of range"),
        ('{"givenName":"a","properties":{"n":[1,' + "9" * 101 + "]}}", "properties.n[1]", "out of range"),
        ('{"givenName":"a","properties":{"n":' + "9" * 5000 + "}}", "properties.n", "out of range"),
        ('{"givenName":"a","age":' + "9" * 5000 + "}", "age", "out of range"),
        ('{"givenName":"a","properties":{"n":0.' + "1" * 101 + "}}", "properties.n", "out of range"),
    ],
)
def test_a_field_that_cannot_be_is_named_with_the_way_out(body: str, field: str, message: str) -> None:
    error = refuse(body)
    assert error.details is not None
    (fault,) = error.details["fields"]
    assert (error.status, error.code, fault["field"]) == (422, "INVALID_FIELD", field)
    assert message in fault["message"]


def test_every_wrong_field_is_told_at_once() -> None:
    error = refuse('{"age":"x","emial":1,"properties":{"a":1e999,"b":2},"tags":[1]}')
    assert error.details is not None
    assert error.code == "VALIDATION_ERROR"
    assert {fault["field"] for fault in error.details["fields"]} == {
        "givenName",
        "age",
        "emial",
        "properties.a",
        "tags[0]",
    }


def test_a_field_that_is_missing_has_a_code_of_its_own() -> None:
    error = refuse("{}")
    assert error.code == "MISSING_FIELD"
    assert error.details == {"fields": [{"field": "givenName", "message": "is needed."}]}


def test_a_body_of_nothing_but_faults_is_answered_quickly_and_briefly() -> None:
    error = refuse(json.dumps({f"unknown{number}": number for number in range(VALUES_MAX - 1)}))
    assert error.details is not None
    assert len(error.details["fields"]) == 50


@given(st.binary(max_size=60))
def test_no_bytes_at_all_are_more_than_a_refusal(raw: bytes) -> None:
    with suppress(Exposed):
        read_person(raw)


tokens = st.sampled_from(
    ["{", "}", "[", "]", ":", ",", '"givenName"', '"properties"', '"a"', "1", "1e999", "-0", "NaN", "null", '"\\ud800"']
)


@given(st.lists(tokens, max_size=25))
def test_no_sequence_of_tokens_is_more_than_a_refusal(parts: list[str]) -> None:
    with suppress(Exposed):
        read_person("".join(parts).encode())


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=4), below)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=4), values, max_size=4))
def test_what_json_can_say_arrives_as_it_was_said(properties: dict[str, Any]) -> None:
    text = json.dumps({"givenName": "a", "properties": properties})
    if "\\u0000" in text:
        return
    assert read_person(text.encode()).properties == properties


def test_a_query_string_becomes_its_struct() -> None:
    assert read_listing(b"page=2&limit=5&sortBy=name&isIdentified=false&search=a+b%20%C3%A9") == Listing(
        page=2, limit=5, sort_by="name", is_identified=False, search="a b é"
    )
    assert read_listing(b"") == Listing()


@pytest.mark.parametrize(
    ("raw", "parameter", "message"),
    [
        (b"page=0", "page", "at least 1"),
        (b"page=-99999999999999999999", "page", "at least 1"),
        (b"page=1.0", "page", "not a whole number"),
        (b"page=+1", "page", "not a whole number"),
        (b"page=", "page", "not a whole number"),
        (b"page", "page", "not a whole number"),
        (b"page=null", "page", "not a whole number"),
        ("page=٣".encode(), "page", "not a whole number"),
        (b"limit=101", "limit", "at most 100"),
        (b"limit=0x10", "limit", "not a whole number"),
        (b"limit=" + b"9" * 5000, "limit", "at most 100"),
        (b"page=1&page=1", "page", "twice"),
        (b"stauts=x", "stauts", "not a parameter here"),
        (b"sortby=name", "sortby", "Did you mean 'sortBy'?"),
        (b"sortBy=Name", "sortBy", "Did you mean 'name'?"),
        (b"order=name", "order", "Did you mean 'sortBy'?"),
        (b"sort=name:asc", "sort", "Did you mean 'sortBy'?"),
        (b"isIdentified=yes", "isIdentified", "not one of true, false"),
        (b"search=%00", "search", "NUL"),
    ],
)
def test_a_parameter_that_cannot_be_is_named(raw: bytes, parameter: str, message: str) -> None:
    with pytest.raises(Exposed) as refused:
        read_listing(raw)
    assert refused.value.details == {"parameter": parameter}
    assert message in refused.value.message


@pytest.mark.parametrize("raw", [b"search=%ff", b"search=\xff", b"&".join(b"a=1" for _ in range(101))])
def test_a_query_string_that_cannot_be_read_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_listing(raw)


def test_an_endpoint_without_parameters_takes_none() -> None:
    read_nothing = make_query_reader(None)
    assert read_nothing(b"") is None
    with pytest.raises(InvalidRequest, match="x: is not a parameter here"):
        read_nothing(b"x=1")
