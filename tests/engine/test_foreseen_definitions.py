"""Definitions that are pending: what is written behind them is held to them, after a restart as before it."""

from typing import Any

import msgspec
import pytest

from kith.engine.accept import properties
from kith.model.state import Survey
from tests.engine.acts import Acts, to_id
from tests.engine.test_foresight import refused, restarted
from tests.kit import Kit


async def check_settled(kit: Kit, *all_acts: Acts) -> None:
    """Once all is applied nothing is foreseen any more."""
    await kit.drain()
    for acts in all_acts:
        await acts.engine.progress.refresh()
        assert len(acts.engine.pending) == 0
        assert acts.engine.pending._records == acts.engine.pending._holders == {}


@pytest.fixture(autouse=True)
def without_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """No writer is at work: what is pending stays so."""
    monkeypatch.setattr("kith.engine.accept.properties.APPLIED_WAIT_S", 0)


async def test_after_a_restart_a_key_that_is_pending_is_taken_and_its_property_is_read(
    own_kit: Kit, own_acts: Acts
) -> None:
    one = to_id(await own_acts.define("mrr", "NUMBER", label="Revenue"))
    two = to_id(await own_acts.define("tier", "SELECT", options=["gold", "tin"]))
    await own_acts.redefine(two, label="Tier")
    before = [await own_acts.get_property(ref) for ref in (one, two)]
    async with restarted(own_kit, own_acts) as acts:
        assert [await acts.get_property(ref) for ref in (one, two)] == before
        assert [(held["id"], held["pending"], held["version"]) for held in before] == [(None, True, 1), (None, True, 2)]
        assert await refused(acts.define("mrr", "TEXT")) == "PROPERTY_KEY_EXISTS"
        await acts.define("mrr", "TEXT", entity="COMPANY")
        await acts.redefine(one, is_required=True)
        assert await refused(acts.create(name="Ada")) == "MISSING_FIELD"
        await check_settled(own_kit, own_acts, acts)
        assert (await acts.get_property(one))["version"] == 2


async def test_after_a_restart_writes_behind_a_pending_definition_are_held_to_it(own_kit: Kit, own_acts: Acts) -> None:
    early = to_id(await own_acts.create(name="Ada", properties={"mrr": " 5 "}))
    await own_acts.define("mrr", "NUMBER")
    late = to_id(await own_acts.create(name="Eve", properties={"mrr": " 7 "}))
    await own_acts.update(late, properties={"mrr": "8"})
    before = await own_acts.get(late)
    assert before["properties"] == {"mrr": 8}
    async with restarted(own_kit, own_acts) as acts:
        assert await acts.get(late) == before
        assert await refused(acts.update(late, properties={"mrr": "many"})) == "INVALID_FIELD"
        assert await refused(acts.create(name="Mia", properties={"mrr": "many"})) == "INVALID_FIELD"
        await acts.update(early, name="Ada L.")
        await acts.update(late, properties={"mrr": "9.50"})
        await check_settled(own_kit, own_acts, acts)
        held = [(await acts.get(ref))["properties"] for ref in (early, late)]
        assert held == [{"mrr": 5}, {"mrr": 9.5}]
    statuses = await own_acts.fetch("SELECT status, count(*) FROM operations WHERE workspace_id = $1 GROUP BY 1")
    assert statuses == [("APPLIED", 6)], "each process foresees what the other one did"


async def test_after_a_restart_a_pending_type_that_values_fit_is_foreseen(own_kit: Kit, own_acts: Acts) -> None:
    one = to_id(await own_acts.define("mrr", "TEXT"))
    ref = to_id(await own_acts.create(name="Ada", properties={"mrr": "12"}))
    await own_kit.drain()
    await own_acts.redefine(one, type="NUMBER")
    await own_acts.create(name="Eve", properties={"mrr": "13"})
    async with restarted(own_kit, own_acts) as acts:
        property_ = await acts.get_property(one)
        assert (property_["type"], property_["version"], property_["pending"]) == ("NUMBER", 2, True)
        assert await refused(acts.create(name="Mia", properties={"mrr": "many"})) == "INVALID_FIELD"
        await check_settled(own_kit, own_acts, acts)
        assert (await acts.get(ref))["properties"] == {"mrr": 12}
        assert (await acts.get_property(one))["type"] == "NUMBER"


