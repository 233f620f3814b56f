"""New chunks as records: compressed by themselves, collected to blocks, or as they are."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final, TypeAlias

from pfs.backends.base import Buffer
from pfs.ids import ChunkId
from pfs.packs.compress import SMALL_CHUNK, are_compressible, compress, compress_block, is_compressible
from pfs.packs.pack import Codec
from pfs.packs.session_data import StagedRecord

BLOCK_BYTES: Final = 256 << 10
"""Plain bytes of a full block."""
_Small: TypeAlias = tuple[ChunkId, bytes]


class ChunkRecords:
    """Makes records of new chunks, and keeps those that wait for their block to be full; any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pays = False
        """Whether the last large chunk was worth compressing; which one that was is not certain, and need not be."""
        self._block: list[_Small] = []
        self._block_bytes = 0

    @property
    def has_block(self) -> bool:
        """Whether chunks wait."""
        return bool(self._block)

    def of(self, fresh: Sequence[tuple[ChunkId, Buffer]]) -> list[StagedRecord]:
        """Return the records of chunks, and of the blocks that are full by the small ones among them."""
        records: list[StagedRecord] = []
        small: list[_Small] = []
        shrinks = iter(are_compressible([data for _, data in fresh if len(data) < SMALL_CHUNK]))
        for id, data in fresh:
            if len(data) >= SMALL_CHUNK:
                records.append(self._large(id, data))
            elif next(shrinks):
                small.append((id, bytes(data)))
            else:
                records.append(StagedRecord(((id, len(data)),), data, Codec.RAW))
        return records + self.of_small(small)

    def of_small(self, chunks: Sequence[_Small]) -> list[StagedRecord]:
        """Take in chunks for blocks; return the records of the blocks that are full."""
        full = []
        with self._lock:
            for chunk in chunks:
                if self._block_bytes + len(chunk[1]) > BLOCK_BYTES:
                    full.append(self._take())
                self._block.append(chunk)
                self._block_bytes += len(chunk[1])
        return [_joined_record(block) for block in full if block]

    def end_block(self) -> StagedRecord | None:
        """Return the record of the block that is not full."""
        block = self.take_block()
        return _joined_record(block) if block else None

    def take_block(self) -> list[_Small]:
        """Return the chunks that wait, which do so no more."""
        with self._lock:
            return self._take()

    def waiting(self, id: ChunkId) -> bytes | None:
        """Return a chunk that waits, else None."""
        with self._lock:
            return next((data for other, data in self._block if other == id), None)

    def _take(self) -> list[_Small]:
        taken, self._block, self._block_bytes = self._block, [], 0
        return taken

    def _large(self, id: ChunkId, data: Buffer) -> StagedRecord:
        """Return the record of a chunk that shares no block.

        No sample is taken when the one before was worth compressing: it would be a twelfth of the work, and to learn
        that this one is not worth it costs less than that.
        """
        packed = compress(data) if self._pays or is_compressible(data) else None
        self._pays = packed is not None
        return StagedRecord(((id, len(data)),), *((data, Codec.RAW) if packed is None else (packed, Codec.ZSTD)))


def block_record(ids: Sequence[ChunkId], sizes: Sequence[int], plain: bytes) -> StagedRecord:
    """Return the record of a block: ``plain`` are its chunks, one after the other."""
    return StagedRecord(list(zip(ids, sizes, strict=True)), compress_block(plain), Codec.IN_BLOCK)


def _joined_record(block: Sequence[_Small]) -> StagedRecord:
    chunks = [data for _, data in block]
    return block_record([id for id, _ in block], list(map(len, chunks)), b"".join(chunks))
