"""The rows of the index as bytes (docs/format/index.md)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pfs.ids import CommitId, PackId
from pfs.packs.pack import ENTRY, Codec, PackKind, SealedPack

KEY_SIZE: Final = 16
"""Bytes of an id that key its row; the record has all 32, which are compared on read."""
IN_BLOCK: Final = 6
"""`Location.type` of a chunk inside a block."""
_LOCATION: Final = struct.Struct("<III")
LOCATIONS: Final = np.dtype([("pack_no", "<u4"), ("offset", "<u4"), ("clen_type", "<u4")])
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


class ChunkRows(NamedTuple):
    """Rows of the chunk table, sorted by key; ``pack_index`` says which of the packs each row is of."""

    keys: npt.NDArray[np.void]
    values: npt.NDArray[np.void]
    pack_index: npt.NDArray[np.uint32]

    def items(self, numbers: Sequence[int]) -> list[tuple[bytes, bytes]]:
        """Return the rows once the packs have their ``numbers``."""
        self.values["pack_no"] = np.array(numbers, dtype=np.uint32)[self.pack_index]
        raw: list[bytes] = self.values.view(f"V{_LOCATION.size}").tolist()
        return list(zip(self.keys.tolist(), raw, strict=True))


def chunk_rows(packs: Sequence[SealedPack]) -> ChunkRows:
    """Return the chunk rows of all packs' entries, sorted; some 3 million rows a second."""
    entries = np.concatenate([np.empty(0, ENTRY), *(pack.entries for pack in packs)])
    owners = np.repeat(np.arange(len(packs), dtype=np.uint32), [len(pack.entries) for pack in packs])
    keys = np.ascontiguousarray(entries.view(np.uint8).reshape(-1, ENTRY.itemsize)[:, :KEY_SIZE])
    words = keys.view(">u8")
    order = np.lexsort((words[:, 1], words[:, 0]))
    values = np.zeros(len(entries), LOCATIONS)
    values["offset"] = entries["off"]
    types = np.where(entries["codec"] == Codec.IN_BLOCK, IN_BLOCK, entries["type"]).astype(np.uint32)
    values["clen_type"] = (entries["clen"] << np.uint32(4)) | types
    return ChunkRows(keys.view(f"V{KEY_SIZE}")[order, 0], values[order], owners[order])


def decode_location(value: bytes) -> Location:
    """Decode a value of the chunk table."""
    pack_no, offset, clen_type = _LOCATION.unpack(value)
    return Location(pack_no, offset, clen_type >> 4, clen_type & 15)


def pack_row(pack: SealedPack, *, state: int) -> bytes:
    """Encode a value of the pack table; the states are in `index_condemned`."""
    count = len(pack.entries)
    return _PACK.pack(pack.pack_id, ord(pack.kind), state, 0, pack.size, count, pack.size, pack.created_ms)


TIER_AT: Final = 18
"""Where in a value of the pack table the storage class is (`pfs.backends.classes`)."""


def decode_pack(value: bytes) -> tuple[PackId, PackKind]:
    """Decode id and kind from a value of the pack table."""
    return PackId(value[:16]), "d" if value[16] == ord("d") else "m"


def commit_key(repo_no: bytes, commit: CommitId) -> bytes:
    """Return the key of a commit's row."""
    return repo_no + bytes.fromhex(commit)
