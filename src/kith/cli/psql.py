"""``kith psql``: PostgreSQL's own command line on Kith's database."""

import os
from pathlib import Path
from typing import Annotated

import typer

from kith.cli.connect import Data
from kith.engine.admin.backup import split_password
from kith.errors import StartError
from kith.installation.binaries import find_binaries, to_bin_dir
from kith.installation.data_folder import find_embedded_url, get_database_url, to_socket_folder, to_superuser_url
from kith.settings import load_settings, to_environment


def add_commands(app: typer.Typer) -> None:
    # What psql takes, such as -c, is passed on to it.
    app.command("psql", context_settings={"ignore_unknown_options": True})(psql)


def psql(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="A statement, such as 'SELECT 1', or options of psql.", show_default=False),
    ] = None,
    superuser: Annotated[
        bool, typer.Option("--superuser", help="As the superuser of the embedded server, on its database postgres.")
    ] = False,
    data: Data = None,
) -> None:
    """Open psql on Kith's database: the one in the data folder, while its server runs, or KITH_DATABASE_URL."""
    settings = load_settings(data=data)
    url = get_database_url(settings)
    if superuser:
        folder = Path(settings.data)
        if settings.database_url or find_embedded_url(folder) is None:
            raise StartError("--superuser is for the embedded server, and KITH_DATABASE_URL is set.")
        url = to_superuser_url(to_socket_folder(folder.expanduser().resolve()))
    address, password = split_password(url)
    environment = to_environment(settings) | ({"PGPASSWORD": password} if password else {})
    program = (to_bin_dir(settings) or find_binaries(None)) / "psql"
    given = arguments or []
    if given and not given[0].startswith("-"):
        # psql would take it for the name of a database.
        given = ["-c", *given]
    os.execve(program, ["psql", f"--dbname={address}", *given], environment)  # noqa: S606 - no shell
