"""Activities at Mailchimp: a note and an event each, once, whatever answers are lost."""

from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from kith.integrations.failures import Limited, Missing, Permanent, Transient
from kith.integrations.mailchimp.payloads import NOTE_CHARACTERS_MAX, hash_email
from kith.integrations.port import Begun, Failed, Item, Link, Linked, Skipped, Unlinked
from kith.model.activities import Activity
from tests.integrations.mailchimp_audience import Audience, Open, Turns, make_job, problem, push

pytestmark = pytest.mark.usefixtures("no_waits")

ADA = Link(external_id="c-ada", hash="", details={"email": "ada@example.com", "tags": []})
EVE = Link(external_id="c-eve", hash="", details={"email": "eve@example.com", "tags": []})
NOTES, EVENTS = (f"/members/{hash_email('ada@example.com')}/{name}" for name in ("notes", "events"))
SENDING, SENT = {"event": "sending"}, {"event": "sent"}
LOST = (
    httpx2.ReadTimeout("lost"),
    httpx2.RemoteProtocolError("cut"),
    httpx2.DecodingError("packed wrongly"),
    httpx2.Response(502, text="<html>"),
)
REFUSED = "the connection was refused"


def make_item(number: int = 1, contact: Link | None = ADA, **more: Any) -> Item:
    links = {name: more.pop(name) for name in ("link", "begun") if name in more}
    values: dict[str, Any] = {"type": "CALL", "module": "CRM", "content": "We spoke.", "properties": {}, **more}
    activity = Activity(
        external_id=f"act_{number}",
        number=number,
        contact_id="ctc_1",
        contact_number=1,
        occurred_at=datetime(2026, 11, 22, 10, 0, 5, 123_000, tzinfo=UTC),
        created_at=datetime(2026, 11, 22, 10, 1, tzinfo=UTC),
        **values,
    )
    return Item(entity="activity", number=number, record=activity, contact=contact, **links)


async def test_an_activity_is_a_note_and_an_event(audience: Audience, open_mailchimp: Open) -> None:
    properties = {"minutes": 12, "missed": False, "people": ["a"], "agenda": "x" * 101, "type": "theirs"}
    outcomes = await push(open_mailchimp(), make_item(properties=properties))
    note = "Call, 2026-11-22 10:00 UTC [kith:act_1]\nWe spoke.\nminutes: 12\nmissed: false\ntype: theirs"
    assert audience.asked == [
        ("POST", NOTES, {"note": note}),
        (
            "POST",
            EVENTS,
            {
                "name": "call_logged",
                "properties": {"minutes": "12", "missed": "false", "activity_id": "act_1", "type": "CALL"},
                "occurred_at": "2026-11-22T10:00:05+00:00",
                "is_syncing": True,
            },
        ),
    ]
    assert outcomes == [Begun(external_id="100", details=SENDING), Linked(external_id="100", details=SENT)]


async def test_a_long_note_is_cut_and_keeps_its_reference(audience: Audience, open_mailchimp: Open) -> None:
    await push(open_mailchimp(), make_item(content="long " * 1000))
    note = audience.asked[0][2]["note"]
    assert len(note) == NOTE_CHARACTERS_MAX and note.endswith("…") and "[kith:act_1]" in note.splitlines()[0]


async def test_that_an_event_is_sent_is_stored_before(audience: Audience, open_mailchimp: Open) -> None:
    mailchimp = open_mailchimp()
    outcomes = mailchimp.push("activity", [make_job(mailchimp, make_item())])
    ((_, begun),) = await anext(outcomes)
    assert begun == Begun(external_id="100", details=SENDING)
    assert audience.list_asked() == [("POST", NOTES)]
    assert [type(outcome) for _, outcome in await anext(outcomes)] == [Linked]
    assert audience.list_asked() == [("POST", NOTES), ("POST", EVENTS)]


