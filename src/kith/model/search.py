"""Search words: what a record is found by, and what a typed query looks for. Both sides fold letters the same way."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

import phonenumbers

from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.hosts import cut_host, to_letters
from kith.model.text import fold_letters

WORD_CHARACTERS_MAX = 100
QUERY_TERMS_MAX = 10

# How a word says which field it is from. There are four weights: given and family name share one.
WEIGHTS: Mapping[str, str] = {
    "name": "A",
    "email": "B",
    "domain": "B",
    "phone": "C",
    "givenName": "D",
    "familyName": "D",
}
# A word's weights as a tsvector has them: one position for each.
_POSITIONS: Mapping[str, str] = {
    "".join(weights): ",".join(f"{n}{weight}" for n, weight in enumerate(weights, 1))
    for count in range(1, 5)
    for weights in combinations("ABCD", count)
}
_WORD = re.compile(r"[^\W_]+")
_PLAIN = re.compile("[A-Za-z0-9]")
# Letters of scripts that are written without spaces between words, or whose names are asked for by a part: Han, kana,
# bopomofo and hangul.
_CJK = re.compile(
    r"([\u1100-\u11ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u302f\u3031-\u318f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00016fe0-\U00016fff\U0001b000-\U0001b16f\U00020000-\U0003ffff]+)"
)
# Of each such letter a word begins, of this many letters: a query of as many finds them in this order only.
GRAM_CHARACTERS = 4
_PHONE = re.compile(r"^(?=.*\d)[+(\d][\d\s().\-/]{2,}$")
# A number with an extension. Quantifiers that give nothing back keep it linear.
_EXTENDED = re.compile(
    r"([+(\d][\d\s().\-/]{2,}+)[,;]?\s*+(?:extension|extn|ext|x|#)[\s.:=]*+(\d{1,7})", re.ASCII | re.IGNORECASE
)
_NOT_DIGIT = re.compile(r"\D")


def weigh_words(contact: Contact) -> dict[str, str]:
    """The words that a search may begin with, each with the weights of the fields that it is from."""
    weighed: dict[str, str] = {}
    if contact.name:
        _add(weighed, _split(contact.name), "A")
    if contact.email:
        email = fold_letters(contact.email)
        local, _, domain = email.rpartition("@")
        whole = [email, local, domain]
        if not contact.email.isascii():
            # A domain is also typed as it is in IDNA. The one of an email is in its normal form, so this is all of it.
            domain = ".".join(map(_to_punycode, contact.email.rpartition("@")[2].split(".")))
            whole += [f"{local}@{domain}", domain]
        _add(weighed, (*(word[:WORD_CHARACTERS_MAX] for word in whole), *_split(local)), "B")
    if contact.phone:
        _add(weighed, _list_phone_words(contact.phone, contact.phone_e164), "C")
    if contact.given_name or contact.family_name:
        _add(weighed, _split(f"{contact.given_name or ''} {contact.family_name or ''}"), "D")
    return weighed


def weigh_company_words(company: Company) -> dict[str, str]:
    """Likewise."""
    weighed: dict[str, str] = {}
    if company.name:
        _add(weighed, _split(company.name), "A")
    if company.domain:
        for domain in (company.domain, fold_letters(to_letters(company.domain))):
            _add(weighed, (domain[:WORD_CHARACTERS_MAX], *_split(domain)), "B")
    if company.phone:
        _add(weighed, _list_phone_words(company.phone, company.phone_e164), "C")
    return weighed


def _add(weighed: dict[str, str], words: Iterable[str], weight: str) -> None:
    for word in words:
        held = weighed.get(word, "")
        if weight not in held:
            weighed[word] = held + weight


def to_lexemes(contact: Contact, workspace_id: int) -> str:
    """The words as the text of a tsvector, each with the workspace in front."""
    return _write_words(weigh_words(contact), workspace_id)


def to_company_lexemes(company: Company, workspace_id: int) -> str:
    return _write_words(weigh_company_words(company), workspace_id)


def _write_words(weighed: dict[str, str], workspace_id: int) -> str:
    return " ".join([f"'{workspace_id}:{_escape(word)}':{_POSITIONS[weights]}" for word, weights in weighed.items()])


def to_tsquery(query: str, workspace_id: int, fields: Iterable[str] = ()) -> str | None:
    """The tsquery that wants each term of the query to begin some word; None where there is no term.

    ``fields`` are those whose words count, all where there are none.
    """
    weights = "".join(sorted({WEIGHTS[field] for field in fields}))
    terms = [
        alternatives
        for term in list_terms(query)
        if (alternatives := " | ".join(f"({_to_clause(words, workspace_id, weights)})" for words in term))
    ]
    return " & ".join(f"({term})" for term in terms) or None


def has_terms(query: str) -> bool:
    """Whether ``to_tsquery`` would find a term; most queries show it at their first letter or digit."""
    return _PLAIN.search(query) is not None or to_tsquery(query, 0) is not None


def list_terms(query: str) -> list[list[tuple[str, ...]]]:
    """The query's terms; each is a list of alternatives, each of these the words that must all be begun.

    A term with punctuation inside (``jean-luc``, ``example.com``) is looked for whole and in its parts, a web address
    also by its host, a phone number with an extension also by the two.
    """
    stripped = query.strip()
    if _PHONE.match(stripped):
        return [_list_phone_terms(_NOT_DIGIT.sub("", stripped))]
    if extended := _EXTENDED.fullmatch(stripped):
        words = tuple(word for term in _list_plain_terms(stripped) for word in term[-1])
        numbers = _list_phone_terms(_NOT_DIGIT.sub("", extended[1]))
        return [[*((*number, extended[2]) for number in numbers), words]]
    return _list_plain_terms(stripped)


def _list_plain_terms(query: str) -> list[list[tuple[str, ...]]]:
    """The last alternative of each has its parts."""
    terms: list[list[tuple[str, ...]]] = []
    words_left = QUERY_TERMS_MAX
    for term in query.split()[:QUERY_TERMS_MAX]:
        whole = fold_letters(term)[:WORD_CHARACTERS_MAX]
        parts = tuple(_split(term, asked=True)[:words_left])
        words_left -= len(parts)
        if "@" in whole:
            terms.append([(whole,)])
        elif parts:
            host = cut_host(whole)
            # The beginning of what is no address, as in and/or, finds too much.
            hosts = [(host,)] if host != whole and ("." in host or not whole.startswith(host)) else []
            terms.append([(whole,), *hosts, parts] if parts != (whole,) else [parts])
    return terms


def _list_phone_terms(digits: str) -> list[tuple[str, ...]]:
    """As typed, and without what stands in front of a number dialled abroad (00) or at home (0)."""
    dialled = digits[2:] if digits.startswith("00") else digits[1:] if digits.startswith("0") else ""
    return [(digits,), (dialled,)] if dialled else [(digits,)]


def _split(text: str, *, asked: bool = False) -> list[str]:
    """The words of a text. Of Chinese, Japanese and Korean each letter begins one: 小明 is found in 王小明.

    ``asked``: those that a query looks for, which must all be there.
    """
    folded = fold_letters(text)
    if text.isascii() or not _CJK.search(composed := unicodedata.normalize("NFC", folded)):
        return [word[:WORD_CHARACTERS_MAX] for word in _WORD.findall(folded)]
    words: list[str] = []
    for word in _WORD.findall(composed):
        for n, run in enumerate(_CJK.split(word)):
            if n % 2 == 0:
                words += [run[:WORD_CHARACTERS_MAX]] if run else []
                continue
            last = max(len(run) - GRAM_CHARACTERS, 0) if asked else len(run) - 1
            words += [run[start : start + GRAM_CHARACTERS] for start in range(last + 1)]
    # Letter by letter, a syllable of hangul begins with its beginning.
    return [fold_letters(word) for word in words]


def _list_phone_words(phone: str, e164: str | None) -> Iterator[str]:
    digits = _NOT_DIGIT.sub("", e164 or phone)
    if digits:
        yield digits[:WORD_CHARACTERS_MAX]
    if e164:
        yield _cut_country_code(digits)
    if extended := _EXTENDED.fullmatch(phone):
        yield from (extended[2], f"x{extended[2]}", f"ext{extended[2]}", "ext")
    if any(character.isalpha() for character in phone):
        yield from _split(phone)


def _to_punycode(label: str) -> str:
    return label if label.isascii() else f"xn--{label.encode('punycode').decode()}"


def _cut_country_code(digits: str) -> str:
    """The national number. No country code is the beginning of another, so the first that fits is the one."""
    for length in (1, 2, 3):
        if int(digits[:length]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            return digits[length:]
    return digits


def _to_clause(words: tuple[str, ...], workspace_id: int, weights: str) -> str:
    return " & ".join(f"'{workspace_id}:{_escape(word)}':*{weights}" for word in words)


def _escape(word: str) -> str:
    return word.replace("\\", "\\\\").replace("'", "''")
