"""The OpenAPI document promises; here its promises are kept: what it shows is sent, what comes back is compared."""

import re
from collections.abc import Awaitable, Callable
from fnmatch import fnmatch
from functools import partial
from typing import Any

import httpx2
import pytest

from kith.api.calls import HookCall, OpenCall, WriteCall
from kith.api.openapi import HEADERS, make_document
from kith.api.routes import TABLE
from kith.api.routing import Route
from kith.errors import CODES
from kith.integrations.http import open_client
from tests.kit import Kit
from tools.fake_vendors.app import Fake
from tools.fake_vendors.transport import FakeTransport

Json = dict[str, Any]
Drain = Callable[[], Awaitable[None]]

FILTER = {"logic": "AND", "conditions": [{"field": "name", "operator": "is_null"}]}
DOCUMENT = make_document(TABLE)
SAMPLES = {
    "contact_id": "1",
    "company_id": "1",
    "tag_id": "1",
    "activity_id": "1",
    "list_id": "1",
    "property_id": "1000",
    "integration_id": "1",
    "workspace_number": "1",
    "operation_id": "",
    "asset": "swagger-ui.css",
}
EVERYWHERE = {
    "vary",
    "content-type",
    "content-length",
    "x-content-type-options",
    "cache-control",
    "content-security-policy",
}

by_name = pytest.mark.parametrize("entry", TABLE, ids=lambda entry: f"{entry.method} {entry.path}")


def find_operation(entry: Route) -> Json:
    return DOCUMENT["paths"][entry.path][entry.method.lower()]


def list_kept_parameters(operation: Json) -> dict[str, Any]:
    return {parameter["name"]: parameter["example"] for parameter in operation["parameters"] if "example" in parameter}


def check_schema(value: Any, schema: Json, place: str = "$") -> None:
    """As much of JSON Schema as the document uses; strict about members that it does not name."""
    if "$ref" in schema:
        check_schema(value, DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]], place)
        return
    if "anyOf" in schema:
        assert any(fits(value, option, place) for option in schema["anyOf"]), f"{place}: {value!r} is none of {schema}"
        return
    if "enum" in schema:
        assert value in schema["enum"], place
    if "const" in schema:
        assert value == schema["const"], place
    kind = schema.get("type")
    if kind == "object":
        assert isinstance(value, dict), place
        assert set(schema.get("required", ())) <= value.keys(), place
        if "properties" in schema:
            assert value.keys() <= schema["properties"].keys(), f"{place}: {value.keys() - schema['properties'].keys()}"
            for name, member in value.items():
                check_schema(member, schema["properties"][name], f"{place}.{name}")
    elif kind == "array":
        assert isinstance(value, list), place
        for index, member in enumerate(value):
            check_schema(member, schema.get("items", {}), f"{place}[{index}]")
    elif kind is not None:
        python = {"string": str, "integer": int, "boolean": bool, "null": type(None), "number": (int, float)}[kind]
        assert isinstance(value, python), f"{place}: {value!r} is no {kind}"


def fits(value: Any, schema: Json, place: str) -> bool:
    try:
        check_schema(value, schema, place)
    except AssertionError:
        return False
    return True


def check_answer(answer: httpx2.Response, entry: Route) -> None:
    responses = find_operation(entry)["responses"]
    assert str(answer.status_code) in responses, f"{answer.status_code} is not documented: {answer.text[:300]}"
    response = responses[str(answer.status_code)]
    documented = {name.lower() for name in response["headers"]}
    assert set(answer.headers) - EVERYWHERE <= documented, set(answer.headers) - EVERYWHERE - documented
    (media_type,) = response["content"]
    assert fnmatch(answer.headers["content-type"].partition(";")[0], media_type)
    if media_type == "application/json":
        check_schema(answer.json(), response["content"][media_type]["schema"])
    if answer.status_code >= 400 and "error" in answer.json():
        code = answer.json()["error"]["code"]
        assert code in response["content"][media_type]["examples"], f"{code} is not documented"


