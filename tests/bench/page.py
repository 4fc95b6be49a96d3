"""The page of the figures: what a whole run puts between two marks in ``docs/benchmarks.md``.

``python -m tests.bench.page build/bench.json`` puts a kept run there; of several, the later figures take the place of
the earlier ones.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from tests.bench.client import ROOT
from tests.bench.figures import Figure, Report, format_number

PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- a run of `make bench` -->\n", "<!-- its end -->\n"


def write_page(*reports: Report, page: Path = PAGE) -> None:
    """Put the run, or several as one, in the place of what is there."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    assert after, f"{page} has no place for a run"
    page.write_text(f"{before}{BEGIN}{to_markdown(reports)}{END}{after}")


def to_markdown(reports: Sequence[Report]) -> str:
    """Where and when, then a table of what was measured at several sizes, then one of the rest."""
    found = {(one.name, one.log, one.contacts): one for report in reports for one in report.figures}
    placed = [figure for figure in found.values() if figure.contacts is not None]
    alone = [figure for figure in found.values() if figure.contacts is None]
    again = [describe_again(report) for report in reports[1:]]
    lines = [describe_run(reports[0]), *again, *list_sizes(placed), *list_figures(alone)]
    return "\n".join(lines) + "\n"


def describe_run(report: Report) -> str:
    machine = report.machine
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    return (
        f"\n{report.date[:16].replace('T', ' ')} UTC, {machine.processor}, {machine.cores} cores,"
        f" {machine.memory_gb:.0f} GB, {machine.system}, {versions}. The run took {report.seconds / 60:.0f} minutes.\n"
    )


def describe_again(report: Report) -> str:
    names = ", ".join(dict.fromkeys(figure.name for figure in report.figures))
    return f"Of a run of its own on the same machine, at {report.date[:16].replace('T', ' ')} UTC: {names}.\n"


def list_sizes(figures: Sequence[Figure]) -> Iterator[str]:
    """A row for each figure, a column for each log and number of contacts; in bold what misses its target."""
    cells: dict[str, dict[tuple[str | None, int | None], Figure]] = {}
    for figure in figures:
        cells.setdefault(figure.name, {})[figure.log, figure.contacts] = figure
    columns = list(dict.fromkeys((figure.log, figure.contacts) for figure in figures))
    if not columns:
        return
    yield "| Figure | Target | " + " | ".join(f"{log}, {contacts:,} contacts" for log, contacts in columns) + " |"
    yield "| --- | --- |" + " --- |" * len(columns)
    for name, row in cells.items():
        targets = dict.fromkeys(figure.describe_target() for figure in row.values())
        shown = [show_cell(row[column]) if column in row else "" for column in columns]
        yield f"| {name} | {', '.join(targets)} | {' | '.join(shown)} |"
    yield ""


def show_cell(figure: Figure) -> str:
    """The figure, and the first of its parts."""
    measured = f"{format_number(figure.value)}{'' if figure.unit == 'x' else ' ' + figure.unit}"
    part = next((f" · {format_number(value)} {name}" for name, value in figure.parts.items()), "")
    return (measured if figure.holds() else f"**{measured}**") + part


def list_figures(figures: Sequence[Figure]) -> Iterator[str]:
    yield "| Figure | Measured | Target | | Made of |"
    yield "| --- | --- | --- | --- | --- |"
    for figure in figures:
        verdict = "" if figure.target is None else "holds" if figure.holds() else "**missed**"
        parts = " · ".join(f"{part} {format_number(value)}" for part, value in figure.parts.items())
        measured = f"{format_number(figure.value)} {figure.unit}"
        yield f"| {figure.name} | {measured} | {figure.describe_target()} | {verdict} | {parts} |"


if __name__ == "__main__":
    write_page(*(msgspec.json.decode(Path(name).read_bytes(), type=Report) for name in sys.argv[1:]))
