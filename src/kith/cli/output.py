"""Print the output of commands: plain text for people, JSON for programs, errors in one line."""

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
import typer

from kith.clock import to_iso
from kith.errors import Exposed, KithError

# Numbers keep their digits.
_encode = msgspec.json.Encoder(decimal_format="number", enc_hook=str).encode
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: Any) -> None:
    """On one line where a program reads, indented where a person does."""
    text = _encode(value)
    typer.echo(msgspec.json.format(text, indent=2 if sys.stdout.isatty() else -1))


def print_table(rows: Sequence[Mapping[str, Any]], empty: str) -> None:
    """Columns under their names, in the order of the first row's keys."""
    if not rows:
        typer.echo(empty)
        return
    cells = [list(rows[0]), *([to_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    for line in cells:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def to_cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, datetime):
        return to_iso(value)
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or "-"
    # A control character in a name must not reach the terminal.
    return "".join(character if character.isprintable() else "?" for character in str(value))


def to_time(at: datetime | None) -> str | None:
    return None if at is None else to_iso(at)


def print_error(error: KithError, as_json: bool) -> None:
    """On standard error, in the API's shape where JSON was asked for."""
    message = " ".join(str(error).split())
    if as_json:
        code = error.code if isinstance(error, Exposed) else "FAILED"
        details = error.details if isinstance(error, Exposed) else None
        body = {"success": False, "error": {"code": code, "message": message, "details": details}}
        typer.echo(_encode(body).decode(), err=True)
    else:
        typer.echo(f"Error: {message}", err=True)
