"""What HubSpot and Mailchimp tell: taken by their signature only, once, and by who owns the field."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlencode

import httpx2
import msgspec
import pytest
from structlog.testing import capture_logs

from kith.api import pace
from kith.clock import FixedClock
from kith.integrations import hooks
from kith.integrations.outbox import Outbox, StoredLink
from kith.integrations.port import Link
from kith.integrations.signatures import sign_hubspot, sign_mailchimp
from kith.model.workspaces import Workspace
from kith.rare_logs import RareLog
from kith.store.queries import load_queries
from tests.kit import SETTINGS, Kit, open_kit

SECRET = "the-apps-own"
PUBLIC = "https://crm.example.com"
_SQL = load_queries("integrations")
HUBSPOT = {
    "provider": "HUBSPOT",
    "name": "HubSpot",
    "credentials": {"accessToken": "x", "webhookSecret": SECRET},
    "settings": {"ownership": {"phone": "THEIRS", "familyName": "LATEST"}},
}
MAILCHIMP = {
    "provider": "MAILCHIMP",
    "name": "News",
    "credentials": {"apiKey": "x-us1", "webhookSecret": SECRET},
    "settings": {"listId": "abc", "ownership": {"familyName": "THEIRS", "email": "THEIRS"}},
}


class Desk:
    """A workspace with an integration, in which contact 1 is linked as 501 there."""

    def __init__(self, kit: Kit, client: httpx2.AsyncClient, clock: FixedClock, workspace: Workspace) -> None:
        self.kit, self.client, self.clock, self.workspace = kit, client, clock, workspace
        self.integration, self.path = "", ""
        self.key = (workspace.shard, workspace.id, 1)

    async def connect(self, body: Mapping[str, Any]) -> None:
        made = await self.client.post("/crm/integrations", json=body)
        assert made.status_code == 201, made.text
        self.integration, self.path = (made.json()["data"][name] for name in ("externalId", "webhookPath"))
        answer = await self.client.post(
            "/crm/contacts",
            json={"email": "a@example.com", "givenName": "Ada", "familyName": "Byron", "phone": "+12025550123"},
        )
        assert answer.status_code == 202
        await self.kit.drain()
        row = await self.kit.engine.database.fetchrow(_SQL["own_integration"], *self.key, "test", 30.0)
        assert row is not None
        outbox = Outbox(self.kit.engine.database, self.key, "test", row["epoch"])
        link = StoredLink(Link(external_id="501", hash="abc", details={}), "SYNCED")
        async with outbox.saving() as connection:
            await outbox.save_links(connection, "contact", {1: link}, self.clock.now())

    async def define(self, key: str, kind: str) -> None:
        options = {"options": [{"value": "a"}, {"value": "b"}]} if "SELECT" in kind else {}
        body = {"key": key, "entity": "CONTACT", "type": kind, **options}
        assert (await self.client.post("/crm/properties", json=body)).status_code == 202
        await self.kit.drain()

    async def tell_hubspot(self, *events: dict[str, Any], secret: str = SECRET, age_s: int = 0) -> httpx2.Response:
        told = [{"objectId": 501, "portalId": 7, "eventId": 1, "occurredAt": self.now_ms + 1, **one} for one in events]
        return await self.deliver_to_hubspot(json.dumps(told).encode(), secret, age_s)

    async def deliver_to_hubspot(self, body: bytes, secret: str = SECRET, age_s: int = 0) -> httpx2.Response:
        timestamp = self.now_ms - age_s * 1000
        headers = {
            "X-HubSpot-Signature-v3": sign_hubspot(secret, "POST", PUBLIC + self.path, body, timestamp),
            "X-HubSpot-Request-Timestamp": str(timestamp),
            "Content-Type": "application/json",
        }
        return await self.client.post(self.path, content=body, headers=headers)

    async def tell_mailchimp(self, secret: str = SECRET, **form: str) -> httpx2.Response:
        told = {"fired_at": f"{self.clock.now():%Y-%m-%d %H:%M:%S}", "data[list_id]": "abc", "data[id]": "x"}
        body = urlencode(
            {**told, **{name.replace("__", "data[") + "]" * ("__" in name): v for name, v in form.items()}}
        )
        signature = sign_mailchimp(secret, body.encode(), self.now_ms // 1000)
        headers = {
            "X-Mailchimp-Signature": signature,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return await self.client.post(self.path, content=body.encode(), headers=headers)

    @property
    def now_ms(self) -> int:
        return round(self.clock.now().timestamp() * 1000)

    async def get_contact(self) -> dict[str, Any]:
        await self.kit.drain()
        found: dict[str, Any] = (await self.client.get("/crm/contacts/1")).json()["data"]
        return found

    async def get_link(self) -> tuple[str, str, str]:
        row = await self.kit.engine.database.fetchrow("SELECT external_id, state, hash FROM sync_links")
        assert row is not None
        return tuple(row)

    async def list_events(self) -> list[dict[str, Any]]:
        await self.kit.drain()
        found: list[dict[str, Any]] = (await self.client.get("/crm/contacts/1/activities")).json()["data"]
        return found


@pytest.fixture
async def desk(database_url: str, clock: FixedClock) -> AsyncIterator[Desk]:
    settings = msgspec.structs.replace(SETTINGS, webhook_url=PUBLIC)
    async with open_kit(database_url, settings, clock) as kit:
        workspace = await kit.make_workspace()
        async with kit.open_client(await kit.make_key(workspace)) as client:
            yield Desk(kit, client, clock, workspace)


def change(name: str, value: str | None, **more: Any) -> dict[str, Any]:
    return {"subscriptionType": "contact.propertyChange", "propertyName": name, "propertyValue": value, **more}


async def test_a_field_that_is_theirs_follows_them(desk: Desk) -> None:
    await desk.connect(HUBSPOT)
    answer = await desk.tell_hubspot(change("phone", "+12025550199"), change("firstname", "Augusta"))
    assert (answer.status_code, answer.json()) == (200, {"taken": 1})
    contact = await desk.get_contact()
    assert (contact["phone"], contact["givenName"]) == ("+12025550199", "Ada")
    actor = await desk.kit.engine.database.fetchval("SELECT actor::text FROM events ORDER BY sequence DESC LIMIT 1")
    assert json.loads(actor) == {"kind": "integration", "id": "1", "name": "HubSpot"}


async def test_a_field_that_is_ours_is_sent_over_theirs(desk: Desk) -> None:
    await desk.connect(HUBSPOT)
    await desk.kit.engine.database.execute("DELETE FROM sync_jobs")
    await desk.tell_hubspot(change("firstname", "Augusta"))
    assert await desk.get_link() == ("501", "SYNCED", "")
    assert await desk.kit.engine.database.fetchval("SELECT count(*) FROM sync_jobs WHERE entity = 'contact'") == 1


async def test_of_a_shared_field_the_later_change_counts(desk: Desk) -> None:
    await desk.connect(HUBSPOT)
    await desk.tell_hubspot(change("lastname", "Early", occurredAt=desk.now_ms - 60_000))
    assert (await desk.get_contact())["familyName"] == "Byron"
    await desk.tell_hubspot(change("lastname", "King", occurredAt=desk.now_ms + 60_000))
    assert (await desk.get_contact())["familyName"] == "King"


async def test_what_we_have_sent_ourselves_changes_nothing(desk: Desk) -> None:
    await desk.connect(HUBSPOT)
    version = (await desk.get_contact())["version"]
    echo = change("phone", "+12025550199", changeSource="INTEGRATION")
    same = change("phone", "+12025550123")
    assert (await desk.tell_hubspot(echo, same)).json() == {"taken": 0}
    assert (await desk.get_contact())["version"] == version


async def test_who_is_deleted_there_is_not_sent_there_again(desk: Desk) -> None:
    await desk.connect(HUBSPOT)
    assert (await desk.tell_hubspot({"subscriptionType": "contact.deletion"})).json() == {"taken": 1}
    status = (await desk.client.get("/crm/contacts/1/sync-status")).json()["data"]["integrations"]
    assert [one["state"] for one in status] == ["REMOVED"]
    await desk.tell_hubspot({"subscriptionType": "contact.restore"})
    assert await desk.get_link() == ("501", "SYNCED", "")


async def test_who_asks_there_to_be_forgotten_is_deleted_here_and_never_sent(desk: Desk) -> None:
    await desk.connect(HUBSPOT)
    await desk.tell_hubspot({"subscriptionType": "contact.privacyDeletion"})
    assert (await desk.get_contact())["status"] == "DELETED"
    rows = await desk.kit.engine.database.fetch("SELECT email_hash, reason FROM sync_suppressions")
    assert len(rows) == 1 and b"example" not in rows[0]["email_hash"]


async def test_contacts_that_are_merged_there_become_one_link(desk: Desk) -> None:
    await desk.connect(HUBSPOT)
    merge = {
        "subscriptionType": "contact.merge",
        "primaryObjectId": 400,
        "mergedObjectIds": [400, 501],
        "newObjectId": 900,
    }
    await desk.tell_hubspot(merge)
    assert await desk.get_link() == ("900", "SYNCED", "")


@pytest.mark.parametrize(("secret", "age_s"), [("another", 0), (SECRET, 301)])
async def test_a_delivery_that_is_not_signed_or_too_old_is_refused(desk: Desk, secret: str, age_s: int) -> None:
    await desk.connect(HUBSPOT)
    refused = await desk.tell_hubspot(change("phone", "+12025550199"), secret=secret, age_s=age_s)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "INVALID_SIGNATURE")
    assert (await desk.get_contact())["phone"] == "+12025550123"


async def test_a_delivery_to_an_oauth_app_is_signed_with_its_client_secret(desk: Desk) -> None:
    credentials = {"clientId": "app", "clientSecret": SECRET, "refreshToken": "x"}
    await desk.connect({**HUBSPOT, "credentials": credentials})
    refused = await desk.tell_hubspot(change("phone", "+12025550199"), secret="another")
    assert refused.status_code == 401
    assert (await desk.tell_hubspot(change("phone", "+12025550199"))).json() == {"taken": 1}


async def test_a_path_to_nothing_says_no_more_than_a_wrong_signature(desk: Desk) -> None:
    await desk.connect(HUBSPOT)
    for path in ("/hooks/1/int_x", "/hooks/999999/int_x", f"/hooks/x/{desk.integration}", "/hooks/1/1"):
        refused = await desk.client.post(path, content=b"[]")
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "INVALID_SIGNATURE")
        assert (await desk.client.get(path)).status_code == 200


async def test_a_stranger_cannot_tell_which_integrations_there_are(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """One answer, behind the same checks: the signature is compared where there is nothing to compare it with too."""
    compared: list[str] = []
    verify = hooks.verify_hubspot

    def count(secret: str, *rest: Any, **more: Any) -> bool:
        compared.append(secret)
        return verify(secret, *rest, **more)

    monkeypatch.setattr(hooks, "verify_hubspot", count)
    answers = set()
    headers = {"X-HubSpot-Request-Timestamp": str(desk.now_ms), "X-HubSpot-Signature-v3": "x"}

    async def send(path: str) -> None:
        refused = await desk.client.post(path, content=b"[]", headers=headers)
        error = refused.json()["error"]
        answers.add((refused.status_code, error["code"], error["message"], str(error["details"])))

    await desk.connect(HUBSPOT)
    await send(desk.path)
    for path in ("/hooks/1/int_x", "/hooks/999999/int_x", f"/hooks/x/{desk.integration}", "/hooks/1/1"):
        await send(path)
    without = {**HUBSPOT, "name": "Without", "credentials": {"accessToken": "x"}}
    made = await desk.client.post("/crm/integrations", json=without)
    await send(made.json()["data"]["webhookPath"])
    assert len(answers) == 1
    assert len(compared) == 6


async def test_refused_deliveries_are_so_many_a_second_and_signed_ones_do_not_wait_for_them(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "BYTES_PER_S", 1)
    await desk.connect(HUBSPOT)
    assert (await desk.tell_hubspot(change("phone", "+12025550199"), secret="x")).status_code == 401
    for path in (desk.path, "/hooks/1/int_x", "/hooks/999999/int_x"):
        refused = await desk.client.post(path, content=b"[]")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    assert (await desk.tell_hubspot(change("phone", "+12025550199"))).json() == {"taken": 1}


async def test_deliveries_for_a_secret_that_cannot_be_read_are_logged_once_in_a_while(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "_UNREADABLE", RareLog("webhook_secret_unreadable", 1e9))
    await desk.connect(HUBSPOT)
    await desk.kit.engine.database.execute("UPDATE integrations SET credentials = 'x'")
    with capture_logs() as logs:
        for _ in range(3):
            assert (await desk.tell_hubspot(change("phone", "+12025550199"))).status_code == 401
    assert [(line["event"], line["log_level"]) for line in logs] == [("webhook_secret_unreadable", "error")]


async def test_what_is_no_delivery_is_a_clear_error(desk: Desk) -> None:
    await desk.connect(HUBSPOT)
    body = b"\xff not json"
    headers = {
        "X-HubSpot-Signature-v3": sign_hubspot(SECRET, "POST", PUBLIC + desk.path, body, desk.now_ms),
        "X-HubSpot-Request-Timestamp": str(desk.now_ms),
    }
    refused = await desk.client.post(desk.path, content=body, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "INVALID_REQUEST")


async def test_an_unsubscribe_stands_in_the_timeline_once(desk: Desk) -> None:
    await desk.connect(MAILCHIMP)
    form = {"type": "unsubscribe", "__action": "unsub", "__reason": "manual", "__email": "A@example.com"}
    for _ in range(3):
        answer = await desk.tell_mailchimp(**form)
        assert answer.status_code == 200, answer.text
    (event,) = await desk.list_events()
    assert (event["type"], event["module"], event["content"]) == ("CUSTOM_EVENT", "INTEGRATION", "Unsubscribed at News")
    assert event["properties"]["reason"] == "manual"


async def test_a_profile_and_an_email_follow_mailchimp_where_they_are_theirs(desk: Desk) -> None:
    await desk.connect(MAILCHIMP)
    await desk.tell_mailchimp(type="profile", __email="a@example.com", **{"data[merges][LNAME]": "Lovelace"})
    assert (await desk.get_contact())["familyName"] == "Lovelace"
    await desk.tell_mailchimp(type="upemail", __old_email="a@example.com", __new_email="ada@example.com")
    assert (await desk.get_contact())["email"] == "ada@example.com"


async def test_a_mailchimp_hook_with_another_secret_is_refused(desk: Desk) -> None:
    await desk.connect(MAILCHIMP)
    refused = await desk.tell_mailchimp(secret="another", type="profile", __email="a@example.com")
    assert refused.status_code == 401


@pytest.mark.parametrize("is_applied", [False, True])
@pytest.mark.parametrize("owner", ["LATEST", "THEIRS"])
async def test_the_later_of_two_deliveries_of_one_second_counts_and_one_that_comes_again_does_not(
    desk: Desk, owner: str, is_applied: bool
) -> None:
    await desk.connect({**MAILCHIMP, "settings": {"listId": "abc", "ownership": {"givenName": owner}}})
    desk.clock.advance(2)
    told = [{"__email": "a@example.com", "data[merges][FNAME]": name} for name in ("Augusta", "Annabella", "Byron")]
    for form, taken in ((told[0], 1), (told[1], 1), (told[1], 0), (told[0], 0), (told[2], 1), (told[1], 0)):
        assert (await desk.tell_mailchimp(type="profile", **form)).json() == {"taken": taken}
        if is_applied:
            await desk.kit.drain()
    assert (await desk.get_contact())["givenName"] == "Byron"
    desk.clock.advance(2)
    assert (await desk.tell_mailchimp(type="profile", **told[0])).json() == {"taken": 1}


async def test_who_was_deleted_at_mailchimp_and_subscribes_again_is_sent_there_again(desk: Desk) -> None:
    await desk.connect(MAILCHIMP)
    await desk.tell_mailchimp(type="unsubscribe", __action="delete", __email="a@example.com")
    assert await desk.get_link() == ("501", "REMOVED", "abc")
    await desk.tell_mailchimp(type="subscribe", __email="a@example.com")
    assert await desk.get_link() == ("501", "SYNCED", "")


LATEST = {
    **HUBSPOT,
    "settings": {
        "ownership": dict.fromkeys(("phone", "givenName", "familyName", "email", "properties.plan"), "LATEST"),
        "fields": {"contact": {"properties.plan": "plan"}},
    },
}


async def test_two_changes_of_one_delivery_both_count_where_the_later_change_counts(desk: Desk) -> None:
    await desk.define("plan", "TEXT")
    await desk.connect(LATEST)
    at = desk.now_ms
    desk.clock.advance(2)
    answer = await desk.tell_hubspot(
        change("firstname", "Augusta", occurredAt=at + 10),
        change("lastname", "King", occurredAt=at + 20),
        change("plan", "Pro", occurredAt=at + 30),
    )
    assert answer.json() == {"taken": 3}
    contact = await desk.get_contact()
    assert (contact["givenName"], contact["familyName"], contact["properties"]) == ("Augusta", "King", {"plan": "Pro"})


async def test_a_change_there_counts_against_the_last_change_of_that_field_here(desk: Desk) -> None:
    await desk.define("plan", "TEXT")
    await desk.connect(LATEST)
    there = desk.now_ms + 1000
    desk.clock.advance(5)
    await desk.client.patch("/crm/contacts/1", json={"phone": "+12025550177"})
    await desk.kit.drain()
    desk.clock.advance(5)
    assert (await desk.tell_hubspot(change("lastname", "King", occurredAt=there))).json() == {"taken": 1}
    assert (await desk.tell_hubspot(change("phone", "+12025550199", occurredAt=there))).json() == {"taken": 0}
    contact = await desk.get_contact()
    assert (contact["familyName"], contact["phone"]) == ("King", "+12025550177")


async def test_a_change_here_that_is_not_applied_yet_counts_as_well(desk: Desk) -> None:
    await desk.define("plan", "TEXT")
    await desk.connect(LATEST)
    there = desk.now_ms + 1000
    desk.clock.advance(5)
    await desk.client.patch("/crm/contacts/1", json={"familyName": "Milbanke"})
    assert (await desk.tell_hubspot(change("lastname", "King", occurredAt=there))).json() == {"taken": 0}
    assert (await desk.get_contact())["familyName"] == "Milbanke"


async def test_the_later_of_two_changes_there_counts_before_the_first_is_applied(desk: Desk) -> None:
    await desk.define("plan", "TEXT")
    await desk.connect(LATEST)
    at = desk.now_ms
    desk.clock.advance(2)
    await desk.tell_hubspot(change("lastname", "King", occurredAt=at + 10))
    await desk.tell_hubspot(change("lastname", "Lovelace", occurredAt=at + 20))
    assert (await desk.get_contact())["familyName"] == "Lovelace"


@pytest.mark.parametrize("owner", ["THEIRS", "LATEST"])
async def test_an_older_change_that_is_delivered_later_is_ignored(desk: Desk, owner: str) -> None:
    await desk.connect({**HUBSPOT, "settings": {"ownership": {"phone": owner}}})
    at = desk.now_ms
    desk.clock.advance(60)
    await desk.tell_hubspot(change("phone", "+12025550199", occurredAt=at + 2000))
    assert (await desk.tell_hubspot(change("phone", "+12025550111", occurredAt=at + 1000))).json() == {"taken": 0}
    assert (await desk.get_contact())["phone"] == "+12025550199"


async def test_an_older_change_is_ignored_also_behind_one_that_changed_nothing(desk: Desk) -> None:
    await desk.connect({**HUBSPOT, "settings": {"ownership": {"phone": "THEIRS"}}})
    at = desk.now_ms
    await desk.tell_hubspot(change("phone", "+12025550123", occurredAt=at + 2000))
    await desk.tell_hubspot(change("phone", "+12025550111", occurredAt=at + 1000))
    assert (await desk.get_contact())["phone"] == "+12025550123"


@pytest.mark.parametrize(
    ("kind", "told", "value"),
    [
        ("BOOLEAN", "true", True),
        ("BOOLEAN", "False", False),
        ("MULTI_SELECT", "a;b", ["a", "b"]),
        ("DATE", "1775779200000", "2026-04-10"),
        ("DATE", "2026-04-10", "2026-04-10"),
        ("DATETIME", "1775817000123", "2026-04-10T10:30:00.123Z"),
        ("DATETIME", "2026-04-10T12:30:00+02:00", "2026-04-10T10:30:00.000Z"),
        ("NUMBER", "49.90", 49.9),
        ("SELECT", "a", "a"),
        ("TEXT", "true", "true"),
    ],
)
async def test_values_of_properties_arrive_as_their_types_have_them(
    desk: Desk, kind: str, told: str, value: Any
) -> None:
    await desk.define("it", kind)
    settings = {"ownership": {"properties.it": "THEIRS"}, "fields": {"contact": {"properties.it": "it"}}}
    await desk.connect({**HUBSPOT, "settings": settings})
    assert (await desk.tell_hubspot(change("it", told))).json() == {"taken": 1}
    assert (await desk.get_contact())["properties"] == {"it": value}
    assert (await desk.tell_hubspot(change("it", told))).json() == {"taken": 0}
    assert (await desk.tell_hubspot(change("it", ""))).json() == {"taken": 1}
    assert (await desk.get_contact())["properties"] == {}


@pytest.mark.parametrize("quotes", ['"', ""])
async def test_a_number_that_hubspot_sends_keeps_its_digits(desk: Desk, quotes: str) -> None:
    digits = "12345678901234567890.123456789"
    await desk.define("it", "NUMBER")
    settings = {"ownership": {"properties.it": "THEIRS"}, "fields": {"contact": {"properties.it": "it"}}}
    await desk.connect({**HUBSPOT, "settings": settings})
    told = {**change("it", "DIGITS"), "objectId": 501, "portalId": 7, "occurredAt": desk.now_ms + 1}
    body = json.dumps([told]).replace('"DIGITS"', f"{quotes}{digits}{quotes}").encode()
    assert (await desk.deliver_to_hubspot(body)).json() == {"taken": 1}
    await desk.kit.drain()
    assert f'"it":{digits}' in (await desk.client.get("/crm/contacts/1")).text.replace(" ", "")
    assert (await desk.deliver_to_hubspot(body)).json() == {"taken": 0}


async def test_first_and_last_name_of_one_mailchimp_profile_both_arrive(desk: Desk) -> None:
    ownership = {"givenName": "LATEST", "familyName": "LATEST"}
    await desk.connect({**MAILCHIMP, "settings": {"listId": "abc", "ownership": ownership}})
    desk.clock.advance(2)
    form = {"data[email]": "a@example.com", "data[merges][FNAME]": "Augusta", "data[merges][LNAME]": "King"}
    assert (await desk.tell_mailchimp(type="profile", **form)).json() == {"taken": 2}
    contact = await desk.get_contact()
    assert (contact["givenName"], contact["familyName"]) == ("Augusta", "King")
