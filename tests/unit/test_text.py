"""Text: how it is composed, folded and ordered, the same for every spelling of it."""
# ruff: noqa: RUF001 - letters that look like others are what this is about

import sys
import unicodedata
from datetime import UTC, datetime

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from kith.model.codec import decode_envelope, encode_envelope
from kith.model.commands import CreateTag, Envelope
from kith.model.contacts import ContactInput, make_contact_changes
from kith.model.text import (
    KEY_CHARACTERS_MAX,
    MARKS_MAX,
    compose,
    fold_case,
    fold_field,
    fold_letters,
    is_foldable,
    is_told_by_key,
    to_sort_key,
)
from kith.model.values import normalise_email, normalise_properties, normalise_text

CHARACTERS = st.one_of(
    st.sampled_from("aAeEßẞſıIİΣςσΆαΰﬁﬀŁłØøÆæĐđŉǰÅéÉZz\x01\x02 -王小明가각ᄀᆨ김ガカ٣३①Ⅷ½🎉"),
    st.sampled_from("\u0301\u0308\u0327\u0345\u0323\u0307\u200d\u3099"),
    st.characters(codec="utf-8", exclude_characters="\x00"),
)
TEXTS = st.text(CHARACTERS, max_size=8)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("σίσυφος", "ΣΊΣΥΦΟΣ"),
        ("STRASSE", "Straße"),
        ("Jose\u0301", "JOSÉ"),
        ("ŁÓDŹ", "łódź"),
        ("ﬁnn", "FINN"),
        ("K", "k"),
    ],
)
def test_texts_that_differ_in_case_or_encoding_are_equal(one: str, other: str) -> None:
    assert fold_case(one) == fold_case(other)
    assert to_sort_key(one) == to_sort_key(other)


@pytest.mark.parametrize(("one", "other"), [("Jose", "José"), ("ı", "i"), ("ø", "o"), ("か", "が")])
def test_a_diacritic_makes_another_text_that_search_finds_all_the_same(one: str, other: str) -> None:
    assert fold_case(one) != fold_case(other)
    assert fold_letters(one) == fold_letters(other)


@given(TEXTS)
@example("α\u0345\u0301")
def test_folding_is_stable_and_the_same_for_every_encoding(text: str) -> None:
    folded = fold_case(text)
    assert fold_case(folded) == folded == compose(folded)
    for form in ("NFC", "NFD"):
        assert fold_case(unicodedata.normalize(form, text)) == folded  # type: ignore[arg-type]
        assert fold_letters(unicodedata.normalize(form, text)) == fold_letters(folded) == fold_letters(text)  # type: ignore[arg-type]


@given(TEXTS, TEXTS)
def test_the_sort_key_tells_apart_what_folding_tells_apart(one: str, other: str) -> None:
    assert (to_sort_key(one) == to_sort_key(other)) == (fold_case(one) == fold_case(other))


@given(TEXTS, TEXTS)
def test_the_sort_key_of_a_text_begins_with_the_letters_of_its_beginning(start: str, rest: str) -> None:
    whole, start = fold_case(start + rest), fold_case(start)
    if whole.startswith(start):
        assert to_sort_key(whole).startswith(fold_letters(start))


def test_text_is_ordered_by_its_letters_and_the_unaccented_comes_first() -> None:
    names = [
        "Zoë",
        "Zoe",
        "Zoé",
        "zo",
        "Ålesund",
        "Alex",
        "Øst",
        "Ost",
        "Osten",
        "łódź",
        "lodz",
        "Ära",
        "ara",
        "Άλφα",
        "αλφα",
        "Æsop",
        "Aesop",
    ]
    ordered = ["Aesop", "Æsop", "Ålesund", "Alex", "ara", "Ära", "lodz", "łódź", "Ost", "Øst", "Osten", "zo", "Zoe"]
    assert sorted(names, key=to_sort_key) == [*ordered, "Zoé", "Zoë", "αλφα", "Άλφα"]


