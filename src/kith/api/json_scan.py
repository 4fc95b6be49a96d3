"""Bound what a JSON text holds before anything parses it: values, nesting, and escapes in its texts.

The scan is linear, and methods of ``bytes`` do all of its work.
"""

from itertools import accumulate

from kith.errors import InvalidRequest

VALUES_MAX = 6000
DEPTH_MAX = 64
# A record takes fewer, even where a client escapes each of its letters: parsers take longest for these.
ESCAPES_MAX = 150_000

OPENING = b"[{"
SEPARATORS = b"[{,"
NOT_SEPARATORS = bytes(byte for byte in range(256) if byte not in SEPARATORS)
NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
STEPS = dict.fromkeys(b"[{", 1) | dict.fromkeys(b"]}", -1)


def check_json_size(raw: bytes, values_max: int = VALUES_MAX) -> None:
    """Raise 400 INVALID_REQUEST for a text beyond one of the limits.

    The text need not be JSON: all that a parser reads before it finds an error is measured correctly.
    """
    if len(raw) <= values_max and raw.count(b"{") + raw.count(b"[") <= DEPTH_MAX:
        return  # nearly every body
    escapes = raw.count(b"\\")
    if escapes > ESCAPES_MAX:
        message = f"The body has too many escapes (\\): {escapes:,}; at most {ESCAPES_MAX:,} are allowed. Send UTF-8."
        raise InvalidRequest(message, {"escapesMax": ESCAPES_MAX})
    # What stands in texts counts here too, so what is below a limit here is below it without the texts.
    separators = raw.translate(None, NOT_SEPARATORS)
    if len(separators) < values_max and count_any(separators, OPENING) <= DEPTH_MAX:
        return
    outside = remove_texts(raw, values_max)
    values = None if outside is None else 1 + count_any(outside, SEPARATORS)
    if outside is None or (values is not None and values > values_max):
        given = "" if values is None else f" It has {values:,}."
        message = f"The body has too many values: at most {values_max:,} are allowed.{given} Send several requests."
        raise InvalidRequest(message, {"valuesMax": values_max})
    if measure_depth(outside) > DEPTH_MAX:
        raise InvalidRequest(f"The body is nested deeper than {DEPTH_MAX} levels.", {"depthMax": DEPTH_MAX})


def remove_texts(raw: bytes, values_max: int) -> bytes | None:
    """All that is outside of texts. None where there are more texts than ``values_max`` values and their keys can be.

    Backslashes stand in texts only, and each takes the character after it. Without the pairs every quotation mark
    begins or ends a text.
    """
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    if count_any(raw, b'"') > 4 * values_max:
        return None
    return b"".join(raw.split(b'"')[::2])


def count_any(raw: bytes, characters: bytes) -> int:
    """How often any of the characters occurs. ``bytes.count`` takes longer the more it finds."""
    return len(raw) - len(raw.translate(None, characters))


def measure_depth(outside: bytes) -> int:
    return max(accumulate(map(STEPS.__getitem__, outside.translate(None, NOT_BRACKETS))), default=0)
