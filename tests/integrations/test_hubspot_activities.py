"""Activities as engagements of HubSpot, and what becomes there of what is deleted, merged or gone here."""

from typing import Any

import pytest

from kith.integrations.failures import Missing, Transient
from kith.integrations.hubspot.engagements import make_properties
from kith.integrations.port import Failed, Linked, Merged, Skipped, Unlinked
from tests.integrations.hubspot_script import (
    ASSOCIATIONS,
    OBJECTS,
    Script,
    collect,
    give,
    item,
    link,
    make_activity,
    make_company,
    make_contact,
    open_hubspot,
    push,
    refuse,
    remove,
)

ARCHIVE = f"POST {OBJECTS}/contacts/batch/archive"
ERASE = f"POST {OBJECTS}/contacts/gdpr-delete"
MERGE = f"POST {OBJECTS}/contacts/merge"
NOW = "2026-11-22T10:00:00.000Z"


pytestmark = pytest.mark.usefixtures("no_waits")


def upsert(kind: str) -> str:
    return f"POST {OBJECTS}/{kind}/batch/upsert"


def associate(kind: str) -> str:
    return f"POST {ASSOCIATIONS}/{kind}/contacts/batch/create"


def to_input(engagement: str, contact: str, kind: int) -> dict[str, Any]:
    made = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": kind}]
    return {"from": {"id": engagement}, "to": {"id": contact}, "types": made}


async def test_an_activity_is_upserted_by_our_id_and_shown_with_its_contact() -> None:
    script = Script()
    for kind, ids in (("notes", {"act_1": "71", "act_3": "73"}), ("calls", {"act_2": "72"})):
        script.on(upsert(kind), give(ids)).on(associate(kind), (201, {"results": []}))
    activities = [
        make_activity(1, "NOTE", "Hi <there>\nbye"),
        make_activity(2, "CALL", "Good talk", duration="30m", outcome="interested", direction="outbound"),
        make_activity(3, "NOTE", "Again"),
    ]
    async with open_hubspot(script) as hubspot:
        told = await push(hubspot, *(item(one, "activity", contact=link("101")) for one in activities))
    notes, calls = script.bodies(upsert("notes")), script.bodies(upsert("calls"))
    assert [one["properties"] for one in notes[0]["inputs"]] == [
        {"hs_timestamp": NOW, "hs_note_body": "Hi &lt;there&gt;<br>bye", "kith_id": "act_1"},
        {"hs_timestamp": NOW, "hs_note_body": "Again", "kith_id": "act_3"},
    ]
    called = {
        "hs_timestamp": NOW,
        "hs_call_body": "Outcome: interested<br>Good talk",
        "hs_call_direction": "OUTBOUND",
        "hs_call_duration": "1800000",
        "hs_call_status": "COMPLETED",
        "kith_id": "act_2",
    }
    assert calls == [
        {"inputs": [{"id": "act_2", "idProperty": "kith_id", "objectWriteTraceId": "act_2", "properties": called}]}
    ]
    [shown] = script.bodies(associate("notes"))
    assert sorted(shown["inputs"], key=str) == [to_input("71", "101", 202), to_input("73", "101", 202)]
    assert script.bodies(associate("calls")) == [{"inputs": [to_input("72", "101", 194)]}]
    outcomes = dict(pair for some in told for pair in some)
    assert outcomes == {
        1: Linked(external_id="71", details={"type": "notes", "contact": "101"}),
        2: Linked(external_id="72", details={"type": "calls", "contact": "101"}),
        3: Linked(external_id="73", details={"type": "notes", "contact": "101"}),
    }


@pytest.mark.parametrize(
    ("kind", "path", "number"), [("MEETING", "meetings", 200), ("EMAIL", "emails", 198), ("TASK", "tasks", 204)]
)
async def test_each_kind_has_its_place_and_its_association(kind: Any, path: str, number: int) -> None:
    script = Script().on(upsert(path), give({"act_1": "71"})).on(associate(path), (201, {}))
    async with open_hubspot(script) as hubspot:
        await push(hubspot, item(make_activity(1, kind, "x"), "activity", contact=link("101")))
    assert script.bodies(associate(path)) == [{"inputs": [to_input("71", "101", number)]}]


async def test_what_is_no_engagement_or_has_no_contact_there_is_skipped() -> None:
    async with open_hubspot(Script()) as hubspot:
        seen = item(make_activity(1, "PAGE_VIEW"), "activity", contact=link("101"))
        assert hubspot.render(seen) == Skipped(reason="It is not an engagement in HubSpot.")
        note = item(make_activity(1, "NOTE"), "activity")
        assert hubspot.render(note) == Skipped(reason="Its contact is not in HubSpot.")


