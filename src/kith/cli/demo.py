"""``kith demo``: a workspace full of believable people, to try things out on."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from kith.cli.connect import Data
from kith.cli.output import AsJson, print_json
from kith.errors import StartError
from kith.settings import Settings, load_settings
from kith.store.data_folder import get_database_url

if TYPE_CHECKING:
    from kith.engine.context import Engine
    from kith.model.commands import Envelope

TOGETHER = 1000
# The writer is never further behind than this by our doing: others' writes shall not have to wait for it.
BEHIND_MAX = 8000
PATIENCE_S = 120


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """How many commands were put on the log and applied, and in which time."""

    commands: int
    seconds: float


def add_commands(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo(
    contacts: Annotated[int, typer.Option(help="How many people.", min=1, max=10_000_000)] = 1000,
    workspace: Annotated[str, typer.Option("--workspace", "-w", help="Where they go.")] = "default",
    seed: Annotated[int, typer.Option(help="Another seed makes other people; the same again changes nothing.")] = 1,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Fill a workspace with made-up people, companies, activities, tags, properties and lists, through the log.

    It needs a server that runs, and Faker, which comes with `pip install 'kith-crm[demo]'`.
    """
    if find_spec("faker") is None:
        raise StartError("The made-up people need Faker: pip install 'kith-crm[demo]', or `make setup` in a checkout.")
    settings = load_settings(data=data)
    with typer.progressbar(length=contacts, label=f"Filling {workspace}", file=sys.stderr) as bar:
        try:
            filled = asyncio.run(fill(settings, workspace, contacts, seed, bar.update))
        except KeyboardInterrupt:
            raise StartError(
                f"Interrupted: about {bar.pos:,} of {contacts:,} people are in workspace {workspace!r} and stay there."
                " The same command adds the rest; it changes none of those that are there."
            ) from None
    if as_json:
        print_json(msgspec.structs.asdict(filled))
    else:
        per_s = filled.commands / filled.seconds
        typer.echo(f"{filled.commands:,} commands are applied, in {filled.seconds:.1f} s: {per_s:,.0f} a second.")


async def fill(settings: Settings, name: str, contacts: int, seed: int, tell: Callable[[int], None]) -> Filled:
    """``tell`` hears of so many more contacts. Raises StartError where nothing is applied for too long."""
    from kith.cli.demo_people import Crowd  # noqa: PLC0415 - Faker takes a second to import
    from kith.engine.context import open_engine  # noqa: PLC0415 - the engine; other commands start faster without it
    from kith.engine.workspaces import get_workspace  # noqa: PLC0415 - likewise
    from kith.model.codec import encode_envelope  # noqa: PLC0415 - likewise

    async with open_engine(settings, get_database_url(settings)) as engine:
        async with engine.database.acquire() as connection:
            workspace = await get_workspace(connection, name)
        crowd = Crowd(seed, contacts, workspace.id, engine.clock.now())
        began = time.monotonic()
        commands = position = 0
        for envelopes in cut(crowd.list_envelopes()):
            entries = (encode_envelope(one) for one in envelopes)
            appended = await asyncio.gather(
                *(engine.log.append(workspace.shard, workspace.id, entry) for entry in entries)
            )
            commands, position = commands + len(appended), appended[-1]
            await wait(engine, workspace.shard, position - BEHIND_MAX)
            tell(sum(type(one.command).__name__ == "CreateContact" for one in envelopes))
        await wait(engine, workspace.shard, position)
        return Filled(commands=commands, seconds=time.monotonic() - began)


def cut(envelopes: Iterator["Envelope"]) -> Iterator[list["Envelope"]]:
    while together := list(islice(envelopes, TOGETHER)):
        yield together


async def wait(engine: "Engine", shard: int, position: int) -> None:
    if not await engine.progress.wait(shard, position, PATIENCE_S):
        raise StartError(f"Nothing was applied for {PATIENCE_S} s. Does a writer run?")
