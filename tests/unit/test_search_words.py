"""Search words: whatever beginning of a word somebody types, it finds the records that have the word."""
# ruff: noqa: RUF001 - letters that look like others are what this is about

import re
import unicodedata
from datetime import UTC, datetime
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import assume, example, given

from kith.model.contacts import Contact
from kith.model.search import (
    QUERY_TERMS_MAX,
    WORD_CHARACTERS_MAX,
    list_terms,
    to_lexemes,
    to_tsquery,
    weigh_words,
)
from kith.model.text import fold_letters, to_name_key
from kith.model.values import to_e164

names = st.text(st.characters(codec="utf-8", categories=("L", "M", "N", "P", "Zs")), min_size=1, max_size=30)
letters = st.text(st.characters(codec="utf-8", categories=("Lu", "Ll", "Lo")), min_size=1, max_size=12)


def make_contact(**fields: Any) -> Contact:
    empty = dict.fromkeys(
        ("email", "name", "given_name", "family_name", "phone", "phone_e164", "avatar", "last_activity_at")
    )
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Contact(
        **{
            **empty,
            "external_id": "ctc_1",
            "number": 1,
            "status": "ACTIVE",
            "lifecycle_stage": "LEAD",
            "modules": ("CRM",),
            "properties": {},
            "activity_count": 0,
            "created_at": at,
            "updated_at": at,
            "version": 1,
            **fields,
        }
    )


def finds(query: str, contact: Contact) -> bool:
    """What the tsquery does: of each term, one alternative of which each word begins some word."""
    words = weigh_words(contact)
    terms = list_terms(query)
    return bool(terms) and all(
        any(all(any(word.startswith(begun) for word in words) for begun in alternative) for alternative in term)
        for term in terms
    )


@given(letters, letters, st.data())
@example("ΟΔΟΣΗ", "Straße", None)
@example("𝐀𝐝𝐚", "ﬁnn", None)
def test_each_beginning_of_each_word_of_a_name_finds_it(given_name: str, family_name: str, data: Any) -> None:
    contact = make_contact(name=f"{given_name} {family_name}")
    for word in (given_name, family_name):
        length = data.draw(st.integers(1, len(word))) if data else len(word) - 1
        for typed in (word, word[:length]):
            assume(list_terms(typed))
            assert finds(typed, contact)


@given(names)
def test_a_name_typed_whole_finds_it(name: str) -> None:
    assume(any(character.isalnum() for character in fold_letters(name)))
    assume(len(name.split()) <= QUERY_TERMS_MAX and list_terms(name) and "@" not in name)
    assume(not re.match(r"^[+\d][\d\s().\-/]{2,}$", name.strip()))  # that is read as a phone number
    assert finds(name, make_contact(name=name))


@given(st.text(st.characters(codec="utf-8")))
def test_folding_twice_is_folding_once(text: str) -> None:
    folded = fold_letters(text)
    assert fold_letters(folded) == folded


@given(st.text(st.characters(codec="utf-8"), max_size=8), st.text(st.characters(codec="utf-8"), max_size=8))
def test_a_beginning_stays_a_beginning(start: str, rest: str) -> None:
    assume(not unicodedata.combining((rest or "x")[0]))
    assert fold_letters(start + rest).startswith(fold_letters(start))


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("jose", "José"),
        ("JOSÉ", "jose"),
        ("muller", "Müller"),
        ("Jose\u0301", "José"),
        ("strasse", "Straße"),
        ("istanbul", "İstanbul"),
        ("finn", "ﬁnn"),
        ("οδος", "ΟΔΟΣ"),
        ("ada", "𝐀𝐝𝐚"),
        ("luc", "Jean-Luc"),
        ("jean-luc", "Jean Luc"),
        ("o'neil", "O'Neil"),
        ("neil", "O’Neil"),
        ("snake", "hiss_snake"),
        ("lovelace ada", "Ada Lovelace"),
        ("ada ada", "Ada"),
        ("王", "王小明"),
        ("小明", "王小明"),
        ("明", "王小明"),
        ("立製", "株式会社日立製作所"),
        ("日立製作所", "株式会社日立製作所"),
        ("스미", "존스미스"),
        ("민수", "김민수"),
        ("スミス", "ジョンスミス"),
        ("株式 acme", "Acme株式会社"),
        ("lukasz", "Łukasz"),
        ("Łukasz", "lukasz"),
        ("oster", "Øster"),
        ("aegir", "Ægir"),
        ("dao", "Đào"),
        ("isik", "ışık"),
        ("thor", "Þór"),
    ],
)
def test_the_same_letters_are_the_same(typed: str, stored: str) -> None:
    assert finds(typed, make_contact(name=stored))


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("da", "Ada"),
        ("ada x", "Ada"),
        ("adam", "Ada"),
        ("-", "Ada"),
        ("", "Ada"),
        ("小明", "王明小"),
        ("小明", "小王明"),
        ("王明", "王小明"),
        ("立作", "株式会社日立製作所"),
        ("日立製作者", "株式会社日立製作所"),
        ("수민", "김민수"),
    ],
)
def test_what_does_not_begin_a_word_finds_nothing(typed: str, stored: str) -> None:
    assert not finds(typed, make_contact(name=stored))


