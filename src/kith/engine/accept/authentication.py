"""Authenticate the caller of a request by its API key."""

import re

from kith.engine.context.engine import Engine
from kith.engine.context.key_cache import KINDS, Caller, has_expired, hash_key
from kith.errors import Exposed

KEY_BEGINNING = re.compile(rf"kith_(?:{'|'.join(KINDS.values())})_")
KEY_FORM = re.compile(rf"{KEY_BEGINNING.pattern}[A-Za-z0-9_-]{{43}}")
KEY_CHARACTERS = len("kith_srv_") + 43


async def authenticate(engine: Engine, token: str) -> Caller:
    """Whoever has this key, of whatever kind. Raises 401 for one that is unknown, expired or revoked.

    The hash is the look-up's key, so how long it takes says nothing about the text of any other key.
    """
    if not KEY_FORM.fullmatch(token):
        raise make_refusal("INVALID_API_KEY", f"This is not an API key: {describe(token)}")
    kept = await engine.keys.look_up(hash_key(token))
    if kept.caller is None:
        raise make_refusal("INVALID_API_KEY", "This API key is not known here.")
    if kept.revoked:
        raise make_refusal("REVOKED_API_KEY", "This API key was revoked.")
    if has_expired(kept.caller, engine.clock.now()):
        expires_at = kept.caller.expires_at
        raise make_refusal("EXPIRED_API_KEY", f"This API key expired at {expires_at:%Y-%m-%d %H:%M} UTC.")
    return kept.caller


def describe(token: str) -> str:
    """What is wrong with a text that is no key, without a character of it."""
    if token[:7].lower() == "bearer ":
        return "'Bearer ' belongs in front of it in the Authorization header only. X-API-Key takes the key alone."
    if not KEY_BEGINNING.match(token):
        return "keys begin with kith_srv_."
    if len(token) != KEY_CHARACTERS:
        return f"it has {len(token)} characters, and a key has {KEY_CHARACTERS}. Copy the whole key, and nothing else."
    return "a key has letters, digits, - and _ only."


def make_refusal(code: str, message: str) -> Exposed:
    challenge = 'Bearer realm="kith", error="invalid_token"'
    return Exposed(code, message, headers={"WWW-Authenticate": challenge})
