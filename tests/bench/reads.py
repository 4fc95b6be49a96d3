"""Reads over HTTP: next to the same statements sent by hand, and how many a second."""

from collections.abc import Sequence
from statistics import median

from tests.bench.figures import Figure
from tests.bench.installation import Installation, drain
from tests.bench.people import make_person

ROUNDS = 5
CONTACTS = 200
PAGE = "/crm/contacts"
PEERS = {
    "create": {"Odoo": 48, "Tryton": 44, "Twenty": 30},
    "get": {"Odoo": 107, "Tryton": 180, "Twenty": 44},
    "list": {"Odoo": 12, "Tryton": 18, "Twenty": 12},
    "search": {"Odoo": 12, "Tryton": 18, "Twenty": 36},
}


def bench_reads(kith: Installation, seconds: float) -> list[Figure]:
    """A get and page 1 ÷ the same by hand, in the time for one at 1 connection and for all at 32."""
    numbers = range(1, CONTACTS + 1)
    reads = {
        "get": ([f"{PAGE}/{n}" for n in numbers], [f"/bare/{n}" for n in numbers]),
        "list": ([PAGE], ["/bare/page"]),
    }
    return [
        compare(kith, name, whole, bare, connections, seconds)
        for name, (whole, bare) in reads.items()
        for connections in (1, 32)
    ]


def compare(
    kith: Installation, name: str, whole: Sequence[str], bare: Sequence[str], connections: int, seconds: float
) -> Figure:
    """In turns; the ratio is that of the middle of the rounds."""
    for paths in (whole, bare):
        kith.load(*paths, connections=connections, seconds=seconds / 4)
    rounds = []
    for _ in range(ROUNDS):
        asked = kith.load(*whole, connections=connections, seconds=seconds)
        by_hand = kith.load(*bare, connections=connections, seconds=seconds)
        assert set(asked.statuses) == {"200"} == set(by_hand.statuses), (asked.statuses, by_hand.statuses)
        rounds.append((asked, by_hand))
    alone = connections == 1
    return Figure(
        name=f"{name} at {connections} connection{'' if alone else 's'} ÷ the same SQL by hand (time)",
        value=median(
            asked.typical_ms / by_hand.typical_ms if alone else by_hand.per_s / asked.per_s for asked, by_hand in rounds
        ),
        target=1.3,
        bound="most",
        parts={
            "Kith/s": median(asked.per_s for asked, _ in rounds),
            "by hand/s": median(by_hand.per_s for _, by_hand in rounds),
            "Kith p50 ms": median(asked.p50_ms for asked, _ in rounds),
            "by hand p50 ms": median(by_hand.p50_ms for _, by_hand in rounds),
        },
    )


def bench_rates(kith: Installation, seconds: float) -> list[Figure]:
    """What one API process does in a second, beside what others do on such a machine."""
    paths = {
        "get": [f"{PAGE}/{n}" for n in range(1, CONTACTS + 1)],
        "list": [PAGE],
        "search": [f"{PAGE}/search?q={query}" for query in list_typed(range(0, 2000, 40))],
    }
    figures = []
    for name in ("create", *paths):
        rates = {}
        for connections in (16, 32, 64):
            if name == "create":
                result = kith.create(connections=connections, seconds=seconds)
            else:
                result = kith.load(*paths[name], connections=connections, seconds=seconds)
            assert set(result.statuses) <= {"200", "202"}, result.statuses
            drain(kith)
            rates[f"at {connections} connections"] = result.per_s
        figures.append(
            Figure(name=f"{name}: a second, at best", value=max(rates.values()), unit="/s", parts=rates | PEERS[name])
        )
    return figures


def list_typed(numbers: Sequence[int]) -> list[str]:
    """What somebody types who looks for these people: beginnings of names, of both names, of emails."""
    typed = []
    for n in numbers:
        person = make_person(n)
        given, family = person.given_name, person.family_name
        typed += [given[:3], family[:4], f"{given} {family[:2]}", person.email.partition("@")[0][:9], person.name]
    return [query.lower().replace(" ", "%20") for query in typed if query.isascii()]
