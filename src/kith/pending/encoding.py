"""How a pending write stands in Redis: its head, what it makes of each record and claim, and one that is in doubt.

The form is that of the processes of one version: while processes of two versions run, what one cannot read is not
foreseen by it.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

import msgspec

from kith.model.activities import Activity
from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.lists import List
from kith.model.properties import Property, Schema
from kith.model.records import Claim, Identity, Record
from kith.model.tags import Tag
from kith.pending.port import PendingWrite

# Claims and records, as the names of their keys begin. In a record's kind and a claim's name there is no colon.
RECORD, CLAIM = "r", "c"
Key = tuple[str, tuple[str, str]]
_KINDS: tuple[type[Record], ...] = (Activity, Company, Contact, List, Property, Schema, Tag)
_DECODERS: Mapping[str, msgspec.json.Decoder[Record]] = {
    kind.kind: msgspec.json.Decoder(kind, float_hook=Decimal) for kind in _KINDS
}
_encode_record = msgspec.json.Encoder(decimal_format="number").encode


class _Head(msgspec.Struct, frozen=True, array_like=True):
    """A write without what it moves."""

    operation_id: str
    type: str
    shard: int
    workspace_id: int
    resource: str
    created_at: datetime
    fingerprint: str | None
    answer: bytes


class _Doubt(msgspec.Struct, frozen=True, array_like=True):
    head: _Head
    moves: list[tuple[str, bytes]]
    entry: bytes


_decode_head = msgspec.msgpack.Decoder(_Head).decode
_decode_doubt = msgspec.msgpack.Decoder(_Doubt).decode


def to_suffix(key: Key) -> str:
    """What the name of a record's or a claim's key ends with."""
    group, (name, value) = key
    return f"{group}:{name}:{value}"


def from_suffix(suffix: str) -> Key:
    group, name, value = suffix.split(":", 2)
    return group, (name, value)


def encode_head(write: PendingWrite) -> bytes:
    return msgspec.msgpack.encode(_to_head(write))


def decode_head(data: bytes) -> PendingWrite:
    """The write, without what it moves. Raises ValueError where another version wrote it."""
    return _from_head(_decode_head(data), [])


def encode_moves(write: PendingWrite) -> list[tuple[Key, bytes]]:
    """What the write makes of each record and claim; nothing stands for one that is removed, or set free."""
    moves: list[tuple[Key, bytes]] = [
        ((RECORD, identity), _encode_record(record) if record is not None else b"")
        for identity, record in write.records.items()
    ]
    moves += [
        ((CLAIM, claim), ":".join(holder).encode() if holder is not None else b"")
        for claim, holder in write.holders.items()
    ]
    return moves


def decode_record(identity: Identity, data: bytes) -> Record | None:
    """Raises ValueError where another version wrote it."""
    if not data:
        return None
    if (decoder := _DECODERS.get(identity[0])) is None:
        raise ValueError(f"records of kind {identity[0]} are not known here")
    return decoder.decode(data)


def decode_holder(data: bytes) -> Identity | None:
    if not data:
        return None
    kind, external_id = data.decode().split(":", 1)
    return kind, external_id


def encode_doubt(write: PendingWrite, entry: bytes) -> bytes:
    """A write of which the log did not say whether it took it, and the entry that it may have."""
    moves = [(to_suffix(key), value) for key, value in encode_moves(write)]
    return msgspec.msgpack.encode(_Doubt(_to_head(write), moves, entry))


def decode_doubt(data: bytes) -> tuple[PendingWrite, bytes]:
    """Raises ValueError where another version wrote it."""
    doubt = _decode_doubt(data)
    return _from_head(doubt.head, doubt.moves), doubt.entry


def _to_head(write: PendingWrite) -> _Head:
    return _Head(*(getattr(write, field) for field in _Head.__struct_fields__))


def _from_head(head: _Head, moves: list[tuple[str, bytes]]) -> PendingWrite:
    records: dict[Identity, Record | None] = {}
    holders: dict[Claim, Identity | None] = {}
    for suffix, value in moves:
        group, name = from_suffix(suffix)
        if group == RECORD:
            records[name] = decode_record(name, value)
        else:
            holders[name] = decode_holder(value)
    return PendingWrite(**msgspec.structs.asdict(head), records=records, holders=holders)