async def test_a_note_that_arrived_before_is_not_sent_again(audience: Audience, open_mailchimp: Open) -> None:
    audience.page_max = 2
    audience.notes = [{"id": number, "note": f"Call [kith:act_{number}]\n"} for number in range(9, 0, -1)]
    outcomes = await push(open_mailchimp(events=False), make_item(begun=True))
    assert outcomes == [Linked(external_id="1")]
    assert audience.list_asked() == [("GET", NOTES)] * 5


async def test_a_note_that_is_not_there_is_sent_after_all(audience: Audience, open_mailchimp: Open) -> None:
    audience.notes = [{"id": 7, "note": "Call [kith:act_10]\nSee [kith:act_1]."}]
    assert await push(open_mailchimp(events=False), make_item(begun=True)) == [Linked(external_id="101")]
    assert audience.list_asked() == [("GET", NOTES), ("POST", NOTES)]


@pytest.mark.parametrize("lost", LOST)
async def test_a_note_whose_answer_was_lost_is_looked_for(
    audience: Audience, open_mailchimp: Open, lost: Exception | httpx2.Response
) -> None:
    audience.tell("POST", "/notes", lost)
    audience.notes = [{"id": 5, "note": "Call [kith:act_1]"}]
    assert await push(open_mailchimp(events=False), make_item()) == [Linked(external_id="5")]
    assert audience.list_asked() == [("POST", NOTES), ("GET", NOTES)]


async def test_a_note_that_may_yet_arrive_is_not_sent_again_at_once(audience: Audience, open_mailchimp: Open) -> None:
    turns = Turns()
    audience.tell("POST", "/notes", httpx2.ReadTimeout("lost"))
    (outcome,) = await push(open_mailchimp(turns), make_item())
    assert isinstance(outcome, Failed) and isinstance(outcome.failure, Transient)
    assert audience.list_asked() == [("POST", NOTES), ("GET", NOTES)] and turns.kept == 1


async def test_a_note_that_was_surely_not_taken_is_sent_again(audience: Audience, open_mailchimp: Open) -> None:
    audience.tell("POST", "/notes", httpx2.ConnectError(REFUSED), httpx2.PoolTimeout("busy"), httpx2.Response(429))
    assert await push(open_mailchimp(events=False), make_item()) == [Linked(external_id="100")]
    assert audience.list_asked() == [("POST", NOTES)] * 4


async def test_an_event_that_may_have_been_sent_is_not_sent_again(audience: Audience, open_mailchimp: Open) -> None:
    link = Link(external_id="100", hash="", details=SENDING)
    outcomes = await push(open_mailchimp(), make_item(link=link, begun=True))
    assert outcomes == [Linked(external_id="100", details={"event": "unclear"})]
    assert audience.asked == []


@pytest.mark.parametrize("details", [SENT, {"event": "unclear"}])
async def test_what_is_there_is_not_sent_again(
    audience: Audience, open_mailchimp: Open, details: dict[str, str]
) -> None:
    link = Link(external_id="100", hash="old", details=details)
    assert await push(open_mailchimp(), make_item(link=link)) == [Linked(external_id="100", details=details)]
    assert audience.asked == []


@pytest.mark.parametrize("lost", LOST)
async def test_an_event_whose_answer_was_lost_stays_as_it_is(
    audience: Audience, open_mailchimp: Open, lost: Exception | httpx2.Response
) -> None:
    audience.tell("POST", "/events", lost)
    begun, failed = await push(open_mailchimp(), make_item())
    assert begun == Begun(external_id="100", details=SENDING)
    assert isinstance(failed, Failed) and isinstance(failed.failure, Transient)
    assert audience.list_asked() == [("POST", NOTES), ("POST", EVENTS)]


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([problem(400, "Invalid Resource", "Bad.", errors=[{"field": "name", "message": "no"}])], Permanent),
        ([problem(404, "Resource Not Found")], Missing),
        ([httpx2.ConnectError(REFUSED)] * 3, Transient),
    ],
)
async def test_an_event_that_was_surely_not_taken_may_be_sent_later(
    audience: Audience, open_mailchimp: Open, answers: list[Any], kind: type[Exception]
) -> None:
    audience.tell("POST", "/events", *answers)
    _, begun, failed = await push(open_mailchimp(), make_item())
    assert begun == Begun(external_id="100", details={})
    assert isinstance(failed, Failed) and isinstance(failed.failure, kind)
    link = Link(external_id="100", hash="", details=begun.details)
    assert (await push(open_mailchimp(), make_item(link=link, begun=True)))[-1] == Linked(
        external_id="100", details=SENT
    )
    assert audience.list_asked().count(("POST", NOTES)) == 1


