"""Contacts, companies and their associations on their way to HubSpot: what is sent, and what is made of the answers."""

from typing import Any

import httpx2
import pytest

from kith.integrations.failures import Conflict, Limited, Missing, Permanent, Transient, Unauthorized
from kith.integrations.port import Account, Begun, Failed, Linked, Skipped
from tests.integrations.hubspot_script import (
    ASSOCIATIONS,
    OBJECTS,
    PROPERTIES,
    TOKEN,
    VERSION,
    Script,
    collect,
    give,
    item,
    link,
    make_company,
    make_company_link,
    make_contact,
    make_jobs,
    open_hubspot,
    push,
    refuse,
)

UPSERT = f"POST {OBJECTS}/contacts/batch/upsert"
UPDATE = f"POST {OBJECTS}/contacts/batch/update"
READ_900 = f"GET {OBJECTS}/contacts/900?properties=kith_id"
ASSOCIATE = f"POST {ASSOCIATIONS}/contacts/companies/batch/create"
DISSOCIATE = f"POST {ASSOCIATIONS}/contacts/companies/batch/archive"
UNLABEL = f"POST {ASSOCIATIONS}/contacts/companies/batch/labels/archive"


pytestmark = pytest.mark.usefixtures("no_waits")


def failure_of(told: list[list[tuple[int, Any]]], number: int) -> Any:
    outcomes = dict(pair for outcomes in told for pair in outcomes)
    assert isinstance(outcomes[number], Failed)
    return outcomes[number].failure


async def test_connecting_tells_whose_account_it_is() -> None:
    script = Script().on(f"GET /account-info/{VERSION}/details", (200, {"portalId": 62515, "timeZone": "US/Eastern"}))
    async with open_hubspot(script) as hubspot:
        assert await hubspot.connect() == Account(id="62515", name="HubSpot account 62515")
    assert script.tokens == ["pat-1"]


async def test_another_version_of_the_api_is_another_path() -> None:
    script = Script().on("GET /account-info/2026-03/details", (200, {"portalId": 1, "timeZone": "nowhere"}))
    async with open_hubspot(script, apiVersion="2026-03") as hubspot:
        assert (await hubspot.connect()).id == "1"


def know(script: Script, kind: str, *names: str, unique: bool = True) -> None:
    known = [{"name": name, "label": name, "hasUniqueValue": unique and name == "kith_id"} for name in names]
    script.on(f"GET {PROPERTIES}/{kind}", (200, {"results": known}))


async def test_preparing_makes_what_is_missing_and_nothing_else() -> None:
    script = Script()
    know(script, "contacts", "email", "firstname", "lastname", "phone", "lifecyclestage", "kith_id")
    know(script, "companies", "name", "domain", "phone", "website")
    for kind in ("notes", "calls", "meetings", "emails", "tasks"):
        know(script, kind, "kith_id")
    script.on(f"POST {PROPERTIES}/companies/groups", (409, refuse("It is there.", "CONFLICT")))
    script.on(f"POST {PROPERTIES}/companies", (201, {}))
    async with open_hubspot(script) as hubspot:
        await hubspot.prepare()
    posts = [(call, body) for call, body in script.sent if call.startswith("POST")]
    assert posts == [
        (f"POST {PROPERTIES}/companies/groups", {"name": "kith", "label": "Kith"}),
        (
            f"POST {PROPERTIES}/companies",
            {
                "name": "kith_id",
                "label": "Kith ID",
                "description": "The record's external id in Kith. It is how Kith finds it again.",
                "groupName": "kith",
                "type": "string",
                "fieldType": "text",
                "hasUniqueValue": True,
            },
        ),
    ]


async def test_a_field_that_is_sent_nowhere_is_found_before_the_first_record_is() -> None:
    script = Script()
    know(script, "contacts", "email", "firstname", "lastname", "phone", "lifecyclestage", "kith_id")
    async with open_hubspot(script, fields={"contact": {"avatar": "picture"}}) as hubspot:
        with pytest.raises(Permanent, match=r"no property 'picture' of contacts, to which fields\.contact\.avatar"):
            await hubspot.prepare()


