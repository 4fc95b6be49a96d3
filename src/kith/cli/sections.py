"""The order in which help lists commands, and what is said of commands, options and values that do not exist."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from typer.core import TyperGroup
from typer.exceptions import TyperException

from kith.model.aliases import find_meant

SECTIONS: Mapping[str, Sequence[str]] = {
    "Start": ("serve", "init", "api", "writer", "worker"),
    "Workspaces and keys": ("workspaces", "keys"),
    "Use": ("query", "parse", "demo"),
    "Look after": ("status", "settings", "backup", "restore", "dead-letters", "secrets", "psql"),
    "Check and move": ("replay", "migrate-log", "cluster"),
    "Develop": ("openapi",),
}


class Sections(TyperGroup):
    """The commands in the order of ``SECTIONS``, each section under its title; what is in none comes last."""

    def list_commands(self, ctx: Any) -> list[str]:
        known = [name for names in SECTIONS.values() for name in names if name in self.commands]
        return [*known, *(name for name in self.commands if name not in known)]

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except TyperException as error:
            rephrase(error)
            raise

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        names = self.list_commands(ctx)
        width = max(map(len, names))
        grouped = {name: title for title, some in SECTIONS.items() for name in some}
        for title in [*SECTIONS, "More"]:
            rows = [
                (name.ljust(width), self.commands[name].get_short_help_str(formatter.width - width - 6))
                for name in names
                if grouped.get(name, "More") == title and not self.commands[name].hidden
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def rephrase(error: Any) -> None:
    """Say what is wrong with the command line in words of our own, and suggest only what is near."""
    if getattr(error, "possibilities", None):
        options = {one.lstrip("-"): one for one in error.possibilities}
        meant = find_meant(error.option_name.lstrip("-"), options)
        error.possibilities = [options[meant]] if meant is not None else None
    elif unknown := re.match(r"No such command '(.*?)'", error.message):
        meant = find_meant(unknown[1], error.ctx.command.commands)
        hint = f"Did you mean {meant!r}?" if meant is not None else f"`{error.ctx.command_path} --help` lists them."
        error.message = f"No such command {unknown[1]!r}. {hint}"
    elif error.__cause__ is not None and hasattr(error.__cause__, "errors"):
        fault = error.__cause__.errors()[0]
        error.message = explain(fault["type"], fault["input"], fault.get("ctx", {}))


def explain(kind: str, given: Any, limits: Mapping[str, Any]) -> str:
    """What is wrong with a value, by the kind of fault that the library found."""
    if "error" in limits:
        return str(limits["error"])
    for limit, words in (("ge", "at least"), ("le", "at most")):
        if limit in limits:
            return f"{given} is not possible; it must be {words} {int(limits[limit])}."
    wanted = {"int": "a whole number", "float": "a number", "bool": "true or false"}.get(kind.partition("_")[0])
    return f"{given!r} is not {wanted or 'possible here'}."
