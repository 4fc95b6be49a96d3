"""What HubSpot's answers mean, values as it takes them, what can be chosen, and how tokens are got."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import httpx2
import msgspec
import pytest

from kith.clock import FixedClock
from kith.integrations.failures import Conflict, Limited, Missing, Permanent, Transient, Unauthorized
from kith.integrations.http import Reply, open_client
from kith.integrations.hubspot.failures import classify, classify_fault
from kith.integrations.hubspot.settings import HubSpotSettings
from kith.integrations.hubspot.tokens import Tokens, read_credentials
from kith.integrations.hubspot.values import parse_duration_ms, parse_time, to_rich_text
from kith.integrations.mapping import to_text

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


def read(status: int, body: Any = None, **headers: str) -> Any:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return classify(Reply(status=status, headers=given, body=body), NOW, ZoneInfo("America/New_York"))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *[(400, Permanent), (401, Unauthorized), (403, Unauthorized), (404, Missing), (408, Transient)],
        *[(409, Conflict), (414, Permanent), (423, Transient), (429, Limited), (477, Transient), (502, Transient)],
    ],
)
@pytest.mark.parametrize("body", [None, {}, [], {"message": 7, "errors": "x", "context": []}, {"errors": [1, {}]}])
def test_the_status_decides_whatever_the_body_is(status: int, kind: type[Exception], body: Any) -> None:
    failure = read(status, body)
    assert (type(failure), failure.status, str(failure)) == (kind, status, f"HubSpot answered {status}.")


def test_an_answer_that_is_good_is_no_failure() -> None:
    assert [read(status) for status in (200, 201, 204, 207)] == [None] * 4


def test_a_failure_says_what_hubspot_said_and_by_what_its_support_finds_it() -> None:
    details = [{"message": "7 is no phone."}, {"in": "phone"}]
    failure = read(400, {"message": "Invalid input.", "correlationId": "c-7", "errors": details})
    assert (str(failure), failure.reference) == ("Invalid input. 7 is no phone.", "c-7")


def test_a_conflict_names_the_one_that_is_there_where_it_is_told() -> None:
    assert read(409, {"message": "Contact already exists. Existing ID: 123"}).existing_id == "123"
    assert read(409, {"message": "Such a thing is there."}).existing_id is None


@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        ({"policyName": "TEN_SECONDLY_ROLLING"}, {"retry_after": "3"}, 3),
        ({}, {"retry_after": "Sun, 22 Nov 2026 10:00:30 GMT"}, 30),
        ({"policyName": "TEN_SECONDLY_ROLLING"}, {"retry_after": "soon"}, 10),
        ({"policyName": "SECONDLY"}, {}, 1),
        ({"message": "You have reached your secondly limit."}, {}, 1),
        ({"message": "You have reached your ten_secondly_rolling limit."}, {}, 10),
        ({"policyName": "DAILY"}, {}, 19 * 3600),
        (None, {}, 10),
    ],
)
def test_a_limit_ends_when_it_says_or_as_its_policy_has_it(body: Any, headers: dict[str, str], seconds: int) -> None:
    assert read(429, body, **headers).until == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"category": "VALIDATION_ERROR", "message": "x"}, Permanent),
        ({"category": "CONFLICT", "message": "Existing ID: 5"}, Conflict),
        ({"category": "OBJECT_NOT_FOUND"}, Missing),
        ({"category": "RATE_LIMITS"}, Transient),
        ({}, Permanent),
    ],
)
def test_a_fault_of_a_batch_is_what_its_category_says(fault: Mapping[str, Any], kind: type[Exception]) -> None:
    assert type(classify_fault(fault)) is kind


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("a;b", "a;b"),
        (True, "true"),
        (False, "false"),
        (12, "12"),
        (0.1, "0.1"),
        (2.0, "2"),
        (1e21, "1000000000000000000000"),
        (Decimal("1E+3"), "1000"),
        (Decimal("10.50"), "10.50"),
        (date(2026, 2, 3), "2026-02-03"),
        (datetime(2026, 2, 3, 4, 5, 6, 7000, tzinfo=UTC), "2026-02-03T04:05:06.007Z"),
        (["a", "b", 3], "a;b;3"),
        ([], ""),
        ({"b": 1, "a": [Decimal("1.5")]}, '{"a":[1.5],"b":1}'),
    ],
)
def test_every_value_is_a_text(value: Any, text: str) -> None:
    assert to_text(value) == text


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *[("30m", 1800), ("45 min", 2700), ("1h 30m", 5400), ("1h30", None), ("90s", 90), ("1.5 hours", 5400)],
        *[("90", 90), (90, 90), (Decimal("1.5"), 1.5), ("1:02:03", 3723), ("02:03", 123), ("soon", None), ("", None)],
        *[(None, None), (True, None), (-1, None), (10**12, None), ([], None), ("m", None)],
    ],
)
def test_a_duration_is_read_as_people_write_it(value: Any, seconds: float | None) -> None:
    assert parse_duration_ms(value) == (None if seconds is None else seconds * 1000)


def test_a_time_without_an_offset_is_in_utc() -> None:
    assert parse_time("2026-02-03") == datetime(2026, 2, 3, tzinfo=UTC)
    assert parse_time("2026-02-03T04:00:00") == datetime(2026, 2, 3, 4, tzinfo=UTC)
    assert parse_time(1_770_091_200_000) == datetime(2026, 2, 3, 4, tzinfo=UTC)
    assert parse_time("2026-02-03T04:00:00+02:00") == datetime(2026, 2, 3, 2, tzinfo=UTC)
    assert [parse_time(value) for value in ("soon", None, True)] == [None] * 3


def test_a_long_text_is_cut_between_its_characters() -> None:
    cut = to_rich_text("<" * 20_000)
    assert len(cut) <= 65_536 and cut == "&lt;" * (65_536 // 4)
    assert to_rich_text("x" + "<" * 20_000) == "x" + "&lt;" * 16_383


def choose(**chosen: Any) -> HubSpotSettings:
    return msgspec.convert(chosen, HubSpotSettings)


def test_what_is_chosen_stands_over_the_defaults() -> None:
    chosen = choose(fields={"contact": {"phone": None, "properties.mrr": "mrr", "email": "work_email"}})
    assert chosen.get_fields("contact") == {
        "email": "work_email",
        "givenName": "firstname",
        "familyName": "lastname",
        "lifecycleStage": "lifecyclestage",
        "properties.mrr": "mrr",
    }
    assert chosen.get_fields("company") == choose().get_fields("company")


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"apiVersion": "v3"}, "Invalid enum value 'v3'"),
        ({"fields": {"deal": {}}}, "unknown field `deal`"),
        ({"on_delete": "KEEP"}, "unknown field `on_delete`"),
    ],
)
def test_a_choice_that_cannot_be_made_says_why(chosen: Any, message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        choose(**chosen)


class Issuer:
    """Gives tokens, and says how it was asked for them."""

    def __init__(self) -> None:
        self.clock = FixedClock(NOW)
        self.forms: list[dict[str, list[str]]] = []
        self.stored: list[Any] = []
        self.elsewhere: Any = None
        self.answer: Callable[[], httpx2.Response] = lambda: self._give(expires_in=1800)

    def _give(self, **more: Any) -> httpx2.Response:
        return httpx2.Response(200, json={"access_token": f"token-{len(self.forms)}", "refresh_token": "r-2", **more})

    def _handle(self, request: httpx2.Request) -> httpx2.Response:
        assert (request.method, request.url.path) == ("POST", "/oauth/2026-09/token")
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        self.forms.append(parse_qs(request.content.decode()))
        return self.answer()

    async def _store(self, credentials: Any) -> None:
        self.stored.append(credentials)

    @asynccontextmanager
    async def _lock(self) -> AsyncIterator[Any]:
        yield self.elsewhere

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Tokens]:
        held = {"clientId": "c", "clientSecret": "s", "refreshToken": "r-1"}
        url = "https://api.hubapi.com/oauth/2026-09/token"
        async with open_client(5, httpx2.MockTransport(self._handle)) as client:
            yield Tokens(client, self.clock, held, url, store=self._store, lock=self._lock)


async def test_a_token_is_got_once_and_again_five_minutes_before_its_end() -> None:
    issuer = Issuer()
    async with issuer.open() as tokens:
        assert await tokens.get_headers() == await tokens.get_headers() == {"Authorization": "Bearer token-1"}
        issuer.clock.advance(1499)
        await tokens.get_headers()
        assert len(issuer.forms) == 1
        issuer.clock.advance(1)
        assert await tokens.get_headers() == {"Authorization": "Bearer token-2"}
    first, second = issuer.forms
    assert first == {
        "grant_type": ["refresh_token"],
        "client_id": ["c"],
        "client_secret": ["s"],
        "refresh_token": ["r-1"],
    }
    assert second["refresh_token"] == ["r-2"]
    assert issuer.stored[0] == {
        "clientId": "c",
        "clientSecret": "s",
        "refreshToken": "r-2",
        "accessToken": "token-1",
        "expiresAt": "2026-11-22T10:30:00Z",
    }
    assert read_credentials(issuer.stored[0]).access_token == "token-1"


async def test_one_that_another_process_has_got_is_taken() -> None:
    issuer = Issuer()
    issuer.elsewhere = {
        "clientId": "c",
        "clientSecret": "s",
        "refreshToken": "r-9",
        "accessToken": "token-9",
        "expiresAt": "2026-11-22T10:30:00Z",
    }
    async with issuer.open() as tokens:
        assert await tokens.get_headers() == {"Authorization": "Bearer token-9"}
    assert not issuer.forms


async def test_a_token_that_is_refused_is_got_anew_once() -> None:
    issuer = Issuer()
    async with issuer.open() as tokens:
        await tokens.get_headers()
        assert not tokens.refuse("token-1"), "it was got just now: another would be refused too"
        issuer.clock.advance(100)
        assert tokens.refuse("token-1")
        assert await tokens.get_headers() == {"Authorization": "Bearer token-2"}
        assert tokens.refuse("token-1"), "others had sent the old one as well"
        assert await tokens.get_headers() == {"Authorization": "Bearer token-2"}
        assert not tokens.refuse("token-2")


@pytest.mark.parametrize(
    ("status", "kind"), [(400, Unauthorized), (401, Unauthorized), (429, Transient), (503, Transient), (200, Transient)]
)
async def test_where_no_token_is_given_it_says_whether_to_wait(status: int, kind: type[Exception]) -> None:
    issuer = Issuer()
    issuer.answer = lambda: httpx2.Response(status, text="<html>")
    async with issuer.open() as tokens:
        with pytest.raises(kind):
            await tokens.get_headers()
    assert not issuer.stored


async def test_an_answer_with_a_token_that_is_packed_wrongly_is_a_passing_failure() -> None:
    issuer = Issuer()
    issuer.answer = lambda: httpx2.Response(200, content=b"no gzip", headers={"Content-Encoding": "gzip"})
    async with issuer.open() as tokens:
        with pytest.raises(Transient):
            await tokens.get_headers()


def test_credentials_are_never_shown() -> None:
    shown = repr(
        [
            read_credentials({"accessToken": "s3cret"}),
            read_credentials({"clientId": "c", "clientSecret": "s3cret", "refreshToken": "s3cret"}),
        ]
    )
    assert "s3cret" not in shown
    with pytest.raises(msgspec.ValidationError, match="unknown field `token`"):
        read_credentials({"accessToken": "x", "token": "s3cret"})
