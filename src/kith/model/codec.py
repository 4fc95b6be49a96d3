"""Envelopes on the log: one version byte, then JSON. A decoder is never removed.

A command is written as version 1, which every program reads; version 2 is a retry of an entry that was set aside, and
nothing else. A program that knows of no retries stops at one, and passes over nothing.
"""

import unicodedata
from collections.abc import Callable, Mapping
from decimal import Decimal

import msgspec

from kith.model.commands import Envelope, LogActivity, Retry

# A program that writes what this one cannot read, a new type of command included, counts on.
VERSION = 2
# A first byte beyond is no version, and the entry is damaged.
VERSION_MAX = 63
_COMMAND, _RETRY = 1, 2

_encoder = msgspec.json.Encoder(decimal_format="number")
_decode_command = msgspec.json.Decoder(Envelope, float_hook=Decimal).decode
_decode_retry = msgspec.json.Decoder(Retry).decode


class Undecodable(ValueError):
    """An entry of the log that no decoder of this program reads."""


class Newer(Undecodable):
    """An entry that a newer version of this program has written."""


def encode_envelope(envelope: Envelope) -> bytes:
    return bytes((_COMMAND,)) + _encoder.encode(envelope)


def encode_retry(retry: Retry) -> bytes:
    return bytes((_RETRY,)) + _encoder.encode(retry)


def decode_envelope(entry: bytes) -> Envelope:
    """Of a retry, the envelope that it holds with what marks it. Raises Undecodable with the reason."""
    decode = DECODERS.get(entry[0]) if entry else None
    if entry and VERSION < entry[0] <= VERSION_MAX:
        raise Newer(f"An entry of the log has version {entry[0]}, and this program reads up to {VERSION}.")
    if decode is None:
        raise Undecodable(f"The entry has version {entry[0] if entry else 'none'}; known are {sorted(DECODERS)}.")
    try:
        return decode(memoryview(entry)[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable(str(error)) from None


def find_retry(entry: bytes) -> Retry | None:
    """The entry as a retry, whose own entry may be undecodable still. None where it is none."""
    if not entry or entry[0] != _RETRY:
        return None
    try:
        return _decode_retry(memoryview(entry)[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _unfold_retry(body: bytes | memoryview) -> Envelope:
    """The command of a retry is decided as one of the time when that was asked for; what it logs keeps its time."""
    retry = _decode_retry(body)
    if retry.entry[:1] == bytes((_RETRY,)):
        raise Undecodable("A retry holds a retry.")
    envelope = decode_envelope(retry.entry)
    command = envelope.command
    if isinstance(command, LogActivity) and command.occurred_at is None:
        command = msgspec.structs.replace(command, occurred_at=envelope.at)
    return msgspec.structs.replace(
        envelope, command=command, at=retry.at, accepted_at=envelope.at, retry_of=retry.position
    )


def _decode_composed(body: bytes | memoryview) -> Envelope:
    """The command with all its text in NFC, which earlier programs did not see to.

    Nothing composes with the marks of JSON, so that composing the whole is composing each text in it.
    """
    entry = bytes(body)
    if not entry.isascii() and not unicodedata.is_normalized("NFC", text := entry.decode()):
        entry = unicodedata.normalize("NFC", text).encode()
    return _decode_command(entry)


DECODERS: Mapping[int, Callable[[bytes | memoryview], Envelope]] = {_COMMAND: _decode_composed, _RETRY: _unfold_retry}
