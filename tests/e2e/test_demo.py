"""``kith demo`` beside a server at work."""

import json

import httpx2

from tests.serving import Served

CONTACTS = 60


def test_a_workspace_is_filled_through_the_log_and_once(serve: Served) -> None:
    first = serve.run("demo", "--contacts", str(CONTACTS), "--json")
    assert first.returncode == 0, first.stderr
    filled = json.loads(first.stdout)
    assert filled["commands"] > 2 * CONTACTS
    with httpx2.Client(base_url=serve.url, headers={"Authorization": f"Bearer {serve.key}"}) as client:

        def count() -> list[int]:
            paths = ("/crm/contacts", "/crm/companies", "/crm/tags", "/crm/lists", "/crm/properties?isSystem=false")
            return [client.get(path).json()["meta"]["total"] for path in paths]

        assert count() == [CONTACTS, CONTACTS // 12, 5, 2, 2]
        again = serve.run("demo", "--contacts", str(CONTACTS))
        assert again.returncode == 0, again.stderr
        assert count() == [CONTACTS, CONTACTS // 12, 5, 2, 2]
        more = serve.run("demo", "--contacts", str(CONTACTS), "--seed", "2")
        assert more.returncode == 0 and "a second" in more.stdout
        assert count() == [2 * CONTACTS, 2 * (CONTACTS // 12), 5, 2, 2]
        (row,) = client.get("/crm/contacts", params={"limit": 1}).json()["data"]
        assert row["email"] and row["name"] and row["properties"]["demo_plan"]
    wrong = serve.run("demo", "--workspace", "nowhere")
    assert wrong.returncode == 1 and "default" in wrong.stderr
