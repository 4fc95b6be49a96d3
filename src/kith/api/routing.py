"""The route table: every endpoint with its permission, inputs and answers, read once from the handlers' signatures.

The router, the documentation and the tests all read this one table.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, get_type_hints
from urllib.parse import unquote

import msgspec

from kith.api.bodies import make_body_reader
from kith.api.calls import OpenCall, ReadCall, WriteCall
from kith.api.queries import make_query_reader
from kith.api.responses import Answer
from kith.errors import Exposed, InvalidRequest, NotFound

Handler = Callable[..., Awaitable[Answer]]
Kind = Literal["write", "record", "page", "search", "query", "rows", "evaluation", "operation", "account", "system"]


class NoBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a write that takes none: nothing, or an object without fields."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint. ``parameters`` are the names in its path, in order."""

    method: str
    path: str
    summary: str
    description: str
    tag: str
    handler: Handler
    call: type[OpenCall] | type[ReadCall] | type[WriteCall]
    parameters: tuple[str, ...]
    body: type[msgspec.Struct] | None
    query: type[msgspec.Struct] | None
    read_body: Callable[[bytes], Any]
    read_query: Callable[[bytes], Any]
    kind: Kind
    data: type[msgspec.Struct] | None
    creates: bool
    batch: bool
    errors: tuple[str, ...]
    example: Mapping[str, Any] | None
    content_type: str


TABLE: list[Route] = []


def route(
    method: str,
    path: str,
    *,
    tag: str,
    kind: Kind,
    data: type[msgspec.Struct] | None = None,
    creates: bool = False,
    batch: bool = False,
    errors: Sequence[str] = (),
    example: Mapping[str, Any] | None = None,
    content_type: str = "application/json",
) -> Callable[[Handler], Handler]:
    """Enter the decorated handler in the table.

    Its first parameter's type says which key it takes (see ``calls``); a parameter ``body`` or ``query`` is read
    from the JSON body or the query string into the struct that it is annotated with; the others are the path's.
    ``data`` is the shape of the answer's ``data``, ``errors`` the codes that only this endpoint has, ``example`` a
    body, or query parameters, that works as it stands.
    """

    def enter(handler: Handler) -> Handler:
        hints = get_type_hints(handler)
        names = list(inspect.signature(handler).parameters)
        call = hints[names[0]]
        summary, _, description = (inspect.getdoc(handler) or "").partition("\n\n")
        body, query = hints.get("body"), hints.get("query")
        TABLE.append(
            Route(
                method=method,
                path=path,
                summary=summary,
                description=description,
                tag=tag,
                handler=handler,
                call=call,
                parameters=tuple(part[1:-1] for part in path.split("/") if part.startswith("{")),
                body=body,
                query=query,
                read_body=make_body_reader(body or NoBody, optional=body is None),
                read_query=make_query_reader(query),
                kind=kind,
                data=data,
                creates=creates,
                batch=batch,
                errors=tuple(errors),
                example=example,
                content_type=content_type,
            )
        )
        check_route(TABLE[-1], names)
        return handler

    return enter


def check_route(entry: Route, names: Sequence[str]) -> None:
    """Refuse, at import, a handler that does not fit its path or leaves a path under /crm without a key."""
    inputs = [*entry.parameters, *(name for name in ("body", "query") if getattr(entry, name))]
    assert sorted(names[1:]) == sorted(inputs), f"{entry.method} {entry.path}: {names[1:]} is not {inputs}"
    assert (not issubclass(entry.call, OpenCall)) == is_guarded(entry.path), (
        f"{entry.path}: only paths under /crm take a key"
    )


def is_guarded(path: str) -> bool:
    """Whether a path needs a key before anything else is said about it."""
    return path.startswith("/crm") and path[4:5] in ("", "/")


class Node:
    """A place in the tree of paths: what may follow, and what is there by method."""

    __slots__ = ("any", "named", "routes")

    def __init__(self) -> None:
        self.named: dict[str, Node] = {}
        self.any: Node | None = None
        self.routes: dict[str, Route] = {}


class Router:
    """Finds the route of a method and path. Names go before parameters: ``search`` is never an id."""

    def __init__(self, table: Sequence[Route]) -> None:
        self._root = Node()
        self._fixed: dict[tuple[str, str], Route] = {}
        for entry in table:
            node = self._root
            for part in entry.path.split("/")[1:]:
                if part.startswith("{"):
                    node.any = node.any or Node()
                    node = node.any
                else:
                    node = node.named.setdefault(part, Node())
            assert entry.method not in node.routes, f"{entry.method} {entry.path} is there twice"
            node.routes[entry.method] = entry
            if not entry.parameters:
                self._fixed[entry.method, entry.path] = entry

    def get_route(self, method: str, path: str, raw_path: bytes) -> tuple[Route, list[str]]:
        """The route and its path parameters, decoded. Raises NOT_FOUND or METHOD_NOT_ALLOWED (with Allow)."""
        fixed = self._fixed.get((method, path))
        if fixed is not None:
            return fixed, []
        values: list[str] = []
        node: Node | None = self._root
        for part in raw_path.decode("latin-1").split("/")[1:]:
            assert node is not None
            name = to_text(part)
            following = node.named.get(name)
            if following is None and node.any is not None and name:
                following = node.any
                values.append(name)
            if following is None:
                raise NotFound(f"There is no path {path[:200]}.")
            node = following
        assert node is not None
        found = node.routes.get("GET" if method == "HEAD" else method)
        if found is None:
            raise make_refusal(node, method, path)
        return found, values


def make_refusal(node: Node, method: str, path: str) -> Exposed:
    if not node.routes:
        return NotFound(f"There is no path {path[:200]}.")
    allowed = ", ".join(sorted({*node.routes, *(["HEAD"] if "GET" in node.routes else [])}))
    return Exposed(
        "METHOD_NOT_ALLOWED",
        f"{path[:200]} does not take {method[:20]}. It takes {allowed}.",
        headers={"Allow": allowed},
    )


def to_text(part: str) -> str:
    """A path segment, percent-decoded. Raises 400 for what is not UTF-8."""
    try:
        return unquote(part.encode("latin-1").decode(), errors="strict") if "%" in part or not part.isascii() else part
    except UnicodeDecodeError:
        raise InvalidRequest("The path is not UTF-8.") from None
