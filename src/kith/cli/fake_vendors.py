"""``kith fake-vendors``: HubSpot and Mailchimp on this machine, to try integrations out without accounts."""

import asyncio
from typing import Annotated

import typer

from kith.processes.supervise import STOP_SIGNALS

REQUESTS_KEPT = 10_000


def add_commands(app: typer.Typer) -> None:
    app.command("fake-vendors")(fake_vendors)


def fake_vendors(
    host: Annotated[str, typer.Option(help="The address that they listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)] = 8900,
    faults: Annotated[float, typer.Option(help="The share of requests that fail on purpose.", min=0, max=1)] = 0.0,
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same faults.", show_default="another each time")
    ] = None,
) -> None:
    """Stand in for HubSpot and Mailchimp, to try integrations out without accounts. Nothing is kept."""
    asyncio.run(serve(host, port, faults, seed))


async def serve(host: str, port: int, faults: float, seed: int | None) -> None:
    """Until the process is told to stop; that is a success."""
    from kith.integrations import fake  # noqa: PLC0415 - a server; other commands start faster without it

    stop = asyncio.Event()
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    vendors = fake.Fake(faults=fake.Faults(faults, seed), requests_kept=REQUESTS_KEPT)
    async with fake.serving(vendors, host, port) as url:
        typer.echo(
            f"KITH_HUBSPOT_URL={url}{fake.HUBSPOT_PREFIX} KITH_MAILCHIMP_URL={url}{fake.MAILCHIMP_PREFIX} "
            f"with the tokens {vendors.hubspot.token} and {vendors.mailchimp.token}"
        )
        await stop.wait()