@pytest.fixture
async def paths(client: httpx2.AsyncClient, drain: Drain, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What to put for the parameters of paths. There are what examples name: two contacts, five companies and tags."""
    for n in range(1, 6):
        await client.post("/crm/companies", json={"name": f"Company {n}", "spend": n / 4})
        await client.post("/crm/tags", json={"key": f"tag-{n}"})
    await client.post("/crm/contacts", json={"name": "Someone"})
    created = await client.post("/crm/contacts", json={"name": "Someone else"})
    await drain()
    await client.post("/crm/contacts/1/companies", json={"companyId": 1})
    for path in ("/crm/contacts/1", "/crm/companies/1"):
        await client.post(f"{path}/tags", json={"tagId": 1})
    await client.post("/crm/contacts/1/activities", json={"type": "NOTE"})
    await client.post("/crm/lists", json={"name": "Some", "entityType": "CONTACT"})
    await client.post("/crm/properties", json={"key": "some", "entity": "CONTACT", "type": "TEXT"})
    fake = Fake()
    monkeypatch.setattr(
        "kith.integrations.connection_test.open_client", partial(open_client, transport=FakeTransport(fake))
    )
    integration = {"provider": "HUBSPOT", "name": "Some", "credentials": {"accessToken": fake.hubspot.token}}
    await client.post("/crm/integrations", json=integration)
    await drain()
    return SAMPLES | {"operation_id": created.json()["operation"]["id"]}


@by_name
async def test_each_example_works_as_it_stands(
    client: httpx2.AsyncClient, drain: Drain, paths: dict[str, str], entry: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kith.api.routes.lists.EVALUATION_WAIT_S", 0)
    if entry.path.endswith("/restore"):
        await client.delete(entry.path.removesuffix("/restore").format(**paths))
        await drain()
    if entry.path.endswith("/evaluate"):
        body = {"name": "x", "entityType": "CONTACT", "isDynamic": True, "filterCriteria": FILTER}
        made = await client.post("/crm/lists", json=body)
        await drain()
        paths |= {"list_id": made.json()["data"]["externalId"]}
    operation = find_operation(entry)
    path = entry.path.format(**paths)
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    assert (entry.body is None) == (content == {})
    body = {"json": content["example"]} if content else {}
    answer = await client.request(entry.method, path, params=list_kept_parameters(operation), **body)
    status = 202 if issubclass(entry.call, WriteCall) else 200
    if entry.kind == "account":
        status = 201 if entry.creates else 200
    if entry.call is HookCall and entry.method == "POST":
        status = 401  # an example has no signature
    assert answer.status_code == status, answer.text
    check_answer(answer, entry)


@pytest.mark.parametrize(
    "asked",
    [
        {"select": ["email"]},
        {"entity": ["contact", "company"], "count": "exact"},
        {"aggregate": [{"fn": "count"}], "groupBy": ["status"]},
        {"explain": True},
    ],
)
@pytest.mark.usefixtures("paths")
async def test_each_form_of_a_query_answers_as_documented(client: httpx2.AsyncClient, asked: Json) -> None:
    (entry,) = [entry for entry in TABLE if entry.path == "/crm/query"]
    answer = await client.post("/crm/query", json={"entity": "contact"} | asked)
    assert answer.status_code == 200, answer.text
    check_answer(answer, entry)


@pytest.mark.usefixtures("living_writer")
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/crm/contacts", 201),
        ("PATCH", "/crm/contacts/{contact_id}", 200),
        ("DELETE", "/crm/contacts/{contact_id}", 200),
        ("POST", "/crm/contacts/{contact_id}/restore", 200),
    ],
)
async def test_each_answer_that_was_waited_for_is_as_documented(
    client: httpx2.AsyncClient, method: str, path: str, status: int
) -> None:
    (entry,) = [entry for entry in TABLE if (entry.method, entry.path) == (method, path)]
    location = (await client.post("/crm/contacts", json={"name": "Someone"}, headers={"Prefer": "wait=10"})).headers[
        "location"
    ]
    if path.endswith("/restore"):
        await client.delete(location, headers={"Prefer": "wait=10"})
    body = {"json": entry.example} if entry.example else {}
    path = path.format(contact_id=location.rpartition("/")[2])
    for _ in range(2):
        headers = {"Prefer": "wait=10", "Idempotency-Key": "k"}
        answer = await client.request(method, path, headers=headers, **body)
        assert answer.status_code == status, answer.text
        check_answer(answer, entry)


@by_name
async def test_each_refusal_is_documented(
    kit: Kit, client: httpx2.AsyncClient, paths: dict[str, str], entry: Route
) -> None:
    if issubclass(entry.call, OpenCall):
        return
    bad_id, unknown_id = (
        entry.path.format(**(dict.fromkeys(SAMPLES, one) | {"operation_id": two}))
        for one, two in (("x", "x"), ("9", "op_" + "0" * 26))
    )
    path = entry.path.format(**paths)
    writes = issubclass(entry.call, WriteCall)
    send = {"json": entry.example} if writes and entry.example else {}
    tries = [
        client.request(entry.method, bad_id, **send),
        client.request(entry.method, unknown_id, **send),
        client.request(entry.method, path + "?nonsense=1", **send),
        client.request(entry.method, path, headers={"X-Read-After": "x"}, **send),
        client.request(entry.method, path, headers={"If-Match": "x"}, **send),
        client.request(entry.method, path, headers={"If-Match": '"77"'}, **send),
        client.request(entry.method, path, headers={"Idempotency-Key": ""}, **send),
        client.request(entry.method, path, content=b"{", headers={}),
        client.request(entry.method, path, content=b"x", headers={"Content-Type": "text/plain"}),
        client.request(entry.method, path, content=b'{"nmae":1}'),
        client.request(entry.method, path, content=b"x" * 2_000_000),
    ]
    async with (
        kit.open_client() as stranger,
        kit.open_client("kith_srv_" + "a" * 43) as impostor,
        kit.open_client(await kit.make_key(await kit.make_workspace(), [])) as powerless,
    ):
        tries += [each.request(entry.method, path, **send) for each in (stranger, impostor, powerless)]
        for sent in tries:
            check_answer(await sent, entry)


def test_the_document_is_openapi_and_refers_to_nothing_that_is_missing() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    components = DOCUMENT["components"]
    for kind, name in set(re.findall(r"#/components/(\w+)/([\w-]+)", str(DOCUMENT))):
        assert name in components[kind], f"{kind} {name}"
    names = [operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))


def test_every_route_is_described_with_its_inputs_and_codes() -> None:
    assert {(entry.method.lower(), entry.path) for entry in TABLE} == {
        (method, path) for path, methods in DOCUMENT["paths"].items() for method in methods
    }
    for entry in TABLE:
        operation = find_operation(entry)
        assert operation["summary"], entry.path
        assert "\n" not in operation["summary"], entry.path
        in_path = [parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"]
        assert in_path == re.findall(r"{(\w+)}", entry.path)
        for status, response in operation["responses"].items():
            for code in response["content"].get("application/json", {}).get("examples", {}):
                assert CODES[code][0] == int(status)


def test_every_header_of_the_document_is_used_by_some_answer() -> None:
    used = {
        name for entry in TABLE for answer in find_operation(entry)["responses"].values() for name in answer["headers"]
    }
    # A wrong method is no operation of the document, but its answer has a header.
    assert set(HEADERS) - used <= {"Allow"}


def test_only_paths_under_crm_need_a_key() -> None:
    for entry in TABLE:
        assert (find_operation(entry).get("security") == []) == (not entry.path.startswith("/crm")), entry.path


async def test_the_page_needs_nothing_from_elsewhere(kit: Kit) -> None:
    async with kit.open_client() as stranger:
        page = await stranger.get("/docs")
        assert "https://" not in page.text
        assert "http://" not in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        for asset in re.findall(r'(?:src|href)="([^"]+)"', page.text):
            answer = await stranger.get(asset)
            assert (answer.status_code, bool(answer.content)) == (200, True), asset
        script = await stranger.get("/docs/swagger-ui-bundle.js")
        assert script.headers["content-type"].startswith("text/javascript")
        assert (await stranger.get("/openapi.json")).json() == DOCUMENT
