"""``kith cluster``: several nodes of PostgreSQL under one Kith."""

from typing import Annotated

import typer

from kith.cli.connect import Data, run_connected
from kith.cli.output import AsJson, print_json
from kith.settings import load_settings
from kith.store.database import Connection
from kith.store.distribution import distribute as distribute_tables
from kith.store.distribution import make_statements
from kith.store.queries import load_queries

app = typer.Typer(help="Spread the tables over several nodes of PostgreSQL.", no_args_is_help=True)
_LOG = load_queries("log")


@app.callback()
def start() -> None:
    """Nothing of its own: without it a single command would stand for the group."""


@app.command()
def distribute(
    show: Annotated[bool, typer.Option("--show", help="Print the statements, and run none.")] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Turn the tables into tables of Citus, by shard. Nothing else may run; ended in the middle, run it again."""

    async def work(connection: Connection) -> list[str]:
        partitions = await connection.fetchval(_LOG["load_installation"])
        if show:
            return make_statements(partitions)
        return await distribute_tables(connection, partitions, lambda line: typer.echo(line, err=True))

    statements = run_connected(load_settings(data=data), work)
    if as_json:
        print_json(statements)
    elif show:
        typer.echo(";\n".join(statements) + ";")
    else:
        typer.echo(f"{len(statements)} statements were run.")