async def test_a_property_of_ours_that_is_not_unique_is_refused() -> None:
    script = Script()
    know(script, "contacts", "email", "firstname", "lastname", "phone", "lifecyclestage", "kith_id", unique=False)
    async with open_hubspot(script) as hubspot:
        with pytest.raises(Permanent, match="kith_id of contacts is not unique"):
            await hubspot.prepare()


async def test_what_is_chosen_decides_what_it_takes() -> None:
    async with open_hubspot(Script()) as hubspot:
        assert hubspot.entities == ["company", "contact", "association", "activity"]
        assert [hubspot.get_items_max(entity) for entity in hubspot.entities] == [100, 100, 100, 500]
    async with open_hubspot(Script(), companies=False, activities=False) as hubspot:
        assert hubspot.entities == ["contact"]


async def test_contacts_that_are_not_linked_are_upserted_by_email_and_else_by_our_id() -> None:
    script = Script().on(UPSERT, give({"ctc_1": "101", "ctc_2": "102", "ctc_3": "103"}))
    ada = make_contact(
        1, email="ada@b.co", given_name="Ada", family_name="Byron", phone="1", phone_e164="+4915112345678"
    )
    bo = make_contact(2, name="Bo", lifecycle_stage="SALES_QUALIFIED")
    cy = make_contact(3, email="cy@b.co")
    async with open_hubspot(script) as hubspot:
        told = await push(hubspot, item(ada), item(bo), item(cy, begun=True))
    by_email = {
        "id": "ada@b.co",
        "idProperty": "email",
        "objectWriteTraceId": "ctc_1",
        "properties": {
            "email": "ada@b.co",
            "firstname": "Ada",
            "lastname": "Byron",
            "phone": "+4915112345678",
            "lifecyclestage": "lead",
            "kith_id": "ctc_1",
        },
    }
    by_our_id = {
        "id": "ctc_2",
        "idProperty": "kith_id",
        "objectWriteTraceId": "ctc_2",
        "properties": {"firstname": "Bo", "lifecyclestage": "salesqualifiedlead", "kith_id": "ctc_2"},
    }
    sent_before = {
        "id": "ctc_3",
        "idProperty": "kith_id",
        "objectWriteTraceId": "ctc_3",
        "properties": {"email": "cy@b.co", "lifecyclestage": "lead", "kith_id": "ctc_3"},
    }
    assert script.sent == [(UPSERT, {"inputs": [by_email]}), (UPSERT, {"inputs": [by_our_id, sent_before]})]
    fields = ["email", "firstname", "lastname", "lifecyclestage", "phone"]
    assert told == [
        [(1, Linked(external_id="101", details={"fields": fields}))],
        [
            (2, Linked(external_id="102", details={"fields": ["firstname", "lifecyclestage"]})),
            (3, Linked(external_id="103", details={"fields": ["email", "lifecyclestage"]})),
        ],
    ]


async def test_a_linked_contact_is_updated_by_its_id_and_only_what_we_had_set_is_cleared() -> None:
    script = Script().on(UPDATE, give({"ctc_1": "101"}))
    ada = make_contact(1, email="new@b.co")
    async with open_hubspot(script) as hubspot:
        told = await push(hubspot, item(ada, link=link("101", fields=["email", "lastname"])))
    properties = {"email": "new@b.co", "lastname": "", "lifecyclestage": "lead", "kith_id": "ctc_1"}
    assert script.sent == [
        (UPDATE, {"inputs": [{"id": "101", "objectWriteTraceId": "ctc_1", "properties": properties}]})
    ]
    assert told == [[(1, Linked(external_id="101", details={"fields": ["email", "lifecyclestage"]}))]]


async def test_two_of_one_email_are_never_in_one_batch() -> None:
    script = Script().on(UPSERT, give({"ctc_1": "101", "ctc_2": "101", "ctc_3": "103"}))
    emails = ("a@b.co", "A@b.co", "c@b.co")
    async with open_hubspot(script) as hubspot:
        await push(hubspot, *(item(make_contact(n, email=email)) for n, email in enumerate(emails, 1)))
    assert [[one["id"] for one in body["inputs"]] for body in script.bodies(UPSERT)] == [
        ["a@b.co", "c@b.co"],
        ["a@b.co"],
    ]


