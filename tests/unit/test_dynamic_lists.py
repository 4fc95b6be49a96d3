"""Of many lists few are asked, and no other list would have been fitted."""

from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
from hypothesis import given

from kith.cql.ast import And, Comparison, Condition, conjoin
from kith.cql.predicate import compile_predicate, make_row
from kith.cql.reads import add_default_status, has_relative, list_reads
from kith.engine.dynamic_lists import DynamicList, ListRow, NearLists, find_anchor, looks_beyond
from kith.engine.vocabularies import Vocabularies
from tests.unit.cql_trees import COMPANY, CONTACT, NOW, make_comparisons, make_records

VOCABULARIES = Vocabularies(CONTACT, COMPANY, CONTACT)
OWN = [field for name, field in CONTACT.fields.items()]


def make_list(number: int, tree: Condition) -> DynamicList:
    row = ListRow(
        workspace_id=1,
        number=number,
        external_id=f"lst_{number}",
        name="x",
        entity="contact",
        filter_criteria={},
        timezone="UTC",
        status="ACTIVE",
    )
    tree = add_default_status(tree)
    return DynamicList(
        row=row,
        vocabularies=VOCABULARIES,
        tree=tree,
        reads=list_reads(tree),
        wide=looks_beyond(tree),
        relative=has_relative(tree),
        predicate=compile_predicate(tree, CONTACT, NOW),
    )


conditions = st.sampled_from(OWN).flatmap(lambda field: make_comparisons(field, CONTACT))
filters = st.lists(conditions, min_size=1, max_size=3).map(conjoin)


@given(st.lists(filters, max_size=12), make_records(CONTACT))
def test_every_list_that_a_record_fits_is_a_candidate(trees: Sequence[Condition], values: dict[str, Any]) -> None:
    lists = [make_list(number, tree) for number, tree in enumerate(trees)]
    row = make_row(CONTACT, values)
    found = {one.row.number for one in NearLists(lists).list_candidates(row) if one.fits(row, NOW)}
    assert found == {one.row.number for one in lists if one.predicate is not None and one.predicate(row)}


def test_a_list_is_found_by_its_condition_on_fewest_values_and_never_by_the_status() -> None:
    equal, among = Comparison("name", "eq", "Ada"), Comparison("lifecycleStage", "in", ("LEAD", "CUSTOMER"))
    anchor = find_anchor(make_list(1, And((among, equal))))
    assert anchor is not None
    assert (anchor.field, anchor.values) == ("name", ("ada",))
    assert find_anchor(make_list(2, Comparison("status", "eq", "ACTIVE"))) is None
    assert find_anchor(make_list(3, Comparison("name", "contains", "a"))) is None
