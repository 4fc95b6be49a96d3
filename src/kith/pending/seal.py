"""Authentication of what stands in Redis: an HMAC by a key that only the installation's processes have.

Whoever can write to Redis can delete values and change their order. A value that the installation did not write for
this workspace, operation and purpose is treated as absent.
"""

import hashlib
import hmac

import structlog
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

# find.lua has the same number: it cuts the seal off a holder.
MAC_BYTES = 16
KEY_BYTES = 32
ID_BYTES = 8
logger = structlog.get_logger(__name__)


class Seal:
    """``installation`` is an id for names of keys: it says nothing about the secret that it is derived from."""

    def __init__(self, secret: bytes) -> None:
        self._key = _derive(secret, b"kith redis values", KEY_BYTES)
        self.installation = _derive(secret, b"kith redis names", ID_BYTES).hex()
        self._is_told = False

    def close(self, workspace_id: int, operation_id: str, purpose: str, value: bytes) -> bytes:
        """The value with its seal in front. The purpose names the field: a value fits no other place."""
        return self._sign(workspace_id, operation_id, purpose, value) + value

    def open(self, workspace_id: int, operation_id: str, purpose: str, sealed: bytes) -> bytes:
        """The value. Raises ValueError where the seal does not fit."""
        mac, value = sealed[:MAC_BYTES], sealed[MAC_BYTES:]
        if not hmac.compare_digest(mac, self._sign(workspace_id, operation_id, purpose, value)):
            if not self._is_told:
                self._is_told = True
                logger.warning(
                    "redis_value_ignored", workspace_id=workspace_id, reason="not sealed by this installation"
                )
            raise ValueError("the value is not sealed by this installation")
        return value

    def _sign(self, workspace_id: int, operation_id: str, purpose: str, value: bytes) -> bytes:
        about = f"{workspace_id}\0{operation_id}\0{len(purpose.encode())}\0{purpose}\0".encode()
        return hmac.digest(self._key, about + value, hashlib.sha256)[:MAC_BYTES]


def _derive(secret: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, None, purpose).derive(secret)