async def test_a_batch_has_at_most_a_hundred() -> None:
    script = Script().on(UPSERT, give({f"ctc_{n}": str(n) for n in range(1, 251)}))
    async with open_hubspot(script) as hubspot:
        told = await push(hubspot, *(item(make_contact(n, email=f"{n}@b.co")) for n in range(1, 251)))
    assert [len(outcomes) for outcomes in told] == [100, 100, 50]
    assert [len(body["inputs"]) for body in script.bodies(UPSERT)] == [100, 100, 50]


async def test_one_that_is_gone_there_is_made_anew() -> None:
    fault = refuse("Some are not there.", "OBJECT_NOT_FOUND", context={"ids": ["101"]})
    kept = {"id": "102", "properties": {"kith_id": "ctc_2"}}
    script = Script().on(UPDATE, (207, {"status": "COMPLETE", "results": [kept], "numErrors": 1, "errors": [fault]}))
    script.on(UPSERT, give({"ctc_1": "201"}))
    contacts = [item(make_contact(n, email=f"{n}@b.co"), link=link(f"10{n}", fields=["phone"])) for n in (1, 2)]
    async with open_hubspot(script) as hubspot:
        told = await push(hubspot, *contacts)
    details = {"fields": ["email", "lifecyclestage"]}
    assert told == [
        [(2, Linked(external_id="102", details=details))],
        [(1, Linked(external_id="201", details=details))],
    ]
    [made] = script.bodies(UPSERT)[0]["inputs"]
    assert made["properties"] == {"email": "1@b.co", "lifecyclestage": "lead", "kith_id": "ctc_1"}


async def test_one_that_is_refused_by_name_fails_alone() -> None:
    def answer(body: Any) -> tuple[int, Any]:
        _, taken = give({"ctc_1": "101", "ctc_3": "103"})({"inputs": [body["inputs"][0], body["inputs"][2]]})
        fault = refuse("No such stage.", context={"objectWriteTraceId": ["ctc_2"]})
        return 207, {**taken, "numErrors": 1, "errors": [fault]}

    script = Script().on(UPSERT, answer)
    async with open_hubspot(script) as hubspot:
        told = await push(hubspot, *(item(make_contact(n, email=f"{n}@b.co")) for n in (1, 2, 3)))
    assert len(script.sent) == 1
    failure = failure_of(told, 2)
    assert (type(failure), str(failure), failure.reference) == (Permanent, "No such stage.", "c-1")
    assert [type(outcome) for _, outcome in told[0]] == [Linked, Failed, Linked]


async def test_a_batch_that_is_refused_as_a_whole_is_halved_until_the_one_is_found() -> None:
    def answer(body: Any) -> tuple[int, Any]:
        if any(one["objectWriteTraceId"] == "ctc_77" for one in body["inputs"]):
            return 400, refuse("Property values were not valid.", errors=[{"message": "7 is no phone."}])
        return give({f"ctc_{n}": str(n) for n in range(1, 101)})(body)

    script = Script().on(UPSERT, answer)
    async with open_hubspot(script) as hubspot:
        told = await push(hubspot, *(item(make_contact(n, email=f"{n}@b.co")) for n in range(1, 101)))
    assert str(failure_of(told, 77)) == "Property values were not valid. 7 is no phone."
    assert sum(isinstance(outcome, Linked) for outcomes in told for _, outcome in outcomes) == 99
    assert len(script.sent) <= 15


async def test_one_of_whom_nothing_is_said_is_asked_for_again() -> None:
    first = {"id": "101", "properties": {"kith_id": "ctc_1"}}
    unnamed = refuse("One of them is wrong.")
    second = {"id": "102", "properties": {}}
    script = Script().on(UPSERT, (207, {"results": [first], "errors": [unnamed]}), (200, {"results": [second]}))
    async with open_hubspot(script) as hubspot:
        told = await push(hubspot, item(make_contact(1, email="1@b.co")), item(make_contact(2, email="2@b.co")))
    details = {"fields": ["email", "lifecyclestage"]}
    assert told == [[(n, Linked(external_id=f"10{n}", details=details))] for n in (1, 2)]
    assert [one["id"] for one in script.bodies(UPSERT)[1]["inputs"]] == ["2@b.co"]


