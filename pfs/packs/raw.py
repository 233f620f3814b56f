"""Reading chunks that are stored as they are, in large runs and into a buffer that is used again.

Chunks of a file mostly lie one behind the other in a pack: a run of them is one read. What is returned was checked like
any other record; whatever is unusual is left to `pfs.packs.read`, which can decompress, retry, and say what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeGuard

from xxhash import xxh3_64_intdigest

from pfs.backends.base import Reads
from pfs.ids import ChunkId
from pfs.packs.index import Index
from pfs.packs.index_rows import Location
from pfs.packs.pack import pack_name
from pfs.packs.record import HEADER_SIZE, Codec, RecordType, decode_header


class _Run(NamedTuple):
    """Bytes of a pack from ``start`` to ``stop``: whole records, one behind the other."""

    pack_no: int
    start: int
    stop: int
    chunks: list[tuple[ChunkId, int]]


def is_raw(place: Location | None, size: int) -> TypeGuard[Location]:
    """Say whether a chunk of ``size`` bytes is a record of its own, stored as it is."""
    return place is not None and place.type == RecordType.CHUNK and place.clen == size


def read_raw(
    backend: Reads,
    index: Index,
    wanted: Iterable[tuple[tuple[ChunkId, int], Location | None]],
    buffer: memoryview,
) -> list[memoryview] | None:
    """Return chunks in the order given, as views of ``buffer``; None: one is not raw, not there, damaged, or too much.

    Raises:
        NotFoundError: the pack is not there.
        CorruptionError: it is damaged.
        StorageError: it cannot be read.
    """
    found: list[memoryview] = []
    used = 0
    for run in _runs(wanted):
        size = run.stop - run.start
        if not size or used + size > len(buffer):
            return None
        data = buffer[used : used + size]
        name = pack_name(*index.pack(run.pack_no))
        if backend.read_into(name, run.start, data) < size:
            return None
        for id, length in run.chunks:
            header = decode_header(data, where=name)
            payload = data[HEADER_SIZE : HEADER_SIZE + length]
            if (header.id, header.type, header.codec) != (id, RecordType.CHUNK, Codec.RAW):
                return None
            if header.clen != length or xxh3_64_intdigest(payload) != header.checksum:
                return None
            found.append(payload)
            data = data[HEADER_SIZE + length :]
        used += size
    return found


def _runs(wanted: Iterable[tuple[tuple[ChunkId, int], Location | None]]) -> Iterator[_Run]:
    """Yield runs as long as they get; an empty one where there is a chunk that is not raw."""
    run: _Run | None = None
    for (id, size), place in wanted:
        if not is_raw(place, size):
            yield _Run(0, 0, 0, [])
            return
        stop = place.offset + HEADER_SIZE + size
        if run is not None and (run.pack_no, run.stop) == (place.pack_no, place.offset):
            run.chunks.append((id, size))
            run = run._replace(stop=stop)
            continue
        if run is not None:
            yield run
        run = _Run(place.pack_no, place.offset, stop, [(id, size)])
    if run is not None:
        yield run
