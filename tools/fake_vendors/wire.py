"""Requests and answers as the two services of the fake see them, and which function answers which path."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar
from urllib.parse import parse_qsl, unquote

import msgspec

Body = TypeVar("Body")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request. ``path`` is what stands behind the prefix of its service, as it was sent."""

    service: str
    method: str
    path: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: bytes = b""

    @property
    def json(self) -> Any:
        """None where the body is no JSON."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return None

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode("latin-1"), keep_blank_values=True))


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """``body`` goes out as JSON; text as a page of HTML; None as nothing."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = {}

    def encode(self) -> tuple[dict[str, str], bytes]:
        """The headers and the body as they are sent."""
        if self.body is None:
            return {**self.headers}, b""
        if isinstance(self.body, str):
            return {"content-type": "text/html", **self.headers}, self.body.encode()
        return {"content-type": "application/json;charset=utf-8", **self.headers}, msgspec.json.encode(self.body)


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Route(msgspec.Struct, frozen=True):
    """Which function answers a method and a path; ``query`` are the names that its query may have."""

    method: str
    pattern: "re.Pattern[str]"
    handler: Callable[..., Answer]
    query: frozenset[str] = frozenset()


def make_route(method: str, path: str, handler: Callable[..., Answer], *query: str) -> Route:
    """``{name}`` stands for a part of the path, ``{name:a|b}`` for one of these; the handler gets them in order."""
    pattern = re.sub(r"\{\w+(?::([^}]+))?\}", lambda found: f"({found[1] or '[^/]+'})", path.replace(".", r"\."))
    return Route(method, re.compile(pattern), handler, frozenset(query))


def find_route(routes: Sequence[Route], asked: Asked) -> tuple[Route, list[str]] | int:
    """The route with the parts of the path, or the status that says why there is none."""
    status = 404
    for route in routes:
        found = route.pattern.fullmatch(asked.path)
        if found is not None and route.method == asked.method:
            return route, [unquote(part) for part in found.groups()]
        if found is not None:
            status = 405
    return status


def read_body(asked: Asked, kind: type[Body], refuse: Callable[[str], NoReturn]) -> Body:
    """The body as a strict ``kind``; ``refuse`` says what is wrong with it."""
    if not asked.headers.get("content-type", "").startswith("application/json"):
        refuse("The body must be sent as application/json.")
    try:
        return msgspec.json.decode(asked.body, type=kind)
    except msgspec.DecodeError as error:
        refuse(f"The body cannot be read: {error}")
