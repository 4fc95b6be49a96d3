"""``kith keys``: who may come in."""

import re
from datetime import timedelta
from typing import Annotated, Any

import typer

from kith.cli.connect import Data, run_connected
from kith.cli.output import AsJson, print_json, print_table, to_time
from kith.clock import SystemClock
from kith.engine.admin.keys import DEFAULT_SCOPES, SCOPES, Kind, Tier, create_key, revoke_key
from kith.engine.admin.workspaces import get_workspace
from kith.settings import load_settings
from kith.store.database import Connection
from kith.store.keys import ApiKey, list_keys

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True, rich_markup_mode=None)

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def make_rate(what: str) -> Any:
    return typer.Option(help=f"{what} in each second, 0 for no limit.", min=0, max=2**31 - 1, show_default="the tier's")


def parse_duration(text: str) -> timedelta:
    """``30d``, ``12h``, ``90m`` or ``3600s``."""
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text.strip())
    if match is None or int(match[1]) == 0:
        raise typer.BadParameter(f"{text!r} is no duration; write 30d, 12h, 90m or 3600s")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


def parse_scope(text: str) -> str:
    if text not in SCOPES:
        raise typer.BadParameter(f"no scope {text!r}; there are {', '.join(SCOPES)}")
    return text


def list_scopes(incomplete: str) -> list[str]:
    return [scope for scope in SCOPES if scope.startswith(incomplete)]


@app.command()
def create(
    workspace: Annotated[str, typer.Option("--workspace", "-w", help="The workspace that the key opens.")],
    name: Annotated[
        str | None, typer.Option(help="What operations and `kith keys list` show.", show_default="none")
    ] = None,
    kind: Annotated[Kind, typer.Option(help="The CRM takes server keys only.")] = "server",
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help=f"One of {', '.join(SCOPES)}; each includes those before it.",
            parser=parse_scope,
            autocompletion=list_scopes,
            metavar="SCOPE",
            show_default=", ".join(DEFAULT_SCOPES),
        ),
    ] = None,
    tier: Annotated[Tier, typer.Option(help="Decides the rate limits.")] = "growth",
    rate_per_s: Annotated[int | None, make_rate("Requests")] = None,
    batch_per_s: Annotated[int | None, make_rate("Batch calls")] = None,
    expires_in: Annotated[
        timedelta | None,
        typer.Option(
            help="Such as 30d, 12h, 90m, 3600s.", parser=parse_duration, metavar="DURATION", show_default="never"
        ),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. Its text is shown now and never again."""

    async def work(connection: Connection) -> tuple[str, ApiKey]:
        return await create_key(
            connection,
            SystemClock(),
            await get_workspace(connection, workspace),
            name=name,
            kind=kind,
            scopes=scope or DEFAULT_SCOPES,
            tier=tier,
            rate_per_s=rate_per_s,
            batch_per_s=batch_per_s,
            expires_in=expires_in,
        )

    text, key = run_connected(load_settings(data=data), work)
    if as_json:
        print_json({"id": key.id, "key": text, **to_row(key)})
    else:
        typer.echo(text)
        typer.echo(f"This is key {key.id} of workspace {key.workspace!r}; it is not shown again.", err=True)


@app.command("list")
def list_all(
    workspace: Annotated[str | None, typer.Option("--workspace", "-w", help="Only this workspace's.")] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """List keys with the time of their last use, also those that are expired or revoked."""

    async def work(connection: Connection) -> list[ApiKey]:
        return await list_keys(connection, await get_workspace(connection, workspace) if workspace else None)

    keys = run_connected(load_settings(data=data), work)
    rows = [
        {
            "id": key.id,
            "hint": key.hint,
            **to_row(key),
            "revokedAt": to_time(key.revoked_at),
            "lastUsedAt": to_time(key.last_used_at),
        }
        for key in keys
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, "There are no keys yet.")


@app.command()
def revoke(
    key_id: Annotated[int, typer.Argument(metavar="ID", help="The key's number, as `kith keys list` shows it.")],
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a key. It stops working within 5 seconds, for good."""
    run_connected(load_settings(data=data), lambda connection: revoke_key(connection, SystemClock(), key_id))
    if as_json:
        print_json({"id": key_id, "revoked": True})
    else:
        typer.echo(f"Key {key_id} is revoked.")


def to_row(key: ApiKey) -> dict[str, Any]:
    return {
        "workspace": key.workspace,
        "name": key.name,
        "kind": key.kind,
        "scopes": key.scopes,
        "tier": key.tier,
        "expiresAt": to_time(key.expires_at),
    }
