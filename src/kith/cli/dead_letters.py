"""``kith dead-letters``: what the writer could not apply, and trying it again."""

import asyncio
import re
import sys
from base64 import b64encode
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from time import monotonic
from typing import Annotated, Any

import typer

from kith.cli.connect import Data, run_connected
from kith.cli.keys import parse_duration
from kith.cli.output import AsJson, print_json, print_table, to_time
from kith.clock import SystemClock
from kith.engine.admin.dead_letters import check_open, find_command, get_dead_letters, retry_dead_letters
from kith.engine.admin.workspaces import get_workspace
from kith.installation.data_folder import get_database_url
from kith.settings import Settings, load_settings
from kith.store.database import Connection, Database, connect
from kith.store.dead_letters import DeadLetter, list_dead_letters, load_dead_letters
from kith.store.migrate import check_schema
from kith.store.queries import load_queries

app = typer.Typer(
    help="List, show and retry what the writer could not apply.", no_args_is_help=True, rich_markup_mode=None
)

REASON_CHARACTERS_MAX = 60
LOOK_EVERY_S = 0.1
ALL_MAX = 10_000
_LOG = load_queries("log")
Place = tuple[int, int]


def parse_place(text: str) -> Place:
    """``3:17``: shard and position."""
    match = re.fullmatch(r"([0-9]{1,5}):([0-9]{1,18})", text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} names no dead letter; write SHARD:POSITION, such as 3:17")
    return int(match[1]), int(match[2])


