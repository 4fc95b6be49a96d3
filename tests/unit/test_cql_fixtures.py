"""The language by examples: what each query of ``cql/*.txt`` becomes, in every notation, and how it is refused."""

import pytest

from kith.cql.ast import EVERYTHING
from kith.cql.json_form import read_json
from kith.cql.parser import parse
from kith.cql.printer import to_json, to_text
from kith.cql.resolve import resolve
from tests.unit.cql_fixtures import Pair, load_pairs, read, tell

PAIRS = load_pairs()


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair.file}:{pair.line}")
def test_a_query_becomes_what_the_line_below_it_says(pair: Pair) -> None:
    assert tell(pair.notation, pair.query, pair.vocabulary) == pair.expected


@pytest.mark.parametrize(
    "pair", [pair for pair in PAIRS if not pair.expected.startswith("!")], ids=lambda pair: f"{pair.file}:{pair.line}"
)
def test_what_is_printed_is_read_as_the_same_tree(pair: Pair) -> None:
    tree = read(pair.notation, pair.query.replace("␤", "\n"), pair.vocabulary)
    assert resolve(parse(to_text(tree)), pair.vocabulary) == tree
    assert resolve(read_json(to_json(tree), is_stored=tree == EVERYTHING), pair.vocabulary) == tree


def test_there_are_enough_examples_of_either_kind() -> None:
    refused = [pair for pair in PAIRS if pair.expected.startswith("!")]
    assert len(refused) >= 100
    assert len(PAIRS) - len(refused) >= 200
