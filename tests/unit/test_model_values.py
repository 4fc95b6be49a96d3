"""Values at the edge: what normalising makes of them, that it settles at once, and what is said of the refused."""

from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given

from kith.errors import Validation
from kith.model.contacts import ContactInput, ContactPatch, make_contact_changes, make_name
from kith.model.text import compose
from kith.model.values import (
    PROPERTY_DEPTH_MAX,
    PROPERTY_KEYS_MAX,
    find_overflow,
    lower_case,
    measure_json,
    normalise_email,
    normalise_phone,
    normalise_properties,
    normalise_text,
    same_json,
    to_e164,
)

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
numbers = st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.floats(allow_nan=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@given(st.emails())
def test_an_email_is_normalised_once_and_for_all(email: str) -> None:
    try:
        normalised = normalise_email(f"  {email.upper()}\n")
    except ValueError:
        return  # of the strange ones the validator takes not all
    assert normalised == normalised.lower() == normalise_email(normalised) if normalised else True


@pytest.mark.parametrize(
    ("encoded", "size"),
    [
        (b'{"a":1}', 7),
        (b'{"a":1e100,"b":1.5E-7,"c":3e+5}', 31 + 112),
        (b'{"a":"2e50","b\\"1e9":[1e2]}', 27 + 2),
        (b'["e","\\\\",1e3]', 14 + 3),
    ],
)
def test_numbers_are_measured_as_the_database_shows_them(encoded: bytes, size: int) -> None:
    assert measure_json(encoded) == size


def test_a_record_of_many_numbers_has_its_limit() -> None:
    numbers = [10**15] * 100
    assert find_overflow({f"p{n}": numbers for n in range(150)}) is None
    assert "at most 262144" in str(find_overflow({f"p{n}": numbers for n in range(170)}))
    assert "at most 262144" in str(find_overflow({f"p{n}": [1e-99] * 100 for n in range(26)}))


local_parts = st.text(st.sampled_from("abZ09._+-!'é"), max_size=70)
domains = st.lists(st.text(st.sampled_from("abZ09-_éxn"), max_size=64), max_size=4).map(".".join)


@given(local_parts, domains)
@example("ada", "xn--mller-kva.example")
@example("a" * 64, "example.com")
@example("a" * 65, "example.com")
@example("ada", "example")
@example("ada", "a-.example")
@example("ada", f"{'a' * 64}.example")
def test_an_email_is_what_the_library_makes_of_it(local: str, domain: str) -> None:
    email = f"{local}@{domain}"
    try:
        known: str | None = lower_case(validate_email(email, check_deliverability=False, strict=True).normalized)
    except EmailNotValidError:
        known = None
    try:
        normalised = normalise_email(email)
    except ValueError:
        normalised = None
    assert normalised == known


@pytest.mark.parametrize(
    ("given_email", "stored"),
    [
        (" Ada@Example.COM ", "ada@example.com"),
        ("ada+crm@example.com", "ada+crm@example.com"),
        ("ada@müller.example", "ada@müller.example"),
        ("ada@xn--mller-kva.example", "ada@müller.example"),
        ("o'neil@example.com", "o'neil@example.com"),
        ("ada@localhost.test", "ada@localhost.test"),
        ("", None),
        ("   ", None),
    ],
)
def test_an_email_is_trimmed_and_lower_case(given_email: str, stored: str | None) -> None:
    assert normalise_email(given_email) == stored


@pytest.mark.parametrize(
    "email", ["ada", "ada@", "@example.com", "a b@example.com", "ada@exa mple.com", "ada@a..b", "a@b@c.d"]
)
def test_what_is_no_email_is_refused_by_its_name(email: str) -> None:
    with pytest.raises(ValueError, match="is not an email address") as refused:
        normalise_email(email)
    assert repr(email) in str(refused.value)


def test_an_email_that_is_too_long_is_refused_with_both_lengths() -> None:
    with pytest.raises(ValueError, match=r"holds 312 characters; .* at most 254"):
        normalise_email("x" * 300 + "@example.com")


@given(texts)
def test_a_text_is_trimmed_and_an_empty_one_is_none(text: str) -> None:
    assert normalise_text(text) == (compose(text).strip() or None)


@pytest.mark.parametrize(
    ("text", "reason"), [("a\x00b", "NUL"), ("\ud800", "surrogate"), ("x" * 1001, "1001 characters")]
)
def test_a_text_that_cannot_be_kept_is_refused(text: str, reason: str) -> None:
    for normalise in (normalise_text, normalise_phone):
        with pytest.raises(ValueError, match=reason):
            normalise(text)


@pytest.mark.parametrize(
    ("phone", "e164"),
    [
        ("+49 30 123456", "+4930123456"),
        ("0049 30 123456", "+4930123456"),
        ("+1 (212) 555-0100", "+12125550100"),
        ("030 123456", None),
        ("call me", None),
        ("+", None),
        ("+999999999999999999", None),
        ("00", None),
    ],
)
def test_a_phone_is_kept_as_given_and_in_e164_where_it_parses(phone: str, e164: str | None) -> None:
    assert normalise_phone(f" {phone} ") == (phone, e164)


@given(texts)
def test_no_text_is_an_error_as_a_phone(text: str) -> None:
    given_phone, e164 = normalise_phone(text)
    assert given_phone == (compose(text).strip() or None)
    assert e164 is None or to_e164(e164) == e164


@given(json_values)
def test_json_is_the_same_as_itself(value: Any) -> None:
    assert same_json(value, value)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (1, Decimal("1.00"), True),
        (1, True, False),
        (0, False, False),
        (0, None, False),
        ("", None, False),
        ([1, 2], [2, 1], False),
        ([1, [2.0]], [1.0, [2]], True),
        ([True], [1], False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ("1", 1, False),
    ],
)
def test_json_is_compared_as_the_database_keeps_it(one: Any, other: Any, same: bool) -> None:
    assert same_json(one, other) is same
    assert same_json(other, one) is same


