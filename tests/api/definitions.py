"""What the tests of properties share: a definition, and short ways to make and read some."""

from typing import Any

import httpx2

MRR = {
    "key": "mrr",
    "entity": "CONTACT",
    "label": "Monthly Revenue",
    "type": "NUMBER",
    "group": "CUSTOM",
    "description": "Monthly recurring revenue in USD",
    "isRequired": False,
}


async def read(client: httpx2.AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(f"/crm/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def find_code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def list_fields(answer: httpx2.Response) -> list[str]:
    return [fault["field"] for fault in answer.json()["error"]["details"]["fields"]]


async def define(client: httpx2.AsyncClient, key: str, type_: str, **more: Any) -> httpx2.Response:
    body = {"entity": "CONTACT", "key": key, "type": type_} | more
    answer = await client.post("/crm/properties", json=body)
    assert answer.status_code == 202, answer.text
    return answer