@given(TEXTS)
def test_only_forms_that_lower_of_ascii_does_not_make_are_stored(text: str) -> None:
    lower = "".join(one.lower() if one.isascii() else one for one in text)
    folded, key = fold_field(text)
    assert (folded or lower) == fold_case(text)
    assert (key or lower[:KEY_CHARACTERS_MAX]) == to_sort_key(text)


def test_keys_of_any_text_fit_into_an_index() -> None:
    for text in ("ﷺ" * 1000, "김" * 1000, "\U0010ffff" * 1000, "ä" * 1000, "x" * 1000):
        assert len(to_sort_key(text).encode()) < 2600
        assert not is_told_by_key(fold_case(text))


def test_folding_takes_linear_time_for_every_letter() -> None:
    letters = "".join(chr(code) for code in range(1, sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF)
    assert fold_case(fold_case(letters)) == fold_case(letters)


NFD, NFC = "Jose\u0301", "José"


def test_text_is_stored_in_nfc() -> None:
    assert normalise_text(f" {NFD} ") == NFC
    assert normalise_text("e\u0301" * 1000) == "é" * 1000
    assert normalise_email(f"{NFD}@example.com") == "josé@example.com"
    fields = ContactInput(name=NFD, properties={f"{NFD} 1": {NFD: [NFD, {"a": NFD}]}})
    changes = make_contact_changes(fields)
    assert changes == {"name": NFC, "properties": {f"{NFC} 1": {NFC: [NFC, {"a": NFC}]}}}


def test_a_key_in_two_encodings_is_refused() -> None:
    for document in ({NFC: 1, NFD: 2}, {"a": {NFC: 1, NFD: 2}}):
        _, [(path, message)] = normalise_properties(document)
        assert path.startswith("properties.")
        assert "twice" in message


def test_entries_of_earlier_programs_are_read_in_nfc() -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    command = CreateTag(tag_id="tag_1", key="vip", name=NFD)
    entry = encode_envelope(Envelope(operation_id="op_1", workspace_id=1, key_id=1, at=at, command=command))
    assert NFD.encode() in entry
    assert decode_envelope(entry).command == CreateTag(tag_id="tag_1", key="vip", name=NFC)


@pytest.mark.parametrize("pile", ["\u0301\u0323", "\u0344\u0323", "\u0f73\u0301", "\uff9e\u0301", "\U0001d165\u0323"])
def test_a_pile_of_marks_is_refused_before_it_is_composed(pile: str) -> None:
    """Composing takes the square of their number: of 60,000 it took many seconds, and this would take hours."""
    assert compose("a" + pile * (MARKS_MAX // 2)) is not None
    with pytest.raises(ValueError, match="more than 30 combining marks"):
        compose("a" + pile * (MARKS_MAX // 2) + "\u0301")
    with pytest.raises(ValueError, match="at most 1000"):
        normalise_text(pile * 500_000)
    _, faults = normalise_properties({"a": "b" + pile * 30_000, "c" + pile * 30: 1, "d": {"e" + pile * 16: 1}})
    assert [path[:12] for path, _ in faults] == ["properties.a", "properties.c", "properties.d"]


def test_every_letter_that_normalising_moves_counts_as_a_mark() -> None:
    moved = [
        letter
        for letter in map(chr, [*range(0xD800), *range(0xE000, sys.maxunicode + 1)])
        if unicodedata.decomposition(letter) or unicodedata.combining(letter)
        if unicodedata.combining(unicodedata.normalize("NFKD", letter)[0])
    ]
    assert moved
    assert not [letter for letter in moved if is_foldable(letter * (MARKS_MAX + 1))]


def test_letters_in_a_row_are_no_marks() -> None:
    for text in ("\U0001d400" * 100, "e\u0301" * 100, "\u0f73a" * 100, "한국어" * 50, "!" * 100, "\u200d" * 100):
        assert is_foldable(text)
