"""Writes on records whose pending writes are known in part: no state of the overlay makes an answer 500, or endless.

The overlay loses what Redis forgets, what another process accepted, or what was not rebuilt at a start. So every verb
that names a record is tried on each committed beginning of a chain of merges, with each part of the overlay lost.
"""

from collections.abc import Awaitable, Callable, Iterator
from itertools import chain, combinations
from typing import Any

import httpx2
import pytest

from kith.engine.context.engine import Engine
from kith.model.workspaces import Workspace
from kith.pending.memory import MemoryPending
from kith.pending.snapshot import SharedSnapshot

Drain = Callable[[], Awaitable[None]]
Request = tuple[str, str, dict[str, Any] | None]
CHAIN = ("a", "b", "c")
LOSSES = list(chain.from_iterable(combinations(CHAIN, n) for n in range(len(CHAIN) + 1)))
COLLECTIONS = {"contact": "contacts", "company": "companies", "tag": "tags", "list": "lists", "property": "properties"}


def lose(monkeypatch: pytest.MonkeyPatch, lost: set[str]) -> None:
    """The overlay knows nothing of these records, by external id, and of these claims, by value."""
    for overlay in (MemoryPending, SharedSnapshot):
        for look_up in ("find_record", "find_holder"):
            known = getattr(overlay, look_up)

            def find(self: Any, workspace_id: int, key: Any, *, known: Any = known, **more: Any) -> Any:
                return (False, None) if key[1] in lost else known(self, workspace_id, key, **more)

            monkeypatch.setattr(overlay, look_up, find)


async def make(client: httpx2.AsyncClient, kind: str, **fields: Any) -> str:
    answer = await client.post(f"/crm/{COLLECTIONS[kind]}", json=fields)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["data"]["externalId"])


async def make_nouns(client: httpx2.AsyncClient) -> dict[str, str]:
    """One of each kind that a write on a contact may name beside it."""
    return {
        "company": await make(client, "company", name="Acme", domain="acme.example"),
        "tag": await make(client, "tag", key="vip"),
        "list": await make(client, "list", name="Some", entityType="CONTACT"),
        "property": await make(client, "property", key="size", entity="CONTACT", type="TEXT"),
        "other": await make(client, "contact", email="other@example.com"),
    }


def list_contact_writes(ref: str, nouns: dict[str, str]) -> Iterator[Request]:
    """Every verb on a contact, the ones that end it last."""
    path, company, tag = f"/crm/contacts/{ref}", nouns["company"], nouns["tag"]
    yield "PATCH", path, {"name": "Ada", "properties": {"size": "1"}}
    yield "PATCH", path, {"email": "next@example.com"}
    yield "PATCH", path, {"email": "a@example.com"}
    yield "POST", f"{path}/tags", {"tagId": tag}
    yield "DELETE", f"{path}/tags/{tag}", None
    yield "POST", f"{path}/companies", {"companyId": company}
    yield "PATCH", f"{path}/companies/{company}", {"role": "CEO"}
    yield "DELETE", f"{path}/companies/{company}", None
    yield "POST", f"{path}/activities", {"type": "NOTE", "content": "Called"}
    if ref.startswith("ctc_"):
        yield "POST", f"/crm/lists/{nouns['list']}/members", {"entityIds": [ref]}
        yield "POST", f"/crm/lists/{nouns['list']}/members/remove", {"entityIds": [ref]}
        yield "POST", f"/crm/contacts/{nouns['other']}/merge", {"loserId": ref}
    yield "POST", f"{path}/merge", {"loserId": nouns["other"]}
    yield "DELETE", path, None
    yield "POST", f"{path}/restore", None


def list_other_writes(nouns: dict[str, str]) -> Iterator[Request]:
    """Every verb on what a contact may be linked to."""
    for kind, body in (
        ("company", {"domain": "next.example"}),
        ("tag", {"name": "VIP"}),
        ("list", {"name": "Others"}),
        ("property", {"type": "NUMBER"}),
    ):
        path = f"/crm/{COLLECTIONS[kind]}/{nouns[kind]}"
        yield "PATCH", path, body
        yield "DELETE", path, None
    company = f"/crm/companies/{nouns['company']}"
    yield "POST", f"{company}/restore", None
    yield "POST", f"{company}/tags", {"tagId": nouns["tag"]}
    yield "DELETE", f"{company}/tags/{nouns['tag']}", None
    yield "PATCH", "/crm/companies/acme.example", {"name": "Acme"}
    yield "POST", "/crm/companies", {"domain": "acme.example"}
    yield "POST", "/crm/tags", {"key": "vip"}
    yield "POST", "/crm/properties", {"key": "size", "entity": "CONTACT", "type": "TEXT"}
    yield "POST", f"/crm/lists/{nouns['list']}/evaluate", None
    yield "PATCH", f"/crm/properties/{nouns['property']}", {"status": "ACTIVE"}