async def test_another_contact_there_is_something_to_send() -> None:
    async with open_hubspot(Script()) as hubspot:
        before, after = (
            hubspot.render(item(make_activity(1, "NOTE", "x"), "activity", contact=link(contact)))
            for contact in ("101", "201")
        )
        assert before != after


async def test_an_engagement_whose_contact_is_gone_there_fails_alone() -> None:
    def answer(body: Any) -> tuple[int, Any]:
        gone = any(one["to"]["id"] == "102" for one in body["inputs"])
        return (404, refuse("No contact 102.", "OBJECT_NOT_FOUND")) if gone else (201, {})

    script = Script().on(upsert("notes"), give({f"act_{n}": f"7{n}" for n in (1, 2, 3)}))
    script.on(associate("notes"), answer)
    async with open_hubspot(script) as hubspot:
        told = await push(
            hubspot, *(item(make_activity(n, "NOTE", "x"), "activity", contact=link(f"10{n}")) for n in (1, 2, 3))
        )
    outcomes = dict(pair for some in told for pair in some)
    assert [type(outcomes[n]) for n in (1, 2, 3)] == [Linked, Failed, Linked]
    failed: Any = outcomes[2]
    assert isinstance(failed.failure, Missing)


def test_a_meeting_says_when_and_where_and_how_it_went() -> None:
    said = {"subject": "Kickoff", "startTime": "2026-11-22T11:00:00+01:00", "duration": 5400, "location": "Rome"}
    meeting = make_activity(1, "MEETING", "Notes", outcome="no show", **said)
    assert make_properties(meeting) == {
        "hs_timestamp": NOW,
        "hs_meeting_title": "Kickoff",
        "hs_meeting_body": "Notes",
        "hs_meeting_start_time": NOW,
        "hs_meeting_end_time": "2026-11-22T11:30:00.000Z",
        "hs_meeting_outcome": "NO_SHOW",
        "hs_meeting_location": "Rome",
    }
    assert make_properties(make_activity(1, "MEETING")) == {"hs_timestamp": NOW, "hs_meeting_start_time": NOW}


def test_an_email_has_its_direction_and_its_status() -> None:
    email = make_activity(1, "EMAIL", "a < b", subject="Hello", direction="inbound", status="bounced")
    assert make_properties(email) == {
        "hs_timestamp": NOW,
        "hs_email_subject": "Hello",
        "hs_email_direction": "INCOMING_EMAIL",
        "hs_email_status": "BOUNCED",
        "hs_email_text": "a < b",
    }
    plain = make_properties(make_activity(1, "EMAIL"))
    assert plain == {"hs_timestamp": NOW, "hs_email_direction": "EMAIL", "hs_email_status": "SENT"}


def test_a_task_is_due_and_has_a_subject_whatever_was_said() -> None:
    task = make_activity(1, "TASK", "Call back\nand ask", dueDate="2026-12-01", priority="high", status="done")
    assert make_properties(task) == {
        "hs_timestamp": "2026-12-01T00:00:00.000Z",
        "hs_task_subject": "Call back",
        "hs_task_body": "Call back<br>and ask",
        "hs_task_status": "COMPLETED",
        "hs_task_priority": "HIGH",
        "hs_task_type": "TO" + "DO",
    }
    bare = make_properties(make_activity(1, "TASK", dueDate="soon", taskType="call"))
    assert (bare["hs_timestamp"], bare["hs_task_subject"], bare["hs_task_type"]) == (NOW, "Task", "CALL")


def test_an_outcome_that_every_account_has_is_one_of_theirs() -> None:
    made = make_properties(make_activity(1, "CALL", "x", outcome="Left voicemail", title="Hi", toNumber="+491"))
    assert made == {
        "hs_timestamp": NOW,
        "hs_call_title": "Hi",
        "hs_call_body": "x",
        "hs_call_status": "COMPLETED",
        "hs_call_disposition": "b2cf5968-551e-4856-9783-52b3da59a7d0",
        "hs_call_to_number": "+491",
    }


def deleted(number: int, external_id: str, **more: Any) -> Any:
    return item(make_contact(number, status="DELETED"), link=link(external_id), **more)


async def test_deleted_contacts_are_archived_together() -> None:
    script = Script().on(ARCHIVE, (204, None))
    async with open_hubspot(script) as hubspot:
        told = await remove(hubspot, deleted(1, "101"), deleted(2, "102"))
    assert script.sent == [(ARCHIVE, {"inputs": [{"id": "101"}, {"id": "102"}]})]
    assert told == [[(1, Unlinked()), (2, Unlinked())]]


