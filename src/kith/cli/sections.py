"""The order in which help lists commands: by what they are for."""

from collections.abc import Mapping, Sequence
from typing import Any

from typer.core import TyperGroup

SECTIONS: Mapping[str, Sequence[str]] = {
    "Start": ("serve", "init", "api", "writer", "worker"),
    "Workspaces and keys": ("workspaces", "keys"),
    "Use": ("query", "parse", "demo"),
    "Look after": ("status", "settings", "backup", "restore", "dead-letters", "secrets", "psql"),
    "Check and move": ("replay", "migrate-log", "cluster"),
    "Develop": ("openapi", "fake-vendors"),
}


class Sections(TyperGroup):
    """The commands in the order of ``SECTIONS``, each section under its title; what is in none comes last."""

    def list_commands(self, ctx: Any) -> list[str]:
        known = [name for names in SECTIONS.values() for name in names if name in self.commands]
        return [*known, *(name for name in self.commands if name not in known)]

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