async def test_one_that_is_there_already_is_linked_and_updated() -> None:
    script = Script().on(UPSERT, (409, refuse("Contact already exists. Existing ID: 900", "CONFLICT")))
    script.on(READ_900, (200, {"id": "900", "properties": {"kith_id": None}}))
    script.on(UPDATE, give({"ctc_1": "900"}))
    async with open_hubspot(script) as hubspot:
        told = await push(hubspot, item(make_contact(1, email="a@b.co")))
    assert told == [[(1, Linked(external_id="900", details={"fields": ["email", "lifecyclestage"]}))]]
    assert script.bodies(UPDATE)[0]["inputs"][0]["id"] == "900"


async def test_one_that_is_there_by_an_id_that_is_not_told_is_looked_for() -> None:
    script = Script().on(UPSERT, (400, refuse("CONFLICTING_UNIQUE_VALUE")))
    script.on(
        f"GET {OBJECTS}/contacts/ctc_1?properties=kith_id&idProperty=kith_id", (404, refuse("No.", "OBJECT_NOT_FOUND"))
    )
    found = (200, {"id": "900", "properties": {}})
    script.on(f"GET {OBJECTS}/contacts/a%2Bx%40b.co?properties=kith_id&idProperty=email", found).on(READ_900, found)
    script.on(UPDATE, give({"ctc_1": "900"}))
    async with open_hubspot(script) as hubspot:
        [[(_, outcome)]] = await push(hubspot, item(make_contact(1, email="a+x@b.co")))
    assert isinstance(outcome, Linked) and outcome.external_id == "900"


async def test_one_that_is_there_already_and_is_another_of_ours_is_not_taken_over() -> None:
    script = Script().on(UPSERT, (409, refuse("Contact already exists. Existing ID: 900", "CONFLICT")))
    script.on(READ_900, (200, {"id": "900", "properties": {"kith_id": "ctc_9"}}))
    async with open_hubspot(script) as hubspot:
        told = await push(hubspot, item(make_contact(1, email="a@b.co")))
    failure = failure_of(told, 1)
    assert isinstance(failure, Conflict) and "is ctc_9 here" in str(failure) and "then retry" in str(failure)


async def test_an_email_that_another_has_there_is_told_with_both_ids_and_the_way_out() -> None:
    script = Script().on(UPDATE, (409, refuse("Contact already exists. Existing ID: 900", "CONFLICT")))
    async with open_hubspot(script) as hubspot:
        told = await push(hubspot, item(make_contact(1, email="a@b.co"), link=link("101")))
    failure = failure_of(told, 1)
    assert isinstance(failure, Conflict)
    assert "HubSpot's contact 900" in str(failure) and "ctc_1 (HubSpot's contact 101)" in str(failure)
    assert "Merge the two in HubSpot, or change the value of one, and try again." in str(failure)


async def test_what_was_told_stays_told_when_the_connection_breaks() -> None:
    script = Script().on(UPDATE, give({"ctc_1": "101"})).on(UPSERT, httpx2.ReadError("gone"))
    told: list[Any] = []
    async with open_hubspot(script) as hubspot:
        jobs = make_jobs(hubspot, item(make_contact(1), link=link("101")), item(make_contact(2, email="b@b.co")))
        with pytest.raises(Transient):
            await collect(hubspot.push("contact", jobs), told)
    assert [number for [(number, _)] in told] == [1]
    assert len(script.bodies(UPSERT)) == 3


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, refuse("It expired."), Unauthorized),
        (403, "no", Unauthorized),
        (500, "<html>", Transient),
        (200, "?", Transient),
    ],
)
async def test_what_is_about_all_of_them_is_raised(status: int, body: Any, kind: type[Exception]) -> None:
    script = Script().on(UPSERT, (status, body))
    async with open_hubspot(script) as hubspot:
        with pytest.raises(kind):
            await push(hubspot, item(make_contact(1)), item(make_contact(2)))


