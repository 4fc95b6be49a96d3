"""A whole run of the bench is put on its page, and nothing else of the page changes."""

from pathlib import Path

from tests.bench.figures import Figure, Machine, Report
from tests.bench.page import BEGIN, END, PAGE, write_page

MACHINE = Machine(
    processor="Two Hands", cores=2, memory_gb=24, system="Linux", load_before=0.1, versions={"kith": "1", "python": "3"}
)
REPORT = Report(
    date="2026-01-02T03:04:05+00:00",
    smoke=False,
    seconds=90,
    machine=MACHINE,
    figures=[
        Figure(name="accept", value=0.591, target=0.45, parts={"applied/s": 3182.4}, log="PostgreSQL", contacts=10_000),
        Figure(name="accept", value=0.39, target=0.4, log="Kafka", contacts=10_000),
        Figure(name="memory", value=121, target=120, bound="most", unit="MB", log="Kafka", contacts=10_000),
        Figure(name="wait", value=7.5, target=10, bound="most", unit="ms", parts={"writes": 1000, "p50 ms": 4}),
        Figure(name="rate", value=3051, unit="/s"),
    ],
)
SHOWN = """
2026-01-02 03:04 UTC, Two Hands, 2 cores, 24 GB, Linux, kith 1, python 3. The run took 2 minutes.

| Figure | Target | PostgreSQL, 10,000 contacts | Kafka, 10,000 contacts |
| --- | --- | --- | --- |
| accept | ≥ 0.45, ≥ 0.40 | 0.59 · 3,182 applied/s | **0.39** |
| memory | ≤ 120 |  | **121 MB** |

| Figure | Measured | Target | | Made of |
| --- | --- | --- | --- | --- |
| wait | 7.50 ms | ≤ 10 | holds | writes 1,000 · p50 ms 4 |
| rate | 3,051 /s |  |  |  |
"""


def test_a_run_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(f"before\n{BEGIN}an earlier run\n{END}after\n")
    for _ in range(2):
        write_page(REPORT, page=page)
        assert page.read_text() == f"before\n{BEGIN}{SHOWN}{END}after\n"


def test_the_figures_of_a_later_run_take_the_place_of_the_earlier_ones(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(f"{BEGIN}{END}after")
    again = Report(
        date="2026-01-03T00:00:00+00:00",
        smoke=False,
        seconds=1,
        machine=MACHINE,
        figures=[Figure(name="rate", value=4000, unit="/s")],
    )
    write_page(REPORT, again, page=page)
    text = page.read_text()
    assert "Of a run of its own on the same machine, at 2026-01-03 00:00 UTC: rate.\n" in text
    assert "| rate | 4,000 /s |" in text
    assert "3,051" not in text


def test_the_page_has_a_place_for_a_run() -> None:
    text = PAGE.read_text()
    assert text.index(BEGIN) < text.index(END)
