"""How an envelope stands on the log: one version byte, then JSON. A decoder is never removed."""

from collections.abc import Callable, Mapping
from decimal import Decimal

import msgspec

from kith.model.commands import Envelope

# A program that writes what this one cannot read, a new type of command included, counts on.
VERSION = 1
# A first byte beyond is no version, and the entry is damaged.
VERSION_MAX = 63

_encoder = msgspec.json.Encoder(decimal_format="number")
DECODERS: Mapping[int, Callable[[bytes | memoryview], Envelope]] = {
    1: msgspec.json.Decoder(Envelope, float_hook=Decimal).decode,
}


class Undecodable(ValueError):
    """An entry of the log that no decoder of this program reads."""


class Newer(Undecodable):
    """An entry that a newer version of this program has written."""


def encode_envelope(envelope: Envelope) -> bytes:
    return bytes((VERSION,)) + _encoder.encode(envelope)


def decode_envelope(entry: bytes) -> Envelope:
    """Raises Undecodable with the reason."""
    decode = DECODERS.get(entry[0]) if entry else None
    if entry and VERSION < entry[0] <= VERSION_MAX:
        raise Newer(f"An entry of the log has version {entry[0]}, and this program reads up to {VERSION}.")
    if decode is None:
        raise Undecodable(f"The entry has version {entry[0] if entry else 'none'}; known are {sorted(DECODERS)}.")
    try:
        return decode(memoryview(entry)[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable(str(error)) from None