async def test_a_token_that_was_taken_back_is_got_anew_and_the_request_is_sent_again() -> None:
    held = {"accessToken": "old", "expiresAt": "2027-01-01T00:00:00Z"}
    app = {"clientId": "c", "clientSecret": "s", "refreshToken": "r"}
    script = Script().on(TOKEN, (200, {"access_token": "new", "expires_in": 1800}))
    script.on(UPSERT, (401, refuse("It expired.")), give({"ctc_1": "101"}), (401, refuse("It expired.")))
    async with open_hubspot(script, credentials=app | held) as hubspot:
        await push(hubspot, item(make_contact(1)))
        assert script.tokens == ["old", "new"]
        with pytest.raises(Unauthorized):
            await push(hubspot, item(make_contact(1)))
    assert len(script.bodies(TOKEN)) == 1


async def test_a_short_limit_is_waited_for_and_a_long_one_is_told() -> None:
    short = {"status": "error", "message": "Slow.", "policyName": "TEN_SECONDLY_ROLLING"}
    script = Script().on(UPSERT, (429, short), give({"ctc_1": "101"}))
    async with open_hubspot(script) as hubspot:
        await push(hubspot, item(make_contact(1)))
        assert script.waits == [10]
        script.on(UPSERT, (429, {**short, "policyName": "DAILY"}))
        script.on(f"GET /account-info/{VERSION}/details", (200, {"portalId": 1, "timeZone": "Asia/Tokyo"}))
        await hubspot.connect()
        with pytest.raises(Limited) as limited:
            await push(hubspot, item(make_contact(1)))
    assert limited.value.until.isoformat() == "2026-11-22T15:00:00+00:00"


async def test_companies_are_upserted_by_our_id_and_updated_by_theirs() -> None:
    upsert, update = (f"POST {OBJECTS}/companies/batch/{what}" for what in ("upsert", "update"))
    script = Script().on(upsert, give({"cmp_1": "51"})).on(update, give({"cmp_2": "52"}))
    acme = make_company(1, name="Acme", domain="acme.com", website="https://acme.com")
    beta = make_company(2, name="Beta", domain=None)
    async with open_hubspot(script) as hubspot:
        told = await push(hubspot, item(acme, "company"), item(beta, "company", link=link("52", fields=["domain"])))
    made = {"name": "Acme", "domain": "acme.com", "website": "https://acme.com", "kith_id": "cmp_1"}
    assert script.bodies(upsert) == [
        {"inputs": [{"id": "cmp_1", "idProperty": "kith_id", "objectWriteTraceId": "cmp_1", "properties": made}]}
    ]
    changed = {"name": "Beta", "domain": "", "kith_id": "cmp_2"}
    assert script.bodies(update) == [{"inputs": [{"id": "52", "objectWriteTraceId": "cmp_2", "properties": changed}]}]
    assert sorted(number for outcomes in told for number, _ in outcomes) == [1, 2]


def to_input(company: str, *types: int) -> dict[str, Any]:
    made = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": one} for one in types]
    return {"from": {"id": "101"}, "to": {"id": company}, "types": made}


async def test_a_contact_is_brought_to_its_companies_and_away_from_those_it_left() -> None:
    script = Script().on(ASSOCIATE, (201, {"status": "COMPLETE", "results": []})).on(DISSOCIATE, (204, None))
    contact = make_contact(
        1, companies=(make_company_link(1, primary=True), make_company_link(2), make_company_link(3, live=False))
    )
    companies = {1: link("51"), 2: link("52"), 3: link("53"), 9: link("59")}
    before = link("101", companies={"52": "plain", "53": "plain"})
    async with open_hubspot(script) as hubspot:
        one = item(contact, "association", contact=link("101"), companies=companies, link=before)
        assert hubspot.render(one) == {"contact": "101", "companies": {"51": "primary", "52": "plain"}}
        told = await push(hubspot, one)
    assert script.sent == [
        (ASSOCIATE, {"inputs": [to_input("51", 279, 1), to_input("52", 279)]}),
        (DISSOCIATE, {"inputs": [{"from": {"id": "101"}, "to": [{"id": "53"}]}]}),
    ]
    reached = {"52": "plain", "53": "plain", "51": "primary"}
    assert told == [
        [(1, Begun(external_id="101", details={"companies": reached}))],
        [(1, Linked(external_id="101", details={"companies": {"51": "primary", "52": "plain"}}))],
    ]


