"""Credentials at rest: encrypted by keys that are not in the database."""

from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from kith.errors import Exposed, StartError
from kith.settings import Settings

# Where ``kith serve`` keeps the keys in its data folder, as KITH_SECRET_KEYS has them.
SECRETS_FILE = "secrets.key"
NO_KEYS = "Credentials cannot be kept: KITH_SECRET_KEYS is not set. `kith secrets new` prints a key for it."


class _Kept(msgspec.Struct, frozen=True):
    """The owner is within, as what is encrypted says nothing of the row in which it stands."""

    integration: str
    credentials: dict[str, Any]


class Vault:
    """Encrypts by the first key, and reads by any of them."""

    def __init__(self, keys: str) -> None:
        """Keys as ``kith secrets new`` prints them, by commas, the newest first. Raises StartError."""
        try:
            fernets = [Fernet(key.strip()) for key in keys.split(",") if key.strip()]
        except ValueError:
            raise StartError("KITH_SECRET_KEYS has a key that is none. `kith secrets new` prints one.") from None
        self._fernet = MultiFernet(fernets) if fernets else None

    @classmethod
    def from_settings(cls, settings: Settings) -> "Vault":
        return cls(settings.secret_keys)

    @property
    def is_open(self) -> bool:
        return self._fernet is not None

    def seal(self, integration: str, credentials: Mapping[str, Any]) -> bytes:
        """Raises SECRETS_UNAVAILABLE where there is no key."""
        return self._get_fernet().encrypt(msgspec.json.encode(_Kept(integration, dict(credentials))))

    def unseal(self, integration: str, sealed: bytes) -> dict[str, Any]:
        """Raises SECRETS_UNAVAILABLE where no key fits, or it is another integration's."""
        try:
            kept = msgspec.json.decode(self._get_fernet().decrypt(sealed), type=_Kept)
        except InvalidToken:
            kept = None
        if kept is None or kept.integration != integration:
            raise Exposed(
                "SECRETS_UNAVAILABLE",
                f"The credentials of {integration} cannot be read: no key in KITH_SECRET_KEYS fits. Add the key that"
                " was first when they were saved, or save them again.",
            )
        return kept.credentials

    def rotate(self, sealed: bytes) -> bytes:
        """The same, encrypted by the first key. Raises StartError where no key fits."""
        try:
            return self._get_fernet().rotate(sealed)
        except InvalidToken:
            raise StartError("Some credentials are encrypted by a key that is not in KITH_SECRET_KEYS.") from None

    def _get_fernet(self) -> MultiFernet:
        if self._fernet is None:
            raise Exposed("SECRETS_UNAVAILABLE", NO_KEYS)
        return self._fernet


def new_key() -> str:
    return Fernet.generate_key().decode()
