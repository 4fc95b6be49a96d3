"""Logs as released versions have written them: every later version reads the same commands from them.

Each line of a file has the version of the entry, the entry in base64, and as JSON what the version that wrote it meant.
Lines are added (``record``), never changed: entries like them stand on somebody's log.
"""

import base64
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kith.model.codec import VERSION, decode_envelope
from kith.model.commands import Command, Envelope, to_type

ENCODER = msgspec.json.Encoder(decimal_format="number", order="sorted")
DECODER = msgspec.json.Decoder(float_hook=Decimal)
FOLDER = Path(__file__).parent.parent / "fixtures"
LINES = [
    (f"{path.name}:{number}", line)
    for path in sorted(FOLDER.glob("log-*.txt"))
    for number, line in enumerate(path.read_text().splitlines(), 1)
]


def to_meaning(envelope: Envelope) -> dict[str, Any]:
    """All fields, those left out included, in a form that does not depend on how entries are written."""
    fields = msgspec.structs.asdict(envelope)
    idempotency = fields.pop("idempotency")
    if idempotency is not None:
        fields["idempotency"] = {
            "fingerprint": idempotency.fingerprint,
            "answer": msgspec.json.decode(bytes(idempotency.answer)),
        }
    command = {
        name: str(value) if value is msgspec.UNSET else value
        for name, value in msgspec.structs.asdict(fields.pop("command")).items()
    }
    meaning = {"type": to_type(envelope.command), "command": command, **fields}
    found: dict[str, Any] = DECODER.decode(ENCODER.encode(meaning))
    return found


def record(entry: bytes) -> str:
    """The line for a file of recorded entries: of one as this version writes it."""
    meaning = ENCODER.encode(to_meaning(decode_envelope(entry))).decode()
    return f"{entry[0]} {base64.b64encode(entry).decode()} {meaning}"


def read(line: str) -> tuple[int, bytes, dict[str, Any]]:
    version, entry, meaning = line.split(" ", 2)
    return int(version), base64.b64decode(entry), DECODER.decode(meaning)


def keeps(recorded: Any, actual: Any) -> bool:
    """Whether all that was recorded is there: fields that are newer may stand beside it."""
    if isinstance(recorded, dict) and isinstance(actual, dict):
        return all(key in actual and keeps(value, actual[key]) for key, value in recorded.items())
    return bool(recorded == actual)


@pytest.mark.parametrize("line", [line for _, line in LINES], ids=[place for place, _ in LINES])
def test_what_a_released_version_has_written_means_the_same_today(line: str) -> None:
    version, entry, meaning = read(line)
    assert entry[0] == version
    actual = to_meaning(decode_envelope(entry))
    assert keeps(meaning, actual), f"was {meaning}, is {actual}"


def test_every_command_and_every_field_of_one_is_recorded() -> None:
    """Where this fails for a new one, append its ``record`` to the file of the version that will write it."""
    meanings = [read(line)[2] for _, line in LINES]
    missing = []
    for kind in Command.__args__:
        commands = [one["command"] for one in meanings if one["type"] == kind.__name__]
        for field in msgspec.structs.fields(kind):
            default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
            given = [one[field.name] for one in commands if field.name in one]
            if all(value == default for value in given):
                missing.append(f"{kind.__name__}.{field.name}")
    assert missing == []


def test_the_newest_version_of_entries_is_recorded() -> None:
    assert max(read(line)[0] for _, line in LINES) == VERSION
