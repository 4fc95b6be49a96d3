"""The route table: what a handler's signature says, and what it may not leave open."""

from typing import Any

import msgspec
import pytest

from kith.api import routing
from kith.api.calls import AdminCall, OpenCall, ReadCall, WriteCall
from kith.api.responses import Answer
from kith.api.routing import Route, Router, route
from kith.errors import Exposed, InvalidRequest, NotFound


class Body(msgspec.Struct, forbid_unknown_fields=True):
    name: str


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> list[Route]:
    """A table of the test's own."""
    fresh: list[Route] = []
    monkeypatch.setattr(routing, "TABLE", fresh)
    return fresh


def make_router(table: list[Route]) -> Router:
    @route("GET", "/crm/things/search", tag="Things", kind="page")
    async def search_things(call: ReadCall) -> Answer: ...  # type: ignore[empty-body]

    @route("GET", "/crm/things/{thing_id}", tag="Things", kind="record")
    async def get_thing(call: ReadCall, thing_id: str) -> Answer: ...  # type: ignore[empty-body]

    @route("PUT", "/crm/things/{thing_id}/parts/{part_id}", tag="Things", kind="write")
    async def put_part(call: WriteCall, thing_id: str, part_id: str, body: Body) -> Answer:  # type: ignore[empty-body]
        """Put a part

        In its place.
        """

    return Router(table)


def find(router: Router, method: str, path: str) -> tuple[str, list[str]]:
    found, values = router.get_route(method, path, path.encode("latin-1"))
    return found.handler.__name__, values


def test_a_name_goes_before_a_parameter(table: list[Route]) -> None:
    router = make_router(table)
    assert find(router, "GET", "/crm/things/search") == ("search_things", [])
    assert find(router, "GET", "/crm/things/7") == ("get_thing", ["7"])
    assert find(router, "HEAD", "/crm/things/7") == ("get_thing", ["7"])


def test_parameters_are_decoded_after_the_path_is_cut(table: list[Route]) -> None:
    router = make_router(table)
    assert find(router, "PUT", "/crm/things/a%2Fb/parts/%C3%A9%20+") == ("put_part", ["a/b", "é +"])


@pytest.mark.parametrize(
    "path", ["/", "/crm", "/crm/things", "/crm/things/", "/crm/things/1/", "/crm//1", "//", "/crm/things/1/parts//"]
)
def test_a_path_that_is_not_there_is_not_found(table: list[Route], path: str) -> None:
    with pytest.raises(NotFound):
        find(make_router(table), "GET", path)


def test_a_method_that_is_not_there_is_told_the_others(table: list[Route]) -> None:
    with pytest.raises(Exposed) as refused:
        find(make_router(table), "DELETE", "/crm/things/1")
    assert (refused.value.code, refused.value.headers) == ("METHOD_NOT_ALLOWED", {"Allow": "GET, HEAD"})


def test_a_path_that_is_no_text_is_refused(table: list[Route]) -> None:
    with pytest.raises(InvalidRequest):
        find(make_router(table), "GET", "/crm/things/%ff")


def test_the_signature_and_the_docstring_describe_the_route(table: list[Route]) -> None:
    make_router(table)
    put_part = table[-1]
    assert (put_part.summary, put_part.description) == ("Put a part", "In its place.")
    assert (put_part.call, put_part.body, put_part.parameters) == (WriteCall, Body, ("thing_id", "part_id"))
    assert put_part.read_body(b'{"name":"a"}') == Body("a")


@pytest.mark.parametrize(
    ("call", "scope"), [(OpenCall, None), (ReadCall, "crm:read"), (WriteCall, "crm:write"), (AdminCall, "crm:admin")]
)
def test_the_type_of_a_call_is_its_permission(call: Any, scope: str | None) -> None:
    assert call.scope == scope


@pytest.mark.usefixtures("table")
def test_a_handler_that_does_not_fit_its_path_is_refused_at_import() -> None:
    async def handler(call: ReadCall, other_id: str) -> Answer: ...  # type: ignore[empty-body]

    with pytest.raises(AssertionError, match="other_id"):
        route("GET", "/crm/things/{thing_id}", tag="Things", kind="record")(handler)


@pytest.mark.usefixtures("table")
def test_a_path_under_crm_cannot_be_left_open() -> None:
    async def handler(call: OpenCall) -> Answer: ...  # type: ignore[empty-body]

    with pytest.raises(AssertionError, match="only paths under /crm"):
        route("GET", "/crm/things", tag="Things", kind="page")(handler)
