"""The rows of the index as bytes (docs/format/index.md)."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from pfs.ids import CommitId, PackId
from pfs.packs.pack import PackKind, SealedPack

KEY_SIZE: Final = 16
"""Bytes of an id that key its row; the record has all 32, which are compared on read."""
IN_BLOCK: Final = 6
"""`Location.type` of a chunk inside a block."""
LOCATION: Final = struct.Struct("<III")
LOCATIONS: Final = [("pack_no", "<u4"), ("offset", "<u4"), ("clen_type", "<u4")]
LOCATION_SIZE: Final = LOCATION.size
"""The same as columns; ``clen_type`` is clen times 16, and the type."""
_PACK: Final = struct.Struct("<16sBBBQIQq")
NUMBER: Final = struct.Struct(">I")
"""Big-endian, so that the order of keys is that of numbers."""


class Location(NamedTuple):
    """Where a record lies: ``clen`` is its stored size, or the offset inside the plain block when type is IN_BLOCK."""

    pack_no: int
    offset: int
    clen: int
    type: int


def decode_location(value: bytes) -> Location:
    """Decode a value of the chunk table."""
    pack_no, offset, clen_type = LOCATION.unpack(value)
    return Location(pack_no, offset, clen_type >> 4, clen_type & 15)


def pack_row(pack: SealedPack, *, state: int) -> bytes:
    """Encode a value of the pack table; the states are in `index_condemned`."""
    return _PACK.pack(pack.pack_id, ord(pack.kind), state, 0, pack.size, pack.rows, pack.size, pack.created_ms)


TIER_AT: Final = 18
"""Where in a value of the pack table the storage class is (`pfs.backends.classes`)."""


def decode_pack(value: bytes) -> tuple[PackId, PackKind]:
    """Decode id and kind from a value of the pack table."""
    return PackId(value[:16]), "d" if value[16] == ord("d") else "m"


def commit_key(repo_no: bytes, commit: CommitId) -> bytes:
    """Return the key of a commit's row."""
    return repo_no + bytes.fromhex(commit)
