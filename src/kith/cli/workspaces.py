"""``kith workspaces``: the tenants of an installation."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from kith.cli.connect import Data, run_connected
from kith.cli.output import AsJson, print_json, print_table
from kith.clock import SystemClock
from kith.engine.admin.workspaces import change_workspace, create_workspace, get_workspace
from kith.engine.context.quota_usage import load_usage
from kith.model.quotas import QUOTAS, get_limit
from kith.model.workspaces import Workspace
from kith.settings import load_settings
from kith.store import workspaces as store
from kith.store.database import Connection

app = typer.Typer(help="Make, list and change workspaces (tenants).", no_args_is_help=True, rich_markup_mode=None)

DEFAULT = -1
# What a quota can be set to beside a number.
WORDS = {"none": None, "default": DEFAULT}
Name = Annotated[str, typer.Argument(help="The workspace's name.")]
Timezone = Annotated[str | None, typer.Option(help="An IANA name such as Europe/Berlin.", show_default=False)]


@app.command()
def create(name: Name, timezone: Timezone = None, data: Data = None, as_json: AsJson = False) -> None:
    """Make a workspace."""
    workspace = run_connected(
        load_settings(data=data),
        lambda connection: create_workspace(connection, SystemClock(), name, timezone or "UTC"),
    )
    if as_json:
        print_json(to_row(workspace))
    else:
        typer.echo(f"Made workspace {workspace.name!r}. A key for it: kith keys create --workspace '{workspace.name}'")


@app.command("list")
def list_all(data: Data = None, as_json: AsJson = False) -> None:
    """List all workspaces."""
    rows = [to_row(workspace) for workspace in run_connected(load_settings(data=data), store.list_workspaces)]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, "There are no workspaces yet.")


@app.command("set")
def change(
    name: Name,
    strict_properties: Annotated[
        Literal["on", "off"] | None,
        typer.Option(help="Refuse property keys that have no definition.", show_default=False),
    ] = None,
    timezone: Timezone = None,
    quota: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=LIMIT",
            help="Such as lists=200, bytes=20GB, contacts=none or tags=default. May be given several times.",
            show_default=False,
        ),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Change a workspace's settings and quotas. Servers take them over within seconds."""
    if strict_properties is None and timezone is None and not quota:
        raise typer.BadParameter("nothing to change: give --strict-properties, --timezone or --quota")
    quotas = dict(map(parse_quota, quota or ()))
    given = {one: limit for one, limit in quotas.items() if limit != DEFAULT}
    defaults = quotas.keys() - given.keys()
    strict = None if strict_properties is None else strict_properties == "on"

    async def work(connection: Connection) -> tuple[Workspace, dict[str, int]]:
        workspace = await change_workspace(connection, name, timezone, strict, given, defaults)
        return workspace, (await load_usage(connection, workspace))[1]

    print_workspace(*run_connected(load_settings(data=data), work), as_json)


@app.command()
def show(name: Name, data: Data = None, as_json: AsJson = False) -> None:
    """Show a workspace: its settings, and what it uses of its quotas."""

    async def work(connection: Connection) -> tuple[Workspace, dict[str, int]]:
        workspace = await get_workspace(connection, name)
        return workspace, (await load_usage(connection, workspace))[1]

    print_workspace(*run_connected(load_settings(data=data), work), as_json)


def print_workspace(workspace: Workspace, used: Mapping[str, int], as_json: bool) -> None:
    quotas = [to_quota(workspace, quota, used.get(quota)) for quota in QUOTAS]
    if as_json:
        print_json({**to_row(workspace), "quotas": quotas})
    else:
        print_table([to_row(workspace)], "")
        typer.echo()
        print_table([{**quota, "limit": "none" if quota["limit"] is None else quota["limit"]} for quota in quotas], "")


def to_quota(workspace: Workspace, name: str, used: int | None) -> dict[str, Any]:
    """A quota as it is shown; of what one record may have, nothing is used."""
    return {
        "quota": name,
        "used": used,
        "limit": get_limit(workspace, name),
        "source": "set" if name in workspace.quotas else "default",
        "meaning": QUOTAS[name].meaning,
    }


def parse_quota(text: str) -> tuple[str, int | None]:
    """``lists=200``, ``bytes=20GB``, ``contacts=none`` for no limit, or ``tags=default``."""
    name, _, given = (part.strip() for part in text.partition("="))
    if given in WORDS:
        return name, WORDS[given]
    match = re.fullmatch(r"([0-9_,]{1,30})\s*(?:([KMGT])i?B?)?", given)
    if match is None or not (digits := re.sub("[_,]", "", match[1])):
        raise typer.BadParameter(f"{text!r} is not NAME=LIMIT, such as lists=200, bytes=20GB or tags=default")
    return name, int(digits) * 1024 ** (" KMGT".index(match[2]) if match[2] else 0)


def to_row(workspace: Workspace) -> dict[str, Any]:
    return {
        "id": workspace.id,
        "name": workspace.name,
        "timezone": workspace.timezone,
        "strictProperties": workspace.strict_properties,
        "shard": workspace.shard,
    }