async def test_a_limit_on_events_is_raised_when_that_none_was_sent_is_stored(
    audience: Audience, open_mailchimp: Open
) -> None:
    audience.tell("POST", "/events", httpx2.Response(429, headers={"Retry-After": "99"}))
    mailchimp = open_mailchimp(notes=False)
    outcomes = mailchimp.push("activity", [make_job(mailchimp, make_item())])
    told = [await anext(outcomes), await anext(outcomes)]
    assert [outcome for ((_, outcome),) in told] == [
        Begun(external_id="act_1", details=SENDING),
        Begun(external_id="act_1", details={}),
    ]
    with pytest.raises(Limited):
        await anext(outcomes)


async def test_an_event_alone_is_known_by_our_own_id(audience: Audience, open_mailchimp: Open) -> None:
    outcomes = await push(open_mailchimp(notes=False), make_item(), make_item(2, type="PAGE_VIEW"))
    linked = [outcome for outcome in outcomes if isinstance(outcome, Linked)]
    assert linked == [Linked(external_id=f"act_{number}", details=SENT) for number in (1, 2)]
    assert [body["name"] for _, _, body in audience.asked] == ["call_logged", "page_viewed"]


async def test_notes_that_are_turned_on_later_follow_their_events(audience: Audience, open_mailchimp: Open) -> None:
    link = Link(external_id="act_1", hash="", details=SENT)
    assert await push(open_mailchimp(), make_item(link=link)) == [Linked(external_id="100", details=SENT)]
    assert audience.list_asked() == [("POST", NOTES)]


@pytest.mark.parametrize("type_", ["PAGE_VIEW", "CUSTOM_EVENT"])
async def test_what_only_programs_have_seen_is_no_note(open_mailchimp: Open, type_: str) -> None:
    assert set(open_mailchimp().render(make_item(type=type_))) == {"event"}
    assert isinstance(open_mailchimp(events=False).render(make_item(type=type_)), Skipped)


async def test_what_is_turned_off_is_skipped(open_mailchimp: Open) -> None:
    assert isinstance(open_mailchimp(notes=False, events=False).render(make_item()), Skipped)
    assert isinstance(open_mailchimp().render(make_item(contact=None)), Skipped)


async def test_activities_of_a_contact_are_sent_in_order(audience: Audience, open_mailchimp: Open) -> None:
    items = [make_item(number, (ADA, EVE)[number % 2]) for number in range(10)]
    audience.tell("POST", "/notes", problem(400, "Invalid Resource", "Bad."))
    outcomes = await push(open_mailchimp(), *items)
    assert sum(isinstance(outcome, Failed) for outcome in outcomes) == 1
    names = [body["properties"]["activity_id"] for _, path, body in audience.asked if path.endswith("/events")]
    assert len(names) == 9
    for rest in (0, 1):
        mine = [name for name in names if int(name[-1]) % 2 == rest]
        assert mine == sorted(mine)


async def test_a_push_that_is_given_up_ends_its_requests(audience: Audience, open_mailchimp: Open) -> None:
    mailchimp = open_mailchimp()
    outcomes = mailchimp.push("activity", [make_job(mailchimp, make_item(1)), make_job(mailchimp, make_item(2, EVE))])
    await anext(outcomes)
    await outcomes.aclose()
    assert ("POST", EVENTS) not in audience.list_asked()


async def test_notes_go_with_their_member(audience: Audience, open_mailchimp: Open) -> None:
    item = make_item(link=Link(external_id="100", hash="", details=SENT))
    ((_, outcome),) = await anext(open_mailchimp().remove("activity", [item]))
    assert outcome == Unlinked()
    assert audience.asked == []
