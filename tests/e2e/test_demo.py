"""``kith demo`` beside a server at work."""

import json

import httpx2

from kith.cli.demo import TOGETHER
from tests.serving import Served

# More commands than go together.
CONTACTS = TOGETHER // 3


def test_a_workspace_is_filled_through_the_log_and_once(serve: Served) -> None:
    first = serve.run("demo", "--contacts", str(CONTACTS), "--json")
    assert first.returncode == 0, first.stderr
    filled = json.loads(first.stdout)
    assert filled["applied"] > 2 * CONTACTS and filled["present"] == filled["rejected"] == 0
    with httpx2.Client(base_url=serve.url, headers={"Authorization": f"Bearer {serve.key}"}) as client:

        def count() -> list[int]:
            paths = ("/crm/contacts", "/crm/companies", "/crm/tags", "/crm/lists", "/crm/properties?isSystem=false")
            return [client.get(path).json()["meta"]["total"] for path in paths]

        assert count() == [CONTACTS, CONTACTS // 12, 5, 2, 2]
        again = serve.run("demo", "--contacts", str(CONTACTS))
        assert again.returncode == 0, again.stderr
        assert count() == [CONTACTS, CONTACTS // 12, 5, 2, 2]
        assert "0 commands are applied, 0 rejected" in again.stdout
        more = serve.run("demo", "--contacts", str(CONTACTS), "--seed", "2")
        assert more.returncode == 0 and "a second" in more.stdout
        assert count() == [2 * CONTACTS, 2 * (CONTACTS // 12), 5, 2, 2]
        (row,) = client.get("/crm/contacts", params={"limit": 1}).json()["data"]
        assert row["email"] and row["name"] and row["properties"]["demo_plan"]
    wrong = serve.run("demo", "--workspace", "nowhere")
    assert wrong.returncode == 1 and "default" in wrong.stderr


def test_what_was_rejected_is_told_and_made_once_it_can_be(serve: Served) -> None:
    serve.run("workspaces", "create", "strict")
    body = {"entity": "CONTACT", "key": "tier", "type": "TEXT", "isRequired": True}
    key = serve.run("keys", "create", "--workspace", "strict", "--scope", "crm:admin").stdout.split()[-1]
    command = ("demo", "--workspace", "strict", "--contacts", "20")
    with httpx2.Client(
        base_url=serve.url, headers={"Authorization": f"Bearer {key}", "Prefer": "wait=10"}, timeout=30
    ) as client:
        made = client.post("/crm/properties", json=body)
        assert made.status_code == 201
        first = serve.run(*command)
        assert first.returncode == 1
        assert "MISSING_FIELD: " in first.stderr and "properties.tier" in first.stderr and "rejected" in first.stdout
        assert client.get("/crm/contacts").json()["meta"]["total"] == 0
        assert client.patch(made.headers["Location"], json={"isRequired": False}).status_code == 200
        again = serve.run(*command)
        assert again.returncode == 0, again.stderr
        assert client.get("/crm/contacts").json()["meta"]["total"] == 20
    dead = serve.run("dead-letters", "list", "--json")
    assert json.loads(dead.stdout)["data"] == []
