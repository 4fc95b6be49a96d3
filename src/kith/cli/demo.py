"""``kith demo``: a workspace full of believable people, to try things out on."""

import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from kith.cli.connect import Data
from kith.cli.output import AsJson, print_json
from kith.errors import StartError
from kith.installation.data_folder import get_database_url
from kith.settings import Settings, load_settings

if TYPE_CHECKING:
    from kith.engine.accept.operations import Outcome
    from kith.engine.context.engine import Engine
    from kith.model.commands import Envelope
    from kith.model.workspaces import Workspace

TOGETHER = 1000
# The writer is never further behind than this by our doing: others' writes shall not have to wait for it.
BEHIND_MAX = 8000
PATIENCE_S = 120
# Rejections that say that what a command makes is there.
PRESENT = frozenset(("EXTERNAL_ID_EXISTS", "PROPERTY_KEY_EXISTS", "TAG_KEY_EXISTS"))


class Filled(msgspec.Struct):
    """What became of the commands, and in which time.

    ``present`` are those whose effect is there already; ``reasons`` have the first message of each code.
    """

    applied: int = 0
    present: int = 0
    rejected: int = 0
    reasons: dict[str, str] = {}
    seconds: float = 0.0

    def note(self, outcome: "Outcome | None") -> None:
        """Count how an operation has ended; None where only a dead letter tells of it."""
        code = (outcome and outcome.code) or "INTERNAL"
        if outcome and outcome.status == "APPLIED":
            self.applied += 1
        elif code in PRESENT:
            self.present += 1
        else:
            self.rejected += 1
            self.reasons.setdefault(code, (outcome and outcome.message) or "See `kith dead-letters list`.")


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

    It needs a server that runs, and Faker: `make setup` in a checkout, else `pip install faker` beside Kith. Quotas are
    not checked. Where commands are rejected it says why and ends with 1: mend the reason and run it again, and it makes
    what is missing.
    """
    if find_spec("faker") is None:
        raise StartError(
            "The made-up people need Faker: `make setup` in a checkout, else `pip install faker` beside Kith."
        )
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
        per_s = (filled.applied + filled.rejected) / filled.seconds
        there = f", {filled.present:,} were there already" if filled.present else ""
        typer.echo(
            f"{filled.applied:,} commands are applied, {filled.rejected:,} rejected{there}; in {filled.seconds:.1f} s:"
            f" {per_s:,.0f} a second."
        )
    if filled.rejected:
        reasons = "; ".join(f"{code}: {message.rstrip('.')}" for code, message in filled.reasons.items())
        raise StartError(
            f"{filled.rejected:,} commands were rejected. {reasons}. When that is mended, the same command makes what"
            " is missing."
        )


async def fill(settings: Settings, name: str, contacts: int, seed: int, tell: Callable[[int], None]) -> Filled:
    """``tell`` hears of so many more contacts. Raises StartError where nothing is applied for too long."""
    from kith.cli.demo_people import Crowd  # noqa: PLC0415 - Faker takes a second to import
    from kith.engine.accept.operations import find_outcomes  # noqa: PLC0415 - likewise
    from kith.engine.admin.workspaces import get_workspace  # noqa: PLC0415 - likewise
    from kith.engine.context.engine import open_engine  # noqa: PLC0415 - the engine; other commands start faster without it
    from kith.model.codec import encode_envelope  # noqa: PLC0415 - likewise

    async with open_engine(settings, get_database_url(settings)) as engine:
        async with engine.database.acquire() as connection:
            workspace = await get_workspace(connection, name)
        crowd = Crowd(seed, contacts, workspace.id, engine.clock.now())
        filled, position = Filled(), 0
        waiting: deque[tuple[int, list[Envelope]]] = deque()

        async def settle(behind_max: int) -> None:
            await wait(engine, workspace.shard, position - behind_max)
            while waiting and waiting[0][0] <= position - behind_max:
                _, sent = waiting.popleft()
                ids = [one.operation_id for one in sent]
                outcomes = await find_outcomes(engine.database, workspace, ids)
                for one in ids:
                    filled.note(outcomes.get(one))

        began = time.monotonic()
        for envelopes in cut(crowd.list_envelopes()):
            sent = await list_missing(engine, workspace, envelopes)
            filled.present += len(envelopes) - len(sent)
            if sent:
                entries = (encode_envelope(one) for one in sent)
                appended = await asyncio.gather(
                    *(engine.log.append(workspace.shard, workspace.id, entry) for entry in entries)
                )
                position = max(appended)
                waiting.append((position, sent))
                await settle(BEHIND_MAX)
            tell(sum(type(one.command).__name__ == "CreateContact" for one in envelopes))
        await settle(0)
        filled.seconds = time.monotonic() - began
        return filled


async def list_missing(engine: "Engine", workspace: "Workspace", envelopes: list["Envelope"]) -> list["Envelope"]:
    """Those that no earlier run has applied; what was rejected is a new operation."""
    from kith.engine.accept.operations import find_outcomes  # noqa: PLC0415 - as in ``fill``
    from kith.ids import derive_id  # noqa: PLC0415 - likewise

    missing, unsure = [], envelopes
    while unsure:
        outcomes = await find_outcomes(engine.database, workspace, [one.operation_id for one in unsure])
        missing += [one for one in unsure if one.operation_id not in outcomes]
        unsure = [
            msgspec.structs.replace(one, operation_id=derive_id("op", "demo", one.operation_id))
            for one in unsure
            if one.operation_id in outcomes and outcomes[one.operation_id].status != "APPLIED"
        ]
    return missing


def cut(envelopes: Iterator["Envelope"]) -> Iterator[list["Envelope"]]:
    while together := list(islice(envelopes, TOGETHER)):
        yield together


async def wait(engine: "Engine", shard: int, position: int) -> None:
    if not await engine.progress.wait(shard, position, PATIENCE_S):
        raise StartError(f"Nothing was applied for {PATIENCE_S} s. Does a writer run?")
