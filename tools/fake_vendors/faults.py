"""What goes wrong on purpose: at random by a seed, or as a script says."""

import random
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import msgspec

from tools.fake_vendors.wire import Answer, Asked

Kind = Literal[
    "internal_error",
    "bad_gateway",
    "bad_gateway_after",
    "unavailable",
    "limited",
    "limited_bare",
    "limited_daily",
    "forbidden_bare",
    "unauthorized",
    "timeout_before",
    "timeout_after",
]
KINDS: Sequence[Kind] = get_args(Kind)
# What passes by itself, and is seen now and then by everyone who calls these services.
USUAL: Sequence[Kind] = (
    "internal_error",
    "bad_gateway",
    "unavailable",
    "limited",
    "limited_bare",
    "timeout_before",
    "timeout_after",
)
# The request was carried out, and its answer is lost.
AFTER: Sequence[Kind] = ("timeout_after", "bad_gateway_after")
TIMEOUTS: Sequence[Kind] = ("timeout_before", "timeout_after")
PAGE = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"


class Dropped(Exception):
    """A request that gets no answer."""


class Faults:
    """Of all requests, the share ``rate`` fails; the same ``seed`` gives the same faults in the same order."""

    def __init__(self, rate: float = 0, seed: int | None = None, kinds: Sequence[Kind] = USUAL) -> None:
        self.rate = rate
        self.kinds = kinds
        self._chance = random.Random(seed)  # noqa: S311 - nothing is to be kept secret here

    def choose(self) -> Kind | None:
        return self._chance.choice(self.kinds) if self._chance.random() < self.rate else None


class Scripted(msgspec.Struct):
    """The next requests that ``when`` holds for fail so, ``times`` of them."""

    kind: Kind
    when: Callable[[Asked], bool]
    times: int


class Script:
    """What is to go wrong next, in the order in which it was said."""

    def __init__(self) -> None:
        self._scripted: list[Scripted] = []

    def add(self, kind: Kind, when: Callable[[Asked], bool] | None, times: int) -> None:
        if kind not in KINDS:
            raise ValueError(f"no kind {kind!r}; there are {', '.join(KINDS)}")
        self._scripted.append(Scripted(kind, when or (lambda _: True), times))

    def take(self, asked: Asked) -> Kind | None:
        for scripted in self._scripted:
            if scripted.times > 0 and scripted.when(asked):
                scripted.times -= 1
                return scripted.kind
        return None

    @property
    def remaining(self) -> int:
        """How many faults have not come up yet."""
        return sum(scripted.times for scripted in self._scripted)


def make_bare(kind: Kind) -> Answer | None:
    """The answer where it is the same for both services, as what stands before them gives it."""
    pages = {
        "internal_error": (500, "500 Internal Server Error"),
        "bad_gateway": (502, "502 Bad Gateway"),
        "bad_gateway_after": (502, "502 Bad Gateway"),
        "unavailable": (503, "503 Service Temporarily Unavailable"),
    }
    if kind in pages:
        status, title = pages[kind]
        return Answer(status=status, body=PAGE.format(title))
    bare = {"limited_bare": 429, "forbidden_bare": 403}
    return Answer(status=bare[kind]) if kind in bare else None
