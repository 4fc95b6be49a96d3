"""``kith migrate-log``: the log from PostgreSQL to Kafka, or back."""

import asyncio
from enum import Enum
from typing import Annotated

import msgspec
import typer

from kith.cli.connect import Data, open_database
from kith.cli.output import AsJson, print_json
from kith.processes.logs import configure_logs
from kith.settings import load_settings


class Target(Enum):
    KAFKA = "kafka"
    POSTGRESQL = "postgresql"


def add_commands(app: typer.Typer) -> None:
    app.command("migrate-log")(migrate_log)


def migrate_log(
    to: Annotated[Target, typer.Option("--to", help="Where the log goes.")] = Target.KAFKA,
    give_up: Annotated[
        bool,
        typer.Option("--give-up-kafka", help="Kafka's data is gone: go on in PostgreSQL without what was only there."),
    ] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Move the log from PostgreSQL to Kafka, or back. Nothing else may run; ended in the middle, run it again."""
    from kith.engine.admin.log_migration import move_log  # noqa: PLC0415 - the writer's code; other commands start faster

    if give_up and to is Target.KAFKA:
        raise typer.BadParameter("--give-up-kafka goes with --to postgresql")
    settings = load_settings(data=data)
    configure_logs(settings.log_level)
    with open_database(settings) as url:
        move = asyncio.run(move_log(url, settings, to is Target.KAFKA, tell, dangerous_give_up=give_up))
    if as_json:
        print_json(msgspec.structs.asdict(move))
    elif move.moved and to is Target.KAFKA:
        typer.echo("Start everything with KITH_KAFKA_BOOTSTRAP. `kith migrate-log --to postgresql` moves it back.")
    elif move.moved:
        typer.echo("Start everything without KITH_KAFKA_BOOTSTRAP. The topic is not needed any more: delete it.")


def tell(line: str) -> None:
    """On standard error: standard output is for the answer."""
    typer.echo(line, err=True)
