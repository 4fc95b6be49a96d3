"""Dynamic lists whose filters name what is deleted: they are BROKEN, say why, and keep their members."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from tests.api.definitions import define, read

Drain = Callable[[], Awaitable[None]]
Json = dict[str, Any]


def where(field: str, operator: str, value: Any) -> Json:
    return {"logic": "AND", "conditions": [{"field": field, "operator": operator, "value": value}]}


async def make(client: httpx2.AsyncClient, kind: str, **fields: Any) -> str:
    made = await client.post(f"/crm/{kind}", json=fields)
    assert made.status_code == 202, made.text
    return str(made.json()["data"]["externalId"])


async def make_dynamic(client: httpx2.AsyncClient, criteria: Json, entity: str = "CONTACT") -> str:
    made = await make(client, "lists", name="Some", entityType=entity, isDynamic=True, filterCriteria=criteria)
    return f"lists/{made}"


async def list_members(client: httpx2.AsyncClient, path: str) -> list[int]:
    answer = await client.get(f"/crm/{path}/members", params={"limit": 1000})
    return sorted(row["id"] for row in answer.json()["data"])


async def populate(client: httpx2.AsyncClient, drain: Drain) -> tuple[str, str]:
    """Four contacts, each with a company of its own. Two of each carry a tag; two contacts are on a static list."""
    tag = await make(client, "tags", key="vip")
    await make(client, "tags", key="other")
    static = await make(client, "lists", name="Static", entityType="CONTACT")
    for n in range(1, 5):
        contact = await make(client, "contacts", name=f"{n}")
        company = await make(client, "companies", name=f"{n}")
        await client.post(f"/crm/contacts/{contact}/companies", json={"companyId": company})
        if n <= 2:
            await client.post(f"/crm/contacts/{contact}/tags", json={"tagId": tag})
            await client.post(f"/crm/companies/{company}/tags", json={"tagId": tag})
            await client.post(f"/crm/lists/{static}/members", json={"entityIds": [contact]})
    await drain()
    return tag, static


async def check_broken(client: httpx2.AsyncClient, path: str, gone: str, members: list[int]) -> None:
    told = await read(client, path)
    assert (told["status"], told["memberCount"]) == ("BROKEN", len(members))
    assert gone in told["reason"]
    assert await list_members(client, path) == members


FILTERS = [
    ("CONTACT", "tags", "has_any", [1, 2]),
    ("CONTACT", "tags", "has_none", [3, 4]),
    ("CONTACT", "company.tags", "has_any", [1, 2]),
    ("CONTACT", "company.tags", "has_none", [3, 4]),
    ("COMPANY", "tags", "has_none", [3, 4]),
    ("COMPANY", "contact.tags", "has_any", [1, 2]),
]


async def test_a_list_whose_tag_is_deleted_is_broken_and_keeps_its_members(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    tag, _ = await populate(client, drain)
    paths = [await make_dynamic(client, where(field, op, ["vip"]), entity) for entity, field, op, _ in FILTERS]
    other = await make_dynamic(client, where("tags", "has_none", ["other"]))
    untagged = await make_dynamic(client, {"logic": "AND", "conditions": [{"field": "tags", "operator": "is_null"}]})
    await drain()
    for path, (*_, members) in zip(paths, FILTERS, strict=True):
        assert await list_members(client, path) == members
    await client.delete(f"/crm/tags/{tag}")
    await drain()
    for path, (*_, members) in zip(paths, FILTERS, strict=True):
        await check_broken(client, path, "the tag vip", members)
    assert (await read(client, other))["status"] == "ACTIVE"
    assert await list_members(client, untagged) == [1, 2, 3, 4], "what does not name the tag follows"
    # Neither new records nor changes, nor a definition, nor a tag with the same key move it.
    await make(client, "contacts", name="5")
    await client.patch("/crm/contacts/1", json={"name": "one"})
    await client.patch("/crm/companies/1", json={"name": "one"})
    await define(client, "mrr", "NUMBER")
    again = await make(client, "tags", key="vip")
    await drain()
    await client.post("/crm/contacts/4/tags", json={"tagId": again})
    await drain()
    for path, (*_, members) in zip(paths, FILTERS, strict=True):
        await check_broken(client, path, "the tag vip", members)
    assert await list_members(client, other) == [1, 2, 3, 4, 5]
    refused = await client.post(f"/crm/{paths[0]}/evaluate")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize("by", ["number", "external id"])
@pytest.mark.parametrize(("operator", "members"), [("has_none", [3, 4]), ("has_any", [1, 2])])
async def test_a_list_whose_static_list_is_deleted_is_broken_until_its_filter_is_set(
    client: httpx2.AsyncClient, drain: Drain, by: str, operator: str, members: list[int]
) -> None:
    _, static = await populate(client, drain)
    name = static if by == "external id" else str((await read(client, f"lists/{static}"))["id"])
    path = await make_dynamic(client, where("lists", operator, [name]))
    await drain()
    assert await list_members(client, path) == members
    await client.delete(f"/crm/lists/{static}")
    await make(client, "contacts", name="5")
    await drain()
    await check_broken(client, path, f"the list {name}", members)
    refused = await client.patch(f"/crm/{path}", json={"filterCriteria": where("lists", operator, [name])})
    assert refused.status_code == 400
    await client.patch(f"/crm/{path}", json={"filterCriteria": where("name", "eq", "5")})
    await drain()
    assert ((await read(client, path))["status"], await list_members(client, path)) == ("ACTIVE", [5])


async def test_a_list_that_is_made_or_changed_while_its_tag_goes_is_broken(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    tag, _ = await populate(client, drain)
    changed = await make_dynamic(client, where("name", "eq", "1"))
    await drain()
    await client.delete(f"/crm/tags/{tag}")
    made = await make_dynamic(client, where("tags", "has_none", ["vip"]))
    await client.patch(f"/crm/{changed}", json={"filterCriteria": where("tags", "has_none", ["vip"])})
    await drain()
    await check_broken(client, made, "the tag vip", [])
    await check_broken(client, changed, "the tag vip", [1])


async def test_a_list_whose_property_and_tag_are_gone_stays_broken_when_one_is_back(
    client: httpx2.AsyncClient, drain: Drain
) -> None:
    tag, _ = await populate(client, drain)
    mrr = (await define(client, "mrr", "NUMBER")).headers["location"]
    await drain()
    criteria = where("tags", "has_none", ["vip"])
    criteria["conditions"].append({"field": "mrr", "operator": "is_null"})
    path = await make_dynamic(client, criteria)
    await drain()
    await client.delete(mrr)
    await drain()
    await check_broken(client, path, "mrr", [3, 4])
    await client.delete(f"/crm/tags/{tag}")
    await client.patch(mrr, json={"status": "ACTIVE"})
    await drain()
    await check_broken(client, path, "the tag vip", [3, 4])