def nest(depth: int) -> Any:
    return [nest(depth - 1)] if depth else 1


@pytest.mark.parametrize(
    ("properties", "path"),
    [
        ({"": 1}, "properties."),
        ({" ": 1}, "properties. "),
        ({"x" * 65: 1}, "properties." + "x" * 64),
        ({"a\x00": 1}, "properties.a\x00"),
        ({"a": "\x00"}, "properties.a"),
        ({"a": {"b\x00": 1}}, "properties.a"),
        ({"a": ["\ud800"]}, "properties.a"),
        ({"a": float("inf")}, "properties.a"),
        ({"a": float("nan")}, "properties.a"),
        ({"a": Decimal("1E+101")}, "properties.a"),
        ({"a": 10**101}, "properties.a"),
        ({"a": 10**1000}, "properties.a"),
        ({"a": "x" * 65_537}, "properties.a"),
        ({"a": nest(PROPERTY_DEPTH_MAX + 1)}, "properties.a"),
        ({f"key {n}": n for n in range(PROPERTY_KEYS_MAX + 1)}, "properties"),
    ],
)
def test_a_property_that_cannot_be_kept_is_named(properties: dict[str, Any], path: str) -> None:
    ((where, what),) = normalise_properties(properties)[1]
    assert where == path
    assert what.endswith(".")


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"a": nest(PROPERTY_DEPTH_MAX)},
        {"a": 10**99, "b": Decimal("1E-100"), "c": -0.0, "d": 1e100},
        {"x" * 64: "x" * 65_536},
        {f"key {n}": n for n in range(PROPERTY_KEYS_MAX)},
        {"ключ 🙂": {"": None}},
    ],
)
def test_properties_at_their_limits_are_taken(properties: dict[str, Any]) -> None:
    assert normalise_properties(properties) == (properties, [])


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(Validation) as refused:
        make_contact_changes(
            ContactPatch(
                email="nobody",
                name="\x00",
                phone="\x00",
                lifecycle_stage=None,
                properties={"a": "\x00", "b": float("inf")},
            )
        )
    assert refused.value.details
    wrong = [fault["field"] for fault in refused.value.details["fields"]]
    assert sorted(wrong) == ["email", "lifecycleStage", "name", "phone", "properties.a", "properties.b"]
    assert refused.value.code == "INVALID_FIELD"


def test_a_null_clears_and_what_is_left_out_stays() -> None:
    assert make_contact_changes(ContactPatch(name=None, phone=None)) == {
        "name": None,
        "phone": None,
        "phone_e164": None,
    }
    assert make_contact_changes(ContactPatch()) == {}
    assert make_contact_changes(ContactPatch(properties={"mrr": None})) == {"properties": {"mrr": None}}
    assert make_contact_changes(ContactInput(email=None, properties=None))["email"] is None


def test_a_name_is_made_of_what_there_is() -> None:
    assert make_name("Ada", "Lovelace") == "Ada Lovelace"
    assert make_name("Ada", None) == make_name(None, "Ada") == "Ada"
    assert make_name(None, None) is None