@pytest.mark.parametrize(
    "typed", ["ada.lovelace@example.com", "ada.l", "ada", "lovelace", "ADA.LOVELACE@EX", "example.com", "examp"]
)
def test_an_email_is_found_whole_by_its_parts_and_by_its_domain(typed: str) -> None:
    assert finds(typed, make_contact(email="ada.lovelace@example.com"))


@pytest.mark.parametrize(
    "typed", ["+49 30 123456", "+4930123", "004930123456", "4930", "30123456", "30 123", "(30) 123-456", "030 123"]
)
def test_a_phone_is_found_with_and_without_its_country(typed: str) -> None:
    phone = "+49 (30) 123456"
    assert finds(typed, make_contact(phone=phone, phone_e164=to_e164(phone)))


@pytest.mark.parametrize(
    "phone", ["+1 650 253 7777 ext. 12", "+1 650 253 7777 x12", "+16502537777;ext=12", "650 253 7777 #12"]
)
@pytest.mark.parametrize("typed", ["650 253 7777 x12", "650-253-7777 ext. 12", "6502537777", "ext 12", "x12", "12"])
def test_a_phone_is_found_by_its_extension(typed: str, phone: str) -> None:
    contact = make_contact(phone=phone, phone_e164=to_e164(phone))
    assert finds(typed, contact) and finds(phone, contact)
    assert not finds("650 253 7777 x13", contact)


@pytest.mark.parametrize(("typed", "phone"), [("call", "call me"), ("me", "call me"), ("flowers", "+1 800 FLOWERS")])
def test_a_phone_is_found_by_its_words(typed: str, phone: str) -> None:
    assert finds(typed, make_contact(phone=phone, phone_e164=to_e164(phone)))


def test_a_number_and_an_x_may_be_a_name() -> None:
    assert finds("100 x 5", make_contact(name="Boxes 5 x 100"))


@pytest.mark.parametrize(
    "typed", ["max@xn--mller-kva.example", "xn--mller-kva.ex", "max@MÜLLER.example", "muller", "max@xn"]
)
def test_an_email_is_found_by_either_form_of_its_domain(typed: str) -> None:
    assert finds(typed, make_contact(email="max@müller.example"))


@pytest.mark.parametrize(
    "typed",
    ["www.acme.example", "https://acme.example", "HTTP://www.acme.ex", "acme.example/about?a=b", "acme.example:8080"],
)
def test_a_web_address_finds_its_domain(typed: str) -> None:
    assert finds(typed, make_contact(email="max@acme.example"))


@pytest.mark.parametrize("typed", ["acme/or", "https://other.example/acme.example"])
def test_what_only_looks_like_a_web_address_finds_nothing(typed: str) -> None:
    assert not finds(typed, make_contact(email="max@acme.example"))


@pytest.mark.parametrize(
    "phone", ["+1 212 555 0100", "+7 495 1234567", "+352 27 12 34", "+888 1234567", "+999 1", "12"]
)
def test_any_phone_has_words(phone: str) -> None:
    contact = make_contact(phone=phone, phone_e164=to_e164(phone))
    assert finds(phone, contact) or len(phone) < 3
    assert all(word.isdigit() for word in weigh_words(contact))


@given(names, st.emails() | st.none())
def test_words_are_short_enough_to_be_stored(name: str, email: str | None) -> None:
    contact = make_contact(name=name * 40, given_name="x" * 1000, email=email)
    assert all(0 < len(word) <= max(WORD_CHARACTERS_MAX, 64) for word in weigh_words(contact))


def test_every_lexeme_begins_with_its_workspace_and_is_quoted() -> None:
    lexemes = to_lexemes(make_contact(email="o'neil\\x@example.com"), 42)
    assert lexemes.count("'42:") == len(lexemes.split(" "))
    assert "'42:o''neil\\\\x@example.com':1B" in lexemes.split(" ")


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_every_term_of_a_query_keeps_to_its_workspace(query: str) -> None:
    asked = to_tsquery(query, 42)
    if asked is not None:
        quoted = re.findall(r"'((?:[^']|'')*)'", asked)
        assert quoted
        assert all(term.startswith("42:") for term in quoted)
        assert set(re.sub(r"'(?:[^']|'')*'", "", asked)) <= set(":*&|() ")


def test_a_query_of_many_terms_is_cut() -> None:
    assert len(list_terms(" ".join(["ada"] * 50))) == QUERY_TERMS_MAX


@pytest.mark.parametrize("query", ["", "  ", "-", "+--", "(((", "+ . -", "' \\ ' :*", "&|!()", "\u0301"])
def test_nothing_to_look_for_is_no_query(query: str) -> None:
    assert to_tsquery(query, 1) is None


def test_names_are_sorted_by_their_first_characters_in_lower_case() -> None:
    assert to_name_key("Ada") == "ada"
    assert to_name_key(None) is None
    assert len(to_name_key("x" * 1000) or "") == 256