async def try_all(client: httpx2.AsyncClient, requests: Iterator[Request]) -> list[str]:
    """The operations that were accepted; none of the answers is a failure of the server."""
    accepted = []
    for method, path, body in requests:
        answer = await client.request(method, path, json=body)
        assert answer.status_code < 500, f"{method} {path} {body}: {answer.text}"
        if answer.status_code == 202:
            accepted.append(str(answer.json()["operation"]["id"]))
        assert (await client.get(path)).status_code < 500
    return accepted


async def check_ended(client: httpx2.AsyncClient, operations: list[str]) -> None:
    """Each was applied or rejected for a reason that a client can read."""
    for operation in operations:
        ended = (await client.get(f"/crm/operations/{operation}")).json()["data"]
        assert ended["status"] in ("APPLIED", "REJECTED")
        assert ended["error"] is None or ended["error"]["code"] != "INTERNAL", ended


@pytest.mark.parametrize("lost", LOSSES, ids="".join)
@pytest.mark.parametrize("committed", range(4), ids=["nothing", "creates", "one merge", "all"])
async def test_no_write_on_a_chain_of_merges_fails_whatever_is_lost(
    client: httpx2.AsyncClient, drain: Drain, monkeypatch: pytest.MonkeyPatch, committed: int, lost: tuple[str, ...]
) -> None:
    nouns = await make_nouns(client)
    contacts = {name: await make(client, "contact", name=name, email=f"{name}@example.com") for name in CHAIN}
    for step, (loser, winner) in enumerate([("", ""), ("a", "b"), ("b", "c")]):
        if step:
            answer = await client.post(f"/crm/contacts/{contacts[winner]}/merge", json={"loserId": contacts[loser]})
            assert answer.status_code == 202
        if step < committed:
            await drain()
    lose(monkeypatch, {key for name in lost for key in (contacts[name], f"{name}@example.com")})
    accepted = []
    for name, contact in contacts.items():
        for ref in (contact, f"{name}@example.com"):
            accepted += await try_all(client, list_contact_writes(ref, nouns))
    await drain()
    await check_ended(client, accepted)


@pytest.mark.parametrize("is_committed", [True, False])
async def test_no_write_on_any_record_fails_whose_pending_writes_are_lost(
    client: httpx2.AsyncClient, drain: Drain, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    nouns = await make_nouns(client)
    if is_committed:
        await drain()
    for kind in ("tag", "list", "company"):
        await client.delete(f"/crm/{COLLECTIONS[kind]}/{nouns[kind]}")
    await client.patch(f"/crm/properties/{nouns['property']}", json={"label": "Size"})
    lose(monkeypatch, {*nouns.values(), "vip", "acme.example"})
    requests = chain(list_other_writes(nouns), list_contact_writes(nouns["other"], nouns))
    accepted = await try_all(client, requests)
    await drain()
    await check_ended(client, accepted)


async def test_a_circle_of_merges_that_two_processes_accepted_ends(
    client: httpx2.AsyncClient, drain: Drain, monkeypatch: pytest.MonkeyPatch, engine: Engine, workspace: Workspace
) -> None:
    one, other = [await make(client, "contact", name=name) for name in CHAIN[:2]]
    await drain()
    assert (await client.post(f"/crm/contacts/{one}/merge", json={"loserId": other})).status_code == 202
    with monkeypatch.context() as blind:
        lose(blind, {one, other})
        assert (await client.post(f"/crm/contacts/{other}/merge", json={"loserId": one})).status_code == 202
    first, second = [(await _find_merge(engine, workspace, loser, n)) for n, loser in enumerate((other, one))]
    circle = {("contact", other): first, ("contact", one): second}
    for overlay in (MemoryPending, SharedSnapshot):

        def find(self: Any, workspace_id: int, identity: Any, *, known: Any = overlay.find_record, **more: Any) -> Any:
            return (True, circle[identity]) if identity in circle else known(self, workspace_id, identity, **more)

        monkeypatch.setattr(overlay, "find_record", find)
    nouns = await make_nouns(client)
    for contact in (one, other):
        assert (await client.get(f"/crm/contacts/{contact}")).status_code < 500
        await try_all(client, list_contact_writes(contact, nouns))
    monkeypatch.undo()
    await drain()
    shown = [(await client.get(f"/crm/contacts/{contact}")).json()["data"]["externalId"] for contact in (one, other)]
    assert shown[0] == shown[1]


async def _find_merge(engine: Engine, workspace: Workspace, loser: str, n: int) -> Any:
    """What the n-th merge is foreseen to make of its loser."""
    pending = engine.pending
    own = pending if isinstance(pending, MemoryPending) else pending._own  # type: ignore[attr-defined]
    foreseen = [one for one in own.list_records(workspace.id, ("contact", loser)).values() if one is not None]
    return next(one for one in foreseen if one.successor is not None)
