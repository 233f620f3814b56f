"""From many small chunks, as columns, to records: what shrinks goes to blocks, the rest stays as it is."""

from __future__ import annotations

from collections.abc import Iterator

from pfs.arrays import np
from pfs.packs.chunk_records import BLOCK_BYTES, ChunkRecords, block_record
from pfs.packs.compress import which_compress
from pfs.packs.raws import Raws
from pfs.packs.session_data import StagedRecord
from pfs.spans import Spans, joined


def records_of(chunks: Spans, waiting: ChunkRecords) -> tuple[Raws, list[StagedRecord]]:
    """Return the records of chunks below `SMALL_CHUNK`, and of the blocks that are full by them.

    Those that fill no block join the chunks that ``waiting`` has.
    """
    shrinks = which_compress(chunks)
    blocks = list(_blocks(chunks.only(shrinks)))
    left = blocks.pop()
    rest = zip(left.keys(), map(bytes, left.chunks()), strict=True)
    return Raws.of(chunks.only(~shrinks)), [*map(_record, blocks), *waiting.of_small(list(rest))]


def _blocks(chunks: Spans) -> Iterator[Spans]:
    """Yield full blocks, and what is left."""
    ends, start, held = np.cumsum(chunks.lengths), 0, 0
    while len(ends) and ends[-1] - held > BLOCK_BYTES:
        stop = int(np.searchsorted(ends, held + BLOCK_BYTES, "right"))
        yield chunks.only(slice(start, stop))
        start, held = stop, int(ends[stop - 1])
    yield chunks.only(slice(start, None))


def _record(block: Spans) -> StagedRecord:
    return block_record(block.keys(), block.lengths.tolist(), joined(block.data, block.offsets, block.lengths))
