"""Pairs of lines: a query, and below it what becomes of it; and the vocabularies that they are asked of."""

from pathlib import Path
from typing import NamedTuple

import msgspec

from kith.cql.ast import Condition
from kith.cql.json_form import read_json
from kith.cql.legacy_form import parse_legacy
from kith.cql.parser import parse
from kith.cql.printer import to_text
from kith.cql.resolve import resolve
from kith.cql.vocabulary import CustomField, CustomFields, Vocabulary, make_vocabulary
from kith.errors import Exposed

FOLDER = Path(__file__).parent / "cql"
PLANS = ("Free", "Pro", "Größe L", "top-tier")
_OF_CONTACTS = (
    CustomField("mrr", "NUMBER"),
    CustomField("price", "CURRENCY"),
    CustomField("score", "NUMBER"),
    CustomField("nickname", "TEXT"),
    CustomField("notes", "TEXTAREA"),
    CustomField("homepage", "URL"),
    CustomField("mobile", "PHONE"),
    CustomField("workEmail", "EMAIL"),
    CustomField("optedIn", "BOOLEAN"),
    CustomField("birthday", "DATE"),
    CustomField("trialEnds", "DATETIME"),
    CustomField("tier", "SELECT", options=PLANS),
    CustomField("interests", "MULTI_SELECT", options=("Golf", "Chess", "Cooking")),
    CustomField("in", "TEXT"),
    CustomField("shoe size", "NUMBER"),
    CustomField('odd "key"', "TEXT"),
    CustomField("a.b", "TEXT"),
    CustomField("trailing.", "TEXT"),
    CustomField("name", "TEXT"),
    CustomField("company.name", "TEXT"),
    CustomField("größe", "NUMBER"),
    CustomField("fax", "TEXT", archived=True),
)
_OF_COMPANIES = (
    CustomField("mrr", "NUMBER"),
    CustomField("tier", "SELECT", options=("Gold", "Silver", "Pro")),
    CustomField("founded", "DATE"),
    CustomField("score", "TEXT"),
    CustomField("regions", "MULTI_SELECT", options=("EU", "US")),
)
CUSTOM = CustomFields(_OF_CONTACTS, _OF_COMPANIES, (CustomField("seat", "TEXT"), CustomField("since", "DATE")))
VOCABULARIES = {
    "contact": make_vocabulary(["contact"], CUSTOM, "Europe/Berlin"),
    "company": make_vocabulary(["company"], CUSTOM, "Europe/Berlin"),
    "both": make_vocabulary(["contact", "company"], CUSTOM, "Europe/Berlin"),
}
READERS = {"text": parse, "json": lambda line: read_json(msgspec.json.decode(line)), "legacy": parse_legacy}


class Pair(NamedTuple):
    """``expected`` is the canonical string, or ``! CODE @place: message``."""

    file: str
    line: int
    notation: str
    vocabulary: Vocabulary
    query: str
    expected: str


def load_pairs() -> list[Pair]:
    """``#: notation entity`` says what the lines below it are; ``#`` begins a comment; pairs stand apart.

    A new line in a query is written ␤.
    """
    pairs: list[Pair] = []
    for path in sorted(FOLDER.glob("*.txt")):
        notation, entity = "text", "contact"
        lines = iter(enumerate(path.read_text().splitlines(), 1))
        for number, line in lines:
            if line.startswith("#:"):
                _, notation, entity = line.split()
            elif line and not line.startswith("#"):
                _, expected = next(lines)
                pairs.append(Pair(path.name, number, notation, VOCABULARIES[entity], line, expected))
    return pairs


def read(notation: str, query: str, vocabulary: Vocabulary) -> Condition:
    return resolve(READERS[notation](query), vocabulary)  # type: ignore[no-untyped-call]


def tell(notation: str, query: str, vocabulary: Vocabulary) -> str:
    """What becomes of the query, on one line."""
    try:
        tree = read(notation, query.replace("␤", "\n"), vocabulary)
    except Exposed as error:
        place = error.details and error.details.get("path", error.details.get("position"))
        return f"! {error.code} @{place}: {error.message}"
    return to_text(tree).replace("\n", "␤") or "(everything)"