def parse_since(text: str) -> datetime:
    """A time, or how long ago."""
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        return SystemClock().now() - parse_duration(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


Places = Annotated[
    list[Any] | None,
    typer.Argument(
        metavar="SHARD:POSITION",
        help="As `kith dead-letters list` shows them; several may be given.",
        parser=parse_place,
    ),
]
OnShard = Annotated[int | None, typer.Option("--shard", help="Only this shard's.", min=0, show_default=False)]
OfWorkspace = Annotated[
    str | None, typer.Option("--workspace", "-w", help="Only this workspace's.", show_default=False)
]
Since = Annotated[
    datetime | None,
    typer.Option(
        help="Only what was set aside since: a time in ISO 8601 (UTC unless it says otherwise), or such as 30d, 12h.",
        parser=parse_since,
        metavar="TIME",
        show_default=False,
    ),
]


@app.command("list")
def list_all(
    shard: OnShard = None,
    workspace: OfWorkspace = None,
    since: Since = None,
    only_open: Annotated[bool, typer.Option("--open", help="Only those that were not retried yet.")] = False,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=1000)] = 50,
    after: Annotated[
        Any,
        typer.Option(
            help="Go on behind this one, the last of the page before.",
            parser=parse_place,
            metavar="SHARD:POSITION",
            show_default=False,
        ),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """List what was set aside, the newest first."""

    async def work(connection: Connection) -> list[DeadLetter]:
        if after is not None:
            await get_dead_letters(connection, [after])
        found = await get_workspace(connection, workspace) if workspace else None
        return await list_dead_letters(
            connection, limit + 1, shard, found.id if found else None, since, after, only_open=only_open
        )

    letters = run_connected(load_settings(data=data), work)
    following = letters[limit - 1].id if len(letters) > limit else None
    if as_json:
        print_json({"data": [to_row(letter) for letter in letters[:limit]], "meta": {"next": following}})
        return
    print_table([to_line(letter) for letter in letters[:limit]], "Nothing was set aside.")
    if following:
        typer.echo(f"There are more: --after {following}", err=True)


@app.command()
def show(
    place: Annotated[
        Any, typer.Argument(metavar="SHARD:POSITION", help="As `kith dead-letters list` shows it.", parser=parse_place)
    ],
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show one: why it was set aside, what became of it, and its command, or its bytes where no program reads them."""
    (letter,) = run_connected(load_settings(data=data), lambda connection: get_dead_letters(connection, [place]))
    assert letter.entry is not None
    command, unreadable = find_command(letter.entry)
    raw = b64encode(letter.entry).decode() if command is None else None
    if as_json:
        print_json({**to_row(letter), "command": command, "unreadable": unreadable, "bytes": raw})
        return
    for name, value in to_row(letter).items():
        typer.echo(f"{name}: {'-' if value is None else ' '.join(str(value).split())}")
    typer.echo()
    if command is not None:
        print_json(command)
    else:
        typer.echo(f"Its entry cannot be read ({unreadable}). In base64:\n{raw}")


@app.command()
def retry(
    places: Places = None,
    every: Annotated[
        bool, typer.Option("--all", help=f"All that were not retried yet, {ALL_MAX:,} at a time.")
    ] = False,
    shard: OnShard = None,
    workspace: OfWorkspace = None,
    since: Since = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the writer; 0 does not wait.", min=0)] = 10,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Put commands that were set aside on the log again, in their order, and tell what became of them.

    Each is applied now, behind all that was accepted since: mend the cause first. However often it is retried, it is
    applied once. The exit status is 1 unless all of them were applied, or 0 where that was not waited for.
    """
    if bool(places) == every:
        raise typer.BadParameter("name dead letters as SHARD:POSITION, or give --all")
    if places and any(given is not None for given in (shard, workspace, since)):
        raise typer.BadParameter("--shard, --workspace and --since go with --all")
    settings = load_settings(data=data)
    filters = (shard, workspace, since)
    letters = asyncio.run(run_retries(settings, get_database_url(settings), places, filters, wait))
    rows = [to_row(letter) for letter in letters]
    if as_json:
        print_json(rows)
    else:
        print_table([to_line(letter) for letter in letters], "There is nothing to retry.")
    if wait and any(letter.outcome != "APPLIED" for letter in letters):
        raise typer.Exit(1)


async def run_retries(
    settings: Settings,
    url: str,
    places: Sequence[Place] | None,
    filters: tuple[int | None, str | None, datetime | None],
    wait_s: float,
) -> list[DeadLetter]:
    """Those that were retried, as they are in the end. Raises NotFound, InvalidRequest for what was retried before."""
    from kith.engine.context.engine import load_installation  # noqa: PLC0415 - the engine; other commands start faster
    from kith.log.factory import open_log  # noqa: PLC0415 - likewise

    async with AsyncExitStack() as stack:
        connection = await connect(url)
        stack.push_async_callback(connection.close)
        await check_schema(connection)
        letters = await find_wanted(connection, places, *filters)
        if not letters:
            return []
        database = await Database.open(url, settings, "worker", connections_max=2)
        stack.push_async_callback(database.close)
        partitions = (await load_installation(database)).partitions
        log = await stack.enter_async_context(open_log(settings, database, url, partitions))
        ends: dict[int, int] = {}
        done = 0
        async for shard, position in retry_dead_letters(log, letters, SystemClock().now()):
            ends[shard] = position
            done += 1
            tell(f"On the log again: {done} of {len(letters)}", done == len(letters))
        await wait_until_applied(connection, ends, wait_s)
        retried = [(letter.shard, letter.position) for letter in letters]
        return await load_dead_letters(connection, retried)


async def find_wanted(
    connection: Connection,
    places: Sequence[Place] | None,
    shard: int | None,
    workspace: str | None,
    since: datetime | None,
) -> list[DeadLetter]:
    """With their entries, in the order of the log."""
    if places:
        letters = await get_dead_letters(connection, places)
        for letter in letters:
            check_open(letter)
        return letters
    workspace_id = (await get_workspace(connection, workspace)).id if workspace else None
    wanted = await list_dead_letters(connection, ALL_MAX, shard, workspace_id, since, only_open=True)
    return await load_dead_letters(connection, [(letter.shard, letter.position) for letter in wanted])


async def wait_until_applied(connection: Connection, ends: dict[int, int], wait_s: float) -> None:
    """Until the writer has passed these positions, or the time is over."""
    until = monotonic() + wait_s
    while monotonic() < until:
        cursors = {row["shard"]: row["position"] for row in await connection.fetch(_LOG["load_cursors"])}
        left = sum(cursors[shard] < end for shard, end in ends.items())
        if not left:
            return
        await asyncio.sleep(LOOK_EVERY_S)


def tell(line: str, last: bool) -> None:
    """Progress, for whoever watches a terminal."""
    if sys.stderr.isatty():
        typer.echo(f"\r{line}", err=True, nl=last)


def to_row(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "shard": letter.shard,
        "position": letter.position,
        "workspace": letter.workspace,
        "operationId": letter.operation_id,
        "reason": letter.reason,
        "setAsideAt": to_time(letter.set_aside_at),
        "retryOf": None if letter.retry_of is None else f"{letter.shard}:{letter.retry_of}",
        "retriedAt": to_time(letter.retried_at),
        "retryPosition": None if letter.retry_position is None else f"{letter.shard}:{letter.retry_position}",
        "outcome": letter.outcome,
    }


def to_line(letter: DeadLetter) -> dict[str, Any]:
    """What a line of a table has room for."""
    row = to_row(letter)
    reason = " ".join(letter.reason.split())
    short = reason if len(reason) <= REASON_CHARACTERS_MAX else reason[: REASON_CHARACTERS_MAX - 1] + "…"
    kept = ("id", "workspace", "operationId", "setAsideAt", "retryOf", "retriedAt", "outcome")
    return {name: row[name] for name in kept} | {"reason": short}
