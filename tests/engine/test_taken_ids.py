"""A command that makes a record under an external id that another record has."""

from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from kith.engine.admin.dead_letters import get_dead_letters, retry_dead_letters
from kith.engine.admin.replay import replay_check
from kith.engine.apply import writer as apply
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
from tests.kit import Kit

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


async def test_one_that_was_set_aside_for_it_ends_rejected_when_it_is_retried(
    own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an earlier version did. Applied again from the start, it is set aside there again."""
    first, second = (own_acts.make_envelope(one) for one in MAKING["list"])
    await own_acts.append(first)
    with monkeypatch.context() as earlier:
        earlier.setattr(apply, "is_taken_id", lambda _: False)
        await own_kit.drain()
        await own_acts.append(second)
        await own_kit.drain()
    assert (await own_acts.get_operation(second.operation_id)).to_error().code == "INTERNAL"
    async with own_kit.engine.database.acquire() as connection:
        letters = await get_dead_letters(connection, [(own_acts.workspace.shard, 2)])
    [_] = [one async for one in retry_dead_letters(own_kit.engine.log, letters, own_kit.engine.clock.now())]
    await own_kit.drain()
    assert (await own_acts.get_operation(second.operation_id)).to_error().code == "EXTERNAL_ID_EXISTS"
    report = await replay_check(own_kit.url, own_kit.engine.settings)
    assert report.differences == []
