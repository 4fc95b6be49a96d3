"""Encode a pending write for Redis: its head, its position, its records and claims, and its doubt.

Every value is sealed for its workspace, operation and field (``kith.pending.seal``). Functions that read one raise
ValueError where the seal does not fit, where it is another's, or where another version wrote it.
The form is that of the processes of one version: while processes of two versions run, what one cannot read is not
foreseen by it.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

import msgspec

from kith.model.activities import Activity
from kith.model.actors import Actor
from kith.model.companies import Company
from kith.model.contacts import Contact
from kith.model.lists import List
from kith.model.properties import Property, Schema
from kith.model.records import Claim, Identity, Record
from kith.model.tags import Tag
from kith.pending.port import PendingWrite
from kith.pending.seal import Seal

# Claims and records, as the names of their keys begin. In a record's kind and a claim's name there is no colon.
RECORD, CLAIM = "r", "c"
# The other fields that are sealed.
HEAD, POSITION, DOUBT = "head", "position", "doubt"
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
    actor: Actor | None = None


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


def encode_head(seal: Seal, write: PendingWrite) -> bytes:
    return seal.close(write.workspace_id, write.operation_id, HEAD, msgspec.msgpack.encode(_to_head(write)))


def decode_head(seal: Seal, workspace_id: int, operation_id: str, sealed: bytes) -> PendingWrite:
    """The write, without what it moves."""
    head = _decode_head(seal.open(workspace_id, operation_id, HEAD, sealed))
    return _from_head(_check(head, workspace_id, operation_id), [])


def encode_position(seal: Seal, workspace_id: int, operation_id: str, position: int) -> bytes:
    return seal.close(workspace_id, operation_id, POSITION, b"%d" % position)


def decode_position(seal: Seal, workspace_id: int, operation_id: str, sealed: bytes) -> int | None:
    """None for a write that the log has not acknowledged."""
    return int(seal.open(workspace_id, operation_id, POSITION, sealed)) if sealed else None


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


def seal_moves(seal: Seal, write: PendingWrite) -> dict[Key, bytes]:
    """Each of ``encode_moves`` for its field in Redis."""
    return {
        key: seal.close(write.workspace_id, write.operation_id, to_suffix(key), value)
        for key, value in encode_moves(write)
    }


def decode_record(identity: Identity, data: bytes) -> Record | None:
    """Of a value that was opened. Raises ValueError where another version wrote it."""
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


def encode_doubt(seal: Seal, write: PendingWrite, entry: bytes) -> bytes:
    """A write of which the log did not say whether it took it, and the entry that it may have."""
    moves = [(to_suffix(key), value) for key, value in encode_moves(write)]
    doubt = msgspec.msgpack.encode(_Doubt(_to_head(write), moves, entry))
    return seal.close(write.workspace_id, write.operation_id, DOUBT, doubt)


def decode_doubt(
    seal: Seal, workspace_id: int, shard: int, operation_id: str, sealed: bytes
) -> tuple[PendingWrite, bytes]:
    doubt = _decode_doubt(seal.open(workspace_id, operation_id, DOUBT, sealed))
    head = _check(doubt.head, workspace_id, operation_id)
    if head.shard != shard:
        raise ValueError(f"the write is of shard {head.shard}")
    return _from_head(head, doubt.moves), doubt.entry


def _check(head: _Head, workspace_id: int, operation_id: str) -> _Head:
    if (head.workspace_id, head.operation_id) != (workspace_id, operation_id):
        raise ValueError(f"the write is {head.operation_id} of workspace {head.workspace_id}")
    return head


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
