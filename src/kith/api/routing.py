"""The route table: every endpoint with its permission, inputs and answers, read once from the handlers' signatures.

The router, the documentation and the tests all read this one table.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from difflib import get_close_matches
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
    kept: bool


TABLE: list[Route] = []
# What other APIs call their verbs: never somebody's id, whether or not there is such a path here.
NEVER_IDS = frozenset(("batch", "bulk", "count", "export", "filter", "import", "query", "search", "upsert"))
# Letters are a name; an id has one of these.
ID_SIGNS = "0123456789_@."
# What paths of other APIs have in front, or behind /crm.
FOREIGN = re.compile(r"api|rest|public|v[0-9]+(\.[0-9]+)?", re.IGNORECASE)
SUGGESTED_CHARACTERS_MAX = 200
NEAR = 0.66


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
    kept: bool = False,
) -> Callable[[Handler], Handler]:
    """Enter the decorated handler in the table.

    Its first parameter's type says which key it takes (see ``calls``); a parameter ``body`` or ``query`` is read
    from the JSON body or the query string into the struct that it is annotated with; the others are the path's.
    ``data`` is the shape of the answer's ``data``, ``errors`` the codes that only this endpoint has, ``example`` a
    body, or query parameters, that works as it stands. ``kept``: the answer is the same for everybody for a moment.
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
                kept=kept,
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

    def list_methods(self, path: str, scope: Mapping[str, Any]) -> list[str]:
        """The methods of a path. Raises NOT_FOUND."""
        node, _ = self._find_node(path, scope.get("raw_path") or path.encode())
        if not node.routes:
            raise self._make_not_found(path)
        return [*node.routes, *(["HEAD"] if "GET" in node.routes else [])]

    def get_route(self, method: str, path: str, raw_path: bytes) -> tuple[Route, list[str]]:
        """The route and its path parameters, decoded. Raises NOT_FOUND or METHOD_NOT_ALLOWED (with Allow)."""
        fixed = self._fixed.get((method, path))
        if fixed is not None:
            return fixed, []
        node, values = self._find_node(path, raw_path)
        found = node.routes.get("GET" if method == "HEAD" else method)
        if found is None:
            raise make_refusal(node, method, path) if node.routes else self._make_not_found(path)
        return found, values

    def _find_node(self, path: str, raw_path: bytes) -> tuple[Node, list[str]]:
        """The place of a path, and its parameters. Raises NOT_FOUND."""
        values: list[str] = []
        node = self._root
        for part in raw_path.decode("latin-1").split("/")[1:]:
            name = to_text(part)
            following = node.named.get(name)
            if following is None and node.any is not None and name and name not in NEVER_IDS:
                following = node.any
                values.append(name)
            if following is None:
                raise self._make_not_found(path)
            node = following
        return node, values

    def _make_not_found(self, path: str) -> NotFound:
        meant = self._suggest(path) if len(path) <= SUGGESTED_CHARACTERS_MAX else None
        if meant is None or meant == path:
            return NotFound(f"There is no path {path[:200]}. GET /docs shows all that there are.")
        return NotFound(f"There is no path {path}. Did you mean {meant}?", details={"suggestion": meant})

    def _suggest(self, path: str) -> str | None:
        """The path that was probably meant: without a trailing slash, with /crm in front, or with other names."""
        parts = [part for part in path.split("/") if part]
        while len(parts) > 1 and FOREIGN.fullmatch(parts[parts[0] == "crm"]):
            del parts[parts[0] == "crm"]
        if parts and parts[0] != "crm":
            known = self._follow(["crm", *parts]) if len(parts) > 1 or not self._follow(parts) else None
            if known is not None:
                return known
        return self._follow(parts)

    def _follow(self, parts: Sequence[str]) -> str | None:
        node, found = self._root, [""]
        for part in parts:
            near = get_close_matches(part.lower(), node.named, n=1, cutoff=NEAR)
            if part in node.named:
                near = [part]
            elif node.any is not None and (any(sign in part for sign in ID_SIGNS) or not near):
                if part in NEVER_IDS:
                    return None
                found.append(part)
                node = node.any
                continue
            if not near:
                return None
            found.append(near[0])
            node = node.named[near[0]]
        return "/".join(found) if node.routes else None


def make_refusal(node: Node, method: str, path: str) -> Exposed:
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
