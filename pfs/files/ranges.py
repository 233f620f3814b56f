"""Many ranges of many files at once: all look-ups first, then the chunks in batches, each chunk of a batch once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from pfs.files.fileref import Content
from pfs.files.reader import Source, chunk_refs
from pfs.ids import ChunkId
from pfs.packs.manifest import ChunkRef

_BATCH_BYTES: Final = 16 << 20


class Range(NamedTuple):
    """The bytes of a file from ``start`` to ``stop``, both within it."""

    content: Content
    start: int
    stop: int


class _Wanted(NamedTuple):
    range: Range
    refs: list[ChunkRef]


def read_ranges(source: Source, ranges: Sequence[Range]) -> Iterator[bytes]:
    """Yield the bytes of each range, in order.

    Memory beside what is yielded: 16 MiB of chunks, or those of the largest range. Near chunks of a pack are read
    together, whichever files they are of.

    Raises:
        CorruptionError, MissingObjectError, StorageError: as `Objects.chunks`.
        InvalidInputError, MissingObjectError: a content is no file, or was purged.
    """
    for batch in _batches(source, ranges):
        sizes = {ref.id: ref.size for wanted in batch for ref in wanted.refs}
        data = dict(zip(sizes, source.chunks(list(sizes.items())), strict=True))
        for wanted in batch:
            yield _cut(wanted, data)


def _batches(source: Source, ranges: Sequence[Range]) -> Iterator[list[_Wanted]]:
    batch: list[_Wanted] = []
    held = 0
    for one in ranges:
        refs = list(chunk_refs(source, one.content, start=one.start, stop=one.stop))
        batch.append(_Wanted(one, refs))
        held += sum(ref.size for ref in refs)
        if held >= _BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _cut(wanted: _Wanted, data: dict[ChunkId, bytes]) -> bytes:
    start, stop = wanted.range.start, wanted.range.stop
    return b"".join(memoryview(data[ref.id])[max(start - ref.offset, 0) : stop - ref.offset] for ref in wanted.refs)
