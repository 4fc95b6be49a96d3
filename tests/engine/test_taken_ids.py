"""A command that makes a record under an external id that another record has."""

from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from kith.model.commands import (
    Command,
    CreateCompany,
    CreateContact,
    CreateList,
    CreateProperty,
    CreateTag,
    DeleteContact,
    LogActivity,
)
from tests.engine.acts import Acts, to_id

Drain = Callable[[], Awaitable[None]]
MAKING: dict[str, list[Command]] = {
    "contact": [CreateContact(contact_id="ctc_1", name="Ada"), CreateContact(contact_id="ctc_1", name="Eve")],
    "company": [CreateCompany(company_id="cmp_1", name="A"), CreateCompany(company_id="cmp_1", name="B")],
    "tag": [CreateTag(tag_id="tag_1", key="a"), CreateTag(tag_id="tag_1", key="b")],
    "list": [CreateList(list_id="lst_1", name=name, entity_type="CONTACT") for name in "ab"],
    "dynamic list": [
        CreateList(
            list_id="lst_1",
            name=name,
            entity_type="CONTACT",
            is_dynamic=True,
            filter_criteria={"logic": "AND", "conditions": [{"field": "name", "operator": "eq", "value": "Ada"}]},
            filter="name = Ada",
        )
        for name in "ab"
    ],
    "property": [
        CreateProperty(property_id="prp_1", entity="CONTACT", key=key, property_type="TEXT") for key in ("a", "b")
    ],
}


async def check(acts: Acts, drain: Drain, first: Command, second: Command, *, together: bool) -> None:
    made, taken, other = acts.make_envelope(first), acts.make_envelope(second), acts.make_envelope(name="Zoe")
    with capture_logs() as logs:
        await acts.append(made)
        if not together:
            await drain()
        await acts.append(acts.make_envelope(name="Bob"), taken, other)
        await drain()
    assert logs == []
    error = (await acts.get_operation(taken.operation_id)).to_error()
    assert (error.code, error.status) == ("EXTERNAL_ID_EXISTS", 409)
    assert error.details is not None and error.details["value"] == first.subject[1] in error.message
    for applied in (made, other):
        assert (await acts.get_operation(applied.operation_id)).status == "APPLIED"
    assert await acts.fetch("SELECT position FROM dead_letters WHERE workspace_id = $1") == []


@pytest.mark.parametrize("together", [False, True], ids=["later", "in the same batch"])
@pytest.mark.parametrize("kind", MAKING)
async def test_a_taken_external_id_rejects_the_command_alone(
    acts: Acts, drain: Drain, kind: str, *, together: bool
) -> None:
    first, second = MAKING[kind]
    await check(acts, drain, first, second, together=together)


@pytest.mark.parametrize("together", [False, True], ids=["later", "in the same batch"])
async def test_so_does_that_of_an_activity(acts: Acts, drain: Drain, *, together: bool) -> None:
    ref = to_id(await acts.create(name="Ada"))
    first, second = (
        LogActivity(contact_id=ref, activity_id="act_1", activity_type="NOTE", content=text) for text in ("a", "b")
    )
    await check(acts, drain, first, second, together=together)
    assert (await acts.get(ref))["activityCount"] == 1


async def test_a_deleted_contact_keeps_its_external_id(acts: Acts, drain: Drain) -> None:
    first, second = MAKING["contact"]
    await acts.append(acts.make_envelope(first), acts.make_envelope(DeleteContact(contact_id="ctc_1")))
    await drain()
    taken = acts.make_envelope(second)
    await acts.append(taken)
    await drain()
    assert (await acts.get_operation(taken.operation_id)).to_error().code == "EXTERNAL_ID_EXISTS"
