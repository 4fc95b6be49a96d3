"""Envelopes: what goes onto the log comes back equal, from this version and from every earlier one."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from kith.model.actors import Actor
from kith.model.codec import (
    DECODERS,
    VERSION,
    Newer,
    Undecodable,
    decode_envelope,
    encode_envelope,
    encode_retry,
    find_retry,
)
from kith.model.commands import (
    AddMembers,
    ArchiveProperty,
    AssignTag,
    AssociateCompany,
    Command,
    CreateCompany,
    CreateContact,
    CreateList,
    CreateProperty,
    CreateTag,
    DeleteCompany,
    DeleteContact,
    DeleteList,
    DeleteTag,
    Envelope,
    EvaluateList,
    Idempotency,
    LogActivity,
    MergeContacts,
    RemoveAssociation,
    RemoveMembers,
    RemoveTag,
    RestoreCompany,
    RestoreContact,
    Retry,
    UpdateAssociation,
    UpdateCompany,
    UpdateContact,
    UpdateList,
    UpdateProperty,
    UpdateTag,
    to_resource,
    to_type,
)
from kith.model.values import same_json

texts = st.text(st.characters(codec="utf-8"), max_size=20)
names = st.none() | texts
numbers = st.integers(-(2**300), 2**300) | st.decimals(allow_nan=False, allow_infinity=False, places=6)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
properties = st.dictionaries(texts, json_values, max_size=4)
ids = st.from_regex(r"ctc_[0-9a-z]{26}", fullmatch=True)
stages = st.sampled_from(("LEAD", "CUSTOMER", "EVANGELIST"))
versions = st.none() | st.integers(1, 2**31 - 1)
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(
        CreateContact,
        contact_id=ids,
        email=names,
        name=names,
        given_name=names,
        family_name=names,
        phone=names,
        phone_e164=names,
        avatar=names,
        lifecycle_stage=stages,
        properties=properties,
    ),
    st.builds(
        UpdateContact,
        contact_id=ids,
        if_version=versions,
        changes=st.fixed_dictionaries(
            {}, optional={"name": names, "email": names, "status": st.just("ARCHIVED"), "properties": properties}
        ),
    ),
    st.builds(DeleteContact, contact_id=ids, if_version=versions),
    st.builds(RestoreContact, contact_id=ids, if_version=versions),
    st.builds(MergeContacts, contact_id=ids, loser_id=ids, if_version=versions),
    st.builds(CreateCompany, company_id=ids, name=names, domain=names, properties=properties),
    st.builds(AssociateCompany, contact_id=ids, company_id=ids, role=names, is_primary=st.booleans()),
    st.builds(CreateTag, tag_id=ids, key=texts, name=names, color=names),
    st.builds(AssignTag, entity=st.sampled_from(("contact", "company")), record_id=ids, tag_id=ids),
    st.builds(AddMembers, list_id=ids, entity=st.just("contact"), record_ids=st.lists(ids, max_size=3)),
    st.builds(LogActivity, contact_id=ids, activity_id=ids, activity_type=st.just("NOTE"), content=names),
)
times = st.integers(0, 2**41).map(lambda ms: datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ms))
encode = msgspec.json.Encoder(decimal_format="number").encode
keyed = st.builds(
    Idempotency,
    fingerprint=st.binary(min_size=32, max_size=32).map(bytes.hex),
    answer=json_values.map(lambda value: msgspec.Raw(encode(value))),
)
envelopes = st.builds(
    Envelope,
    operation_id=st.from_regex(r"op_[0-9a-z]{26}", fullmatch=True),
    workspace_id=st.integers(1, 2**31 - 1),
    at=times,
    key_id=st.integers(1, 2**63 - 1),
    command=commands,
    idempotency=st.none() | keyed,
    actor=st.none() | st.builds(Actor, kind=st.just("key"), id=st.just("3"), name=st.none() | names),
)


def to_comparable(envelope: Envelope) -> tuple[Any, ...]:
    """As builtins; a Raw is not equal to another with the same bytes."""
    idempotency = envelope.idempotency
    answer = bytes(idempotency.answer) if idempotency else None
    command = msgspec.structs.asdict(envelope.command)
    values = {field: command.pop(field) for field in ("properties", "changes") if field in command}
    return (
        (to_type(envelope.command), command, idempotency.fingerprint if idempotency else None, answer),
        (envelope.operation_id, envelope.workspace_id, envelope.at, envelope.key_id, envelope.actor),
        values,
    )


@given(envelopes)
def test_an_envelope_comes_back_as_it_was(envelope: Envelope) -> None:
    entry = encode_envelope(envelope)
    again = decode_envelope(entry)
    *one, values = to_comparable(envelope)
    *other, values_again = to_comparable(again)
    assert one == other
    assert same_json(values, values_again)
    assert encode_envelope(again) == entry


@pytest.mark.parametrize(
    "number",
    [
        Decimal("0.1"),
        Decimal("1E+50"),
        Decimal("12345678901234567890.123456789012345678901234567890"),
        Decimal("-0.000000000000000000000000000001"),
        2**63,
        -(2**63),
    ],
)
def test_no_digit_of_a_number_is_lost(number: Decimal | int) -> None:
    command = CreateContact(contact_id="ctc_1", properties={"number": number})
    again = decode_envelope(encode_envelope(make_envelope(command))).command
    assert isinstance(again, CreateContact)
    assert again.properties["number"] == number


def make_envelope(command: Command, idempotency: Idempotency | None = None, actor: Actor | None = None) -> Envelope:
    return Envelope(
        operation_id="op_01k00000000000000000000000",
        workspace_id=7,
        at=datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC),
        key_id=3,
        command=command,
        idempotency=idempotency,
        actor=actor,
    )


# As version 1 was written when it was the newest. These bytes stand on somebody's log: they are never changed.
RECORDED = {
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"CreateContact","contact_id":"ctc_1","email":"ada@example.com","name":"Ada \xc3\xa9",'
    b'"given_name":"Ada","family_name":"\xc3\xa9","phone":"+49 30 123456","phone_e164":"+4930123456",'
    b'"avatar":"https://example.com/a.png","lifecycle_stage":"CUSTOMER",'
    b'"properties":{"mrr":12.50,"tags":["a",1,true,null],"nested":{"a":{}}}}}': make_envelope(
        CreateContact(
            contact_id="ctc_1",
            email="ada@example.com",
            name="Ada é",
            given_name="Ada",
            family_name="é",
            phone="+49 30 123456",
            phone_e164="+4930123456",
            avatar="https://example.com/a.png",
            lifecycle_stage="CUSTOMER",
            properties={"mrr": Decimal("12.50"), "tags": ["a", 1, True, None], "nested": {"a": {}}},
        )
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"CreateContact","contact_id":"ctc_1","name":"Ada"},'
    b'"idempotency":{"fingerprint":"00ff","answer":{"id":null}}}': make_envelope(
        CreateContact(contact_id="ctc_1", name="Ada"),
        Idempotency(fingerprint="00ff", answer=msgspec.Raw(b'{"id":null}')),
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"CreateContact","contact_id":"ctc_1","name":"Ada"},'
    b'"actor":{"kind":"key","id":"3","name":"Website"}}': make_envelope(
        CreateContact(contact_id="ctc_1", name="Ada"), actor=Actor("key", "3", "Website")
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"UpdateContact","contact_id":"ctc_1","changes":{"email":null,"properties":{"mrr":null}},'
    b'"if_version":4}}': make_envelope(
        UpdateContact(contact_id="ctc_1", changes={"email": None, "properties": {"mrr": None}}, if_version=4)
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"DeleteContact","contact_id":"ctc_1"}}': make_envelope(DeleteContact(contact_id="ctc_1")),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"RestoreContact","contact_id":"ctc_1","if_version":2}}': make_envelope(
        RestoreContact(contact_id="ctc_1", if_version=2)
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"MergeContacts","contact_id":"ctc_1","loser_id":"ctc_2","if_version":3}}': make_envelope(
        MergeContacts(contact_id="ctc_1", loser_id="ctc_2", if_version=3)
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"CreateCompany","company_id":"cmp_1","name":"Acme","domain":"acme.com","industry":'
    b'"SaaS","size":"50-200","plan":"Pro","spend":1.50,"website":"https://acme.com","phone":"+49 30 123456'
    b'","phone_e164":"+4930123456","properties":{"a":1}}}': make_envelope(
        CreateCompany(
            company_id="cmp_1",
            name="Acme",
            domain="acme.com",
            industry="SaaS",
            size="50-200",
            plan="Pro",
            spend=Decimal("1.50"),
            website="https://acme.com",
            phone="+49 30 123456",
            phone_e164="+4930123456",
            properties={"a": 1},
        )
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"UpdateCompany","company_id":"cmp_1","changes":{"domain":null}}}': make_envelope(
        UpdateCompany(company_id="cmp_1", changes={"domain": None})
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"DeleteCompany","company_id":"cmp_1","if_version":2}}': make_envelope(
        DeleteCompany(company_id="cmp_1", if_version=2)
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"RestoreCompany","company_id":"cmp_1"}}': make_envelope(RestoreCompany(company_id="cmp_1")),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"AssociateCompany","contact_id":"ctc_1","company_id":"cmp_1","role":"CTO","is_prim'
    b'ary":true,"properties":{"a":1}}}': make_envelope(
        AssociateCompany(contact_id="ctc_1", company_id="cmp_1", role="CTO", is_primary=True, properties={"a": 1})
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"UpdateAssociation","contact_id":"ctc_1","company_id":"cmp_1","changes":{"is_prima'
    b'ry":false}}}': make_envelope(
        UpdateAssociation(contact_id="ctc_1", company_id="cmp_1", changes={"is_primary": False})
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"RemoveAssociation","contact_id":"ctc_1","company_id":"cmp_1"}}': make_envelope(
        RemoveAssociation(contact_id="ctc_1", company_id="cmp_1")
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"CreateTag","tag_id":"tag_1","key":"vip","name":"VIP","description":"Very","color"'
    b':"#FFD700"}}': make_envelope(
        CreateTag(tag_id="tag_1", key="vip", name="VIP", description="Very", color="#FFD700")
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"UpdateTag","tag_id":"tag_1","changes":{"name":"VIPs"}}}': make_envelope(
        UpdateTag(tag_id="tag_1", changes={"name": "VIPs"})
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"DeleteTag","tag_id":"tag_1"}}': make_envelope(DeleteTag(tag_id="tag_1")),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"AssignTag","entity":"contact","record_id":"ctc_1","tag_id":"tag_1"}}': make_envelope(
        AssignTag(entity="contact", record_id="ctc_1", tag_id="tag_1")
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"RemoveTag","entity":"company","record_id":"cmp_1","tag_id":"tag_1"}}': make_envelope(
        RemoveTag(entity="company", record_id="cmp_1", tag_id="tag_1")
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"LogActivity","contact_id":"ctc_1","activity_id":"act_1","activity_type":"CALL","m'
    b'odule":"SUPPORT","content":"Hello","properties":{"a":1},"occurred_at":"2026-01-01T00:00:00Z"}}': make_envelope(
        LogActivity(
            contact_id="ctc_1",
            activity_id="act_1",
            activity_type="CALL",
            module="SUPPORT",
            content="Hello",
            properties={"a": 1},
            occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"CreateList","list_id":"lst_1","name":"Some","entity_type":"CONTACT","is_dynamic":true,'
    b'"filter_criteria":{"logic":"AND"},"filter":"name = x","timezone":"Europe/Berlin"}}': make_envelope(
        CreateList(
            list_id="lst_1",
            name="Some",
            entity_type="CONTACT",
            is_dynamic=True,
            filter_criteria={"logic": "AND"},
            filter="name = x",
            timezone="Europe/Berlin",
        )
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"EvaluateList","list_id":"lst_1"}}': make_envelope(EvaluateList(list_id="lst_1")),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"CreateProperty","property_id":"prp_1","entity":"CONTACT","key":"tier","property_type":"SELECT",'
    b'"label":"Tier","group":"BASIC","description":"All","is_required":true,"options":[{"value":"a","label":"A",'
    b'"archived":true}]}}': make_envelope(
        CreateProperty(
            property_id="prp_1",
            entity="CONTACT",
            key="tier",
            property_type="SELECT",
            label="Tier",
            group="BASIC",
            description="All",
            is_required=True,
            options=[{"value": "a", "label": "A", "archived": True}],
        )
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"UpdateProperty","property_id":"prp_1","entity":"COMPANY","changes":{"type":"TEXT"},'
    b'"if_version":2}}': make_envelope(
        UpdateProperty(property_id="prp_1", entity="COMPANY", changes={"type": "TEXT"}, if_version=2)
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"ArchiveProperty","property_id":"prp_1","entity":"CONTACT","if_version":2}}': make_envelope(
        ArchiveProperty(property_id="prp_1", entity="CONTACT", if_version=2)
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"CreateList","list_id":"lst_1","name":"Some","entity_type":"CONTACT","description"'
    b':"All","is_dynamic":true,"filter_criteria":{"logic":"AND"}}}': make_envelope(
        CreateList(
            list_id="lst_1",
            name="Some",
            entity_type="CONTACT",
            description="All",
            is_dynamic=True,
            filter_criteria={"logic": "AND"},
        )
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"UpdateList","list_id":"lst_1","changes":{"name":"Others"},"if_version":1}}': make_envelope(
        UpdateList(list_id="lst_1", changes={"name": "Others"}, if_version=1)
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"DeleteList","list_id":"lst_1"}}': make_envelope(DeleteList(list_id="lst_1")),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"AddMembers","list_id":"lst_1","entity":"contact","record_ids":["ctc_1"]}}': make_envelope(
        AddMembers(list_id="lst_1", entity="contact", record_ids=["ctc_1"])
    ),
    b'\x01{"operation_id":"op_01k00000000000000000000000","workspace_id":7,"at":"2026-03-04T05:06:07.890000Z","key_id":3,'
    b'"command":{"type":"RemoveMembers","list_id":"lst_1","entity":"company","record_ids":["cmp_1"]}}': make_envelope(
        RemoveMembers(list_id="lst_1", entity="company", record_ids=["cmp_1"])
    ),
}


@pytest.mark.parametrize("entry", RECORDED)
def test_what_was_written_by_version_1_is_read_for_ever(entry: bytes) -> None:
    assert to_comparable(decode_envelope(entry)) == to_comparable(RECORDED[entry])


ASKED = datetime(2026, 3, 5, tzinfo=UTC)
# As version 2 was written when it was the newest.
RECORDED_RETRY = b'\x02{"position":17,"at":"2026-03-05T00:00:00Z","entry":"AXsi/w=="}'


def test_a_retry_that_was_written_by_version_2_is_read_for_ever() -> None:
    retry = Retry(position=17, at=ASKED, entry=b'\x01{"\xff')
    assert (encode_retry(retry), find_retry(RECORDED_RETRY)) == (RECORDED_RETRY, retry)
    with pytest.raises(Undecodable):
        decode_envelope(RECORDED_RETRY)


@given(envelopes)
def test_a_retry_is_its_command_at_the_time_when_it_was_asked_for(envelope: Envelope) -> None:
    again = decode_envelope(encode_retry(Retry(position=17, at=ASKED, entry=encode_envelope(envelope))))
    assert (again.at, again.made_at, again.accepted_at, again.retry_of) == (ASKED, envelope.at, envelope.at, 17)
    assert (again.operation_id, again.workspace_id) == (envelope.operation_id, envelope.workspace_id)
    if isinstance(envelope.command, LogActivity):
        assert isinstance(again.command, LogActivity) and again.command.occurred_at == envelope.at
    else:
        assert to_comparable(msgspec.structs.replace(again, at=envelope.at)) == to_comparable(
            decode_envelope(encode_envelope(envelope))
        )


def test_a_command_is_written_so_that_programs_without_retries_read_it() -> None:
    assert encode_envelope(make_envelope(DeleteContact(contact_id="ctc_1")))[0] == 1


def test_a_retry_holds_no_retry_and_nothing_newer() -> None:
    with pytest.raises(Undecodable, match="holds a retry"):
        decode_envelope(encode_retry(Retry(position=1, at=ASKED, entry=RECORDED_RETRY)))
    with pytest.raises(Newer):
        decode_envelope(encode_retry(Retry(position=1, at=ASKED, entry=bytes((VERSION + 1,)))))


def test_every_version_up_to_the_newest_has_its_decoder() -> None:
    assert sorted(DECODERS) == list(range(1, VERSION + 1))


def test_every_command_is_among_what_was_recorded() -> None:
    recorded = {type(envelope.command) for envelope in RECORDED.values()}
    assert recorded == set(Command.__args__)


@given(st.binary(max_size=60))
def test_any_bytes_are_an_envelope_or_undecodable(entry: bytes) -> None:
    for one in (entry, b"\x01" + entry, b"\x02" + entry, encode_retry(Retry(position=1, at=ASKED, entry=entry))):
        assert (find_retry(one) is None) or one[0] == 2
        with suppress(Undecodable):
            assert isinstance(decode_envelope(one), Envelope)


@given(envelopes, st.data())
def test_a_damaged_envelope_never_fails_otherwise(envelope: Envelope, data: st.DataObject) -> None:
    entry = bytearray(encode_envelope(envelope))
    place = data.draw(st.integers(0, len(entry) - 1))
    entry[place] = data.draw(st.integers(0, 255))
    with suppress(Undecodable):
        assert isinstance(decode_envelope(bytes(entry)), Envelope)


@pytest.mark.parametrize(("entry", "reason"), [(b"", "none"), (b"\x00{}", "version 0"), (b"\xff{}", "version 255")])
def test_an_unknown_version_is_named(entry: bytes, reason: str) -> None:
    with pytest.raises(Undecodable, match=reason):
        decode_envelope(entry)


def test_a_resource_is_the_path_of_the_record() -> None:
    assert to_resource(DeleteContact(contact_id="ctc_1")) == "/crm/contacts/ctc_1"