async def test_a_company_that_is_the_primary_one_no_more_stays_one_of_them() -> None:
    script = Script().on(ASSOCIATE, (201, {})).on(UNLABEL, (204, None))
    contact = make_contact(1, companies=(make_company_link(1),))
    async with open_hubspot(script) as hubspot:
        one = item(contact, "association", contact=link("101"), companies={1: link("51")})
        before = link("101", companies={"51": "primary"})
        told = await push(
            hubspot, item(one.record, "association", contact=one.contact, companies=one.companies, link=before)
        )
    assert script.sent == [(UNLABEL, {"inputs": [to_input("51", 1)]}), (ASSOCIATE, {"inputs": [to_input("51", 279)]})]
    assert told == [[(1, Linked(external_id="101", details={"companies": {"51": "plain"}}))]]


async def test_a_contact_that_is_another_one_there_has_nothing_to_leave() -> None:
    script = Script().on(ASSOCIATE, (201, {}))
    contact = make_contact(1, companies=(make_company_link(1),))
    before = link("100", companies={"51": "plain", "52": "plain"})
    async with open_hubspot(script) as hubspot:
        one = item(contact, "association", contact=link("101"), companies={1: link("51")}, link=before)
        await push(hubspot, one)
    assert script.sent == [(ASSOCIATE, {"inputs": [to_input("51", 279)]})]


async def test_a_contact_that_never_had_a_company_is_skipped() -> None:
    async with open_hubspot(Script()) as hubspot:
        bare = item(make_contact(1), "association", contact=link("101"))
        assert hubspot.render(bare) == Skipped(reason="It has no company in HubSpot.")
        left = item(make_contact(1), "association", contact=link("101"), link=link("101", companies={"51": "plain"}))
        assert hubspot.render(left) == {"contact": "101", "companies": {}}


async def test_an_association_that_is_refused_holds_up_no_other() -> None:
    def answer(body: Any) -> tuple[int, Any]:
        if any(one["to"]["id"] == "53" for one in body["inputs"]):
            return 207, {"results": [], "numErrors": 1, "errors": [refuse("53 is gone.", "OBJECT_NOT_FOUND")]}
        return 201, {"results": []}

    script = Script().on(ASSOCIATE, answer)
    async with open_hubspot(script) as hubspot:
        told = await push(
            hubspot,
            *(
                item(
                    make_contact(n, companies=(make_company_link(n),)),
                    "association",
                    contact=link(f"10{n}"),
                    companies={n: link(f"5{n}")},
                )
                for n in (1, 2, 3, 4)
            ),
        )
    assert isinstance(failure_of(told, 3), Missing)
    assert [number for outcomes in told for number, outcome in outcomes if isinstance(outcome, Linked)] == [1, 2, 4]


async def test_a_contact_of_more_companies_than_fit_is_brought_to_all_of_them() -> None:
    script = Script().on(ASSOCIATE, (201, {}))
    numbers = range(1001, 1251)
    contact = make_contact(1, companies=tuple(make_company_link(n) for n in numbers))
    async with open_hubspot(script) as hubspot:
        companies = {n: link(str(n)) for n in numbers}
        told = await push(hubspot, item(contact, "association", contact=link("101"), companies=companies))
    assert [len(body["inputs"]) for body in script.bodies(ASSOCIATE)] == [100, 100, 50]
    assert [type(outcome) for [(_, outcome)] in told] == [Begun, Linked]


async def test_what_is_not_there_any_more_is_left_already() -> None:
    script = Script().on(DISSOCIATE, (404, refuse("No.")), (204, None), (404, refuse("No.")))
    before = link("101", companies={"51": "plain", "52": "plain"})
    async with open_hubspot(script) as hubspot:
        told = await push(hubspot, item(make_contact(1), "association", contact=link("101"), link=before))
    assert len(script.sent) == 3
    assert told == [[(1, Linked(external_id="101", details={"companies": {}}))]]