async def test_after_a_restart_a_pending_type_is_surveyed_on_what_is_defined_in_front_of_it(
    own_kit: Kit, own_acts: Acts
) -> None:
    """Definition, change of type and values all wait; nothing of them is in the database."""
    one = to_id(await own_acts.define("tier", "SELECT", options=["gold", "tin"]))
    await own_acts.redefine(one, options=["gold"])
    await own_acts.redefine(one, type="TEXT")
    await own_acts.create(name="Ada", properties={"tier": "bronze"})
    async with restarted(own_kit, own_acts) as acts:
        property_ = await acts.get_property(one)
        assert (property_["type"], property_["options"], property_["version"]) == ("TEXT", [], 3)
        assert await refused(acts.create(name="Mia", properties={"tier": 1})) == "INVALID_FIELD"
        await check_settled(own_kit, own_acts, acts)
        assert (await acts.get_property(one))["version"] == 3


async def test_after_a_restart_a_pending_type_that_will_be_rejected_is_known_and_ends_so(
    own_kit: Kit, own_acts: Acts
) -> None:
    """A value that does not fit waits in front of it: only the writer sees both."""
    one = to_id(await own_acts.define("mrr", "TEXT"))
    await own_kit.drain()
    await own_acts.create(name="Ada", properties={"mrr": "many"})
    change = await own_acts.redefine(one, type="NUMBER")
    behind = await own_acts.create(name="Eve", properties={"mrr": "12"})
    assert msgspec.json.decode(behind.data)["properties"] == {"mrr": 12}
    async with restarted(own_kit, own_acts) as acts:
        assert (await acts.get_operation(change.operation.id)).status == "PENDING"
        await check_settled(own_kit, own_acts, acts)
        operation = await acts.get_operation(change.operation.id)
        assert (operation.status, operation.to_error().code) == ("REJECTED", "INVALID_FIELD")
        assert (await acts.get_property(one))["type"] == "TEXT"
        assert (await acts.get(to_id(behind)))["properties"] == {"mrr": "12"}, "as it was sent: it is a text"


async def test_after_a_restart_a_retry_of_a_definition_gets_its_first_answer(own_kit: Kit, own_acts: Acts) -> None:
    request = own_acts.make_request(idempotency_key="once", fingerprint=b"1")
    first = await own_acts.define("mrr", "NUMBER", request)
    async with restarted(own_kit, own_acts) as acts:
        again = await acts.define("mrr", "NUMBER", request)
        assert (again.replayed, again.data, again.operation.position) == (True, first.data, first.operation.position)
        await check_settled(own_kit, own_acts, acts)
        late = await acts.define("mrr", "NUMBER", request)
        assert (late.replayed, late.data) == (True, first.data)
    assert await own_acts.fetch("SELECT key FROM properties WHERE workspace_id = $1") == [("mrr",)]


async def test_a_long_survey_keeps_nothing_that_is_applied_meanwhile(
    own_kit: Kit, own_acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the writes that wait would grow past what may wait while very many values are looked at."""
    one = to_id(await own_acts.define("mrr", "TEXT"))
    await own_kit.drain()
    survey_values, waiting = properties.survey_values, []

    async def survey_while_others_write(*named: Any) -> Survey:
        for n in range(5):
            await own_acts.create(name=f"Ada {n}", properties={"mrr": "12"})
        await own_kit.drain()
        waiting.append(len(own_acts.engine.pending))
        return await survey_values(*named)

    monkeypatch.setattr(properties, "survey_values", survey_while_others_write)
    await own_acts.redefine(one, type="NUMBER")
    assert waiting == [0]
    await check_settled(own_kit, own_acts)
    assert (await own_acts.get_property(one))["type"] == "NUMBER"
