"""What goes wrong with the fake on purpose, in process and behind a socket, and what its log says of it."""

import httpx2
import pytest

from tools.fake_vendors.app import Fake
from tools.fake_vendors.faults import KINDS, Faults, Kind
from tools.fake_vendors.hubspot import PREFIX as HUBSPOT_PREFIX
from tools.fake_vendors.journal import Logged, most_at_once, most_within
from tools.fake_vendors.server import serving

DETAILS, CONTACTS = "/account-info/2026-03/details", "/crm/objects/2026-03/contacts"
CONTACT = {"properties": {"email": "a@b.co"}, "associations": []}


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("internal_error", 500),
        ("bad_gateway", 502),
        ("unavailable", 503),
        ("limited", 429),
        ("limited_bare", 429),
        ("limited_daily", 429),
        ("forbidden_bare", 403),
        ("unauthorized", 401),
    ],
)
async def test_a_scripted_fault_comes_once_and_without_effect(
    hubspot: httpx2.AsyncClient, mailchimp: httpx2.AsyncClient, fake: Fake, kind: Kind, status: int
) -> None:
    for client, path, good in ((hubspot, DETAILS, DETAILS), (mailchimp, "/ping", "/")):
        fake.fail_next(kind, when=lambda asked, path=path: asked.path == path)
        refused = await client.get(path)
        assert (refused.status_code, bool(refused.content)) == (status, not kind.endswith("_bare"))
        assert ("retry-after" in refused.headers) == (kind == "limited" or (kind, path) == ("limited_daily", "/ping"))
        assert (await client.get(good)).status_code == 200
    assert (fake.requests[0].fault, fake.requests[1].fault, fake.script.remaining) == (kind, None, 0)


async def test_an_answer_is_lost_before_or_after_the_effect(hubspot: httpx2.AsyncClient, fake: Fake) -> None:
    fake.fail_next("timeout_before")
    with pytest.raises(httpx2.ReadTimeout):
        await hubspot.post(CONTACTS, json=CONTACT)
    assert fake.hubspot.objects["contacts"] == {}
    fake.fail_next("timeout_after", when=lambda asked: asked.method == "POST")
    with pytest.raises(httpx2.ReadTimeout):
        await hubspot.post(CONTACTS, json=CONTACT)
    assert fake.hubspot.find_contact("a@b.co") is not None
    fake.fail_next("bad_gateway_after")
    page = await hubspot.post(CONTACTS, json={**CONTACT, "properties": {"email": "c@d.co"}})
    assert (page.status_code, page.headers["content-type"]) == (502, "text/html")
    assert fake.hubspot.find_contact("c@d.co") is not None
    assert [one.status for one in fake.list_requests("hubspot", "POST", CONTACTS)] == [None, None, 502]
    with pytest.raises(ValueError, match="no kind"):
        fake.fail_next("explosion")  # type: ignore[arg-type]


async def test_nothing_is_answered_while_it_is_down(hubspot: httpx2.AsyncClient, fake: Fake) -> None:
    fake.down = True
    assert (await hubspot.post(CONTACTS, json=CONTACT)).status_code == 503
    fake.down = False
    assert (await hubspot.post(CONTACTS, json=CONTACT)).status_code == 201


async def test_the_same_seed_gives_the_same_faults() -> None:
    chosen = [[Faults(0.5, 7).choose() for _ in range(1)] for _ in range(2)]
    assert chosen[0] == chosen[1]
    faults = Faults(0.05, 7)
    came = [kind for kind in (faults.choose() for _ in range(2000)) if kind is not None]
    assert 50 < len(came) < 150
    assert set(came) == set(KINDS) - {"bad_gateway_after", "limited_daily", "forbidden_bare", "unauthorized"}
    assert [Faults(0).choose() for _ in range(100)] == [None] * 100


async def test_behind_a_socket_a_lost_answer_is_a_broken_or_a_silent_connection() -> None:
    fake = Fake()
    headers = {"Authorization": f"Bearer {fake.hubspot.token}"}
    async with serving(fake) as url, httpx2.AsyncClient(base_url=url + HUBSPOT_PREFIX, headers=headers) as client:
        assert (await client.get(url + "/")).json()["hubspot"]["contacts"] == 0
        fake.fail_next("timeout_after")
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.post(CONTACTS, json=CONTACT)
        assert fake.hubspot.find_contact("a@b.co") is not None
        fake.hangs = True
        fake.fail_next("timeout_before")
        with pytest.raises(httpx2.ReadTimeout):
            await client.get(DETAILS, timeout=0.05)
        assert (await client.get(DETAILS)).status_code == 200


def test_the_most_in_a_time_and_at_once_are_counted() -> None:
    assert most_within([], 10) == 0
    assert most_within([0, 1, 9.9, 10, 10.5, 30], 10) == 4
    log = [
        Logged(service="hubspot", method="GET", path="/", query={}, body=None, arrived=start, ended=end)
        for start, end in ((0, 2), (1, 3), (2, 4), (2.5, None))
    ]
    assert most_at_once(log) == 3
    assert most_at_once([]) == 0


async def test_the_log_keeps_as_many_requests_as_it_is_told_to(hubspot: httpx2.AsyncClient, fake: Fake) -> None:
    fake.requests_kept = 2
    for _ in range(5):
        await hubspot.get(DETAILS)
    assert len(fake.requests) <= 4
    assert (await hubspot.get("http://vendors.example/")).json()["down"] is False
