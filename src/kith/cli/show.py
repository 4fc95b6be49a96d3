"""Commands that only look: ``kith settings``, ``status``, ``openapi``, ``replay``."""

import asyncio
import re
from typing import Annotated, Any

import msgspec
import typer

from kith import __version__
from kith.cli.connect import Data, run_connected
from kith.cli.output import AsJson, print_json, print_table
from kith.installation.data_folder import get_database_url
from kith.settings import SETTINGS, Settings, load_settings
from kith.store.database import Connection
from kith.store.log_place import check_place, load_bases, load_place
from kith.store.status import load_server, load_shards, load_workspace_rows

SECRET_SETTINGS = {"key", "kafka_sasl_password", "secret_keys"}


def add_commands(app: typer.Typer) -> None:
    app.command("settings")(show_settings)
    app.command("status")(show_status)
    app.command("openapi")(show_openapi)
    app.command("replay")(replay)


def show_settings(as_json: AsJson = False) -> None:
    """List every setting with its value and meaning. Each is an environment variable."""
    settings = load_settings()
    rows = [
        {
            "variable": setting.variable,
            "value": hide_secret(setting.name, getattr(settings, setting.name)),
            "default": setting.default,
            "help": setting.help,
        }
        for setting in SETTINGS
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, "")


def hide_secret(name: str, value: str | int) -> str | int:
    """A key, or the password in a URL, does not belong on a screen."""
    if name in SECRET_SETTINGS and value:
        return "(set)"
    if not isinstance(value, str):
        return value
    return re.sub(r"(?<=[?&]password=)[^&]*", "***", re.sub(r"(?<=://)([^:/@]*):[^@]*@", r"\1:***@", value))


def show_status(data: Data = None, as_json: AsJson = False) -> None:
    """Show the database, how far the log is applied, and what the workspaces hold."""
    settings = load_settings(data=data)
    status = run_connected(settings, lambda connection: load_status(connection, settings))
    if as_json:
        print_json(status)
        return
    database = status["database"]
    typer.echo(
        f"Kith {status['version']} on PostgreSQL {database['version']}: database {database['name']!r}, "
        f"{database['bytes'] / 1_000_000:.1f} MB, schema {database['schema']}\n"
    )
    print_table([shard for shard in status["shards"] if shard["head"]], "Nothing was written yet.")
    typer.echo()
    print_table(status["workspaces"], "There are no workspaces yet.")
    if (redis := status["redis"]) is not None:
        typer.echo()
        typer.echo(f"Redis does not answer: {redis['fault']}" if redis["fault"] else "Redis answers.")


async def load_status(connection: Connection, settings: Settings) -> dict[str, Any]:
    """Raises NotYet where the log is in Kafka, and no broker answers."""
    check_place(await load_place(connection), settings)
    shards = await load_shards(connection)
    if settings.kafka_bootstrap:
        heads = await load_kafka_heads(settings, await load_bases(connection))
        shards = [msgspec.structs.replace(shard, head=heads[shard.shard]) for shard in shards]
    return {
        "version": __version__,
        "database": msgspec.structs.asdict(await load_server(connection)),
        "lag": sum(shard.head - shard.cursor for shard in shards),
        "shards": [{**msgspec.structs.asdict(shard), "lag": shard.head - shard.cursor} for shard in shards],
        "redis": await load_redis(settings),
        "workspaces": [msgspec.structs.asdict(rows) for rows in await load_workspace_rows(connection)],
    }


async def load_kafka_heads(settings: Settings, bases: dict[int, int]) -> dict[int, int]:
    from kith.log.kafka import KafkaLog  # noqa: PLC0415 - a client of Kafka; other commands start faster without it

    log = await KafkaLog.open(settings, len(bases), bases, False)
    try:
        return await log.load_heads()
    finally:
        await log.close()


async def load_redis(settings: Settings) -> dict[str, Any] | None:
    """Whether the processes can share what is pending; None where they are not told to."""
    if not settings.redis_url:
        return None
    from kith.pending.redis_client import find_fault  # noqa: PLC0415 - a client of Redis; likewise

    return {"fault": await find_fault(settings.redis_url, settings.redis_timeout_ms)}


def show_openapi(as_json: AsJson = False) -> None:
    """Print the OpenAPI 3.1 document of this version. It is JSON with or without --json."""
    from kith.api.openapi import make_document  # noqa: PLC0415 - the whole API; other commands start faster without it
    from kith.api.routes import TABLE  # noqa: PLC0415 - likewise

    print_json(make_document(TABLE))


def replay(
    _: Annotated[bool, typer.Option("--check", help="Compare, and change nothing.", show_default=False)],
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Apply the log's commands to an empty database and compare every table with the real one."""
    from kith.engine.admin.replay import replay_check  # noqa: PLC0415 - the writer's code; other commands start faster

    settings = load_settings(data=data)
    report = asyncio.run(replay_check(get_database_url(settings), settings))
    if as_json:
        print_json(msgspec.structs.asdict(report))
    else:
        typer.echo(
            f"Applied {report.entries} commands again and compared {len(report.tables)} tables: "
            f"{len(report.differences) or 'no'} differences."
        )
        for difference in report.differences:
            typer.echo(f"  {difference}")
    if report.differences:
        raise typer.Exit(1)
