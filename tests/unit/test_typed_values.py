"""Values of defined properties: what each type takes it keeps in one form, and nothing that JSON can say breaks it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_args

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from kith.model.codec import decode_envelope, encode_envelope
from kith.model.commands import CreateContact, Envelope
from kith.model.properties import Option, Property, PropertyType
from kith.model.typed_values import EXAMPLE_CHARACTERS_MAX, check_value, convert_value, show_value
from kith.model.values import same_json

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
OPTIONS = (
    Option(value="gold", label="Gold"),
    Option(value="true", label="True"),
    Option(value="1", label="One"),
    Option(value="2026-01-02", label="Day"),
    Option(value="tin", label="Tin", archived=True),
)
TYPES: tuple[PropertyType, ...] = get_args(PropertyType)


def make_property(type_: PropertyType, options: tuple[Option, ...] | None = None) -> Property:
    selecting = type_ in ("SELECT", "MULTI_SELECT")
    return Property(
        external_id="prp_1",
        number=1000,
        entity="CONTACT",
        key="a",
        label="A",
        type=type_,
        group="CUSTOM",
        description=None,
        is_required=False,
        options=options if options is not None else OPTIONS if selecting else (),
        status="ACTIVE",
        created_at=EPOCH,
        updated_at=EPOCH,
        version=1,
    )


texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
numbers = (
    st.integers(-(10**100), 10**100)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.floats(allow_nan=False, allow_infinity=False)
)
# What is nearly of a type, in each of the forms in which clients and imports send it.
moments = st.datetimes(timezones=st.just(UTC)).map(lambda at: at.replace(tzinfo=None))
offsets = st.sampled_from(("Z", "z", "+00:00", "+02:00", "-1130", "+23:59", "-23:59", "+24:00", ""))
nearly = (
    st.sampled_from([option.value for option in OPTIONS])
    | st.sampled_from(("TRUE", "False", " true ", "yes", "", " ", "-", "+", ".", "1.", ".5", "1e5", "1e400", "-0", "٣"))
    | numbers.map(str)
    | st.emails()
    | moments.map(lambda at: at.date().isoformat())
    | st.builds(lambda at, offset: at.isoformat() + offset, moments, offsets)
    | st.from_regex(r"\+?[0-9() ./-]{0,24}(x[0-9]{1,3})?", fullmatch=True)
    | st.builds("{}://{}:{}/{}".format, st.sampled_from(("http", "HTTPS", "ftp", "")), texts, texts, texts)
)
spaced = st.builds(lambda before, text, after: before + text + after, st.sampled_from(("", " ", "\t\n")), nearly, texts)
scalars = st.booleans() | numbers | texts | nearly | spaced
values = st.recursive(
    scalars, lambda inner: st.lists(st.none() | inner, max_size=4) | st.dictionaries(texts, inner, max_size=3)
)
selections = st.lists(st.sampled_from([option.value for option in OPTIONS]), max_size=6)
types = st.sampled_from(TYPES)


def look(by: Callable[[Property, Any], Any], definition: Property, value: Any) -> tuple[bool, Any]:
    """(whether the type takes the value, its form); a refusal says why."""
    try:
        return True, by(definition, value)
    except ValueError as error:
        return False, None if str(error) else pytest.fail("a refusal that says nothing")


def has_archived(definition: Property, value: Any) -> bool:
    return any(
        (option := definition.find_option(one)) is not None and option.archived
        for one in (value if isinstance(value, list) else [value])
    )


@given(types, values | selections)
@example("NUMBER", "1" + "0" * 100)
@example("NUMBER", Decimal("1e100"))
@example("URL", "http://[::1")
@example("DATETIME", "0001-01-01T00:00:00+10:00")
def test_what_a_type_takes_is_taken_again_as_it_is_kept(type_: PropertyType, value: Any) -> None:
    """No value raises anything but a ValueError, that says why in a sentence."""
    definition = make_property(type_)
    taken, kept = look(check_value, definition, value)
    assert not taken or kept is None or same_json(check_value(definition, kept), kept)


@given(types, values | selections)
@example("DATE", "2026-01-02T03:04:05Z")
@example("NUMBER", 10**100)
def test_what_came_before_is_brought_into_a_form_that_is_taken_or_refused(type_: PropertyType, value: Any) -> None:
    definition = make_property(type_)
    fits, converted = look(convert_value, definition, value)
    if fits and converted is not None:
        assert same_json(check_value(definition, converted, converted), converted)
        assert same_json(convert_value(definition, converted), converted)


@given(types, values | selections)
def test_what_is_taken_is_kept_by_a_conversion(type_: PropertyType, value: Any) -> None:
    """Values written under a definition are never changed or found wanting by a later look at them."""
    definition = make_property(type_)
    taken, kept = look(check_value, definition, value)
    assert not taken or same_json(convert_value(definition, value), kept)


@given(st.sampled_from(("NUMBER", "CURRENCY")), st.text("0123456789.eE+-", max_size=12) | numbers.map(str) | numbers)
@example("NUMBER", "1e100")
@example("NUMBER", "1.5e100")
@example("NUMBER", "-1e-100")
@example("CURRENCY", "9" * 100)
def test_a_number_that_was_taken_is_still_one_when_the_database_shows_it(type_: PropertyType, value: Any) -> None:
    """PostgreSQL writes numbers without exponents: 1e100 comes back as an integer of 101 digits."""
    definition = make_property(type_)
    taken, kept = look(check_value, definition, value)
    if taken and kept is not None:
        shown = json.loads(format(Decimal(str(kept)), "f"), parse_float=Decimal)
        assert same_json(convert_value(definition, shown), shown)


@given(types, values)
def test_a_value_that_is_kept_stands_on_the_log_as_it_is(type_: PropertyType, value: Any) -> None:
    _, kept = look(convert_value, make_property(type_), value)
    command = CreateContact(contact_id="ctc_1", properties={"a": kept})
    envelope = Envelope(operation_id="op_1", workspace_id=1, at=EPOCH, key_id=1, command=command)
    again = decode_envelope(encode_envelope(envelope)).command
    assert isinstance(again, CreateContact)
    held = again.properties["a"]
    if isinstance(kept, float):
        kept = Decimal(repr(kept))
    assert same_json(held, kept)


@given(values)
def test_a_value_is_shown_in_what_a_message_can_hold(value: Any) -> None:
    shown = show_value(value)
    assert 0 < len(shown) <= EXAMPLE_CHARACTERS_MAX


@given(st.sampled_from(("SELECT", "MULTI_SELECT")), selections)
def test_an_archived_option_is_taken_only_where_it_is_held(type_: PropertyType, chosen: list[str]) -> None:
    definition = make_property(type_)
    value: Any = chosen if type_ == "MULTI_SELECT" else (chosen or ["gold"])[0]
    if has_archived(definition, value):
        with pytest.raises(ValueError, match="archived option"):
            check_value(definition, value)
        held = ["tin", "gold"] if type_ == "MULTI_SELECT" else "tin"
        assert check_value(definition, value, held) is not None
        assert convert_value(definition, value) == check_value(definition, value, held)
    else:
        kept = check_value(definition, value)
        assert kept == (list(dict.fromkeys(value)) or None if isinstance(value, list) else value)


def test_a_list_as_long_as_a_record_holds_is_looked_up_and_not_searched() -> None:
    """A thousand options, and tens of thousands of values: looked at once each."""
    options = tuple(Option(value=f"{n}", label=f"{n}") for n in range(1000))
    looked_at = 0

    class Counted(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal looked_at
            looked_at += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    value = [Counted("999") for _ in range(30_000)]
    assert check_value(make_property("MULTI_SELECT", options), value) == ["999"]
    assert looked_at < 200_000


@pytest.mark.parametrize(
    ("before", "type_", "after"),
    [
        ("12", "NUMBER", 12),
        (" 12.50 ", "CURRENCY", Decimal("12.50")),
        ("007", "NUMBER", 7),
        (12, "TEXT", "12"),
        (Decimal("12.50"), "TEXT", "12.50"),
        (True, "TEXTAREA", "true"),
        (" No ", "TEXT", " No "),
        ("", "TEXT", None),
        (" TRUE", "BOOLEAN", True),
        ("false", "BOOLEAN", False),
        ("2026-01-02T23:00:00-05:00", "DATE", "2026-01-02"),
        (" 2026-01-02", "DATE", "2026-01-02"),
        ("2026-01-02T23:00:00-05:00", "DATETIME", "2026-01-03T04:00:00.000Z"),
        ("2026-01-02 23:00z", "DATETIME", "2026-01-02T23:00:00.000Z"),
        (" Ada@Example.COM ", "EMAIL", "ada@example.com"),
        (" ", "EMAIL", None),
        (4930123456, "PHONE", "4930123456"),
        (" https://acme.com ", "URL", "https://acme.com"),
        (1, "SELECT", "1"),
        (True, "SELECT", "true"),
        (" gold ", "SELECT", "gold"),
        ("gold", "MULTI_SELECT", ["gold"]),
        (1, "MULTI_SELECT", ["1"]),
        (["gold", "tin", "gold"], "MULTI_SELECT", ["gold", "tin"]),
        ([], "MULTI_SELECT", None),
        ("tin", "SELECT", "tin"),
    ],
)
def test_a_value_of_another_form_is_brought_closer(before: Any, type_: PropertyType, after: Any) -> None:
    converted = convert_value(make_property(type_), before)
    assert same_json(converted, after), converted


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (True, "NUMBER"),
        ("twelve", "NUMBER"),
        ("1_000", "NUMBER"),
        ("1,5", "NUMBER"),
        ("1e101", "NUMBER"),
        ("NaN", "NUMBER"),
        ("١٢", "NUMBER"),
        (10**100 + 1, "NUMBER"),
        (1, "BOOLEAN"),
        ("yes", "BOOLEAN"),
        ({"a": 1}, "TEXT"),
        (["a"], "TEXT"),
        ("x" * 1001, "TEXT"),
        ("x" * 65_537, "TEXTAREA"),
        ("2026-02-30", "DATE"),
        ("2026-1-2", "DATE"),
        ("02.01.2026", "DATE"),
        ("2026-01-02T10:00:00", "DATETIME"),
        ("2026-01-02", "DATETIME"),
        ("9999-12-31T23:59:59-10:00", "DATETIME"),
        (1767312000, "DATETIME"),
        ("ada", "EMAIL"),
        ("12", "PHONE"),
        ("call me", "PHONE"),
        ("1" * 21, "PHONE"),
        ("acme.com", "URL"),
        ("javascript:alert(1)", "URL"),
        ("https://", "URL"),
        ("https://acme.com:0", "URL"),
        ("https://a b.com", "URL"),
        ("https://acme.com/" + "x" * 2048, "URL"),
        ("Gold", "SELECT"),
        (["gold"], "SELECT"),
        (["gold", "lead"], "MULTI_SELECT"),
        (["gold", None], "MULTI_SELECT"),
        ([["gold"]], "MULTI_SELECT"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_value(value: Any, type_: PropertyType) -> None:
    for by in (check_value, convert_value):
        with pytest.raises(ValueError, match=r".+\.$"):
            by(make_property(type_), value)
