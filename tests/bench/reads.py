"""Reads over HTTP: next to the same statements sent by hand, and how many a second."""

from collections.abc import Callable, Sequence
from statistics import median

from tests.bench.client import Result
from tests.bench.figures import Figure
from tests.bench.installation import Installation, drain
from tests.bench.people import make_person
from tests.bench.server import BARE, BY_HAND

ROUNDS = 5
CONTACTS = 200
PAGE = "/crm/contacts"
# What was measured elsewhere of other open-source CRMs, over their own APIs: for the order of magnitude only.
PEERS = {
    "create": {"Odoo": 48, "Tryton": 44, "Twenty": 30},
    "get": {"Odoo": 107, "Tryton": 180, "Twenty": 44},
    "list": {"Odoo": 12, "Tryton": 18, "Twenty": 12},
    "search": {"Odoo": 12, "Tryton": 18, "Twenty": 36},
}


def list_typed(numbers: Sequence[int]) -> list[str]:
    """What somebody types who looks for these people: beginnings of names, of both names, of emails."""
    typed = []
    for n in numbers:
        person = make_person(n)
        given, family = person.given_name, person.family_name
        typed += [given[:3], family[:4], f"{given} {family[:2]}", person.email.partition("@")[0][:9], person.name]
    return [query.lower().replace(" ", "%20") for query in typed if query.isascii()]


READS: dict[str, list[str]] = {
    "get": [f"{PAGE}/{n}" for n in range(1, CONTACTS + 1)],
    "list": [PAGE],
    "search": [f"{PAGE}/search?q={query}" for query in list_typed(range(0, 2000, 40))],
}


def bench_reads(kith: Installation, seconds: float) -> list[Figure]:
    """A get and page 1 ÷ the same by hand, in the time for one at 1 connection and for all at 32."""
    return [
        compare(kith, name, whole, by_hand, connections, seconds)
        for name, (whole, by_hand) in {
            "get": (READS["get"], [str(n) for n in range(1, CONTACTS + 1)]),
            "list": (READS["list"], ["page"]),
        }.items()
        for connections in (1, 32)
    ]


def compare_one(name: str, whole: Callable[[], Result], by_hand: Callable[[], Result], rounds: int = ROUNDS) -> Figure:
    """The time of one at 1 connection ÷ the same SQL by hand, in turns; the first round warms up."""
    pairs = [(whole(), by_hand()) for _ in range(1 + rounds)][1:]
    assert all(set(result.statuses) == {"200"} for pair in pairs for result in pair), (name, pairs)
    return Figure(
        name=f"{name} at 1 connection ÷ the same SQL by hand (time)",
        value=median(kith.typical_ms / bare.typical_ms for kith, bare in pairs),
        target=1.3,
        bound="most",
        parts={
            "ms each": median(kith.typical_ms for kith, _ in pairs),
            "ms each by hand": median(bare.typical_ms for _, bare in pairs),
        },
    )


def compare(
    kith: Installation, name: str, whole: Sequence[str], by_hand: Sequence[str], connections: int, seconds: float
) -> Figure:
    """In turns; a ratio is that of the middle of the rounds, the first of which warms up."""
    asked = {"Kith": whole, "bare": [BARE + one for one in by_hand], "behind a key": [BY_HAND + one for one in by_hand]}
    rounds: list[dict[str, Result]] = []
    for _ in range(1 + ROUNDS):
        rounds.append(
            {who: kith.load(*paths, connections=connections, seconds=seconds) for who, paths in asked.items()}
        )
        assert all(set(result.statuses) == {"200"} for result in rounds[-1].values()), rounds[-1]
    del rounds[0]

    def find_ratio(other: str) -> float:
        if connections == 1:
            return median(one["Kith"].typical_ms / one[other].typical_ms for one in rounds)
        return median(one[other].per_s / one["Kith"].per_s for one in rounds)

    return Figure(
        name=f"{name} at {connections} connection{'' if connections == 1 else 's'} ÷ the same SQL by hand (time)",
        value=find_ratio("bare"),
        target=1.3,
        bound="most",
        parts={
            **{f"{who} p50 ms": median(one[who].p50_ms for one in rounds) for who in asked},
            **{f"{who}/s": median(one[who].per_s for one in rounds) for who in asked},
            "÷ by hand behind the same key and headers": find_ratio("behind a key"),
        },
    )


def bench_rates(kith: Installation, seconds: float) -> list[Figure]:
    """What one API process does in a second, beside what others do on such a machine."""
    figures = []
    for name in ("create", *READS):
        rates = {}
        for connections in (16, 32, 64):
            if name == "create":
                result = kith.create(connections=connections, seconds=seconds)
            else:
                result = kith.load(*READS[name], connections=connections, seconds=seconds)
            assert set(result.statuses) <= {"200", "202"}, result.statuses
            drain(kith)
            rates[f"at {connections} connections"] = result.per_s
        peers = {f"{peer} (elsewhere)": rate for peer, rate in PEERS[name].items()}
        figures.append(
            Figure(name=f"{name}: a second, at best", value=max(rates.values()), unit="/s", parts=rates | peers)
        )
    return figures