async def test_one_that_is_not_there_is_archived_enough() -> None:
    script = Script().on(ARCHIVE, (404, refuse("No.")), (404, refuse("No.")), (204, None))
    async with open_hubspot(script) as hubspot:
        told = await remove(hubspot, deleted(1, "101"), deleted(2, "102"))
    assert told == [[(1, Unlinked())], [(2, Unlinked())]]


async def test_erasing_goes_by_the_id_and_never_by_the_email() -> None:
    script = Script().on(ERASE, (204, None), (404, refuse("No.")), (500, "down"))
    told: list[Any] = []
    async with open_hubspot(script, onDelete="ERASE") as hubspot:
        with pytest.raises(Transient):
            await collect(hubspot.remove("contact", [deleted(n, f"10{n}") for n in (1, 2, 3)]), told)
    assert told == [[(1, Unlinked())], [(2, Unlinked())]]
    assert script.sent[:2] == [(ERASE, {"objectId": "101"}), (ERASE, {"objectId": "102"})]


async def test_kept_ones_are_let_go_without_a_word() -> None:
    script = Script()
    async with open_hubspot(script, onDelete="KEEP") as hubspot:
        assert await remove(hubspot, deleted(1, "101")) == [[(1, Unlinked())]]
        company = item(make_company(2, status="DELETED"), "company", link=link("52"))
        assert await remove(hubspot, company) == [[(2, Unlinked())]]
    assert not script.sent


def merged(number: int, external_id: str, winner: str | None) -> Any:
    record = make_contact(number, status="MERGED", merged_into="ctc_9")
    return item(record, link=link(external_id), winner=link(winner) if winner else None)


async def test_a_merged_contact_goes_into_its_winner_whose_id_may_be_a_new_one() -> None:
    script = Script().on(MERGE, (200, {"id": "900", "properties": {}}))
    async with open_hubspot(script, onDelete="ERASE") as hubspot:
        told = await remove(hubspot, merged(1, "101", "109"), merged(2, "102", "109"))
    assert script.sent == [
        (MERGE, {"primaryObjectId": "109", "objectIdToMerge": "101"}),
        (MERGE, {"primaryObjectId": "900", "objectIdToMerge": "102"}),
    ]
    assert told == [[(1, Merged(external_id="900"))], [(2, Merged(external_id="900"))]]


async def test_a_merged_contact_whose_winner_is_not_there_is_archived_and_never_erased() -> None:
    script = Script().on(ARCHIVE, (204, None))
    async with open_hubspot(script, onDelete="ERASE") as hubspot:
        assert await remove(hubspot, merged(1, "101", None)) == [[(1, Unlinked())]]
    assert script.sent == [(ARCHIVE, {"inputs": [{"id": "101"}]})]


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        ((200, {"id": "109", "properties": {}}), Merged(external_id="109")),
        ((404, refuse("No.")), Unlinked()),
        ((200, {"id": "101", "properties": {}}), None),
    ],
)
async def test_a_merge_that_is_refused_may_have_been_done_before(found: tuple[int, Any], outcome: Any) -> None:
    script = (
        Script()
        .on(MERGE, (400, refuse("They cannot be merged.")))
        .on(f"GET {OBJECTS}/contacts/101?properties=kith_id", found)
    )
    async with open_hubspot(script) as hubspot:
        [[(_, told)]] = await remove(hubspot, merged(1, "101", "109"))
    assert told == outcome or (outcome is None and isinstance(told, Failed))


async def test_a_merge_that_was_not_answered_is_not_sent_again_at_once() -> None:
    script = Script().on(MERGE, (502, "<html>"))
    async with open_hubspot(script) as hubspot:
        with pytest.raises(Transient):
            await remove(hubspot, merged(1, "101", "109"))
    assert len(script.sent) == 1


async def test_activities_and_associations_go_as_they_have_to() -> None:
    archive = f"POST {OBJECTS}/calls/batch/archive"
    script = Script().on(archive, (204, None))
    async with open_hubspot(script) as hubspot:
        call = item(make_activity(1, "CALL"), "activity", link=link("71", type="calls", contact="101"))
        assert await remove(hubspot, call) == [[(1, Unlinked())]]
        between = item(make_contact(2, status="DELETED"), "association", link=link("101", companies={"51": "plain"}))
        assert await remove(hubspot, between) == [[(2, Unlinked())]]
    assert script.sent == [(archive, {"inputs": [{"id": "71"}]})]
