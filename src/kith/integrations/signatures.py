"""The signatures of webhooks: how HubSpot and Mailchimp sign what they send, and the check of it."""

import base64
import hashlib
import hmac
import re

TOLERANCE_S = 300
HUBSPOT_SIGNATURE, HUBSPOT_TIMESTAMP = "x-hubspot-signature-v3", "x-hubspot-request-timestamp"
MAILCHIMP_SIGNATURE = "x-mailchimp-signature"
# What HubSpot decodes in the URI before it signs, and nothing else: an encoded %, # or & stays as it is.
_DECODED = {
    "%3A": ":",
    "%2F": "/",
    "%3F": "?",
    "%40": "@",
    "%21": "!",
    "%24": "$",
    "%27": "'",
    "%28": "(",
    "%29": ")",
    "%2A": "*",
    "%2C": ",",
    "%3B": ";",
}
_ENCODED = re.compile("|".join(_DECODED), re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,15}")


def sign_hubspot(secret: str, method: str, uri: str, body: bytes, timestamp_ms: int) -> str:
    """Version 3: ``uri`` is the whole public one with its query, as the app was given it; ``secret`` the app's."""
    signed = b"".join([method.encode(), decode_uri(uri).encode(), body, str(timestamp_ms).encode()])
    return base64.b64encode(hmac.digest(secret.encode(), signed, hashlib.sha256)).decode()


def verify_hubspot(
    secret: str, method: str, uri: str, body: bytes, *, signature: str | None, timestamp: str | None, now: float
) -> bool:
    """``signature`` and ``timestamp`` are the values of the two headers, ``now`` is in seconds since the epoch."""
    if signature is None or timestamp is None or not _NUMBER.fullmatch(timestamp):
        return False
    if abs(now - int(timestamp) / 1000) > TOLERANCE_S:
        return False
    return _agree(sign_hubspot(secret, method, uri, body, int(timestamp)), signature)


def decode_uri(uri: str) -> str:
    """The URI as HubSpot signs it."""
    return _ENCODED.sub(lambda found: _DECODED[found[0].upper()], uri)


def sign_mailchimp(secret: str, body: bytes, timestamp_s: int) -> str:
    """The whole value of the header. ``secret`` is what came once, when the webhook was made."""
    return f"t={timestamp_s},v1={_digest_mailchimp(secret, body, str(timestamp_s))}"


def verify_mailchimp(secret: str, body: bytes, *, signature: str | None, now: float) -> bool:
    """``signature`` is the value of the header, ``now`` is in seconds since the epoch."""
    parts = [part.strip().partition("=") for part in (signature or "").split(",")]
    times = [value for name, _, value in parts if name == "t"]
    if len(times) != 1 or not _NUMBER.fullmatch(times[0]) or abs(now - int(times[0])) > TOLERANCE_S:
        return False
    expected = _digest_mailchimp(secret, body, times[0])
    # There may be several while a secret is changed.
    return any(_agree(expected, value) for name, _, value in parts if name == "v1")


def _digest_mailchimp(secret: str, body: bytes, timestamp: str) -> str:
    return hmac.digest(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hex()


def _agree(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode())
