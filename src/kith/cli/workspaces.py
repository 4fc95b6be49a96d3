"""``kith workspaces``: the tenants of an installation."""

from typing import Annotated, Any, Literal

import typer

from kith.cli.connect import Data, run_connected
from kith.cli.output import AsJson, print_json, print_table
from kith.clock import SystemClock
from kith.engine.workspaces import change_workspace, create_workspace
from kith.model.workspaces import Workspace
from kith.settings import load_settings
from kith.store import workspaces as store

app = typer.Typer(help="Make, list and change workspaces (tenants).", no_args_is_help=True, rich_markup_mode=None)

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
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Change a workspace's settings."""
    if strict_properties is None and timezone is None:
        raise typer.BadParameter("nothing to change: give --strict-properties or --timezone")
    strict = None if strict_properties is None else strict_properties == "on"
    workspace = run_connected(
        load_settings(data=data), lambda connection: change_workspace(connection, name, timezone, strict)
    )
    if as_json:
        print_json(to_row(workspace))
    else:
        print_table([to_row(workspace)], "")


def to_row(workspace: Workspace) -> dict[str, Any]:
    return {
        "id": workspace.id,
        "name": workspace.name,
        "timezone": workspace.timezone,
        "strictProperties": workspace.strict_properties,
        "shard": workspace.shard,
    }
