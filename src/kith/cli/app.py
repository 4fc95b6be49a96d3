"""The commands that start processes, and the tree of all commands."""

import asyncio
import contextlib
import sys
from importlib import import_module
from typing import Annotated

import asyncpg
import msgspec
import typer
import uvloop

from kith import __version__
from kith.cli import backups, cluster, dead_letters, demo, keys, move, psql, query, secrets, show, workspaces
from kith.cli.connect import Data
from kith.cli.output import AsJson, print_error, print_json
from kith.cli.sections import Sections
from kith.clock import SystemClock
from kith.engine.admin.installation import make_first
from kith.engine.admin.keys import new_key_text
from kith.engine.admin.workspaces import DEFAULT_WORKSPACE
from kith.errors import KithError, StartError, to_reason
from kith.installation.data_folder import get_database_url
from kith.processes.checks import check_settings
from kith.processes.identity import leave_root
from kith.processes.logs import configure_logs
from kith.processes.supervise import check_port, raise_when_stopped
from kith.processes.supervise import serve as supervise
from kith.settings import Settings, find_unknown, load_settings
from kith.store.database import Database, connect
from kith.store.log_place import check_place, load_place
from kith.store.migrate import migrate

app = typer.Typer(
    name="kith",
    cls=Sections,
    help="A CRM engine. `kith serve` starts everything; the other commands work beside a running server.",
    no_args_is_help=True,
    # A traceback with local variables would show keys.
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(workspaces.app, name="workspaces")
app.add_typer(keys.app, name="keys")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(cluster.app, name="cluster")
app.add_typer(secrets.app, name="secrets")
show.add_commands(app)
query.add_commands(app)
move.add_commands(app)
backups.add_commands(app)
psql.add_commands(app)
demo.add_commands(app)

Host = Annotated[str | None, typer.Option(help="The address that the API listens on.", show_default="127.0.0.1")]
Port = Annotated[int | None, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535, show_default="8000")]


def main() -> None:
    """Exit codes: 0 done, 1 refused or failed (one line says why), 2 used wrongly."""
    try:
        app(prog_name="kith")
    except KithError as error:
        print_error(error, "--json" in sys.argv)
        sys.exit(1)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        print_error(StartError(f"PostgreSQL failed during the command: {to_reason(error)}"), "--json" in sys.argv)
        sys.exit(1)
    except OSError as error:
        print_error(StartError(f"The command failed: {to_reason(error)}."), "--json" in sys.argv)
        sys.exit(1)


def show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kith {__version__}")
        raise typer.Exit


# What works for as long as it runs by the settings it has: one that is not understood would change what it does.
PARTS = {"api", "writer", "worker"}
STRICT = {"init", "serve", *PARTS}


@app.callback()
def start(
    context: typer.Context,
    _: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=show_version, is_eager=True)
    ] = False,
) -> None:
    """Check the environment before any command: a misspelled setting would be ignored otherwise."""
    if "--help" in sys.argv:
        return
    if unknown := find_unknown():
        if context.invoked_subcommand in STRICT:
            raise StartError(unknown)
        typer.echo(f"Warning: {unknown}", err=True)
    if context.invoked_subcommand in PARTS:
        settings = load_settings()
        configure_logs(settings.log_level)
        check_settings(settings)
        leave_root(settings)


@app.command()
def serve(host: Host = None, port: Port = None, data: Data = None) -> None:
    """Start everything: PostgreSQL in the data folder (or KITH_DATABASE_URL), the API, the writer, the worker."""
    settings = load_settings(host=host, port=port, data=data)
    configure_logs(settings.log_level)
    check_settings(settings)
    supervise(settings)


@app.command()
def init(data: Data = None, as_json: AsJson = False) -> None:
    """Make the schema, the workspace `default` and a first admin key, printed once. Run again, it changes nothing."""
    settings = load_settings(data=data)
    key = asyncio.run(initialise(settings, get_database_url(settings)))
    if as_json:
        print_json({"workspace": DEFAULT_WORKSPACE, "key": key})
    elif key is None:
        typer.echo("There is nothing to do: the schema is up to date, and there are keys already.")
    else:
        typer.echo(f"The admin key, which is shown only now:\n\n  {key}\n")


async def initialise(settings: Settings, url: str) -> str | None:
    """The key's text where this made one."""
    await migrate(url, settings.partitions)
    await prepare_log(settings, url)
    text = new_key_text("server")
    connection = await connect(url)
    try:
        return text if await make_first(connection, SystemClock(), text) else None
    finally:
        await connection.close()


async def prepare_log(settings: Settings, url: str) -> None:
    """Makes the topics where Kafka is the log; the table is there with the schema."""
    if settings.kafka_bootstrap:
        from kith.engine.context.engine import load_installation  # noqa: PLC0415 - the engine; other commands start faster
        from kith.log.kafka_topic import prepare_topics  # noqa: PLC0415 - likewise

        database = await Database.open(url, settings, "worker", connections_max=2)
        try:
            async with database.acquire() as connection:
                check_place(await load_place(connection), settings)
            await prepare_topics(settings, (await load_installation(database)).partitions)
        finally:
            await database.close()


@app.command()
def api(host: Host = None, port: Port = None, data: Data = None) -> None:
    """Run the API alone."""
    settings = load_settings(host=host, port=port, data=data)
    run_part("api", msgspec.structs.replace(settings, port=check_port(settings.host, settings.port)))


@app.command()
def writer(data: Data = None) -> None:
    """Run the writer alone: it applies the log."""
    run_part("writer", load_settings(data=data))


@app.command()
def worker(data: Data = None) -> None:
    """Run the worker alone: it does what is due by time, such as trimming the log, and sends for integrations."""
    run_part("worker", load_settings(data=data))


def run_part(name: str, settings: Settings) -> None:
    """Until the process is told to stop; that is a success."""
    # Each by itself: the whole server is large, and so is what the other parts need.
    part = import_module(f"kith.processes.{name}")
    # What a part does with a signal is its own from when it is ready; before that, and after, it just ends.
    raise_when_stopped()
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(part.run(settings))
