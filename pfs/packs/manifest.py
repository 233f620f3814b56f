"""Chunk manifests: the list of chunks that a file of several chunks consists of.

One blob up to `FAN` chunks; above that, leaves of exactly `FAN` chunks (the last may be shorter) under one top blob
that lists them. The split depends on the chunk list alone, so equal bytes give one manifest id: the file's `tid`.
The builder holds one leaf and the list of leaves, so a file of any size is listed in bounded memory.
Format: docs/format/manifest.md.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final

from msgspec import Struct

from pfs.arrays import Voids, np
from pfs.errors import CorruptionError
from pfs.ids import ChunkId, ManifestId, manifest_id

FAN: Final = 4096
"""Chunks of a leaf; part of the format."""
_MAGIC: Final = b"MF01"
_HEADER: Final = struct.Struct("<4sB3sIIQ")
_SIZE_TYPES: Final = ("I", "Q")
_SIZE_BYTES: Final = (4, 8)
"""Of a size in a leaf, and in a top."""
_ID_BYTES: Final = 32


class ChunkRef(Struct, frozen=True):
    """One chunk of a file: where it begins in the file, its size in bytes, its id."""

    offset: int
    size: int
    id: ChunkId


class ManifestBuilder:
    """Builds the manifest of a chunk list that arrives piece by piece; one thread at a time.

    `put` gets each blob once it is complete, leaves before the top, and must store it.
    """

    def __init__(self, put: Callable[[ManifestId, bytes], None], *, fan: int = FAN) -> None:
        self._put = put
        self._fan = fan
        self._sizes: list[int] = []
        self._ids: list[bytes] = []
        self._leaf_sizes: list[int] = []
        self._leaf_ids: list[bytes] = []

    def add(self, size: int, chunk: ChunkId) -> None:
        """Append one chunk of ``size`` bytes."""
        if len(self._ids) == self._fan:
            self._close_leaf()
        self._sizes.append(size)
        self._ids.append(chunk)

    def finish(self) -> ManifestId:
        """Store what is pending and return the id of the whole; the builder is used up."""
        self._close_leaf()
        if len(self._leaf_ids) == 1:
            return ManifestId(self._leaf_ids[0])
        return self._store(_encode(1, self._leaf_sizes, self._leaf_ids))

    def _close_leaf(self) -> None:
        self._leaf_ids.append(self._store(_encode(0, self._sizes, self._ids)))
        self._leaf_sizes.append(sum(self._sizes))
        self._sizes, self._ids = [], []

    def _store(self, blob: bytes) -> ManifestId:
        mid = manifest_id(blob)
        self._put(mid, blob)
        return mid


def encode(chunks: Iterable[tuple[int, ChunkId]]) -> list[tuple[ManifestId, bytes]]:
    """Return the blobs of a chunk list of (size, id), leaves first; the last one is the manifest of the whole file."""
    blobs: list[tuple[ManifestId, bytes]] = []
    builder = ManifestBuilder(lambda mid, blob: blobs.append((mid, blob)))
    for size, chunk in chunks:
        builder.add(size, chunk)
    builder.finish()
    return blobs


class Manifest:
    """A decoded manifest; ``load`` gets the blobs below a top when a range needs them. Immutable, safe in threads.

    Raises:
        CorruptionError: the blob is no manifest; also from `chunks`, when a leaf does not fit its top.
    """

    def __init__(self, blob: bytes, *, load: Callable[[ManifestId], bytes], where: str) -> None:
        self._load = load
        self._where = where
        self.blob = blob
        """Its bytes as stored."""
        self._level, sizes, self._ids_at = _decode(blob, where)
        self._ends = array("Q", accumulate(sizes))

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self._ends[-1]

    @property
    def entries(self) -> int:
        """Number of chunks, or of leaves where there are two levels."""
        return len(self._ends)

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[ChunkRef]:
        """Yield the chunks that hold the bytes from ``start`` to ``stop``, in order; O(log n) to the first."""
        return self._refs(start, self.size if stop is None else min(stop, self.size), base=0)

    def ids(self) -> Iterator[list[bytes]]:
        """Yield the ids that it names, a list a blob: its chunks, or its leaves and then the chunks of each leaf."""
        entries = [self.blob[at : at + _ID_BYTES] for at in range(self._ids_at, len(self.blob), _ID_BYTES)]
        yield entries
        if self._level:
            for entry, start, end in zip(entries, (0, *self._ends), self._ends, strict=False):
                yield from self._leaf(ManifestId(entry), end - start).ids()

    @property
    def is_top(self) -> bool:
        """Whether it lists blobs of chunks instead of chunks."""
        return self._level > 0

    @property
    def id_column(self) -> Voids:
        """The ids that this blob lists, 32 bytes each, in order."""
        return np.frombuffer(self.blob, "V32", len(self._ends), self._ids_at)

    def _refs(self, start: int, stop: int, *, base: int) -> Iterator[ChunkRef]:
        if start >= stop:
            return
        first = bisect_right(self._ends, start)
        offset = self._ends[first - 1] if first else 0
        for row in range(first, len(self._ends)):
            if offset >= stop:
                return
            end = self._ends[row]
            at = self._ids_at + row * _ID_BYTES
            entry = self.blob[at : at + _ID_BYTES]
            if self._level:
                leaf = self._leaf(ManifestId(entry), end - offset)
                yield from leaf._refs(start - offset, stop - offset, base=base + offset)
            else:
                yield ChunkRef(base + offset, end - offset, ChunkId(entry))
            offset = end

    def _leaf(self, mid: ManifestId, size: int) -> Manifest:
        leaf = Manifest(self._load(mid), load=self._load, where=f"manifest {mid.hex()[:12]}")
        if leaf._level != 0 or leaf.size != size:
            raise CorruptionError(self._where, f"its part {mid.hex()[:12]} has another size or level than it says")
        return leaf


def _encode(level: int, sizes: Sequence[int], ids: Sequence[bytes]) -> bytes:
    header = _HEADER.pack(_MAGIC, level, b"", len(ids), 0, sum(sizes))
    return b"".join((header, struct.pack(f"<{len(sizes)}{_SIZE_TYPES[level]}", *sizes), *ids))


def _decode(blob: bytes, where: str) -> tuple[int, tuple[int, ...], int]:
    if len(blob) < _HEADER.size:
        raise CorruptionError(where, "the chunk manifest is too short")
    magic, level, zeros, rows, zero, total = _HEADER.unpack_from(blob)
    if magic != _MAGIC or level >= len(_SIZE_TYPES) or rows == 0 or any(zeros) or zero:
        raise CorruptionError(where, "it is no chunk manifest")
    ids_at = _HEADER.size + rows * _SIZE_BYTES[level]
    if len(blob) != ids_at + rows * _ID_BYTES:
        raise CorruptionError(where, "the chunk manifest has another length than its header says")
    sizes = struct.unpack_from(f"<{rows}{_SIZE_TYPES[level]}", blob, _HEADER.size)
    if 0 in sizes or sum(sizes) != total:
        raise CorruptionError(where, "the sizes in the chunk manifest do not add up")
    return int(level), sizes, ids_at
