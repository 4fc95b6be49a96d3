"""Figures of the bench: what was measured, what it shall be, and how both are shown and kept."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import asyncpg
import msgspec
import psutil

SMOKE_SLACK = 2
RATIO = "x"
PACKAGES = ("asyncpg", "msgspec", "uvicorn", "uvloop", "httptools")


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """``target`` is the least or the most it shall be, as ``bound`` says. ``parts`` are what it was made of.

    One of many such has the place of its ``log`` and how many ``contacts`` there were.
    """

    name: str
    value: float
    unit: str = RATIO
    target: float | None = None
    bound: Literal["least", "most"] = "least"
    parts: dict[str, float] = {}
    log: str | None = None
    contacts: int | None = None

    def holds(self, slack: float = 1) -> bool:
        """Whether it keeps its target, or does no worse than ``slack`` times that."""
        if self.target is None:
            return True
        return self.value >= self.target / slack if self.bound == "least" else self.value <= self.target * slack

    def describe_target(self) -> str:
        if self.target is None:
            return ""
        return f"{'≥' if self.bound == 'least' else '≤'} {format_number(self.target)}"


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What the figures were measured on."""

    processor: str
    cores: int
    memory_gb: float
    system: str
    load_before: float
    versions: dict[str, str]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    date: str
    smoke: bool
    seconds: float
    machine: Machine
    figures: Sequence[Figure]


def find_processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


async def describe_machine(url: str) -> Machine:
    connection = await asyncpg.connect(url)
    try:
        postgresql = await connection.fetchval("SELECT current_setting('server_version')")
    finally:
        await connection.close()
    return Machine(
        processor=find_processor(),
        cores=os.cpu_count() or 1,
        memory_gb=round(psutil.virtual_memory().total / 2**30, 1),
        system=platform.platform(),
        load_before=round(os.getloadavg()[0], 2),
        versions={
            "kith": version("kith-crm"),
            "python": platform.python_version(),
            "postgresql": postgresql,
            **{package: version(package) for package in PACKAGES},
        },
    )


def save_report(report: Report, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def print_report(report: Report) -> None:
    machine = report.machine
    print(f"\n{report.date}  {machine.processor}, {machine.cores} cores, {machine.memory_gb} GB, {machine.system}")
    print(", ".join(f"{name} {number}" for name, number in machine.versions.items()))
    print(f"load before: {machine.load_before}; the run took {report.seconds:.0f} s\n")
    print_table(report.figures)


def print_table(figures: Sequence[Figure]) -> None:
    rows: list[tuple[str, str, str, str]] = [("", "measured", "target", "")]
    for figure in figures:
        verdict = "" if figure.target is None else "holds" if figure.holds() else "MISSED"
        place = f" ({figure.contacts:,} contacts, {figure.log})" if figure.contacts else ""
        measured = f"{format_number(figure.value)} {figure.unit}"
        rows.append((figure.name + place, measured, figure.describe_target(), verdict))
        rows += [(f"  {part}", format_number(value), "", "") for part, value in figure.parts.items()]
    widths = [max(len(row[n]) for row in rows) for n in range(4)]
    for first, *others in rows:
        aligned = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        print("  ".join([first.ljust(widths[0]), *aligned]).rstrip())


def format_number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"


def to_iso_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def list_far_off(figures: Sequence[Figure]) -> list[str]:
    """The ratios that are less than half as good as they shall be. Times by themselves are the machine's."""
    return [figure.name for figure in figures if figure.unit == RATIO and not figure.holds(SMOKE_SLACK)]
