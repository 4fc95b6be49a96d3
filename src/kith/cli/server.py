"""Asking a running server, as any client does."""

import json
import shlex
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from http.client import HTTPException, InvalidURL
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import msgspec

from kith.errors import CODES, Exposed, StartError, to_reason
from kith.installation.data_folder import find_address, read_secret
from kith.settings import DEFAULTS, Settings, load_settings

TIMEOUT_S = 60
# Numbers keep their digits.
_load = partial(json.load, parse_float=Decimal)
ADMIN_KEY = "admin.key"
DEFAULT_URL = "http://127.0.0.1:8000"


def find_server(data: str | None) -> Settings:
    """The settings for a command that asks a server.

    A folder that the command line names goes before KITH_URL and KITH_KEY; the folder that is the default goes behind.
    Raises StartError where no server runs in a folder that was named, and KITH_URL names none.
    """
    settings = load_settings(data=data)
    address = find_address(Path(settings.data))
    if data is not None and address is not None:
        key = "" if (Path(data) / ADMIN_KEY).exists() else settings.key
        return msgspec.structs.replace(settings, url=address, key=key)
    if not (settings.url or address) and (data is not None or settings.data != DEFAULTS["data"]):
        folder = Path(settings.data).absolute()
        raise StartError(
            f"No server runs in the data folder {folder}. Start it with `kith serve --data {shlex.quote(str(folder))}`,"
            " or set KITH_URL to the address of another server."
        )
    return msgspec.structs.replace(settings, url=settings.url or address or DEFAULT_URL)


def find_key(settings: Settings) -> str:
    """KITH_KEY, else the admin key of the data folder. Raises StartError where there is neither."""
    if key := settings.key.strip():
        return check_key("KITH_KEY", key)
    kept = Path(settings.data) / ADMIN_KEY
    if (text := read_secret(kept, "the admin key")) is None:
        raise StartError(
            f"There is no API key: set KITH_KEY, or run this where the data folder is ({kept} is not there)."
        )
    return check_key(str(kept), text)


def check_key(name: str, key: str) -> str:
    """The key, if a header may hold it. It is never shown."""
    if not (key.isascii() and key.isprintable()):
        raise StartError(f"{name} is no API key: it has characters that no key has. Copy the key again.")
    return key


def ask(settings: Settings, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The server's answer. Raises its refusal as the error that it is, StartError where no server answers."""
    url = settings.url.rstrip("/") + path
    if not url.startswith(("http://", "https://")):
        raise StartError(f"KITH_URL is {settings.url!r}; it must begin with http:// or https://.")
    headers = {"Authorization": f"Bearer {find_key(settings)}", "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body is not None else None
    request = Request(url, data, headers, method=method)  # noqa: S310 - http and https only
    try:
        with urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            found: dict[str, Any] = _load(answer)
            return found
    except HTTPError as error:
        raise to_error(error) from None
    except InvalidURL:
        raise StartError(f"KITH_URL is {settings.url!r}, which is no address; write http://host:port.") from None
    except (HTTPException, json.JSONDecodeError, UnicodeDecodeError):
        raise StartError(f"What answers at {settings.url} is not Kith. Is KITH_URL right?") from None
    except OSError as error:
        reason = error.reason if isinstance(error, URLError) else error
        why = to_reason(reason) if isinstance(reason, Exception) else reason
        raise StartError(f"No server answers at {settings.url} ({why}). Is `kith serve` running there?") from None


def to_error(answer: HTTPError) -> Exception:
    try:
        told = _load(answer)["error"]
        code, message, details = told["code"], told["message"], told["details"]
    except (ValueError, KeyError, TypeError):
        return StartError(f"{answer.url} answered {answer.code}, and not as Kith does.")
    return Exposed(code if code in CODES else "INTERNAL", message, details)
