"""``kith secrets``: the keys by which the credentials of integrations are encrypted."""

from pathlib import Path

import msgspec
import typer

from kith.cli.connect import Data, run_connected
from kith.cli.output import AsJson, print_json
from kith.errors import StartError
from kith.installation.data_folder import read_secret
from kith.settings import Settings, load_settings
from kith.store.database import Connection

app = typer.Typer(
    help="The keys by which the credentials of integrations are encrypted.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def new(as_json: AsJson = False) -> None:
    """Print a new key for KITH_SECRET_KEYS. Nothing is changed by that."""
    from kith.integrations.credential_store import new_key  # noqa: PLC0415 - other commands start faster without it

    key = new_key()
    if as_json:
        print_json({"key": key})
    else:
        typer.echo(key)


@app.command()
def rotate(data: Data = None, as_json: AsJson = False) -> None:
    """Encrypt all credentials by the first key of KITH_SECRET_KEYS; the others may be taken away then."""
    from kith.integrations.accounts import rotate_credentials  # noqa: PLC0415 - likewise
    from kith.integrations.credential_store import Vault  # noqa: PLC0415 - likewise

    settings = add_kept_keys(load_settings(data=data))
    vault = Vault.from_settings(settings)
    if not vault.is_open:
        raise StartError("KITH_SECRET_KEYS is not set. Set it to the new key, a comma, and the old one.")

    async def work(connection: Connection) -> int:
        return await rotate_credentials(connection, vault)

    count = run_connected(settings, work)
    if as_json:
        print_json({"rotated": count})
    else:
        typer.echo(f"The credentials of {count} integrations are encrypted by the first key now.")


def add_kept_keys(settings: Settings) -> Settings:
    """With the keys that ``kith serve`` keeps in the data folder, where none are set."""
    from kith.integrations.credential_store import SECRETS_FILE  # noqa: PLC0415 - likewise

    kept = None if settings.secret_keys else read_secret(Path(settings.data) / SECRETS_FILE, "the keys of credentials")
    return msgspec.structs.replace(settings, secret_keys=kept) if kept else settings
