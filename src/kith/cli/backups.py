"""``kith backup`` and ``kith restore``."""

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from kith.cli.connect import Data, open_database
from kith.cli.output import AsJson, print_json
from kith.engine.admin.backup import Manifest, Tools, back_up, read_manifest
from kith.engine.admin.backup import restore as restore_backup
from kith.installation.binaries import to_bin_dir
from kith.settings import Settings, load_settings, to_environment

Folder = Annotated[Path, typer.Argument(help="The folder of the backup.", show_default=False)]


def add_commands(app: typer.Typer) -> None:
    app.command("backup")(backup)
    app.command("restore")(restore)


def backup(folder: Folder, data: Data = None, as_json: AsJson = False) -> None:
    """Dump the database into a new folder, with where its log stands. Kith may go on meanwhile."""
    settings = load_settings(data=data)
    with open_database(settings) as url:
        manifest = asyncio.run(back_up(url, folder, make_tools(settings)))
    show(manifest, f"The backup is in {folder}", as_json)


def restore(folder: Folder, data: Data = None, as_json: AsJson = False) -> None:
    """Restore a backup into an empty database, or into a new data folder: all of it, or nothing."""
    settings = load_settings(data=data)
    read_manifest(folder)
    with open_database(settings, make=True) as url:
        manifest = asyncio.run(restore_backup(url, folder, make_tools(settings)))
    show(manifest, "Restored", as_json)


def make_tools(settings: Settings) -> Tools:
    return Tools(to_environment(settings), to_bin_dir(settings))


def show(manifest: Manifest, done: str, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.structs.asdict(manifest))
        return
    waiting = sum(max(0, one.end - one.applied) for one in manifest.positions)
    applied = sum(one.applied for one in manifest.positions)
    typer.echo(f"{done}: as of {manifest.made_at}, {applied} commands applied.")
    if manifest.log not in (None, "postgresql"):
        typer.echo(f"What came later is on the log ({manifest.log}) and is applied from there.")
    elif waiting:
        typer.echo(f"{waiting} more are on its log and are applied at the next start.")
