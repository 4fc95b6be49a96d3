"""Of many lists few are asked, and no other list would have been fitted."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
from hypothesis import given

from kith.cql.ast import And, Comparison, Condition, conjoin
from kith.cql.dependencies import add_default_status, has_relative, list_reads
from kith.cql.index import FilterIndex, find_anchor
from kith.cql.predicate import compile_predicate, make_row
from kith.engine.context.schema_cache import Vocabularies
from kith.engine.lists.dynamic_lists import DynamicList, ListRow, NearLists, looks_beyond
from kith.model.records import ListLink
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
        version=1,
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
        link=ListLink(external_id=row.external_id, number=number),
        told={},
    )


conditions = st.sampled_from(OWN).flatmap(lambda field: make_comparisons(field, CONTACT))
filters = st.lists(conditions, min_size=1, max_size=3).map(conjoin)


@given(st.lists(filters, max_size=12), make_records(CONTACT))
def test_every_list_that_a_record_fits_is_a_candidate(trees: Sequence[Condition], values: dict[str, Any]) -> None:
    lists = [make_list(number, tree) for number, tree in enumerate(trees)]
    row = make_row(CONTACT, values)
    assert NearLists(lists).list_fitting(row, NOW) == {
        one.row.number for one in lists if one.predicate is not None and one.predicate(row)
    }


def test_a_list_is_found_by_its_condition_on_fewest_values_and_never_by_the_status() -> None:
    equal, among = Comparison("name", "eq", "Ada"), Comparison("lifecycleStage", "in", ("LEAD", "CUSTOMER"))
    anchor = find_anchor(And((among, equal)), CONTACT.fields)
    assert anchor is not None
    assert (anchor.field, anchor.values) == ("name", ("ada",))
    assert find_anchor(Comparison("status", "eq", "ACTIVE"), CONTACT.fields) is None
    assert find_anchor(Comparison("name", "contains", "a"), CONTACT.fields) is None


def test_of_a_thousand_lists_few_are_asked() -> None:
    stage = Comparison("lifecycleStage", "eq", "LEAD")
    narrow = [
        conjoin((stage, Comparison("activityCount", "between", (Decimal(n), Decimal(n + 2))))) for n in range(500)
    ]
    open_ended = [conjoin((stage, Comparison("activityCount", "gte", Decimal(n)))) for n in range(100, 400)]
    begun = [Comparison("name", "starts_with", f"{n:03}") for n in range(200)]
    index = FilterIndex((tree, CONTACT.fields, tree) for tree in (*narrow, *open_ended, *begun))
    row = make_row(CONTACT, {"lifecycleStage": "LEAD", "activityCount": 50, "name": "007 James"})
    found = list(index.list_candidates(row))
    assert {*narrow[48:51], begun[7]} <= {*found}
    assert len(found) <= 6
