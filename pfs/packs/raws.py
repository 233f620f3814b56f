"""Many chunks that are stored as they are, as columns: their records for a pack, without a value of Python for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from xxhash import xxh3_64_intdigest

from pfs.arrays import Voids, np
from pfs.backends.base import Buffer
from pfs.ids import ChunkId
from pfs.packs.footer import ENTRY, ENTRY_ROW
from pfs.packs.record import HEADER_SIZE, RECORD_MAGIC, Codec, RecordType
from pfs.spans import Spans

_HEADER: Final = [
    ("magic", "S4"),
    ("type", "u1"),
    ("codec", "u1"),
    ("flags", "<u2"),
    ("clen", "<u4"),
    ("ulen", "<u4"),
    ("checksum", "<u8"),
    ("id", "V32"),
]
"""The header of a record (`pfs.packs.record`), as NumPy takes it."""


class Raws(NamedTuple):
    """Chunks with the headers of their records."""

    chunks: Spans
    headers: Voids
    """Rows of the header of a record."""

    @classmethod
    def of(cls, chunks: Spans) -> Raws:
        """Make the headers, for which each chunk is read once."""
        headers = np.zeros(chunks.count, _HEADER)
        headers["magic"], headers["type"], headers["codec"] = RECORD_MAGIC, RecordType.CHUNK, Codec.RAW
        headers["clen"] = headers["ulen"] = chunks.lengths
        headers["checksum"] = np.fromiter(map(xxh3_64_intdigest, chunks.chunks()), np.uint64, chunks.count)
        headers["id"] = np.ascontiguousarray(chunks.ids).view("V32").ravel()
        return cls(chunks, headers)

    def only(self, which: slice) -> Raws:
        """Return some of them."""
        return Raws(self.chunks.only(which), self.headers[which])

    def each(self) -> Iterator[tuple[ChunkId, memoryview]]:
        """Yield id and bytes of each."""
        return zip(self.chunks.keys(), self.chunks.chunks(), strict=True)

    def fit(self, room: int) -> int:
        """Return how many records it takes until at least ``room`` bytes are full; all, if they do not fill it."""
        ends = np.cumsum(self.chunks.lengths + HEADER_SIZE)
        return min(int(np.searchsorted(ends, room)) + 1, len(ends))

    def buffers(self) -> list[Buffer]:
        """Return the records: each header, and its chunk behind it."""
        headers = memoryview(self.headers.tobytes())
        found: list[Buffer] = [headers] * (2 * self.chunks.count)
        found[::2] = [headers[at : at + HEADER_SIZE] for at in range(0, len(headers), HEADER_SIZE)]
        found[1::2] = self.chunks.chunks()
        return found

    def entries(self, start: int) -> bytes:
        """Return the rows of a footer for records of which the first begins at ``start``."""
        lengths = self.chunks.lengths
        rows = np.zeros(len(lengths), ENTRY)
        rows["id"], rows["clen"], rows["ulen"] = self.headers["id"], lengths, lengths
        rows["off"] = start + np.cumsum(lengths + HEADER_SIZE) - lengths - HEADER_SIZE
        rows["type"], rows["codec"] = RecordType.CHUNK, Codec.RAW
        assert rows.nbytes == len(rows) * ENTRY_ROW.size
        return rows.tobytes()
