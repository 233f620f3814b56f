"""The rows of tree pages as values: kinds, cells, metadata, and the logical id that rows have together."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

import msgspec

from pfs.arrays import np, npt
from pfs.ids import NO_PAGE, TreeId, tree_id

MAX_ELEMENT_BYTES = 65534
"""Of one step of a path: its length with a slash is 16 bits in the logical id."""
Bytes = bytes | bytearray
_AUX = msgspec.msgpack.Encoder(order="deterministic")
_AUX_OF = msgspec.msgpack.Decoder(dict[str, object])


class Kind(IntEnum):
    """What a row is; the numbers are part of the format."""

    FILE = 0
    """A file of at most one chunk; its tid is the chunk id."""
    DIR = 1
    SHARD = 2
    """A row of an index page; never seen outside pages."""
    CHUNKED = 3
    """A file of several chunks; its tid is the manifest id."""
    SYMLINK = 4
    REMOVED = 5
    """A purged file: its size and tid are kept, its bytes are gone."""
    EXTERNAL = 6
    """A file whose bytes are not in the store; size and tid are as they were given."""


class Changed(NamedTuple):
    """The commit in which a row last changed."""

    commit: bytes
    """16 bytes."""
    finished_ns: int
    """Nanoseconds since 1970, UTC."""


class Cell(NamedTuple):
    """One row as a page holds it; ``name`` is relative to the page's directory, directories end in ``/``."""

    name: bytes
    kind: int
    depth: int
    size: int
    tid: bytes
    files: int = 1
    """Files below (1 for a file)."""
    pid: bytes = NO_PAGE
    changed: Changed | None = None
    aux: bytes | None = None


Fields = tuple[bytes, int, int, int, bytes, int, bytes, Changed | None, bytes | None]
"""What a `Cell` is made of."""
Group = list[Cell]
"""One direct child of a directory as a leaf holds it: a file's row, or a directory's marker with the rows
inlined below it. In index pages: one SHARD row."""


def pack_aux(aux: Mapping[str, object] | None) -> bytes | None:
    """Return the canonical msgpack of a metadata map, keys sorted at every level; an empty map gives None."""
    return _AUX.encode(aux) if aux else None


def unpack_aux(packed: bytes | None) -> Mapping[str, object] | None:
    """Return the metadata map of a row."""
    return None if packed is None else _AUX_OF.decode(packed)


def newest(changes: Sequence[Changed | None] | set[Changed | None]) -> Changed | None:
    """Return the latest by time, then by commit id: what a directory row shows for the rows below it."""
    known = [change for change in changes if change is not None]
    return max(known, key=lambda change: (change.finished_ns, change.commit)) if known else None


def level_tid(level: int, names: Sequence[bytes], columns: tuple[bytes, bytes, bytes]) -> TreeId:
    """Return the logical id of a page; ``columns`` are kinds, sizes and tids of its depth-0 rows."""
    lengths = struct.pack(f"<{len(names)}H", *map(len, names))
    return tree_id(b"".join((lengths, *names, bytes((level,)), *columns)))


def columns_tid(
    level: int, lengths: npt.NDArray[np.unsignedinteger], names: Bytes, columns: tuple[Bytes, Bytes, Bytes]
) -> TreeId:
    """Return what `level_tid` does, from the lengths of the names and the names one behind the other."""
    kinds, sizes, tids = columns
    return tree_id(b"".join((lengths.astype("<u2").tobytes(), names, bytes((level,)), kinds, sizes, tids)))


def cells_tid(level: int, cells: Sequence[Cell]) -> TreeId:
    """Return the logical id of the page that these rows make; rows below depth 0 do not count."""
    top = [cell for cell in cells if cell.depth == 0]
    sizes = struct.pack(f"<{len(top)}Q", *(cell.size for cell in top))
    columns = bytes(cell.kind for cell in top), sizes, b"".join(cell.tid for cell in top)
    return level_tid(level, [cell.name for cell in top], columns)
