"""``make fake-vendors``: HubSpot and Mailchimp on this machine, to try integrations out without accounts."""

import asyncio
import sys
from typing import Annotated

import typer

from kith.errors import to_reason
from kith.processes.supervise import STOP_SIGNALS
from tools.fake_vendors import hubspot, mailchimp
from tools.fake_vendors.app import Fake
from tools.fake_vendors.faults import Faults
from tools.fake_vendors.server import serving

REQUESTS_KEPT = 10_000

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def main(
    host: Annotated[str, typer.Option(help="The address that they listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)] = 8900,
    faults: Annotated[float, typer.Option(help="The share of requests that fail on purpose.", min=0, max=1)] = 0.0,
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same faults.", show_default="another each time")
    ] = None,
) -> None:
    """Stand in for HubSpot and Mailchimp, to try integrations out without accounts. Nothing is kept."""
    try:
        asyncio.run(serve(host, port, Fake(faults=Faults(faults, seed), requests_kept=REQUESTS_KEPT)))
    except OSError as error:
        sys.exit(f"fake-vendors: {host} port {port} cannot be used: {to_reason(error)}; use another --host or --port")


async def serve(host: str, port: int, fake: Fake) -> None:
    """Print the addresses and the tokens, and answer until a signal stops the process."""
    stop = asyncio.Event()
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving(fake, host, port) as url:
        typer.echo(
            f"KITH_HUBSPOT_URL={url}{hubspot.PREFIX} KITH_MAILCHIMP_URL={url}{mailchimp.PREFIX} "
            f"with the tokens {fake.hubspot.token} and {fake.mailchimp.token}"
        )
        await stop.wait()


if __name__ == "__main__":
    app()
