"""Text: the form in which it is stored, and the forms in which it is compared, searched and sorted.

The program computes these forms and stores them; SQL only reads them. So both fold the same letters, whatever the
version of PostgreSQL, and no statement folds text row by row.
"""
# ruff: noqa: RUF001 - letters that look like others are what this is about

import re
import unicodedata
from functools import cache

KEY_CHARACTERS_MAX = 256
# Stands between the letters of a sort key and the text that tells equal letters apart: less than any printed character.
KEY_SEPARATOR = "\x01"
# No language needs more behind one letter, and normalising takes the square of their number (UAX #15, 13).
MARKS_MAX = 30

Forms = tuple[str | None, ...]
"""Of a text: (its folded text, its sort key), None where SQL gets the same from ``lower``.

The text of a property that is a phone number in international form has its E.164 as the third, where that differs.
"""
Folded = dict[str, Forms]
"""Forms by the name of a field."""

# Letters that Unicode does not decompose, as they are written without the diacritic.
_LETTERS = str.maketrans(
    {
        "æ": "ae", "œ": "oe", "þ": "th", "ø": "o", "ɵ": "o", "ł": "l", "ƚ": "l", "ɫ": "l", "ⱡ": "l", "đ": "d",
        "ð": "d", "ɖ": "d", "ɗ": "d", "ı": "i", "ɨ": "i", "ħ": "h", "ⱨ": "h", "ŧ": "t", "ƭ": "t", "ʈ": "t", "ⱦ": "t",
        "ŋ": "n", "ɲ": "n", "ƞ": "n", "ĸ": "k", "ƙ": "k", "ⱪ": "k", "ƀ": "b", "ɓ": "b", "ƈ": "c", "ȼ": "c", "ə": "e",
        "ɛ": "e", "ǝ": "e", "ɇ": "e", "ƒ": "f", "ɠ": "g", "ǥ": "g", "ɉ": "j", "ƥ": "p", "ᵽ": "p", "ɍ": "r", "ɽ": "r",
        "ʉ": "u", "ʋ": "v", "ƴ": "y", "ɏ": "y", "ƶ": "z", "ⱬ": "z", "ⱥ": "a", "ɔ": "o",
    }
)  # fmt: skip


def compose(text: str) -> str:
    """The text in NFC, the form in which all text is stored. Raises ValueError where it is not foldable."""
    if text.isascii():
        return text
    if not is_foldable(text):
        raise ValueError(f"has more than {MARKS_MAX} combining marks (accents) in a row. Leave some of them out.")
    return unicodedata.normalize("NFC", text)


def is_foldable(text: str) -> bool:
    """Whether at most ``MARKS_MAX`` combining marks follow one another."""
    if len(text) <= MARKS_MAX or text.isascii():
        return True
    quick, exact = _compile_runs()
    return not quick.search(text) or not exact.search(text)


@cache
def _compile_runs() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """(a pattern that may find too much, the exact one). With many ranges beyond U+FFFF ``re`` is 20 times as slow."""
    marks = [chr(code) for code in range(0x300, 0x1F000) if unicodedata.combining(chr(code))]
    # These are no marks, and decompose to marks.
    low = "\u0f73\u0f75\u0f81\uff9e\uff9f" + "".join(mark for mark in marks if mark <= "\uffff")
    high = "".join(mark for mark in marks if mark > "\uffff")
    return _compile_run(f"[{low}{high[0]}-{high[-1]}]"), _compile_run(f"[{low}{high}]")


def _compile_run(mark: str) -> re.Pattern[str]:
    return re.compile(f"{mark}{mark}{{{MARKS_MAX}}}")


def fold_case(text: str) -> str:
    """The form in which texts are compared: full Unicode case folding of the composed text."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def fold_letters(text: str) -> str:
    """The form in which texts are searched: without case and diacritics. é is e, ł is l, æ is ae, ﬁ is fi, ß is ss.

    It folds character by character: the folded beginning of a text is the beginning of the folded text.
    """
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(character for character in decomposed if not unicodedata.combining(character))
    # Some letters decompose to capitals only now: mathematical ones, circled ones, units.
    return plain.casefold().translate(_LETTERS)


def to_sort_key(text: str) -> str:
    """What texts are sorted by: the letters that search folds to, then the texts without diacritics, then code points.

    Texts whose folded forms are equal have equal keys, and no others have, as long as they are shorter than
    ``KEY_CHARACTERS_MAX``. The key of a text begins with the letters of its beginning.
    """
    if text.isascii():
        return text.lower()[:KEY_CHARACTERS_MAX]
    folded = fold_case(text)
    letters = fold_letters(folded)
    if letters == folded:
        return folded[:KEY_CHARACTERS_MAX]
    return f"{letters[:KEY_CHARACTERS_MAX]}{KEY_SEPARATOR}{folded[:KEY_CHARACTERS_MAX]}"


def is_told_by_key(folded: str) -> bool:
    """Whether an equal sort key means an equal folded text: nothing of it was cut off."""
    return len(folded) < KEY_CHARACTERS_MAX and len(fold_letters(folded)) < KEY_CHARACTERS_MAX


def to_name_key(name: str | None) -> str | None:
    return to_sort_key(name) if name is not None else None


def fold_field(text: str) -> tuple[str | None, str | None]:
    """(the folded text, the sort key), None where SQL gets the same from ``lower``, which knows ASCII only."""
    if text.isascii():
        return None, None
    lower = text.encode().lower().decode()
    folded, key = fold_case(text), to_sort_key(text)
    return folded if folded != lower else None, key if key != lower[:KEY_CHARACTERS_MAX] else None
